module github.com/tokensession/tokensession/integration

go 1.26.0

require (
	github.com/tokensession/tokensession v0.1.0
	github.com/tokensession/tokensession/bolt v0.1.0
)
