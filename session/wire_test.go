package session_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

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

func TestSavedBeforeTheFirstByte(t *testing.T) {
	name := file(t, 100_000)
	firsts := map[string]func(http.ResponseWriter, *http.Request) error{
		"Write":       func(w http.ResponseWriter, r *http.Request) error { _, err := w.Write([]byte("x")); return err },
		"empty Write": func(w http.ResponseWriter, r *http.Request) error { _, err := w.Write(nil); return err },
		"WriteString": func(w http.ResponseWriter, r *http.Request) error { _, err := io.WriteString(w, "x"); return err },
		"WriteHeader": func(w http.ResponseWriter, r *http.Request) error { w.WriteHeader(http.StatusAccepted); return nil },
		"Flush": func(w http.ResponseWriter, r *http.Request) error {
			if f, ok := w.(http.Flusher); ok {
				f.Flush()
				return nil
			}
			return http.NewResponseController(w).Flush()
		},
		"controller's Flush": func(w http.ResponseWriter, r *http.Request) error {
			return http.NewResponseController(w).Flush()
		},
		"ReadFrom, a reader": func(w http.ResponseWriter, r *http.Request) error {
			_, err := io.Copy(w, struct{ io.Reader }{strings.NewReader("x")})
			return err
		},
		"ReadFrom, a file": func(w http.ResponseWriter, r *http.Request) error {
			f, err := os.Open(name)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = io.Copy(w, f)
			return err
		},
		"ServeFile": func(w http.ResponseWriter, r *http.Request) error { http.ServeFile(w, r, name); return nil },
		"Redirect": func(w http.ResponseWriter, r *http.Request) error {
			http.Redirect(w, r, "/elsewhere", http.StatusSeeOther)
			return nil
		},
		"Error": func(w http.ResponseWriter, r *http.Request) error { http.Error(w, "x", 500); return nil },
		"Hijack": func(w http.ResponseWriter, r *http.Request) error {
			if r.ProtoMajor == 2 {
				w.WriteHeader(200)
				return nil
			}
			header := w.Header()
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return err
			}
			defer c.Close()
			header.Set("Content-Length", "0")
			fmt.Fprint(rw, "HTTP/1.1 200 OK\r\n")
			header.Write(rw)
			fmt.Fprint(rw, "\r\n")
			return rw.Flush()
		},
	}
	for layer, around := range layers {
		t.Run(layer, func(t *testing.T) {
			for _, protocol := range protocols {
				a := newApp(t, nil)
				handler, done := returns(around.outside(a.Handler(around.inside(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					first := r.URL.Query().Get("first")
					s := a.Get(r.Context())
					s.Data.Views++
					token := s.Token()
					if err := firsts[first](w, r); err != nil {
						t.Errorf("%s: %v", first, err)
					}
					if data, _, ok := a.stored(t, token); !ok || data.Views != s.Data.Views {
						t.Errorf("%s: after the first byte the store has %+v, the handler %+v", first, data, s.Data)
					}
				})))))
				server := start(t, protocol, handler)
				server.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
				for first := range firsts {
					path := "/?first=" + strings.ReplaceAll(first, " ", "+")
					resp := a.send(t, server, "GET", path, "")
					readAll(t, resp.Body)
					<-done
					token := resp.Header.Get("X-Auth-Token")
					if token == "" || len(resp.Header["X-Auth-Token"]) != 1 || resp.Header.Get("Cache-Control") != "no-store" || resp.Proto != protocol {
						t.Errorf("%s, %s: %v", resp.Proto, first, resp.Header)
						continue
					}
					resp = a.send(t, server, "GET", path, token)
					readAll(t, resp.Body)
					<-done
					if _, again := resp.Header["X-Auth-Token"]; again {
						t.Errorf("%s, %s: the token was sent again", resp.Proto, first)
					}
				}
			}
		})
	}
}

func TestSavedWhereNothingWasWritten(t *testing.T) {
	for _, protocol := range protocols {
		a := newApp(t, nil)
		server := start(t, protocol, a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a.Get(r.Context()).Data.Views++
			w.Header().Set("Content-Length", "0")
		})))
		resp := a.send(t, server, "GET", "/", "")
		if data, _, ok := a.stored(t, resp.Header.Get("X-Auth-Token")); !ok || data.Views != 1 || resp.ContentLength != 0 {
			t.Errorf("%v %+v, %v", ok, data, resp.Header)
		}
	}
}

// bareWriter has neither Flush nor Hijack, and no Unwrap.
type bareWriter struct{ http.ResponseWriter }

// flushErrorer has FlushError only, which is enough for an http.ResponseController.
type flushErrorer struct{ http.ResponseWriter }

func (flushErrorer) FlushError() error { return nil }

func TestWriterOffersWhatIsUnderIt(t *testing.T) {
	a := newApp(t, nil)
	check := func(name string, flushes, hijacks bool) http.Handler {
		return a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, flusher := w.(http.Flusher)
			_, errorer := w.(interface{ FlushError() error })
			_, hijacker := w.(http.Hijacker)
			_, readerFrom := w.(io.ReaderFrom)
			_, stringWriter := w.(io.StringWriter)
			if flusher != flushes || errorer != flushes || hijacker != hijacks || !readerFrom || !stringWriter {
				t.Errorf("%s: Flush %v, FlushError %v, Hijack %v, ReadFrom %v, WriteString %v", name, flusher, errorer, hijacker, readerFrom, stringWriter)
			}
			if !flushes {
				if err := http.NewResponseController(w).Flush(); !errors.Is(err, http.ErrNotSupported) {
					t.Errorf("%s: FlushError: %v", name, err)
				}
			}
			if !hijacks {
				if _, _, err := http.NewResponseController(w).Hijack(); !errors.Is(err, http.ErrNotSupported) {
					t.Errorf("%s: Hijack: %v", name, err)
				}
			}
			if err := w.(http.Pusher).Push("/x", nil); !errors.Is(err, http.ErrNotSupported) { // the client's wish, in HTTP/2
				t.Errorf("%s: Push: %v", name, err)
			}
			// What was not supported has begun no response.
			a.Get(r.Context()).Data.Views++
			if err := a.Get(r.Context()).Save(r.Context()); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}))
	}
	recorder := httptest.NewRecorder()
	for name, tt := range map[string]struct {
		http.ResponseWriter
		flushes bool
	}{
		"recorder":               {recorder, true},
		"recorder, wrapped":      {unwrapping{unwrapping{recorder}}, true},
		"bare":                   {bareWriter{recorder}, false},
		"bare, wrapped":          {unwrapping{bareWriter{recorder}}, false},
		"FlushError only":        {flushErrorer{bareWriter{recorder}}, true},
		"FlushError only, below": {unwrapping{flushErrorer{bareWriter{recorder}}}, true},
	} {
		check(name, tt.flushes, false).ServeHTTP(tt.ResponseWriter, a.newRequest(""))
	}
	a.send(t, start(t, "HTTP/1.1", check("HTTP/1.1", true, true)), "GET", "/", "")
	a.send(t, start(t, "HTTP/1.1", unwrap(check("HTTP/1.1, wrapped", true, true))), "GET", "/", "")
	a.send(t, start(t, "HTTP/2.0", check("HTTP/2", true, false)), "GET", "/", "")
	outer := session.New(nowhere{}, &session.Options[account]{Name: "outer"})
	a.send(t, start(t, "HTTP/2.0", outer.Handler(check("HTTP/2, another manager", true, false))), "GET", "/", "")
	timeout := http.TimeoutHandler(check("TimeoutHandler", false, false), time.Minute, "")
	a.send(t, start(t, "HTTP/1.1", timeout), "GET", "/", "")
}

// A client of HTTP/2 that takes pushes. That of net/http takes none, so its frames are
// written here by hand (RFC 9113, section 4.1; RFC 7541, section 6).
func TestPush(t *testing.T) {
	const (
		headers     = 1
		settings    = 4
		pushPromise = 5
		endOfBoth   = 0x5 // END_STREAM and END_HEADERS
	)
	a := newApp(t, nil)
	server := httptest.NewUnstartedServer(unwrap(a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			return
		}
		if err := w.(http.Pusher).Push("/pushed", nil); err != nil {
			t.Error(err)
		}
		if token := a.Get(r.Context()).Token(); token == "" {
			t.Error("after a Push, the session cannot begin any more")
		}
	}))))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	defer server.Close()
	c, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	frame := func(kind, flags, stream byte, payload string) string {
		return string([]byte{0, 0, byte(len(payload)), kind, flags, 0, 0, 0, stream}) + payload
	}
	get := "\x82\x86\x84\x41\x04host" // :method GET, :scheme http, :path /, :authority host
	if _, err := io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"+frame(settings, 0, 0, "")+frame(headers, endOfBoth, 1, get)); err != nil {
		t.Fatal(err)
	}
	for {
		head := make([]byte, 9)
		if _, err := io.ReadFull(c, head); err != nil {
			t.Fatalf("no PUSH_PROMISE came: %v", err)
		}
		if head[3] == pushPromise {
			return
		}
		if head[3] == headers && head[8] == 1 {
			t.Fatal("the response came without a PUSH_PROMISE")
		}
		io.CopyN(io.Discard, c, int64(head[0])<<16|int64(head[1])<<8|int64(head[2]))
	}
}

func TestControllerReachesTheConnection(t *testing.T) {
	for layer, around := range layers {
		for _, protocol := range protocols {
			t.Run(layer+", "+protocol, func(t *testing.T) {
				a := newApp(t, nil)
				server := start(t, protocol, around.outside(a.Handler(around.inside(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					a.Get(r.Context()).Data.Views++
					c := http.NewResponseController(w)
					if err := errors.Join(c.EnableFullDuplex(), c.SetWriteDeadline(time.Time{})); err != nil {
						t.Error(err)
					}
					fmt.Fprint(w, "answer")
					if err := c.Flush(); err != nil {
						t.Error(err)
					}
					if got := readAll(t, r.Body); got != "question" { // after the answer: full duplex
						t.Errorf("body %q", got)
					}
					if r.URL.Path == "/late" {
						return
					}
					if err := c.SetWriteDeadline(time.Unix(1, 0)); err != nil {
						t.Error(err)
					}
					for err := error(nil); err == nil; err = c.Flush() { // until the past deadline shows
						if _, err = io.WriteString(w, "more"); err != nil {
							break
						}
					}
				})))))
				for _, path := range []string{"/late", "/past"} {
					body, question := io.Pipe()
					r, err := http.NewRequestWithContext(t.Context(), "POST", server.URL+path, body)
					if err != nil {
						t.Fatal(err)
					}
					resp, err := server.Client().Do(r)
					if err != nil {
						t.Fatal(err)
					}
					answer := make([]byte, len("answer"))
					if _, err := io.ReadFull(resp.Body, answer); err != nil || resp.Header.Get("X-Auth-Token") == "" {
						t.Errorf("%v %v", err, resp.Header)
					}
					fmt.Fprint(question, "question")
					question.Close()
					_, err = io.ReadAll(resp.Body)
					if failed := err != nil; failed != (path == "/past") {
						t.Errorf("%s: %v", path, err)
					}
					resp.Body.Close()
				}
			})
		}
	}
}

func TestReadDeadlineReachesTheConnection(t *testing.T) {
	a := newApp(t, nil)
	server := start(t, "HTTP/1.1", unwrap(a.Handler(unwrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)); err != nil {
			t.Error(err)
		}
		if _, err := io.ReadAll(r.Body); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("reading after the deadline: %v", err)
		}
	})))))
	body, question := io.Pipe()
	defer question.Close()
	resp, err := server.Client().Post(server.URL, "text/plain", body)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

// countingListener counts the bytes that its connections send by ReadFrom, which for a
// *net.TCPConn is sendfile.
type countingListener struct {
	net.Listener
	sent *atomic.Int64
}

func (l countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return countingConn{c.(*net.TCPConn), l.sent}, nil
}

type countingConn struct {
	*net.TCPConn
	sent *atomic.Int64
}

func (c countingConn) ReadFrom(src io.Reader) (int64, error) {
	if l, ok := src.(*io.LimitedReader); ok {
		src = l.R
	}
	_, isFile := src.(interface{ Fd() uintptr })
	n, err := c.TCPConn.ReadFrom(src)
	if isFile {
		c.sent.Add(n)
	}
	return n, err
}

func TestSendfileWorksThroughTheWriter(t *testing.T) {
	const size = 1 << 20
	name := file(t, size)
	for how, answer := range map[string]http.HandlerFunc{
		"ServeFile": func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, name) },
		"io.Copy": func(w http.ResponseWriter, r *http.Request) {
			f, err := os.Open(name)
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			w.Header().Set("Content-Length", fmt.Sprint(size))
			if n, err := io.Copy(w, f); n != size || err != nil {
				t.Errorf("io.Copy: %d %v", n, err)
			}
		},
	} {
		t.Run(how, func(t *testing.T) {
			a := newApp(t, nil)
			var sent atomic.Int64
			handler, done := returns(a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				a.Get(r.Context()).Data.Views++
				answer(w, r)
			})))
			server := httptest.NewUnstartedServer(handler)
			server.Listener = countingListener{server.Listener, &sent}
			server.Start()
			defer server.Close()
			resp := a.send(t, server, "GET", "/", "")
			if body := readAll(t, resp.Body); len(body) != size || resp.ContentLength != size || resp.Header.Get("X-Auth-Token") == "" {
				t.Errorf("%d bytes, %v", len(body), resp.Header)
			}
			<-done
			if n := sent.Load(); n < size-4096 {
				t.Errorf("%d of %d bytes went by ReadFrom", n, size)
			}
		})
	}
}

func TestCopyOfAPipeSavesOnceThereIsSomethingToSend(t *testing.T) {
	a := newApp(t, nil)
	server := start(t, "HTTP/1.1", a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := a.Get(r.Context())
		pr, pw := io.Pipe()
		go func() {
			s.Data.Views = 1
			fmt.Fprint(pw, strings.Repeat("x", 2000))
			pw.CloseWithError(errDown)
		}()
		if n, err := io.Copy(w, pr); n != 2000 || !errors.Is(err, errDown) {
			t.Errorf("io.Copy: %d %v", n, err)
		}
	})))
	resp := a.send(t, server, "GET", "/", "")
	if data, _, ok := a.stored(t, resp.Header.Get("X-Auth-Token")); !ok || data.Views != 1 {
		t.Errorf("%v %+v", ok, data)
	}

	// A source that fails at once, or is empty, leaves the response to be chosen.
	for _, cause := range []error{errDown, io.EOF} {
		w := a.serve(a.newRequest(""), func(w http.ResponseWriter, r *http.Request) {
			pr, pw := io.Pipe()
			pw.CloseWithError(cause)
			if _, err := io.Copy(w, pr); err != nil && err != cause {
				t.Error(err)
			}
			a.Get(r.Context()).Data.Views = 2
			http.Error(w, "no source", http.StatusBadGateway)
		})
		if data, _, ok := a.stored(t, w.Header().Get("X-Auth-Token")); !ok || data.Views != 2 || w.Code != http.StatusBadGateway {
			t.Errorf("%v: %d %v %+v", cause, w.Code, ok, data)
		}
	}
}

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
	server := start(t, "HTTP/1.1", a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.Get(r.Context()).Data.Views = 1
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "echo")
		w.WriteHeader(http.StatusSwitchingProtocols)
		c, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		io.CopyN(c, rw, 4)
	})))
	resp := a.send(t, server, "GET", "/", "", "Connection", "Upgrade", "Upgrade", "echo")
	if data, _, ok := a.stored(t, resp.Header.Get("X-Auth-Token")); !ok || data.Views != 1 || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("%d %v %+v", resp.StatusCode, ok, data)
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

// compress is a middleware as many are: it has Write and Flush, but no ReadFrom.
func compress(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Accept-Encoding")
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		defer z.Close()
		next.ServeHTTP(&compressed{w, z}, r)
	})
}

type compressed struct {
	http.ResponseWriter
	z *gzip.Writer
}

func (w *compressed) Write(b []byte) (int, error) {
	w.Header().Del("Content-Length")
	return w.z.Write(b)
}

func (w *compressed) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *compressed) FlushError() error {
	return errors.Join(w.z.Flush(), http.NewResponseController(w.ResponseWriter).Flush())
}

func TestCompressionOutsideAndInside(t *testing.T) {
	name := file(t, 50_000)
	for where, around := range map[string]struct {
		outside, inside func(http.Handler) http.Handler
	}{
		"outside": {compress, same}, "inside": {same, compress},
	} {
		for _, protocol := range protocols {
			a := newApp(t, nil)
			server := start(t, protocol, around.outside(a.Handler(around.inside(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				a.Get(r.Context()).Data.Views++
				f, err := os.Open(name)
				if err != nil {
					t.Error(err)
					return
				}
				defer f.Close()
				fmt.Fprint(w, "start ")
				if err := http.NewResponseController(w).Flush(); err != nil {
					t.Error(err)
				}
				io.Copy(w, f)
				io.WriteString(w, " end")
			})))))
			resp := a.send(t, server, "GET", "/", "", "Accept-Encoding", "gzip")
			z, err := gzip.NewReader(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if body := readAll(t, z); len(body) != 50_010 || !strings.HasPrefix(body, "start 0123") || !strings.HasSuffix(body, " end") {
				t.Errorf("%s: %d bytes", where, len(body))
			}
			if got := strings.Join(resp.Header["Vary"], ", "); got != "Accept-Encoding, X-Auth-Token" || resp.Header.Get("X-Auth-Token") == "" {
				t.Errorf("%s: %v", where, resp.Header)
			}
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

func TestTimeoutHandlerOutside(t *testing.T) {
	a := newApp(t, nil)
	answered := make(chan struct{})
	handler, done := returns(a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := a.Get(r.Context())
		s.Data.Views++
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
			<-answered
			if _, err := fmt.Fprint(w, "late"); !errors.Is(err, http.ErrHandlerTimeout) {
				t.Errorf("writing too late: %v", err)
			}
			s.Data.Note = "late"
			return
		}
		fmt.Fprint(w, "in time")
	})))
	server := start(t, "HTTP/1.1", http.TimeoutHandler(handler, time.Minute, "too late"))
	resp := a.send(t, server, "GET", "/", "")
	token := resp.Header.Get("X-Auth-Token")
	if body := readAll(t, resp.Body); body != "in time" || token == "" {
		t.Fatalf("%q %v", body, resp.Header)
	}
	<-done
	server = start(t, "HTTP/1.1", http.TimeoutHandler(handler, time.Millisecond, "too late"))
	resp = a.send(t, server, "GET", "/slow", token)
	if body := readAll(t, resp.Body); body != "too late" || resp.StatusCode != 503 || resp.Header.Get("Vary") != "" {
		t.Errorf("%d %q %v", resp.StatusCode, body, resp.Header)
	}
	close(answered)
	<-done
	if data, _, _ := a.stored(t, token); data.Views != 2 || data.Note != "late" {
		t.Errorf("%+v", data)
	}
}

// returns tells when next has returned, for servers that do not wait for it.
func returns(next http.Handler) (http.Handler, <-chan struct{}) {
	done := make(chan struct{}, 10)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { done <- struct{}{} }()
		next.ServeHTTP(w, r)
	}), done
}

// recovering answers 500 where what is inside panics.
func recovering(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if recover() != nil {
				http.Error(w, "sorry", http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

func TestRecoveringMiddlewareOutside(t *testing.T) {
	chosen := strings.Repeat("k", 40)
	for name, tt := range map[string]struct {
		do   step
		want string // "": no token, "new": another one, "cleared"
	}{
		"a change is not saved":       {func(ctx context.Context, s *session.Session[account]) { s.Data.Views = 2 }, ""},
		"a Reset ends the old one":    {func(ctx context.Context, s *session.Session[account]) { s.Reset(ctx); s.Data.Views = 2 }, ""},
		"a Renew reaches the client":  {func(ctx context.Context, s *session.Session[account]) { s.Renew(ctx, 0); s.Data.Views = 2 }, "new"},
		"a ResetToken does, too":      {func(ctx context.Context, s *session.Session[account]) { s.ResetToken(ctx, chosen) }, "new"},
		"a Save after a Reset, too":   {func(ctx context.Context, s *session.Session[account]) { s.Reset(ctx); s.Save(ctx) }, "new"},
		"a Destroy is told to client": {func(ctx context.Context, s *session.Session[account]) { s.Destroy(ctx) }, "cleared"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newApp(t, nil)
			token := a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.Data.Views = 1 })
			server := start(t, "HTTP/1.1", recovering(a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				tt.do(r.Context(), a.Get(r.Context()))
				panic("x")
			}))))
			resp := a.send(t, server, "GET", "/", token)
			got := resp.Header["X-Auth-Token"]
			if body := readAll(t, resp.Body); resp.StatusCode != 500 || body != "sorry\n" {
				t.Errorf("%d %q", resp.StatusCode, body)
			}
			switch tt.want {
			case "":
				if got != nil {
					t.Errorf("%v", resp.Header)
				}
				if data, _, ok := a.stored(t, token); ok && data.Views != 1 {
					t.Errorf("%+v", data)
				}
			case "new":
				if len(got) != 1 || got[0] == token || resp.Header.Get("Cache-Control") != "no-store" {
					t.Fatalf("%v", resp.Header)
				}
				if data, _, ok := a.stored(t, got[0]); !ok || data.Views == 2 {
					t.Errorf("%v %+v", ok, data)
				}
			case "cleared":
				if len(got) != 1 || got[0] != "" {
					t.Errorf("%v", resp.Header)
				}
			}
		})
	}
}

func TestPanicAfterTheFirstByteAbortsTheResponse(t *testing.T) {
	a := newApp(t, nil)
	token := a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.Data.Views = 1 })
	server := start(t, "HTTP/1.1", a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := a.Get(r.Context())
		s.Data.Views = 2
		w.(http.Flusher).Flush()
		s.Data.Views = 3
		panic(http.ErrAbortHandler)
	})))
	resp := a.send(t, server, "GET", "/", token)
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("the client was not told")
	}
	server.Close()
	if data, _, _ := a.stored(t, token); data.Views != 2 {
		t.Errorf("%+v", data)
	}
}

// failing is a ResponseWriter of which everything fails, each in its own way.
type failing struct{ http.ResponseWriter }

var errWrite, errString, errFlush, errHijack, errPush, errDeadline = errors.New("write"), errors.New("string"),
	errors.New("flush"), errors.New("hijack"), errors.New("push"), errors.New("deadline")

func (failing) Write([]byte) (int, error)                    { return 0, errWrite }
func (failing) WriteString(string) (int, error)              { return 0, errString }
func (failing) FlushError() error                            { return errFlush }
func (failing) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, errHijack }
func (failing) Push(string, *http.PushOptions) error         { return errPush }
func (failing) SetReadDeadline(time.Time) error              { return errDeadline }

func writeString(w http.ResponseWriter) error { _, err := io.WriteString(w, "x"); return err }

func flush(w http.ResponseWriter) error { return http.NewResponseController(w).Flush() }

func hijack(w http.ResponseWriter) error {
	_, _, err := http.NewResponseController(w).Hijack()
	return err
}

func write(w http.ResponseWriter) error { _, err := w.Write([]byte("x")); return err }

func readFrom(w http.ResponseWriter) error {
	_, err := io.Copy(w, struct{ io.Reader }{strings.NewReader("x")})
	return err
}

func TestErrorsOfTheWriterAreHandedOn(t *testing.T) {
	a := newApp(t, nil)
	for _, tt := range []struct {
		name string
		do   func(http.ResponseWriter) error
		want error
	}{
		{"Write", write, errWrite},
		{"WriteString", writeString, errString},
		{"ReadFrom", readFrom, errWrite},
		{"FlushError", flush, errFlush},
		{"Hijack", hijack, errHijack},
		{"Push", func(w http.ResponseWriter) error { return w.(http.Pusher).Push("/", nil) }, errPush},
		{"SetReadDeadline", func(w http.ResponseWriter) error {
			return http.NewResponseController(w).SetReadDeadline(time.Time{})
		}, errDeadline},
	} {
		a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := tt.do(w); !errors.Is(err, tt.want) {
				t.Errorf("%s: %v", tt.name, err)
			}
		})).ServeHTTP(failing{httptest.NewRecorder()}, a.newRequest(""))
	}
}

func TestNothingOfTheResponseGoesOutIfTheSaveFails(t *testing.T) {
	for _, protocol := range protocols {
		for name, first := range map[string]func(http.ResponseWriter) error{
			"Write": write, "WriteString": writeString, "ReadFrom": readFrom, "FlushError": flush, "Hijack": hijack,
		} {
			if protocol == "HTTP/2.0" && name == "Hijack" {
				continue // there is none
			}
			a := newApp(t, nil)
			a.store.set(map[string]error{"Create": errDown}, nil)
			server := start(t, protocol, a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				a.Get(r.Context()).Data.Views++
				w.Header().Set("Content-Length", "1")
				for range 2 {
					if err := first(w); !errors.Is(err, errDown) {
						t.Errorf("%s: %v", name, err)
					}
				}
				w.WriteHeader(http.StatusTeapot)
			})))
			resp := a.send(t, server, "GET", "/", "")
			if body := readAll(t, resp.Body); resp.StatusCode != 503 || body != "Service Unavailable\n" || resp.Header.Get("X-Auth-Token") != "" {
				t.Errorf("%s: %d %q %v", name, resp.StatusCode, body, resp.Header)
			}
		}
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

// nowhere is the store of managers that store nothing in a test.
type nowhere struct{ tokensession.Store }

func (nowhere) Get(context.Context, string) (tokensession.Record, error) {
	return tokensession.Record{}, tokensession.ErrNotFound
}
