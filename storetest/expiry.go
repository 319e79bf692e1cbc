package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tokensession/tokensession"
)

// short is the TTL of records that a check sees expire: long enough to be seen alive
// even on a slow machine, and short enough to wait for.
const short = 100 * time.Millisecond

// overdue is how late the suite may see the end of a short life.
func (p *probe) overdue() time.Duration { return p.slack(short + p.suite.Granularity) }

// sleepPast sleeps until a record whose time is up at t is surely gone. Its life is a short one,
// unless the clock is turned.
func (p *probe) sleepPast(t time.Time) {
	time.Sleep(time.Until(t) + p.overdue() + 1)
}

// expired makes n records of "owner" and returns their ids and Versions once
// they are expired.
func (p *probe) expired(n int) (ids []string, versions []tokensession.Version) {
	for range n {
		ids = append(ids, newID())
		versions = append(versions, p.mustCreate(ids[len(ids)-1], record("old", "owner", short)))
	}
	p.sleepPast(time.Now().Add(short))
	return ids, versions
}

// expiryNotBefore looks at a record until it is gone, and whether it had its time.
func expiryNotBefore(p *probe) {
	for _, s := range setters {
		id := newID()
		from, to := s.set(p, id, short)
		for end := to.Add(short); time.Until(end) > -p.overdue(); time.Sleep(short / 20) {
			before := time.Now()
			rec, err := p.get(id)
			now := time.Now()
			if most := end.Sub(before) + p.slack(now.Sub(from)); err == nil && (rec.TTL <= 0 || rec.TTL > most) {
				p.fatalf("the TTL that Get gave is %s, where at most %v are left", showTTL(rec.TTL), most)
			}
			if err != nil && now.Before(from.Add(short-p.drift(now.Sub(from)))) {
				p.fatalf("Get: %v, no more than %v after %s had given it %v", err, now.Sub(from), s.name, short)
			}
		}
		p.sleepPast(to.Add(short))
		p.wantGone(id)
	}
}

// inTime fails if a call on a record that was given short at from or later failed while
// that surely lived. If it may have been gone, the machine is too slow for the check.
func (p *probe) inTime(from time.Time, err error) {
	if err == nil {
		return
	}
	if took := time.Since(from); took >= short {
		p.Skipf("the machine is too slow: two calls took %v", took)
	}
	p.fatalf("a record that lives for %v: %v", short, err)
}

// expiryMoved makes lives longer and shorter: the end that was set last counts.
func expiryMoved(p *probe) {
	touched, updated, shortened := newID(), newID(), newID()
	from := time.Now()
	p.mustCreate(touched, record("data", "", short))
	p.inTime(from, p.touch(touched, time.Hour))
	from = time.Now()
	_, err := p.update(updated, at(p.mustCreate(updated, record("data", "", short)), record("data", "", time.Hour)))
	p.inTime(from, err)
	p.mustCreate(shortened, record("data", "", time.Hour))
	p.mustTouch(shortened, short)

	p.sleepPast(time.Now().Add(short))
	p.mustGet(touched)
	p.mustGet(updated)
	p.wantGone(shortened)
}

// expiryReaped gives what removes the expired a day to do so. It keeps to the end of life
// that was set last, and to the record whose it is.
func expiryReaped(p *probe) {
	const day = 24 * time.Hour
	touched, updated, replaced, gone := newID(), newID(), newID(), newID()
	for _, id := range []string{touched, updated, replaced, gone} {
		p.mustCreate(id, record("old", "owner", short))
	}
	p.mustTouch(touched, 2*day)
	p.mustUpdate(updated, at(p.mustGet(updated).Version, record("new", "owner", 2*day)))
	p.sleepPast(time.Now().Add(short))
	p.mustCreate(replaced, record("new", "owner", tokensession.Forever))
	time.Sleep(day)
	p.wantRecord(touched, record("old", "owner", 0))
	p.wantRecord(updated, record("new", "owner", 0))
	p.wantRecord(replaced, record("new", "owner", 0))
	p.wantGone(gone)
}

func expiryGet(p *probe) {
	ids, _ := p.expired(1)
	p.wantGone(ids[0])
	p.wantGone(ids[0])
}

func expiryUpdate(p *probe) {
	ids, versions := p.expired(1)
	_, err := p.update(ids[0], at(versions[0], record("new", "owner", time.Hour)))
	p.want(tokensession.ErrNotFound, err, "Update of an expired record")
	p.wantGone(ids[0])
}

func expiryTouch(p *probe) {
	ids, _ := p.expired(2)
	p.want(tokensession.ErrNotFound, p.touch(ids[0], time.Hour), "Touch of an expired record")
	p.wantGone(ids[0])
	p.want(tokensession.ErrNotFound, p.touch(ids[1], tokensession.Forever), "Touch of an expired record")
	p.wantGone(ids[1])
}

func expiryDelete(p *probe) {
	ids, _ := p.expired(1)
	if err := p.delete(ids[0]); err != nil {
		p.fatalf("Delete of an expired record: %v", err)
	}
	p.wantGone(ids[0])
}

func expiryLen(p *probe) {
	capability[tokensession.Counter](p)
	p.mustCreate(newID(), record("live", "owner", time.Hour))
	p.expired(3)
	p.wantLen(1, "three of four records have expired")
}

func expiryAll(p *probe) {
	lister := capability[tokensession.Lister](p)
	live := newID()
	p.mustCreate(live, record("live", "owner", time.Hour))
	p.expired(3)
	p.wantEntries("All", lister.All(p.Context()), live)
}

func expiryByOwner(p *probe) {
	capability[tokensession.OwnerIndex](p)
	live := newID()
	p.mustCreate(live, record("live", "owner", time.Hour))
	p.expired(3)
	p.wantOwned("owner", live)
}

func expiryDeleteOwner(p *probe) {
	capability[tokensession.OwnerIndex](p)
	p.mustCreate(newID(), record("live", "owner", time.Hour))
	p.expired(3)
	p.wantDeleted("owner", 1)
}

// view is a way to see whether the only record of a store is there.
type view struct {
	name string
	sees func() (bool, error)
}

// sees fails if v cannot tell.
func (p *probe) sees(v view) bool {
	there, err := v.sees()
	if err != nil {
		p.fatalf("%s: %v", v.name, err)
	}
	return there
}

func (p *probe) views(id, owner string) []view {
	list := []view{{"Get", func() (bool, error) {
		_, err := p.store.Get(p.Context(), id)
		if errors.Is(err, tokensession.ErrNotFound) {
			return false, nil
		}
		return err == nil, err
	}}}
	if c, ok := tokensession.As[tokensession.Counter](p.store); ok {
		list = append(list, view{"Len", func() (bool, error) { n, err := c.Len(p.Context()); return n > 0, err }})
	}
	if c, ok := tokensession.As[tokensession.Lister](p.store); ok {
		list = append(list, view{"All", func() (bool, error) { return some(c.All(p.Context())) }})
	}
	if c, ok := tokensession.As[tokensession.OwnerIndex](p.store); ok {
		list = append(list, view{byOwnerName(owner), func() (bool, error) { return some(c.ByOwner(p.Context(), owner)) }})
	}
	return list
}

// expiryAgreed looks at a record in every way there is, again and again around the
// instant at which it expires. Once it is gone for one, it is gone for all.
func expiryAgreed(p *probe) {
	id := newID()
	p.mustCreate(id, record("data", "owner", short))
	deadline := time.Now().Add(short)
	var seen []string
	gone := false
	look := func() {
		for _, v := range p.views(id, "owner") {
			sees := p.sees(v)
			seen = append(seen, fmt.Sprintf("%s: %v", v.name, sees))
			if sees && gone {
				p.fatalf("a record that was gone is back (true: there): %s", strings.Join(seen[max(0, len(seen)-8):], ", "))
			}
			gone = gone || !sees
		}
	}
	time.Sleep(time.Until(deadline) - 1)
	for time.Until(deadline) > -p.overdue()-time.Millisecond {
		look()
		look()
		if p.exact {
			time.Sleep(time.Nanosecond)
			look()
			look()
			time.Sleep(time.Millisecond)
		}
	}
	look()
	if !gone {
		p.fatalf("a record is there %v after its time was up", time.Since(deadline))
	}
}

// touchBesideExpiry touches a record about when it expires, while others look. If one saw
// that it is gone, the Touch cannot have succeeded.
func touchBesideExpiry(p *probe) {
	const ttl = time.Millisecond
	handles := p.handles()
	p.rounds(func() {
		id := newID()
		p.mustCreate(id, record("data", "", ttl))
		var gone, over atomic.Bool
		var touched error
		together(3, func(i int) {
			if i == 0 {
				defer over.Store(true)
				time.Sleep(ttl - 100*time.Microsecond + rand.N(200*time.Microsecond+p.suite.Granularity))
				touched = p.racer(0, p.store).touch(id, time.Hour)
				return
			}
			q := p.racer(i, handles[i%len(handles)])
			for last := false; !last && !gone.Load(); {
				last = over.Load()
				if _, err := q.get(id); errors.Is(err, tokensession.ErrNotFound) {
					gone.Store(true)
				}
			}
		})
		if gone.Load() && touched == nil {
			p.failure(about(id), "Touch of an expired record succeeded: a Get beside it had given ErrNotFound")
		}
	})
}
