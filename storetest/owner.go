package storetest

import (
	"fmt"
	"strings"
	"time"

	"github.com/tokensession/tokensession"
)

// ownersApart gives records to owners whose names a careless index mixes up.
func ownersApart(p *probe) {
	capability[tokensession.OwnerIndex](p)
	owners := []string{"al", "alice", "Alice", "alice ", "alice:1", "a*", "a?", "al%", "a_", "[al]", "ali", "é", "e\u0301",
		strings.Repeat("x", 255), strings.Repeat("x", 256)}
	records := make(map[string][]string)
	for _, owner := range owners {
		for range 3 {
			id := newID()
			p.mustCreate(id, record("data", owner, time.Hour))
			records[owner] = append(records[owner], id)
		}
	}
	p.mustCreate(newID(), record("data", "", time.Hour))
	for _, owner := range owners {
		p.wantOwned(owner, records[owner]...)
	}
	for i, owner := range owners {
		p.wantDeleted(owner, 3)
		p.wantOwned(owner)
		for _, next := range owners[i+1:] {
			p.wantOwned(next, records[next]...)
		}
	}
}

// wantOwned fails unless ByOwner shows just the records of want.
func (p *probe) wantOwned(owner string, want ...string) {
	index := capability[tokensession.OwnerIndex](p)
	p.wantEntries(byOwnerName(owner), index.ByOwner(p.Context(), owner), want...)
}

// byOwnerName is how every report calls the walk through an owner's records.
func byOwnerName(owner string) string { return fmt.Sprintf("ByOwner(%.40q)", owner) }

func (p *probe) wantDeleted(owner string, want int) {
	if n, err := p.deleteOwner(owner); n != want || err != nil {
		p.fatalf("DeleteOwner(%.40q) = %s; want %d", owner, outcome(n, err), want)
	}
}

// ownersChange lets a record change hands, to and fro, and to nobody.
func ownersChange(p *probe) {
	capability[tokensession.OwnerIndex](p)
	id := newID()
	p.mustCreate(id, record("data", "alice", time.Hour))
	for _, owner := range []string{"bob", "alice", "", "bob", "bob", "alice", ""} {
		p.mustUpdate(id, at(p.mustGet(id).Version, record("data", owner, time.Hour)))
		p.mustTouch(id, time.Hour)
		for _, name := range []string{"alice", "bob"} {
			var want []string
			if name == owner {
				want = []string{id}
			}
			p.wantOwned(name, want...)
		}
	}
	p.wantDeleted("alice", 0)
	p.wantDeleted("bob", 0)
	p.mustGet(id)
}

// ownersRecreated gives an id to another owner by Delete and Create.
func ownersRecreated(p *probe) {
	capability[tokensession.OwnerIndex](p)
	id := newID()
	p.mustCreate(id, record("data", "alice", time.Hour))
	p.mustDelete(id)
	p.wantOwned("alice")
	p.mustCreate(id, record("data", "bob", time.Hour))
	p.wantOwned("alice")
	p.wantOwned("bob", id)
	p.wantDeleted("alice", 0)
	p.wantDeleted("bob", 1)
	p.wantDeleted("bob", 0)
	p.wantGone(id)
}

// ownersSucceeded gives an id to another owner by a Create where a record has expired.
func ownersSucceeded(p *probe) {
	capability[tokensession.OwnerIndex](p)
	ids, _ := p.expired(1)
	if _, err := p.create(ids[0], record("new", "other", time.Hour)); err != nil {
		return // that it succeeds is rule 6
	}
	p.wantOwned("owner")
	p.wantOwned("other", ids[0])
	p.wantDeleted("owner", 0)
	p.wantRecord(ids[0], record("new", "other", 0))
	p.wantDeleted("other", 1)
	p.wantGone(ids[0])
}

// ownersOutlive prolongs records of a short life: the index must not forget them when
// that would have ended.
func ownersOutlive(p *probe) {
	capability[tokensession.OwnerIndex](p)
	touched, updated, moved := newID(), newID(), newID()
	from := time.Now()
	p.mustCreate(touched, record("data", "owner", short))
	p.inTime(from, p.touch(touched, time.Hour))
	from = time.Now()
	_, err := p.update(updated, at(p.mustCreate(updated, record("data", "owner", short)), record("data", "owner", time.Hour)))
	p.inTime(from, err)
	from = time.Now()
	_, err = p.update(moved, at(p.mustCreate(moved, record("data", "other", short)), record("data", "owner", tokensession.Forever)))
	p.inTime(from, err)

	p.sleepPast(time.Now().Add(short))
	p.wantOwned("owner", touched, updated, moved)
	p.wantDeleted("owner", 3)
	for _, id := range []string{touched, updated, moved} {
		p.wantGone(id)
	}
}

func ownersInvalid(p *probe) {
	index := capability[tokensession.OwnerIndex](p)
	p.mustCreate(newID(), record("data", "", time.Hour))
	for _, owner := range []string{"", "a\x00b", "\xff", strings.Repeat("x", 257)} {
		p.want(tokensession.ErrInvalidOwner, firstError(index.ByOwner(p.Context(), owner)), "%s", byOwnerName(owner))
		_, err := p.deleteOwner(owner)
		p.want(tokensession.ErrInvalidOwner, err, "DeleteOwner(%.40q)", owner)
	}
}
