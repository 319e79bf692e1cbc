package storetest

import (
	"testing"
	"time"

	"github.com/tokensession/tokensession"
)

// fillMany makes more records of "owner" than fit into the pages that backends answer with.
func (p *probe) fillMany() []string {
	list := make([]string, 1100)
	if testing.Short() {
		list = list[:350]
	}
	const goroutines = 16
	together(goroutines, func(i int) {
		q := p.racer(i, p.store)
		for n := i; n < len(list); n += goroutines {
			list[n] = newID()
			if _, err := q.create(list[n], record("data", "owner", time.Hour)); err != nil {
				q.errorf("Create where no live record is: %v", err)
			}
		}
	})
	if p.Failed() {
		p.FailNow()
	}
	return list
}

func counterMany(p *probe) {
	capability[tokensession.Counter](p)
	p.wantLen(len(p.fillMany()), "as many Creates")
}

func clearerMany(p *probe) {
	capability[tokensession.Clearer](p)
	list := p.fillMany()
	p.mustClear()
	for _, id := range list {
		p.wantGone(id)
	}
}

func (w walker) many(p *probe) {
	w.seq(p)
	list := p.fillMany()
	p.wantEntries(w.name, w.seq(p), list...)
}

func ownersDeleteMany(p *probe) {
	capability[tokensession.OwnerIndex](p)
	list := p.fillMany()
	p.wantDeleted("owner", len(list))
	for _, id := range list {
		p.wantGone(id)
	}
}
