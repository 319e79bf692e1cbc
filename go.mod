module github.com/tokensession/tokensession

go 1.26.0
