package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tokensession/tokensession"
)

// A history is what several goroutines did to one id, and when each call began and
// ended. The store is linearizable if every history can be put into an order in which
// the calls, one at a time, have the outcomes they had, and in which no call comes before
// one that had ended when it began.

// state is what is kept under the id: the number of the write that made it, or none.
type state int

const none state = 0

func (s state) String() string {
	if s == none {
		return "none"
	}
	return "s" + strconv.Itoa(int(s))
}

// event is one call and its outcome.
type event struct {
	op         string // "Get", "Create", "Update", "Touch" or "Delete"
	from       state  // Update: the state whose Version it came with
	to         state  // Create and Update: the state to be made. Get: the one seen
	err        error  // nil, one of the package's, or another if the outcome is unknown
	begin, end int64  // stamps of one counter, so that no clock is needed
}

// unknown reports whether the call may have taken effect or not. It may also do so
// after its return.
func (e event) unknown() bool { return e.err != nil && !known(e.err) }

// apply returns the state after e, and whether e can have the outcome it had where the
// state is s.
func (e event) apply(s state) (state, bool) {
	if e.unknown() {
		if next, ok := (event{op: e.op, from: e.from, to: e.to}).apply(s); ok && e.op != "Get" {
			return next, true
		}
		return s, true
	}
	switch e.op {
	case "Get":
		if e.err != nil {
			return s, s == none && errors.Is(e.err, tokensession.ErrNotFound)
		}
		return s, s != none && s == e.to
	case "Create":
		if e.err != nil {
			return s, s != none && errors.Is(e.err, tokensession.ErrExists)
		}
		return e.to, s == none
	case "Update":
		if e.err != nil {
			return s, s == none && errors.Is(e.err, tokensession.ErrNotFound) ||
				s != none && s != e.from && errors.Is(e.err, tokensession.ErrConflict)
		}
		return e.to, s != none && s == e.from
	case "Touch":
		if e.err != nil {
			return s, s == none && errors.Is(e.err, tokensession.ErrNotFound)
		}
		return s, s != none
	default: // Delete. That it fails where no record is breaks another rule.
		return none, e.err == nil || s == none
	}
}

func (e event) String() string {
	var call string
	switch e.op {
	case "Create":
		call = fmt.Sprintf("Create(%v)", e.to)
	case "Update":
		call = fmt.Sprintf("Update(from %v to %v)", e.from, e.to)
	default:
		call = e.op + "()"
	}
	outcome := errorName(e.err)
	if e.op == "Get" && e.err == nil {
		outcome = e.to.String()
	}
	return fmt.Sprintf("%4d to %4d  %s = %s", e.begin, e.end, call, outcome)
}

// linearizable reports whether history, of at most 64 events, is. It searches, depth
// first, for an order, and remembers the sets of events that led nowhere (Wing and Gong,
// with Lowe's memory).
func linearizable(history []event) bool {
	type point struct {
		done uint64
		s    state
	}
	tried := make(map[point]bool)
	var search func(point) bool
	search = func(at point) bool {
		if tried[at] {
			return false
		}
		tried[at] = true
		pending, firstEnd := false, int64(1<<62)
		for i, e := range history {
			if at.done&(1<<i) == 0 && !e.unknown() {
				pending, firstEnd = true, min(firstEnd, e.end)
			}
		}
		if !pending {
			return true // those of unknown outcome may never have happened
		}
		for i, e := range history {
			if at.done&(1<<i) != 0 || e.begin > firstEnd {
				continue
			}
			if s, ok := e.apply(at.s); ok && search(point{at.done | 1<<i, s}) {
				return true
			}
		}
		return false
	}
	return search(point{})
}

// essence is what is left of a history that is not linearizable when the calls are taken out that
// changed nothing and that it does not need for that.
func essence(history []event) []event {
	history = slices.Clone(history)
	for i := 0; i < len(history); {
		rest := slices.Delete(slices.Clone(history), i, i+1)
		if history[i].changes() || linearizable(rest) {
			i++
			continue
		}
		history = rest
	}
	return history
}

// changes reports whether the call may have changed the state.
func (e event) changes() bool {
	return e.op != "Get" && e.op != "Touch" && !known(e.err)
}

// historian lets goroutines work on one id, and writes down what they do.
type historian struct {
	p       *probe
	id      string
	stamp   atomic.Int64
	writes  atomic.Int64
	mu      sync.Mutex
	made    map[tokensession.Version]state // what made each Version that was seen
	latest  tokensession.Version
	history []event
}

// step makes one random call.
func (h *historian) step(store tokensession.Store) {
	ctx, e := h.p.Context(), event{op: "Get", begin: h.stamp.Add(1)}
	var v tokensession.Version
	switch rand.IntN(8) {
	case 0, 1:
		var rec tokensession.Record
		rec, e.err = store.Get(ctx, h.id)
		n, _ := strconv.Atoi(string(rec.Data))
		v, e.to = rec.Version, state(n)
	case 2:
		e.op, e.to = "Create", state(h.writes.Add(1))
		v, e.err = store.Create(ctx, h.id, h.record(e.to, ""))
	case 3, 4, 5:
		var from tokensession.Version
		from, e.from = h.version()
		e.op, e.to = "Update", state(h.writes.Add(1))
		v, e.err = store.Update(ctx, h.id, h.record(e.to, from))
	case 6:
		e.op, e.err = "Touch", store.Touch(ctx, h.id, time.Hour)
	case 7:
		e.op, e.err = "Delete", store.Delete(ctx, h.id)
	}
	e.end = h.stamp.Add(1)
	h.add(e, v)
}

func (h *historian) record(n state, v tokensession.Version) tokensession.Record {
	return at(v, record(strconv.Itoa(int(n)), "", time.Hour))
}

func (h *historian) version() (tokensession.Version, state) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.latest, h.made[h.latest]
}

func (h *historian) add(e event, v tokensession.Version) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.history = append(h.history, e)
	if e.err == nil && v != "" {
		h.made[v], h.latest = e.to, v
	}
}

// linearHistories writes short histories and checks each.
func linearHistories(p *probe) {
	const goroutines, steps = 4, 6
	handles := p.handles()
	p.rounds(func() {
		h := &historian{p: p, id: newID(), made: make(map[tokensession.Version]state)}
		together(goroutines, func(i int) {
			for range steps {
				h.step(handles[i%len(handles)])
			}
		})
		if !linearizable(h.history) {
			slices.SortFunc(h.history, func(a, b event) int { return cmp.Compare(a.begin, b.begin) })
			var lines []string
			for _, e := range essence(h.history) {
				lines = append(lines, e.String())
			}
			p.failure(noCalls, "no order of these calls explains their outcomes (each ran from one count to the other):\n%s",
				indent(strings.Join(lines, "\n")))
			p.FailNow()
		}
		p.delete(h.id)
	})
}

// linearReads reads what was written, by another handle if there is one, as soon as the
// write has returned.
func linearReads(p *probe) {
	handles := p.handles()
	other := p.on(handles[len(handles)-1])
	p.rounds(func() {
		id := newID()
		v := p.mustCreate(id, record("created", "", time.Hour))
		other.wantRecord(id, record("created", "", 0))
		p.mustUpdate(id, at(v, record("updated", "owner", time.Hour)))
		other.wantRecord(id, record("updated", "owner", 0))
		p.mustDelete(id)
		other.wantGone(id)
	})
}
