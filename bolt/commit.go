package bolt

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/tokensession/tokensession"
)

// Limits of what shares one transaction, so that the first of it need not wait
// long. A single write may be larger.
const (
	maxBatch      = 1024
	maxBatchBytes = 32 << 20
)

// errUnchanged rolls back a transaction that has nothing to commit, which saves the
// sync.
var errUnchanged = errors.New("nothing to commit")

// write is a change that waits for its turn.
type write struct {
	apply func(*txn) error // reports the outcome if the transaction is committed
	bytes int              // what it adds to the transaction, roughly
	err   error            // of apply
	done  chan error       // gets the outcome; has room for it
	taken bool             // whether the committer has it; guarded by queue.mu
}

// write lets the committer apply a change, together with others, and returns its
// outcome. If ctx ends before its turn, it is withdrawn.
func (s *Store) write(ctx context.Context, op, id string, bytes int, apply func(*txn) error) error {
	w := &write{apply: apply, bytes: bytes, done: make(chan error, 1)}
	if !s.queue.push(w) {
		return tokensession.ErrClosed
	}
	select {
	case err := <-w.done:
		return outcome(op, id, err)
	case <-ctx.Done():
	}
	if s.queue.withdraw(w) {
		return ctx.Err()
	}
	return outcome(op, id, <-w.done)
}

// queue holds the writes that the committer has not taken yet.
type queue struct {
	mu     sync.Mutex
	writes []*write
	closed bool
	wake   chan struct{} // has room for one: the queue may not be empty
}

// push appends w, unless the queue is closed.
func (q *queue) push(w *write) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.writes = append(q.writes, w)
	q.signal()
	return true
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default: // it is on its way
	}
}

// withdraw removes w, unless it was taken.
func (q *queue) withdraw(w *write) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if w.taken {
		return false
	}
	i := slices.Index(q.writes, w)
	q.writes = slices.Delete(q.writes, i, i+1)
	return true
}

// take removes the writes of the next transaction, oldest first.
func (q *queue) take() []*write {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, bytes := 0, 0
	for n < len(q.writes) && n < maxBatch && bytes < maxBatchBytes {
		q.writes[n].taken = true
		bytes += q.writes[n].bytes
		n++
	}
	batch := q.writes[:n:n]
	q.writes = q.writes[n:]
	if len(q.writes) > 0 {
		q.signal()
	} else {
		q.writes = nil // or its array would keep what is done from being collected
	}
	return batch
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.writes)
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
}

// run is the committer. It alone writes to the buckets, except for Compact, which
// replaces the file.
func (s *Store) run() {
	defer close(s.stopped)
	s.reaper.start(s.now())
	defer s.reaper.stop()
	for {
		select {
		case <-s.queue.wake:
			s.commitNext()
		case <-s.reaper.timer.C:
			s.reap()
		case <-s.quit:
			for s.commitNext() {
			}
			return
		}
	}
}

// commitNext commits what waits, and reports whether anything did.
func (s *Store) commitNext() bool {
	// What is withdrawn while Compact has the file must not be in the batch.
	s.committing.Lock()
	defer s.committing.Unlock()
	batch := s.queue.take()
	if len(batch) == 0 {
		return false
	}
	began := time.Now()
	err := s.update(func(t *txn) {
		for _, w := range batch {
			w.err = w.apply(t)
		}
	})
	took := time.Since(began)
	busy := s.queue.len() + len(batch)
	for _, w := range batch {
		if err == nil {
			w.done <- w.err
		} else {
			// Also to those that changed nothing: what stood in their way may
			// have been in this transaction.
			w.done <- err
		}
	}
	s.gather(busy, min(took/patience, maxGather))
	return true
}

const (
	// patience is the part of a commit's time by which the next one may start
	// later for the company of more writes. It is not felt, and it is enough: of
	// 64 writers on 2 processors, 58 shared a commit on average, against 43 after a
	// single Gosched.
	patience = 16

	// maxGather bounds it where the disk is slow, since gather keeps a processor
	// busy. Those 64 writers were back in a fifth of it.
	maxGather = time.Millisecond
)

// gather waits until as many writes are queued as there were busy writers, but not
// for long. Those just answered may have the next write ready, and the first of them
// to be queued should not have a sync for itself. A lone writer does not wait.
func (s *Store) gather(busy int, limit time.Duration) {
	if busy == 1 {
		return
	}
	for began := time.Now(); s.queue.len() < busy && time.Since(began) < limit; {
		runtime.Gosched()
	}
}

// txn is a transaction that writes.
type txn struct {
	buckets
	changed bool
	soonest int64 // the earliest time put into the expiry index
	err     error // the first failure, which fails the transaction
}

// update runs fn in a transaction and commits what it changed. The caller holds
// s.committing.
func (s *Store) update(fn func(*txn)) error {
	t := txn{soonest: forever}
	err := guard(func() error {
		return s.db.Update(func(tx *bbolt.Tx) (err error) {
			if t.buckets, err = s.buckets(tx); err != nil {
				return err
			}
			fn(&t)
			if t.err == nil && !t.changed {
				return errUnchanged
			}
			return t.err
		})
	})
	if err == errUnchanged {
		return nil
	}
	if err == nil {
		s.reaper.expect(s.now(), t.soonest)
	}
	return err
}

// replace stores r, which expires at the time at, under id in place of old, which is
// empty if nothing is there.
//
// The entry in the expiry index stays where it is if that is early enough: the
// reaper moves it when it gets there. So a session that is touched again and again
// costs an entry's move once in a lifetime and not each time, which halves the pages
// that an Update writes.
func (t *txn) replace(id string, old, r record, at int64) {
	r.expire(at, min(old.due(), at))
	t.index(id, old, r)
	t.put(t.records, []byte(id), r.value)
}

// remove removes old, which is stored under id.
func (t *txn) remove(id string, old record) {
	t.index(id, old, record{})
	t.delete(t.records, []byte(id))
}

// index moves the entries of id in the indexes from those of old to those of r.
func (t *txn) index(id string, old, r record) {
	t.move(t.expiry, old.expiryKey(id), r.expiryKey(id))
	t.move(t.owners, old.ownerKey(id), r.ownerKey(id))
	t.soonest = min(t.soonest, r.due())
}

// move replaces the key from by the key to; nil is none.
func (t *txn) move(b *bbolt.Bucket, from, to []byte) {
	if string(from) == string(to) {
		return
	}
	if from != nil {
		t.delete(b, from)
	}
	if to != nil {
		t.put(b, to, noValue)
	}
}

func (t *txn) put(b *bbolt.Bucket, key, value []byte) {
	t.changed = true
	t.fail(b.Put(key, value))
}

func (t *txn) delete(b *bbolt.Bucket, key []byte) {
	t.changed = true
	t.fail(b.Delete(key))
}

func (t *txn) fail(err error) {
	if t.err == nil {
		t.err = err
	}
}
