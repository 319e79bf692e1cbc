package session_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tokensession/tokensession/session"
)

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

func TestOnErrorThatAbortsTheResponse(t *testing.T) {
	for name, after := range map[string]func(http.ResponseWriter){
		"at the end of the handler": func(http.ResponseWriter) {},
		"at its first byte":         func(w http.ResponseWriter) { w.Write([]byte("x")) },
	} {
		t.Run(name, func(t *testing.T) {
			a := newApp(t, &session.Options[account]{
				OnError: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
			})
			a.store.set(map[string]error{"Create": errDown}, nil)
			server := start(t, "HTTP/1.1", a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				a.Get(r.Context()).Data.Views++
				after(w)
			})))
			resp, err := server.Client().Get(server.URL)
			if err == nil {
				resp.Body.Close()
				t.Errorf("answered with status %d", resp.StatusCode)
			}
		})
	}
}

func TestNoNewTokenAfterAPanic(t *testing.T) {
	a := newApp(t, nil)
	token := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Name = "x" })
	var kept *sess
	func() {
		defer func() { recover() }()
		a.request(token, func(ctx context.Context, s *sess) { kept = s; panic("the handler's") })
	}()
	for name, op := range map[string]func() error{
		"Renew": func() error { return kept.Renew(t.Context(), 0) },
		"Reset": func() error { return kept.Reset(t.Context()) },
	} {
		if err := op(); !errors.Is(err, session.ErrHeaderSent) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, ok := a.stored(t, token); !ok {
		t.Error("the client's token opens nothing")
	}
}

// panicking is a codec that panics when it encodes a session with this name.
type panicking struct{}

func (panicking) Encode(v *account) ([]byte, error) {
	if v.Name == "panic" {
		panic("codec")
	}
	return json.Marshal(v)
}

func (panicking) Decode(b []byte, v *account) error { return json.Unmarshal(b, v) }

func TestOtherPanicsAreHandedOn(t *testing.T) {
	a := newApp(t, &session.Options[account]{Codec: panicking{}})
	for want, handler := range map[string]step{
		"the handler's": func(ctx context.Context, s *session.Session[account]) { panic("the handler's") },
		"codec":         func(ctx context.Context, s *session.Session[account]) { s.Data.Name = "panic" },
		"after a save that failed": func(ctx context.Context, s *session.Session[account]) {
			a.store.set(map[string]error{"Create": errDown}, nil)
			s.Data.Views++
		},
	} {
		var got any
		w := httptest.NewRecorder()
		func() {
			defer func() { got = recover() }()
			a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				handler(r.Context(), a.Get(r.Context()))
				if _, err := w.Write(nil); err != nil {
					panic("after a save that failed")
				}
			})).ServeHTTP(w, a.newRequest(""))
		}()
		if got != want {
			t.Errorf("recovered %v, want %v", got, want)
		}
	}
}

// What the inner one of two managers has told its client is in force, whatever becomes of
// the outer one's session.
func TestCookieOfAnInnerManagerStays(t *testing.T) {
	renewed := func(cookies []*http.Cookie) bool {
		return len(cookies) == 1 && cookies[0].Name == "customers" && cookies[0].MaxAge > 0
	}
	ended := func(cookies []*http.Cookie) bool {
		return len(cookies) == 1 && cookies[0].Name == "customers" && cookies[0].MaxAge < 0
	}
	for name, c := range map[string]struct {
		do   step
		want func([]*http.Cookie) bool
	}{
		"renewed":   {renewing(t, 0), renewed},
		"reset":     {func(ctx context.Context, s *sess) { s.Reset(ctx) }, renewed},
		"destroyed": {func(ctx context.Context, s *sess) { s.Destroy(ctx) }, ended},
		"unchanged": {func(context.Context, *sess) {}, func(cookies []*http.Cookie) bool { return len(cookies) == 0 }},
	} {
		for where, between := range map[string]func(http.Handler) http.Handler{
			"at once": same, "through a middleware": unwrap,
			"through one that does not unwrap": func(next http.Handler) http.Handler {
				return http.TimeoutHandler(next, time.Minute, "")
			},
		} {
			staff := newApp(t, &session.Options[account]{Name: "staff"})
			customers := newApp(t, &session.Options[account]{Name: "customers",
				Transport: session.Cookie(session.CookieOptions{Name: "customers"})})
			s := customers.Start()
			if err := s.Save(t.Context()); err != nil {
				t.Fatal(err)
			}
			staff.store.set(map[string]error{"Create": errDown}, nil)
			r := httptest.NewRequest("GET", "/", nil)
			customers.SetToken(r, s.Token())
			w := httptest.NewRecorder()
			staff.Handler(between(customers.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				http.SetCookie(w, &http.Cookie{Name: "handler", Value: "1"})
				c.do(r.Context(), customers.Get(r.Context()))
				staff.Get(r.Context()).Data.Views = 1
			})))).ServeHTTP(w, r)
			cookies := w.Result().Cookies()
			if w.Code != http.StatusServiceUnavailable || !c.want(cookies) {
				t.Errorf("%s, %s: status %d, %d cookies", name, where, w.Code, len(cookies))
			}
			if name == "renewed" && len(cookies) == 1 {
				if _, _, ok := customers.stored(t, cookies[0].Value); !ok {
					t.Errorf("%s: the cookie opens nothing", where)
				}
			}
		}
	}
}

// Of three managers around each other, any may fail to save, and a handler or an OnError may
// panic: each client is told its token once, and no token is sent that opens nothing.
func TestCookiesOfThreeManagers(t *testing.T) {
	for _, failing := range []string{"", "A", "B", "C", "AB", "BC", "AC", "ABC"} {
		for _, panics := range []string{"nobody", "handler", "OnError"} {
			apps, r, w := make(map[string]*app), httptest.NewRequest("GET", "/", nil), httptest.NewRecorder()
			for _, name := range []string{"A", "B", "C"} {
				o := &session.Options[account]{Name: name, Transport: session.Cookie(session.CookieOptions{Name: name})}
				if panics == "OnError" && name == "C" {
					o.OnError = func(http.ResponseWriter, *http.Request, error) { panic("in OnError") }
				}
				a := newApp(t, o)
				s := a.Start()
				if err := s.Save(t.Context()); err != nil {
					t.Fatal(err)
				}
				a.SetToken(r, s.Token())
				apps[name] = a
			}
			w.Header().Set("Set-Cookie", "outside=1")
			handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				http.SetCookie(w, &http.Cookie{Name: "handler", Value: "1"})
				for name, a := range apps {
					s := a.Get(r.Context())
					renewing(t, 0)(r.Context(), s)
					if strings.Contains(failing, name) {
						s.Data.Views++
						a.store.set(map[string]error{"Update": errDown}, nil)
					}
				}
				if panics == "handler" {
					panic("in the handler")
				}
			})
			recovering(apps["A"].Handler(apps["B"].Handler(recovering(apps["C"].Handler(handler))))).ServeHTTP(w, r)
			got := make(map[string]int)
			for _, c := range w.Result().Cookies() {
				got[c.Name]++
				if a := apps[c.Name]; a != nil {
					a.store.set(nil, nil)
					if _, _, ok := a.stored(t, c.Value); !ok {
						t.Errorf("failing %q, %s panics: the cookie of %s opens nothing", failing, panics, c.Name)
					}
				}
			}
			if got["A"] != 1 || got["B"] != 1 || got["C"] != 1 || got["outside"] != 1 {
				t.Errorf("failing %q, %s panics: status %d, %v", failing, panics, w.Code, got)
			}
		}
	}
}
