// Package backend starts the servers that the tests need: Redis, PostgreSQL and
// memcached.
//
// They run in containers if Docker answers, else as processes of this machine; the
// environment variable TOKENSESSION_SERVERS, "docker" or "local", leaves no choice.
// If neither is possible, the test fails and says what to install. A server of either
// way listens on 127.0.0.1 only, and ends with the test process, however that ends.
package backend

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// withoutEnv lists, separated by spaces, the backends that the caller excluded.
const withoutEnv = "TOKENSESSION_WITHOUT"

// Kind is what a server is.
type Kind struct {
	name string // as ./test calls the backend

	image string // without a registry
	port  string // of the server in a container
	env   map[string]string
	run   runner

	program string // of a local server
	debian  string // the package that has the program
	dirs    string // a pattern of more directories to look in than those of PATH
	prepare func(program, dir string) error
	args    func(dir, port string) []string
	signals signals

	url     func(addr string) string
	version func(url string) (string, error) // as the server says it

	once   sync.Once
	shared *Server
	err    error
}

var kinds = []*Kind{KindRedis, KindPostgres, KindMemcached}

func (k *Kind) String() string { return k.name }

// Redis returns the Redis server that all tests of this process share.
func Redis(tb testing.TB) *Server { return KindRedis.Shared(tb) }

// Postgres returns the PostgreSQL server that all tests of this process share. The
// user of its URL is a superuser.
func Postgres(tb testing.TB) *Server { return KindPostgres.Shared(tb) }

// Memcached returns the memcached server that all tests of this process share.
func Memcached(tb testing.TB) *Server { return KindMemcached.Shared(tb) }

// Shared returns the server of this kind that all tests of this process share; the
// first call starts it. Tests that pause or restart a server want one of their own.
func (k *Kind) Shared(tb testing.TB) *Server {
	tb.Helper()
	SkipExcluded(tb, k.name)
	k.once.Do(func() {
		if k.shared, k.err = k.start(nil); k.err == nil {
			k.err = k.shared.report()
		}
	})
	if k.err != nil {
		tb.Fatal(k.err)
	}
	return k.shared
}

// Start starts a server that ends with the test. The arguments are added to the
// server's command line.
func (k *Kind) Start(tb testing.TB, args ...string) *Server {
	tb.Helper()
	SkipExcluded(tb, k.name)
	s, err := k.start(args)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.host.remove(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// SkipExcluded skips a test of a backend that the caller of ./test excluded by name.
// .ci/report knows these words, and takes any other whole test that is skipped for a
// failure.
func SkipExcluded(tb testing.TB, backend string) {
	tb.Helper()
	if slices.Contains(strings.Fields(os.Getenv(withoutEnv)), backend) {
		tb.Skipf("excluded by the caller: %s", backend)
	}
}

// Main runs the tests of a package that uses shared servers, and ends these. It is
// for TestMain.
func Main(m *testing.M) {
	code := m.Run()
	if err := endSession(); err != nil {
		fmt.Fprintln(os.Stderr, "end of the servers:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}
