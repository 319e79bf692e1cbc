package integration

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/integration/backend"
	"github.com/tokensession/tokensession/seal"
	"github.com/tokensession/tokensession/storetest"
)

var (
	sealOld = bytes.Repeat([]byte{1}, 32)
	sealNew = bytes.Repeat([]byte{2}, 32)
)

func sealed(tb testing.TB, store tokensession.Store, keys ...[]byte) tokensession.Store {
	tb.Helper()
	s, err := seal.New(store, keys...)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// sealedSuite is a driver's suite on seals over its stores. They have a second key, as in a
// rotation, so that what goes by owner asks the driver twice.
func sealedSuite(s storetest.Suite) storetest.Suite {
	over := func(tb testing.TB, store tokensession.Store) tokensession.Store {
		return sealed(tb, store, sealNew, sealOld)
	}
	driver := s
	s.New = func(tb testing.TB) tokensession.Store { return over(tb, driver.New(tb)) }
	s.Reopen = func(tb testing.TB) func() tokensession.Store {
		open := driver.Reopen(tb)
		return func() tokensession.Store { return over(tb, open()) }
	}
	if driver.Namespaces != nil {
		s.Namespaces = func(tb testing.TB, a, b string) (tokensession.Store, tokensession.Store) {
			inA, inB := driver.Namespaces(tb, a, b)
			return over(tb, inA), over(tb, inB)
		}
	}
	s.Corrupt = func(tb testing.TB) (tokensession.Store, func(string)) {
		under := driver.New(tb)
		return over(tb, under), func(id string) {
			rec, err := under.Get(tb.Context(), id)
			if err == nil {
				rec.Data = append([]byte("x"), rec.Data...)
				_, err = under.Update(tb.Context(), id, rec)
			}
			if err != nil {
				tb.Fatal(err)
			}
		}
	}
	s.Budget = 50 * time.Millisecond
	return s
}

func TestSealedBolt(t *testing.T) {
	backend.SkipExcluded(t, "bolt")
	sealedSuite(boltSuite()).Run(t)
}

func TestSealedRedis(t *testing.T) { sealedSuite(redisSuite(backend.Redis(t).URL)).Run(t) }

func TestSealedPostgres(t *testing.T) {
	server := backend.Postgres(t)
	sealedSuite(postgresSuite(func(tb testing.TB, table string) tokensession.Store {
		return openPostgres(tb, server.URL, "table", table)
	})).Run(t)
}

func TestSealedMemcache(t *testing.T) {
	server := backend.Memcached(t)
	sealedSuite(memcacheSuite(func(tb testing.TB, prefix string) tokensession.Store {
		return openMemcache(tb, server.URL, prefix)
	})).Run(t)
}

// TestSealedRotation takes the records of an owner to a new key, on every backend that has
// an index of owners, while another goroutine looks for them. It misses none, and in the end
// the old key is not needed.
func TestSealedRotation(t *testing.T) {
	for _, b := range backends {
		if b.name == "memcache" {
			continue // it has no index
		}
		t.Run(b.name, func(t *testing.T) {
			backend.SkipExcluded(t, b.name)
			store := open(t, b.url(t))
			before, both := sealed(t, store, sealOld), sealed(t, store, sealNew, sealOld)
			var ids []string
			for i := range 50 {
				ids = append(ids, fmt.Sprintf("id%02d", i))
				rec := tokensession.Record{Data: []byte("data"), Owner: "ada", TTL: time.Hour}
				if _, err := before.Create(t.Context(), ids[i], rec); err != nil {
					t.Fatal(err)
				}
			}
			rotated := make(chan error, 1)
			go func() { rotated <- reseal(t.Context(), both, ids) }()
			for done := false; !done; {
				select {
				case err := <-rotated:
					if err != nil {
						t.Fatal(err)
					}
					done = true
				default:
				}
				wantOwned(t, both, ids)
			}
			after := sealed(t, store, sealNew)
			wantOwned(t, after, ids)
			index, _ := tokensession.As[tokensession.OwnerIndex](after)
			if n, err := index.DeleteOwner(t.Context(), "ada"); n != len(ids) || err != nil {
				t.Errorf("DeleteOwner = %d, %v; want %d", n, err, len(ids))
			}
		})
	}
}

func reseal(ctx context.Context, s tokensession.Store, ids []string) error {
	for _, id := range ids {
		rec, err := s.Get(ctx, id)
		if err == nil {
			_, err = s.Update(ctx, id, rec)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func wantOwned(t *testing.T, s tokensession.Store, want []string) {
	t.Helper()
	index, ok := tokensession.As[tokensession.OwnerIndex](s)
	if !ok {
		t.Fatal("there is no OwnerIndex")
	}
	seen := make(map[string]bool)
	for e, err := range index.ByOwner(t.Context(), "ada") {
		if err != nil || string(e.Data) != "data" || e.Owner != "ada" {
			t.Fatalf("ByOwner showed %q: %q of %q, %v", e.ID, e.Data, e.Owner, err)
		}
		seen[e.ID] = true
	}
	if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, want) {
		t.Fatalf("ByOwner showed %d records, %q; want %d", len(got), got, len(want))
	}
}

// What a thief of the file gets is nothing that he can read.
func TestSealedFile(t *testing.T) {
	backend.SkipExcluded(t, "bolt")
	path := filepath.Join(t.TempDir(), "sessions.db")
	s := sealed(t, open(t, "bolt:"+path), sealNew)
	secrets := []string{"the data of a session", "ada@example.org"}
	for i := range 20 {
		rec := tokensession.Record{Data: []byte(secrets[0]), Owner: secrets[1], TTL: time.Hour}
		if _, err := s.Create(t.Context(), fmt.Sprint("the-id-", i), rec); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(file, []byte("the-id-19")) {
		t.Fatal("the records are not in the file")
	}
	for _, secret := range secrets {
		for _, form := range []string{secret, hex.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte(secret))} {
			if bytes.Contains(file, []byte(form[:8])) {
				t.Errorf("%q stands in the file", form)
			}
		}
	}
}
