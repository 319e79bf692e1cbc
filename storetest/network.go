package storetest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/internal/history"
	"github.com/tokensession/tokensession/storetest/faultnet"
)

// network is a store behind a proxy that can be broken, and another handle on the same
// records that does not go through it.
type network struct {
	*probe
	direct *probe
	proxy  *faultnet.Proxy
}

func (p *probe) network() *network {
	if p.suite.Network == nil {
		p.Skip("Suite.Network is nil: the suite cannot break what is between the store and its server")
	}
	upstream, open := p.suite.Network(p.recorder)
	proxy := faultnet.New(p.recorder, upstream)
	return &network{
		probe:  p.on(p.open(func() tokensession.Store { return open(proxy.Addr()) })),
		direct: p.on(p.open(func() tokensession.Store { return open(upstream) })),
		proxy:  proxy,
	}
}

// deadline is what calls on a server that stalls are given.
const deadline = 15 * time.Millisecond

// wantUnknown fails unless err says that the outcome is not known. It may be called by
// any goroutine.
func (p *probe) wantUnknown(err error, what, fault string) {
	switch {
	case err == nil:
		p.errorf("%s succeeded while %s", what, fault)
	case history.Answered(err):
		p.errorf("%s while %s: %v", what, fault, err)
	}
}

// call calls f, which ctx should end, and fails if it hangs.
func (n *network) call(ctx context.Context, name string, f func(context.Context) error) (err error) {
	n.returns(name+", whose context has ended or should have,", func() { err = f(ctx) })
	return err
}

// recovers waits until use of the store succeeds. Connections may have died, and who finds
// that out is told so, but by no other error.
func (n *network) recovers(after string, use func(context.Context) error) {
	for begun := time.Now(); ; time.Sleep(time.Millisecond) {
		ctx, cancel := context.WithTimeout(n.Context(), n.suite.patience()/10)
		err := n.call(ctx, "a call", use)
		cancel()
		switch {
		case err == nil:
			return
		case history.Answered(err):
			n.fatalf("after %s: %v", after, err)
		case time.Since(begun) > n.suite.patience():
			n.fatalf("%v after %s, nothing is broken any more, and calls still fail: %v", n.suite.patience(), after, err)
		}
	}
}

// read reads what is not there, so that there is a connection.
func (n *network) read(ctx context.Context) error {
	_, err := n.store.Get(ctx, newID())
	if errors.Is(err, tokensession.ErrNotFound) {
		return nil
	}
	return err
}

// live lets a new record live and die, and returns the first error.
func (n *network) live(ctx context.Context) error {
	id, rec := newID(), record("data", "owner", time.Hour)
	v, err := n.store.Create(ctx, id, rec)
	if err == nil {
		_, err = n.store.Get(ctx, id)
	}
	if err == nil {
		_, err = n.store.Update(ctx, id, at(v, rec))
	}
	if err == nil {
		err = n.store.Touch(ctx, id, time.Hour)
	}
	if err == nil {
		err = n.store.Delete(ctx, id)
	}
	n.calls.add(err, "Create, Get, Update, Touch, Delete(%q), until one fails,", id)
	return err
}

// outageRefused calls every method while nothing reaches the server.
func outageRefused(p *probe) {
	n := p.network()
	id, rec := newID(), record("data", "owner", time.Hour)
	rec.Version = n.direct.mustCreate(id, rec)
	n.recovers("nothing", n.read)
	n.proxy.Cut(faultnet.Hangup)
	for _, m := range n.methods(id, rec) {
		ctx, cancel := context.WithTimeout(n.Context(), 2*deadline)
		n.wantUnknown(n.call(ctx, m.name, m.call), m.name, "the server refuses connections")
		cancel()
	}
	n.proxy.Heal()
	n.recovers("a time in which the server refused connections", n.live)
}

// outageConnections breaks the connections that the store keeps, first while nobody uses
// them, and then while calls wait.
func outageConnections(p *probe) {
	n := p.network()
	defer n.proxy.Heal()
	for _, how := range []faultnet.End{faultnet.Hangup, faultnet.Reset} {
		together(8, func(int) { n.store.Get(n.Context(), newID()) })
		n.proxy.Cut(how)
		n.proxy.Heal()
		n.recovers("the end of idle connections", n.live)
		n.proxy.Stall(faultnet.Both)
		var calls sync.WaitGroup
		for range 8 {
			calls.Go(func() {
				ctx, cancel := context.WithTimeout(n.Context(), 2*deadline)
				defer cancel()
				_, err := n.store.Get(ctx, newID())
				n.wantUnknown(err, "Get", "the server stalls, or when the connection ends")
			})
		}
		time.Sleep(deadline)
		n.proxy.Cut(how)
		calls.Wait()
		n.proxy.Heal()
		n.recovers("the end of connections in use", n.live)
	}
}

// loss is a way to lose an answer.
type loss struct {
	name string
	faultnet.Fault
}

var losses = []loss{
	{"the connection ended before the answer", faultnet.Fault{}},
	{"the connection was reset before the answer", faultnet.Fault{End: faultnet.Reset}},
	{"the connection ended in the middle of the answer", faultnet.Fault{Pass: faultnet.Half}},
	{"the connection went silent in the middle of the answer", faultnet.Fault{Pass: faultnet.Half, End: faultnet.Silence}},
}

// mostAnswers is how many answers of the server a call may wait for before the
// suite does not go on to lose the next.
const mostAnswers = 8

// each calls f for the first answer that a call waits for, then for the second, and so on,
// until f reports that there was none to lose.
func (n *network) each(f func(skip int) (lost bool)) {
	for skip := range mostAnswers {
		n.recovers("the loss of an answer", n.read)
		if !f(skip) || n.Failed() {
			break
		}
	}
	if n.Failed() {
		n.FailNow()
	}
}

// patient returns the context of a call whose answer is lost in the way of l.
func (n *network) patient(l loss) (context.Context, context.CancelFunc) {
	if l.End == faultnet.Silence {
		return context.WithTimeout(n.Context(), deadline)
	}
	return context.WithTimeout(n.Context(), n.suite.patience())
}

func happened(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// outageReads loses what the server has to say. A read that succeeds nevertheless is right
// and complete.
func outageReads(p *probe) {
	n := p.network()
	id, rec := newID(), record(string(make([]byte, 100<<10)), "owner", time.Hour)
	ids := map[string]bool{id: true}
	n.direct.mustCreate(id, rec)
	for range 4 {
		other := newID()
		ids[other] = true
		n.direct.mustCreate(other, record("data", "owner", time.Hour))
	}
	for _, read := range n.reads(id, rec, ids) {
		for _, l := range losses {
			n.each(func(skip int) bool {
				defer n.proxy.Heal()
				ctx, cancel := n.patient(l)
				defer cancel()
				f := l.Fault
				f.Skip = skip
				lost := n.proxy.Next(f)
				right := false
				err := n.call(ctx, read.name, func(ctx context.Context) (err error) {
					right, err = read.call(ctx)
					return err
				})
				if history.Answered(err) || err == nil && !right {
					n.errorf("%s, when %s: complete and right: %v, error: %v", read.name, l.name, right, err)
				}
				return happened(lost)
			})
		}
	}
}

// read is a call that changes nothing, and reports whether it gave all it should.
type read struct {
	name string
	call func(context.Context) (right bool, err error)
}

// reads returns those that the store has: of rec, which is id's, and of all ids.
func (p *probe) reads(id string, rec tokensession.Record, ids map[string]bool) []read {
	list := []read{{"Get", func(ctx context.Context) (bool, error) {
		got, err := p.store.Get(ctx, id)
		return sameContent(got, rec), err
	}}}
	if c, ok := tokensession.As[tokensession.Counter](p.store); ok {
		list = append(list, read{"Len", func(ctx context.Context) (bool, error) {
			got, err := c.Len(ctx)
			return got == len(ids), err
		}})
	}
	walk := func(seq func(context.Context) entries) func(context.Context) (bool, error) {
		return func(ctx context.Context) (bool, error) {
			seen := make(map[string]bool)
			for e, err := range seq(ctx) {
				if err != nil {
					return false, err
				}
				seen[e.ID] = ids[e.ID]
			}
			return len(seen) == len(ids), nil
		}
	}
	if c, ok := tokensession.As[tokensession.Lister](p.store); ok {
		list = append(list, read{"All", walk(c.All)})
	}
	if c, ok := tokensession.As[tokensession.OwnerIndex](p.store); ok {
		list = append(list, read{"ByOwner", walk(func(ctx context.Context) entries { return c.ByOwner(ctx, "owner") })})
	}
	return list
}
