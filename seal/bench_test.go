package seal_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tokensession/tokensession"
)

// benchmark runs f on a store in memory, and on the same under a seal.
func benchmark(b *testing.B, f func(b *testing.B, s tokensession.Store, id string, rec tokensession.Record)) {
	for _, size := range []int{256, 4 << 10, 64 << 10} {
		for _, name := range []string{"memory", "sealed"} {
			b.Run(fmt.Sprintf("%dB/%s", size, name), func(b *testing.B) {
				var s tokensession.Store = newMemory(b)
				if name == "sealed" {
					s = sealed(b, s, newKey)
				}
				create(b, s, "012345678901234567890123", record(strings.Repeat("x", size), "ada"))
				b.ReportAllocs()
				b.SetBytes(int64(size))
				f(b, s, "012345678901234567890123", get(b, s, "012345678901234567890123"))
			})
		}
	}
}

func BenchmarkGet(b *testing.B) {
	benchmark(b, func(b *testing.B, s tokensession.Store, id string, _ tokensession.Record) {
		for b.Loop() {
			get(b, s, id)
		}
	})
}

func BenchmarkUpdate(b *testing.B) {
	benchmark(b, func(b *testing.B, s tokensession.Store, id string, rec tokensession.Record) {
		var err error
		for b.Loop() {
			if rec.Version, err = s.Update(b.Context(), id, rec); err != nil {
				b.Fatal(err)
			}
		}
	})
}
