package session_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokensession/tokensession/session"
)

func TestStreamedEventsArriveWhileTheHandlerRuns(t *testing.T) {
	for _, protocol := range protocols {
		a := newApp(t, nil)
		next := make(chan struct{})
		server := start(t, protocol, a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s := a.Get(r.Context())
			s.Data.Name = "streaming"
			w.Header().Set("Content-Type", "text/event-stream")
			for range next {
				if err := s.Update(r.Context(), func(d *account) error { d.Views++; return nil }); err != nil {
					t.Error(err)
				}
				fmt.Fprintf(w, "data: %d\n\n", s.Data.Views)
				w.(http.Flusher).Flush()
			}
			s.Data.Note = "the end"
		})))
		go func() { next <- struct{}{} }()
		resp := a.send(t, server, "GET", "/", "")
		token := resp.Header.Get("X-Auth-Token")
		for i := 1; i <= 3; i++ {
			want := fmt.Sprintf("data: %d\n\n", i)
			got := make([]byte, len(want))
			if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != want {
				t.Errorf("%q %v", got, err)
			}
			if data, _, _ := a.stored(t, token); data.Views != i || data.Name != "streaming" {
				t.Errorf("after event %d: %+v", i, data)
			}
			if i < 3 {
				next <- struct{}{}
			}
		}
		close(next)
		readAll(t, resp.Body)
		server.Close() // waits for the handler
		if data, _, _ := a.stored(t, token); data.Note != "the end" {
			t.Errorf("after the stream: %+v", data)
		}
	}
}

func TestResponsesWithoutABody(t *testing.T) {
	for _, protocol := range protocols {
		a := newApp(t, nil)
		server := start(t, protocol, a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a.Get(r.Context()).Data.Views++
			switch r.URL.Path {
			case "/head":
				w.Header().Set("Content-Length", "4")
				fmt.Fprint(w, "body")
			case "/204":
				w.WriteHeader(http.StatusNoContent)
				if _, err := fmt.Fprint(w, "body"); !errors.Is(err, http.ErrBodyNotAllowed) {
					t.Errorf("writing a body to a 204: %v", err)
				}
			case "/304":
				w.Header().Set("Etag", `"1"`)
				w.Header().Set("Cache-Control", "private, max-age=5")
				http.ServeContent(w, r, "", time.Time{}, strings.NewReader("body"))
			}
		})))
		for _, tt := range []struct {
			method, path string
			status       int
		}{{"HEAD", "/head", 200}, {"GET", "/204", 204}, {"GET", "/304", 304}} {
			resp := a.send(t, server, tt.method, tt.path, "", "If-None-Match", `"1"`)
			data, _, ok := a.stored(t, resp.Header.Get("X-Auth-Token"))
			if body := readAll(t, resp.Body); !ok || data.Views != 1 || resp.StatusCode != tt.status || body != "" {
				t.Errorf("%s: %v %+v, status %d, body %q, %v", tt.path, ok, data, resp.StatusCode, body, resp.Header)
			}
			if tt.path == "/head" && resp.ContentLength != 4 {
				t.Errorf("Content-Length %d", resp.ContentLength)
			}
			if resp.Header.Get("Vary") != "X-Auth-Token" || resp.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %v", tt.path, resp.Header)
			}
		}
	}
}

func TestTokenGoesOutWithTheFinalHeader(t *testing.T) {
	for _, protocol := range protocols {
		a := newApp(t, nil)
		server := start(t, protocol, a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s := a.Get(r.Context())
			s.Data.Views = 1
			w.Header().Set("Link", "</style.css>")
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusProcessing)
			if !s.IsNew() {
				t.Error("saved with a 1xx")
			}
			s.Data.Views = 2
			w.WriteHeader(http.StatusAccepted)
		})))
		var hints []string
		trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			hints = append(hints, fmt.Sprint(code, h["Link"], h["X-Auth-Token"]))
			return nil
		}}
		r, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "GET", server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if want := []string{"103 [</style.css>] []", "102 [</style.css>] []"}; !slices.Equal(hints, want) {
			t.Errorf("got %q", hints)
		}
		if data, _, ok := a.stored(t, resp.Header.Get("X-Auth-Token")); !ok || data.Views != 2 || resp.StatusCode != http.StatusAccepted {
			t.Errorf("%d %v %+v", resp.StatusCode, ok, data)
		}
	}
}

func TestExpectContinue(t *testing.T) {
	a := newApp(t, nil)
	server := start(t, "HTTP/1.1", a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := a.Get(r.Context())
		s.Data.Views++
		if r.URL.Path == "/refuse" {
			w.WriteHeader(http.StatusExpectationFailed)
			return
		}
		s.Data.Note = readAll(t, r.Body)
	})))
	server.Client().Transport.(*http.Transport).ExpectContinueTimeout = time.Hour // the client has to be told
	for path, want := range map[string]account{"/take": {Views: 1, Note: "body"}, "/refuse": {Views: 1}} {
		continued := false
		trace := &httptrace.ClientTrace{Got100Continue: func() { continued = true }}
		r, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "POST", server.URL+path, strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Expect", "100-continue")
		resp, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		data, _, _ := a.stored(t, resp.Header.Get("X-Auth-Token"))
		if data.Views != want.Views || data.Note != want.Note || continued != (path == "/take") {
			t.Errorf("%s: continued %v, %+v", path, continued, data)
		}
	}
}

func TestHijackedConnection(t *testing.T) {
	a := newApp(t, nil)
	token := a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.Data.Views = 1 })
	handler, done := returns(a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := a.Get(r.Context())
		c, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		for how, write := range map[string]func() error{
			"Write":       func() error { _, err := w.Write([]byte("x")); return err },
			"WriteString": func() error { _, err := io.WriteString(w, "x"); return err },
			"ReadFrom":    func() error { _, err := io.Copy(w, struct{ io.Reader }{strings.NewReader("x")}); return err },
		} {
			if err := write(); !errors.Is(err, http.ErrHijacked) {
				t.Errorf("%s after Hijack: %v", how, err)
			}
		}
		if err := s.Update(r.Context(), func(d *account) error { d.Views++; return nil }); err != nil {
			t.Error(err)
		}
		if err := s.Renew(r.Context(), 0); !errors.Is(err, session.ErrHeaderSent) {
			t.Errorf("Renew: %v", err)
		}
		s.Data.Note = "after"
		fmt.Fprint(rw, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		rw.Flush()
	})))
	a.send(t, start(t, "HTTP/1.1", handler), "GET", "/", token)
	<-done
	if data, _, _ := a.stored(t, token); data.Views != 2 || data.Note != "after" {
		t.Errorf("%+v", data)
	}
}

func TestUpgradeCarriesTheToken(t *testing.T) {
	a := newApp(t, nil)
	upgraded(t, a, start(t, "HTTP/1.1", a.Handler(count(a, echo(t)))))
}

// echo changes the protocol to one in which it sends back four bytes.
func echo(t *testing.T) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "echo")
		w.WriteHeader(http.StatusSwitchingProtocols)
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		io.CopyN(c, rw, 4)
	})
}

// upgraded sees a new session saved, and its token sent, with the change of protocol.
func upgraded(t *testing.T, a *app, server *httptest.Server) {
	resp := a.send(t, server, "GET", "/upgrade", "", "Connection", "Upgrade", "Upgrade", "echo")
	if data, _, ok := a.stored(t, resp.Header.Get("X-Auth-Token")); !ok || data.Views != 1 || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%d %v %+v", resp.StatusCode, ok, data)
	}
	fmt.Fprint(resp.Body.(io.Writer), "ping")
	if got := readAll(t, resp.Body); got != "ping" {
		t.Errorf("%q", got)
	}
}

func TestWhatTheHandlerSetsStays(t *testing.T) {
	// cookieInWriteHeader is a middleware that sets a cookie when the header goes out.
	cookieInWriteHeader := func(name string) func(http.Handler) http.Handler {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				next.ServeHTTP(&onHeader{ResponseWriter: w, set: func(h http.Header) { h.Add("Set-Cookie", name+"=1") }}, r)
			})
		}
	}
	for _, protocol := range protocols {
		a := newApp(t, &session.Options[account]{Transport: session.Cookie(session.CookieOptions{Name: "s", Insecure: true})})
		server := start(t, protocol, cookieInWriteHeader("outside")(a.Handler(cookieInWriteHeader("inside")(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a.Get(r.Context()).Data.Views++
			http.SetCookie(w, &http.Cookie{Name: "before", Value: "1"})
			w.Header().Set("Content-Length", "4")
			w.Header().Set("Etag", `"1"`)
			fmt.Fprint(w, "bo")
			fmt.Fprint(w, "dy")
		})))))
		resp := a.send(t, server, "GET", "/", "")
		if body := readAll(t, resp.Body); body != "body" || resp.ContentLength != 4 || resp.Header.Get("Etag") != `"1"` {
			t.Errorf("%q, %v", body, resp.Header)
		}
		var names []string
		for _, c := range resp.Cookies() {
			names = append(names, c.Name)
		}
		if want := []string{"before", "inside", "s", "outside"}; !slices.Equal(names, want) {
			t.Errorf("got cookies %q, want %q", names, want)
		}
	}
}

// onHeader calls set before the header goes out.
type onHeader struct {
	http.ResponseWriter
	set  func(http.Header)
	done bool
}

func (w *onHeader) WriteHeader(status int) {
	if !w.done {
		w.done = true
		w.set(w.Header())
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *onHeader) Write(b []byte) (int, error) {
	if !w.done {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

func TestTrailers(t *testing.T) {
	for _, protocol := range protocols {
		a := newApp(t, nil)
		server := start(t, protocol, a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a.Get(r.Context()).Data.Views++
			w.Header().Set("Trailer", "X-Sum")
			fmt.Fprint(w, "body")
			w.(http.Flusher).Flush()
			w.Header().Set("X-Sum", "1")
			w.Header().Set(http.TrailerPrefix+"X-Late", "2")
		})))
		resp := a.send(t, server, "GET", "/", "")
		if body := readAll(t, resp.Body); body != "body" || resp.Header.Get("X-Auth-Token") == "" {
			t.Errorf("%q %v", body, resp.Header)
		}
		if got := fmt.Sprint(resp.Trailer); got != "map[X-Late:[2] X-Sum:[1]]" {
			t.Errorf("%s: trailers %s", protocol, got)
		}
	}
}

func TestServeContentWithRange(t *testing.T) {
	name := file(t, 10_000)
	for _, protocol := range protocols {
		a := newApp(t, nil)
		server := start(t, protocol, a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a.Get(r.Context()).Data.Views++
			http.ServeFile(w, r, name)
		})))
		for asked, want := range map[string]struct {
			status int
			length int64
			body   string
		}{
			"bytes=16-31":       {206, 16, "0123456789abcdef"},
			"bytes=8000-":       {206, 2000, strings.Repeat("0123456789abcdef", 125)},
			"bytes=20000-30000": {416, -1, "invalid range: failed to overlap\n"},
		} {
			resp := a.send(t, server, "GET", "/", "", "Range", asked)
			body := readAll(t, resp.Body)
			if resp.StatusCode != want.status || body != want.body || want.length >= 0 && resp.ContentLength != want.length {
				t.Errorf("%s: %d, %d bytes %.40q", asked, resp.StatusCode, len(body), body)
			}
			if _, _, ok := a.stored(t, resp.Header.Get("X-Auth-Token")); !ok {
				t.Errorf("%s: %v", asked, resp.Header)
			}
		}
		resp := a.send(t, server, "GET", "/", "", "Range", "bytes=0-0,2-2")
		if body := readAll(t, resp.Body); resp.StatusCode != 206 || !strings.Contains(body, "bytes 2-2/10000") {
			t.Errorf("%d %q", resp.StatusCode, body)
		}
	}
}

func TestVaryAndCacheControl(t *testing.T) {
	a := newApp(t, &session.Options[account]{Transport: session.First(session.Header("x-session"), session.Bearer(), session.Cookie(session.CookieOptions{}))})
	for _, tt := range []struct {
		name, vary, cache    string // that the handler sets
		do                   step
		wantVary, wantCache  string
		wantOthers, hasToken bool
	}{
		{"not used", "", "public, max-age=60", nil, "", "public, max-age=60", true, false},
		{"read only", "Accept, authorization", "public, max-age=60", func(ctx context.Context, s *session.Session[account]) {},
			"[Accept, authorization X-Session Cookie]", "public, max-age=60", true, false},
		{"named already", "COOKIE,X-Session,Authorization", "", func(ctx context.Context, s *session.Session[account]) {},
			"[COOKIE,X-Session,Authorization]", "", true, false},
		{"a star", "Accept, *", "", func(ctx context.Context, s *session.Session[account]) {}, "[Accept, *]", "", true, false},
		{"with a token", "", "public, max-age=60", func(ctx context.Context, s *session.Session[account]) { s.Token() },
			"[X-Session Authorization Cookie]", "no-store", false, true},
		{"with a token, stricter already", "", "private, No-Store, no-transform", func(ctx context.Context, s *session.Session[account]) { s.Token() },
			"[X-Session Authorization Cookie]", "private, No-Store, no-transform", false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := start(t, "HTTP/1.1", a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				for name, value := range map[string]string{"Vary": tt.vary, "Cache-Control": tt.cache,
					"CDN-Cache-Control": "max-age=60", "Some-CDN-Cache-Control": "max-age=60", "Surrogate-Control": "max-age=60"} {
					if value != "" {
						w.Header().Set(name, value)
					}
				}
				if tt.do != nil {
					tt.do(r.Context(), a.Get(r.Context()))
				}
			})))
			h := a.send(t, server, "GET", "/", "").Header
			a.keep(h.Get("X-Session"))
			if got := fmt.Sprint(h["Vary"]); got != tt.wantVary && (h["Vary"] != nil || tt.wantVary != "") {
				t.Errorf("Vary %s, want %s", got, tt.wantVary)
			}
			if got := strings.Join(h["Cache-Control"], "|"); got != tt.wantCache || (h.Get("X-Session") != "") != tt.hasToken {
				t.Errorf("got %v", h)
			}
			for _, name := range []string{"CDN-Cache-Control", "Some-CDN-Cache-Control", "Surrogate-Control"} {
				if (h.Get(name) != "") != tt.wantOthers {
					t.Errorf("%s: %q", name, h.Get(name))
				}
			}
		})
	}
}

func TestClientThatHangsUp(t *testing.T) {
	for _, protocol := range protocols {
		a := newApp(t, nil)
		token := a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.Data.Views = 1 })
		handler, done := returns(a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s := a.Get(r.Context())
			var err error
			for b := make([]byte, 1<<16); err == nil; {
				_, err = w.Write(b)
			}
			if r.Context().Err() == nil { // the write may notice first
				<-r.Context().Done()
			}
			s.Data.Note = "hung up"
		})))
		server := start(t, protocol, handler)
		r, err := http.NewRequestWithContext(t.Context(), "GET", server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		a.SetToken(r, token)
		resp, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		server.Client().CloseIdleConnections()
		<-done
		if data, _, _ := a.stored(t, token); data.Note != "hung up" {
			t.Errorf("%s: %+v", protocol, data)
		}
	}
}

func TestCloseNotify(t *testing.T) {
	type closeNotifier interface{ CloseNotify() <-chan bool } // http.CloseNotifier is deprecated
	for _, protocol := range protocols {
		a := newApp(t, nil)
		handler, done := returns(unwrap(a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			<-w.(closeNotifier).CloseNotify()
		}))))
		server := start(t, protocol, handler)
		ctx, cancel := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, "GET", server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		<-done
		resp.Body.Close()
	}
	a := newApp(t, nil)
	a.serve(a.newRequest(""), func(w http.ResponseWriter, r *http.Request) {
		if c := w.(closeNotifier).CloseNotify(); c != nil {
			t.Error("a recorder has no connection to be closed")
		}
	})
}

// cachings tell caches to keep a response, in the words of some of them.
var cachings = []string{"CDN-Cache-Control", "X-Accel-Expires", "Edge-Control", "X-LiteSpeed-Cache-Control",
	"Akamai-Cache-Control", "Surrogate-Control"}

func TestNoCacheKeepsAToken(t *testing.T) {
	a := newApp(t, nil)
	w := a.serve(a.newRequest(""), func(w http.ResponseWriter, r *http.Request) {
		for _, name := range cachings {
			w.Header().Set(name, "max-age=60")
		}
		a.Get(r.Context()).Data.Views = 1
	})
	for _, name := range cachings {
		if w.Header().Get(name) != "" {
			t.Errorf("%s stays beside a token", name)
		}
	}
	if w.Header().Get("X-Auth-Token") == "" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%v", w.Header())
	}
}

// What the handler said of its response is not true of the error that goes out in its place.
func TestErrorPageIsNotCachedAsTheResponse(t *testing.T) {
	a := newApp(t, &session.Options[account]{OnError: func(w http.ResponseWriter, r *http.Request, err error) {
		w.WriteHeader(503)
	}})
	a.store.set(map[string]error{"Create": errDown}, nil)
	gone := append([]string{"Cache-Control", "Expires", "Refresh", "Age"}, cachings...)
	w := a.serve(a.newRequest(""), func(w http.ResponseWriter, r *http.Request) {
		for _, name := range gone {
			w.Header().Set(name, "60")
		}
		a.Get(r.Context()).Data.Views = 1
		io.WriteString(w, "body")
	})
	for _, name := range gone {
		if w.Header().Get(name) != "" {
			t.Errorf("%s of the response that did not go out: %v", name, w.Header())
		}
	}
	if w.Code != 503 || w.Header().Get("Vary") != "X-Auth-Token" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestNoCacheKeepsAnErrorPageWithAToken(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter){
		"WriteHeader": func(w http.ResponseWriter) { w.WriteHeader(503) },
		"Write":       func(w http.ResponseWriter) { io.WriteString(w, "sorry") },
		"nothing":     func(http.ResponseWriter) {},
	} {
		a := newApp(t, &session.Options[account]{OnError: func(w http.ResponseWriter, r *http.Request, err error) {
			w.Header().Set("Cache-Control", "public, max-age=60")
			answer(w)
		}})
		token := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Views = 1 })
		w := a.request(token, func(ctx context.Context, s *sess) {
			renewing(t, 0)(ctx, s)
			s.Data.Views++
			a.store.set(map[string]error{"Update": errDown}, nil)
		})
		if w.Header().Get("X-Auth-Token") == "" || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", name, w.Header())
		}
	}
}
