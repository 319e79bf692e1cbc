package redis

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tokensession/tokensession"
)

func TestHeaderRoundTrip(t *testing.T) {
	for _, owner := range []string{"", "alice", " alice ", "al\nice", "100%", "%0A", "%25", "é", strings.Repeat("\n", 256)} {
		for _, data := range []string{"", "\n", "data", "ts1 AAAABBBBCCCCDDDD\n"} {
			header := newHeader(owner)
			rec, err := decode(string(encode(header, []byte(data))), time.Second)
			if err != nil || rec.Owner != owner || string(rec.Data) != data || string(rec.Version) != header {
				t.Errorf("%q of %q came back as %q of %q with %q, %v", data, owner, rec.Data, rec.Owner, rec.Version, err)
			}
			if strings.Count(header, "\n") != 1 || len(header) > maxHeader {
				t.Errorf("%q is not one line of at most %d bytes", header, maxHeader)
			}
		}
	}
	if first, second := newHeader("alice"), newHeader("alice"); first == second {
		t.Errorf("two headers are %q", first)
	}
}

func TestForeignHeaders(t *testing.T) {
	good := newHeader("alice")
	for _, value := range []string{"", "\n", "ts1 ", good[:20], good[:len(good)-1], "ts2" + good[3:], good[:20] + "alice\n",
		good[:20] + " \n", good[:20] + " al%41ce\n", good[:20] + " %\n", good[:20] + " " + strings.Repeat("x", 1000) + "\n"} {
		if header, owner, err := parseHeader(value); !errors.Is(err, tokensession.ErrCorrupt) {
			t.Errorf("%q is taken for %q of %q, %v", value, header, owner, err)
		}
	}
}

func FuzzHeader(f *testing.F) {
	f.Add(newHeader("alice") + "data")
	f.Add("ts1 AAAABBBBCCCCDDDD %0A\n")
	f.Fuzz(func(t *testing.T, value string) {
		header, owner, err := parseHeader(value)
		if err != nil {
			return
		}
		if !strings.HasPrefix(value, header) || header[:tailAt]+tail(owner) != header {
			t.Errorf("%q is taken for %q of %q", value, header, owner)
		}
	})
}

func TestMilliseconds(t *testing.T) {
	for ttl, want := range map[time.Duration]any{
		1:                       int64(1),
		time.Millisecond:        int64(1),
		time.Millisecond + 1:    int64(2),
		tokensession.MaxTTL - 1: int64(3_155_760_000_000),
		tokensession.MaxTTL:     int64(3_155_760_000_000),
		tokensession.Forever:    "",
	} {
		if got := milliseconds(ttl); got != want {
			t.Errorf("%v is %v, want %v", ttl, got, want)
		}
	}
	for left, want := range map[time.Duration]time.Duration{
		-1:                  tokensession.Forever,
		0:                   time.Millisecond,
		tokensession.MaxTTL: tokensession.MaxTTL,
	} {
		if got := ttlOf(left); got != want {
			t.Errorf("PTTL %v is %v, want %v", left, got, want)
		}
	}
}
