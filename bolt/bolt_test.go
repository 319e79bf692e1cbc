package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/tokensession/tokensession"
)

func openTest(t testing.TB, url string) *Store {
	t.Helper()
	s, err := Open(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func tempFile(t testing.TB) string { return filepath.Join(t.TempDir(), "sessions.db") }

func openTemp(t testing.TB) *Store {
	t.Helper()
	return openTest(t, "bolt:"+tempFile(t))
}

func borrow(t testing.TB) *bbolt.DB {
	t.Helper()
	db, err := bbolt.Open(tempFile(t), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func newTest(t testing.TB, db *bbolt.DB, opts *Options) *Store {
	t.Helper()
	s, err := New(db, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func mustCreate(t testing.TB, s *Store, id, owner string, ttl time.Duration) tokensession.Version {
	t.Helper()
	v, err := s.Create(t.Context(), id, tokensession.Record{Data: []byte("data of " + id), Owner: owner, TTL: ttl})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func wantErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
}

// wantUnknown checks that err says "I do not know", by rule 12.
func wantUnknown(t testing.TB, err error) {
	t.Helper()
	var op *tokensession.OpError
	if !errors.As(err, &op) || op.Driver != "bolt" || op.Op == "" {
		t.Errorf("got %v, want an OpError of bolt", err)
	}
	for _, known := range []error{tokensession.ErrNotFound, tokensession.ErrExists, tokensession.ErrConflict} {
		if errors.Is(err, known) {
			t.Errorf("%v is %v", err, known)
		}
	}
}

// keys returns how many keys the bucket name of s holds.
func keys(t testing.TB, s *Store, name []byte) (n int) {
	t.Helper()
	err := s.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(s.bucket).Bucket(name).ForEach(func(_, _ []byte) error { n++; return nil })
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func wantKeys(t testing.TB, s *Store, records, expiry, owners int) {
	t.Helper()
	got := [3]int{keys(t, s, recordsName), keys(t, s, expiryName), keys(t, s, ownersName)}
	if want := [3]int{records, expiry, owners}; got != want {
		t.Errorf("records, expiry, owners hold %v keys, want %v", got, want)
	}
}

func ids(t testing.TB, s *Store, owner string) (all []string) {
	t.Helper()
	seq := s.All(t.Context())
	if owner != "" {
		seq = s.ByOwner(t.Context(), owner)
	}
	for e, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e.ID)
	}
	return all
}

func TestOptions(t *testing.T) {
	db := borrow(t)
	if _, err := New(db, &Options{LockTimeout: -1}); err == nil {
		t.Error("a negative LockTimeout was accepted")
	}
	if _, err := New(nil, nil); err == nil {
		t.Error("a nil database was accepted")
	}
	if full, err := (*Options)(nil).withDefaults(); err != nil || full.Bucket != "tokensession" || full.LockTimeout != time.Second || full.Logger == nil {
		t.Errorf("defaults: %+v, %v", full, err)
	}
}

func TestNewBorrows(t *testing.T) {
	db := borrow(t)
	s := newTest(t, db, nil)
	mustCreate(t, s, "a", "", time.Hour)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := ids(t, newTest(t, db, nil), ""); len(got) != 1 {
		t.Errorf("after Close, the database has %v", got)
	}
}

func TestBorrowedDatabaseClosedByItsOwner(t *testing.T) {
	db := borrow(t)
	s := newTest(t, db, nil)
	db.Close()
	_, err := s.Get(t.Context(), "a")
	wantUnknown(t, err)
	_, err = s.Create(t.Context(), "a", tokensession.Record{TTL: time.Hour})
	wantUnknown(t, err)
	wantUnknown(t, s.Ping(t.Context()))
	for _, err := range s.All(t.Context()) {
		wantUnknown(t, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Buckets keep stores apart, also where one name begins with the other.
func TestNamespaces(t *testing.T) {
	db := borrow(t)
	a, b := newTest(t, db, &Options{Bucket: "a"}), newTest(t, db, &Options{Bucket: "ab"})
	mustCreate(t, a, "bx", "o", time.Hour)
	mustCreate(t, b, "x", "o", time.Hour)
	if err := a.Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := a.DeleteOwner(t.Context(), "o"); n != 0 || err != nil {
		t.Errorf("DeleteOwner: %d, %v", n, err)
	}
	if got := ids(t, b, "o"); len(got) != 1 || got[0] != "x" {
		t.Errorf("the other store has %v", got)
	}
}

func TestTwoStoresOnOneBucket(t *testing.T) {
	db := borrow(t)
	stores := []*Store{newTest(t, db, nil), newTest(t, db, nil)}
	for round := range 20 {
		id := fmt.Sprint("id", round)
		v := mustCreate(t, stores[0], id, "", time.Hour)
		var wg sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			wg.Go(func() {
				_, errs[i] = stores[i%2].Update(t.Context(), id, tokensession.Record{Version: v, TTL: time.Hour})
			})
		}
		wg.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else {
				wantErr(t, err, tokensession.ErrConflict)
			}
		}
		if won != 1 {
			t.Fatalf("%d of 8 Updates from one Version succeeded", won)
		}
	}
}

func TestDataLimit(t *testing.T) {
	s := openTemp(t)
	v := mustCreate(t, s, "a", "", time.Hour)
	_, err := s.Update(t.Context(), "a", tokensession.Record{Data: make([]byte, maxData+1), Version: v, TTL: time.Hour})
	wantErr(t, err, tokensession.ErrTooLarge)
	if _, err := s.Update(t.Context(), "a", tokensession.Record{Data: make([]byte, maxData), Version: v, TTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if rec, err := s.Get(t.Context(), "a"); err != nil || len(rec.Data) != maxData {
		t.Errorf("%d bytes, %v", len(rec.Data), err)
	}
}

// What a Get returned is the caller's: it neither changes nor can be used to change
// the file.
func TestGetCopies(t *testing.T) {
	s := openTemp(t)
	mustCreate(t, s, "a", "", time.Hour)
	rec, err := s.Get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	rec.Data[0] = 'X'
	if again, err := s.Get(t.Context(), "a"); err != nil || string(again.Data) != "data of a" {
		t.Errorf("%q, %v", again.Data, err)
	}
}

func TestClose(t *testing.T) {
	before := runtime.NumGoroutine()
	s := openTemp(t)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			_, err := s.Create(context.Background(), fmt.Sprint("id", i), tokensession.Record{TTL: time.Hour})
			if err != nil {
				wantErr(t, err, tokensession.ErrClosed)
			}
		})
	}
	for range 3 {
		wg.Go(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	_, err := s.Get(t.Context(), "a")
	wantErr(t, err, tokensession.ErrClosed)
	_, err = s.Len(t.Context())
	wantErr(t, err, tokensession.ErrClosed)
	_, err = s.DeleteOwner(t.Context(), "o")
	wantErr(t, err, tokensession.ErrClosed)
	for _, err := range s.All(t.Context()) {
		wantErr(t, err, tokensession.ErrClosed)
	}
	for name, err := range map[string]error{
		"Touch":   s.Touch(t.Context(), "a", time.Hour),
		"Delete":  s.Delete(t.Context(), "a"),
		"Clear":   s.Clear(t.Context()),
		"Ping":    s.Ping(t.Context()),
		"Compact": s.Compact(t.Context()),
	} {
		if !errors.Is(err, tokensession.ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	wantErr(t, s.Delete(t.Context(), ""), tokensession.ErrInvalidID)
	done, cancel := context.WithCancel(t.Context())
	cancel()
	wantErr(t, s.Delete(done, "a"), context.Canceled)
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines before, %d after", before, runtime.NumGoroutine())
		}
	}
}

// A walk shows each record once although records come and go, and its memory is
// bounded by pages.
func TestWalkWhileDeleting(t *testing.T) {
	s := openTemp(t)
	const n = 3*pageRecords + 1
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { mustCreate(t, s, fmt.Sprintf("%04d", i), "o", time.Hour) })
	}
	wg.Wait()
	mustCreate(t, s, "z", "o2", time.Hour)
	for _, owner := range []string{"", "o"} {
		seen := map[string]bool{}
		seq := s.All(t.Context())
		if owner != "" {
			seq = s.ByOwner(t.Context(), owner)
		}
		for e, err := range seq {
			if err != nil {
				t.Fatal(err)
			}
			if seen[e.ID] {
				t.Fatalf("%s is shown twice", e.ID)
			}
			seen[e.ID] = true
			if owner != "" {
				if err := s.Delete(t.Context(), e.ID); err != nil {
					t.Fatal(err)
				}
			} else if err := s.Touch(t.Context(), e.ID, 2*time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		if want := n + 1; owner == "" && len(seen) != want {
			t.Errorf("All showed %d records, want %d", len(seen), want)
		}
		if owner != "" && len(seen) != n {
			t.Errorf("ByOwner showed %d records, want %d", len(seen), n)
		}
	}
	if got := ids(t, s, ""); len(got) != 1 || got[0] != "z" {
		t.Errorf("left are %v", got)
	}
	wantKeys(t, s, 1, 1, 1)
}

// A walk keeps a page of records in memory, however large they are.
func TestPagesAreBounded(t *testing.T) {
	s := openTemp(t)
	for _, id := range []string{"a", "b", "c"} {
		rec := tokensession.Record{Data: make([]byte, pageBytes/2), TTL: time.Hour}
		if _, err := s.Create(t.Context(), id, rec); err != nil {
			t.Fatal(err)
		}
	}
	p, err := s.nextPage(t.Context(), "all", "", "")
	if err != nil || len(p.items) != 2 || p.end {
		t.Errorf("%d records, end %v, %v; want 2 and more to come", len(p.items), p.end, err)
	}
	if got := ids(t, s, ""); len(got) != 3 {
		t.Errorf("All shows %v", got)
	}
}

// No owner's key begins with another's.
func TestOwnersThatBeginAlike(t *testing.T) {
	s := openTemp(t)
	mustCreate(t, s, "bc", "a", time.Hour)
	mustCreate(t, s, "c", "ab", time.Hour)
	if n, err := s.DeleteOwner(t.Context(), "a"); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if got := ids(t, s, "ab"); len(got) != 1 || got[0] != "c" {
		t.Errorf("ab has %v", got)
	}
	v := mustCreate(t, s, "d", "ab", time.Hour)
	if _, err := s.Update(t.Context(), "d", tokensession.Record{Owner: "a", Version: v, TTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if got := ids(t, s, "a"); len(got) != 1 || got[0] != "d" {
		t.Errorf("a has %v", got)
	}
	wantKeys(t, s, 2, 2, 2)
}

func TestRegistered(t *testing.T) {
	path := tempFile(t)
	s, err := tokensession.Open(t.Context(), "bolt:"+path+"?bucket=b")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.(*Store).Close(); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v; want mode 0600", info.Mode(), err)
	}
	s, err = tokensession.Open(t.Context(), "bolt:"+filepath.Join(path, "missing", "x.db"))
	if s != nil || err == nil {
		t.Errorf("got %v, %v; want a nil Store and an error", s, err)
	}
}

func TestURL(t *testing.T) {
	for url, want := range map[string]string{
		"bolt:sessions.db":               "sessions.db",
		"bolt:./a/b.db":                  "./a/b.db",
		"BOLT:/abs/path.db":              "/abs/path.db",
		"bolt:///abs/path.db":            "/abs/path.db",
		"bolt:a%20b%23%3F%25.db":         "a b#?%.db",
		"bolt:/a%20b.db?lock_timeout=2s": "/a b.db",
	} {
		if got, err := parseURL(url, new(Options)); got != want || err != nil {
			t.Errorf("%s: %q, %v; want %q", url, got, err, want)
		}
	}
	for url, want := range map[string]string{
		"bolt://sessions.db":              "bolt:sessions.db",
		"bolt://user:hunter2@h/x.db":      "bolt:sessions.db",
		"bolt:":                           "no path",
		"bolt:?bucket=b":                  "no path",
		"bolt:x.db#f":                     "%23",
		"bolt:x.db?buckets=b":             `"buckets" in the URL; accepted are lock_timeout and bucket`,
		"bolt:x.db?bucket=":               "empty",
		"bolt:x.db?bucket=a&bucket=b":     "twice",
		"bolt:x.db?lock_timeout=0s":       "lock_timeout",
		"bolt:x.db?lock_timeout=soon":     "lock_timeout",
		"bolt:x.db?%zz":                   "malformed",
		"bolt:%zz.db":                     "%25",
		"bolt:%00":                        "NUL",
		"bolt://user:hunter2@h:port/x.db": "malformed",
		"redis:x":                         "bolt:sessions.db",
	} {
		_, err := parseURL(url, new(Options))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v; want an error with %q and no password", url, err, want)
		}
	}
	var opts Options
	if _, err := parseURL("bolt:x.db?lock_timeout=2s&bucket=a%26b", &opts); err != nil || opts.LockTimeout != 2*time.Second || opts.Bucket != "a&b" {
		t.Errorf("%+v, %v", opts, err)
	}
}
