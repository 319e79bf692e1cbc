package integration

import (
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	gomemcache "github.com/bradfitz/gomemcache/memcache"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/integration/backend"
	"github.com/tokensession/tokensession/memcache"
	"github.com/tokensession/tokensession/storetest"
)

// memcacheTooLarge is one byte more than memcached's default limit for a whole item.
const memcacheTooLarge = 1<<20 + 1

// TestMemcache runs the suite on one server and on two, on clients that Open made and
// on a borrowed one.
func TestMemcache(t *testing.T) {
	one := backend.Memcached(t)
	two := backend.KindMemcached.Start(t)
	t.Run("one server", func(t *testing.T) {
		suite := memcacheSuite(func(tb testing.TB, prefix string) tokensession.Store {
			return openMemcache(tb, one.URL, prefix)
		})
		suite.Corrupt = func(tb testing.TB) (tokensession.Store, func(string)) {
			prefix, client := memcachePrefix(), gomemcache.New(one.Addr)
			return openMemcache(tb, one.URL, prefix), func(id string) {
				defer client.Close()
				if err := client.Replace(&gomemcache.Item{Key: prefix + ":" + id, Value: []byte("hello")}); err != nil {
					tb.Fatal(err)
				}
			}
		}
		suite.IOTimeout = impatience
		suite.Network = func(tb testing.TB) (string, func(string) tokensession.Store) {
			prefix := memcachePrefix()
			return one.Addr, func(addr string) tokensession.Store {
				if addr == one.Addr {
					return openMemcache(tb, one.URL, prefix)
				}
				return openMemcache(tb, "memcache://"+addr, prefix, "timeout="+impatience.String())
			}
		}
		suite.Run(t)
	})
	t.Run("two servers", func(t *testing.T) {
		memcacheSuite(func(tb testing.TB, prefix string) tokensession.Store {
			return openMemcache(tb, one.URL+","+two.Addr, prefix)
		}).Run(t)
	})
	t.Run("borrowed", func(t *testing.T) {
		suite := memcacheSuite(func(tb testing.TB, prefix string) tokensession.Store {
			return borrowMemcache(tb, prefix, one.Addr, two.Addr)
		})
		suite.IOTimeout = 4 * gomemcache.DefaultTimeout
		suite.Network = func(tb testing.TB) (string, func(string) tokensession.Store) {
			prefix := memcachePrefix()
			return one.Addr, func(addr string) tokensession.Store { return borrowMemcache(tb, prefix, addr) }
		}
		suite.Run(t)
	})
}

// memcacheSuite is the suite on the stores that open returns, by their memcachePrefixes.
func memcacheSuite(open func(tb testing.TB, prefix string) tokensession.Store) storetest.Suite {
	return storetest.Suite{
		New:          func(tb testing.TB) tokensession.Store { return open(tb, memcachePrefix()) },
		Capabilities: storetest.Pinger | storetest.Closer,
		Reopen: func(tb testing.TB) func() tokensession.Store {
			prefix := memcachePrefix()
			return func() tokensession.Store { return open(tb, prefix) }
		},
		Namespaces: func(tb testing.TB, a, b string) (tokensession.Store, tokensession.Store) {
			run := memcachePrefix()
			return open(tb, run+a), open(tb, run+b)
		},
		Shared:   true,
		TooLarge: memcacheTooLarge,
	}
}

var memcachePrefixes atomic.Int64

// memcachePrefix returns a prefix that no other test in this process uses. Servers do not
// outlive the process.
func memcachePrefix() string { return fmt.Sprintf("t%d-", memcachePrefixes.Add(1)) }

func openMemcache(tb testing.TB, serverURL, prefix string, options ...string) *memcache.Store {
	tb.Helper()
	options = append(options, "prefix="+url.QueryEscape(prefix))
	s, err := memcache.Open(tb.Context(), serverURL+"?"+strings.Join(options, "&"), nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close() })
	return s
}

func borrowMemcache(tb testing.TB, prefix string, servers ...string) *memcache.Store {
	tb.Helper()
	client := gomemcache.New(servers...)
	client.MaxIdleConns = 64
	tb.Cleanup(func() { client.Close() })
	s, err := memcache.New(client, &memcache.Options{Prefix: prefix})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}
