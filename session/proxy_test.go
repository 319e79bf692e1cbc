package session_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"testing"
)

func newProxy(t *testing.T, target string) *httputil.ReverseProxy {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	return &httputil.ReverseProxy{
		Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(u) },
		ErrorLog: log.New(io.Discard, "", 0),
	}
}

// backend answers in the ways that are not easily proxied. At /stream it waits for
// next after each event.
func backend(t *testing.T, next <-chan struct{}) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/stream", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Trailer", "X-Sum")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			http.NewResponseController(w).Flush()
			<-next
		}
		w.Header().Set("X-Sum", "3")
	})
	mux.Handle("/upgrade", echo(t))
	mux.HandleFunc("/headers", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		http.SetCookie(w, &http.Cookie{Name: "theirs", Value: "1"})
		w.Header().Set("Vary", "Accept")
		w.Header().Set("Cache-Control", "public, max-age=60")
		w.Header().Set("Content-Length", "4")
		fmt.Fprint(w, "body")
	})
	return mux
}

// frontends are the two places of a proxy. The application counts a view for each
// request, and the client sees only the server that is returned.
var frontends = map[string]func(*testing.T, *app, string, http.Handler) *httptest.Server{
	"sessions in front of the proxy": func(t *testing.T, a *app, protocol string, b http.Handler) *httptest.Server {
		proxy := newProxy(t, start(t, "HTTP/1.1", b).URL)
		return start(t, protocol, a.Handler(count(a, proxy)))
	},
	"sessions behind the proxy": func(t *testing.T, a *app, protocol string, b http.Handler) *httptest.Server {
		return start(t, protocol, newProxy(t, start(t, "HTTP/1.1", a.Handler(count(a, b))).URL))
	},
}

func count(a *app, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.Get(r.Context()).Data.Views++
		next.ServeHTTP(w, r)
	})
}

func TestReverseProxy(t *testing.T) {
	for where, serve := range frontends {
		for _, protocol := range protocols {
			t.Run(where+", "+protocol, func(t *testing.T) {
				a := newApp(t, nil)
				next := make(chan struct{})
				server := serve(t, a, protocol, backend(t, next))
				token := proxiedStream(t, a, server, next)
				proxiedHeaders(t, a, server, token)
				if protocol == "HTTP/1.1" {
					upgraded(t, a, server)
				}
			})
		}
	}
}

// proxiedStream sees a new session saved, and its token sent, before the stream ends.
func proxiedStream(t *testing.T, a *app, server *httptest.Server, next chan<- struct{}) (token string) {
	resp := a.send(t, server, "GET", "/stream", "")
	token = resp.Header.Get("X-Auth-Token")
	if data, _, ok := a.stored(t, token); !ok || data.Views != 1 {
		t.Fatalf("%v %+v, %v", ok, data, resp.Header)
	}
	for i := range 3 {
		want := fmt.Sprintf("data: %d\n\n", i)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != want {
			t.Fatalf("%q %v", got, err)
		}
		next <- struct{}{}
	}
	if rest := readAll(t, resp.Body); rest != "" || resp.Trailer.Get("X-Sum") != "3" {
		t.Errorf("%q, trailers %v", rest, resp.Trailer)
	}
	return token
}

func proxiedHeaders(t *testing.T, a *app, server *httptest.Server, token string) {
	for _, token := range []string{token, ""} {
		resp := a.send(t, server, "GET", "/headers", token)
		if body := readAll(t, resp.Body); body != "body" || resp.ContentLength != 4 || len(resp.Cookies()) != 1 {
			t.Errorf("%q %v", body, resp.Header)
		}
		if got := resp.Header["Vary"]; !slices.Equal(got, []string{"Accept", "X-Auth-Token"}) {
			t.Errorf("Vary %q", got)
		}
		cache, want := resp.Header["Cache-Control"], "public, max-age=60"
		if token == "" {
			want = "no-store"
		}
		if !slices.Equal(cache, []string{want}) || (resp.Header.Get("X-Auth-Token") == "") != (token != "") {
			t.Errorf("%v", resp.Header)
		}
	}
	if data, _, _ := a.stored(t, token); data.Views != 2 {
		t.Errorf("%+v", data)
	}
}

func TestReverseProxyWhoseBackendIsDown(t *testing.T) {
	a := newApp(t, nil)
	down := httptest.NewServer(nil)
	down.Close()
	server := start(t, "HTTP/1.1", a.Handler(count(a, newProxy(t, down.URL))))
	resp := a.send(t, server, "GET", "/", "")
	if data, _, ok := a.stored(t, resp.Header.Get("X-Auth-Token")); !ok || data.Views != 1 || resp.StatusCode != http.StatusBadGateway {
		t.Errorf("status %d, %v %+v", resp.StatusCode, ok, data)
	}
}

// A proxy aborts its response if it cannot write it. The error that is sent in its place
// has to reach the client all the same.
func TestReverseProxyWhoseResponseIsReplaced(t *testing.T) {
	for _, protocol := range protocols {
		a := newApp(t, nil)
		a.store.set(map[string]error{"Create": errDown}, nil)
		backend := start(t, "HTTP/1.1", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "body") }))
		server := start(t, protocol, a.Handler(count(a, newProxy(t, backend.URL))))
		resp := a.send(t, server, "GET", "/", "")
		if body := readAll(t, resp.Body); resp.StatusCode != 503 || body != "Service Unavailable\n" {
			t.Errorf("%s: %d %q", protocol, resp.StatusCode, body)
		}
	}
}
