package storetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/internal/history"
	"github.com/tokensession/tokensession/storetest/faultnet"
)

// returns fails if f does not return.
func (p *probe) returns(what string, f func()) {
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		defer p.catch()
		f()
	}()
	select {
	case <-returned:
		if p.Failed() {
			p.FailNow() // f may have said so, but in a goroutine of its own
		}
	case <-time.After(p.suite.patience()):
		p.fatalf("%s did not return in %v\n%s", what, p.suite.patience(), allGoroutines())
	}
}

// allGoroutines returns the stacks of all goroutines.
func allGoroutines() string {
	var stacks bytes.Buffer
	pprof.Lookup("goroutine").WriteTo(&stacks, 1)
	return stacks.String()
}

// closed closes the store of p, which must be a Closer.
func (p *probe) closed() {
	closer := capability[io.Closer](p)
	p.returns("Close", func() {
		if err := closer.Close(); err != nil {
			p.errorf("Close: %v", err)
		}
	})
}

func closeTwice(p *probe) {
	p.mustCreate(newID(), record("data", "owner", time.Hour))
	p.closed()
	p.closed()
}

func closeRefuses(p *probe) {
	id := newID()
	rec := at(p.mustCreate(id, record("data", "owner", time.Hour)), record("data", "owner", time.Hour))
	methods := p.methods(id, rec)
	p.closed()
	for _, m := range methods {
		p.want(tokensession.ErrClosed, m.call(p.Context()), "%s after Close", m.name)
	}
}

// closeIterators walks through a closed store, by iterators from before and after Close.
// One from before may end in either way, but it must end.
func closeIterators(p *probe) {
	capability[io.Closer](p)
	walkers := p.walkers()
	p.fill(3)
	var before []entries
	for _, w := range walkers {
		before = append(before, w.seq(p))
	}
	p.closed()
	for i, w := range walkers {
		p.returns("an iterator from before Close", func() { firstError(before[i]) })
		p.wantEnd(w.name, w.seq(p), tokensession.ErrClosed)
	}
}

// closeOrder makes calls that are wrong in two or three ways.
func closeOrder(p *probe) {
	capability[io.Closer](p)
	canceled, cancel := context.WithCancel(p.Context())
	cancel()
	bad := p.methods("not an id", record("data", "owner", time.Hour))[:5]
	for _, m := range bad {
		p.want(tokensession.ErrInvalidID, m.call(canceled), "%s of an invalid id with a context that is done", m.name)
	}
	good := p.methods(newID(), record("data", "owner", time.Hour))
	byNobody := p.methodsByOwner("")
	for _, m := range byNobody {
		p.want(tokensession.ErrInvalidOwner, m.call(canceled), "%s of the empty owner with a context that is done", m.name)
	}
	p.closed()
	for _, m := range byNobody {
		p.want(tokensession.ErrInvalidOwner, m.call(canceled), "%s of the empty owner with a done context, after Close", m.name)
		p.want(tokensession.ErrInvalidOwner, m.call(p.Context()), "%s of the empty owner, after Close", m.name)
	}
	for _, m := range bad {
		p.want(tokensession.ErrInvalidID, m.call(canceled), "%s of an invalid id with a done context, after Close", m.name)
		p.want(tokensession.ErrInvalidID, m.call(p.Context()), "%s of an invalid id, after Close", m.name)
	}
	p.want(tokensession.ErrInvalidTTL, p.touch(newID(), 0), "Touch with the TTL 0, after Close")
	_, err := p.create(newID(), record("data", "\xff", time.Hour))
	p.want(tokensession.ErrInvalidOwner, err, "Create with an invalid owner, after Close")
	for _, m := range good {
		p.want(context.Canceled, m.call(canceled), "%s with a context that is done, after Close", m.name)
	}
}

// closeInFlight closes the store while it is in use. Calls may fail, but none may take
// the closing for an absence, and none may hang.
func closeInFlight(p *probe) {
	capability[io.Closer](p)
	p.rounds(func() {
		q := p.on(p.open(func() tokensession.Store { return p.suite.New(p.recorder) }))
		id := newID()
		q.mustCreate(id, record("data", "owner", tokensession.Forever))
		var begun atomic.Int32
		p.returns("Close, or a call beside it,", func() {
			together(4, func(i int) {
				if i == 0 {
					for begun.Load() < 3 && !p.Failed() {
						time.Sleep(10 * time.Microsecond)
					}
					q.closed()
					return
				}
				r := q.racer(i, q.store)
				for closed := false; !closed; {
					_, err := r.get(id)
					if closed = err != nil; history.Known(err) {
						r.errorf("Get of a live record beside Close: %v", err)
					}
					if _, err := r.create(newID(), record("data", "owner", time.Hour)); history.Known(err) {
						r.errorf("Create where none is beside Close: %v", err)
					}
					begun.Add(1)
				}
			})
		})
		p.cleanUp() // or the clients that New makes would add up
	})
}

// closeInside closes the store while the caller has an Entry of it: nothing is locked,
// the iteration ends, and it does not take the closing for the end of the records.
func closeInside(p *probe) {
	capability[io.Closer](p)
	const records = 300
	for _, w := range p.walkers() {
		q := p.on(p.open(func() tokensession.Store { return p.suite.New(p.recorder) }))
		q.fill(records)
		seen, failed := 0, false
		q.returns("an iteration in which the store is closed", func() {
			for entry, err := range w.seq(q) {
				if seen == 0 {
					q.closed()
				}
				if err == nil {
					seen++
				}
				failed = failed || err != nil && entry.ID == ""
			}
		})
		if !failed && seen < records {
			q.fatalf("%s ended without an error after %d of %d records: the store was closed meanwhile", w.name, seen, records)
		}
	}
}

// closeNeighbour closes one of two stores on one server. If they have borrowed one client, the
// other one needs it.
func closeNeighbour(p *probe) {
	capability[io.Closer](p)
	a, b := p.namespaces("a", "b")
	id := newID()
	b.mustCreate(id, record("data", "owner", time.Hour))
	a.closed()
	b.wantRecord(id, record("data", "owner", 0))
	b.mustTouch(id, time.Minute)
}

// closeGoroutines looks for goroutines that the store has started and not ended.
// They are told from others by a label, which goroutines inherit.
func closeGoroutines(p *probe) {
	capability[io.Closer](p)
	mark := newID()
	pprof.Do(p.Context(), pprof.Labels("storetest", mark), func(context.Context) {
		q := p.on(p.open(func() tokensession.Store { return p.suite.New(p.recorder) }))
		id := newID()
		rec := at(q.mustCreate(id, record("data", "owner", time.Hour)), record("data", "owner", time.Hour))
		for _, m := range q.methods(id, rec) {
			m.call(p.Context()) // for what it starts, not for what it says
		}
		q.closed()
		p.cleanUp() // so that a client that New made for the store has ended too
	})
	p.wantNoGoroutines(mark)
}

// wantNoGoroutines fails if goroutines that are labelled with mark do not end.
func (p *probe) wantNoGoroutines(mark string) {
	begun := time.Now()
	for left := goroutines(mark); left != ""; left = goroutines(mark) {
		if waited := time.Since(begun); waited > p.suite.patience() {
			p.fatalf("%v after Close, goroutines are left:\n%s", waited, left)
		}
		time.Sleep(time.Millisecond)
	}
}

// closeStalled closes the store while calls wait for a server that stalls. Neither they nor
// goroutines that they leave behind can wait for it to go on.
func closeStalled(p *probe) {
	capability[io.Closer](p)
	mark := newID()
	pprof.Do(p.Context(), pprof.Labels("storetest", mark), func(context.Context) {
		n := p.network()
		n.recovers("nothing", n.read)
		n.proxy.Stall(faultnet.Both)
		methods := n.methods(newID(), record("data", "owner", time.Hour))
		errs := make([]error, len(methods))
		var calls sync.WaitGroup
		for i, m := range methods {
			calls.Go(func() { errs[i] = m.call(n.Context()) })
		}
		ctx, cancel := context.WithTimeout(n.Context(), deadline)
		defer cancel()
		_, err := n.store.Get(ctx, newID())
		n.wantUnknown(err, "Get", "the server stalls")
		n.closed()
		n.returns("a call that waits for a server that stalls, after Close,", calls.Wait)
		for i, m := range methods {
			if !errors.Is(errs[i], tokensession.ErrClosed) {
				n.wantUnknown(errs[i], m.name, "the server stalls and the store is closed")
			}
		}
		p.cleanUp() // so that clients that open made for the stores have ended too
	})
	p.wantNoGoroutines(mark)
}

// goroutines returns the stacks of the goroutines that are labelled with mark.
func goroutines(mark string) string {
	var stacks []string
	for stack := range strings.SplitSeq(allGoroutines(), "\n\n") {
		if strings.Contains(stack, mark) {
			stacks = append(stacks, stack)
		}
	}
	return strings.Join(stacks, "\n\n")
}
