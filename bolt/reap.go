package bolt

import (
	"bytes"
	"errors"
	"time"

	"github.com/tokensession/tokensession"
)

const (
	// reapBatch is how many records are removed in one transaction, for which
	// writers wait.
	reapBatch = 256

	// reapPause keeps the sync that removing takes from being paid more often.
	reapPause = time.Second

	// reapRetry is the pause after a failure.
	reapRetry = time.Minute

	// reapAtLeast is for what the committer has not seen: the wall clock was set,
	// or another store on this bucket was closed and left its records here.
	reapAtLeast = time.Hour
)

// reaper says when to look for expired records. Only the committer uses it.
type reaper struct {
	timer *time.Timer
	next  time.Time // when it fires
	last  time.Time // when it fired
}

// start lets it fire at once, for what expired while nobody had the file open.
func (r *reaper) start(now time.Time) {
	r.timer = time.NewTimer(0)
	r.next = now
}

func (r *reaper) stop() { r.timer.Stop() }

// expect lets it fire when a record expires at the time at, if that is sooner than
// it would.
func (r *reaper) expect(now time.Time, at int64) {
	if at >= r.next.UnixNano() {
		return
	}
	r.set(now, max(time.Duration(at-now.UnixNano()), reapPause-now.Sub(r.last)))
}

func (r *reaper) set(now time.Time, wait time.Duration) {
	wait = min(wait, reapAtLeast)
	r.next = now.Add(wait)
	r.timer.Reset(wait)
}

// reap removes expired records, a batch at most, and sets the reaper for the next.
func (s *Store) reap() {
	s.committing.Lock()
	defer s.committing.Unlock()
	var (
		next    int64
		damaged []string
	)
	err := s.update(func(t *txn) { next, damaged = t.reap() })
	now := s.now()
	s.reaper.last = now
	if err != nil {
		s.log.Error("bolt: removing expired records failed", "bucket", string(s.bucket), "error", err)
		s.reaper.set(now, reapRetry)
		return
	}
	for _, id := range damaged {
		s.log.Warn("bolt: a damaged record was removed when its time was up", "bucket", string(s.bucket), "id", id[:min(8, len(id))])
	}
	s.reaper.set(now, s.reapAfter(next, now))
}

// reapAfter returns how long to wait for the record that is due next: not at all
// if it is one that the batch had no room for.
func (s *Store) reapAfter(next int64, now time.Time) time.Duration {
	if next <= now.UnixNano() {
		return 0
	}
	return max(time.Duration(next-now.UnixNano()), reapPause)
}

// reap looks at the first records that are due and removes those that have expired.
// It returns when the next one is due and the ids of the damaged ones it removed.
func (t *txn) reap() (next int64, damaged []string) {
	due, next := t.due()
	for _, key := range due {
		at, id := splitExpiryKey(key)
		switch old, err := t.find(id); {
		case errors.Is(err, tokensession.ErrCorrupt):
			t.removeDamaged(id)
			damaged = append(damaged, id)
		case err != nil || old.due() != at:
			t.delete(t.expiry, key) // of a record that is not there, or elsewhere
		case t.live(old):
			t.postpone(id, old)
		default:
			t.remove(id, old)
		}
	}
	return min(next, t.soonest), damaged
}

// postpone moves the entry of a record that lives longer than it did when it got it.
func (t *txn) postpone(id string, old record) {
	r := old.clone()
	r.expire(r.expiry(), r.expiry())
	t.index(id, old, r)
	t.put(t.records, []byte(id), r.value)
}

// due returns the first keys of the expiry index whose time is up, and the time of
// the key that follows them.
func (t *txn) due() (keys [][]byte, next int64) {
	c := t.expiry.Cursor()
	for key, _ := c.First(); key != nil; key, _ = c.Next() {
		at, _ := splitExpiryKey(key)
		if at > t.now || len(keys) == reapBatch {
			return keys, at
		}
		keys = append(keys, bytes.Clone(key))
	}
	return keys, forever
}
