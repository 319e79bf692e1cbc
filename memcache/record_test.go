package memcache

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tokensession/tokensession"
)

func TestRecord(t *testing.T) {
	now := time.Now()
	for _, rec := range []tokensession.Record{
		{TTL: 1},
		{Data: []byte("data"), Owner: "owner", TTL: time.Hour},
		{Data: []byte("\r\nEND\r\n"), Owner: strings.Repeat("x", 256), TTL: tokensession.MaxTTL},
		{Data: []byte{0}, TTL: tokensession.Forever},
	} {
		made := newRecord(rec, now)
		read, err := parseRecord(made.value, state{7, 8})
		if err != nil || !read.live(now) {
			t.Errorf("%+v: %v, live: %v", rec, err, read.live(now))
			continue
		}
		got := read.export(now)
		if string(got.Data) != string(rec.Data) || got.Owner != rec.Owner || got.TTL != rec.TTL {
			t.Errorf("got %+v, want %+v", got, rec)
		}
		if rec.TTL != tokensession.Forever && read.live(now.Add(rec.TTL)) {
			t.Errorf("%+v lives too long", rec)
		}
		if !names(got.Version, made) || !names(made.version(), read) {
			t.Errorf("%q and %q do not name it", got.Version, made.version())
		}
		if other := newRecord(rec, now); names(got.Version, other) {
			t.Errorf("%q names another state", got.Version)
		}
	}
}

// TestParseRecordRefuses cuts a record short everywhere, and damages what the parser
// relies on.
func TestParseRecordRefuses(t *testing.T) {
	value := newRecord(tokensession.Record{Owner: "owner", TTL: time.Hour}, time.Now()).value
	for n := range len(value) {
		if _, err := parseRecord(value[:n], state{}); !errors.Is(err, tokensession.ErrCorrupt) {
			t.Errorf("of %d bytes, %d: %v", len(value), n, err)
		}
	}
	for _, at := range []int{0, ownerLenAt} {
		bad := []byte(string(value))
		bad[at] ^= 0x80
		if _, err := parseRecord(bad, state{}); !errors.Is(err, tokensession.ErrCorrupt) {
			t.Errorf("with byte %d changed: %v", at, err)
		}
	}
}

func TestHint(t *testing.T) {
	now := time.Now()
	made := newRecord(tokensession.Record{TTL: time.Minute}, now)
	read := record{made.value, state{cas: 1<<64 - 1, boot: 9}}
	unknown := record{made.value, state{cas: 5}}
	if h, ok := hintOf(read.version(), now); !ok || h.state != read.state || h.expiry != read.expiry() {
		t.Errorf("got %+v, %v", h, ok)
	}
	if _, ok := hintOf(read.version(), now.Add(time.Minute)); ok {
		t.Error("a hint is used although the record may have expired")
	}
	for _, v := range []tokensession.Version{"", "x", made.version(), unknown.version(), read.version() + "x"} {
		if _, ok := hintOf(v, now); ok {
			t.Errorf("%q has a hint", v)
		}
	}
	for _, v := range []tokensession.Version{"", "x", made.version()[:11], read.version() + "x"} {
		if names(v, read) {
			t.Errorf("%q names a record", v)
		}
	}
}
