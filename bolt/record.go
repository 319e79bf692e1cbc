package bolt

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"time"

	"github.com/tokensession/tokensession"
)

// A record is stored as
//
//	offset  bytes
//	     0      4  CRC-32C of the id, of all from offset 20, and of the two times
//	     4      8  when it expires
//	    12      8  its place in the expiry index, which is not later
//	    20     12  version: a random nonce
//	    32      2  length of the owner
//	    34         owner, then data to the end
//
// with numbers in big-endian order and times in nanoseconds since 1970, or forever.
// The times come last in the checksum so that they can be changed without reading
// the rest again.
const (
	expiryAt   = 4
	dueAt      = 12
	versionAt  = 20
	ownerLenAt = 32
	ownerAt    = 34
)

const (
	// maxData keeps the pages that one record needs in a row within what a file
	// that has been in use for long can be expected to offer or grow by. bbolt's
	// own limit is 2 GiB.
	maxData = 64 << 20

	forever = math.MaxInt64
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)

	errTooShort = fmt.Errorf("%w: it is too short", tokensession.ErrCorrupt)
	errChecksum = fmt.Errorf("%w: its checksum does not match", tokensession.ErrCorrupt)
)

// record is what is stored under an id.
type record struct {
	value []byte
	sum   uint32 // the checksum without the times
}

// newRecord encodes rec under a new version. It has no times yet.
func newRecord(id string, rec tokensession.Record) record {
	value := make([]byte, ownerAt, ownerAt+len(rec.Owner)+len(rec.Data))
	rand.Read(value[versionAt:ownerLenAt]) // never fails
	binary.BigEndian.PutUint16(value[ownerLenAt:], uint16(len(rec.Owner)))
	value = append(value, rec.Owner...)
	value = append(value, rec.Data...)
	return record{value, sumOf(id, value)}
}

// parseRecord checks value, which it does not copy.
func parseRecord(id string, value []byte) (record, error) {
	if len(value) < ownerAt {
		return record{}, errTooShort
	}
	r := record{value, sumOf(id, value)}
	if binary.BigEndian.Uint32(value) != r.checksum() {
		return record{}, errChecksum
	}
	if len(value) < ownerAt+r.ownerLen() {
		return record{}, errTooShort
	}
	return r, nil
}

func sumOf(id string, value []byte) uint32 {
	return crc32.Update(crc32.Checksum([]byte(id), castagnoli), castagnoli, value[versionAt:])
}

func (r record) checksum() uint32 {
	return crc32.Update(r.sum, castagnoli, r.value[expiryAt:versionAt])
}

// expire writes the times into the record, which must be the caller's own.
func (r record) expire(at, due int64) {
	binary.BigEndian.PutUint64(r.value[expiryAt:], uint64(at))
	binary.BigEndian.PutUint64(r.value[dueAt:], uint64(due))
	binary.BigEndian.PutUint32(r.value, r.checksum())
}

func (r record) expiry() int64 { return int64(binary.BigEndian.Uint64(r.value[expiryAt:])) }

func (r record) version() []byte { return r.value[versionAt:ownerLenAt] }

func (r record) ownerLen() int { return int(binary.BigEndian.Uint16(r.value[ownerLenAt:])) }

func (r record) owner() []byte { return r.value[ownerAt : ownerAt+r.ownerLen()] }

func (r record) data() []byte { return r.value[ownerAt+r.ownerLen():] }

// due returns when the reaper will look at the record; never at an empty one.
func (r record) due() int64 {
	if r.value == nil {
		return forever
	}
	return int64(binary.BigEndian.Uint64(r.value[dueAt:]))
}

// expiryKey returns the record's key in the expiry index, or nil.
func (r record) expiryKey(id string) []byte {
	if r.due() == forever {
		return nil
	}
	return expiryKey(r.due(), id)
}

// ownerKey returns the record's key in the owner index, or nil.
func (r record) ownerKey(id string) []byte {
	if r.value == nil || r.ownerLen() == 0 {
		return nil
	}
	return ownerKey(r.owner(), id)
}

func (r record) clone() record { return record{bytes.Clone(r.value), r.sum} }

// export copies the record for the user, as it is at the time now.
func (r record) export(now int64) tokensession.Record {
	return tokensession.Record{
		Data:    bytes.Clone(r.data()),
		Owner:   string(r.owner()),
		Version: tokensession.Version(r.version()),
		TTL:     ttlAt(r.expiry(), now),
	}
}

func ttlAt(expiry, now int64) time.Duration {
	if expiry == forever {
		return tokensession.Forever
	}
	return time.Duration(expiry - now)
}

func expiryAfter(ttl time.Duration, now int64) int64 {
	if ttl == tokensession.Forever {
		return forever
	}
	return now + int64(ttl)
}
