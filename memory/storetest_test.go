package memory_test

import (
	"testing"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/memory"
	"github.com/tokensession/tokensession/storetest"
)

var suite = storetest.Suite{
	New:          func(testing.TB) tokensession.Store { return memory.New(nil) },
	Capabilities: storetest.AllCapabilities,
	InProcess:    true,
}

func TestStore(t *testing.T) { suite.Run(t) }

func BenchmarkStore(b *testing.B) { b.Run("driver=memory", suite.RunBenchmarks) }
