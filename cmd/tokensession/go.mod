module github.com/tokensession/tokensession/cmd/tokensession

go 1.26.0

require (
	github.com/spf13/cobra v1.10.2
	github.com/spf13/pflag v1.0.10
	github.com/tokensession/tokensession v0.1.0
	github.com/tokensession/tokensession/bolt v0.1.0
)

require (
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	go.etcd.io/bbolt v1.5.0 // indirect
	golang.org/x/sys v0.45.0 // indirect
)
