package storetest

import (
	"errors"
	"time"

	"github.com/tokensession/tokensession"
)

// setters are the three ways to give a record a time to live. Each makes a record of
// id that has the TTL ttl, and returns the instants around the call that set it.
var setters = []struct {
	name string
	set  func(p *probe, id string, ttl time.Duration) (from, to time.Time)
}{
	{"Create", func(p *probe, id string, ttl time.Duration) (from, to time.Time) {
		from = time.Now()
		p.mustCreate(id, record("data", "owner", ttl))
		return from, time.Now()
	}},
	{"Update", func(p *probe, id string, ttl time.Duration) (from, to time.Time) {
		v := p.mustCreate(id, record("before", "", otherThan(ttl)))
		from = time.Now()
		p.mustUpdate(id, at(v, record("data", "owner", ttl)))
		return from, time.Now()
	}},
	{"Touch", func(p *probe, id string, ttl time.Duration) (from, to time.Time) {
		p.mustCreate(id, record("data", "owner", otherThan(ttl)))
		from = time.Now()
		p.mustTouch(id, ttl)
		return from, time.Now()
	}},
}

// otherThan returns a long TTL to be replaced by ttl.
func otherThan(ttl time.Duration) time.Duration {
	if ttl == tokensession.Forever {
		return time.Hour
	}
	return tokensession.Forever
}

// ttlShown sets TTLs of all lengths and looks whether what Get returns then was
// true during the call.
func ttlShown(p *probe) {
	for _, ttl := range []time.Duration{time.Minute, time.Minute + 999*time.Millisecond, time.Hour + 1,
		30 * 24 * time.Hour, 31 * 24 * time.Hour, 30 * 365 * 24 * time.Hour, 69 * 365 * 24 * time.Hour,
		tokensession.MaxTTL - 1, tokensession.MaxTTL, tokensession.Forever} {
		for _, s := range setters {
			id := newID()
			from, to := s.set(p, id, ttl)
			p.wantTTL(id, ttl, from, to)
		}
	}
}

// wantTTL fails unless the record of id shows the TTL that it was given between from
// and to, less the time that has gone by since.
func (p *probe) wantTTL(id string, ttl time.Duration, from, to time.Time) {
	got := p.mustGet(id)
	if ttl == tokensession.Forever {
		if got.TTL != ttl {
			p.fatalf("the TTL that Get gave is %v, want Forever", got.TTL)
		}
		return
	}
	elapsed := got.to.Sub(from)
	least := ttl - elapsed - p.drift(elapsed)
	most := ttl - got.from.Sub(to) + p.slack(elapsed) + p.suite.Granularity
	if got.TTL < least || got.TTL > most || got.TTL <= 0 {
		p.fatalf("the TTL that Get gave is %s, %v after it was set to %v; true is between %v and %v",
			showTTL(got.TTL), brief(got.from.Sub(to)), ttl, least, most)
	}
}

// ttlTiny gives records next to no time. To be refused, and to live on, is wrong.
func ttlTiny(p *probe) {
	for _, ttl := range []time.Duration{1, time.Microsecond, time.Millisecond - 1} {
		for _, s := range setters {
			id := newID()
			from, _ := s.set(p, id, ttl)
			rec, err := p.get(id)
			if most := ttl + p.slack(time.Since(from)) + p.suite.Granularity; err == nil && (rec.TTL <= 0 || rec.TTL > most) {
				p.fatalf("the TTL that Get gave is %s, after %s had set it to %v", showTTL(rec.TTL), s.name, ttl)
			}
			if err != nil && !errors.Is(err, tokensession.ErrNotFound) {
				p.fatalf("Get: %v", err)
			}
			time.Sleep(ttl + p.suite.Granularity + time.Millisecond)
			p.wantGone(id)
		}
	}
}

// ttlForever goes to Forever and back, by each way.
func ttlForever(p *probe) {
	id := newID()
	p.mustCreate(id, record("data", "", tokensession.Forever))
	for _, ttl := range []time.Duration{time.Hour, tokensession.Forever, tokensession.MaxTTL, tokensession.Forever} {
		from := time.Now()
		p.mustTouch(id, ttl)
		p.wantTTL(id, ttl, from, time.Now())
	}
	for _, ttl := range []time.Duration{time.Hour, tokensession.Forever, tokensession.MaxTTL, tokensession.Forever} {
		v := p.mustGet(id).Version
		from := time.Now()
		p.mustUpdate(id, at(v, record("data", "", ttl)))
		p.wantTTL(id, ttl, from, time.Now())
	}
}

// ttlDays lets 31 days go by: a record that has as many is there until the last second,
// and longer ones and those that are forever stay.
func ttlDays(p *probe) {
	const month = 31 * 24 * time.Hour
	for _, s := range setters {
		ends, longer, forever := newID(), newID(), newID()
		s.set(p, longer, 2*month)
		s.set(p, forever, tokensession.Forever)
		_, to := s.set(p, ends, month)
		time.Sleep(month - time.Second)
		p.mustGet(ends)
		p.sleepPast(to.Add(month))
		p.wantGone(ends)
		p.mustGet(longer)
		if got := p.mustGet(forever); got.TTL != tokensession.Forever {
			p.fatalf("the TTL of a record that %s had given Forever is %v after 31 days", s.name, got.TTL)
		}
	}
}
