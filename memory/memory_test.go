package memory_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/memory"
)

// hour is a record that lives for an hour.
var hour = tokensession.Record{Data: []byte("data"), Owner: "alice", TTL: time.Hour}

func create(t testing.TB, s *memory.Store, id string, rec tokensession.Record) {
	t.Helper()
	if _, err := s.Create(t.Context(), id, rec); err != nil {
		t.Fatalf("Create(%q): %v", id, err)
	}
}

func newStore(t testing.TB, options *memory.Options) *memory.Store {
	s := memory.New(options)
	t.Cleanup(func() { s.Close() })
	return s
}

func TestGetAllocatesNothing(t *testing.T) {
	s := newStore(t, nil)
	create(t, s, "there", hour)
	for _, test := range []struct {
		id   string
		want error
	}{
		{"there", nil},
		{"absent", tokensession.ErrNotFound},
	} {
		allocs := testing.AllocsPerRun(1000, func() {
			if _, err := s.Get(t.Context(), test.id); err != test.want {
				t.Fatalf("Get(%q): %v, want %v", test.id, err, test.want)
			}
		})
		if allocs != 0 {
			t.Errorf("Get(%q) made %v allocations, want none", test.id, allocs)
		}
	}
}

func TestAppendToDataStaysWithTheReader(t *testing.T) {
	s := newStore(t, nil)
	create(t, s, "id", tokensession.Record{Data: make([]byte, 33), TTL: time.Hour})
	first, _ := s.Get(t.Context(), "id")
	second, _ := s.Get(t.Context(), "id")
	a, b := append(first.Data, 'a'), append(second.Data, 'b')
	if a[33] != 'a' || b[33] != 'b' {
		t.Error("two readers appended to the same memory")
	}
}

// Web frameworks that reuse their buffers hand out strings that change.
func TestStringsAreCopied(t *testing.T) {
	s := newStore(t, nil)
	buffer := []byte("idowner")
	create(t, s, unsafe.String(&buffer[0], 2), tokensession.Record{
		Owner: unsafe.String(&buffer[2], 5), TTL: time.Hour,
	})
	copy(buffer, "xxxxxxx")
	for e, err := range s.ByOwner(t.Context(), "owner") {
		if err != nil || e.ID != "id" || e.Owner != "owner" {
			t.Errorf("ByOwner: %q of %q, %v; want id of owner", e.ID, e.Owner, err)
		}
		return
	}
	t.Error("ByOwner found nothing")
}

func TestExpiryIsExact(t *testing.T) {
	for _, ttl := range []time.Duration{1, time.Hour, tokensession.MaxTTL} {
		synctest.Test(t, func(t *testing.T) {
			s := newStore(t, nil)
			time.Sleep(time.Hour) // the store is older than the record
			create(t, s, "id", tokensession.Record{TTL: ttl})
			time.Sleep(ttl - 1)
			if rec, err := s.Get(t.Context(), "id"); err != nil || rec.TTL != 1 {
				t.Errorf("TTL %v: Get a nanosecond before the end: %v left, %v", ttl, rec.TTL, err)
			}
			time.Sleep(time.Nanosecond)
			if _, err := s.Get(t.Context(), "id"); err != tokensession.ErrNotFound {
				t.Errorf("TTL %v: Get at the end: %v", ttl, err)
			}
		})
	}
}

func TestForeverOutlivesMaxTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, nil)
		create(t, s, "id", tokensession.Record{TTL: tokensession.Forever})
		create(t, s, "other", tokensession.Record{TTL: tokensession.MaxTTL})
		time.Sleep(2 * tokensession.MaxTTL / 3)
		if err := s.Touch(t.Context(), "other", tokensession.MaxTTL); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * tokensession.MaxTTL / 3)
		if rec, err := s.Get(t.Context(), "id"); err != nil || rec.TTL != tokensession.Forever {
			t.Errorf("Get after 133 years: %v left, %v", rec.TTL, err)
		}
		if n, err := s.Len(t.Context()); n != 2 || err != nil {
			t.Errorf("Len after 133 years: %d, %v; want 2", n, err)
		}
	})
}

func TestClearEndsAnIteration(t *testing.T) {
	s := newStore(t, nil)
	create(t, s, "a", hour)
	create(t, s, "b", hour)
	shown := 0
	for e, err := range s.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		shown++
		if err := s.Clear(t.Context()); err != nil {
			t.Fatal(err)
		}
		create(t, s, e.ID, hour)
	}
	if shown != 1 {
		t.Errorf("All showed %d records, want the 1 before Clear", shown)
	}
}

func TestCloseEndsAnIteration(t *testing.T) {
	s := newStore(t, nil)
	create(t, s, "a", hour)
	create(t, s, "b", hour)
	var last error
	for _, last = range s.ByOwner(t.Context(), "alice") {
		s.Close()
	}
	if last != tokensession.ErrClosed {
		t.Errorf("the iteration ended with %v, want ErrClosed", last)
	}
}

func TestCancelEndsAnIteration(t *testing.T) {
	s := newStore(t, nil)
	create(t, s, "a", hour)
	create(t, s, "b", hour)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for _, last = range s.All(ctx) {
		cancel()
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("the iteration ended with %v, want context.Canceled", last)
	}
}

// Records that stay are found by Get and shown once by the iterators while the
// store grows and shrinks a thousandfold around them.
func TestNothingIsMissedWhileTheStoreGrowsAndShrinks(t *testing.T) {
	const stay = 50
	s := newStore(t, nil)
	for i := range stay {
		create(t, s, fmt.Sprintf("stay-%d", i), hour)
	}
	stop := time.Now().Add(300 * time.Millisecond)
	var wg sync.WaitGroup
	repeat := func(f func()) {
		wg.Go(func() {
			for time.Now().Before(stop) && !t.Failed() {
				f()
			}
		})
	}
	repeat(func() {
		const n = 5000
		for i := range n {
			if _, err := s.Create(t.Context(), fmt.Sprintf("goes-%d", i), hour); err != nil {
				t.Error(err)
			}
		}
		for i := range n {
			if err := s.Delete(t.Context(), fmt.Sprintf("goes-%d", i)); err != nil {
				t.Error(err)
			}
		}
	})
	repeat(func() {
		for i := range stay {
			if _, err := s.Get(t.Context(), fmt.Sprintf("stay-%d", i)); err != nil {
				t.Errorf("Get of stay-%d: %v", i, err)
			}
		}
	})
	iterators := map[string]func() (shown map[string]int){
		"All": func() map[string]int {
			shown := make(map[string]int)
			for e := range s.All(t.Context()) {
				shown[e.ID]++
			}
			return shown
		},
		"ByOwner": func() map[string]int {
			shown := make(map[string]int)
			for e := range s.ByOwner(t.Context(), hour.Owner) {
				shown[e.ID]++
			}
			return shown
		},
	}
	for name, iterate := range iterators {
		repeat(func() {
			shown := iterate()
			for i := range stay {
				if n := shown[fmt.Sprintf("stay-%d", i)]; n != 1 {
					t.Errorf("%s showed stay-%d %d times", name, i, n)
				}
			}
		})
	}
	wg.Wait()
}

func TestEvictsWhatWouldExpireSoonest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, &memory.Options{MaxRecords: 3, Logger: slog.New(slog.DiscardHandler)})
		want := func(evicted uint64, ids ...string) {
			t.Helper()
			for _, id := range ids {
				if _, err := s.Get(t.Context(), id); err != nil {
					t.Errorf("Get(%q): %v", id, err)
				}
			}
			if n, err := s.Len(t.Context()); n != len(ids) || err != nil {
				t.Errorf("Len: %d, %v; want %d", n, err, len(ids))
			}
			if n := s.Evicted(); n != evicted {
				t.Errorf("Evicted: %d, want %d", n, evicted)
			}
		}
		create(t, s, "1h", tokensession.Record{TTL: 1 * time.Hour})
		create(t, s, "2h", tokensession.Record{TTL: 2 * time.Hour})
		create(t, s, "forever", tokensession.Record{TTL: tokensession.Forever})
		want(0, "1h", "2h", "forever")

		if err := s.Touch(t.Context(), "1h", 3*time.Hour); err != nil {
			t.Fatal(err)
		}
		create(t, s, "10ms", tokensession.Record{TTL: 10 * time.Millisecond})
		want(1, "1h", "forever", "10ms") // it was 2h, not the new one

		if _, err := s.Create(t.Context(), "1h", hour); err != tokensession.ErrExists {
			t.Errorf("Create where one is: %v", err)
		}
		want(1, "1h", "forever", "10ms") // which evicts nothing

		time.Sleep(10 * time.Millisecond) // not long enough for the reaper
		create(t, s, "2m", tokensession.Record{TTL: 2 * time.Minute})
		want(1, "1h", "forever", "2m") // 10ms had expired, which is no eviction

		create(t, s, "4h", tokensession.Record{TTL: 4 * time.Hour})
		create(t, s, "5h", tokensession.Record{TTL: 5 * time.Hour})
		want(3, "forever", "4h", "5h")
	})
}

func TestEvictionIsLoggedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := newStore(t, &memory.Options{MaxRecords: 1, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		lines := func(want int, attr string) {
			t.Helper()
			if got := strings.Count(log.String(), "level=WARN"); got != want {
				t.Errorf("%d warnings, want %d:\n%s", got, want, &log)
			}
			if !strings.Contains(log.String(), attr) {
				t.Errorf("no %q in the log:\n%s", attr, &log)
			}
		}
		create(t, s, "1", hour)
		lines(0, "")
		create(t, s, "2", hour)
		create(t, s, "3", hour)
		lines(1, "max_records=1 evicted=1")
		time.Sleep(time.Minute)
		create(t, s, "4", hour)
		lines(2, "max_records=1 evicted=3")
	})
}

// A log handler may keep what it needs in the very store that logs.
func TestEvictionIsLoggedWithoutTheLock(t *testing.T) {
	var s *memory.Store
	handler := &usesStore{Handler: slog.DiscardHandler, use: func() {
		if err := s.Delete(t.Context(), "other"); err != nil {
			t.Error(err)
		}
	}}
	s = newStore(t, &memory.Options{MaxRecords: 1, Logger: slog.New(handler)})
	create(t, s, "1", hour)
	create(t, s, "2", hour)
	if !handler.used {
		t.Error("nothing was logged")
	}
}

type usesStore struct {
	slog.Handler
	use  func()
	used bool
}

func (h *usesStore) Enabled(context.Context, slog.Level) bool { return true }

func (h *usesStore) Handle(context.Context, slog.Record) error {
	h.use()
	h.used = true
	return nil
}

func TestNewWarnsInProduction(t *testing.T) {
	for _, test := range []struct {
		name, appEnv, goEnv string
		production, want    bool
	}{
		{name: "neither"},
		{name: "development", appEnv: "development", goEnv: "test"},
		{name: "APP_ENV", appEnv: "production", want: true},
		{name: "GO_ENV", goEnv: "production", want: true},
		{name: "Options.Production", production: true, want: true},
		{name: "all", appEnv: "production", goEnv: "production", production: true, want: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("APP_ENV", test.appEnv)
			t.Setenv("GO_ENV", test.goEnv)
			var log bytes.Buffer
			newStore(t, &memory.Options{
				Production: test.production,
				Logger:     slog.New(slog.NewTextHandler(&log, nil)),
			})
			if !test.want && log.Len() > 0 {
				t.Errorf("New logged %s", &log)
			}
			if test.want && strings.Count(log.String(), "level=WARN") != 1 {
				t.Errorf("New logged %q, want one warning", &log)
			}
		})
	}
}

func TestNewPanicsOnNegativeMaxRecords(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	memory.New(&memory.Options{MaxRecords: -1})
}
