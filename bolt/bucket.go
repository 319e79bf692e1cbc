package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"go.etcd.io/bbolt"

	"github.com/tokensession/tokensession"
)

// A store's bucket holds the number of its format and three buckets, which are kept
// in step within each transaction:
//
//	format                 "1"
//	records / id           the record, see record.go
//	expiry / due, id       empty; due is as in the record, and none is there for forever
//	owners / owner, 0, id  empty; none is there for nobody
//
// An owner has no NUL, so no two owners and ids make the same key.
var (
	formatKey    = []byte("format")
	recordsName  = []byte("records")
	expiryName   = []byte("expiry")
	ownersName   = []byte("owners")
	noValue      = []byte{}
	errNoBuckets = errors.New("the bucket is gone or incomplete")
)

// format is to be raised when older versions of this package could not read, or
// would damage, what a newer one writes.
const format = 1

// buckets is a store in a transaction.
type buckets struct {
	root, records, expiry, owners *bbolt.Bucket

	// now is read in the transaction. One that writes has then waited for all that
	// it can wait for, so a record that is live now was so when it was decided on.
	now int64

	// settled is whether no write can be under way.
	settled bool
}

func (s *Store) buckets(tx *bbolt.Tx) (buckets, error) {
	b := buckets{root: tx.Bucket(s.bucket), now: s.now().UnixNano(), settled: tx.Writable()}
	if b.root == nil {
		return b, fmt.Errorf("%w: %q", errNoBuckets, s.bucket)
	}
	b.open()
	if b.records == nil || b.expiry == nil || b.owners == nil {
		return b, fmt.Errorf("%w: %q", errNoBuckets, s.bucket)
	}
	return b, nil
}

func (b *buckets) open() {
	b.records = b.root.Bucket(recordsName)
	b.expiry = b.root.Bucket(expiryName)
	b.owners = b.root.Bucket(ownersName)
}

// find returns what is stored under id, expired or not, or ErrNotFound. It is valid
// until the transaction ends.
func (b *buckets) find(id string) (record, error) {
	value := b.records.Get([]byte(id))
	if value == nil {
		return record{}, tokensession.ErrNotFound
	}
	return parseRecord(id, value)
}

func (b *buckets) live(r record) bool { return b.now < r.expiry() }

// prepare makes the store's bucket if it is missing. It changes nothing in a
// database that it refuses.
func (s *Store) prepare() error {
	if s.db.IsReadOnly() {
		return errors.New("bolt: the database was opened read-only; a store must be able to write")
	}
	missing := false
	err := guard(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			root := tx.Bucket(s.bucket)
			missing = root == nil
			if missing {
				return nil
			}
			return checkFormat(root)
		})
	})
	if err == nil && missing {
		err = guard(func() error { return s.db.Update(s.create) })
	}
	if err != nil {
		return fmt.Errorf("bolt: bucket %q: %w", s.bucket, err)
	}
	return nil
}

func checkFormat(root *bbolt.Bucket) error {
	stored := root.Get(formatKey)
	if stored == nil {
		return errors.New("it is not this package's: it has no format number")
	}
	n, err := strconv.Atoi(string(stored))
	if err != nil {
		return fmt.Errorf("its format number is malformed: %q", stored)
	}
	if n != format {
		return fmt.Errorf("it has format %d; this version of the package knows format %d", n, format)
	}
	return nil
}

// create makes the bucket, unless another store did so since somebody looked.
func (s *Store) create(tx *bbolt.Tx) error {
	if root := tx.Bucket(s.bucket); root != nil {
		return checkFormat(root)
	}
	root, err := tx.CreateBucket(s.bucket)
	if err != nil {
		return err
	}
	for _, name := range [][]byte{recordsName, expiryName, ownersName} {
		if _, err := root.CreateBucket(name); err != nil {
			return err
		}
	}
	return root.Put(formatKey, strconv.AppendInt(nil, format, 10))
}

func expiryKey(due int64, id string) []byte {
	key := make([]byte, 8, 8+len(id))
	binary.BigEndian.PutUint64(key, uint64(due))
	return append(key, id...)
}

func splitExpiryKey(key []byte) (due int64, id string) {
	if len(key) < 8 {
		return 0, ""
	}
	return int64(binary.BigEndian.Uint64(key)), string(key[8:])
}

func ownerPrefix(owner []byte) []byte {
	return append(bytes.Clone(owner), 0)
}

func ownerKey(owner []byte, id string) []byte {
	return append(ownerPrefix(owner), id...)
}
