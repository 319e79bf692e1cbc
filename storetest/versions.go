package storetest

import (
	"io"
	"time"

	"github.com/tokensession/tokensession"
)

// wantInvalid fails if one of old is a Version of the record of id as it is.
func (p *probe) wantInvalid(id string, old []tokensession.Version, since string) {
	for _, v := range old {
		_, err := p.update(id, at(v, record("new", "", time.Hour)))
		p.want(tokensession.ErrConflict, err, "Update from a Version of before %s", since)
	}
}

// life creates a record of id and updates it, each time to the same, and returns all
// the Versions it had.
func (p *probe) life(id string) []tokensession.Version {
	rec := record("data", "owner", time.Hour)
	versions := []tokensession.Version{p.mustCreate(id, rec)}
	for range 3 {
		versions = append(versions, p.mustUpdate(id, at(versions[len(versions)-1], rec)))
	}
	return append(versions, p.mustGet(id).Version)
}

// versionsDeleted lives through several lives of one id. No Version from an earlier
// one is valid in a later one, however far that has come.
func versionsDeleted(p *probe) {
	id := newID()
	var old []tokensession.Version
	for range 3 {
		v := p.mustCreate(id, record("data", "owner", time.Hour))
		for range 4 {
			p.wantInvalid(id, old, "the latest Delete and Create")
			v = p.mustUpdate(id, at(v, record("data", "owner", time.Hour)))
		}
		p.mustDelete(id)
		old = append(old, v)
		old = append(old, p.life(id)...)
		p.mustDelete(id)
	}
}

func versionsExpired(p *probe) {
	ids, versions := p.expired(1)
	p.mustCreate(ids[0], record("old", "owner", time.Hour))
	p.wantInvalid(ids[0], versions, "the record expired and was created again")
}

func versionsCleared(p *probe) {
	capability[tokensession.Clearer](p)
	id := newID()
	old := p.life(id)
	p.mustClear()
	p.mustCreate(id, record("data", "owner", time.Hour))
	p.wantInvalid(id, old, "Clear and Create")
}

func versionsOwnerDeleted(p *probe) {
	capability[tokensession.OwnerIndex](p)
	id := newID()
	old := p.life(id)
	p.wantDeleted("owner", 1)
	p.mustCreate(id, record("data", "owner", time.Hour))
	p.wantInvalid(id, old, "DeleteOwner and Create")
}

// versionsReopened restarts the store between the lives of an id, and in the middle
// of another's.
func versionsReopened(p *probe) {
	if p.suite.Reopen == nil {
		p.Skip("Suite.Reopen is nil: the records do not outlive the store")
	}
	open := p.suite.Reopen(p.recorder)
	p = p.on(p.open(open))
	reopen := func() {
		if closer, ok := tokensession.As[io.Closer](p.store); ok {
			closer.Close()
		}
		p = p.on(p.open(open))
		p.calls.add("done", "close the store and open it again")
	}
	stays, dies := newID(), newID()
	valid := p.mustCreate(stays, record("data", "owner", time.Hour))
	old := p.life(dies)
	p.mustDelete(dies)
	reopen()
	p.mustCreate(dies, record("data", "owner", time.Hour))
	p.wantInvalid(dies, old, "Delete, a restart and Create")
	reopen()
	p.wantInvalid(dies, old, "Delete, Create and a restart")
	p.wantRecord(stays, record("data", "owner", 0))
	next := p.mustUpdate(stays, at(valid, record("new", "owner", time.Hour)))
	p.wantInvalid(stays, []tokensession.Version{valid}, "a restart and an Update")
	p.mustUpdate(stays, at(next, record("data", "owner", time.Hour)))
}
