package storetest

import (
	"bytes"
	"fmt"
	"iter"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/internal/history"
)

type entries = iter.Seq2[tokensession.Entry, error]

// firstError walks to the first error and returns it.
func firstError(seq entries) error {
	for _, err := range seq {
		if err != nil {
			return err
		}
	}
	return nil
}

// some reports whether seq shows a record, unless it shows an error before.
func some(seq entries) (bool, error) {
	for _, err := range seq {
		return err == nil, err
	}
	return false, nil
}

// collect walks to the end, without an error, and returns what it saw by id.
func (p *probe) collect(name string, seq entries) map[string]tokensession.Entry {
	seen := make(map[string]tokensession.Entry)
	for e, err := range seq {
		if err != nil {
			p.fatalf("%s: %q, %s", name, e.ID, history.ErrorName(err))
		}
		if _, ok := seen[e.ID]; ok && !p.suite.Repeats {
			p.failAbout(e.ID, "%s showed %q twice", name, e.ID)
		}
		seen[e.ID] = e
	}
	p.calls.looked(p.label+name, fmt.Sprintf("%d records", len(seen)))
	return seen
}

// wantEntries fails unless seq shows just the records of want.
func (p *probe) wantEntries(name string, seq entries, want ...string) {
	seen := p.collect(name, seq)
	for _, id := range want {
		if _, ok := seen[id]; !ok {
			p.failAbout(id, "%s did not show the live record %q", name, id)
		}
		delete(seen, id)
	}
	for id, e := range seen {
		p.failAbout(id, "%s showed %q: %s, which is not to be shown", name, id, show(e.Record))
	}
}

// wantEnd fails unless seq shows one error, target, with the zero Entry, for it is about no
// record, and ends.
func (p *probe) wantEnd(name string, seq entries, target error) {
	n := 0
	for e, err := range seq {
		n++
		p.want(target, err, "%s showed %q", name, e.ID)
		if e.ID != "" || e.Data != nil {
			p.fatalf("%s showed %q, %v; want the zero Entry", name, e.ID, err)
		}
	}
	if n != 1 {
		p.fatalf("%s showed %d entries, want one, with the error %v", name, n, target)
	}
}

// walker is an iterator of a store that shows the records that fill makes.
type walker struct {
	name  string
	owner string // whose records alone it shows; "" where it shows all
	seq   func(*probe) entries
}

var (
	all = walker{"All", "", func(p *probe) entries { return capability[tokensession.Lister](p).All(p.Context()) }}

	byOwner = walker{byOwnerName("owner"), "owner", func(p *probe) entries {
		return capability[tokensession.OwnerIndex](p).ByOwner(p.Context(), "owner")
	}}
)

// walkers returns those that the store has, and skips the check where it has none.
func (p *probe) walkers() (list []walker) {
	if has[tokensession.Lister](p.store) {
		list = append(list, all)
	}
	if has[tokensession.OwnerIndex](p.store) {
		list = append(list, byOwner)
	}
	if len(list) == 0 {
		p.Skip("the store is no tokensession.Lister and no tokensession.OwnerIndex")
	}
	return list
}

// fill makes n records of "owner", all different.
func (p *probe) fill(n int) (list []string) {
	for i := range n {
		list = append(list, newID())
		p.mustCreate(list[i], record("data of "+list[i], "owner", time.Hour+time.Duration(i)*time.Minute))
	}
	return list
}

func (w walker) empty(p *probe) { p.wantEntries(w.name, w.seq(p)) }

// shows compares each Entry with what Get gives, and updates from its Version.
func (w walker) shows(p *probe) {
	w.seq(p)
	list := p.fill(300)
	p.wantEntries(w.name, w.seq(p), list...)

	from := time.Now()
	seen := p.collect(w.name, w.seq(p))
	to := time.Now()
	for _, id := range list[:20] {
		got := p.wantRecord(id, seen[id].Record)
		if !p.sameEnd(got, reading{seen[id].Record, from, to}) {
			p.fatalf("%s showed %s, Get gave the TTL %v", w.name, show(seen[id].Record), got.TTL)
		}
		p.mustUpdate(id, at(seen[id].Version, got.Record))
	}
}

// stops leaves iterations early, and begins one over. The store goes on as if nothing had
// been.
func (w walker) stops(p *probe) {
	seq := w.seq(p)
	list := p.fill(30)
	for range 50 {
		for range seq {
			break
		}
	}
	p.wantEntries(w.name, seq, list...)
	p.wantEntries(w.name, seq, list...)
	p.mustDelete(list[0])
	p.wantEntries(w.name, w.seq(p), list[1:]...)
}

// reenters calls every method of the store while it has an Entry.
func (w walker) reenters(p *probe) {
	w.seq(p)
	list := p.fill(20)
	p.returns("an iteration in which the store is called", func() {
		seen := make(map[string]bool)
		for e, err := range w.seq(p) {
			if err != nil {
				p.fatalf("%s: %v", w.name, err)
			}
			if seen[e.ID] && p.suite.Repeats {
				continue
			}
			seen[e.ID] = true
			rec := record("new", "owner", time.Hour)
			p.mustTouch(e.ID, time.Minute)
			p.mustUpdate(e.ID, at(p.mustGet(e.ID).Version, rec))
			p.mustDelete(e.ID)
			for range w.seq(p) {
				break
			}
			for _, m := range p.methods(newID(), rec)[5:] {
				if m.name != "Clear" && m.name != "DeleteOwner" {
					m.call(p.Context())
				}
			}
		}
		if len(seen) < len(list) {
			p.fatalf("%s showed %d of %d records; each was live until it was shown", w.name, len(seen), len(list))
		}
	})
}

// keeps holds the Data of an Entry while the record changes.
func (w walker) keeps(p *probe) {
	w.seq(p)
	id := p.fill(1)[0]
	e := p.collect(w.name, w.seq(p))[id]
	want := bytes.Clone(e.Data)
	v := p.mustUpdate(id, at(e.Version, record(string(bytes.ToUpper(want)), "owner", time.Hour)))
	p.mustDelete(id)
	for range 100 {
		p.mustCreate(newID(), record(string(v), "owner", time.Hour))
	}
	if !bytes.Equal(e.Data, want) {
		p.fatalf("the Data of an Entry became %q, was %q", e.Data, want)
	}
}

// besideWrites walks while others write. Some records stay, and have their state
// replaced by one with a higher number all the time: each is shown, in a state that it had
// meanwhile. Others come and go, or change hands, one of them all the time.
func (w walker) besideWrites(p *probe) {
	w.seq(p)
	stable := p.fill(20)
	numbers := make([]atomic.Int64, len(stable))
	for _, id := range stable {
		p.mustUpdate(id, at(p.mustGet(id).Version, record("0", "owner", time.Hour)))
	}
	var over atomic.Bool
	var writers sync.WaitGroup
	defer writers.Wait()
	defer over.Store(true)
	writers.Go(func() {
		defer p.catch()
		q := p.racer(0, p.store)
		for n := int64(1); !over.Load(); n++ {
			i := int(n) % len(stable)
			if q.replace(stable[i], record(strconv.FormatInt(n, 10), "owner", time.Hour)) {
				numbers[i].Store(n)
			}
			q.touch(stable[i], time.Hour+time.Duration(n)*time.Second)
		}
	})
	writers.Go(func() {
		defer p.catch()
		q := p.racer(1, p.store)
		for !over.Load() {
			id := newID()
			q.create(id, record("0", "owner", time.Hour))
			q.replace(id, record("0", "other", time.Hour))
			q.replace(id, record("0", "owner", time.Hour))
			q.delete(id)
		}
	})
	traded := p.fill(1)[0]
	writers.Go(func() {
		defer p.catch()
		q := p.racer(2, p.store)
		for !over.Load() {
			q.replace(traded, record("0", "other", time.Hour))
			q.replace(traded, record("0", "owner", time.Hour))
		}
	})
	p.rounds(func() {
		least := make(map[string]int64)
		for i, id := range stable {
			least[id] = numbers[i].Load()
		}
		shown := make(map[string]int)
		for e, err := range w.seq(p) {
			if err != nil {
				p.fatalf("%s beside writes: %q, %v", w.name, e.ID, err)
			}
			shown[e.ID]++
			if w.owner != "" && e.Owner != w.owner {
				p.failAbout(e.ID, "%s showed %s", w.name, show(e.Record))
			}
			if n, _ := strconv.ParseInt(string(e.Data), 10, 64); n < least[e.ID] {
				p.failAbout(e.ID, "%s showed %s; it had been replaced before the iteration began, by %d",
					w.name, show(e.Record), least[e.ID])
			}
		}
		for _, id := range stable {
			if n := shown[id]; n == 0 || n > 1 && !p.suite.Repeats {
				p.failAbout(id, "%s showed %q %d times; it was live throughout, and being updated", w.name, id, n)
			}
		}
	})
}

// replace updates the record of id to rec, without a report, and returns whether it did: it
// is for goroutines that make work for a check.
func (p *probe) replace(id string, rec tokensession.Record) bool {
	got, err := p.get(id)
	if err == nil {
		_, err = p.update(id, at(got.Version, rec))
	}
	return err == nil
}
