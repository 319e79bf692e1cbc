package memory

import (
	"crypto/rand"
	"encoding/binary"
	"sync/atomic"

	"github.com/tokensession/tokensession"
)

// versions makes the Versions of one Store: 8 random bytes that are the store's,
// then the number of the version, 8 bytes. A counter will do because it lives
// exactly as long as the records: it is one for all ids, and neither Delete nor
// Clear sets it back. The random bytes make those of other stores foreign.
type versions struct {
	store [8]byte
	last  atomic.Uint64
}

func newVersions() *versions {
	v := new(versions)
	rand.Read(v.store[:]) // never fails
	return v
}

func (v *versions) next() tokensession.Version {
	b := make([]byte, 0, 16)
	b = append(b, v.store[:]...)
	b = binary.BigEndian.AppendUint64(b, v.last.Add(1))
	return tokensession.Version(b)
}
