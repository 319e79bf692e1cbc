package memory_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/memory"
)

const benchmarked = 10_000 // records

func benchmarkStore(b *testing.B) (s *memory.Store, ids []string) {
	s = newStore(b, nil)
	for i := range benchmarked {
		ids = append(ids, fmt.Sprintf("%024d", i))
		create(b, s, ids[i], hour)
	}
	b.ReportAllocs()
	return s, ids
}

func BenchmarkGet(b *testing.B) {
	b.Run("hit", func(b *testing.B) {
		s, ids := benchmarkStore(b)
		benchmarkGet(b, s, ids, nil)
	})
	b.Run("miss", func(b *testing.B) {
		s, ids := benchmarkStore(b)
		if err := s.Clear(b.Context()); err != nil {
			b.Fatal(err)
		}
		for i := range benchmarked {
			create(b, s, fmt.Sprintf("other-%018d", i), hour)
		}
		benchmarkGet(b, s, ids, tokensession.ErrNotFound)
	})
}

func benchmarkGet(b *testing.B, s *memory.Store, ids []string, want error) {
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if _, err := s.Get(b.Context(), ids[i%len(ids)]); err != want {
				b.Errorf("Get: %v, want %v", err, want)
				return
			}
		}
	})
}

func BenchmarkCreate(b *testing.B) {
	s, _ := benchmarkStore(b)
	for i := 0; b.Loop(); i++ {
		if _, err := s.Create(b.Context(), fmt.Sprint("created-", i), hour); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUpdate(b *testing.B) {
	s, ids := benchmarkStore(b)
	rec, err := s.Get(b.Context(), ids[0])
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if rec.Version, err = s.Update(b.Context(), ids[0], rec); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTouch(b *testing.B) {
	s, ids := benchmarkStore(b)
	for i := 0; b.Loop(); i++ {
		if err := s.Touch(b.Context(), ids[i%len(ids)], time.Hour); err != nil {
			b.Fatal(err)
		}
	}
}
