package bolt

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/tokensession/tokensession"
)

const (
	benchRecords = 10_000
	benchTTL     = 24 * time.Hour
)

// BenchmarkUpdate compares durable writes to 10,000 records of 200 bytes: one
// db.Update after another, which puts what a store puts and nothing else, with one
// writer and with 64 at a time of a Store.
func BenchmarkUpdate(b *testing.B) {
	b.Run("plain", benchmarkPlain)
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) { benchmarkWriters(b, writers) })
	}
}

func benchmarkPlain(b *testing.B) {
	s := fullStore(b)
	for b.Loop() {
		id := benchID(rand.IntN(benchRecords))
		r := newRecord(id, benchRecord(""))
		// A record that lives longer than before stays where it is in the index.
		r.expire(expiryAfter(benchTTL, time.Now().UnixNano()), forever)
		if err := s.db.Update(func(tx *bbolt.Tx) error {
			return tx.Bucket(s.bucket).Bucket(recordsName).Put([]byte(id), r.value)
		}); err != nil {
			b.Fatal(err)
		}
	}
	reportRate(b)
}

func benchmarkWriters(b *testing.B, writers int) {
	s := fullStore(b)
	versions := make([]tokensession.Version, benchRecords)
	for i := range versions {
		rec, err := s.Get(b.Context(), benchID(i))
		if err != nil {
			b.Fatal(err)
		}
		versions[i] = rec.Version
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	b.ResetTimer()
	for w := range writers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				// Each has its own records, so that no Update is in conflict.
				i := w + writers*rand.IntN(benchRecords/writers)
				v, err := s.Update(b.Context(), benchID(i), benchRecord(versions[i]))
				if err != nil {
					b.Error(err)
					return
				}
				versions[i] = v
			}
		})
	}
	wg.Wait()
	reportRate(b)
}

func fullStore(b *testing.B) *Store {
	s, err := Open(b.Context(), "bolt:"+filepath.Join(b.TempDir(), "sessions.db"), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	var wg sync.WaitGroup
	for w := range 100 {
		wg.Go(func() {
			for i := w; i < benchRecords; i += 100 {
				if _, err := s.Create(context.Background(), benchID(i), benchRecord("")); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	return s
}

func benchID(i int) string { return fmt.Sprintf("%08x-session-%08x", uint32(i*2654435761), i) }

func benchRecord(v tokensession.Version) tokensession.Record {
	return tokensession.Record{Data: make([]byte, 200), Owner: "somebody", TTL: benchTTL, Version: v}
}

func reportRate(b *testing.B) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
}
