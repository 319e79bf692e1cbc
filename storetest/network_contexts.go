package storetest

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/tokensession/tokensession/storetest/faultnet"
)

const (
	// prompt is how late rule 13 allows a call to be.
	prompt = 100 * time.Millisecond

	// tries is how often a call may be late in a row. A driver that waits for the
	// server is late each time, a busy machine is not.
	tries = 3
)

// ended waits for the channel to be closed, for no longer than limit, and reports whether it
// was. It counts time in naps of its own, so that where this process does not get to run, no time
// passes.
func ended(c <-chan struct{}, limit time.Duration) bool {
	const nap = 5 * time.Millisecond
	for range limit / nap {
		select {
		case <-c:
			return true
		case <-time.After(nap):
		}
	}
	return happened(c)
}

// during makes a call whose context begin ends, and returns its error. It reports whether the
// call was late: it did not return within limit after that. Then it heals the network, for the
// call to return.
func (n *network) during(m method, begin func() (context.Context, context.CancelFunc), limit time.Duration) (err error, late bool) {
	ctx, cancel := begin()
	defer cancel()
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		err = m.call(ctx)
	}()
	select {
	case <-returned:
	case <-ctx.Done():
	}
	late = !ended(returned, limit)
	if late {
		n.proxy.Heal()
		n.returns(m.name+", although the server goes on,", func() { <-returned })
		n.proxy.Stall(faultnet.Both)
	}
	return err, late
}

// promptly makes a call on a server that stalls, and returns its error. It fails if the call is
// late in each of several tries.
func (n *network) promptly(m method, begin func() (context.Context, context.CancelFunc), limit time.Duration, why string) error {
	for range tries {
		if err, late := n.during(m, begin, limit); !late {
			return err
		}
	}
	n.fatalf("%s did not return within %v after %s, in %d tries on a server that stalls", m.name, limit, why, tries)
	return nil
}

// contextsDeadline gives calls a deadline on a server that stalls: each on a connection that
// was there before, and then on a new one.
func contextsDeadline(p *probe) {
	n := p.network()
	defer n.proxy.Heal()
	begin := func() (context.Context, context.CancelFunc) { return context.WithTimeout(n.Context(), deadline) }
	large := record(strings.Repeat("x", 512<<10), "owner", time.Hour)
	for i := range n.names() {
		n.proxy.Heal()
		n.recovers("a stall", n.read)
		n.proxy.Stall(faultnet.Both)
		m := n.methods(newID(), large)[i]
		for range 2 {
			err := n.promptly(m, begin, prompt, "its deadline")
			n.wantUnknown(err, m.name, "the server stalls")
			n.want(context.DeadlineExceeded, err, "%s with a deadline on a server that stalls", m.name)
		}
	}
}

// contextsCanceled cancels calls on a server that stalls, all at once.
func contextsCanceled(p *probe) {
	n := p.network()
	defer n.proxy.Heal()
	n.recovers("nothing", n.read)
	late := n.methods(newID(), record("data", "owner", time.Hour))
	for range tries {
		n.proxy.Stall(faultnet.Both)
		if late = n.cancel(late); len(late) == 0 {
			return
		}
	}
	n.fatalf("%s did not return within Suite.IOTimeout, %v, and %v after it was canceled, in %d tries on a server that stalls",
		late[0].name, n.suite.IOTimeout, prompt, tries)
}

// cancel makes calls, cancels them, and returns those that are late. Then it heals the network.
func (n *network) cancel(methods []method) (late []method) {
	ctx, cancel := context.WithCancel(n.Context())
	defer cancel()
	returned, errs := make([]chan struct{}, len(methods)), make([]error, len(methods))
	var calls sync.WaitGroup
	for i, m := range methods {
		returned[i] = make(chan struct{})
		calls.Go(func() {
			defer close(returned[i])
			errs[i] = m.call(ctx)
		})
	}
	time.Sleep(deadline)
	cancel()
	limit := n.suite.IOTimeout + prompt
	for i, m := range methods {
		if ended(returned[i], limit) {
			n.wantUnknown(errs[i], m.name, "the server stalls")
			continue
		}
		late = append(late, m)
		limit = 0 // it has passed
	}
	n.proxy.Heal()
	n.returns("a call, although the server goes on,", calls.Wait)
	return late
}
