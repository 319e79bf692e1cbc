package integration

import (
	"fmt"
	"testing"
	"time"

	gomemcache "github.com/bradfitz/gomemcache/memcache"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/integration/backend"
	"github.com/tokensession/tokensession/memcache"
)

// BenchmarkMemcache compares each method with the bare client that sends the same
// commands, and with the least that any store could send: gets, set or delete. The
// three take turns, so that what else the machine does befalls them alike. What is
// reported is the median of each in microseconds, and the ratios.
func BenchmarkMemcache(b *testing.B) {
	// One thread, or it would matter which of them has whose connection.
	server := backend.KindMemcached.Start(b, "-t", "1")
	for _, size := range []int{200, 4096} {
		for _, m := range memcacheMethods {
			b.Run(fmt.Sprintf("%s/bytes=%d", m.name, size), func(b *testing.B) {
				calls := m.calls(newMemcacheBench(b, server, size))
				var took [3][]time.Duration
				for b.Loop() {
					for i, call := range calls {
						took[i] = append(took[i], call())
					}
				}
				reportRatios(b, took)
			})
		}
	}
}

// memcacheBench has a store and a bare client, each with records of its own.
type memcacheBench struct {
	*testing.B
	store  *memcache.Store
	client *gomemcache.Client
	rec    tokensession.Record
	value  []byte // as long as the store's
	next   int
}

func newMemcacheBench(b *testing.B, server *backend.Server, size int) *memcacheBench {
	const header = 26
	client := gomemcache.New(server.Addr)
	b.Cleanup(func() { client.Close() })
	return &memcacheBench{
		B:      b,
		store:  openMemcache(b, server.URL, memcachePrefix()),
		client: client,
		rec:    tokensession.Record{Data: make([]byte, size), TTL: time.Hour},
		value:  make([]byte, size+header),
	}
}

// memcacheMethods are what is measured: of the store, of the client, and the least.
var memcacheMethods = []struct {
	name  string
	calls func(*memcacheBench) [3]func() time.Duration
}{
	{"Get", func(b *memcacheBench) [3]func() time.Duration {
		return [3]func() time.Duration{b.get, b.gets, b.gets}
	}},
	{"Create", func(b *memcacheBench) [3]func() time.Duration {
		return [3]func() time.Duration{b.create, b.add, b.set}
	}},
	{"Update", func(b *memcacheBench) [3]func() time.Duration {
		return [3]func() time.Duration{b.update, b.cas, b.set}
	}},
	{"Touch", func(b *memcacheBench) [3]func() time.Duration {
		return [3]func() time.Duration{b.touch, b.getsAndCAS, b.set}
	}},
	{"Delete", func(b *memcacheBench) [3]func() time.Duration {
		return [3]func() time.Duration{b.delete, b.remove, b.remove}
	}},
}

// timed returns how long f took, which must succeed.
func (b *memcacheBench) timed(f func() error) time.Duration {
	begun := time.Now()
	err := f()
	took := time.Since(begun)
	if err != nil {
		b.Fatal(err)
	}
	return took
}

// id returns an id, or a key of the client, that is used the n-th time in turns of 1,000.
func (b *memcacheBench) id() string {
	b.next++
	return fmt.Sprintf("%024d", b.next%1000)
}

// stored returns an id under which the store has a record.
func (b *memcacheBench) stored() string {
	id := b.absent()
	if _, err := b.store.Create(b.Context(), id, b.rec); err != nil {
		b.Fatal(err)
	}
	return id
}

// absent returns an id under which the store has nothing.
func (b *memcacheBench) absent() string {
	id := b.id()
	if err := b.store.Delete(b.Context(), id); err != nil {
		b.Fatal(err)
	}
	return id
}

func (b *memcacheBench) get() time.Duration {
	id := b.stored()
	return b.timed(func() error { _, err := b.store.Get(b.Context(), id); return err })
}

func (b *memcacheBench) create() time.Duration {
	id := b.absent()
	return b.timed(func() error { _, err := b.store.Create(b.Context(), id, b.rec); return err })
}

func (b *memcacheBench) update() time.Duration {
	id := b.stored()
	rec, err := b.store.Get(b.Context(), id)
	if err != nil {
		b.Fatal(err)
	}
	rec.Data, rec.TTL = b.rec.Data, time.Hour
	return b.timed(func() error { _, err := b.store.Update(b.Context(), id, rec); return err })
}

func (b *memcacheBench) touch() time.Duration {
	id := b.stored()
	return b.timed(func() error { return b.store.Touch(b.Context(), id, time.Hour) })
}

func (b *memcacheBench) delete() time.Duration {
	id := b.stored()
	return b.timed(func() error { return b.store.Delete(b.Context(), id) })
}

// item returns an item for the client, which has it already if stored.
func (b *memcacheBench) item(stored bool) *gomemcache.Item {
	item := &gomemcache.Item{Key: "bare:" + b.id(), Value: b.value, Expiration: 3600}
	if err := b.client.Delete(item.Key); err != nil && err != gomemcache.ErrCacheMiss {
		b.Fatal(err)
	}
	if stored {
		if err := b.client.Set(item); err != nil {
			b.Fatal(err)
		}
	}
	return item
}

func (b *memcacheBench) gets() time.Duration {
	item := b.item(true)
	return b.timed(func() error { _, err := b.client.Get(item.Key); return err })
}

func (b *memcacheBench) add() time.Duration {
	item := b.item(false)
	return b.timed(func() error { return b.client.Add(item) })
}

func (b *memcacheBench) set() time.Duration {
	item := b.item(true)
	return b.timed(func() error { return b.client.Set(item) })
}

func (b *memcacheBench) cas() time.Duration {
	item, err := b.client.Get(b.item(true).Key)
	if err != nil {
		b.Fatal(err)
	}
	item.Expiration = 3600
	return b.timed(func() error { return b.client.CompareAndSwap(item) })
}

func (b *memcacheBench) getsAndCAS() time.Duration {
	key := b.item(true).Key
	return b.timed(func() error {
		item, err := b.client.Get(key)
		if err != nil {
			return err
		}
		item.Expiration = 3600
		return b.client.CompareAndSwap(item)
	})
}

func (b *memcacheBench) remove() time.Duration {
	item := b.item(true)
	return b.timed(func() error { return b.client.Delete(item.Key) })
}
