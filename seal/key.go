package seal

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
)

// keyIDSize is the length of a key's id, which finds the key that has sealed a record.
const keyIDSize = 4

// key is what is derived from one key of the application: that one is used for nothing
// else, and not kept.
type key struct {
	id     []byte
	data   *xaes
	owners []byte
}

func newKey(secret []byte) *key {
	derive := func(use string, size int) []byte { // RFC 5869
		return must(hkdf.Key(sha256.New, secret, nil, "tokensession/seal 1 "+use, size))
	}
	return &key{
		id:     derive("id", keyIDSize),
		data:   newXAES(derive("data", keySize)),
		owners: derive("owners", keySize),
	}
}

// newKeys returns the keys, none of them twice. They are behind pointers so that fmt, given
// a Store, does not print them.
func newKeys(secrets [][]byte) ([]*key, error) {
	if len(secrets) == 0 {
		return nil, errors.New("seal: there is no key; at least one is needed")
	}
	keys := make([]*key, len(secrets))
	for i, secret := range secrets {
		if len(secret) != keySize {
			return nil, fmt.Errorf("seal: key %d of %d has %d bytes; accepted are %d, not encoded",
				i+1, len(secrets), len(secret), keySize)
		}
		keys[i] = newKey(secret)
		for j, other := range keys[:i] {
			if bytes.Equal(other.id, keys[i].id) {
				return nil, fmt.Errorf("seal: keys %d and %d of %d are the same", j+1, i+1, len(secrets))
			}
		}
	}
	return keys, nil
}

// tag is what stands for owner in the store. As short as RFC 2104, section 5, recommends,
// it is still as hard to find two owners of one tag as it should be.
func (k *key) tag(owner string) string {
	if owner == "" {
		return ""
	}
	mac := hmac.New(sha256.New, k.owners)
	mac.Write([]byte(owner))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:sha256.Size/2])
}
