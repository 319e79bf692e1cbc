package memory_test

import (
	"testing"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/memory"
	"github.com/tokensession/tokensession/storetest"
)

func TestStore(t *testing.T) {
	storetest.Suite{
		New:          func(testing.TB) tokensession.Store { return memory.New(nil) },
		Capabilities: storetest.AllCapabilities,
		InProcess:    true,
	}.Run(t)
}
