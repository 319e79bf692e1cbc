package storetest_test

import (
	"testing"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/memory"
	"github.com/tokensession/tokensession/storetest"
)

// A driver's test. In the driver's package it is called TestStore.
func ExampleSuite() {
	_ = func(t *testing.T) {
		storetest.Suite{
			New:          func(testing.TB) tokensession.Store { return memory.New(nil) },
			Capabilities: storetest.AllCapabilities,
			InProcess:    true,
		}.Run(t)
	}
}
