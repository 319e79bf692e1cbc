module github.com/tokensession/tokensession/bolt

go 1.26.0

require (
	github.com/tokensession/tokensession v0.1.0
	go.etcd.io/bbolt v1.5.0
)

require golang.org/x/sys v0.45.0 // indirect
