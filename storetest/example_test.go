package storetest_test

import (
	"fmt"
	"net/url"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/memory"
	"github.com/tokensession/tokensession/storetest"
)

// The test of a store that lives in this process. In the driver's package it is called
// TestStore.
func ExampleSuite() {
	_ = func(t *testing.T) {
		storetest.Suite{
			New:          func(testing.TB) tokensession.Store { return memory.New(nil) },
			Capabilities: storetest.AllCapabilities,
			InProcess:    true,
		}.Run(t)
	}
}

// The test of a store on a server. Every store that the suite asks for gets a prefix that no
// other has; what is called again in one check shares it.
func ExampleSuite_server() {
	_ = func(t *testing.T) {
		server := os.Getenv("MYSTORE_URL")
		if server == "" {
			t.Skip("MYSTORE_URL is not set: it says where the server is")
		}
		var prefixes atomic.Int64
		newPrefix := func() string { return fmt.Sprintf("test%d-%d-", os.Getpid(), prefixes.Add(1)) }
		open := func(tb testing.TB, prefix string) tokensession.Store {
			store, err := tokensession.Open(tb.Context(), server+"?prefix="+url.QueryEscape(prefix))
			if err != nil {
				tb.Fatal(err)
			}
			return store // the suite closes it
		}
		storetest.Suite{
			New:          func(tb testing.TB) tokensession.Store { return open(tb, newPrefix()) },
			Capabilities: storetest.Lister | storetest.Pinger | storetest.Closer,
			Granularity:  time.Millisecond, // the server counts in milliseconds
			TooLarge:     8<<20 + 1,
			Namespaces: func(tb testing.TB, a, b string) (tokensession.Store, tokensession.Store) {
				prefix := newPrefix()
				return open(tb, prefix+a), open(tb, prefix+b)
			},
			Reopen: func(tb testing.TB) func() tokensession.Store {
				prefix := newPrefix()
				return func() tokensession.Store { return open(tb, prefix) }
			},
			Shared: true, // several processes may use one prefix
			Waive: map[string]string{
				"Rule02_Data/too_large": "the server closes the connection instead of answering",
			},
		}.Run(t)
	}
}
