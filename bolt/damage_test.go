package bolt

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"github.com/tokensession/tokensession"
)

// damages are ways to damage a record's value.
var damages = map[string]func([]byte) []byte{
	"empty":     func([]byte) []byte { return noValue },
	"short":     func(v []byte) []byte { return v[:5] },
	"header":    func(v []byte) []byte { return v[:ownerAt] },
	"truncated": func(v []byte) []byte { return v[:len(v)-1] },
	"checksum":  func(v []byte) []byte { v[0]++; return v },
	"expiry":    func(v []byte) []byte { v[expiryAt]++; return v },
	"version":   func(v []byte) []byte { v[versionAt]++; return v },
	"ownerLen":  func(v []byte) []byte { v[ownerLenAt]++; return v },
	"data":      func(v []byte) []byte { v[len(v)-1]++; return v },
}

func damage(t *testing.T, s *Store, id string, how func([]byte) []byte) {
	t.Helper()
	err := s.db.Update(func(tx *bbolt.Tx) error {
		records := tx.Bucket(s.bucket).Bucket(recordsName)
		return records.Put([]byte(id), how(bytes.Clone(records.Get([]byte(id)))))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func wantCorrupt(t *testing.T, err error) {
	t.Helper()
	wantUnknown(t, err)
	if !errors.Is(err, tokensession.ErrCorrupt) {
		t.Errorf("got %v, want ErrCorrupt", err)
	}
}

// A damaged record is an error of that record alone.
func TestDamagedRecord(t *testing.T) {
	for name, how := range damages {
		t.Run(name, func(t *testing.T) {
			s := openTemp(t)
			for _, id := range []string{"a", "b", "c"} {
				mustCreate(t, s, id, "o", time.Hour)
			}
			damage(t, s, "b", how)
			rec := tokensession.Record{Version: "x", TTL: time.Hour}
			_, err := s.Get(t.Context(), "b")
			wantCorrupt(t, err)
			_, err = s.Create(t.Context(), "b", rec)
			wantCorrupt(t, err)
			_, err = s.Update(t.Context(), "b", rec)
			wantCorrupt(t, err)
			wantCorrupt(t, s.Touch(t.Context(), "b", time.Hour))
			wantDamagedB(t, s.All(t.Context()))
			wantDamagedB(t, s.ByOwner(t.Context(), "o"))
			if n, err := s.Len(t.Context()); n != 2 || err != nil {
				t.Errorf("Len %d, %v", n, err)
			}

			if err := s.Delete(t.Context(), "b"); err != nil {
				t.Fatal(err)
			}
			wantKeys(t, s, 2, 2, 2)
			mustCreate(t, s, "b", "o", time.Hour)
			damage(t, s, "b", how)
			if n, err := s.DeleteOwner(t.Context(), "o"); n != 2 || err != nil {
				t.Errorf("DeleteOwner %d, %v", n, err)
			}
			wantKeys(t, s, 0, 0, 0)
		})
	}
}

func wantDamagedB(t *testing.T, seq func(func(tokensession.Entry, error) bool)) {
	t.Helper()
	var good []string
	for e, err := range seq {
		if e.ID == "b" {
			wantUnknown(t, err)
		} else if err != nil {
			t.Errorf("%s: %v", e.ID, err)
		} else {
			good = append(good, e.ID)
		}
	}
	if !slices.Equal(good, []string{"a", "c"}) {
		t.Errorf("the others: %v", good)
	}
}

// A record under another's id is damaged too.
func TestMisplacedRecord(t *testing.T) {
	s := openTemp(t)
	mustCreate(t, s, "a", "", time.Hour)
	mustCreate(t, s, "b", "", time.Hour)
	var value []byte
	damage(t, s, "a", func(v []byte) []byte { value = bytes.Clone(v); return v })
	damage(t, s, "b", func([]byte) []byte { return value })
	_, err := s.Get(t.Context(), "b")
	wantUnknown(t, err)
}

// A damaged record goes when its time is up, so nobody is locked out for ever.
func TestDamagedRecordIsReaped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openTemp(t)
		mustCreate(t, s, "b", "o", time.Minute)
		damage(t, s, "b", damages["version"])
		time.Sleep(time.Minute + reapPause)
		wantKeys(t, s, 0, 0, 0)
	})
}

// Entries of the indexes that belong to nothing are not believed.
func TestDanglingIndexEntries(t *testing.T) {
	s := openTemp(t)
	mustCreate(t, s, "a", "o", time.Hour)
	err := s.db.Update(func(tx *bbolt.Tx) error {
		owners := tx.Bucket(s.bucket).Bucket(ownersName)
		if err := owners.Put(ownerKey([]byte("p"), "a"), noValue); err != nil {
			return err
		}
		return owners.Put(ownerKey([]byte("p"), "gone"), noValue)
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := ids(t, s, "p"); got != nil {
		t.Errorf("ByOwner shows %v", got)
	}
}

// A file that is cut off while it is in use is an error, not a fault that ends the
// process. When it is whole again, the store goes on.
func TestFileCutOffInUse(t *testing.T) {
	path := tempFile(t)
	s := openTest(t, "bolt:"+path)
	rec := tokensession.Record{Data: make([]byte, 1<<20), TTL: time.Hour}
	if _, err := s.Create(t.Context(), "a", rec); err != nil {
		t.Fatal(err)
	}
	s.committing.Lock() // keeps the reaper away
	defer s.committing.Unlock()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 2*int64(os.Getpagesize())); err != nil {
		t.Fatal(err)
	}
	_, err = s.Get(t.Context(), "a")
	wantUnknown(t, err)
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), "a"); err != nil {
		t.Error(err)
	}
}
