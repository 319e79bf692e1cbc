package session_test

import (
	"bytes"
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/session"
)

// start serves h on a real connection, HTTP/2 being over TLS.
func start(t *testing.T, protocol string, h http.Handler) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	if server.EnableHTTP2 = protocol == "HTTP/2.0"; server.EnableHTTP2 {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	return server
}

var protocols = []string{"HTTP/1.1", "HTTP/2.0"}

// send makes a request with the token; its body is there to be read.
func (a *app) send(t *testing.T, server *httptest.Server, method, path, token string, headers ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		a.SetToken(r, token)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	a.keep(resp.Header.Get("X-Auth-Token"))
	return resp
}

func readAll(t *testing.T, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

// unwrapping is a middleware's ResponseWriter that can do nothing but Unwrap.
type unwrapping struct{ http.ResponseWriter }

func (u unwrapping) Unwrap() http.ResponseWriter { return u.ResponseWriter }

func unwrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(unwrapping{w}, r) })
}

func same(next http.Handler) http.Handler { return next }

// layers are middlewares outside and inside of the session's Handler.
var layers = map[string]struct {
	outside, inside func(http.Handler) http.Handler
}{
	"alone":                    {same, same},
	"under one that unwraps":   {unwrap, same},
	"around one that unwraps":  {same, unwrap},
	"between two that unwrap":  {unwrap, unwrap},
	"under three that unwrap":  {func(h http.Handler) http.Handler { return unwrap(unwrap(unwrap(h))) }, same},
	"under another manager's":  {session.New(nowhere{}, &session.Options[account]{Name: "outer"}).Handler, same},
	"around another manager's": {same, session.New(nowhere{}, &session.Options[account]{Name: "inner"}).Handler},
	"under one of each of both": {func(h http.Handler) http.Handler {
		return unwrap(session.New(nowhere{}, &session.Options[account]{Name: "outer"}).Handler(h))
	}, same},
}

// file makes a file of n bytes.
func file(t *testing.T, n int) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file.txt")
	if err := os.WriteFile(name, bytes.Repeat([]byte("0123456789abcdef"), n/16+1)[:n], 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// returns tells when next has returned, for servers that do not wait for it.
func returns(next http.Handler) (http.Handler, <-chan struct{}) {
	done := make(chan struct{}, 10)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { done <- struct{}{} }()
		next.ServeHTTP(w, r)
	}), done
}

// nowhere is the store of managers that store nothing in a test.
type nowhere struct{ tokensession.Store }

func (nowhere) Get(context.Context, string) (tokensession.Record, error) {
	return tokensession.Record{}, tokensession.ErrNotFound
}
