package session_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/session"
)

// TestStoreThatFails makes each of the five calls fail in turn, and looks at what
// the client gets.
func TestStoreThatFails(t *testing.T) {
	type test struct {
		name     string
		fail     string // the method
		new      bool   // the request has no token
		do       step
		status   int // by default
		ran      bool
		openLog  string // what the log says with FailOpen
		openRan  bool
		openCode int
	}
	change := func(ctx context.Context, s *session.Session[account]) { s.Data.Views++ }
	look := func(ctx context.Context, s *session.Session[account]) {}
	for _, tt := range []test{
		{name: "Get", fail: "Get", do: look, status: 503, openLog: "without a session", openRan: true, openCode: 200},
		{name: "Get, changed", fail: "Get", do: change, status: 503, openLog: "without a session", openRan: true, openCode: 200},
		{name: "Create", fail: "Create", new: true, do: change, status: 503, ran: true, openLog: "the change is lost", openRan: true, openCode: 200},
		{name: "Update", fail: "Update", do: change, status: 503, ran: true, openLog: "the change is lost", openRan: true, openCode: 200},
		{name: "Touch", fail: "Touch", do: look, status: 200, ran: true, openLog: "not renewed", openRan: true, openCode: 200},
		{name: "Delete", fail: "Delete", ran: true, status: 200, openRan: true, openCode: 200, openLog: "", do: func(ctx context.Context, s *session.Session[account]) {
			for name, err := range map[string]error{"Destroy": s.Destroy(ctx), "Reset": s.Reset(ctx), "ResetToken": s.ResetToken(ctx, strings.Repeat("x", 40))} {
				if !errors.Is(err, errDown) {
					t.Errorf("%s: %v", name, err)
				}
			}
			if s.Data.Views != 1 || s.Owner() != "bob" || s.IsNew() {
				t.Errorf("after a Delete that failed: %+v, owner %q", s.Data, s.Owner())
			}
		}},
	} {
		for _, open := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, FailOpen %v", tt.name, open), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					a := newApp(t, &session.Options[account]{FailOpen: open})
					token := a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.Data.Views = 1; s.SetOwner("bob") })
					time.Sleep(4 * time.Hour) // so that a touch is due
					a.store.set(map[string]error{tt.fail: errDown}, nil)

					presented := token
					if tt.new {
						presented = ""
					}
					ran := false
					w := httptest.NewRecorder()
					w.Header().Add("Set-Cookie", "outer=1")
					w.Header().Set("Content-Security-Policy", "default-src 'self'")
					a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						ran = true
						for _, name := range []string{"Content-Type", "Content-Encoding", "Etag", "Location", "Last-Modified"} {
							w.Header().Set(name, "handler's")
						}
						w.Header().Add("Set-Cookie", "inner=1")
						s := a.Get(r.Context())
						tt.do(r.Context(), s)
						w.WriteHeader(200)
						if _, err := io.WriteString(w, "handler's"); (err != nil) != (tt.status == 503 && !open) {
							t.Errorf("Write: %v", err)
						}
					})).ServeHTTP(w, a.newRequest(presented))

					wantCode, wantRan := tt.status, tt.ran
					if open {
						wantCode, wantRan = tt.openCode, tt.openRan
					}
					if w.Code != wantCode || ran != wantRan {
						t.Errorf("status %d, want %d; handler ran: %v, want %v", w.Code, wantCode, ran, wantRan)
					}
					if _, sent := w.Header()["X-Auth-Token"]; sent {
						t.Errorf("a token was sent: %v", w.Header())
					}
					if replaced := !strings.Contains(w.Body.String(), "handler's"); replaced != (wantCode == 503) {
						t.Errorf("body %q", w.Body)
					}
					if wantCode == 503 {
						if got := fmt.Sprint(w.Header()); strings.Contains(got, "handler's") || strings.Contains(got, "inner") ||
							!strings.Contains(got, "outer=1") || !strings.Contains(got, "default-src") || w.Header().Get("Cache-Control") != "no-store" {
							t.Errorf("headers %v", got)
						}
						if !strings.Contains(a.log.String(), errDown.Error()) {
							t.Errorf("log:\n%s", a.log)
						}
					}
					if open && !strings.Contains(a.log.String(), tt.openLog) {
						t.Errorf("log without %q:\n%s", tt.openLog, a.log)
					}

					if calls := a.store.calls(); tt.fail == "Touch" && !strings.Contains(calls, "Touch:1") {
						t.Errorf("tried more than once: %s", calls)
					}
					a.store.set(nil, nil)
					if data, owner, ok := a.stored(t, token); !ok || data.Views != 1 || owner != "bob" {
						t.Errorf("the session, afterwards: %v %+v, owner %q", ok, data, owner)
					}
				})
			})
		}
	}
}

func TestFailOpenSessionIsNeverSaved(t *testing.T) {
	a := newApp(t, &session.Options[account]{FailOpen: true})
	token := a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.Data.Views = 1 })
	a.store.set(map[string]error{"Get": errDown}, nil)
	a.request(token, func(ctx context.Context, s *session.Session[account]) {
		if s.Data.Views != 0 || s.Token() != "" {
			t.Errorf("%+v", s.Data)
		}
		s.Data.Views = 50
		for name, err := range map[string]error{
			"Save":    s.Save(ctx),
			"Update":  s.Update(ctx, func(d *account) error { return nil }),
			"Reload":  s.Reload(ctx),
			"Touch":   s.Touch(ctx),
			"Renew":   s.Renew(ctx, 0),
			"Reset":   s.Reset(ctx),
			"Destroy": s.Destroy(ctx),
		} {
			if !errors.Is(err, errDown) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	a.store.set(nil, nil)
	if data, _, _ := a.stored(t, token); data.Views != 1 {
		t.Errorf("%+v", data)
	}
	if got, want := a.store.calls(), "map[Create:1 Get:2]"; got != want {
		t.Errorf("calls %s, want %s", got, want)
	}
}

// A write whose answer was lost may have happened. Trying again must neither fail
// nor undo it.
func TestAnswerLost(t *testing.T) {
	t.Run("Create", func(t *testing.T) {
		a := newApp(t, nil)
		s := a.Start()
		s.Data.Views = 1
		a.store.set(nil, map[string]error{"Create": errDown})
		if err := s.Save(t.Context()); !errors.Is(err, errDown) {
			t.Fatal(err)
		}
		a.store.set(nil, nil)
		s.Data.Views = 2
		if err := s.Save(t.Context()); err != nil {
			t.Error(err)
		}
		if data, _, ok := a.stored(t, s.Token()); !ok || data.Views != 2 {
			t.Errorf("%v %+v", ok, data)
		}
	})
	t.Run("Create, then Destroy", func(t *testing.T) {
		a := newApp(t, nil)
		s := a.Start()
		token := s.Token()
		a.store.set(nil, map[string]error{"Create": errDown})
		s.Save(t.Context())
		a.store.set(nil, nil)
		if err := s.Destroy(t.Context()); err != nil {
			t.Error(err)
		}
		if _, _, ok := a.stored(t, token); ok {
			t.Error("the session is still there")
		}
	})
	t.Run("Update", func(t *testing.T) {
		a := newApp(t, nil)
		token := a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.Data.Views = 1 })
		s := a.load(t, token)
		s.Data.Views, s.Data.Note = 2, "mine"
		a.store.set(nil, map[string]error{"Update": errDown})
		if err := s.Save(t.Context()); !errors.Is(err, errDown) {
			t.Fatal(err)
		}
		a.store.set(nil, nil)
		a.request(token, func(ctx context.Context, s *session.Session[account]) { s.Data.Name = "theirs" })
		if err := s.Save(t.Context()); err != nil {
			t.Error(err)
		}
		if data, _, _ := a.stored(t, token); data.Views != 2 || data.Note != "mine" || data.Name != "theirs" {
			t.Errorf("%+v", data)
		}
	})
}

func TestStoreThatHangsIsLeftAtTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t, &session.Options[account]{StoreTimeout: 3 * time.Second})
		token := a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.Data.Views = 1 })
		m := session.New(hanging{a.store}, &session.Options[account]{StoreTimeout: 3 * time.Second, Logger: nil})
		start := time.Now()
		if _, err := m.Load(t.Context(), token); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		s := m.Start()
		start = time.Now()
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Save(cancelled); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

// hanging is a store that answers nothing before the deadline.
type hanging struct{ tokensession.Store }

func (h hanging) Get(ctx context.Context, id string) (tokensession.Record, error) {
	<-ctx.Done()
	return tokensession.Record{}, ctx.Err()
}

func (h hanging) Create(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	<-ctx.Done()
	return "", ctx.Err()
}

func TestErrorsShowNoSecret(t *testing.T) {
	a := newApp(t, nil)
	token := a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.Data.Note = "private-data" })
	secret := token[25:]
	chosen := strings.Repeat("k", 40)
	var errs []error
	a.store.set(map[string]error{"Get": errDown}, nil)
	_, err := a.Load(t.Context(), token)
	errs = append(errs, err)
	a.store.set(nil, nil)
	s := a.load(t, token)
	a.store.set(map[string]error{"Get": errDown, "Create": errDown, "Update": errDown, "Touch": errDown, "Delete": errDown}, nil)
	ctx := t.Context()
	s.Data.Views++
	errs = append(errs, s.Save(ctx), s.Touch(ctx), s.Reload(ctx), s.Reset(ctx), s.ResetToken(ctx, chosen), s.ResetToken(ctx, token),
		s.Renew(ctx, 0), s.Renew(ctx, time.Hour), s.Destroy(ctx), s.Update(ctx, func(*account) error { return nil }))
	_, err = a.Load(ctx, secret)
	errs = append(errs, err)
	for i, err := range errs {
		if err == nil {
			t.Errorf("error %d is nil", i)
			continue
		}
		for _, format := range []string{"%v", "%+v", "%#v", "%q"} {
			text := fmt.Sprintf(format, err)
			if strings.Contains(text, secret) || strings.Contains(text, chosen) || strings.Contains(text, "private-data") {
				t.Errorf("%s", text)
			}
		}
	}
}

func TestOnError(t *testing.T) {
	var got error
	a := newApp(t, &session.Options[account]{OnError: func(w http.ResponseWriter, r *http.Request, err error) {
		got = err
		http.Error(w, "come back later", 599)
	}})
	a.store.set(map[string]error{"Create": errDown}, nil)
	w := a.request("", func(ctx context.Context, s *session.Session[account]) { s.Data.Views = 1 })
	if w.Code != 599 || !errors.Is(got, errDown) || !strings.Contains(w.Body.String(), "come back") {
		t.Errorf("status %d, error %v, body %q", w.Code, got, w.Body)
	}
}

func TestOnErrorHasTheSession(t *testing.T) {
	var a *app
	a = newApp(t, &session.Options[account]{OnError: func(w http.ResponseWriter, r *http.Request, err error) {
		s := a.Get(r.Context())
		fmt.Fprint(w, s.ID(), s.Data.Name)
		s.Data.Name = "late"
	}})
	token := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Name = "x" })
	a.store.set(map[string]error{"Update": errDown}, nil)
	w := a.request(token, func(ctx context.Context, s *sess) { s.Data.Name = "bob" })
	if got := w.Body.String(); got != token[:24]+"bob" {
		t.Errorf("%q", got)
	}
	a.store.set(nil, nil)
	if data, _, _ := a.stored(t, token); data.Name != "x" {
		t.Errorf("%+v", data)
	}
}

func TestCookiesOfAResponseThatIsReplaced(t *testing.T) {
	for name, change := range map[string]func(http.Header){
		"added":    func(h http.Header) { h.Add("Set-Cookie", "handler=1") },
		"replaced": func(h http.Header) { h.Set("Set-Cookie", "handler=1") },
		"altered":  func(h http.Header) { h["Set-Cookie"][0] = "handler=1" },
		"removed":  func(h http.Header) { h.Del("Set-Cookie") },
	} {
		t.Run(name, func(t *testing.T) {
			a := newApp(t, nil)
			a.store.set(map[string]error{"Create": errDown}, nil)
			w := httptest.NewRecorder()
			w.Header().Set("Set-Cookie", "outer=1")
			a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				a.Get(r.Context()).Data.Views = 1
				change(w.Header())
			})).ServeHTTP(w, a.newRequest(""))
			if got := w.Header()["Set-Cookie"]; w.Code != 503 || len(got) != 1 || got[0] != "outer=1" {
				t.Errorf("status %d, %q", w.Code, got)
			}
		})
	}
}
