package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/tokensession/tokensession/memory"
	"github.com/tokensession/tokensession/session"
)

// browser is a client with cookies, of a server over TLS.
type browser struct {
	*http.Client
	server *server
	url    string
}

func newBrowser(t *testing.T, check time.Duration) *browser {
	t.Helper()
	store := memory.New(nil)
	t.Cleanup(func() { store.Close() })
	s := newServer(store, check)
	listening := httptest.NewTLSServer(s)
	t.Cleanup(listening.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	listening.Client().Jar = jar
	return &browser{listening.Client(), s, listening.URL}
}

func (b *browser) post(t *testing.T, path string) {
	t.Helper()
	resp, err := b.Post(b.url+path, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", path, resp.Status)
	}
}

func (b *browser) dial(t *testing.T, origin string) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	conn, resp, err := websocket.Dial(t.Context(), b.url+"/socket", &websocket.DialOptions{
		HTTPClient: b.Client, HTTPHeader: http.Header{"Origin": {origin}},
	})
	if err == nil {
		t.Cleanup(func() { conn.CloseNow() })
	}
	return conn, resp, err
}

func (b *browser) connect(t *testing.T) *websocket.Conn {
	t.Helper()
	conn, _, err := b.dial(t, b.url)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// stored is the session that the browser's cookie opens.
func (b *browser) stored(t *testing.T) *session.Session[user] {
	t.Helper()
	u, err := url.Parse(b.url)
	if err != nil {
		t.Fatal(err)
	}
	cookies := b.Jar.Cookies(u)
	if len(cookies) != 1 {
		t.Fatalf("there are %d cookies", len(cookies))
	}
	stored, err := b.server.sessions.Load(t.Context(), cookies[0].Value)
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

func send(t *testing.T, conn *websocket.Conn) (string, error) {
	t.Helper()
	if err := conn.Write(t.Context(), websocket.MessageText, []byte("x")); err != nil {
		t.Fatal(err)
	}
	_, answer, err := conn.Read(t.Context())
	return string(answer), err
}

func TestMessagesAreCountedInTheSession(t *testing.T) {
	b := newBrowser(t, time.Millisecond)
	b.post(t, "/login")
	first, second := b.connect(t), b.connect(t)
	for i, conn := range []*websocket.Conn{first, second, first, second} {
		if got, err := send(t, conn); err != nil || got != []string{"1", "2", "3", "4"}[i] {
			t.Errorf("message %d: %q %v", i+1, got, err)
		}
	}
	s := b.stored(t)
	if s.Data.Messages != 4 || s.Owner() != "alice" {
		t.Errorf("%+v of %q", s.Data, s.Owner())
	}
	err := s.Update(t.Context(), func(u *user) error { u.Messages = 10; return nil })
	if err != nil {
		t.Fatal(err)
	}
	if got, err := send(t, first); err != nil || got != "11" {
		t.Errorf("after a change elsewhere: %q %v", got, err)
	}
}

func TestLogoutElsewhereEndsAnIdleConnection(t *testing.T) {
	b := newBrowser(t, time.Millisecond)
	b.post(t, "/login")
	conn := b.connect(t)
	b.post(t, "/logout")
	_, _, err := conn.Read(t.Context())
	checkLoggedOut(t, err)
}

func TestLogoutElsewhereEndsAConnectionAtItsNextMessage(t *testing.T) {
	b := newBrowser(t, time.Hour)
	b.post(t, "/login")
	conn := b.connect(t)
	if _, err := send(t, conn); err != nil {
		t.Fatal(err)
	}
	b.post(t, "/logout")
	_, err := send(t, conn)
	checkLoggedOut(t, err)
}

func checkLoggedOut(t *testing.T, err error) {
	t.Helper()
	var closed websocket.CloseError
	if !errors.As(err, &closed) || closed.Code != websocket.StatusPolicyViolation || closed.Reason != "logged out" {
		t.Errorf("the connection ended with %v", err)
	}
}

func TestConnectionsThatAreRefused(t *testing.T) {
	b := newBrowser(t, time.Hour)
	if _, resp, err := b.dial(t, b.url); err == nil || resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a login: %v", err)
	}
	b.post(t, "/login")
	if _, resp, err := b.dial(t, "https://evil.example"); err == nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("from another origin: %v", err)
	}
}

func TestClosingTheConnectionEndsTheHandler(t *testing.T) {
	b := newBrowser(t, time.Millisecond)
	done := make(chan struct{})
	handler := b.server.Handler
	b.server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r)
		if r.URL.Path == "/socket" {
			close(done)
		}
	})
	b.post(t, "/login")
	conn := b.connect(t)
	if err := conn.Close(websocket.StatusNormalClosure, ""); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	<-done
	if b.stored(t).Owner() != "alice" {
		t.Error("that was no logout")
	}
}
