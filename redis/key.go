package redis

import (
	"hash/crc32"
	"strconv"
	"strings"
)

// buckets is how many groups the ids of a store are divided into. A group's records and
// indexes share a slot of a Cluster, so that one script can write both. It is
// part of the format: with another number, nothing that is stored would be found.
const buckets = 256

// keys makes the keys of a store:
//
//	prefix{bucket}s:id     a record
//	prefix{bucket}o:owner  the ids of an owner's records in the bucket
//	prefix{bucket}v:nonce  a large value on its way to a record
//
// A prefix has no braces, so that the first ones end it: no two of prefix, bucket and
// the rest give the same key.
type keys struct {
	prefix string
	record [buckets]string // all of a record's key but the id
	index  [buckets]string // all of an index's key but the owner
	staged [buckets]string // all of a staged value's key but the nonce
}

func newKeys(prefix string) keys {
	k := keys{prefix: prefix}
	for b := range buckets {
		tag := prefix + "{" + strconv.Itoa(b) + "}"
		k.record[b], k.index[b], k.staged[b] = tag+"s:", tag+"o:", tag+"v:"
	}
	return k
}

func bucketOf(id string) int { return int(crc32.ChecksumIEEE([]byte(id)) % buckets) }

func (k *keys) ofRecord(id string) string { return k.record[bucketOf(id)] + id }

func (k *keys) ofIndex(id, owner string) string { return k.index[bucketOf(id)] + owner }

func (k *keys) ofStaged(id, nonce string) string { return k.staged[bucketOf(id)] + nonce }

// records is a pattern that all records' keys match, and perhaps others.
func (k *keys) records() string { return globEscaper.Replace(k.prefix) + "{*}s:*" }

// indexes is a pattern that all indexes' keys match, and perhaps others.
func (k *keys) indexes() string { return globEscaper.Replace(k.prefix) + "{*}o:*" }

var globEscaper = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)

// id returns the id whose record's key is key.
func (k *keys) id(key string) (id string, ok bool) {
	_, id, ok = k.split(key, "}s:")
	return id, ok && id != "" && k.ofRecord(id) == key
}

// owner returns the owner and the bucket whose index's key is key.
func (k *keys) owner(key string) (owner string, bucket int, ok bool) {
	bucket, owner, ok = k.split(key, "}o:")
	return owner, bucket, ok && k.index[bucket]+owner == key
}

// split returns the bucket in key, and what follows after the sign that ends it.
func (k *keys) split(key, sign string) (bucket int, rest string, ok bool) {
	key, ok = strings.CutPrefix(key, k.prefix+"{")
	if !ok {
		return 0, "", false
	}
	number, rest, ok := strings.Cut(key, sign)
	bucket, err := strconv.Atoi(number)
	return bucket, rest, ok && err == nil && 0 <= bucket && bucket < buckets
}
