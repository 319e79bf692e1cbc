package bolt

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"github.com/tokensession/tokensession"
)

// queued waits until n writes are waiting.
func queued(t *testing.T, s *Store, n int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); s.queue.len() != n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d writes are queued, want %d", s.queue.len(), n)
		}
	}
}

// occupy keeps the committer busy with a write until the function that it returns is
// called.
func occupy(t *testing.T, s *Store) (release func()) {
	t.Helper()
	taken, released := make(chan struct{}), make(chan struct{})
	go s.write(context.Background(), "test", "", 0, func(*txn) error {
		close(taken)
		<-released
		return nil
	})
	<-taken
	release = sync.OnceFunc(func() { close(released) })
	t.Cleanup(release)
	return release
}

func commits(t *testing.T, db *bbolt.DB) (n int) {
	t.Helper()
	if err := db.View(func(tx *bbolt.Tx) error { n = tx.ID(); return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

// Writes that wait share one transaction, and each has its own outcome.
func TestWritersShareACommit(t *testing.T) {
	db := borrow(t)
	s := newTest(t, db, nil)
	v := mustCreate(t, s, "taken", "", time.Hour)
	rec := tokensession.Record{TTL: time.Hour}

	var wg sync.WaitGroup
	release := occupy(t, s)
	const n = 50
	for i := range n {
		wg.Go(func() {
			_, err := s.Create(context.Background(), fmt.Sprint("id", i), rec)
			if err != nil {
				t.Error(err)
			}
		})
	}
	fail := func(want error, f func() error) {
		wg.Go(func() { wantErr(t, f(), want) })
	}
	fail(tokensession.ErrExists, func() error {
		_, err := s.Create(context.Background(), "taken", rec)
		return err
	})
	fail(tokensession.ErrConflict, func() error {
		_, err := s.Update(context.Background(), "taken", tokensession.Record{Version: v[1:], TTL: time.Hour})
		return err
	})
	fail(tokensession.ErrNotFound, func() error { return s.Touch(context.Background(), "missing", time.Hour) })
	queued(t, s, n+3)
	before := commits(t, db)
	release() // of a write that changes nothing
	wg.Wait()
	if got := commits(t, db) - before; got != 1 {
		t.Errorf("%d writes took %d commits, want 1", n, got)
	}
	wantKeys(t, s, n+1, n+1, 0)
}

// A failed transaction is unknown to all who shared it, also to those who would have
// had a clear answer.
func TestCommitFails(t *testing.T) {
	s := openTemp(t)
	mustCreate(t, s, "taken", "", time.Hour)
	var wg sync.WaitGroup
	release := occupy(t, s)
	broken := errors.New("no more space")
	wg.Go(func() {
		err := s.write(context.Background(), "create", "x", 0, func(t *txn) error {
			t.put(t.records, []byte("x"), noValue)
			t.fail(broken)
			return nil
		})
		wantUnknown(t, err)
		wantErr(t, err, broken)
	})
	wg.Go(func() {
		wantUnknown(t, s.write(context.Background(), "create", "x", 0, func(*txn) error { return tokensession.ErrExists }))
	})
	wg.Go(func() {
		_, err := s.Create(context.Background(), "y", tokensession.Record{TTL: time.Hour})
		wantUnknown(t, err)
	})
	queued(t, s, 3)
	release()
	wg.Wait()
	wantKeys(t, s, 1, 1, 0)
}

// A lone writer waits for the disk and for nothing else. In a bubble, time passes
// only while all wait for it.
func TestLoneWriterIsNotDelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openTemp(t)
		began := time.Now()
		mustCreate(t, s, "a", "o", time.Hour)
		if took := time.Since(began); took != 0 {
			t.Errorf("it was delayed for %v", took)
		}
	})
}

func TestPanicIsAnError(t *testing.T) {
	s := openTemp(t)
	wantUnknown(t, s.write(t.Context(), "create", "x", 0, func(*txn) error { panic("page 7 is odd") }))
	wantUnknown(t, outcome("get", "x", s.view(func(*buckets) error { panic("page 7 is odd") })))
	mustCreate(t, s, "x", "", time.Hour)
}

// A write whose context ends while it is queued has no effect; one that was taken
// reports its outcome.
func TestWithdraw(t *testing.T) {
	s := openTemp(t)
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	taken, release := make(chan struct{}), make(chan struct{})
	wg.Go(func() {
		err := s.write(ctx, "create", "taken", 0, func(t *txn) error {
			close(taken)
			<-release
			r := newRecord("taken", tokensession.Record{})
			t.replace("taken", record{}, r, forever)
			return nil
		})
		if err != nil {
			t.Error("taken:", err)
		}
	})
	<-taken
	queuedErr := make(chan error)
	wg.Go(func() {
		_, err := s.Create(ctx, "queued", tokensession.Record{TTL: time.Hour})
		queuedErr <- err
	})
	queued(t, s, 1)
	cancel()
	wantErr(t, <-queuedErr, context.Canceled) // while the committer is still busy
	close(release)
	wg.Wait()
	if got := ids(t, s, ""); len(got) != 1 || got[0] != "taken" {
		t.Errorf("stored are %v", got)
	}
}

// What changes nothing costs no sync.
func TestRefusedWriteIsNotCommitted(t *testing.T) {
	db := borrow(t)
	s := newTest(t, db, nil)
	before := commits(t, db)
	if err := s.Delete(t.Context(), "missing"); err != nil {
		t.Error(err)
	}
	wantErr(t, s.Touch(t.Context(), "missing", time.Hour), tokensession.ErrNotFound)
	if got := commits(t, db) - before; got != 0 {
		t.Errorf("%d commits, want 0", got)
	}
}

func TestBatchesAreBounded(t *testing.T) {
	q := queue{wake: make(chan struct{}, 1)}
	for range maxBatch + 1 {
		q.push(&write{})
	}
	if n := len(q.take()); n != maxBatch {
		t.Errorf("took %d, want %d", n, maxBatch)
	}
	q.push(&write{bytes: maxBatchBytes})
	q.push(&write{})
	if n := len(q.take()); n != 2 {
		t.Errorf("took %d, want 2", n)
	}
	if n := len(q.take()); n != 1 {
		t.Errorf("took %d, want 1", n)
	}
}
