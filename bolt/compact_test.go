package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/tokensession/tokensession"
)

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func TestCompact(t *testing.T) {
	path := tempFile(t)
	s := openTest(t, "bolt:"+path)
	v := mustCreate(t, s, "kept", "o", time.Hour)
	if _, err := s.Create(t.Context(), "large", tokensession.Record{Data: make([]byte, 8<<20), TTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), "large"); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := s.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := size(t, path); n > 1<<20 {
		t.Errorf("the file still has %d bytes", n)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o640 {
		t.Errorf("its mode is %v now", info.Mode())
	}
	// The store goes on, versions stay valid, and nobody else gets the new file.
	if _, err := s.Update(t.Context(), "kept", tokensession.Record{Version: v, Owner: "o", TTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
	wantKeys(t, s, 1, 1, 1)
	wantLocked(t, path)
	s.Close()
	s = openTest(t, "bolt:"+path)
	if got := ids(t, s, "o"); len(got) != 1 || got[0] != "kept" {
		t.Errorf("after reopening: %v", got)
	}
	_, err := s.Update(t.Context(), "kept", tokensession.Record{Version: v, TTL: time.Hour})
	wantErr(t, err, tokensession.ErrConflict)
}

// Reads and writes go on during compactions, and none is lost. The race detector
// watches.
func TestCompactWhileInUse(t *testing.T) {
	s := openTemp(t)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	counts := make([]int, 4)
	for w := range counts {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				id := fmt.Sprintf("%d-%d", w, counts[w])
				if _, err := s.Create(context.Background(), id, tokensession.Record{TTL: time.Hour}); err != nil {
					t.Error(err)
					return
				}
				counts[w]++
				if _, err := s.Get(context.Background(), id); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 10 {
		if err := s.Compact(t.Context()); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	wg.Wait()
	want := 0
	for _, n := range counts {
		want += n
	}
	if n, err := s.Len(t.Context()); n != want || err != nil {
		t.Errorf("%d records, %v; want %d", n, err, want)
	}
}

func TestCompactBorrowed(t *testing.T) {
	wantErr(t, newTest(t, borrow(t), nil).Compact(t.Context()), errors.ErrUnsupported)
}

// What a killed Compact leaves is removed by the next Open.
func TestOpenCleansUp(t *testing.T) {
	path := tempFile(t)
	openTest(t, "bolt:"+path).Close()
	if err := os.WriteFile(path+compactSuffix, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := openTest(t, "bolt:"+path)
	if _, err := os.Stat(path + compactSuffix); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
	if err := s.Compact(t.Context()); err != nil {
		t.Error(err)
	}
}

// Compact replaces the file, not the link that leads to it.
func TestCompactThroughLink(t *testing.T) {
	path := tempFile(t)
	link := filepath.Join(t.TempDir(), "link.db")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	s := openTest(t, "bolt:"+link)
	if err := s.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustCreate(t, s, "a", "", time.Hour)
	s.Close()
	if got := ids(t, openTest(t, "bolt:"+path), ""); len(got) != 1 {
		t.Errorf("the file has %v", got)
	}
}

// Whoever opened the file before it was replaced, and got its lock after, must not
// use it.
func TestOpenWhileReplaced(t *testing.T) {
	path := tempFile(t)
	s := openTest(t, "bolt:"+path)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				db, err := openCurrent(path)
				if err == nil {
					t.Error("a file that is open was opened")
					db.Close()
				}
			}
		})
	}
	for range 50 {
		if err := s.Compact(t.Context()); err != nil {
			t.Error(err)
		}
	}
	close(done)
	wg.Wait()
}
