package storetest

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokensession/tokensession"
)

// benchmark is a use of a store whose time is worth knowing.
type benchmark struct {
	name  string
	sizes []size
	run   func(*bench)
}

// size is a length of Data, and what benchmarks call it.
type size struct {
	suffix string
	bytes  int
}

var (
	anySize  = []size{{"", 256}}
	allSizes = []size{{"/size=256B", 256}, {"/size=4KiB", 4 << 10}, {"/size=64KiB", 64 << 10}}
)

var benchmarks = []benchmark{
	{"Get/hit", allSizes, (*bench).getHit},
	{"Get/miss", anySize, (*bench).getMiss},
	{"Create", allSizes, (*bench).create},
	{"Update/won", allSizes, (*bench).updateWon},
	{"Update/lost", allSizes, (*bench).updateLost},
	{"Touch", allSizes, (*bench).touch},
	{"Delete", allSizes, (*bench).delete},
	{"Mix/get=90", allSizes, (*bench).mix},
}

// RunBenchmarks measures the methods of the store, each in a sub-benchmark of b: Get/hit,
// Get/miss, Create, Update/won, Update/lost, Touch, Delete, and, in parallel, Mix/get=90,
// of which nine in ten calls are Gets and the tenth is an Update. Those whose time may
// depend on the length of Data end in /size=256B, /size=4KiB and /size=64KiB. The names
// stay as they are from version to version.
//
// An outcome that the contract does not allow fails the benchmark. At most some hundred
// records are there at a time, 8 MiB of Data in all unless there are more than 128
// processors; they are removed in the end. Of the Suite, only New is used, and clocks are
// not turned.
//
// To compare stores, give each its name as a sub-benchmark:
//
//	func BenchmarkStore(b *testing.B) {
//		b.Run("driver=bolt", suite.RunBenchmarks)
//	}
//
// and let benchstat (golang.org/x/perf/cmd/benchstat) lay them side by side, whatever
// packages they are in. It wants ten runs of each to tell a difference from noise:
//
//	go test -run '^$' -bench Store -count 10 ./memory ./bolt > new.txt
//	benchstat -ignore pkg -col /driver new.txt
//
// Two states of one store are compared by benchstat old.txt new.txt.
func (s Suite) RunBenchmarks(b *testing.B) {
	if s.New == nil {
		b.Fatal("storetest: Suite.New is nil")
	}
	for _, m := range benchmarks {
		for _, size := range m.sizes {
			b.Run(m.name+size.suffix, func(b *testing.B) { m.run(s.newBench(b, size.bytes)) })
		}
	}
}

// bench is one benchmark at work on one store.
type bench struct {
	*testing.B
	ctx       context.Context
	store     tokensession.Store
	ids       []string // of the records, which are used in turn
	versions  []tokensession.Version
	old, next tokensession.Record // what is created, and what replaces it
}

func (s Suite) newBench(b *testing.B, size int) *bench {
	b.ReportAllocs()
	store := s.New(b)
	if closer, ok := tokensession.As[io.Closer](store); ok {
		b.Cleanup(func() { closer.Close() })
	}
	// Each goroutine of mix has a record of its own.
	n := max(128, runtime.GOMAXPROCS(0))
	p := &bench{
		B:        b,
		ctx:      b.Context(),
		store:    store,
		ids:      make([]string, n),
		versions: make([]tokensession.Version, n),
		old:      tokensession.Record{Data: text(1, size), Owner: "owner", TTL: time.Hour},
		next:     tokensession.Record{Data: text(2, size), Owner: "owner", TTL: 2 * time.Hour},
	}
	for i := range p.ids {
		p.ids[i] = newID()
	}
	b.Cleanup(p.removeAll)
	return p
}

// text returns n bytes that are the same in each run, that no backend can compress to
// nothing, and that are text, as most sessions are.
func text(seed uint64, n int) []byte {
	raw := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed)}).Read(raw)
	return []byte(base64.StdEncoding.EncodeToString(raw))[:n]
}

// removeAll leaves nothing on a server that other benchmarks use too. The context of a
// benchmark has ended when it cleans up.
func (b *bench) removeAll() {
	for _, id := range b.ids {
		if err := b.store.Delete(context.WithoutCancel(b.ctx), id); err != nil {
			b.Errorf("Delete: %v", err)
			return
		}
	}
}

// fill creates all records.
func (b *bench) fill() {
	for i, id := range b.ids {
		var err error
		if b.versions[i], err = b.store.Create(b.ctx, id, b.old); err != nil {
			b.Fatalf("Create where no live record is: %v", err)
		}
	}
	b.wantAll(b.ids, b.old)
}

// wantAll fails unless the records of ids are what was stored.
func (b *bench) wantAll(ids []string, want tokensession.Record) {
	for _, id := range ids {
		got, err := b.store.Get(b.ctx, id)
		if err != nil || !sameContent(got, want) {
			b.Fatalf("Get = %s, %v; want %s", show(got), err, show(want))
		}
	}
}

// hit fails unless a Get of a live record found one. To look at all of its Data would take
// a part of the time that is measured.
func (b *bench) hit(rec tokensession.Record, err error) bool {
	if err != nil || len(rec.Data) != len(b.old.Data) {
		b.Errorf("Get of a live record = %s, %v; want %d bytes", show(rec), err, len(b.old.Data))
		return false
	}
	return true
}

func (b *bench) getHit() {
	b.fill()
	for i := 0; b.Loop(); i++ {
		if !b.hit(b.store.Get(b.ctx, b.ids[i%len(b.ids)])) {
			return
		}
	}
}

func (b *bench) getMiss() {
	b.fill()
	absent := make([]string, len(b.ids))
	for i := range absent {
		absent[i] = newID()
	}
	for i := 0; b.Loop(); i++ {
		if _, err := b.store.Get(b.ctx, absent[i%len(absent)]); !errors.Is(err, tokensession.ErrNotFound) {
			b.Fatalf("Get where no live record is: %v, want %v", err, tokensession.ErrNotFound)
		}
	}
}

// create removes what it has created, while the timer stands still, whenever it has come
// round.
func (b *bench) create() {
	made := 0
	for b.Loop() {
		if made == len(b.ids) {
			b.StopTimer()
			b.wantAll(b.ids, b.old)
			b.removeAll()
			b.StartTimer()
			made = 0
		}
		if _, err := b.store.Create(b.ctx, b.ids[made], b.old); err != nil {
			b.Fatalf("Create where no live record is: %v", err)
		}
		made++
	}
	b.wantAll(b.ids[:made], b.old)
}

func (b *bench) updateWon() {
	b.fill()
	updated := 0
	for i := 0; b.Loop(); i = (i + 1) % len(b.ids) {
		b.next.Version = b.versions[i]
		var err error
		if b.versions[i], err = b.store.Update(b.ctx, b.ids[i], b.next); err != nil {
			b.Fatalf("Update from the Version of the state that is there: %v", err)
		}
		updated = max(updated, i+1)
	}
	b.wantAll(b.ids[:updated], b.next)
}

// updateLost comes with the Versions of what others have replaced.
func (b *bench) updateLost() {
	b.fill()
	for i, id := range b.ids {
		if _, err := b.store.Update(b.ctx, id, at(b.versions[i], b.next)); err != nil {
			b.Fatalf("Update from the Version of the state that is there: %v", err)
		}
	}
	for i := 0; b.Loop(); i = (i + 1) % len(b.ids) {
		b.old.Version = b.versions[i]
		if _, err := b.store.Update(b.ctx, b.ids[i], b.old); !errors.Is(err, tokensession.ErrConflict) {
			b.Fatalf("Update from the Version of a past state: %v, want %v", err, tokensession.ErrConflict)
		}
	}
	b.wantAll(b.ids, b.next)
}

func (b *bench) touch() {
	b.fill()
	for i := 0; b.Loop(); i++ {
		if err := b.store.Touch(b.ctx, b.ids[i%len(b.ids)], b.next.TTL); err != nil {
			b.Fatalf("Touch of a live record: %v", err)
		}
	}
	if rec, err := b.store.Get(b.ctx, b.ids[0]); err != nil || rec.TTL <= b.old.TTL {
		b.Fatalf("after a Touch with %v: %s, %v", b.next.TTL, show(rec), err)
	}
}

// delete creates what it removes while the timer stands still. Of what it has not removed,
// Create would find it there.
func (b *bench) delete() {
	left := 0
	for b.Loop() {
		if left == 0 {
			b.StopTimer()
			b.fill()
			b.StartTimer()
			left = len(b.ids)
		}
		left--
		if err := b.store.Delete(b.ctx, b.ids[left]); err != nil {
			b.Fatalf("Delete: %v", err)
		}
	}
	for _, id := range b.ids[left:] {
		if _, err := b.store.Get(b.ctx, id); !errors.Is(err, tokensession.ErrNotFound) {
			b.Fatalf("Get after Delete: %v, want %v", err, tokensession.ErrNotFound)
		}
	}
}

// mix reads all records and, in each goroutine, updates one, so that no Update is in
// conflict.
func (b *bench) mix() {
	b.fill()
	var goroutines atomic.Int64
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		mine := int(goroutines.Add(1) - 1)
		rec := at(b.versions[mine], b.next)
		for i := 10 * mine; pb.Next(); i++ {
			if i%10 != 0 {
				if !b.hit(b.store.Get(b.ctx, b.ids[i%len(b.ids)])) {
					return
				}
				continue
			}
			var err error
			if rec.Version, err = b.store.Update(b.ctx, b.ids[mine], rec); err != nil {
				b.Errorf("Update from the Version of the state that is there: %v", err)
				return
			}
		}
	})
	b.StopTimer()
	for i, id := range b.ids {
		rec, err := b.store.Get(b.ctx, id)
		if err != nil || !bytes.Equal(rec.Data, b.old.Data) && !bytes.Equal(rec.Data, b.next.Data) {
			b.Fatalf("Get of record %d = %s, %v; want what was stored", i, show(rec), err)
		}
	}
}
