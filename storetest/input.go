package storetest

import (
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/tokensession/tokensession"
)

// printable holds every byte that an id may have.
func printable() string {
	var all []byte
	for c := byte(0x21); c <= 0x7E; c++ {
		all = append(all, c)
	}
	return string(all)
}

// idsAccepted stores records under ids that encodings, patterns and quoting like to
// mix up, all at once, and finds each again.
func idsAccepted(p *probe) {
	ids := strings.Split(printable(), "")
	ids = append(ids, printable(), strings.Repeat("x", 127), strings.Repeat("x", 128), strings.Repeat("~", 128),
		"session", "Session", "SESSION", "sessio", "session1", "session:1", "session:", ":session",
		"..", "../x", "%00", "%2F", "a'b", `a"b`, `a\b`, "a*", "a?", "[ab]", "{ab}", "$1", "--", "00", "nil")
	versions := make(map[string]tokensession.Version)
	for _, id := range ids {
		v, err := p.create(id, record("data of "+id, "", time.Hour))
		if errors.Is(err, tokensession.ErrExists) {
			p.fatalf("Create(%q), of an id that is none of those created before: ErrExists; these are %.200q", id, ids[:len(versions)])
		}
		p.want(nil, err, "Create(%q)", id)
		versions[id] = v
	}
	for _, id := range ids {
		p.wantRecord(id, record("data of "+id, "", 0))
		p.mustUpdate(id, at(versions[id], record("new data of "+id, "", time.Hour)))
	}
	for _, id := range ids {
		p.wantRecord(id, record("new data of "+id, "", 0))
		p.mustTouch(id, time.Minute)
		p.mustDelete(id)
		p.wantGone(id)
	}
}

func idsRefused(p *probe) {
	ids := []string{"", strings.Repeat("x", 129), strings.Repeat("x", 4096), "é", "session\n"}
	for c := range 256 {
		if c < 0x21 || c > 0x7E {
			ids = append(ids, "a"+string([]byte{byte(c)})+"b")
		}
	}
	rec := record("data", "", time.Hour)
	for _, id := range ids {
		_, err := p.get(id)
		p.want(tokensession.ErrInvalidID, err, "Get(%q)", id)
		_, err = p.create(id, rec)
		p.want(tokensession.ErrInvalidID, err, "Create(%q)", id)
		_, err = p.update(id, rec)
		p.want(tokensession.ErrInvalidID, err, "Update(%q)", id)
		p.want(tokensession.ErrInvalidID, p.touch(id, time.Hour), "Touch(%q)", id)
		p.want(tokensession.ErrInvalidID, p.delete(id), "Delete(%q)", id)
	}
}

// everyByte holds each value of a byte, and the pairs of CR, LF and NUL that text
// protocols stumble on.
func everyByte() []byte {
	var data []byte
	for c := range 256 {
		data = append(data, byte(c))
	}
	return append(data, "\r\n\x00\x00\r\nEND\r\n"...)
}

// atLeast is the length of Data that every store must hold.
const atLeast = 512 << 10

func dataReturns(p *probe) {
	large := slices.Repeat([]byte("0123456789abcdef"), atLeast/16)
	copy(large[len(large)-4:], "last")
	for _, data := range [][]byte{everyByte(), {0}, []byte(" "), []byte(`{"a":1}`), large, large[1:]} {
		id, want := newID(), tokensession.Record{Data: data, TTL: time.Hour}
		v := p.mustCreate(id, want)
		p.wantRecord(id, want)
		p.mustUpdate(id, at(v, record("in between", "", time.Hour)))
		p.mustUpdate(id, at(p.mustGet(id).Version, want))
		p.wantRecord(id, want)
	}
}

func dataEmpty(p *probe) {
	for _, data := range [][]byte{nil, {}} {
		id, empty := newID(), tokensession.Record{Data: data, TTL: time.Hour}
		v := p.mustCreate(id, empty)
		p.wantRecord(id, empty)
		v = p.mustUpdate(id, at(v, record("full", "", time.Hour)))
		p.mustUpdate(id, at(v, empty))
		p.wantRecord(id, empty)
	}
}

func dataTooLarge(p *probe) {
	if p.suite.TooLarge == 0 {
		p.Skip("Suite.TooLarge is 0: no length of Data is known that the store refuses")
	}
	large := tokensession.Record{Data: make([]byte, p.suite.TooLarge), TTL: time.Hour}
	id := newID()
	_, err := p.create(id, large)
	p.want(tokensession.ErrTooLarge, err, "Create with %d bytes", p.suite.TooLarge)
	p.wantGone(id)

	p.mustCreate(id, record("old", "", time.Minute))
	was := p.mustGet(id)
	_, err = p.update(id, at(was.Version, large))
	p.want(tokensession.ErrTooLarge, err, "Update with %d bytes", p.suite.TooLarge)
	p.wantUnchanged(id, was)
}

// dataLimit compares the length that the store refuses with the one that was declared.
func dataLimit(p *probe) {
	const affordable = 4 << 20
	length := 2 * atLeast
	if p.suite.TooLarge > 0 {
		length = min(max(p.suite.TooLarge/2, atLeast), affordable)
	}
	_, err := p.create(newID(), tokensession.Record{Data: make([]byte, length), TTL: time.Hour})
	if !errors.Is(err, tokensession.ErrTooLarge) {
		return // that the store may be too slow for so much, or too full, is no matter of limits
	}
	if p.suite.TooLarge == 0 {
		p.fatalf("Create with %d bytes: %v; Suite.TooLarge is 0, which is none that a test can afford", length, err)
	}
	p.fatalf("Create with %d bytes: %v; Suite.TooLarge is %d", length, err, p.suite.TooLarge)
}

func ownersAccepted(p *probe) {
	for _, owner := range []string{"", "a", "Alice", "alice@example.org", " ", "\x01\n\x7f", "日本語", "a'b\"c\\d",
		"*?[a]{b}%_:", "\ufffd", strings.Repeat("x", 256), strings.Repeat("é", 128)} {
		id := newID()
		v := p.mustCreate(id, record("data", owner, time.Hour))
		p.wantRecord(id, record("data", owner, 0))
		v = p.mustUpdate(id, at(v, record("data", "somebody else", time.Hour)))
		p.wantRecord(id, record("data", "somebody else", 0))
		p.mustUpdate(id, at(v, record("data", owner, time.Hour)))
		p.wantRecord(id, record("data", owner, 0))
	}
}

func ownersRefused(p *probe) {
	for _, owner := range []string{"\x00", "a\x00b", "\xff", "a\xc3", "\xed\xa0\x80", strings.Repeat("x", 257)} {
		id := newID()
		_, err := p.create(id, record("data", owner, time.Hour))
		p.want(tokensession.ErrInvalidOwner, err, "Create with the owner %q", owner)
		p.wantGone(id)

		p.mustCreate(id, record("data", "owner", time.Hour))
		was := p.mustGet(id)
		_, err = p.update(id, at(was.Version, record("new", owner, time.Minute)))
		p.want(tokensession.ErrInvalidOwner, err, "Update to the owner %q", owner)
		p.wantUnchanged(id, was)
	}
}

func ttlRefused(p *probe) {
	for _, ttl := range []time.Duration{0, -1, -time.Millisecond, -time.Second, -time.Hour, math.MinInt64,
		tokensession.MaxTTL + 1, tokensession.Forever - 1} {
		id := newID()
		_, err := p.create(id, record("data", "", ttl))
		p.want(tokensession.ErrInvalidTTL, err, "Create with the TTL %d", ttl)
		p.wantGone(id)

		p.mustCreate(id, record("data", "", time.Hour))
		was := p.mustGet(id)
		_, err = p.update(id, at(was.Version, record("new", "", ttl)))
		p.want(tokensession.ErrInvalidTTL, err, "Update to the TTL %d", ttl)
		p.want(tokensession.ErrInvalidTTL, p.touch(id, ttl), "Touch with the TTL %d", ttl)
		p.wantUnchanged(id, was)
	}
}
