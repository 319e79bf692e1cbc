package memory

import (
	"container/heap"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tokensession/tokensession"
)

// table holds the entries under their three orders. Readers use byID alone, and
// lists of byOwner from their first link on; the rest is under Store.mu.
type table struct {
	byID     *index
	byExpiry expiryHeap
	byOwner  map[string]*ownerList
}

// entry is the place of one id's record from Create until it is removed. Another
// Create of that id makes another entry.
type entry struct {
	id   string
	hash uint64 // of id, by the index

	// record is the state. It is nil, for good, once the record is gone. Writers
	// change it under Store.mu; beside them only current does, without, from a record
	// whose time is up to nil.
	record atomic.Pointer[record]

	// Under Store.mu:
	expires int64 // the record's, also after current has removed that
	index   int   // in byExpiry
	owned   *link // in the owner's list; nil if nobody's
}

// record is one state of an entry. It is never changed.
type record struct {
	data    []byte
	owner   string
	version tokensession.Version
	expires int64 // on the clock of Store.now; never if it is Forever
}

// export is r as seen at now, when it was live.
func (r *record) export(now int64) tokensession.Record {
	left := tokensession.Forever
	if r.expires != never {
		left = time.Duration(r.expires - now)
	}
	return tokensession.Record{Data: r.data, Owner: r.owner, Version: r.version, TTL: left}
}

func newTable() *table {
	return &table{byID: newIndex(), byOwner: make(map[string]*ownerList)}
}

// insert adds an entry for id, of which there is none.
func (t *table) insert(id string, r *record) {
	e := &entry{id: strings.Clone(id), expires: r.expires}
	e.record.Store(r)
	heap.Push(&t.byExpiry, e)
	t.own(e, r.owner)
	t.byID.insert(e)
}

// replace makes next the record of e, unless the time of old was up meanwhile.
func (t *table) replace(e *entry, old, next *record) bool {
	if !e.record.CompareAndSwap(old, next) {
		return false
	}
	e.expires = next.expires
	heap.Fix(&t.byExpiry, e.index)
	if next.owner != old.owner {
		t.disown(e)
		t.own(e, next.owner)
	}
	return true
}

// remove kills e and takes it out, in this order; see Get.
func (t *table) remove(e *entry) {
	e.record.Store(nil)
	t.byID.remove(e)
	heap.Remove(&t.byExpiry, e.index)
	t.disown(e)
}
