package integration

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	gomemcache "github.com/bradfitz/gomemcache/memcache"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/integration/backend"
	"github.com/tokensession/tokensession/memcache"
)

// memcacheCounts are how many the server has had: reads, stores of any kind, and deletes.
type memcacheCounts struct{ get, set, delete int }

func memcacheCommands(t *testing.T, addr string) memcacheCounts {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "stats\r\n")
	stats := make(map[string]int)
	for lines := bufio.NewScanner(conn); lines.Scan() && lines.Text() != "END"; {
		var name string
		var n int
		fmt.Sscanf(lines.Text(), "STAT %s %d", &name, &n)
		stats[name] = n
	}
	return memcacheCounts{stats["cmd_get"], stats["cmd_set"], stats["delete_hits"] + stats["delete_misses"]}
}

// TestMemcacheCommands counts what each method sends.
func TestMemcacheCommands(t *testing.T) {
	server := backend.KindMemcached.Start(t)
	opened := openMemcache(t, server.URL, "commands")
	borrowed := borrowMemcache(t, "commands", server.Addr)
	var read, written tokensession.Version
	update := func(s *memcache.Store, v *tokensession.Version) func() error {
		return func() error {
			rec := memcacheRecord
			rec.Version = *v
			next, err := s.Update(t.Context(), "id", rec)
			if err == nil {
				written = next
			}
			return err
		}
	}
	get := func() (err error) {
		rec, err := opened.Get(t.Context(), "id")
		read = rec.Version
		return err
	}
	create := func() error { _, err := opened.Create(t.Context(), "id", memcacheRecord); return err }
	touch := func() error { return opened.Touch(t.Context(), "id", time.Hour) }
	remove := func() error { return opened.Delete(t.Context(), "id") }
	for _, step := range []struct {
		what string
		call func() error
		err  error
		want memcacheCounts
	}{
		{"Get of nothing", get, tokensession.ErrNotFound, memcacheCounts{get: 1}},
		{"Update of nothing", update(opened, &written), tokensession.ErrNotFound, memcacheCounts{get: 1}},
		{"Touch of nothing", touch, tokensession.ErrNotFound, memcacheCounts{get: 1}},
		{"Delete of nothing", remove, nil, memcacheCounts{delete: 1}},
		{"Create", create, nil, memcacheCounts{set: 1}},
		{"Create where one is", create, tokensession.ErrExists, memcacheCounts{set: 1, get: 1}},
		{"Get", get, nil, memcacheCounts{get: 1}},
		{"Update from Get", update(opened, &read), nil, memcacheCounts{set: 1}},
		{"Update from Update", update(opened, &written), nil, memcacheCounts{get: 1, set: 1}},
		{"Update from an old Get", update(opened, &read), tokensession.ErrConflict, memcacheCounts{get: 1, set: 1}},
		{"Get", get, nil, memcacheCounts{get: 1}},
		{"Touch", touch, nil, memcacheCounts{get: 1, set: 1}},
		{"Update after a Touch", update(opened, &read), nil, memcacheCounts{get: 1, set: 2}},
		{"Get", get, nil, memcacheCounts{get: 1}},
		{"Update on a borrowed client", update(borrowed, &read), nil, memcacheCounts{get: 1, set: 1}},
		{"Get", get, nil, memcacheCounts{get: 1}},
		{"Delete", remove, nil, memcacheCounts{delete: 1}},
		{"Update from before the Delete", update(opened, &read), tokensession.ErrNotFound, memcacheCounts{set: 1}},
	} {
		before := memcacheCommands(t, server.Addr)
		if err := step.call(); !errors.Is(err, step.err) {
			t.Fatalf("%s: %v, want %v", step.what, err, step.err)
		}
		after := memcacheCommands(t, server.Addr)
		if got := (memcacheCounts{after.get - before.get, after.set - before.set, after.delete - before.delete}); got != step.want {
			t.Errorf("%s: %+v, want %+v", step.what, got, step.want)
		}
	}
}

// TestMemcacheIncrements adds 400 times to a number that others touch all the while.
func TestMemcacheIncrements(t *testing.T) {
	server := backend.Memcached(t)
	prefix := memcachePrefix()
	stores := []*memcache.Store{
		openMemcache(t, server.URL, prefix),
		openMemcache(t, server.URL, prefix),
		borrowMemcache(t, prefix, server.Addr),
	}
	if _, err := stores[0].Create(t.Context(), "id", tokensession.Record{Data: []byte("0"), TTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var adding, touching sync.WaitGroup
	for i := range 2 {
		touching.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := stores[i].Touch(t.Context(), "id", time.Hour); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 8 {
		adding.Go(func() {
			for range 50 {
				if err := incrementInMemcache(t, stores[i%len(stores)]); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	adding.Wait()
	close(done)
	touching.Wait()
	rec, err := stores[0].Get(t.Context(), "id")
	if err != nil || string(rec.Data) != "400" {
		t.Errorf("%s of 400 increments, %v", rec.Data, err)
	}
}

func incrementInMemcache(t *testing.T, s *memcache.Store) error {
	for {
		rec, err := s.Get(t.Context(), "id")
		if err != nil {
			return err
		}
		var n int
		fmt.Sscan(string(rec.Data), &n)
		rec.Data = fmt.Append(nil, n+1)
		if _, err = s.Update(t.Context(), "id", rec); !errors.Is(err, tokensession.ErrConflict) {
			return err
		}
	}
}

// TestMemcacheItemSize stores the largest records that the driver lets pass, and one byte
// more, under the longest key: the server takes each that it is sent, and the record that
// was there stands. A set that it refuses would have removed it.
func TestMemcacheItemSize(t *testing.T) {
	for _, limit := range []string{"512k", "1m", "8m"} {
		server := backend.KindMemcached.Start(t, "-I", limit, "-m", "256")
		store := openMemcache(t, server.URL, strings.Repeat("x", 121))
		id := strings.Repeat("y", 128)
		rec := tokensession.Record{Data: []byte("old"), Owner: strings.Repeat("z", 256), TTL: time.Hour}
		if _, err := store.Create(t.Context(), id, rec); err != nil {
			t.Fatal(err)
		}
		var least, most = 500 << 10, 9 << 20 // what fits, and what does not
		for least+1 < most {
			rec.Data = make([]byte, (least+most)/2)
			_, err := store.Create(t.Context(), id, rec)
			switch {
			case errors.Is(err, tokensession.ErrTooLarge):
				most = len(rec.Data)
			case errors.Is(err, tokensession.ErrExists):
				least = len(rec.Data)
			default:
				t.Fatalf("-I %s, %d bytes: %v", limit, len(rec.Data), err)
			}
		}
		for _, n := range []int{most, least} {
			got, err := store.Get(t.Context(), id)
			if err != nil || string(got.Data) != "old" {
				t.Fatalf("-I %s: %q, %v; want the old record", limit, got.Data, err)
			}
			rec.Version, rec.Data = got.Version, make([]byte, n)
			if _, err := store.Update(t.Context(), id, rec); (err == nil) != (n == least) {
				t.Errorf("-I %s: Update with %d bytes: %v", limit, n, err)
			}
		}
		if got, err := store.Get(t.Context(), id); err != nil || len(got.Data) != least {
			t.Errorf("-I %s: %d bytes, %v; want %d", limit, len(got.Data), err, least)
		}
	}
}

// TestMemcacheRefusals holds the client to what the driver relies on.
func TestMemcacheRefusals(t *testing.T) {
	client := gomemcache.New(backend.Memcached(t).Addr)
	defer client.Close()
	key := memcachePrefix() + "key"
	item := func() *gomemcache.Item { return &gomemcache.Item{Key: key, Value: []byte("value"), CasID: 1} }
	for what, c := range map[string]struct{ got, want error }{
		"delete of nothing":       {client.Delete(key), gomemcache.ErrCacheMiss},
		"touch of nothing":        {client.Touch(key, 60), gomemcache.ErrCacheMiss},
		"cas of nothing":          {client.CompareAndSwap(item()), gomemcache.ErrCacheMiss},
		"replace of nothing":      {client.Replace(item()), gomemcache.ErrNotStored},
		"a key with a space":      {client.Add(&gomemcache.Item{Key: "a b"}), gomemcache.ErrMalformedKey},
		"a key of 251 bytes":      {client.Add(&gomemcache.Item{Key: strings.Repeat("x", 251)}), gomemcache.ErrMalformedKey},
		"add":                     {client.Add(item()), nil},
		"add where something is":  {client.Add(item()), gomemcache.ErrNotStored},
		"cas with another number": {client.CompareAndSwap(item()), gomemcache.ErrCASConflict},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", what, c.got, c.want)
		}
	}
	read, err := client.Get(key)
	if err != nil || read.Expiration != 0 {
		t.Fatalf("get: %+v, %v; want no Expiration", read, err)
	}
	if err := client.Touch(key, 60); err != nil {
		t.Fatal(err)
	}
	read.Expiration = -1
	if err := client.CompareAndSwap(read); err != nil {
		t.Errorf("cas after the server's own touch: %v", err)
	}
	if _, err := client.Get(key); err != gomemcache.ErrCacheMiss {
		t.Errorf("get after a cas with a negative time: %v, want %v", err, gomemcache.ErrCacheMiss)
	}
}
