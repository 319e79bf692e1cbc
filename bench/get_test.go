package bench

import (
	"context"
	"crypto/rand"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2/memstore"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/memory"
)

const (
	records = 10_000
	ttl     = 24 * time.Hour // longer than any run, so nothing expires in one
)

// data is what every record holds, about what a small session comes to.
var data = make([]byte, 256)

// newIDs returns the ids of as many records. All libraries get keys like these,
// so that none has longer ones to hash.
func newIDs() []string {
	ids := make([]string, records)
	for i := range ids {
		ids[i] = rand.Text()[:24] // as long as those of package session
	}
	return ids
}

// newMemory returns our memory store with a record under each of ids.
func newMemory(tb testing.TB, ids []string) *memory.Store {
	tb.Helper()
	store := memory.New(nil)
	tb.Cleanup(func() { store.Close() })
	for _, id := range ids {
		if _, err := store.Create(tb.Context(), id, tokensession.Record{Data: data, TTL: ttl}); err != nil {
			tb.Fatal(err)
		}
	}
	return store
}

// newMemstore returns the memory store of scs with a record under each of ids. It
// runs without its cleanup, which would go through all of them once a minute.
func newMemstore(tb testing.TB, ids []string) *memstore.MemStore {
	tb.Helper()
	store := memstore.NewWithCleanupInterval(0)
	for _, id := range ids {
		if err := store.Commit(id, data, time.Now().Add(ttl)); err != nil {
			tb.Fatal(err)
		}
	}
	return store
}

// BenchmarkGet reads all records of a memory store, again and again, on all
// processors at once.
func BenchmarkGet(b *testing.B) {
	ids := newIDs()
	b.Run("lib=tokensession", func(b *testing.B) {
		store := newMemory(b, ids)
		ctx := context.Background()
		read(b, ids, func(id string) bool {
			got, err := store.Get(ctx, id)
			return err == nil && len(got.Data) == len(data)
		})
	})
	b.Run("lib=scs", func(b *testing.B) {
		store := newMemstore(b, ids)
		read(b, ids, func(id string) bool {
			got, found, err := store.Find(id)
			return err == nil && found && len(got) == len(data)
		})
	})
}

// read runs get on the ids, each goroutine starting somewhere else, until it
// reports false. The ids are copies: those that come with requests are never the
// very strings that a store has, which it would not have to compare.
func read(b *testing.B, ids []string, get func(id string) bool) {
	asked := make([]string, len(ids))
	for i, id := range ids {
		asked[i] = strings.Clone(id)
	}
	var goroutines atomic.Int64
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := int(goroutines.Add(1)) * 997; pb.Next(); i++ {
			if !get(asked[i%len(asked)]) {
				b.Errorf("there is no record, or not the one that was stored")
				return
			}
		}
	})
}
