package integration

import (
	"context"
	"testing"
	"time"

	"github.com/alexedwards/scs/goredisstore"
	"github.com/alexedwards/scs/pgxstore"
	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"
	goredis "github.com/redis/go-redis/v9"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/integration/backend"
	"github.com/tokensession/tokensession/storetest"
)

// scsStore is a store of scs whose methods take no context.
type scsStore struct {
	store interface {
		scs.Store
		scs.IterableStore
	}
}

func (s scsStore) find(_ context.Context, key string) ([]byte, bool, error) { return s.store.Find(key) }

func (s scsStore) commit(_ context.Context, key string, value []byte, ttl time.Duration) error {
	return s.store.Commit(key, value, scsExpiry(ttl))
}

func (s scsStore) remove(_ context.Context, key string) error { return s.store.Delete(key) }

func (s scsStore) all(context.Context) (map[string][]byte, error) { return s.store.All() }

// scsExpiry is when a value ends. In scs every one does: Forever is the longest TTL that does.
func scsExpiry(ttl time.Duration) time.Time { return time.Now().Add(min(ttl, tokensession.MaxTTL)) }

// scsCtxStore is a store of scs whose methods take a context.
type scsCtxStore struct {
	store interface {
		scs.CtxStore
		scs.IterableCtxStore
	}
}

func (s scsCtxStore) find(ctx context.Context, key string) ([]byte, bool, error) {
	return s.store.FindCtx(ctx, key)
}

func (s scsCtxStore) commit(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if ttl >= time.Millisecond && ttl < tokensession.MaxTTL {
		ttl += time.Millisecond // goredisstore cuts off a fraction of one
	}
	return s.store.CommitCtx(ctx, key, value, scsExpiry(ttl))
}

func (s scsCtxStore) remove(ctx context.Context, key string) error {
	return s.store.DeleteCtx(ctx, key)
}

func (s scsCtxStore) all(ctx context.Context) (map[string][]byte, error) { return s.store.AllCtx(ctx) }

// noCleanup is the interval for stores that remove nothing by themselves. With any other,
// StopCleanup races with the goroutine that it is to stop.
const noCleanup = 0

func scsMemstore(*testing.T) otherStore {
	return otherStore{
		suite: storetest.Suite{
			New: func(testing.TB) tokensession.Store {
				return adapter{scsStore{memstore.NewWithCleanupInterval(noCleanup)}}
			},
			Capabilities: storetest.Lister,
			InProcess:    true,
		},
		direct: map[string]func(*testing.T){"Direct_Rule15_commit": memstoreKeepsSlice},
	}
}

// memstoreKeepsSlice changes what it has committed.
func memstoreKeepsSlice(t *testing.T) {
	store := memstore.NewWithCleanupInterval(noCleanup)
	value := []byte("value")
	if err := store.Commit("token", value, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	before, _, _ := store.Find("token")
	value[0] = 'V'
	after, _, _ := store.Find("token")
	if string(before) != "Value" || string(after) != "Value" {
		t.Errorf("the slice was changed to %q; Find gave %q before and %q after", value, before, after)
	}
}

func scsGoredisstore(t *testing.T) otherStore {
	client := goredis.NewClient(&goredis.Options{
		Addr: backend.KindRedis.Start(t).Addr, ContextTimeoutEnabled: true,
	})
	t.Cleanup(func() { client.Close() })
	open := func(prefix string) tokensession.Store {
		return adapter{scsCtxStore{goredisstore.NewWithPrefix(client, prefix)}}
	}
	return otherStore{
		suite: storetest.Suite{
			New:          func(testing.TB) tokensession.Store { return open(newRedisPrefix()) },
			Capabilities: storetest.Lister,
			Granularity:  3 * time.Millisecond, // one of them is the adapter's
			Seed:         0x5e521a8d05657daf,   // its first program has a TTL of 1 ns
			Namespaces: func(_ testing.TB, a, b string) (tokensession.Store, tokensession.Store) {
				in := newRedisPrefix()
				return open(in + a), open(in + b)
			},
			Reopen: func(testing.TB) func() tokensession.Store {
				prefix := newRedisPrefix()
				return func() tokensession.Store { return open(prefix) }
			},
			Shared: true,
		},
		direct: map[string]func(*testing.T){
			"Direct_Rule04_past": func(t *testing.T) {
				store := goredisstore.NewWithPrefix(client, "past ")
				if err := store.CommitCtx(t.Context(), "token", []byte("value"), time.Now().Add(-time.Second)); err != nil {
					t.Fatal(err)
				}
				wantImmortal(t, client, "past token")
			},
			"Direct_Rule04_fraction": func(t *testing.T) { goredisstoreCutsFraction(t, client) },
		},
	}
}

// goredisstoreCutsFraction commits until Redis is to drop a value before its expiry. It drops
// one when its clock, in whole milliseconds, shows more than PEXPIRETIME.
func goredisstoreCutsFraction(t *testing.T, client *goredis.Client) {
	store := goredisstore.NewWithPrefix(client, "fraction ")
	for range 1000 {
		expiry := time.Now().Add(time.Hour)
		if err := store.CommitCtx(t.Context(), "token", []byte("value"), expiry); err != nil {
			t.Fatal(err)
		}
		end, err := client.PExpireTime(t.Context(), "fraction token").Result()
		if err != nil {
			t.Fatal(err)
		}
		if time.UnixMilli(end.Milliseconds() + 1).Before(expiry) {
			return
		}
	}
	t.Error("of 1000 values, none ends before its expiry")
}

// wantImmortal fails unless Redis has a value that does not expire.
func wantImmortal(t *testing.T, client goredis.UniversalClient, key string) {
	t.Helper()
	const never = -1 // and -2 if there is none
	if ttl, err := client.PTTL(t.Context(), key).Result(); ttl != never || err != nil {
		t.Errorf("PTTL of the value: %d, %v; want %d, which is never", ttl, err, never)
	}
}

// scsPgxstore has one table, under the name that the store expects.
func scsPgxstore(t *testing.T) otherStore {
	pool := postgresPool(t, withParams(t, backend.Postgres(t).URL, "search_path", "other_stores"))
	mustExec(t, pool, `
		CREATE SCHEMA other_stores;
		CREATE TABLE sessions (token TEXT PRIMARY KEY, data BYTEA NOT NULL, expiry TIMESTAMPTZ NOT NULL);
		CREATE INDEX sessions_expiry_idx ON sessions (expiry)`)
	t.Cleanup(func() { mustExec(t, pool, "DROP SCHEMA other_stores CASCADE") })
	open := func() tokensession.Store { return adapter{scsStore{pgxstore.NewWithCleanupInterval(pool, noCleanup)}} }
	return otherStore{
		suite: storetest.Suite{
			New: func(tb testing.TB) tokensession.Store {
				mustExec(tb, pool, "TRUNCATE sessions")
				return open()
			},
			Capabilities: storetest.Lister,
			Granularity:  2 * time.Microsecond,
			Namespaces: func(tb testing.TB, _, _ string) (tokensession.Store, tokensession.Store) {
				tb.Skip("no means: the table has a fixed name")
				return nil, nil
			},
			Reopen: func(tb testing.TB) func() tokensession.Store {
				mustExec(tb, pool, "TRUNCATE sessions")
				return open
			},
			Shared: true,
		},
	}
}
