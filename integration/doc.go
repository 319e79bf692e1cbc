// Package integration tests the whole of tokensession as an application uses it:
// sessions over real HTTP on every backend. It is never tagged, so that nothing that
// only tests need stands in a user's module graph.
package integration
