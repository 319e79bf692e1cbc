package redis

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/tokensession/tokensession"
)

// A record is stored as a header, which is a line of its own, and its data:
//
//	ts1 nonce⏎data
//	ts1 nonce owner⏎data
//
// ts1 is the format, nonce 96 random bits in base64url, and owner has its % and line
// feeds percent-encoded. The header names the state: it is the record's Version. Thus
// whoever updates a record says which owner's index it is in, and no script needs a key
// that it was not given.
const (
	magic     = "ts1 "
	nonceSize = 12                                         // bytes, 16 characters
	tailAt    = len(magic) + nonceSize*4/3                 // where the owner begins, with a space
	maxHeader = tailAt + len(" ") + 3*maxOwner + len("\n") // an owner of line feeds only
	maxOwner  = 256                                        // bytes, by rule 3
	maxData   = 64 << 20                                   // Redis allows 512 MiB, but stands still for each
)

var (
	errForeign = fmt.Errorf("%w: it does not begin as a record does", tokensession.ErrCorrupt)

	ownerEscaper   = strings.NewReplacer("%", "%25", "\n", "%0A")
	ownerUnescaper = strings.NewReplacer("%25", "%", "%0A", "\n")
)

// newHeader returns a header with a new nonce.
func newHeader(owner string) string {
	var nonce [nonceSize]byte
	rand.Read(nonce[:]) // never fails
	return magic + base64.RawURLEncoding.EncodeToString(nonce[:]) + tail(owner)
}

// tail returns what follows the nonce in the header of a record of owner.
func tail(owner string) string {
	if owner == "" {
		return "\n"
	}
	return " " + ownerEscaper.Replace(owner) + "\n"
}

// parseHeader returns the header that value begins with and the owner that it names.
func parseHeader(value string) (header, owner string, err error) {
	if len(value) <= tailAt || value[:len(magic)] != magic {
		return "", "", errForeign
	}
	end := strings.IndexByte(value[tailAt:min(len(value), maxHeader)], '\n')
	if end < 0 {
		return "", "", errForeign
	}
	header = value[:tailAt+end+1]
	if end == 0 {
		return header, "", nil
	}
	owner = ownerUnescaper.Replace(header[tailAt+1 : tailAt+end])
	if tail(owner) != header[tailAt:] {
		return "", "", errForeign
	}
	return header, owner, nil
}

// encode returns what is stored: a copy, which no caller has.
func encode(header string, data []byte) []byte {
	value := make([]byte, 0, len(header)+len(data))
	value = append(value, header...)
	return append(value, data...)
}

// decode returns the record that value is, which has the given time left by PTTL.
func decode(value string, left time.Duration) (tokensession.Record, error) {
	header, owner, err := parseHeader(value)
	if err != nil {
		return tokensession.Record{}, err
	}
	return tokensession.Record{
		Data:    []byte(value[len(header):]),
		Owner:   owner,
		Version: tokensession.Version(header),
		TTL:     ttlOf(left),
	}, nil
}

// ttlOf returns what is left of a life of which PTTL says left: -1 (no unit) where it
// has no end, else the milliseconds that begin in it.
func ttlOf(left time.Duration) time.Duration {
	if left == -1 {
		return tokensession.Forever
	}
	// Redis lets a key live through its last millisecond.
	return min(left+time.Millisecond, tokensession.MaxTTL)
}

// milliseconds returns ttl as the scripts want it: rounded up, or "" for ever.
func milliseconds(ttl time.Duration) any {
	if ttl == tokensession.Forever {
		return ""
	}
	return int64((ttl + time.Millisecond - 1) / time.Millisecond)
}
