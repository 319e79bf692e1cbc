package bench

import (
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/bolt"
)

// A write stores data again under the i-th id and returns when that is on disk. No
// two run with the same i at the same time.
type write func(i int) error

var bucket = []byte("sessions")

// BenchmarkBoltWrites replaces the records of a bolt file, one by one and from many
// goroutines at once. All writes are durable.
func BenchmarkBoltWrites(b *testing.B) {
	ids := newIDs()
	for _, lib := range []struct {
		name    string
		open    func(tb testing.TB, ids []string) write
		writers []int
	}{
		{"tokensession", newStore, []int{1, 64}},
		{"bbolt", newUpdate, []int{1, 64}},
		{"bbolt-batch", newBatch, []int{64}}, // alone it would wait out MaxBatchDelay each time
	} {
		b.Run("lib="+lib.name, func(b *testing.B) {
			write := lib.open(b, ids)
			for _, writers := range lib.writers {
				b.Run("writers="+strconv.Itoa(writers), func(b *testing.B) {
					writeAll(b, writers, write)
				})
			}
		})
	}
}

// newUpdate writes with db.Update, of which bbolt runs one after another.
func newUpdate(tb testing.TB, ids []string) write {
	db := newDB(tb, ids)
	return func(i int) error { return db.Update(put(ids[i])) }
}

// newBatch writes with db.Batch, which is how bbolt itself puts writes together.
func newBatch(tb testing.TB, ids []string) write {
	db := newDB(tb, ids)
	return func(i int) error { return db.Batch(put(ids[i])) }
}

func put(id string) func(*bbolt.Tx) error {
	return func(tx *bbolt.Tx) error { return tx.Bucket(bucket).Put([]byte(id), data) }
}

// newDB returns a database with data under each of ids.
func newDB(tb testing.TB, ids []string) *bbolt.DB {
	tb.Helper()
	db, err := bbolt.Open(filepath.Join(tb.TempDir(), "sessions.db"), 0o600, &bbolt.Options{
		FreelistType: bbolt.FreelistMapType, // the faster one, which our store has too
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { db.Close() })
	err = db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket(bucket)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := b.Put([]byte(id), data); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return db
}

// newStore writes with our Update. It replaces the version that the write before it
// has made, so a write that had not landed would make the next one fail.
func newStore(tb testing.TB, ids []string) write {
	tb.Helper()
	store, err := bolt.Open(tb.Context(), "bolt:"+filepath.Join(tb.TempDir(), "sessions.db"), nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { store.Close() })
	var filling sync.WaitGroup
	versions := make([]tokensession.Version, len(ids))
	for i, id := range ids {
		filling.Go(func() {
			var err error
			versions[i], err = store.Create(tb.Context(), id, tokensession.Record{Data: data, TTL: ttl})
			if err != nil {
				tb.Error(err)
			}
		})
	}
	filling.Wait()
	ctx := tb.Context()
	return func(i int) (err error) {
		versions[i], err = store.Update(ctx, ids[i], tokensession.Record{Data: data, Version: versions[i], TTL: ttl})
		return err
	}
}

// writeAll makes b.N writes from so many goroutines. Each has its own share of the
// records, which it goes through in the random order of their ids.
func writeAll(b *testing.B, writers int, write write) {
	var started atomic.Int64
	var running sync.WaitGroup
	for first := range writers {
		running.Go(func() {
			for i := first; started.Add(1) <= int64(b.N); i += writers {
				if i >= records {
					i = first
				}
				if err := write(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	running.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
}
