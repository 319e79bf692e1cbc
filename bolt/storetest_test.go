package bolt_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/bolt"
	"github.com/tokensession/tokensession/storetest"
)

var suite = storetest.Suite{
	New:          func(tb testing.TB) tokensession.Store { return file(tb)() },
	Capabilities: storetest.AllCapabilities,
	Corrupt:      damaged,
	Reopen:       file,
	Namespaces:   buckets,
	InProcess:    true,
	TooLarge:     64<<20 + 1,
}

func TestStore(t *testing.T) { suite.Run(t) }

func BenchmarkStore(b *testing.B) { b.Run("driver=bolt", suite.RunBenchmarks) }

// file returns a function that opens one file.
func file(tb testing.TB) (open func() tokensession.Store) {
	dir := strings.ReplaceAll(tb.TempDir(), "#", "%23") // a seed of a fuzz test has one in its name
	url := "bolt:" + filepath.Join(dir, "sessions.db")
	return func() tokensession.Store {
		store, err := bolt.Open(tb.Context(), url, nil)
		if err != nil {
			tb.Fatal(err)
		}
		return store
	}
}

// buckets returns the stores of two buckets in one file.
func buckets(tb testing.TB, a, b string) (tokensession.Store, tokensession.Store) {
	db := database(tb)
	return bucket(tb, db, a), bucket(tb, db, b)
}

func database(tb testing.TB) *bbolt.DB {
	db, err := bbolt.Open(filepath.Join(tb.TempDir(), "sessions.db"), 0o600, nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { db.Close() })
	return db
}

// damaged returns the store of a bucket, and what flips a bit in a record there.
func damaged(tb testing.TB) (tokensession.Store, func(id string)) {
	db := database(tb)
	return bucket(tb, db, "a"), func(id string) {
		err := db.Update(func(tx *bbolt.Tx) error {
			records := tx.Bucket([]byte("a")).Bucket([]byte("records"))
			value := bytes.Clone(records.Get([]byte(id)))
			value[len(value)-1] ^= 1
			return records.Put([]byte(id), value)
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
}

func bucket(tb testing.TB, db *bbolt.DB, name string) tokensession.Store {
	store, err := bolt.New(db, &bolt.Options{Bucket: name})
	if err != nil {
		tb.Fatal(err)
	}
	return store
}
