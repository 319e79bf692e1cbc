package storetest

import (
	"errors"
	"time"

	"github.com/tokensession/tokensession"
)

// damaged is p at work on a store with a record that cannot be read, and others that can.
func (p *probe) damaged() (q *probe, id string, others []string) {
	if p.suite.Corrupt == nil {
		p.Skip("Suite.Corrupt is nil: nothing can stand there that the store cannot read")
	}
	store, damage := p.suite.Corrupt(p.recorder)
	p.closeLater(store)
	q = p.on(store)
	list := q.fill(5)
	damage(list[2])
	return q, list[2], append(list[:2:2], list[3:]...)
}

// errorsCorrupt reads a damaged record before and after other calls have met it. What these
// return follows from no rule, but that an Update from another record's Version fails.
func errorsCorrupt(p *probe) {
	q, id, others := p.damaged()
	for range 2 {
		_, err := q.get(id)
		q.want(tokensession.ErrCorrupt, err, "Get of what cannot be read")
		q.touch(id, time.Hour)
		if _, err = q.update(id, at(q.mustGet(others[0]).Version, record("new", "owner", time.Hour))); err == nil {
			q.failAbout(id, "Update from a Version of another record replaced what cannot be read")
		}
	}
	for _, other := range others {
		q.mustGet(other)
	}
}

func errorsCorruptDeleted(p *probe) {
	q, id, others := p.damaged()
	q.mustDelete(id)
	if _, err := q.get(id); errors.Is(err, tokensession.ErrCorrupt) {
		q.failAbout(id, "Get after Delete: %v", err)
	}
	for _, other := range others {
		q.mustGet(other)
	}
}

// corrupt walks over a damaged record. What it was it need not show, but an error says which it
// is, or ends the walk.
func (w walker) corrupt(p *probe) {
	w.seq(p)
	q, id, others := p.damaged()
	shown, ended := make(map[string]bool), false
	for e, err := range w.seq(q) {
		switch {
		case ended:
			q.fatalf("%s went on after an error with the zero Entry", w.name)
		case err == nil && e.ID == id:
			q.failAbout(id, "%s showed %s, which Get cannot read", w.name, show(e.Record))
		case err == nil:
			shown[e.ID] = true
		case e.ID == id:
			q.want(tokensession.ErrCorrupt, err, "%s showed what cannot be read", w.name)
		case e.ID == "":
			ended = true
		default:
			q.fatalf("%s: %q, %v; only another record is damaged", w.name, e.ID, err)
		}
	}
	for _, other := range others {
		if !shown[other] && !ended {
			q.failAbout(other, "%s did not show the live record %q beside one that cannot be read", w.name, other)
		}
	}
}
