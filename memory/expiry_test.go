package memory

import (
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensession/tokensession"
)

func TestExpiredRecordsLeaveMemoryUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(nil)
		defer s.Close()
		for i := range 10 * reapBatch {
			create(t, s, fmt.Sprint(i), fmt.Sprint("owner", i%7), time.Minute)
		}
		create(t, s, "longer", "owner", time.Hour)
		create(t, s, "touched", "owner", time.Minute)
		if err := s.Touch(t.Context(), "touched", time.Hour); err != nil {
			t.Fatal(err)
		}
		create(t, s, "shortened", "owner", time.Hour)
		if err := s.Touch(t.Context(), "shortened", time.Minute); err != nil {
			t.Fatal(err)
		}
		create(t, s, "forever", "owner", tokensession.Forever)
		time.Sleep(time.Minute - 1)
		synctest.Wait()
		holds(t, s, 10*reapBatch+4)
		time.Sleep(reapInterval + 1)
		synctest.Wait()
		holds(t, s, 3)
		time.Sleep(time.Hour)
		synctest.Wait()
		holds(t, s, 1)
		if err := s.Delete(t.Context(), "forever"); err != nil {
			t.Fatal(err)
		}
		holds(t, s, 0)
	})
}

// The timer has to be set to an earlier time when a record's life is cut short.
func TestShortenedRecordsLeaveMemoryUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(nil)
		defer s.Close()
		create(t, s, "id", "owner", tokensession.MaxTTL)
		if err := s.Touch(t.Context(), "id", time.Minute); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		holds(t, s, 0)
	})
}

// Once a Get has found a record expired, a Touch or an Update that looked at it
// before does not bring it back.
func TestExpiryIsFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(nil)
		defer s.Close()
		create(t, s, "id", "owner", time.Millisecond)
		table := s.table.Load()
		e := table.byID.find("id")
		old, now := s.current(e)
		next := *old
		next.expires = deadline(now, time.Hour)
		time.Sleep(time.Millisecond)
		if _, err := s.Get(t.Context(), "id"); err != tokensession.ErrNotFound {
			t.Fatalf("Get: %v, want ErrNotFound", err)
		}
		s.mu.Lock()
		replaced := table.replace(e, old, &next)
		s.mu.Unlock()
		if replaced {
			t.Error("a record that was not found came back")
		}
		holds(t, s, 1)
	})
}

// What Get, and not the reaper, has found to be expired is removed all the same.
func TestExpiredRecordsLeaveMemoryRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(nil)
		defer s.Close()
		for _, id := range []string{"reaped", "created", "deleted"} {
			create(t, s, id, "owner", 1)
		}
		time.Sleep(time.Nanosecond)
		for _, id := range []string{"reaped", "created", "deleted"} {
			if _, err := s.Get(t.Context(), id); err != tokensession.ErrNotFound {
				t.Errorf("Get(%q): %v", id, err)
			}
		}
		holds(t, s, 3)
		create(t, s, "created", "another", tokensession.Forever)
		if err := s.Delete(t.Context(), "deleted"); err != nil {
			t.Fatal(err)
		}
		holds(t, s, 2)
		time.Sleep(reapInterval)
		synctest.Wait()
		holds(t, s, 1)
	})
}

func TestLenRemovesWhatHasExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(nil)
		defer s.Close()
		for i := range 3 * reapBatch {
			create(t, s, fmt.Sprint(i), "owner", 1)
		}
		create(t, s, "stays", "owner", time.Hour)
		time.Sleep(time.Nanosecond)
		if n, err := s.Len(t.Context()); n != 1 || err != nil {
			t.Errorf("Len: %d, %v; want 1", n, err)
		}
		holds(t, s, 1)
	})
}

func TestEvictedRecordsLeaveMemory(t *testing.T) {
	s := New(&Options{MaxRecords: 10, Logger: slog.New(slog.DiscardHandler)})
	defer s.Close()
	for i := range 1000 {
		create(t, s, fmt.Sprint(i), fmt.Sprint("owner", i%3), time.Duration(1+i*7919%1000)*time.Hour)
	}
	holds(t, s, 10)
}

func TestIdleStoreHasNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	s := New(nil)
	create(t, s, "id", "owner", time.Hour)
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines, %d before New", after, before)
	}
	s.Close()
}

// A bubble of synctest ends only when all its goroutines have, so a reaper that
// outlives Close fails these.
func TestCloseEndsTheReaper(t *testing.T) {
	for _, test := range []struct {
		name string
		wait time.Duration
	}{
		{"before its time", 0},
		{"as it starts", time.Minute},
		{"after it ran", time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := New(nil)
			for i := range 20 * reapBatch {
				create(t, s, fmt.Sprint(i), "owner", time.Minute)
			}
			create(t, s, "longer", "owner", 2*time.Hour)
			time.Sleep(test.wait)
			for range 2 {
				if err := s.Close(); err != nil {
					t.Errorf("%s: Close: %v", test.name, err)
				}
			}
			if s.reaper.Stop() {
				t.Errorf("%s: the timer still runs after Close", test.name)
			}
			synctest.Wait()
		})
	}
}

func TestCloseWaitsForTheReaper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(nil)
		s.reaping.Add(1) // as schedule does, and the timer has gone off
		closed := false
		go func() {
			s.Close()
			closed = true
		}()
		synctest.Wait()
		if closed {
			t.Error("Close has returned while the reaper runs")
		}
		s.reap()
		synctest.Wait()
		if !closed {
			t.Error("Close waits for a reaper that has ended")
		}
	})
}
