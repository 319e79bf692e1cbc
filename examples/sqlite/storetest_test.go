package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/examples/sqlite"
	"github.com/tokensession/tokensession/storetest"
)

var suite = storetest.Suite{
	New:          func(tb testing.TB) tokensession.Store { return file(tb)() },
	Capabilities: storetest.AllCapabilities,
	Reopen:       file,
	Shared:       true,
	Namespaces:   namespaces,
	InProcess:    true,
	TooLarge:     16<<20 + 1,
}

func TestStore(t *testing.T) { suite.Run(t) }

func BenchmarkStore(b *testing.B) { b.Run("driver=sqlite", suite.RunBenchmarks) }

// file returns a function that opens one file.
func file(tb testing.TB) (open func() tokensession.Store) {
	path := filepath.Join(tb.TempDir(), "sessions.db")
	return func() tokensession.Store { return openFile(tb, path, "") }
}

// namespaces returns the stores of two namespaces in one file.
func namespaces(tb testing.TB, a, b string) (tokensession.Store, tokensession.Store) {
	path := filepath.Join(tb.TempDir(), "sessions.db")
	return openFile(tb, path, a), openFile(tb, path, b)
}

func openFile(tb testing.TB, path, namespace string) tokensession.Store {
	store, err := sqlite.Open(tb.Context(), "sqlite:"+path, &sqlite.Options{Namespace: namespace})
	if err != nil {
		tb.Fatal(err)
	}
	return store
}
