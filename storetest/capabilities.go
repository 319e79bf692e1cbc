package storetest

import (
	"context"
	"time"

	"github.com/tokensession/tokensession"
)

func (p *probe) wantLen(c tokensession.Counter, want int, after string) {
	if n, err := c.Len(p.Context()); n != want || err != nil {
		p.fatalf("Len = %d, %v after %s; want %d", n, err, after, want)
	}
}

// counterCounts follows the number of records through all that can change it.
func counterCounts(p *probe) {
	c := capability[tokensession.Counter](p)
	p.wantLen(c, 0, "nothing")
	first := newID()
	v := p.mustCreate(first, record("data", "owner", time.Hour))
	for range 20 {
		p.mustCreate(newID(), record("data", "owner", tokensession.Forever))
	}
	p.wantLen(c, 21, "21 Creates")
	p.mustUpdate(first, at(v, record("new", "other", time.Hour)))
	p.wantLen(c, 21, "an Update")
	p.mustTouch(first, time.Minute)
	p.wantLen(c, 21, "a Touch")
	p.create(first, record("data", "", time.Hour))
	p.wantLen(c, 21, "a Create where a live record is")
	p.mustDelete(first)
	p.wantLen(c, 20, "a Delete")
	p.delete(first)
	p.wantLen(c, 20, "a Delete of nothing")
	p.mustCreate(first, record("data", "", time.Hour))
	p.wantLen(c, 21, "a Create of what was deleted")
}

func clearerEmpties(p *probe) {
	c := capability[tokensession.Clearer](p)
	clear := func() {
		if err := c.Clear(p.Context()); err != nil {
			p.fatalf("Clear: %v", err)
		}
	}
	clear()
	var gone []string
	for i := range 100 {
		gone = append(gone, newID())
		owner, ttl := "", time.Hour
		if i%2 == 1 {
			owner, ttl = "owner", tokensession.Forever
		}
		p.mustCreate(gone[i], record("data", owner, ttl))
	}
	clear()
	for _, id := range gone {
		p.wantGone(id)
	}
	for _, v := range p.views(gone[1], "owner") {
		if v.sees() {
			p.fatalf("%s sees records after Clear", v.name)
		}
	}
	p.mustCreate(gone[0], record("new", "owner", time.Hour))
	p.wantRecord(gone[0], record("new", "owner", 0))
}

func pingerAnswers(p *probe) {
	c := capability[tokensession.Pinger](p)
	ctx, cancel := context.WithTimeout(p.Context(), p.suite.patience())
	defer cancel()
	if err := c.Ping(ctx); err != nil {
		p.fatalf("Ping of an open store: %v", err)
	}
}
