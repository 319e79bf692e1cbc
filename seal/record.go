package seal

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"github.com/tokensession/tokensession"
)

// The Data of a sealed record is
//
//	1 byte    the format
//	4 bytes   the id of the key
//	24 bytes  the nonce
//	2 bytes   the length of the owner, big endian, ┐
//	          the owner and                        │ encrypted
//	          the data                             ┘
//	16 bytes  the tag of GCM
//
// Authenticated with it are the record's id, a space, which no id has, and the tag that
// the record has for an owner. The format, version 1, is part of what keys are derived by.
const (
	format     = 1
	saltAt     = 1 + keyIDSize
	nonceAt    = saltAt + saltSize // of the half that GCM takes and makes
	textAt     = saltAt + nonceSize
	lengthSize = 2
	sealedSize = textAt + lengthSize + tagSize // of no owner and no data
)

var (
	errNotSealed = fmt.Errorf("%w: it is not sealed", tokensession.ErrCorrupt)
	errOtherKey  = fmt.Errorf("%w: the key that sealed it is not among the keys", tokensession.ErrCorrupt)
	errForged    = fmt.Errorf("%w: it was changed, or sealed for another id or owner", tokensession.ErrCorrupt)
)

// bound appends what a sealed record belongs to.
func bound(b []byte, id, tag string) []byte {
	b = append(b, id...)
	b = append(b, ' ')
	return append(b, tag...)
}

// seal returns rec as the store under this one gets it.
func (s *Store) seal(id string, rec tokensession.Record) tokensession.Record {
	k := s.keys[0]
	tag := k.tag(rec.Owner)

	// One buffer for all. GCM moves the text by the length of the nonce.
	belongs := len(id) + 1 + len(tag)
	b := bound(make([]byte, 0, belongs+sealedSize+len(rec.Owner)+len(rec.Data)), id, tag)
	b = append(b, format)
	b = append(b, k.id...)
	salt := b[len(b) : len(b)+saltSize]
	rand.Read(salt) // never fails
	b = b[:len(b)+saltSize]
	text := binary.BigEndian.AppendUint16(b[len(b):], uint16(len(rec.Owner)))
	text = append(text, rec.Owner...)
	text = append(text, rec.Data...)

	rec.Data = k.data.aead(salt).Seal(b, nil, text, b[:belongs])[belongs:]
	rec.Owner = tag
	return rec
}

// open is the reverse of seal. What it refuses is ErrCorrupt.
func (s *Store) open(id string, rec tokensession.Record) (tokensession.Record, error) {
	sealed := rec.Data
	if len(sealed) < sealedSize || sealed[0] != format {
		return tokensession.Record{}, errNotSealed
	}
	k := s.keyOf(sealed[1:saltAt])
	if k == nil {
		return tokensession.Record{}, errOtherKey
	}
	// One buffer for both.
	belongs := len(id) + 1 + len(rec.Owner)
	b := bound(make([]byte, 0, belongs+len(sealed)-textAt-tagSize), id, rec.Owner)
	b, err := k.data.aead(sealed[saltAt:nonceAt]).Open(b, nil, sealed[nonceAt:], b)
	if err != nil {
		return tokensession.Record{}, errForged
	}
	// What is authentic is well formed.
	text := b[belongs:]
	owner, data := binary.BigEndian.Uint16(text), text[lengthSize:]
	rec.Owner = string(data[:owner])
	rec.Data = data[owner:]
	return rec, nil
}

func (s *Store) keyOf(id []byte) *key {
	for _, k := range s.keys {
		if bytes.Equal(k.id, id) {
			return k
		}
	}
	return nil
}
