package memcache

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/tokensession/tokensession"
)

// A record is stored as
//
//	offset  bytes
//	     0      4  magic
//	     4      8  when it expires
//	    12     12  version: a random nonce
//	    24      2  length of the owner
//	    26         owner, then data to the end
//
// with numbers in big-endian order and the time in nanoseconds since 1970, or forever.
const (
	magic      = "tkn1"
	expiryAt   = 4
	nonceAt    = 12
	ownerLenAt = 24
	ownerAt    = 26
)

const forever = math.MaxInt64

// itemOverhead is what memcached adds to an item's key and value: a header of 48 bytes,
// the CAS number, the flags and the ends of key and value. Some is to spare.
const itemOverhead = 80

type nonce [ownerLenAt - nonceAt]byte

// record is what is stored under an id.
type record struct {
	value []byte
	state state // which state of the server's this is; zero in one that is not stored yet
}

// state is what a compare-and-swap compares: a number, and which process counts.
type state struct {
	cas  uint64
	boot boot
}

// newRecord encodes rec under a new nonce.
func newRecord(rec tokensession.Record, now time.Time) record {
	value := make([]byte, ownerAt, ownerAt+len(rec.Owner)+len(rec.Data))
	copy(value, magic)
	rand.Read(value[nonceAt:ownerLenAt]) // never fails
	binary.BigEndian.PutUint16(value[ownerLenAt:], uint16(len(rec.Owner)))
	value = append(value, rec.Owner...)
	value = append(value, rec.Data...)
	r := record{value: value}
	r.expireAfter(rec.TTL, now)
	return r
}

// parseRecord checks value, which it does not copy.
func parseRecord(value []byte, s state) (record, error) {
	r := record{value, s}
	if len(value) < ownerAt || string(value[:expiryAt]) != magic || len(value) < ownerAt+r.ownerLen() {
		return record{}, fmt.Errorf("%w: a value of %d bytes that this package did not write",
			tokensession.ErrCorrupt, len(value))
	}
	return r, nil
}

// expireAfter changes the time in the record, which must be the caller's own.
func (r record) expireAfter(ttl time.Duration, now time.Time) {
	expiry := int64(forever)
	if ttl != tokensession.Forever {
		expiry = now.UnixNano() + int64(ttl)
	}
	binary.BigEndian.PutUint64(r.value[expiryAt:], uint64(expiry))
}

func (r record) expiry() int64 { return int64(binary.BigEndian.Uint64(r.value[expiryAt:])) }

func (r record) nonce() nonce { return nonce(r.value[nonceAt:ownerLenAt]) }

func (r record) ownerLen() int { return int(binary.BigEndian.Uint16(r.value[ownerLenAt:])) }

func (r record) ownerEnd() int { return ownerAt + r.ownerLen() }

func (r record) live(now time.Time) bool { return r.expiry() > now.UnixNano() }

// export returns the live record for the user, who is given its data.
func (r record) export(now time.Time) tokensession.Record {
	ttl := tokensession.Forever
	if r.expiry() != forever {
		ttl = time.Duration(r.expiry() - now.UnixNano())
	}
	return tokensession.Record{
		Data:    r.value[r.ownerEnd():],
		Owner:   string(r.value[ownerAt:r.ownerEnd()]),
		Version: r.version(),
		TTL:     ttl,
	}
}
