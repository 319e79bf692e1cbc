package integration

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	fiberredis "github.com/gofiber/storage/redis/v3"
	goredis "github.com/redis/go-redis/v9"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/integration/backend"
	"github.com/tokensession/tokensession/storetest"
)

// fiberStorage is the storage of fiber on Redis.
type fiberStorage struct {
	storage *fiberredis.Storage
}

func (s fiberStorage) find(ctx context.Context, key string) ([]byte, bool, error) {
	value, err := s.storage.GetWithContext(ctx, key)
	return value, value != nil, fiberError(err)
}

func (s fiberStorage) commit(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if ttl == tokensession.Forever {
		ttl = 0
	}
	return fiberError(s.storage.SetWithContext(ctx, key, value, ttl))
}

func (s fiberStorage) remove(ctx context.Context, key string) error {
	return fiberError(s.storage.DeleteWithContext(ctx, key))
}

// all gets the keys and then their values. A key may come twice, and be gone by then.
func (s fiberStorage) all(ctx context.Context) (map[string][]byte, error) {
	keys, err := s.storage.Keys()
	if err != nil {
		return nil, fiberError(err)
	}
	values := make(map[string][]byte)
	for _, key := range keys {
		value, found, err := s.find(ctx, string(key))
		if err != nil {
			return nil, err
		}
		if found {
			values[string(key)] = value
		}
	}
	return values, nil
}

func fiberError(err error) error {
	if errors.Is(err, goredis.ErrClosed) {
		return tokensession.ErrClosed
	}
	return err
}

// fiberAdapter adds what a storage of fiber has and a store of scs has not.
type fiberAdapter struct {
	adapter
	storage *fiberredis.Storage
}

func (a fiberAdapter) Clear(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return failed("clear", "", fiberError(a.storage.ResetWithContext(ctx)))
}

func (a fiberAdapter) Close() error { return a.storage.Close() }

// fiberRedis has a server of its own, because the storage empties whole databases.
func fiberRedis(t *testing.T) otherStore {
	server := backend.KindRedis.Start(t)
	const databases = 16 // of a server, by default
	var opened atomic.Int64
	open := func(tb testing.TB, database int64, reset bool) *fiberredis.Storage {
		storage := fiberredis.New(fiberredis.Config{URL: fmt.Sprintf("%s/%d", server.URL, database), Reset: reset})
		tb.Cleanup(func() { storage.Close() })
		return storage
	}
	openNew := func(tb testing.TB) *fiberredis.Storage { return open(tb, opened.Add(1)%databases, true) }
	adapt := func(s *fiberredis.Storage) tokensession.Store { return fiberAdapter{adapter{fiberStorage{s}}, s} }
	return otherStore{
		suite: storetest.Suite{
			New:          func(tb testing.TB) tokensession.Store { return adapt(openNew(tb)) },
			Capabilities: storetest.Clearer | storetest.Lister | storetest.Closer,
			Granularity:  2 * time.Millisecond,
			Namespaces: func(tb testing.TB, _, _ string) (tokensession.Store, tokensession.Store) {
				tb.Skip("no means: keys have no prefix, and a storage is a whole database")
				return nil, nil
			},
			Reopen: func(tb testing.TB) func() tokensession.Store {
				openNew(tb)
				database := opened.Load() % databases
				return func() tokensession.Store { return adapt(open(tb, database, false)) }
			},
			Shared: true,
		},
		direct: map[string]func(*testing.T){
			"Direct_Rule02_empty":    func(t *testing.T) { fiberIgnoresEmpty(t, openNew(t)) },
			"Direct_Rule04_negative": func(t *testing.T) { fiberNegativeTTL(t, openNew(t)) },
			"Direct_Rule13_deadline": func(t *testing.T) { fiberDeadline(t, server, openNew(t)) },
			"Direct_Rule17_reset":    func(t *testing.T) { fiberResets(t, openNew(t)) },
		},
	}
}

// fiberIgnoresEmpty replaces a value by nothing.
func fiberIgnoresEmpty(t *testing.T, storage *fiberredis.Storage) {
	err := errors.Join(storage.Set("key", []byte("old"), time.Hour), storage.Set("key", nil, time.Hour))
	if got, getErr := storage.Get("key"); string(got) != "old" || err != nil || getErr != nil {
		t.Errorf("Set of no bytes over %q: %v; Get gave %q, %v", "old", err, got, getErr)
	}
}

func fiberNegativeTTL(t *testing.T, storage *fiberredis.Storage) {
	if err := storage.Set("key", []byte("value"), -time.Second); err != nil {
		t.Fatal(err)
	}
	wantImmortal(t, storage.Conn(), "key")
}

// fiberDeadline reads with a deadline while the server stalls, and lets that go on well
// after the deadline.
func fiberDeadline(t *testing.T, server *backend.Server, storage *fiberredis.Storage) {
	if err := storage.Set("key", []byte("value"), time.Hour); err != nil {
		t.Fatal(err)
	}
	server.Pause(t)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	outcome := make(chan string)
	go func() {
		got, err := storage.GetWithContext(ctx, "key")
		outcome <- fmt.Sprintf("%q, %v", got, err)
	}()
	<-ctx.Done()
	time.Sleep(200 * time.Millisecond)
	server.Resume(t)
	if got := <-outcome; got != `"value", <nil>` {
		t.Errorf("Get with a deadline, on a server that went on after it, gave %s; want the value", got)
	}
}

// fiberResets resets a storage while something else has a key in the database.
func fiberResets(t *testing.T, storage *fiberredis.Storage) {
	const foreign = "of another application"
	if err := storage.Conn().Set(t.Context(), foreign, "value", 0).Err(); err != nil {
		t.Fatal(err)
	}
	keys, err := storage.Keys()
	if len(keys) != 1 || string(keys[0]) != foreign || err != nil {
		t.Errorf("Keys gave %q, %v; want the key of another", keys, err)
	}
	if err := storage.Reset(); err != nil {
		t.Fatal(err)
	}
	if n, err := storage.Conn().Exists(t.Context(), foreign).Result(); n != 0 || err != nil {
		t.Errorf("after Reset, the key of another: %d, %v; want none", n, err)
	}
}
