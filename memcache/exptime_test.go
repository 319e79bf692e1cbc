package memcache

import (
	"math"
	"testing"
	"time"

	"github.com/tokensession/tokensession"
)

func TestExptime(t *testing.T) {
	const day = 24 * time.Hour
	now := time.Unix(1_800_000_000, 999_999_999)
	for ttl, want := range map[time.Duration]int32{
		1:                          3,
		time.Second:                3,
		time.Second + 1:            4,
		time.Hour:                  3602,
		30*day - 2*time.Second:     2592000,
		30*day - 2*time.Second + 1: 1_800_000_000 + 2592001 + 86400,
		30 * day:                   1_800_000_000 + 2592002 + 86400,
		365 * day:                  1_800_000_000 + 365*86400 + 2 + 86400,
		(math.MaxInt32 - 1_800_000_000 - 86402) * time.Second: math.MaxInt32,
		(math.MaxInt32-1_800_000_000-86402)*time.Second + 1:   never,
		tokensession.MaxTTL:  never,
		tokensession.Forever: never,
	} {
		if got := exptime(ttl, now); got != want {
			t.Errorf("exptime(%v) = %d, want %d", ttl, got, want)
		}
	}
}

// TestExptimeAlways: whatever the time, it is not negative, and what is taken for a date
// is one.
func TestExptimeAlways(t *testing.T) {
	for _, year := range []int{1970, 2026, 2037, 2038, 2039, 2106, 2200} {
		now := time.Date(year, 1, 18, 0, 0, 0, 0, time.UTC)
		for ttl := time.Duration(1); ttl > 0 && ttl <= tokensession.MaxTTL; ttl *= 3 {
			got := int64(exptime(ttl, now))
			end := got
			if got > maxRelative {
				end -= now.Unix()
			}
			if got != never && (got < 0 || end < int64(ttl/time.Second)+2) {
				t.Errorf("in %d, exptime(%v) = %d", year, ttl, got)
			}
		}
	}
}
