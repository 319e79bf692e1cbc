package integration

import (
	"crypto/rand"
	"fmt"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/integration/backend"
	"github.com/tokensession/tokensession/redis"
	"github.com/tokensession/tokensession/storetest"
)

func TestRedis(t *testing.T) {
	server := backend.Redis(t)
	suite := redisSuite(server.URL)
	suite.Corrupt = func(tb testing.TB) (tokensession.Store, func(string)) {
		prefix, client := newRedisPrefix(), bareRedis(tb, server.Addr)
		return openRedis(tb, server.URL, prefix), func(id string) {
			keys, err := client.Keys(tb.Context(), prefix+"*s:"+id).Result()
			if err != nil || len(keys) != 1 {
				tb.Fatalf("%d keys of the record, %v", len(keys), err)
			}
			if err := client.Set(tb.Context(), keys[0], "hello", goredis.KeepTTL).Err(); err != nil {
				tb.Fatal(err)
			}
		}
	}
	suite.IOTimeout = impatience
	suite.Secrets = []string{rand.Text()} // the user default has no password, and accepts any
	suite.Network = func(tb testing.TB) (string, func(string) tokensession.Store) {
		prefix := newRedisPrefix()
		return server.Addr, func(addr string) tokensession.Store {
			url := "redis://default:" + suite.Secrets[0] + "@" + addr
			if addr != server.Addr {
				url += "?read_timeout=" + impatience.String()
			}
			return openRedis(tb, url, prefix)
		}
	}
	suite.Run(t)
}

// redisSuite is the suite on the server of a URL, with a prefix a store.
func redisSuite(url string) storetest.Suite {
	return storetest.Suite{
		New:          func(tb testing.TB) tokensession.Store { return openRedis(tb, url, newRedisPrefix()) },
		Capabilities: storetest.AllCapabilities,
		Granularity:  2 * time.Millisecond,
		TooLarge:     64<<20 + 1,
		Repeats:      true,
		Namespaces: func(tb testing.TB, a, b string) (tokensession.Store, tokensession.Store) {
			in := newRedisPrefix()
			return openRedis(tb, url, in+a), openRedis(tb, url, in+b)
		},
		Reopen: func(tb testing.TB) func() tokensession.Store {
			prefix := newRedisPrefix()
			return func() tokensession.Store { return openRedis(tb, url, prefix) }
		},
		Shared: true,
	}
}

var redisPrefixes atomic.Int64

// newRedisPrefix returns a prefix that no other store of this process has.
func newRedisPrefix() string { return fmt.Sprintf("%d ", redisPrefixes.Add(1)) }

func openRedis(tb testing.TB, rawURL, prefix string) *redis.Store {
	tb.Helper()
	return openRedisWith(tb, withPrefix(rawURL, prefix), nil)
}

func openRedisWith(tb testing.TB, rawURL string, opts *redis.Options) *redis.Store {
	tb.Helper()
	store, err := redis.Open(tb.Context(), rawURL, opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { store.Close() })
	return store
}

func withPrefix(rawURL, prefix string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		panic(err)
	}
	q := u.Query()
	q.Set("prefix", prefix)
	u.RawQuery = q.Encode()
	return u.String()
}
