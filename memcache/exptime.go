package memcache

import (
	"math"
	"time"

	"github.com/tokensession/tokensession"
)

const (
	// maxRelative is the longest time, in seconds, that memcached does not take
	// for a date: REALTIME_MAXDELTA in its source.
	maxRelative = 60 * 60 * 24 * 30

	// relativeMargin is for the part of a second by which memcached is early, with
	// one more to spare.
	relativeMargin = 2

	// absoluteMargin is by how many seconds the server's clock may be ahead.
	absoluteMargin = 60 * 60 * 24

	never  = 0  // the server is not to expire a value
	atOnce = -1 // the server is to remove a value
)

// exptime returns what tells the server to drop a value ttl after now or a little later:
// seconds, a date, or never.
func exptime(ttl time.Duration, now time.Time) int32 {
	if ttl == tokensession.Forever {
		return never
	}
	seconds := int64((ttl-1)/time.Second) + 1 + relativeMargin
	if seconds <= maxRelative {
		return int32(seconds)
	}
	date := now.Unix() + seconds + absoluteMargin
	if date > math.MaxInt32 {
		return never
	}
	return int32(date)
}
