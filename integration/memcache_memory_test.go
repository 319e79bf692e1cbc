package integration

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/integration/backend"
	"github.com/tokensession/tokensession/memcache"
)

// fillMemcache creates records of 400 KiB, at most 500 of them, until that fails, and returns
// with what.
func fillMemcache(t *testing.T, store *memcache.Store) error {
	rec := tokensession.Record{Data: make([]byte, 400<<10), TTL: time.Hour}
	for i := range 500 {
		if _, err := store.Create(t.Context(), fmt.Sprint("large", i), rec); err != nil {
			return err
		}
	}
	return nil
}

// TestMemcacheFull: a server that is out of memory and may not evict makes writes fail,
// and what is there stands.
func TestMemcacheFull(t *testing.T) {
	server := backend.KindMemcached.Start(t, "-M", "-m", "16")
	store := openMemcache(t, server.URL, "full")
	createInMemcache(t, store, "id")
	rec := tokensession.Record{Version: memcacheVersion(t, store, "id"), Data: make([]byte, 400<<10), TTL: time.Hour}
	for range 2 {
		err := fillMemcache(t, store)
		if err == nil {
			t.Fatal("200 MB fit in 16")
		}
		if errors.Is(err, tokensession.ErrExists) {
			_, err = store.Update(t.Context(), "id", rec)
		}
		var unknown *tokensession.OpError
		if !errors.As(err, &unknown) || !strings.Contains(err.Error(), "out of memory") {
			t.Errorf("a write to a full server: %v", err)
		}
	}
	if got, err := store.Get(t.Context(), "id"); err != nil || string(got.Data) != "data" {
		t.Errorf("%.10q, %v; want the old record", got.Data, err)
	}
}

// TestMemcacheEviction: a session that was evicted is not found, and can be created again.
func TestMemcacheEviction(t *testing.T) {
	server := backend.KindMemcached.Start(t, "-m", "16")
	store := openMemcache(t, server.URL, "evicted")
	if err := fillMemcache(t, store); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Get(t.Context(), "large0"); !errors.Is(err, tokensession.ErrNotFound) {
		t.Errorf("Get: %v", err)
	}
	if err := store.Touch(t.Context(), "large0", time.Hour); !errors.Is(err, tokensession.ErrNotFound) {
		t.Errorf("Touch: %v", err)
	}
	createInMemcache(t, store, "large0")
}

// TestMemcacheOneDown: the sessions of a server that is down fail, and no others; no
// other server takes them.
func TestMemcacheOneDown(t *testing.T) {
	down := backend.KindMemcached.Start(t)
	store := openMemcache(t, backend.Memcached(t).URL+","+down.Addr, memcachePrefix())
	for i := range 100 {
		createInMemcache(t, store, fmt.Sprint(i))
	}
	down.Stop(t)
	failed := 0
	for i := range 100 {
		_, err := store.Get(t.Context(), fmt.Sprint(i))
		if errors.Is(err, tokensession.ErrNotFound) {
			t.Fatalf("an outage is taken for an absence: %v", err)
		}
		if err != nil {
			failed++
		}
	}
	if failed < 20 || failed > 80 {
		t.Errorf("%d of 100 sessions fail", failed)
	}
	if err := store.Ping(t.Context()); err == nil {
		t.Error("Ping does not notice")
	}
}

// TestMemcacheRestartLogged: that sessions were lost is logged once a restart, however many
// connections notice.
func TestMemcacheRestartLogged(t *testing.T) {
	server := backend.KindMemcached.Start(t)
	var log strings.Builder
	store, err := memcache.Open(t.Context(), server.URL, &memcache.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	fillMemcachePool(t, store)
	server.Restart(t)
	fillMemcachePool(t, store)
	if n := strings.Count(log.String(), "restarted"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, log.String())
	}
}
