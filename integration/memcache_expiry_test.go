package integration

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/integration/backend"
	"github.com/tokensession/tokensession/memcache"
)

// memcacheAsk sends a command that has a reply of one line, and returns that.
func memcacheAsk(tb testing.TB, addr, command string) string {
	tb.Helper()
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		tb.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, command+"\r\n")
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		tb.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// memcacheTTL returns what is left of the life that the server gives an item, in
// seconds; -1 is for ever.
func memcacheTTL(tb testing.TB, addr, key string) int {
	tb.Helper()
	line := memcacheAsk(tb, addr, "mg "+key+" t")
	left, err := strconv.Atoi(strings.TrimPrefix(line, "HD t"))
	if err != nil {
		tb.Fatalf("mg %s t: %q", key, line)
	}
	return left
}

// TestMemcacheExptime looks at the life that the server itself gives a record: never
// shorter than the TTL, never for ever unless it has to be, whatever wrote it.
func TestMemcacheExptime(t *testing.T) {
	server := backend.Memcached(t)
	const day = 24 * time.Hour
	for _, c := range []struct {
		ttl   time.Duration
		extra int // by how many seconds the server may be later; -1: it never expires
	}{
		{time.Microsecond, 3},
		{time.Second, 3},
		{time.Hour, 3},
		{30*day - 3*time.Second, 3},
		{30 * day, 86400 + 3},
		{30*day + time.Second, 86400 + 3}, // more would be a date in January 1970
		{31 * day, 86400 + 3},
		{3650 * day, 86400 + 3},
		{36525 * day, -1}, // after 2038
		{tokensession.Forever, -1},
	} {
		prefix := memcachePrefix()
		store := openMemcache(t, server.URL, prefix)
		check := func(method, id string) {
			t.Helper()
			least, most := -1, -1
			if c.extra >= 0 {
				least = int((c.ttl - 1) / time.Second)
				most = least + 1 + c.extra
			}
			if left := memcacheTTL(t, server.Addr, prefix+":"+id); left < least || left > most {
				t.Errorf("%s with the TTL %v: the server keeps it for %d s, want %d to %d", method, c.ttl, left, least, most)
			}
		}
		create := func(id string, ttl time.Duration) tokensession.Version {
			v, err := store.Create(t.Context(), id, tokensession.Record{TTL: ttl})
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		create("created", c.ttl)
		check("Create", "created")
		if _, err := store.Update(t.Context(), "updated", tokensession.Record{Version: create("updated", time.Hour), TTL: c.ttl}); err != nil {
			t.Fatal(err)
		}
		check("Update", "updated")
		create("touched", time.Hour)
		if err := store.Touch(t.Context(), "touched", c.ttl); err != nil {
			t.Fatal(err)
		}
		check("Touch", "touched")
	}
}

// TestMemcacheLongLives reads records that memcached alone would have taken for
// expired.
func TestMemcacheLongLives(t *testing.T) {
	store := openMemcache(t, backend.Memcached(t).URL, memcachePrefix())
	for i, ttl := range []time.Duration{30 * 24 * time.Hour, 31 * 24 * time.Hour, tokensession.MaxTTL, tokensession.Forever} {
		id := fmt.Sprint("long", i)
		if _, err := store.Create(t.Context(), id, tokensession.Record{TTL: ttl}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
		rec, err := store.Get(t.Context(), id)
		if err != nil || rec.TTL > ttl || rec.TTL < ttl-time.Minute {
			t.Errorf("TTL %v: %v is left, %v", ttl, rec.TTL, err)
		}
	}
}

// TestMemcacheSecond lets records of one second live: memcached by itself drops such
// items up to a second early.
func TestMemcacheSecond(t *testing.T) {
	t.Parallel()
	store := openMemcache(t, backend.Memcached(t).URL, memcachePrefix())
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			time.Sleep(time.Duration(i) * 100 * time.Millisecond) // another part of the server's second
			id := fmt.Sprint("second", i)
			begun := time.Now()
			if _, err := store.Create(t.Context(), id, tokensession.Record{TTL: time.Second}); err != nil {
				t.Error(err)
				return
			}
			created := time.Now()
			var err error
			for err == nil {
				_, err = store.Get(t.Context(), id)
				if lived := time.Since(begun); err != nil && lived < time.Second {
					t.Errorf("%v after %v", err, lived)
				} else if err == nil && time.Since(created) > 2*time.Second {
					t.Error("alive after two seconds")
					return
				}
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	wg.Wait()
}

// TestMemcacheBurial: whoever is told that a record has expired may rely on it, so it is
// gone from the server too, and no compare-and-swap under way can bring it back.
func TestMemcacheBurial(t *testing.T) {
	server := backend.Memcached(t)
	methods := map[string]func(*memcache.Store, string) error{
		"get":   func(s *memcache.Store, id string) error { _, err := s.Get(t.Context(), id); return err },
		"touch": func(s *memcache.Store, id string) error { return s.Touch(t.Context(), id, time.Hour) },
		"update": func(s *memcache.Store, id string) error {
			_, err := s.Update(t.Context(), id, tokensession.Record{TTL: time.Hour})
			return err
		},
	}
	for name, call := range methods {
		prefix := memcachePrefix()
		store := openMemcache(t, server.URL, prefix)
		if _, err := store.Create(t.Context(), name, tokensession.Record{TTL: time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Millisecond)
		if reply := memcacheAsk(t, server.Addr, "mg "+prefix+":"+name+" t"); !strings.HasPrefix(reply, "HD") {
			t.Fatalf("the server has dropped the item by itself: %q", reply)
		}
		if err := call(store, name); !errors.Is(err, tokensession.ErrNotFound) {
			t.Errorf("%s of an expired record: %v", name, err)
		}
		if reply := memcacheAsk(t, server.Addr, "mg "+prefix+":"+name+" t"); reply != "EN" {
			t.Errorf("after %s the server still has it: %q", name, reply)
		}
	}
}

// TestMemcacheCreateOverExpired lets many create what has expired, but is still on the
// server.
func TestMemcacheCreateOverExpired(t *testing.T) {
	server := backend.Memcached(t)
	stores := []*memcache.Store{openMemcache(t, server.URL, "over"), openMemcache(t, server.URL, "over")}
	for round := range 100 {
		id := fmt.Sprint("id", round)
		if _, err := stores[0].Create(t.Context(), id, tokensession.Record{TTL: time.Microsecond}); err != nil {
			t.Fatal(err)
		}
		var won atomic.Int32
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				_, err := stores[i%2].Create(t.Context(), id, tokensession.Record{TTL: time.Hour})
				if err == nil {
					won.Add(1)
				} else if !errors.Is(err, tokensession.ErrExists) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := won.Load(); n != 1 {
			t.Fatalf("round %d: %d winners", round, n)
		}
	}
}
