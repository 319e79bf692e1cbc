package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensession/tokensession"
)

func openTest(tb testing.TB, path, namespace string) *Store {
	tb.Helper()
	s, err := Open(tb.Context(), "sqlite:"+(&url.URL{Path: path}).EscapedPath(), &Options{Namespace: namespace})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close() })
	return s
}

func tempFile(tb testing.TB) string { return filepath.Join(tb.TempDir(), "sessions.db") }

func mustCreate(tb testing.TB, s tokensession.Store, id string, ttl time.Duration) {
	tb.Helper()
	if _, err := s.Create(tb.Context(), id, tokensession.Record{TTL: ttl}); err != nil {
		tb.Fatal(err)
	}
}

func wantErr(tb testing.TB, err, want error) {
	tb.Helper()
	if !errors.Is(err, want) {
		tb.Errorf("got error %v, want %v", err, want)
	}
}

// locked lets another process have the lock of the file for a time.
func locked(tb testing.TB, path string, d time.Duration) {
	s := openTest(tb, path, "another process")
	err := s.exclusive(context.Background(), "lock", "", func(*sql.Tx, int64) error {
		time.Sleep(d)
		return nil
	})
	if err != nil {
		tb.Error(err)
	}
}

// TestDeadline wants a deadline to end the wait for another process, with an error that
// says so, and the write not to happen later.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := tempFile(t)
		s := openTest(t, path, "")
		go locked(t, path, time.Second)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		begun := time.Now()
		_, err := s.Create(ctx, "id", tokensession.Record{TTL: time.Hour})
		wantErr(t, err, context.DeadlineExceeded)
		if took := time.Since(begun); took > 150*time.Millisecond {
			t.Errorf("a deadline of 50ms ended the call after %v", took)
		}
		time.Sleep(2 * time.Second)
		_, err = s.Get(t.Context(), "id")
		wantErr(t, err, tokensession.ErrNotFound)
	})
}

// TestPatience wants a call to wait for another process for 5 seconds, and no longer.
func TestPatience(t *testing.T) {
	for _, test := range []struct {
		held time.Duration
		ok   bool
	}{{4 * time.Second, true}, {time.Minute, false}} {
		synctest.Test(t, func(t *testing.T) {
			path := tempFile(t)
			s := openTest(t, path, "")
			go locked(t, path, test.held)
			synctest.Wait()
			_, err := s.Create(t.Context(), "id", tokensession.Record{TTL: time.Hour})
			if unknown := new(tokensession.OpError); (err == nil) != test.ok || !test.ok && !errors.As(err, &unknown) {
				t.Errorf("the file was locked for %v: %v", test.held, err)
			}
			time.Sleep(test.held)
		})
	}
}

// touchThatWaits lets a Touch come in time and wait until the record has expired.
func touchThatWaits(t *testing.T, wrap func(*Store) tokensession.Store) (touched, after error) {
	synctest.Test(t, func(t *testing.T) {
		path := tempFile(t)
		s := wrap(openTest(t, path, ""))
		mustCreate(t, s, "id", 100*time.Millisecond)
		go locked(t, path, time.Second)
		synctest.Wait()
		touched = s.Touch(t.Context(), "id", time.Hour)
		_, after = s.Get(t.Context(), "id")
	})
	return touched, after
}

// getBesideTouch lets a Get look after a record has expired, while a Touch that found it
// alive is not committed yet.
func getBesideTouch(t *testing.T, wrap func(*Store) tokensession.Store) (beside, after error) {
	synctest.Test(t, func(t *testing.T) {
		path := tempFile(t)
		s := wrap(openTest(t, path, ""))
		mustCreate(t, s, "id", 100*time.Millisecond)
		other := openTest(t, path, "")
		go other.exclusive(context.Background(), "touch", "id", func(tx *sql.Tx, now int64) error {
			_, err := tx.Exec(`UPDATE sessions SET expires = ? WHERE id = 'id' AND expires > ?`, expiry(now, time.Hour), now)
			time.Sleep(time.Second)
			return err
		})
		synctest.Wait()
		time.Sleep(200 * time.Millisecond)
		_, beside = s.Get(t.Context(), "id")
		time.Sleep(2 * time.Second)
		_, after = s.Get(t.Context(), "id")
	})
	return beside, after
}

func finished(s *Store) tokensession.Store { return s }

func TestTouchThatWaits(t *testing.T) {
	touched, after := touchThatWaits(t, finished)
	wantErr(t, touched, tokensession.ErrNotFound)
	wantErr(t, after, tokensession.ErrNotFound)
}

func TestGetBesideTouch(t *testing.T) {
	beside, after := getBesideTouch(t, finished)
	if beside != nil || after != nil {
		t.Errorf("Get beside a Touch that came in time: %v; after it: %v", beside, after)
	}
}

// TestReap wants writes to remove what has expired, in every namespace.
func TestReap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := tempFile(t)
		s, other := openTest(t, path, ""), openTest(t, path, "other")
		for i := range 20 {
			mustCreate(t, other, fmt.Sprint("id", i), time.Minute)
		}
		time.Sleep(time.Minute)
		for range 3 {
			if err := s.Delete(t.Context(), "absent"); err != nil {
				t.Fatal(err)
			}
		}
		var rows int
		if err := s.db.QueryRow(`SELECT count(*) FROM sessions`).Scan(&rows); err != nil || rows != 0 {
			t.Errorf("%d rows, %v; want none", rows, err)
		}
	})
}

func TestNewBorrows(t *testing.T) {
	db, err := sql.Open("sqlite", dsn(tempFile(t)))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s, err := New(db, nil)
	if err != nil {
		t.Fatal(err)
	}
	mustCreate(t, s, "id", time.Hour)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := db.PingContext(t.Context()); err != nil {
		t.Errorf("the database that was borrowed: %v", err)
	}
}

func TestRegistered(t *testing.T) {
	path := tempFile(t)
	s, err := tokensession.Open(t.Context(), "sqlite:"+path+"?namespace=web")
	if err != nil {
		t.Fatal(err)
	}
	defer s.(*Store).Close()
	mustCreate(t, s, "id", time.Hour)
	if _, err := openTest(t, path, "web").Get(t.Context(), "id"); err != nil {
		t.Error(err)
	}
	for _, name := range []string{path, path + "-wal"} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", filepath.Base(name), info.Mode(), err)
		}
	}
}

// TestPath opens files whose names mean something in a URL.
func TestPath(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"plain.db", "what?.db", "100%.db", "a#b.db", "a b&c=d.db"} {
		mustCreate(t, openTest(t, "./"+name, ""), "id", time.Hour)
		if info, err := os.Stat(name); err != nil || info.Size() == 0 {
			t.Errorf("%q is not the file that was opened: %v", name, err)
		}
	}
}

func TestURL(t *testing.T) {
	for _, bad := range []string{
		"sqlite:", "bolt:x.db", "sqlite://host/x.db", "sqlite:x.db#f", "sqlite:%zz", "sqlite:x.db?secret=1",
		"sqlite:x.db?namespace=a&namespace=b", "sqlite://u:secret@h/x", "sqlite:x.db?%zz", "://secret",
	} {
		if path, err := parseURL(bad, new(Options)); err == nil || strings.Contains(err.Error(), "secret@") {
			t.Errorf("%s: path %q, error %v", bad, path, err)
		}
	}
	for good, want := range map[string]string{
		"sqlite:sessions.db": "sessions.db", "sqlite:./a/b.db": "./a/b.db", "sqlite:/abs/x%3F.db": "/abs/x?.db", "sqlite:///abs/x.db": "/abs/x.db",
	} {
		if path, err := parseURL(good, new(Options)); path != want || err != nil {
			t.Errorf("%s: %q, %v; want %q", good, path, err, want)
		}
	}
}
