package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/internal/history"
	"github.com/tokensession/tokensession/storetest/faultnet"
)

// What stands under an id is told from what stood there by its Data and by the
// hours that it has to live.
const (
	absent  = "nothing"
	asOld   = "old for 1h0m0s"
	byOther = "other for 3h0m0s"
)

// standing returns what stands under id.
func (p *probe) standing(id string) string {
	rec, err := p.get(id)
	switch {
	case errors.Is(err, tokensession.ErrNotFound):
		return absent
	case err != nil:
		p.errorf("Get by a client whose network is not broken: %v", err)
	}
	return fmt.Sprintf("%s for %v", rec.Data, rec.TTL.Round(time.Hour))
}

// attempt is a write that something happens to.
type attempt struct {
	name   string
	before string // what stands there before it
	call   func(ctx context.Context, store tokensession.Store, id string, v tokensession.Version) error

	// after returns what stands there if it takes effect where what is given stands. It
	// is the same if the write's precondition does not hold.
	after func(standing string) string
}

var (
	createAttempt = attempt{"Create", absent,
		func(ctx context.Context, store tokensession.Store, id string, _ tokensession.Version) error {
			_, err := store.Create(ctx, id, record("mine", "owner", time.Hour))
			return err
		},
		changes(map[string]string{absent: "mine for 1h0m0s"})}

	updateAttempt = attempt{"Update", asOld,
		func(ctx context.Context, store tokensession.Store, id string, v tokensession.Version) error {
			_, err := store.Update(ctx, id, at(v, record("mine", "owner", time.Hour)))
			return err
		},
		changes(map[string]string{asOld: "mine for 1h0m0s", "old for 3h0m0s": "mine for 1h0m0s"})}

	touchAttempt = attempt{"Touch", asOld,
		func(ctx context.Context, store tokensession.Store, id string, _ tokensession.Version) error {
			return store.Touch(ctx, id, 2*time.Hour)
		},
		changes(map[string]string{asOld: "old for 2h0m0s", "old for 3h0m0s": "old for 2h0m0s", byOther: "other for 2h0m0s"})}

	deleteAttempt = attempt{"Delete", asOld,
		func(ctx context.Context, store tokensession.Store, id string, _ tokensession.Version) error {
			return store.Delete(ctx, id)
		},
		func(string) string { return absent }}
)

// changes is an after that changes what is listed.
func changes(list map[string]string) func(string) string {
	return func(standing string) string {
		if after, ok := list[standing]; ok {
			return after
		}
		return standing
	}
}

// interference is what another client does meanwhile, to a record or where none is.
type interference struct {
	name  string
	alive bool // it needs a record
	do    func(p *probe, id string) error
}

var interferences = []interference{
	{"nothing else", true, func(*probe, string) error { return nil }},
	{"nothing else", false, func(*probe, string) error { return nil }},
	{"another's Touch", true, func(p *probe, id string) error { return p.touch(id, 3*time.Hour) }},
	{"another's Update", true, func(p *probe, id string) error {
		rec, err := p.get(id)
		if err == nil {
			_, err = p.update(id, at(rec.Version, record("other", "owner", 3*time.Hour)))
		}
		return err
	}},
	{"another's Delete", true, func(p *probe, id string) error { return p.delete(id) }},
	{"another's Create", false, createByOther},
	{"another's Create and Delete", false, func(p *probe, id string) error {
		return errors.Join(createByOther(p, id), p.delete(id))
	}},
	{"another's Delete and Create", true, func(p *probe, id string) error {
		return errors.Join(p.delete(id), createByOther(p, id))
	}},
}

func createByOther(p *probe, id string) error {
	_, err := p.create(id, record("other", "owner", 3*time.Hour))
	return err
}

// possible returns the interferences that are, where something stands.
func possible(standing string) (list []interference) {
	for _, i := range interferences {
		if i.alive == (standing != absent) {
			list = append(list, i)
		}
	}
	return list
}

// interfere lets another client, whose network is not broken, do what there is to do, unless
// the write takes effect at that moment and is in the way. It may be called by any goroutine.
func (n *network) interfere(i interference, id string) {
	if err := i.do(n.direct, id); err != nil && !history.Known(err) {
		n.errorf("%s, by a client whose network is not broken: %v", i.name, err)
	}
}

// prepare returns an id under which stands what a wants, and its Version.
func (n *network) prepare(a attempt) (id string, v tokensession.Version) {
	id = newID()
	if a.before != absent {
		v = n.direct.mustCreate(id, record("old", "owner", time.Hour))
	}
	return id, v
}

// moment is one at which something is to be done, before it has passed.
type moment struct {
	mu           sync.Mutex
	do           func()
	came, passed bool
}

func (m *moment) come() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.passed {
		m.came = true
		m.do()
	}
}

// pass waits until what is being done is done, and reports whether the moment came.
func (m *moment) pass() (came bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.passed = true
	return m.came
}

// lost loses the answers to a write, while others interfere. The write has one effect, at
// most, and its caller is not told of what it did itself as if another had done it.
func lost(a attempt) func(*probe) {
	return func(p *probe) {
		n := p.network()
		list := possible(a.after(a.before))
		for _, i := range list {
			n.each(func(skip int) bool { return n.lose(a, i, losses[0], skip) })
		}
		for _, l := range losses[1:] {
			n.each(func(skip int) bool { return n.lose(a, list[len(list)-1], l, skip) })
		}
	}
}

// lose loses one answer to a write, and reports whether there was one.
func (n *network) lose(a attempt, i interference, l loss, skip int) bool {
	defer n.proxy.Heal()
	id, v := n.prepare(a)
	took, left := false, ""
	meanwhile := moment{do: func() {
		left = n.direct.standing(id)
		if took = left == a.after(a.before); took {
			n.interfere(i, id)
			left = n.direct.standing(id)
		}
	}}
	f := l.Fault
	f.Skip, f.Meanwhile = skip, meanwhile.come
	n.proxy.Next(f)
	ctx, cancel := n.patient(l)
	defer cancel()
	err := n.call(ctx, a.name, func(ctx context.Context) error { return a.call(ctx, n.store, id, v) })
	lost := meanwhile.pass()
	n.calls.add(err, "%s(%q)", a.name, id)
	is := n.direct.standing(id)
	story, allowed := fmt.Sprintf("%s had not taken effect when %s", a.name, l.name), []string{a.after(a.before), a.before}
	switch {
	case took:
		story, allowed = fmt.Sprintf("%s took effect, %s came, and %s", a.name, i.name, l.name), []string{left}
	case !lost:
		story = fmt.Sprintf("%s lost no answer", a.name)
	}
	if err == nil {
		allowed = allowed[:1]
	}
	if history.Answered(err) || !slices.Contains(allowed, is) {
		n.errorf("%s: it reports %v, and there stands %s, want %q", story, err, is, allowed)
	}
	return lost
}

// outageLate holds back what a write sends until its caller has given up, and another
// client has interfered. Then it takes effect once at most, and only where it may.
func outageLate(p *probe) {
	n := p.network()
	defer n.proxy.Heal()
	for _, a := range []attempt{createAttempt, updateAttempt, touchAttempt, deleteAttempt} {
		for _, i := range possible(a.before) {
			n.each(func(skip int) bool { return n.delay(a, i, skip) })
		}
	}
}

// delay holds back what a write sends after some answers, and reports whether it sent that
// much.
func (n *network) delay(a attempt, i interference, answers int) bool {
	id, v := n.prepare(a)
	stall := moment{do: func() { n.proxy.Stall(faultnet.Requests) }}
	if answers == 0 {
		stall.come()
	} else {
		n.proxy.Next(faultnet.Fault{Skip: answers - 1, Meanwhile: stall.come, Pass: faultnet.All, End: faultnet.Stay})
	}
	ctx, cancel := context.WithTimeout(n.Context(), deadline)
	defer cancel()
	err := n.call(ctx, a.name, func(ctx context.Context) error { return a.call(ctx, n.store, id, v) })
	stalled := stall.pass()
	n.calls.add(err, "%s(%q) while what it sends is held back", a.name, id)
	if err == nil || history.Answered(err) {
		n.proxy.Heal()
		if err != nil || answers == 0 {
			n.errorf("%s, which the server has not seen, or not all of it: %v", a.name, err)
		}
		return false
	}
	early := n.direct.standing(id)
	if stalled && early == a.before {
		n.interfere(i, id)
	}
	left := n.direct.standing(id)
	n.proxy.Heal()
	n.settle()
	if is := n.direct.standing(id); is != left && is != a.after(left) {
		n.errorf("%s came late, after %s: %s stands there, want %s or %s", a.name, i.name, is, left, a.after(left))
	}
	return stalled && early == a.before
}

// settle waits for the server to do what it was sent by connections that were given up.
// Where the store keeps them, it waits a little.
func (n *network) settle() {
	for begun := time.Now(); n.proxy.Connections() > 0 && time.Since(begun) < deadline; {
		time.Sleep(100 * time.Microsecond)
	}
}
