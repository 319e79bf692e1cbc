package memory_test

import (
	"testing"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/memory"
	"github.com/tokensession/tokensession/storetest"
)

func FuzzStore(f *testing.F) {
	storetest.Suite{
		New:       func(testing.TB) tokensession.Store { return memory.New(nil) },
		InProcess: true,
	}.Fuzz(f)
}
