package memory

import (
	"fmt"
	"testing"
	"time"

	"github.com/tokensession/tokensession"
)

func create(t *testing.T, s *Store, id, owner string, ttl time.Duration) {
	t.Helper()
	if _, err := s.Create(t.Context(), id, tokensession.Record{Owner: owner, TTL: ttl}); err != nil {
		t.Fatalf("Create(%q): %v", id, err)
	}
}

// holds checks how many entries are in memory, by id, by expiry and by owner (they all
// have one), and that the memory is in proportion.
func holds(t *testing.T, s *Store, want int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	table := s.table.Load()
	byID, byOwner := 0, 0
	for range table.byID.all {
		byID++
	}
	entries := 0
	for i := range table.byID.parts {
		p := &table.byID.parts[i]
		n := len(*p.slots.Load())
		if n < 2*p.used || n > max(minSlots, 16*p.entries) {
			t.Errorf("%d slots for %d entries, %d of them used", n, p.entries, p.used)
		}
		entries += p.entries
	}
	if entries != want {
		t.Errorf("the index counts %d entries, want %d", entries, want)
	}
	for _, list := range table.byOwner {
		for range list.first.entries {
			byOwner++
		}
	}
	if n := len(table.byExpiry); byID != want || byOwner != want || n != want {
		t.Errorf("%d entries by id, %d by expiry and %d by owner; want %d of each", byID, n, byOwner, want)
	}
	if want == 0 && len(table.byOwner) != 0 {
		t.Errorf("%d owners without entries", len(table.byOwner))
	}
	for i, e := range table.byExpiry {
		if e.index != i {
			t.Errorf("the entry at %d of the heap has the index %d", i, e.index)
		}
	}
}

func TestOwnersLeaveNothingBehind(t *testing.T) {
	s := New(nil)
	defer s.Close()
	create(t, s, "a", "alice", time.Hour)
	create(t, s, "b", "alice", time.Hour)
	create(t, s, "c", "alice", time.Hour)
	holds(t, s, 3)
	rec, err := s.Get(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	for _, owner := range []string{"bob", "alice", "bob"} {
		rec.Owner = owner
		if rec.Version, err = s.Update(t.Context(), "b", rec); err != nil {
			t.Fatal(err)
		}
		holds(t, s, 3)
	}
	if n, err := s.DeleteOwner(t.Context(), "alice"); n != 2 || err != nil {
		t.Errorf("DeleteOwner: %d, %v; want 2", n, err)
	}
	holds(t, s, 1)
	if err := s.Delete(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	holds(t, s, 0)
}

func TestTheIndexGrowsAndShrinks(t *testing.T) {
	s := New(nil)
	defer s.Close()
	const n = 10_000
	for i := range n {
		create(t, s, fmt.Sprint(i), "owner", time.Hour)
	}
	holds(t, s, n)
	for i := range n - 10 {
		if err := s.Delete(t.Context(), fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	holds(t, s, 10)
	for i := n - 10; i < n; i++ {
		if _, err := s.Get(t.Context(), fmt.Sprint(i)); err != nil {
			t.Errorf("Get(%d): %v", i, err)
		}
	}
}

// Records that come and go leave slots behind that are used again.
func TestChurnDoesNotGrowTheIndex(t *testing.T) {
	s := New(nil)
	defer s.Close()
	for i := range 100_000 {
		create(t, s, fmt.Sprint(i), "owner", time.Hour)
		if i < 100 {
			continue
		}
		if err := s.Delete(t.Context(), fmt.Sprint(i-100)); err != nil {
			t.Fatal(err)
		}
	}
	holds(t, s, 100)
}

// A walker that stands in slots which were replaced misses nothing that stays, and
// shows nothing that has gone.
func TestReplacedSlotsStayInUse(t *testing.T) {
	s := New(nil)
	defer s.Close()
	const n = 1000
	for i := range n {
		create(t, s, fmt.Sprint(i), "owner", time.Hour)
	}
	shown := make(map[string]int)
	for e, err := range s.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		shown[e.ID]++
		if len(shown) != 1 {
			continue
		}
		for i := range 20 * n {
			create(t, s, fmt.Sprint("more", i), "owner", time.Hour)
		}
		for i := range n / 2 {
			if err := s.Delete(t.Context(), fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
			shown[fmt.Sprint(i)] = 1
		}
	}
	for i := range n {
		if id := fmt.Sprint(i); shown[id] != 1 {
			t.Errorf("All showed %q %d times", id, shown[id])
		}
	}
}

// A loop over all records that replaces each comes to an end.
func TestAllDoesNotMeetWhatWasCreatedAgain(t *testing.T) {
	s := New(nil)
	defer s.Close()
	const n = 1000
	for i := range n {
		create(t, s, fmt.Sprint(i), "owner", time.Hour)
	}
	shown := 0
	for e, err := range s.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		shown++
		if err := s.Delete(t.Context(), e.ID); err != nil {
			t.Fatal(err)
		}
		create(t, s, e.ID, "owner", time.Hour)
	}
	if shown != n {
		t.Errorf("All showed %d records, want %d", shown, n)
	}
	holds(t, s, n)
}
