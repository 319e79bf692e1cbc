package seal_test

import (
	"testing"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/memory"
	"github.com/tokensession/tokensession/storetest"
)

func TestStore(t *testing.T) {
	for name, keys := range map[string][][]byte{"one key": {newKey}, "two keys": {newKey, oldKey}} {
		t.Run(name, func(t *testing.T) {
			storetest.Suite{
				New:          func(tb testing.TB) tokensession.Store { return sealed(tb, memory.New(nil), keys...) },
				Capabilities: storetest.AllCapabilities,
				InProcess:    true,
			}.Run(t)
		})
	}
}
