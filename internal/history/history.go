// Package history decides whether what several goroutines did to one id is linearizable
// (rule 16 of tokensession.Store).
package history

import (
	"errors"
	"fmt"

	"github.com/tokensession/tokensession"
)

// State is what is kept under the id: the number of the write that made it, or None.
type State int

// None is the State in which no live record is there.
const None State = 0

func (s State) String() string {
	if s == None {
		return "none"
	}
	return fmt.Sprintf("s%d", int(s))
}

// Event is one call and its outcome.
type Event struct {
	Op   string // "Get", "Create", "Update", "Touch" or "Delete"
	From State  // Update: the state whose Version it came with
	To   State  // Create and Update: the state to be made. Get: the one seen
	Err  error  // nil, one of the package's, or another if the outcome is unknown

	// Begin and End are stamps of one counter, so that no clock is needed.
	Begin, End int64
}

// Unknown reports whether the call may have taken effect or not. It may also do so
// after its return.
func (e Event) Unknown() bool { return e.Err != nil && !Known(e.Err) }

// apply returns the state after e, and whether e can have the outcome it had where the
// state is s.
func (e Event) apply(s State) (State, bool) {
	if e.Unknown() {
		if next, ok := (Event{Op: e.Op, From: e.From, To: e.To}).apply(s); ok && e.Op != "Get" {
			return next, true
		}
		return s, true
	}
	switch e.Op {
	case "Get":
		if e.Err != nil {
			return s, s == None && errors.Is(e.Err, tokensession.ErrNotFound)
		}
		return s, s != None && s == e.To
	case "Create":
		if e.Err != nil {
			return s, s != None && errors.Is(e.Err, tokensession.ErrExists)
		}
		return e.To, s == None
	case "Update":
		if e.Err != nil {
			return s, s == None && errors.Is(e.Err, tokensession.ErrNotFound) ||
				s != None && s != e.From && errors.Is(e.Err, tokensession.ErrConflict)
		}
		return e.To, s != None && s == e.From
	case "Touch":
		if e.Err != nil {
			return s, s == None && errors.Is(e.Err, tokensession.ErrNotFound)
		}
		return s, s != None
	default: // Delete. That it fails where no record is breaks another rule.
		return None, e.Err == nil || s == None
	}
}

// String shows the event in one line.
func (e Event) String() string {
	var call string
	switch e.Op {
	case "Create":
		call = fmt.Sprintf("Create(%v)", e.To)
	case "Update":
		call = fmt.Sprintf("Update(from %v to %v)", e.From, e.To)
	default:
		call = e.Op + "()"
	}
	outcome := ErrorName(e.Err)
	if e.Err == nil && e.Op == "Get" {
		outcome = e.To.String()
	}
	return fmt.Sprintf("%4d to %4d  %s = %s", e.Begin, e.End, call, outcome)
}

// Linearizable reports whether there is an order of the events of a history, of at most 64, in
// which the calls, one at a time, have the outcomes they had, and in which no call comes
// before one that had ended when it began. It searches, depth first, and remembers the sets
// of events that led nowhere (Wing and Gong, with Lowe's memory).
func Linearizable(history []Event) bool {
	type point struct {
		done uint64
		s    State
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
			if at.done&(1<<i) == 0 && !e.Unknown() {
				pending, firstEnd = true, min(firstEnd, e.End)
			}
		}
		if !pending {
			return true // those of unknown outcome may never have happened
		}
		for i, e := range history {
			if at.done&(1<<i) != 0 || e.Begin > firstEnd {
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
