package storetest

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokensession/tokensession"
)

// TestBenchmarks runs each benchmark for some iterations on stores with one method that is
// wrong, and wants those to fail that call the method, and no others.
func TestBenchmarks(t *testing.T) {
	const every = "Get/hit Get/miss Create Update/won Update/lost Touch Delete Mix/get=90"
	for _, b := range []struct {
		name  string
		spoil func(*reference) tokensession.Store
		fail  string
	}{
		{"healthy", func(s *reference) tokensession.Store { return s }, ""},
		{"Get fails", failing("Get"), every},
		{"Create fails", failing("Create"), every},
		{"Update fails", failing("Update"), "Update/won Update/lost Mix/get=90"},
		{"Touch fails", failing("Touch"), "Touch"},
		{"Delete fails", failing("Delete"), every},
		{"a miss is a hit", func(s *reference) tokensession.Store { return hits{s} }, "Get/miss Delete"},
		{"what is lost wins", func(s *reference) tokensession.Store { return winning{s} }, "Update/lost"},
		{"Update stores nothing", func(s *reference) tokensession.Store { return idle{s, "Update"} }, "Update/won Update/lost"},
		{"Touch does nothing", func(s *reference) tokensession.Store { return idle{s, "Touch"} }, "Touch"},
		{"Delete does nothing", func(s *reference) tokensession.Store { return idle{s, "Delete"} }, "Create Delete"},
		{"a byte is lost", func(s *reference) tokensession.Store {
			s.take = func(_ string, _, data []byte) []byte { return bytes.Clone(data[:len(data)-1]) }
			return s
		}, every},
	} {
		t.Run(b.name, func(t *testing.T) {
			var failed []string
			for _, m := range benchmarks {
				if fails(t, suite(b.spoil), m) {
					failed = append(failed, m.name)
				}
			}
			if got := strings.Join(failed, " "); got != b.fail {
				t.Errorf("failed: %s\nwant:   %s", got, b.fail)
			}
		})
	}
}

// fails runs a benchmark at its smallest size, often enough that it comes round.
func fails(t *testing.T, s Suite, m benchmark) (failed bool) {
	iterations(t, "140x")
	testing.Benchmark(func(b *testing.B) {
		b.Run(m.name, func(b *testing.B) { m.run(s.newBench(b, m.sizes[0].bytes)) })
		failed = b.Failed()
	})
	return failed
}

// iterations sets how often benchmarks run until the test ends.
func iterations(t *testing.T, n string) {
	f := flag.Lookup("test.benchtime")
	before := f.Value.String()
	if err := f.Value.Set(n); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Value.Set(before) })
}

var waste atomic.Pointer[[256 << 10]byte]

// TestBenchmarksApart wants a benchmark to measure its own method and no other: one that
// takes 256 KiB of memory shows only where it is what is measured.
func TestBenchmarksApart(t *testing.T) {
	iterations(t, "140x")
	for method, shows := range map[string]string{
		"Get":    "Get/hit Get/miss Mix/get=90",
		"Create": "Create",
		"Update": "Update/won Update/lost Mix/get=90",
		"Touch":  "Touch",
		"Delete": "Delete",
	} {
		s := suite(func(s *reference) tokensession.Store {
			return hooked{s, func(op string) error {
				if op == method {
					waste.Store(new([256 << 10]byte))
				}
				return nil
			}}
		})
		var shown []string
		for _, m := range benchmarks {
			result := testing.Benchmark(func(b *testing.B) { m.run(s.newBench(b, m.sizes[0].bytes)) })
			if result.AllocedBytesPerOp() > 16<<10 {
				shown = append(shown, m.name)
			}
		}
		if got := strings.Join(shown, " "); got != shows {
			t.Errorf("the memory that %s takes shows in: %s\nwant: %s", method, got, shows)
		}
	}
}

// TestRunBenchmarks counts what a store sees of all the benchmarks: that each store is
// closed, and that none keeps a record.
func TestRunBenchmarks(t *testing.T) {
	iterations(t, "1x")
	var stores []*counted
	s := Suite{New: func(testing.TB) tokensession.Store {
		stores = append(stores, &counted{reference: newReference(newServer(), "")})
		return stores[len(stores)-1]
	}}
	var ran bool
	testing.Benchmark(func(b *testing.B) {
		s.RunBenchmarks(b)
		ran = !b.Failed()
	})
	if !ran {
		t.Error("a benchmark of a healthy store failed")
	}
	want := 0
	for _, m := range benchmarks {
		want += len(m.sizes)
	}
	if len(stores) < want {
		t.Errorf("%d stores were made; want one for each of %d benchmarks", len(stores), want)
	}
	for i, s := range stores {
		if len(s.records) != 0 || !s.closed.Load() {
			t.Errorf("store %d has %d records, closed: %v; want none, and true", i, len(s.records), s.closed.Load())
		}
		if s.most > 1000 {
			t.Errorf("store %d had %d records at a time", i, s.most)
		}
	}
}

// counted knows how many records it had at most.
type counted struct {
	*reference
	most int
}

func (s *counted) Create(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	v, err := s.reference.Create(ctx, id, rec)
	s.most = max(s.most, len(s.records))
	return v, err
}

var _ io.Closer = (*counted)(nil)

// hooked calls before at the start of each method, which fails if that does.
type hooked struct {
	*reference
	before func(op string) error
}

// failing is a store of which one method does not answer.
func failing(silent string) func(*reference) tokensession.Store {
	return func(s *reference) tokensession.Store {
		return hooked{s, func(op string) error {
			if op == silent {
				return errors.New("no answer")
			}
			return nil
		}}
	}
}

func (s hooked) Get(ctx context.Context, id string) (tokensession.Record, error) {
	if err := s.before("Get"); err != nil {
		return tokensession.Record{}, err
	}
	return s.reference.Get(ctx, id)
}

func (s hooked) Create(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	if err := s.before("Create"); err != nil {
		return "", err
	}
	return s.reference.Create(ctx, id, rec)
}

func (s hooked) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	if err := s.before("Update"); err != nil {
		return "", err
	}
	return s.reference.Update(ctx, id, rec)
}

func (s hooked) Touch(ctx context.Context, id string, ttl time.Duration) error {
	if err := s.before("Touch"); err != nil {
		return err
	}
	return s.reference.Touch(ctx, id, ttl)
}

func (s hooked) Delete(ctx context.Context, id string) error {
	if err := s.before("Delete"); err != nil {
		return err
	}
	return s.reference.Delete(ctx, id)
}

// hits finds an empty record where none is.
type hits struct{ *reference }

func (s hits) Get(ctx context.Context, id string) (tokensession.Record, error) {
	rec, err := s.reference.Get(ctx, id)
	if errors.Is(err, tokensession.ErrNotFound) {
		return tokensession.Record{TTL: time.Hour}, nil
	}
	return rec, err
}

// winning says of an Update that lost that it won.
type winning struct{ *reference }

func (s winning) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	v, err := s.reference.Update(ctx, id, rec)
	if errors.Is(err, tokensession.ErrConflict) {
		return rec.Version, nil
	}
	return v, err
}

// idle says that it did what it does not do.
type idle struct {
	*reference
	op string
}

func (s idle) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	if s.op == "Update" {
		return rec.Version, nil
	}
	return s.reference.Update(ctx, id, rec)
}

func (s idle) Touch(ctx context.Context, id string, ttl time.Duration) error {
	if s.op == "Touch" {
		return nil
	}
	return s.reference.Touch(ctx, id, ttl)
}

func (s idle) Delete(ctx context.Context, id string) error {
	if s.op == "Delete" {
		return nil
	}
	return s.reference.Delete(ctx, id)
}
