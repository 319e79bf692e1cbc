package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	gomemcache "github.com/bradfitz/gomemcache/memcache"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/integration/backend"
	"github.com/tokensession/tokensession/memcache"
	"github.com/tokensession/tokensession/storetest/faultnet"
)

var memcacheRecord = tokensession.Record{Data: []byte("data"), Owner: "owner", TTL: time.Hour}

// memcacheCalls calls each method for a live record.
func memcacheCalls(s *memcache.Store, id string, v tokensession.Version) map[string]func(context.Context) error {
	rec := memcacheRecord
	rec.Version = v
	return map[string]func(context.Context) error{
		"Get":    func(ctx context.Context) error { _, err := s.Get(ctx, id); return err },
		"Create": func(ctx context.Context) error { _, err := s.Create(ctx, "new", rec); return err },
		"Update": func(ctx context.Context) error { _, err := s.Update(ctx, id, rec); return err },
		"Touch":  func(ctx context.Context) error { return s.Touch(ctx, id, time.Hour) },
		"Delete": func(ctx context.Context) error { return s.Delete(ctx, "absent") },
		"Ping":   s.Ping,
	}
}

func createInMemcache(t *testing.T, s *memcache.Store, id string) {
	t.Helper()
	if _, err := s.Create(t.Context(), id, memcacheRecord); err != nil {
		t.Fatal(err)
	}
}

func memcacheVersion(t *testing.T, s *memcache.Store, id string) tokensession.Version {
	t.Helper()
	rec, err := s.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return rec.Version
}

// TestMemcacheStalled: a deadline ends a call on a server that does not answer, and
// where there is none, the I/O timeout does.
func TestMemcacheStalled(t *testing.T) {
	server := backend.KindMemcached.Start(t)
	opened := openMemcache(t, server.URL, "stalled")
	createInMemcache(t, opened, "id")
	v := memcacheVersion(t, opened, "id")
	impatient := openMemcache(t, server.URL, "stalled", "timeout=300ms")
	stores := map[string]*memcache.Store{"opened": opened, "borrowed": borrowMemcache(t, "stalled", server.Addr)}
	server.Pause(t)
	for kind, store := range stores {
		for name, call := range memcacheCalls(store, "id", v) {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			begun := time.Now()
			err := call(ctx)
			took := time.Since(begun)
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) || took > 300*time.Millisecond {
				t.Errorf("%s, %s: %v after %v", kind, name, err, took)
			}
		}
	}
	for name, call := range memcacheCalls(impatient, "id", v) {
		begun := time.Now()
		err := call(t.Context())
		if took := time.Since(begun); err == nil || took < 300*time.Millisecond || took > 400*time.Millisecond {
			t.Errorf("%s without a deadline: %v after %v", name, err, took)
		}
	}
	server.Resume(t)
	if _, err := opened.Get(t.Context(), "id"); err != nil {
		t.Errorf("when the server goes on: %v", err)
	}
}

// TestMemcacheRestart: the connections that a restart has closed are replaced unseen,
// and the sessions are gone, which is told once.
func TestMemcacheRestart(t *testing.T) {
	server := backend.KindMemcached.Start(t)
	for _, name := range []string{"Get", "Create", "Update", "Touch", "Delete", "Ping"} {
		store := openMemcache(t, server.URL, memcachePrefix())
		fillMemcachePool(t, store)
		createInMemcache(t, store, "id")
		v := memcacheVersion(t, store, "id")
		server.Restart(t)
		err := memcacheCalls(store, "id", v)[name](t.Context())
		if err != nil && !errors.Is(err, tokensession.ErrNotFound) {
			t.Errorf("%s after a restart: %v", name, err)
		}
	}
}

// fillMemcachePool makes a store have many idle connections.
func fillMemcachePool(t *testing.T, store *memcache.Store) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for range 20 {
				if _, err := store.Get(t.Context(), fmt.Sprint("absent", i)); !errors.Is(err, tokensession.ErrNotFound) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// TestMemcacheIdle: nor does the caller see that the server has closed connections
// which were idle for too long.
func TestMemcacheIdle(t *testing.T) {
	t.Parallel()
	server := backend.KindMemcached.Start(t, "-o", "idle_timeout=1")
	calls := make(map[string]func(context.Context) error)
	for _, name := range []string{"Get", "Create", "Update", "Touch", "Delete", "Ping"} {
		store := openMemcache(t, server.URL, memcachePrefix())
		fillMemcachePool(t, store)
		createInMemcache(t, store, "id")
		calls[name] = memcacheCalls(store, "id", memcacheVersion(t, store, "id"))[name]
	}
	borrowed := borrowMemcache(t, "borrowed", server.Addr)
	fillMemcachePool(t, borrowed)
	time.Sleep(6 * time.Second) // it looks for idle ones every few seconds
	for name, call := range calls {
		if err := call(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := borrowed.Get(t.Context(), "absent"); !errors.Is(err, tokensession.ErrNotFound) {
		t.Errorf("Get on a borrowed client: %v", err)
	}
}

// TestMemcacheRestartedNumbers: CAS numbers begin again with a restart, so that a record
// made after it gets the number of one made before.
func TestMemcacheRestartedNumbers(t *testing.T) {
	server := backend.KindMemcached.Start(t)
	for kind, open := range map[string]func() *memcache.Store{
		"opened":   func() *memcache.Store { return openMemcache(t, server.URL, "numbers") },
		"borrowed": func() *memcache.Store { return borrowMemcache(t, "numbers", server.Addr) },
	} {
		server.Restart(t)
		before := open()
		createInMemcache(t, before, "id")
		old := memcacheVersion(t, before, "id")
		number := memcacheAsk(t, server.Addr, "mg numbers:id c")

		server.Restart(t)
		after := open()
		createInMemcache(t, after, "id")
		if again := memcacheAsk(t, server.Addr, "mg numbers:id c"); again != number {
			t.Fatalf("the numbers do not begin again: %s, %s", number, again)
		}
		for _, store := range []*memcache.Store{before, after} {
			rec := memcacheRecord
			rec.Version = old
			if _, err := store.Update(t.Context(), "id", rec); !errors.Is(err, tokensession.ErrConflict) {
				t.Errorf("%s: Update from a Version of before the restart: %v", kind, err)
			}
		}
	}
}

// TestMemcacheLostReplies: a write whose reply is lost is found to have taken effect, and
// a read is repeated. Nobody can tell of a Delete, and it is not sent twice.
func TestMemcacheLostReplies(t *testing.T) {
	server := backend.Memcached(t)
	proxy := faultnet.New(t, server.Addr)
	lose := func(command string) {
		proxy.Next(faultnet.Fault{Match: func(request []byte) bool { return bytes.HasPrefix(request, []byte(command)) }})
	}
	prefix := memcachePrefix()
	stores := map[string]*memcache.Store{
		"opened":   openMemcache(t, "memcache://"+proxy.Addr(), prefix),
		"borrowed": borrowMemcache(t, prefix, proxy.Addr()),
	}
	for kind, store := range stores {
		id := kind
		lose("add ")
		v, err := store.Create(t.Context(), id, memcacheRecord)
		if err != nil {
			t.Fatalf("%s: Create: %v", kind, err)
		}
		rec := memcacheRecord
		rec.Version = v
		lose("cas ")
		if _, err := store.Update(t.Context(), id, rec); err != nil {
			t.Errorf("%s: Update: %v", kind, err)
		}
		lose("cas ")
		if err := store.Touch(t.Context(), id, time.Minute); err != nil {
			t.Errorf("%s: Touch: %v", kind, err)
		}
		lose("gets ")
		if rec, err := store.Get(t.Context(), id); err != nil || rec.TTL > time.Minute {
			t.Errorf("%s: Get: %v, %v", kind, rec.TTL, err)
		}
		lose("delete ")
		var unknown *tokensession.OpError
		if err := store.Delete(t.Context(), id); !errors.As(err, &unknown) || !errors.Is(err, io.EOF) {
			t.Errorf("%s: Delete: %v", kind, err)
		}
		if _, err := store.Get(t.Context(), id); !errors.Is(err, tokensession.ErrNotFound) {
			t.Errorf("%s: Get after that: %v", kind, err)
		}
	}
}

// TestMemcacheForeign: what another program has put under a key of ours is an error,
// until it is deleted.
func TestMemcacheForeign(t *testing.T) {
	server := backend.Memcached(t)
	client := gomemcache.New(server.Addr)
	defer client.Close()
	for _, value := range []string{"", "x", strings.Repeat("x", 100), "tkn1", "tkn1" + strings.Repeat("\xff", 30)} {
		prefix := memcachePrefix()
		store := openMemcache(t, server.URL, prefix)
		if err := client.Set(&gomemcache.Item{Key: prefix + ":new", Value: []byte(value)}); err != nil {
			t.Fatal(err)
		}
		for name, call := range memcacheCalls(store, "new", "") {
			if name == "Delete" || name == "Ping" {
				continue
			}
			var foreign *tokensession.OpError
			if err := call(t.Context()); !errors.Is(err, tokensession.ErrCorrupt) || !errors.As(err, &foreign) {
				t.Errorf("%s of %.8q: %v", name, value, err)
			}
		}
		if err := store.Delete(t.Context(), "new"); err != nil {
			t.Error(err)
		}
		createInMemcache(t, store, "new")
	}
}

// TestMemcacheUnreachable: Open says what is wrong, in time, and not the URL.
func TestMemcacheUnreachable(t *testing.T) {
	stalled := backend.KindMemcached.Start(t)
	stalled.Pause(t)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := free.Addr().String()
	free.Close()
	for url, want := range map[string]string{
		"memcache://" + refused:                                   "server " + refused + ": ",
		"memcache://" + backend.Memcached(t).Addr + "," + refused: "server " + refused + ": ",
		"memcache://" + stalled.Addr:                              "server " + stalled.Addr + ": ",
		"memcache://host.invalid":                                 "server host.invalid:11211: ",
		"memcache://localhost?prefix=a+b":                         "0x20",
		"memcache://localhost?secret=hunter2":                     `unknown option "secret"`,
		"memcache://user:hunter2@localhost":                       "user",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		begun := time.Now()
		_, err := tokensession.Open(ctx, url)
		took := time.Since(begun)
		cancel()
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v; want %q", url, err, want)
		}
		if took > 400*time.Millisecond {
			t.Errorf("%s: took %v", url, took)
		}
	}
}
