package storetest

import (
	"context"
	"strconv"
	"time"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/internal/history"
)

// count calls Len, which the store must have.
func (p *probe) count() (int, error) {
	n, err := capability[tokensession.Counter](p).Len(p.Context())
	p.calls.looked(p.label+"Len", outcome(n, err))
	return n, err
}

func (p *probe) wantLen(want int, after string) {
	if n, err := p.count(); n != want || err != nil {
		p.fatalf("Len = %s after %s; want %d", outcome(n, err), after, want)
	}
}

// clear calls Clear, which the store must have.
func (p *probe) clear() error {
	err := capability[tokensession.Clearer](p).Clear(p.Context())
	p.calls.add(history.ErrorName(err), "%sClear()", p.label)
	return err
}

func (p *probe) mustClear() {
	if err := p.clear(); err != nil {
		p.fatalf("Clear: %v", err)
	}
}

// deleteOwner calls DeleteOwner, which the store must have.
func (p *probe) deleteOwner(owner string) (int, error) {
	n, err := capability[tokensession.OwnerIndex](p).DeleteOwner(p.Context(), owner)
	p.calls.add(outcome(n, err), "%sDeleteOwner(%.40q)", p.label, owner)
	return n, err
}

// outcome is a number in words, or the error that came instead.
func outcome(n int, err error) string {
	if err != nil {
		return history.ErrorName(err)
	}
	return strconv.Itoa(n)
}

// counterCounts follows the number of records through all that can change it.
func counterCounts(p *probe) {
	p.wantLen(0, "nothing")
	first := newID()
	v := p.mustCreate(first, record("data", "owner", time.Hour))
	for range 20 {
		p.mustCreate(newID(), record("data", "owner", tokensession.Forever))
	}
	p.wantLen(21, "21 Creates")
	p.mustUpdate(first, at(v, record("new", "other", time.Hour)))
	p.wantLen(21, "an Update")
	p.mustTouch(first, time.Minute)
	p.wantLen(21, "a Touch")
	p.create(first, record("data", "", time.Hour))
	p.wantLen(21, "a Create where a live record is")
	p.mustDelete(first)
	p.wantLen(20, "a Delete")
	p.delete(first)
	p.wantLen(20, "a Delete of nothing")
	p.mustCreate(first, record("data", "", time.Hour))
	p.wantLen(21, "a Create of what was deleted")
}

func clearerEmpties(p *probe) {
	p.mustClear()
	var gone []string
	for i := range 100 {
		gone = append(gone, newID())
		owner, ttl := "", time.Hour
		if i%2 == 1 {
			owner, ttl = "owner", tokensession.Forever
		}
		p.mustCreate(gone[i], record("data", owner, ttl))
	}
	p.mustClear()
	for _, id := range gone {
		p.wantGone(id)
	}
	for _, v := range p.views(gone[1], "owner") {
		if p.sees(v) {
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
