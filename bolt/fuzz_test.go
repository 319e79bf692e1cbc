package bolt_test

import (
	"testing"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/storetest"
)

func FuzzStore(f *testing.F) {
	storetest.Suite{
		New:       func(tb testing.TB) tokensession.Store { return file(tb)() },
		Reopen:    file,
		InProcess: true,
	}.Fuzz(f)
}
