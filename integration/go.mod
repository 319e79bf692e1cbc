module github.com/tokensession/tokensession/integration

go 1.26.0

require (
	github.com/tokensession/tokensession v0.1.0
	github.com/tokensession/tokensession/bolt v0.1.0
)

require (
	go.etcd.io/bbolt v1.5.0 // indirect
	golang.org/x/sys v0.45.0 // indirect
)
