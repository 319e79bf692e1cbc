package integration

import (
	"context"
	"flag"
	"fmt"
	"iter"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/bolt"
	"github.com/tokensession/tokensession/integration/backend"
	"github.com/tokensession/tokensession/memory"
	"github.com/tokensession/tokensession/storetest"
)

// programs draws programs for a store, in the text that Suite.Replay reads. Most of their
// arguments come again and again; the others are whatever rapid thinks of.
func programs(turned bool) *rapid.Generator[string] {
	line := rapid.Custom(func(t *rapid.T) string {
		id := func() string {
			return strconv.Quote(mostly(rapid.String(), "a", "b").Draw(t, "id"))
		}
		owner := func() string {
			return strconv.Quote(mostly(rapid.String(), "", "alice", "bob").Draw(t, "owner"))
		}
		from := func() string {
			return rapid.SampledFrom([]string{"latest", "latest", "stale", "first", "foreign", "empty", "malformed"}).Draw(t, "from")
		}
		data := func() string {
			return strconv.Quote(string(rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "data")))
		}
		ttl := func() string {
			whichever := rapid.Map(rapid.Int64(), func(n int64) string { return time.Duration(n).String() })
			return mostly(whichever, "1h", "20ms", "forever").Draw(t, "ttl")
		}
		wait := func() string {
			if turned {
				return rapid.SampledFrom([]string{"1h", "20ms", "1ns", "30m", "750h"}).Draw(t, "wait")
			}
			return rapid.SampledFrom([]string{"20ms", "1ms"}).Draw(t, "wait")
		}
		switch op := rapid.SampledFrom([]string{"Create", "Create", "Update", "Update", "Update", "Touch", "Touch", "Get",
			"Get", "Delete", "Wait", "Len", "All", "ByOwner", "DeleteOwner", "Clear", "Reopen"}).Draw(t, "op"); op {
		case "Create":
			return fmt.Sprintf("%s %s data=%s owner=%s ttl=%s", op, id(), data(), owner(), ttl())
		case "Update":
			return fmt.Sprintf("%s %s from=%s data=%s owner=%s ttl=%s", op, id(), from(), data(), owner(), ttl())
		case "Touch":
			return fmt.Sprintf("%s %s ttl=%s", op, id(), ttl())
		case "Get", "Delete":
			return op + " " + id()
		case "ByOwner", "DeleteOwner":
			return op + " " + owner()
		case "Wait":
			return op + " " + wait()
		default:
			return op
		}
	})
	return rapid.Map(rapid.SliceOfN(line, 1, 20), func(lines []string) string { return strings.Join(lines, "\n") })
}

// mostly draws one of texts, and now and then what other draws.
func mostly(other *rapid.Generator[string], texts ...string) *rapid.Generator[string] {
	known := rapid.SampledFrom(texts)
	return rapid.OneOf(known, known, known, known, known, known, known, other)
}

// proven runs n programs on the stores of a suite, in a test that may have to fail.
func proven(t *testing.T, tb rapid.TB, suite storetest.Suite, n int) {
	flag.Set("rapid.checks", strconv.Itoa(n))
	generator := programs(suite.InProcess)
	rapid.Check(tb, func(rt *rapid.T) {
		if err := suite.Replay(t, generator.Draw(rt, "program")); err != nil {
			rt.Fatal(err)
		}
	})
}

func TestRapid(t *testing.T) {
	for _, b := range []struct {
		name  string
		suite func(t *testing.T) storetest.Suite
		n     int
	}{
		{"memory", func(*testing.T) storetest.Suite { return memorySuite() }, 1000},
		{"bolt", func(*testing.T) storetest.Suite { return boltSuite() }, 50},
		{"redis", func(t *testing.T) storetest.Suite { return redisSuite(backend.Redis(t).URL) }, 100},
		{"postgres", func(t *testing.T) storetest.Suite {
			server := backend.Postgres(t)
			return postgresSuite(func(tb testing.TB, table string) tokensession.Store {
				return openPostgres(tb, server.URL, "table", table)
			})
		}, 20},
		{"memcache", func(t *testing.T) storetest.Suite {
			server := backend.Memcached(t)
			return memcacheSuite(func(tb testing.TB, prefix string) tokensession.Store {
				return openMemcache(tb, server.URL, prefix)
			})
		}, 100},
	} {
		t.Run(b.name, func(t *testing.T) {
			backend.SkipExcluded(t, b.name)
			proven(t, t, b.suite(t), b.n)
		})
	}
}

func memorySuite() storetest.Suite {
	return storetest.Suite{
		New:       func(testing.TB) tokensession.Store { return memory.New(nil) },
		InProcess: true,
	}
}

func boltSuite() storetest.Suite {
	reopen := func(tb testing.TB) func() tokensession.Store {
		url := "bolt:" + filepath.Join(tb.TempDir(), "sessions.db")
		return func() tokensession.Store {
			store, err := bolt.Open(tb.Context(), url, nil)
			if err != nil {
				tb.Fatal(err)
			}
			return store
		}
	}
	return storetest.Suite{
		New:          func(tb testing.TB) tokensession.Store { return reopen(tb)() },
		Capabilities: storetest.AllCapabilities,
		Reopen:       reopen,
		InProcess:    true,
		TooLarge:     64<<20 + 1,
	}
}

// TestRapidShrinks wants rapid to find a store that is wrong, and a short program that shows
// it.
func TestRapidShrinks(t *testing.T) {
	suite := memorySuite()
	suite.New = func(testing.TB) tokensession.Store {
		return &misplacing{Store: memory.New(nil), touched: make(map[string]bool)}
	}
	flag.Set("rapid.nofailfile", "true")
	defer flag.Set("rapid.nofailfile", "false")
	failure := &failure{TB: t}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		proven(t, failure, suite, 20000)
	}()
	<-ended
	_, program, _ := strings.Cut(failure.text.String(), "program:\n")
	program, _, _ = strings.Cut(program, "rule:")
	calls := strings.Split(strings.TrimSpace(program), "\n")
	// One way is Create, Touch and ByOwner. From Create, Update, Touch and ByOwner, rapid may
	// not find there.
	if n := len(calls); n < 3 || n > 4 || !strings.Contains(program, "Touch") || !strings.Contains(calls[n-1], "ByOwner") {
		t.Errorf("the shortest program that rapid found has %d calls:\n%s", n, &failure.text)
	}
}

// misplacing no longer finds by its owner what was touched.
type misplacing struct {
	*memory.Store
	touched map[string]bool
}

func (s *misplacing) Touch(ctx context.Context, id string, ttl time.Duration) error {
	err := s.Store.Touch(ctx, id, ttl)
	s.touched[id] = err == nil
	return err
}

func (s *misplacing) ByOwner(ctx context.Context, owner string) iter.Seq2[tokensession.Entry, error] {
	return func(yield func(tokensession.Entry, error) bool) {
		for e, err := range s.Store.ByOwner(ctx, owner) {
			if (err != nil || !s.touched[e.ID]) && !yield(e, err) {
				return
			}
		}
	}
}

// failure is a test that has to fail. It keeps what it is told.
type failure struct {
	testing.TB
	text   strings.Builder
	failed bool
}

func (f *failure) Errorf(format string, args ...any) {
	f.failed = true
	fmt.Fprintf(&f.text, format+"\n", args...)
}

func (f *failure) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	f.FailNow()
}

func (f *failure) FailNow() {
	f.failed = true
	runtime.Goexit()
}

func (f *failure) Fail() { f.failed = true }

func (f *failure) Failed() bool { return f.failed }

func (f *failure) Log(args ...any) { fmt.Fprintln(&f.text, args...) }

func (f *failure) Logf(format string, args ...any) { fmt.Fprintf(&f.text, format+"\n", args...) }
