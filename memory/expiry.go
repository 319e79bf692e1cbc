package memory

import (
	"container/heap"
	"math"
	"time"

	"github.com/tokensession/tokensession"
)

// never is the expiry of what was given Forever.
const never = math.MaxInt64

const (
	// reapInterval is the least time from one run of reap to the next, so that many
	// records which end one after the other are removed together.
	reapInterval = time.Second

	// reapBatch is how many records are removed while other writers wait, which
	// takes well under a millisecond.
	reapBatch = 256
)

// now is the nanoseconds since the store was made, by the monotonic clock. Counted
// from there, 100 years from now are far from overflowing, and reading the clock
// costs half of what time.Now does.
func (s *Store) now() int64 {
	return int64(time.Since(s.start))
}

// deadline is when what is given ttl at now expires.
func deadline(now int64, ttl time.Duration) int64 {
	if ttl == tokensession.Forever {
		return never
	}
	return now + int64(ttl)
}

// current returns the record of e and an instant of this call at which it was that
// and live. If e is nil or has no live record, it returns nil and the present.
//
// That the time of a record is up takes effect by its removal: after one caller has
// seen it expired, no Touch that read its clock before can bring it back.
func (s *Store) current(e *entry) (r *record, now int64) {
	if e == nil {
		return nil, s.now()
	}
	for {
		// The clock is read between two looks at the record, so that it belongs to
		// the time in which the record was this one.
		r, now = e.record.Load(), s.now()
		switch {
		case r == nil:
			return nil, now
		case now < r.expires && e.record.Load() == r:
			return r, now
		case now >= r.expires && e.record.CompareAndSwap(r, nil):
			return nil, now
		}
	}
}

// schedule sets the timer for the first record of t to expire, if it is not set
// for an earlier time. The caller holds s.mu.
func (s *Store) schedule(t *table, now int64) {
	if len(t.byExpiry) == 0 || t.byExpiry[0].expires == never {
		return
	}
	wakeAt := max(t.byExpiry[0].expires, now+int64(reapInterval))
	if wakeAt >= s.wakeAt {
		return
	}
	s.wakeAt = wakeAt
	if !s.reaper.Reset(time.Duration(wakeAt - now)) {
		s.reaping.Add(1) // Reset has not moved a run but added one
	}
}

// reap removes what has expired. The timer runs it, so that no goroutine waits.
func (s *Store) reap() {
	defer s.reaping.Done()
	for s.reapSome() {
	}
}

// reapSome removes a batch and reports whether there is more. If there is not, it
// sets the timer for the next run.
func (s *Store) reapSome() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.table.Load()
	if t == nil {
		return false
	}
	now := s.now()
	if t.removeExpired(now) {
		return true
	}
	s.wakeAt = never
	s.schedule(t, now)
	return false
}

// removeExpired removes up to reapBatch of the entries that have expired at now,
// and reports whether there may be more.
func (t *table) removeExpired(now int64) bool {
	for range reapBatch {
		if len(t.byExpiry) == 0 || t.byExpiry[0].expires > now {
			return false
		}
		t.remove(t.byExpiry[0])
	}
	return true
}

// expiryHeap is a [heap.Interface] with the entry that expires first at index 0.
type expiryHeap []*entry

var _ heap.Interface = (*expiryHeap)(nil)

func (h expiryHeap) Len() int           { return len(h) }
func (h expiryHeap) Less(i, j int) bool { return h[i].expires < h[j].expires }

func (h expiryHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index = i
	h[j].index = j
}

func (h *expiryHeap) Push(x any) {
	e := x.(*entry)
	e.index = len(*h)
	*h = append(*h, e)
}

func (h *expiryHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil // so that it can be collected
	*h = (*h)[:last]
	return e
}
