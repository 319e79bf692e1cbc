package memcache

import (
	"encoding/binary"
	"time"

	"github.com/tokensession/tokensession"
)

// A Version is the nonce of the state. One that was read from a known process of the
// server goes on with a hint, by which Update does without reading first:
//
//	offset  bytes
//	     0     12  nonce
//	    12      8  when the record expires
//	    20      8  the server's CAS number for the record
//	    28      8  the boot that counts
const (
	hintAt     = len(nonce{})
	versionLen = hintAt + 24
)

// hint is what a state was when it was read: any change of it, a Touch too, changes
// the number.
type hint struct {
	expiry int64
	state  state
}

// version returns the Version of a record. It has no hint if it was not read, or
// nobody knows what process it was read from.
func (r record) version() tokensession.Version {
	var v [versionLen]byte
	copy(v[:], r.value[nonceAt:ownerLenAt])
	if r.state.boot == 0 {
		return tokensession.Version(v[:hintAt])
	}
	binary.BigEndian.PutUint64(v[hintAt:], uint64(r.expiry()))
	binary.BigEndian.PutUint64(v[hintAt+8:], r.state.cas)
	binary.BigEndian.PutUint64(v[hintAt+16:], uint64(r.state.boot))
	return tokensession.Version(v[:])
}

// names reports whether v is a Version of r.
func names(v tokensession.Version, r record) bool {
	return (len(v) == hintAt || len(v) == versionLen) && string(v[:hintAt]) == string(r.value[nonceAt:ownerLenAt])
}

// hintOf returns the hint in v, if it has one. It is of no use once the record it
// was read from would have expired: only a Touch, unseen, may have kept it alive.
func hintOf(v tokensession.Version, now time.Time) (h hint, ok bool) {
	if len(v) != versionLen {
		return h, false
	}
	b := []byte(v[hintAt:])
	h.expiry = int64(binary.BigEndian.Uint64(b))
	h.state.cas = binary.BigEndian.Uint64(b[8:])
	h.state.boot = boot(binary.BigEndian.Uint64(b[16:]))
	return h, h.state.boot != 0 && h.expiry > now.UnixNano()
}
