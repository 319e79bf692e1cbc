package bolt

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensession/tokensession"
)

// Expired records are gone at once, for everything, and from the file soon.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openTemp(t)
		v := mustCreate(t, s, "short", "o", 10*time.Millisecond)
		mustCreate(t, s, "long", "o", time.Hour)
		mustCreate(t, s, "ever", "o", tokensession.Forever)
		time.Sleep(10*time.Millisecond - 1)
		if rec, err := s.Get(t.Context(), "short"); err != nil || rec.TTL != 1 {
			t.Errorf("a nanosecond before: TTL %v, %v", rec.TTL, err)
		}
		time.Sleep(time.Nanosecond)
		_, err := s.Get(t.Context(), "short")
		wantErr(t, err, tokensession.ErrNotFound)
		_, err = s.Update(t.Context(), "short", tokensession.Record{Version: v, TTL: time.Hour})
		wantErr(t, err, tokensession.ErrNotFound)
		wantErr(t, s.Touch(t.Context(), "short", time.Hour), tokensession.ErrNotFound)
		if n, err := s.Len(t.Context()); n != 2 || err != nil {
			t.Errorf("Len %d, %v", n, err)
		}
		if got := ids(t, s, ""); len(got) != 2 {
			t.Errorf("All shows %v", got)
		}
		if got := ids(t, s, "o"); len(got) != 2 {
			t.Errorf("ByOwner shows %v", got)
		}
		wantKeys(t, s, 3, 2, 3)
		time.Sleep(2 * reapPause)
		wantKeys(t, s, 2, 1, 2)

		mustCreate(t, s, "short", "o", time.Millisecond)
		time.Sleep(time.Millisecond)
		if n, err := s.DeleteOwner(t.Context(), "o"); n != 2 || err != nil {
			t.Errorf("DeleteOwner removed %d live records, %v; want 2", n, err)
		}
		wantKeys(t, s, 0, 0, 0)
	})
}

// A Create over an expired record leaves nothing of it behind.
func TestCreateOverExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openTemp(t)
		mustCreate(t, s, "a", "o1", time.Millisecond)
		time.Sleep(time.Millisecond)
		mustCreate(t, s, "a", "o2", time.Hour)
		wantKeys(t, s, 1, 1, 1)
		if got := ids(t, s, "o1"); got != nil {
			t.Errorf("the owner before has %v", got)
		}
		time.Sleep(time.Minute)
		wantKeys(t, s, 1, 1, 1)
		time.Sleep(time.Hour)
		wantKeys(t, s, 0, 0, 0)
	})
}

// The reaper follows a record whose lifetime changes, either way and to Forever.
func TestReaperFollowsTouch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openTemp(t)
		touch := func(id string, ttl time.Duration) {
			t.Helper()
			if err := s.Touch(t.Context(), id, ttl); err != nil {
				t.Fatal(err)
			}
		}
		for _, id := range []string{"longer", "shorter", "ever", "mortal"} {
			mustCreate(t, s, id, "", time.Hour)
		}
		touch("mortal", tokensession.Forever)
		touch("longer", 3*time.Hour)
		touch("shorter", time.Minute)
		touch("ever", tokensession.Forever)
		wantKeys(t, s, 4, 4, 0)
		time.Sleep(time.Minute + reapPause)
		wantKeys(t, s, 3, 3, 0)
		time.Sleep(time.Hour)
		wantKeys(t, s, 3, 1, 0) // ever and mortal have no end
		touch("mortal", time.Minute)
		time.Sleep(time.Minute + reapPause)
		wantKeys(t, s, 2, 1, 0)
		time.Sleep(2 * time.Hour)
		wantKeys(t, s, 1, 0, 0)
		if rec, err := s.Get(t.Context(), "ever"); err != nil || rec.TTL != tokensession.Forever {
			t.Errorf("%v, %v", rec.TTL, err)
		}
	})
}

// What expired while the file was closed is removed after Open, however much it is.
func TestReapAfterOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := tempFile(t)
		s := openTest(t, "bolt:"+path)
		const n = 2*reapBatch + 1
		done := make(chan struct{})
		for i := range n {
			go func() {
				mustCreate(t, s, fmt.Sprint("id", i), "o", time.Minute)
				done <- struct{}{}
			}()
		}
		for range n {
			<-done
		}
		s.Close()
		time.Sleep(time.Minute)
		s = openTest(t, "bolt:"+path)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		wantKeys(t, s, 0, 0, 0)
	})
}

// The reaper does not commit more than about once a second, while little expires.
func TestReaperRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := borrow(t)
		s := newTest(t, db, nil)
		for i := range 100 {
			mustCreate(t, s, fmt.Sprint("id", i), "", time.Minute+time.Duration(i)*50*time.Millisecond)
		}
		before := commits(t, db)
		time.Sleep(time.Minute + 10*time.Second)
		if got := commits(t, db) - before; got < 1 || got > 7 {
			t.Errorf("%d commits for what expired within 5 s", got)
		}
		wantKeys(t, s, 0, 0, 0)
	})
}

// While a Touch that found the record live is being committed, the record must not
// be reported gone, since it is there afterwards.
func TestExpiryDuringCommit(t *testing.T) {
	s := openTemp(t)
	mustCreate(t, s, "a", "o", time.Hour)
	got := make(chan error, 3)
	var end int64
	err := s.write(t.Context(), "touch", "a", 0, func(tx *txn) error {
		old, err := tx.findLive("a")
		if err != nil {
			return err
		}
		r := old.clone()
		end = tx.now + int64(300*time.Millisecond)
		r.expire(end, end)
		tx.index("a", old, r)
		tx.put(tx.records, []byte("a"), r.value)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.write(t.Context(), "touch", "a", 0, func(tx *txn) error {
		old, err := tx.find("a")
		if err != nil {
			return err
		}
		tx.replace("a", old, old.clone(), forever)
		// The clock passes the expiry while the Touch is under way.
		time.Sleep(time.Until(time.Unix(0, end+1)))
		go func() {
			_, err := s.Get(t.Context(), "a")
			got <- err
		}()
		go func() {
			got <- missing(s.ByOwner(t.Context(), "o"))
		}()
		go func() {
			got <- missing(s.All(t.Context()))
		}()
		time.Sleep(20 * time.Millisecond) // for those who would not wait
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for range cap(got) {
		if err := <-got; err != nil {
			t.Error(err)
		}
	}
}

func missing(seq func(func(tokensession.Entry, error) bool)) error {
	for _, err := range seq {
		return err
	}
	return tokensession.ErrNotFound
}
