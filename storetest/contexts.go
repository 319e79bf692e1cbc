package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/internal/history"
)

// done returns contexts that are done, and what a call must say of each.
func done(p *probe) map[error]context.Context {
	canceled, cancel := context.WithCancel(p.Context())
	cancel()
	late, cancel := context.WithDeadline(p.Context(), time.Now().Add(-time.Hour))
	cancel()
	return map[error]context.Context{context.Canceled: canceled, context.DeadlineExceeded: late}
}

// contextsDone calls every method with a context that is done. Neither the record it is
// about nor an absent one is changed by it.
func contextsDone(p *probe) {
	for cause, ctx := range done(p) {
		id, absent := newID(), newID()
		v := p.mustCreate(id, record("data", "owner", time.Hour))
		was := p.mustGet(id)
		for _, m := range p.methods(id, at(v, record("new", "owner", time.Minute))) {
			p.want(cause, m.call(ctx), "%s with a context that is done", m.name)
		}
		p.wantUnchanged(id, was)
		_, err := p.under(ctx, "context done").create(absent, record("data", "owner", time.Hour))
		p.want(cause, err, "Create with a context that is done")
		p.wantGone(absent)
	}
}

// contextsIterators walks with a context that is done.
func contextsIterators(p *probe) {
	walkers := p.walkers()
	p.fill(3)
	for _, w := range walkers {
		for cause, ctx := range done(p) {
			p.wantEnd(w.name, w.seq(p.under(ctx, "context done")), cause)
		}
	}
}

// contextsAfter ends the context of calls that have returned.
func contextsAfter(p *probe) {
	id := newID()
	ctx, cancel := context.WithCancel(p.Context())
	v := p.under(ctx, "context ends after it").mustCreate(id, record("data", "owner", time.Hour))
	cancel()
	p.wantRecord(id, record("data", "owner", 0))
	ctx, cancel = context.WithCancel(p.Context())
	p.under(ctx, "context ends after it").mustUpdate(id, at(v, record("new", "owner", time.Hour)))
	cancel()
	p.wantRecord(id, record("new", "owner", 0))
}

// fuse is a context that is canceled the moment it is looked at for the n-th time: so a
// call meets the end of its context at each place where it may, without a clock.
type fuse struct {
	context.Context
	mu     sync.Mutex
	left   int
	cancel context.CancelFunc
}

func newFuse(ctx context.Context, looks int) *fuse {
	ctx, cancel := context.WithCancel(ctx)
	return &fuse{Context: ctx, left: looks, cancel: cancel}
}

func (f *fuse) look() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left--; f.left == 0 {
		f.cancel()
	}
}

func (f *fuse) Err() error {
	f.look()
	return f.Context.Err()
}

func (f *fuse) Done() <-chan struct{} {
	f.look()
	return f.Context.Done()
}

// looks is how often a call may look at its context before the suite has no more
// fuses to try.
const looks = 6

// outageReported ends the context in the middle of calls that nothing else keeps from
// succeeding.
func outageReported(p *probe) {
	for n := 1; n <= looks; n++ {
		for i, name := range p.names() {
			id, rec := newID(), record("data", "owner", time.Hour)
			if name != "Create" {
				rec.Version = p.mustCreate(id, rec)
			}
			ctx := newFuse(p.Context(), n)
			if err := p.methods(id, rec)[i].call(ctx); history.Known(err) {
				p.fatalf("%s, which nothing but the end of its context, at look %d, kept from succeeding: %v", name, n, err)
			}
			ctx.cancel()
		}
	}
}

// names are those of the methods that the store has.
func (p *probe) names() (names []string) {
	for _, m := range p.methods("id", tokensession.Record{}) {
		names = append(names, m.name)
	}
	return names
}

// outageOutcome ends the context in the middle of writes. What they did may be known or
// not, but it is all or nothing.
func outageOutcome(p *probe) {
	old, wanted := record("old", "owner", time.Hour), record("new", "other", 2*time.Hour)
	for n := 1; n <= looks; n++ {
		id := newID()
		ctx := newFuse(p.Context(), n)
		from := time.Now()
		v, err := p.under(ctx, fmt.Sprintf("context ends at look %d", n)).create(id, old)
		ctx.cancel()
		if err != nil {
			p.wantWholeOrNone(id, old, from)
			id = newID()
			v = p.mustCreate(id, old)
		}
		was := p.wantRecord(id, old)

		ctx = newFuse(p.Context(), n)
		from = time.Now()
		next, err := p.under(ctx, fmt.Sprintf("context ends at look %d", n)).update(id, at(v, wanted))
		ctx.cancel()
		if err == nil {
			p.wantRecord(id, wanted)
			p.mustUpdate(id, at(next, wanted))
		} else {
			p.wantWholeOrOld(id, wanted, from, was)
		}
	}
}

// wantWholeOrNone looks at the record of id after a Create of unknown outcome that began at from.
func (p *probe) wantWholeOrNone(id string, want tokensession.Record, from time.Time) {
	rec, err := p.get(id)
	if errors.Is(err, tokensession.ErrNotFound) {
		return
	}
	if err != nil {
		p.fatalf("Get after a Create of unknown outcome: %v", err)
	}
	now := time.Now()
	if !p.isWhole(reading{rec, now, now}, want, from) {
		p.fatalf("after a Create of unknown outcome: %s, want %s or none", show(rec), show(want))
	}
}

// wantWholeOrOld looks at the record of id after an Update of unknown outcome that began at from
// and was to replace was.
func (p *probe) wantWholeOrOld(id string, want tokensession.Record, from time.Time, was reading) {
	var got reading
	for range 2 { // a TTL may be read after the Data (rule 4), and the Update take effect in between, but only once
		got = p.mustGet(id)
		if p.isWhole(got, want, from) || sameContent(got.Record, was.Record) && p.sameEnd(got, was) {
			return
		}
	}
	p.fatalf("after an Update of unknown outcome: %s, want %s as before or %s", show(got.Record), show(was.Record), show(want))
}

// isWhole reports whether got is all that a write that began at from, and has taken effect, wanted.
func (p *probe) isWhole(got reading, want tokensession.Record, from time.Time) bool {
	return sameContent(got.Record, want) && p.sameEnd(got, reading{want, from, got.to})
}
