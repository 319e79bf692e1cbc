module github.com/tokensession/tokensession/bench

go 1.26.0

require (
	github.com/alexedwards/scs/v2 v2.9.0
	github.com/tokensession/tokensession v0.1.0
	github.com/tokensession/tokensession/bolt v0.1.0
	go.etcd.io/bbolt v1.5.0
)

require golang.org/x/sys v0.45.0 // indirect
