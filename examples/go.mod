module github.com/tokensession/tokensession/examples

go 1.26.0

require (
	github.com/coder/websocket v1.8.15
	github.com/tokensession/tokensession v0.1.0
)
