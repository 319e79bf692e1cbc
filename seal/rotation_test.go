package seal_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/memory"
)

func ownerIndex(tb testing.TB, s tokensession.Store) tokensession.OwnerIndex {
	tb.Helper()
	index, ok := tokensession.As[tokensession.OwnerIndex](s)
	if !ok {
		tb.Fatal("there is no OwnerIndex")
	}
	return index
}

// owned returns the ids of an owner's records, sorted, and fails on any error.
func owned(tb testing.TB, s tokensession.Store, owner string) []string {
	tb.Helper()
	seen := make(map[string]bool)
	for e, err := range ownerIndex(tb, s).ByOwner(tb.Context(), owner) {
		if err != nil || e.Owner != owner {
			tb.Fatalf("ByOwner showed %q of %q, %v", e.ID, e.Owner, err)
		}
		seen[e.ID] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

func wantOwned(tb testing.TB, s tokensession.Store, owner string, want ...string) {
	tb.Helper()
	if got := owned(tb, s, owner); !slices.Equal(got, want) {
		tb.Errorf("ByOwner(%q) showed %q, want %q", owner, got, want)
	}
}

func TestRotation(t *testing.T) {
	m := newMemory(t)
	create(t, sealed(t, m, oldKey), "idle", record("data", "ada"))
	create(t, sealed(t, m, oldKey), "used", record("data", "ada"))

	both := sealed(t, m, newKey, oldKey)
	create(t, both, "young", record("data", "ada"))
	wantRecord(t, both, "idle", "data", "ada")
	wantRecord(t, sealed(t, m, oldKey, newKey), "young", "data", "ada")
	wantOwned(t, both, "ada", "idle", "used", "young")
	if _, err := both.Update(t.Context(), "used", get(t, both, "used")); err != nil {
		t.Fatal(err)
	}
	wantOwned(t, both, "ada", "idle", "used", "young")

	after := sealed(t, m, newKey)
	wantRecord(t, after, "used", "data", "ada")
	wantRecord(t, after, "young", "data", "ada")
	wantCorrupt(t, after, "idle")
	wantOwned(t, after, "ada", "used", "young")
	wantCorrupt(t, sealed(t, m, oldKey), "used")
	if n, err := ownerIndex(t, both).DeleteOwner(t.Context(), "ada"); n != 3 || err != nil {
		t.Errorf("DeleteOwner = %d, %v; want 3", n, err)
	}
	if n, err := m.Len(t.Context()); n != 0 || err != nil {
		t.Errorf("%d records are left, %v", n, err)
	}
}

// Which key comes first does not matter for what is found.
func TestOwnersAreFoundByEveryKey(t *testing.T) {
	third := slices.Repeat([]byte{1}, 32)
	keys := [][]byte{newKey, oldKey, third}
	m := newMemory(t)
	for i, key := range keys {
		create(t, sealed(t, m, key), fmt.Sprint("ada", i), record("data", "ada"))
		create(t, sealed(t, m, key), fmt.Sprint("bob", i), record("data", "bob"))
	}
	for range keys {
		keys = append(keys[1:], keys[0])
		wantOwned(t, sealed(t, m, keys...), "ada", "ada0", "ada1", "ada2")
	}
	if n, err := ownerIndex(t, sealed(t, m, keys...)).DeleteOwner(t.Context(), "ada"); n != 3 || err != nil {
		t.Errorf("DeleteOwner = %d, %v; want 3", n, err)
	}
	wantOwned(t, sealed(t, m, keys...), "ada")
	wantOwned(t, sealed(t, m, keys...), "bob", "bob0", "bob1", "bob2")
}

// reseal updates every record to what it is.
func reseal(ctx context.Context, s tokensession.Store) error {
	lister, _ := tokensession.As[tokensession.Lister](s)
	for e, err := range lister.All(ctx) {
		if err != nil {
			return err
		}
		if _, err := s.Update(ctx, e.ID, e.Record); err != nil {
			return err
		}
	}
	return nil
}

// ByOwner misses no record that an Update takes to the new key while the caller has the
// first Entry.
func TestByOwnerBesideRotation(t *testing.T) {
	m := newMemory(t)
	both := sealed(t, m, newKey, oldKey)
	create(t, both, "new", record("data", "ada"))
	want := []string{"new"}
	for i := range 9 {
		want = append(want, fmt.Sprint("old", i))
		create(t, sealed(t, m, oldKey), want[i+1], record("data", "ada"))
	}
	seen := make(map[string]bool)
	for e, err := range ownerIndex(t, both).ByOwner(t.Context(), "ada") {
		if err != nil {
			t.Fatal(err)
		}
		if len(seen) == 0 {
			if err := reseal(t.Context(), both); err != nil {
				t.Fatal(err)
			}
		}
		seen[e.ID] = true
	}
	if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, want) {
		t.Errorf("ByOwner showed %q, want %q", got, want)
	}
}

// The same from another goroutine, at any moment.
func TestByOwnerBesideUpdates(t *testing.T) {
	m := newMemory(t)
	before, both := sealed(t, m, oldKey), sealed(t, m, newKey, oldKey)
	for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end) && !t.Failed(); {
		var want []string
		for i := range 8 {
			want = append(want, fmt.Sprint("id", i))
			create(t, before, want[i], record("data", "ada"))
		}
		resealed := make(chan error)
		go func() { resealed <- reseal(t.Context(), both) }()
		wantOwned(t, both, "ada", want...)
		if err := <-resealed; err != nil {
			t.Fatal(err)
		}
		if err := m.Clear(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// interrupted calls a function before each DeleteOwner.
type interrupted struct {
	*memory.Store
	before func()
}

func (i *interrupted) DeleteOwner(ctx context.Context, owner string) (int, error) {
	i.before()
	return i.Store.DeleteOwner(ctx, owner)
}

// DeleteOwner misses no record that an Update takes to the new key in the middle of it.
func TestDeleteOwnerBesideRotation(t *testing.T) {
	for skipped := range 2 {
		raw := &interrupted{newMemory(t), func() {}}
		both := sealed(t, raw, newKey, oldKey)
		for i := range 5 {
			create(t, sealed(t, raw, oldKey), fmt.Sprint("id", i), record("data", "ada"))
		}
		calls := 0
		raw.before = func() {
			if calls++; calls > skipped {
				if err := reseal(t.Context(), both); err != nil {
					t.Error(err)
				}
			}
		}
		if n, err := ownerIndex(t, both).DeleteOwner(t.Context(), "ada"); n != 5 || err != nil {
			t.Errorf("DeleteOwner = %d, %v; want 5", n, err)
		}
		wantOwned(t, both, "ada")
	}
}

// An Update in flight, which takes the record to the new key, does not bring it back.
func TestDeleteOwnerBesideUpdates(t *testing.T) {
	m := newMemory(t)
	both := sealed(t, m, newKey, oldKey)
	for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end) && !t.Failed(); {
		create(t, sealed(t, m, oldKey), "id", record("data", "ada"))
		var deleted atomic.Bool
		updated := make(chan error)
		go func() {
			rec, err := both.Get(t.Context(), "id")
			for last := false; err == nil && !last; {
				last = deleted.Load()
				rec.Version, err = both.Update(t.Context(), "id", rec)
			}
			updated <- err
		}()
		if n, err := ownerIndex(t, both).DeleteOwner(t.Context(), "ada"); n != 1 || err != nil {
			t.Errorf("DeleteOwner = %d, %v; want 1", n, err)
		}
		deleted.Store(true)
		if err := <-updated; !errors.Is(err, tokensession.ErrNotFound) {
			t.Errorf("the Update after it: %v, want ErrNotFound", err)
		}
		if _, err := both.Get(t.Context(), "id"); !errors.Is(err, tokensession.ErrNotFound) {
			t.Errorf("Get: %v, want ErrNotFound", err)
		}
	}
}

// An iteration shows which record it cannot open, and goes on.
func TestIterationsGoOn(t *testing.T) {
	m := newMemory(t)
	s := sealed(t, m, newKey)
	for _, id := range []string{"a", "b", "c"} {
		create(t, s, id, record("data of "+id, "ada"))
	}
	damaged := get(t, m, "b")
	damaged.Data = slices.Clone(damaged.Data)
	damaged.Data[len(damaged.Data)-1]++
	change(t, m, "b", damaged)

	lister, _ := tokensession.As[tokensession.Lister](s)
	for name, entries := range map[string]func(func(tokensession.Entry, error) bool){
		"All":     lister.All(t.Context()),
		"ByOwner": ownerIndex(t, s).ByOwner(t.Context(), "ada"),
	} {
		shown := make(map[string]bool)
		for e, err := range entries {
			shown[e.ID] = true
			switch {
			case e.ID == "b":
				wantCorruptError(t, err)
				if e.Data != nil || e.Owner != "" {
					t.Errorf("%s showed %q of %q beside its error", name, e.Data, e.Owner)
				}
			case err != nil || string(e.Data) != "data of "+e.ID || e.Owner != "ada":
				t.Errorf("%s showed %q: %q of %q, %v", name, e.ID, e.Data, e.Owner, err)
			}
		}
		if len(shown) != 3 {
			t.Errorf("%s showed %v, want a, b and c", name, shown)
		}
	}
	counter, _ := tokensession.As[tokensession.Counter](s)
	if n, err := counter.Len(t.Context()); n != 3 || err != nil {
		t.Errorf("Len = %d, %v; want 3: it opens nothing", n, err)
	}
}

// A caller that has seen enough is asked no more, by any key.
func TestByOwnerStops(t *testing.T) {
	m := newMemory(t)
	create(t, sealed(t, m, oldKey), "old", record("data", "ada"))
	create(t, sealed(t, m, newKey), "new", record("data", "ada"))
	n := 0
	for range ownerIndex(t, sealed(t, m, newKey, oldKey)).ByOwner(t.Context(), "ada") {
		n++
		break
	}
	if n != 1 {
		t.Errorf("%d entries", n)
	}
}
