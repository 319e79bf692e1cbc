package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/internal/history"
)

// probe is one check at work on one store. Its methods make the calls, remember
// them for the report, and say what is wrong.
type probe struct {
	*recorder
	suite Suite
	rule  *rule
	store tokensession.Store
	exact bool            // the clock is turned: no time passes unless the check sleeps
	ctx   context.Context // of the calls; nil is the test's
	label string          // what reports put before the names of calls, where there are several stores

	calls   *calls // of this goroutine
	journal *calls // of all
}

func (s Suite) newProbe(rec *recorder, r *rule, exact bool) *probe {
	all := newCalls(&rec.calls)
	p := &probe{recorder: rec, suite: s, rule: r, exact: exact, calls: all, journal: all}
	p.store = p.open(func() tokensession.Store { return s.New(rec) })
	return p
}

// open opens a store that is closed when the check ends.
func (p *probe) open(open func() tokensession.Store) tokensession.Store {
	store := open()
	p.closeLater(store)
	return store
}

// closeLater closes store when the check ends. What Close returns then does not matter,
// for rule 18 has its own checks, but a check must end.
func (p *probe) closeLater(store tokensession.Store) {
	if closer, ok := tokensession.As[io.Closer](store); ok {
		p.Cleanup(func() { p.returns("Close", func() { closer.Close() }) })
	}
}

// on is p at work on another store.
func (p *probe) on(store tokensession.Store) *probe {
	q := *p
	q.store = store
	return &q
}

// named is p at work on another store, which reports call by name.
func (p *probe) named(name string, store tokensession.Store) *probe {
	q := p.on(store)
	q.label = name + "."
	return q
}

// under is p with ctx as the context of its calls, of which reports say what it is.
func (p *probe) under(ctx context.Context, what string) *probe {
	q := *p
	q.ctx, q.label = ctx, "("+what+") "
	return &q
}

// Context returns that of the calls.
func (p *probe) Context() context.Context {
	if p.ctx != nil {
		return p.ctx
	}
	return p.recorder.Context()
}

// capability returns the T of the store, and skips the check where there is none.
func capability[T any](p *probe) T {
	t, ok := tokensession.As[T](p.store)
	if !ok {
		p.Skipf("the store is no %v", reflect.TypeFor[T]())
	}
	return t
}

// racer is p in goroutine i, from 0, of a race.
func (p *probe) racer(i int, store tokensession.Store) *probe {
	q := p.on(store)
	q.calls = p.journal.of(i + 1)
	return q
}

func (p *probe) fatalf(format string, args ...any) {
	p.errorf(format, args...)
	p.FailNow()
}

func (p *probe) errorf(format string, args ...any) { p.failure(p.aboutLast, format, args...) }

// aboutLast chooses the calls about the record that the last call of this goroutine is about, and
// all if that is about no single record. What others began after it is left out.
func (p *probe) aboutLast(list []call) []call {
	last, ok := p.calls.last()
	if !ok {
		return list
	}
	list = slices.DeleteFunc(list, func(c call) bool { return c.begin > last.end })
	if last.id == "" {
		return list
	}
	return about(last.id)(list)
}

// failAbout is fatalf for what concerns the record of id.
func (p *probe) failAbout(id, format string, args ...any) {
	p.failure(about(id), format, args...)
	p.FailNow()
}

// failure reports what was seen, and the calls that led to it. Of what goroutines see beside
// each other it reports the first.
func (p *probe) failure(which extract, format string, args ...any) {
	if p.calls.racer > 0 && p.failing.Swap(true) {
		return
	}
	for i, arg := range args {
		if err, ok := arg.(error); ok {
			args[i] = history.ErrorName(err)
		}
	}
	text := "seen: " + fmt.Sprintf(format, args...)
	all := p.journal.list()
	if calls := inWords(all, which); calls != "" {
		text += "\n" + calls
	}
	p.Error(shorten(text, all) + "\nrule:\n" + indent(p.rule.text))
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(text, "\n", "\n    ")
}

// newID returns an id that no other record has.
func newID() string { return rand.Text() }

// record is what most checks store.
func record(data, owner string, ttl time.Duration) tokensession.Record {
	return tokensession.Record{Data: []byte(data), Owner: owner, TTL: ttl}
}

// at is rec as an Update from v wants it.
func at(v tokensession.Version, rec tokensession.Record) tokensession.Record {
	rec.Version = v
	return rec
}

func (p *probe) begin(name, id string) call { return p.calls.begin(p.label+name, id) }

func (p *probe) get(id string) (tokensession.Record, error) {
	c := p.begin("Get", id)
	rec, err := p.store.Get(p.Context(), id)
	c.gives, c.err = true, err
	c.rec.of(&rec)
	p.calls.ended(&c)
	return rec, err
}

func (p *probe) create(id string, rec tokensession.Record) (tokensession.Version, error) {
	c := p.begin("Create", id)
	c.takes = true
	c.rec.of(&rec)
	c.made, c.err = p.store.Create(p.Context(), id, rec)
	p.calls.ended(&c)
	return c.made, c.err
}

func (p *probe) update(id string, rec tokensession.Record) (tokensession.Version, error) {
	c := p.begin("Update", id)
	c.takes = true
	c.rec.of(&rec)
	c.made, c.err = p.store.Update(p.Context(), id, rec)
	p.calls.ended(&c)
	return c.made, c.err
}

func (p *probe) touch(id string, ttl time.Duration) error {
	c := p.begin("Touch", id)
	c.ttl = ttl
	c.err = p.store.Touch(p.Context(), id, ttl)
	p.calls.ended(&c)
	return c.err
}

func (p *probe) delete(id string) error {
	c := p.begin("Delete", id)
	c.err = p.store.Delete(p.Context(), id)
	p.calls.ended(&c)
	return c.err
}

// reading is what Get returned, and between which instants.
type reading struct {
	tokensession.Record
	from, to time.Time
}

func (p *probe) mustGet(id string) reading {
	from := time.Now()
	rec, err := p.get(id)
	if err != nil {
		p.fatalf("Get of a live record: %v", err)
	}
	return reading{rec, from, time.Now()}
}

func (p *probe) mustCreate(id string, rec tokensession.Record) tokensession.Version {
	v, err := p.create(id, rec)
	if err != nil {
		p.fatalf("Create where no live record is: %v", err)
	}
	return v
}

func (p *probe) mustUpdate(id string, rec tokensession.Record) tokensession.Version {
	v, err := p.update(id, rec)
	if err != nil {
		p.fatalf("Update from the Version of the state that is there: %v", err)
	}
	return v
}

func (p *probe) mustTouch(id string, ttl time.Duration) {
	if err := p.touch(id, ttl); err != nil {
		p.fatalf("Touch of a live record: %v", err)
	}
}

func (p *probe) mustDelete(id string) {
	if err := p.delete(id); err != nil {
		p.fatalf("Delete: %v", err)
	}
}

// want fails unless err is target.
func (p *probe) want(target, err error, format string, args ...any) {
	if !errors.Is(err, target) {
		p.fatalf("%s: got %s, want %s", fmt.Sprintf(format, args...), history.ErrorName(err), history.ErrorName(target))
	}
}

// wantGone fails if a record of id is there.
func (p *probe) wantGone(id string) {
	_, err := p.get(id)
	p.want(tokensession.ErrNotFound, err, "Get where no live record is")
}

// wantRecord fails unless the record of id has the Data and Owner of want.
func (p *probe) wantRecord(id string, want tokensession.Record) reading {
	got := p.mustGet(id)
	if !sameContent(got.Record, want) {
		p.fatalf("Get gave %s, want the Data and Owner of %s", show(got.Record), show(want))
	}
	return got
}

func sameContent(a, b tokensession.Record) bool {
	return bytes.Equal(a.Data, b.Data) && a.Owner == b.Owner
}

// wantUnchanged fails if anything is not as it was read: Data, Owner, the
// end of its life, or whether the Version is valid. To know that, it must update the
// record, so it comes last.
func (p *probe) wantUnchanged(id string, was reading) {
	is := p.wantRecord(id, was.Record)
	if !p.sameEnd(was, is) {
		p.fatalf("the TTL was %s and is now, %v later, %s", showTTL(was.TTL), brief(is.from.Sub(was.to)), showTTL(is.TTL))
	}
	p.mustUpdate(id, at(was.Version, was.Record))
}

// sameEnd reports whether two readings can be of a record with one end of life.
func (p *probe) sameEnd(a, b reading) bool {
	if a.TTL == tokensession.Forever || b.TTL == tokensession.Forever {
		return a.TTL == b.TTL
	}
	slack := p.slack(max(a.to.Sub(b.from), b.to.Sub(a.from)))
	return !a.from.Add(a.TTL-slack).After(b.to.Add(b.TTL)) && !b.from.Add(b.TTL-slack).After(a.to.Add(a.TTL))
}

// slack is by how much the suite may see a life end late when so much time has gone by.
func (p *probe) slack(elapsed time.Duration) time.Duration {
	return p.suite.Granularity + p.drift(elapsed)
}

// drift is how far two clocks, be they a monotonic and a wall clock, may drift apart while so much
// time goes by: 500 ppm, of 0.2 s at least.
func (p *probe) drift(elapsed time.Duration) time.Duration {
	if p.exact {
		return 0
	}
	return max(elapsed, 200*time.Millisecond) / 2000
}

// method is one call of a method of the store or of a capability.
type method struct {
	name string
	call func(context.Context) error
}

// methods returns a call of every method that the store has: first the five of Store, about
// the record of id, and then those of its capabilities, for "owner". The iterators
// report the first error they show.
func (p *probe) methods(id string, rec tokensession.Record) []method {
	list := []method{
		{"Get", func(ctx context.Context) error { _, err := p.store.Get(ctx, id); return err }},
		{"Create", func(ctx context.Context) error { _, err := p.store.Create(ctx, id, rec); return err }},
		{"Update", func(ctx context.Context) error { _, err := p.store.Update(ctx, id, rec); return err }},
		{"Touch", func(ctx context.Context) error { return p.store.Touch(ctx, id, rec.TTL) }},
		{"Delete", func(ctx context.Context) error { return p.store.Delete(ctx, id) }},
	}
	if c, ok := tokensession.As[tokensession.Counter](p.store); ok {
		list = append(list, method{"Len", func(ctx context.Context) error { _, err := c.Len(ctx); return err }})
	}
	if c, ok := tokensession.As[tokensession.Clearer](p.store); ok {
		list = append(list, method{"Clear", c.Clear})
	}
	if c, ok := tokensession.As[tokensession.Lister](p.store); ok {
		list = append(list, method{"All", func(ctx context.Context) error { return firstError(c.All(ctx)) }})
	}
	list = append(list, p.methodsByOwner("owner")...)
	if c, ok := tokensession.As[tokensession.Pinger](p.store); ok {
		list = append(list, method{"Ping", c.Ping})
	}
	return list
}

// methodsByOwner are those of an OwnerIndex, if the store is one.
func (p *probe) methodsByOwner(owner string) []method {
	c, ok := tokensession.As[tokensession.OwnerIndex](p.store)
	if !ok {
		return nil
	}
	return []method{
		{"ByOwner", func(ctx context.Context) error { return firstError(c.ByOwner(ctx, owner)) }},
		{"DeleteOwner", func(ctx context.Context) error { _, err := c.DeleteOwner(ctx, owner); return err }},
	}
}
