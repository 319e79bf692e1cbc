package storetest

import (
	"bytes"
	"strings"
	"time"

	"github.com/tokensession/tokensession"
)

func getAbsent(p *probe) {
	p.wantGone(newID())
	id := newID()
	p.mustCreate(id, record("data", "", time.Hour))
	p.wantGone(newID())
	p.mustDelete(id)
	p.wantGone(id)
}

func getComplete(p *probe) {
	id := newID()
	p.mustCreate(id, record("data", "owner", time.Hour))
	got := p.wantRecord(id, record("data", "owner", 0))
	if got.Version == "" || got.TTL <= 0 {
		p.fatalf("Get gave %s, want all fields set", show(got.Record))
	}
}

// getOnly reads again and again: to read is not to change.
func getOnly(p *probe) {
	id := newID()
	p.mustCreate(id, record("data", "owner", time.Hour))
	was := p.mustGet(id)
	for range 10 {
		time.Sleep(short / 100)
		p.mustGet(id)
	}
	p.wantUnchanged(id, was)
}

// getStays keeps the Data that Get returned while the store goes on.
func getStays(p *probe) {
	id, want := newID(), strings.Repeat("data", 64)
	p.mustCreate(id, record(want, "owner", time.Hour))
	got := p.mustGet(id)
	stays := func(op string) {
		if !bytes.Equal(got.Data, []byte(want)) {
			p.fatalf("after %s, the Data that Get had returned is %q", op, got.Data)
		}
	}
	v := p.mustUpdate(id, at(got.Version, record(strings.Repeat("DATA", 64), "owner", time.Hour)))
	stays("Update")
	p.mustUpdate(id, at(v, record("short", "owner", time.Hour)))
	stays("another Update")
	p.mustTouch(id, time.Minute)
	stays("Touch")
	p.mustDelete(id)
	stays("Delete")
	p.mustCreate(id, record(strings.Repeat("atad", 64), "owner", time.Hour))
	stays("Create")
	for range 100 {
		p.mustCreate(newID(), record(strings.Repeat("xxxx", 64), "", time.Hour))
	}
	stays("a hundred Creates")
}

func createStores(p *probe) {
	id := newID()
	v := p.mustCreate(id, record("data", "owner", time.Hour))
	p.wantRecord(id, record("data", "owner", 0))
	p.mustUpdate(id, at(v, record("new", "", time.Hour)))
}

func createExists(p *probe) {
	id := newID()
	p.mustCreate(id, record("old", "owner", time.Hour))
	was := p.mustGet(id)
	for _, rec := range []tokensession.Record{
		record("new", "other", time.Minute),
		record("old", "owner", tokensession.Forever),
		at(was.Version, record("new", "other", time.Minute)),
	} {
		_, err := p.create(id, rec)
		p.want(tokensession.ErrExists, err, "Create where a live record is")
	}
	p.wantUnchanged(id, was)
}

func createIgnoresVersion(p *probe) {
	other := newID()
	v := p.mustCreate(other, record("data", "", time.Hour))
	for _, v := range []tokensession.Version{v, "", "nonsense", "\xff\x00"} {
		p.mustCreate(newID(), at(v, record("data", "", time.Hour)))
	}
}

func createAgain(p *probe) {
	id := newID()
	for range 3 {
		p.mustCreate(id, record("data", "owner", time.Hour))
		p.mustDelete(id)
	}
	p.mustCreate(id, record("new", "", time.Hour))
	p.wantRecord(id, record("new", "", 0))
}

func createOverExpired(p *probe) {
	ids, _ := p.expired(1)
	p.mustCreate(ids[0], record("new", "other", time.Hour))
	p.wantRecord(ids[0], record("new", "other", 0))
}

func updateReplaces(p *probe) {
	id := newID()
	v := p.mustCreate(id, record("data", "owner", time.Hour))
	for _, rec := range []tokensession.Record{
		record("longer than before", "owner", time.Minute),
		record("", "other", tokensession.Forever),
		record("data", "", time.Hour),
	} {
		from := time.Now()
		v = p.mustUpdate(id, at(v, rec))
		to := time.Now()
		p.wantRecord(id, rec)
		p.wantTTL(id, rec.TTL, from, to)
	}
}

// updateVersions goes on from what Get and what Update returned, in turn.
func updateVersions(p *probe) {
	id := newID()
	v := p.mustCreate(id, record("data", "", time.Hour))
	for range 10 {
		p.mustUpdate(id, at(v, record("data", "", time.Hour)))
		v = p.mustUpdate(id, at(p.mustGet(id).Version, record("data", "", time.Hour)))
	}
}

func updateAbsent(p *probe) {
	never, deleted := newID(), newID()
	v := p.mustCreate(deleted, record("data", "owner", time.Hour))
	p.mustDelete(deleted)
	for _, v := range []tokensession.Version{v, "", "nonsense"} {
		for _, id := range []string{never, deleted} {
			_, err := p.update(id, at(v, record("new", "owner", time.Hour)))
			p.want(tokensession.ErrNotFound, err, "Update from %.40q where no record is", v)
			p.wantGone(id)
		}
	}
}

func updateConflict(p *probe) {
	id := newID()
	first := p.mustCreate(id, record("first", "owner", time.Hour))
	p.mustUpdate(id, at(first, record("second", "owner", time.Minute)))
	was := p.mustGet(id)
	for range 2 {
		_, err := p.update(id, at(first, record("third", "other", tokensession.Forever)))
		p.want(tokensession.ErrConflict, err, "Update from a Version of an earlier state")
	}
	p.wantUnchanged(id, was)
}

// updateForeign tries what is no Version, and the Versions of another record, which
// was made and updated alike.
func updateForeign(p *probe) {
	id, other := newID(), newID()
	p.mustUpdate(id, at(p.mustCreate(id, record("data", "", time.Hour)), record("data", "", time.Hour)))
	created := p.mustCreate(other, record("data", "", time.Hour))
	updated := p.mustUpdate(other, at(created, record("data", "", time.Hour)))
	was := p.mustGet(id)
	for _, v := range []tokensession.Version{created, updated, p.mustGet(other).Version,
		"", " ", "0", "1", "2", "-1", "nonsense", "*", "\x00", "\xff\xfe", tokensession.Version(strings.Repeat("9", 300))} {
		if v == was.Version {
			continue // the store counts, and this is where it stands
		}
		_, err := p.update(id, at(v, record("new", "other", time.Minute)))
		p.want(tokensession.ErrConflict, err, "Update from %.40q, which is no Version of the record", v)
	}
	p.wantUnchanged(id, was)
}

// updateEqual updates a record to what it is already: the Version is a new one.
func updateEqual(p *probe) {
	id := newID()
	rec := record("data", "owner", time.Hour)
	first := p.mustCreate(id, rec)
	p.mustUpdate(id, at(first, rec))
	was := p.mustGet(id)
	_, err := p.update(id, at(first, record("data", "owner", time.Minute)))
	p.want(tokensession.ErrConflict, err, "Update from the Version before an Update that changed nothing else")
	p.wantUnchanged(id, was)
}

func touchOnlyTTL(p *probe) {
	id := newID()
	created := p.mustCreate(id, record("data", "owner", time.Hour))
	read := p.mustGet(id).Version
	for _, ttl := range []time.Duration{2 * time.Hour, time.Minute, tokensession.Forever, time.Hour} {
		from := time.Now()
		p.mustTouch(id, ttl)
		to := time.Now()
		p.wantRecord(id, record("data", "owner", 0))
		p.wantTTL(id, ttl, from, to)
	}
	v := p.mustUpdate(id, at(created, record("new", "owner", time.Hour)))
	p.mustTouch(id, time.Minute)
	_, err := p.update(id, at(read, record("new", "", time.Hour)))
	p.want(tokensession.ErrConflict, err, "Update from a Version that was replaced before the last Touch")
	p.mustUpdate(id, at(v, record("new", "", time.Hour)))
}

func touchAbsent(p *probe) {
	never, deleted := newID(), newID()
	p.mustCreate(deleted, record("data", "", time.Hour))
	p.mustDelete(deleted)
	for _, id := range []string{never, deleted} {
		for _, ttl := range []time.Duration{time.Hour, tokensession.Forever} {
			p.want(tokensession.ErrNotFound, p.touch(id, ttl), "Touch where no record is")
			p.wantGone(id)
		}
	}
}

func deleteRemoves(p *probe) {
	id, other := newID(), newID()
	p.mustCreate(id, record("data", "owner", time.Hour))
	p.mustCreate(other, record("other", "owner", time.Hour))
	p.mustDelete(id)
	p.wantGone(id)
	p.wantRecord(other, record("other", "owner", 0))
}

func deleteAbsent(p *probe) {
	id := newID()
	p.mustDelete(id)
	p.mustCreate(id, record("data", "", time.Hour))
	p.mustDelete(id)
	p.mustDelete(id)
	p.wantGone(id)
}
