package session_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokensession/tokensession/session"
)

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

// selfish unwraps to itself, and has all that a handler could ask for.
type selfish struct{ *httptest.ResponseRecorder }

func (selfish) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, http.ErrNotSupported }
func (w selfish) Unwrap() http.ResponseWriter                { return w }

// Nothing is looked for beyond where it was found.
func TestWriterThatUnwrapsToItself(t *testing.T) {
	a := newApp(t, nil)
	w := selfish{httptest.NewRecorder()}
	a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.Get(r.Context()).Data.Views = 1
	})).ServeHTTP(w, a.newRequest(""))
	if w.Header().Get("X-Auth-Token") == "" {
		t.Error("no token")
	}
}
