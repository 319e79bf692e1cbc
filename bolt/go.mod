module github.com/tokensession/tokensession/bolt

go 1.26.0

require github.com/tokensession/tokensession v0.1.0
