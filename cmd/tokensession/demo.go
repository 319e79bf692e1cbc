package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tokensession/tokensession"
)

// shutdownTimeout is how long requests that are running may take once the demo is
// told to end.
const shutdownTimeout = 3 * time.Second

// openTimeout is how long a store may take to open. Servers that accept a connection and
// say nothing would hold the demo for ever.
const openTimeout = 5 * time.Second

func demoCommand() *cobra.Command {
	var addr, storeURL string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Serve a small site with sessions, until Ctrl-C",
		Long: `Serve a small site on this machine: sign in with a name, count views, see what
the store holds. The sessions are kept in a file, so that a restart keeps everybody
signed in.`,
		Example: `  tokensession demo
  tokensession demo --addr 127.0.0.1:0 --store memory:
  tokensession demo --store bolt:sessions.db
  tokensession demo --store redis://localhost:6379
  tokensession demo --store postgres://user:password@localhost/database
  tokensession demo --store memcache://localhost:11211`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return demo(cmd.Context(), cmd.OutOrStdout(), addr, storeURL)
		},
	}
	cmd.Flags().StringVar(&addr, "addr", "127.0.0.1:8080", "`HOST:PORT` to listen on, with plain HTTP; port 0 is any free one")
	cmd.Flags().StringVar(&storeURL, "store", "", "`URL` of the store: memory:, bolt:FILE, redis://…, postgres://… or memcache://… (default a file in your cache directory)")
	return cmd
}

func demo(ctx context.Context, stdout io.Writer, addr, storeURL string) (err error) {
	opening, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	store, place, err := openStore(opening, storeURL)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the store did not open within %v: %w", openTimeout, err)
	}
	if err != nil {
		return err
	}
	if closer, ok := tokensession.As[io.Closer](store); ok {
		defer func() { err = errors.Join(err, closer.Close()) }()
	}
	listener, err := listen(ctx, addr)
	if err != nil {
		return err
	}
	address := siteURL(listener.Addr())
	fmt.Fprintf(stdout, "demo: %s (sessions are in %s; Ctrl-C ends it)\n", address, place)
	return serve(ctx, listener, newSite(store, address, place).handler())
}

// openStore opens the store of a URL, or the demo's own file if that is "". It also
// returns what may be said about where that is: nothing of a URL that was given but
// its scheme, since the rest may hold a password.
func openStore(ctx context.Context, storeURL string) (store tokensession.Store, place string, err error) {
	if storeURL != "" {
		scheme, _, _ := strings.Cut(storeURL, ":")
		store, err = tokensession.Open(ctx, storeURL)
		return store, "the " + scheme + " store", err
	}
	path, err := demoFile()
	if err != nil {
		return nil, "", fmt.Errorf("no place for the demo's file: %w; name another with --store bolt:FILE", err)
	}
	store, err = tokensession.Open(ctx, boltURL(path))
	return store, path, err
}

// demoFile returns the file that the demo keeps its sessions in by default, in a
// directory that exists.
func demoFile() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "tokensession")
	return filepath.Join(dir, "demo.db"), os.MkdirAll(dir, 0o700)
}

func boltURL(path string) string {
	u := url.URL{Path: filepath.ToSlash(path)}
	return "bolt:" + u.EscapedPath()
}

func listen(ctx context.Context, addr string) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("the address %s is in use; choose another with --addr, such as --addr 127.0.0.1:0", addr)
	}
	if err != nil {
		return nil, fmt.Errorf("--addr: %w", err)
	}
	return listener, nil
}

// siteURL is where a browser on this machine finds what listens at addr.
func siteURL(addr net.Addr) string {
	host := addr.String()
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		host = fmt.Sprintf("localhost:%d", tcp.Port)
	}
	return "http://" + host + "/"
}

// serve answers requests until ctx ends.
func serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       time.Minute,
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	err := server.Shutdown(last)
	if errors.Is(err, context.DeadlineExceeded) {
		return server.Close() // browsers also keep connections open that they never used
	}
	return err
}
