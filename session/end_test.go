package session_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/session"
)

func TestDestroyIsFinal(t *testing.T) {
	logout := func(ctx context.Context, s *session.Session[account]) {
		if err := s.Destroy(ctx); err != nil {
			panic(err)
		}
	}
	for name, late := range map[string]step{
		"a change":  func(ctx context.Context, s *session.Session[account]) { s.Data.Views++ },
		"an owner":  func(ctx context.Context, s *session.Session[account]) { s.SetOwner("bob") },
		"a map":     func(ctx context.Context, s *session.Session[account]) { s.Data.Cart = map[string]int{"a": 1} },
		"no change": func(ctx context.Context, s *session.Session[account]) {},
	} {
		t.Run(name, func(t *testing.T) {
			a := newApp(t, nil)
			token := a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.Data.Name = "x" })
			w := a.request(token, a.during(token, late, logout))
			if w.Code != 200 || w.Header().Get("X-Auth-Token") != "" || w.Header()["X-Auth-Token"] != nil {
				t.Errorf("the late request: status %d, %v", w.Code, w.Header())
			}
			if _, _, ok := a.stored(t, token); ok {
				t.Error("the session came back")
			}
		})
	}
	for name, op := range map[string]func(*session.Session[account], context.Context) error{
		"Save":   func(s *session.Session[account], ctx context.Context) error { s.Data.Views++; return s.Save(ctx) },
		"Reload": (*session.Session[account]).Reload,
		"Touch":  (*session.Session[account]).Touch,
		"Renew":  func(s *session.Session[account], ctx context.Context) error { return s.Renew(ctx, 0) },
		"Update": func(s *session.Session[account], ctx context.Context) error {
			return s.Update(ctx, func(d *account) error { d.Views++; return nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newApp(t, nil)
			token := a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.Data.Name = "x" })
			a.request(token, func(ctx context.Context, s *session.Session[account]) {
				a.request(token, logout)
				for range 2 {
					if err := op(s, ctx); !errors.Is(err, session.ErrGone) || !strings.Contains(err.Error(), s.ID()[:8]+"…") {
						t.Errorf("%v", err)
					}
				}
				if s.Token() != "" {
					t.Error("a session that is gone still gives a token")
				}
			})
			if _, _, ok := a.stored(t, token); ok {
				t.Error("the session came back")
			}
		})
	}
	t.Run("in the request itself", func(t *testing.T) {
		a := newApp(t, nil)
		token := a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.SetOwner("bob"); s.Data.Name = "x" })
		w := a.request(token, func(ctx context.Context, s *session.Session[account]) {
			logout(ctx, s)
			if s.Data.Name != "" || s.Owner() != "" || s.Token() != "" {
				t.Errorf("after Destroy: %+v, owner %q", s.Data, s.Owner())
			}
			s.Data.Name = "late"
			if err := s.Save(ctx); !errors.Is(err, session.ErrGone) {
				t.Errorf("Save: %v", err)
			}
			logout(ctx, s)
		})
		if got, sent := w.Header()["X-Auth-Token"]; !sent || got[0] != "" || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("the client is not told: %v", w.Header())
		}
		if _, _, ok := a.stored(t, token); ok {
			t.Error("the session is still there")
		}
	})
}

func TestManyRequestsInFlightDuringALogout(t *testing.T) {
	a := newApp(t, nil)
	token := a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.Data.Name = "x" })
	var loaded, done sync.WaitGroup
	loaded.Add(200)
	gone := make(chan struct{})
	for i := range 200 {
		done.Go(func() {
			a.request(token, func(ctx context.Context, s *session.Session[account]) {
				loaded.Done()
				if i%2 == 0 {
					<-gone // half of them save after the logout, half around it
				}
				s.Data.Views = i
			})
		})
	}
	loaded.Wait()
	a.request(token, func(ctx context.Context, s *session.Session[account]) { s.Destroy(ctx) })
	close(gone)
	done.Wait()
	if _, _, ok := a.stored(t, token); ok {
		t.Error("the session came back")
	}
}

func TestReset(t *testing.T) {
	a := newApp(t, nil)
	before := a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.Data.Note = "planted"; s.SetOwner("mallory") })
	var id string
	w := a.request(before, func(ctx context.Context, s *session.Session[account]) {
		old := s.ID()
		if err := s.Reset(ctx); err != nil {
			t.Fatal(err)
		}
		if id = s.ID(); id == old || s.Data.Note != "" || s.Owner() != "" || !s.IsNew() {
			t.Errorf("after Reset: %v, %+v, owner %q", s, s.Data, s.Owner())
		}
		s.SetOwner("alice")
		s.Data.Role = "admin"
	})
	after := w.Header().Get("X-Auth-Token")
	if data, owner, ok := a.stored(t, after); !ok || owner != "alice" || data.Role != "admin" || !strings.HasPrefix(after, id) {
		t.Errorf("after the login: %v, %q, %+v", ok, owner, data)
	}
	if _, _, ok := a.stored(t, before); ok {
		t.Error("the token from before the login still opens a session")
	}
	t.Run("of an empty session stores it", func(t *testing.T) {
		token := a.request("", func(ctx context.Context, s *session.Session[account]) { s.Reset(ctx) }).Header().Get("X-Auth-Token")
		if _, _, ok := a.stored(t, token); !ok {
			t.Error("no session")
		}
	})
	t.Run("after Destroy begins a new one", func(t *testing.T) {
		token := a.request(after, func(ctx context.Context, s *session.Session[account]) {
			s.Destroy(ctx)
			if err := s.Reset(ctx); err != nil {
				t.Error(err)
			}
			s.Data.Views = 3
		}).Header().Get("X-Auth-Token")
		if data, _, ok := a.stored(t, token); !ok || data.Views != 3 || token == after {
			t.Errorf("%v %+v", ok, data)
		}
	})
}

func TestDestroyedOnce(t *testing.T) {
	const chosen = "0123456789-the-application-made-this"
	for name, again := range map[string]func(*sess, context.Context) error{
		"Destroy": (*sess).Destroy,
		"Reset":   (*sess).Reset,
		"ResetToken": func(s *sess, ctx context.Context) error {
			return s.ResetToken(ctx, "another-"+chosen)
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newApp(t, nil)
			s := a.Start()
			if err := s.ResetToken(t.Context(), chosen); err != nil {
				t.Fatal(err)
			}
			if err := s.Destroy(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := a.Start().ResetToken(t.Context(), chosen); err != nil {
				t.Fatal(err)
			}
			if err := again(s, t.Context()); err != nil {
				t.Error(err)
			}
			if _, _, ok := a.stored(t, chosen); !ok {
				t.Error("another session with the token has ended")
			}
			if n := strings.Count(a.log.String(), "event=destroyed"); n != 1 {
				t.Errorf("%d events of the end of one session", n)
			}
			if err := s.Reset(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := s.Save(t.Context()); err != nil {
				t.Fatal(err)
			}
			token := s.Token()
			if err := s.Destroy(t.Context()); err != nil {
				t.Error(err)
			}
			if _, _, ok := a.stored(t, token); ok {
				t.Error("the next session of the request has not ended")
			}
		})
	}
}

func TestResetToken(t *testing.T) {
	const chosen = "0123456789-the-application-made-this"
	a := newApp(t, nil)
	old := a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.Data.Note = "old" })
	w := a.request(old, func(ctx context.Context, s *session.Session[account]) {
		if err := s.ResetToken(ctx, chosen); err != nil {
			t.Fatal(err)
		}
		if s.Token() != chosen || s.IsNew() || strings.Contains(chosen, s.ID()) {
			t.Errorf("token %q, new %v, ID %v", s.Token(), s.IsNew(), s)
		}
		s.Data.Name = "bob"
	})
	if got := w.Header().Get("X-Auth-Token"); got != chosen {
		t.Errorf("answered with %q", got)
	}
	if data, _, ok := a.stored(t, chosen); !ok || data.Name != "bob" || data.Note != "" {
		t.Errorf("%v %+v", ok, data)
	}
	if _, _, ok := a.stored(t, old); ok {
		t.Error("the old session is still there")
	}

	t.Run("a taken token changes nothing", func(t *testing.T) {
		token := a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.Data.Note = "mine" })
		a.request(token, func(ctx context.Context, s *session.Session[account]) {
			if err := s.ResetToken(ctx, chosen); !errors.Is(err, tokensession.ErrExists) || strings.Contains(err.Error(), chosen) {
				t.Errorf("%v", err)
			}
			if s.Token() != token || s.Data.Note != "mine" {
				t.Errorf("%v %+v", s, s.Data)
			}
		})
		if data, _, _ := a.stored(t, chosen); data.Name != "bob" {
			t.Errorf("the other session: %+v", data)
		}
	})
	t.Run("an invalid token changes nothing", func(t *testing.T) {
		token := a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.Data.Note = "mine" })
		a.request(token, func(ctx context.Context, s *session.Session[account]) {
			for _, bad := range []string{"", strings.Repeat("x", 31), strings.Repeat("x", 129), strings.Repeat("x", 40) + " ", token, a.Start().Token()} {
				err := s.ResetToken(ctx, bad)
				if !errors.Is(err, session.ErrInvalidToken) || bad != "" && strings.Contains(err.Error(), bad) {
					t.Errorf("%d characters: %v", len(bad), err)
				}
			}
		})
		if data, _, _ := a.stored(t, token); data.Note != "mine" {
			t.Errorf("%+v", data)
		}
	})
	t.Run("a shorter one is allowed knowingly", func(t *testing.T) {
		a := newApp(t, &session.Options[account]{MinTokenLength: 8})
		a.request("", func(ctx context.Context, s *session.Session[account]) {
			if err := s.ResetToken(ctx, "12345678"); err != nil {
				t.Error(err)
			}
		})
		if _, _, ok := a.stored(t, "12345678"); !ok {
			t.Error("no session")
		}
	})
	t.Run("what a cookie cannot carry is refused", func(t *testing.T) {
		a := newApp(t, &session.Options[account]{Transport: session.First(session.Bearer(), session.Cookie(session.CookieOptions{}))})
		for _, c := range `",;\` {
			if err := a.Start().ResetToken(t.Context(), strings.Repeat("x", 40)+string(c)); !errors.Is(err, session.ErrInvalidToken) {
				t.Errorf("%c: %v", c, err)
			}
		}
	})
}

func TestRenew(t *testing.T) {
	a := newApp(t, nil)
	old := a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.Data.Views = 1; s.SetOwner("bob") })
	w := a.request(old, func(ctx context.Context, s *session.Session[account]) {
		id := s.ID()
		a.request(old, func(ctx context.Context, s *session.Session[account]) { s.Data.Note = "meanwhile" })
		s.Data.Role = "admin"
		if err := s.Renew(ctx, 0); err != nil {
			t.Fatal(err)
		}
		if s.ID() != id || s.Token() == old {
			t.Errorf("ID %v, was %s; the token is new: %v", s, id, s.Token() != old)
		}
		s.Data.Views++
	})
	token := w.Header().Get("X-Auth-Token")
	data, owner, ok := a.stored(t, token)
	if !ok || data.Views != 2 || data.Role != "admin" || data.Note != "meanwhile" || owner != "bob" {
		t.Errorf("%v %q %+v", ok, owner, data)
	}
	if _, _, ok := a.stored(t, old); ok {
		t.Error("the old token still opens the session")
	}

	t.Run("requests with the old token are gone", func(t *testing.T) {
		var renewed string
		a.request(token, func(ctx context.Context, s *session.Session[account]) {
			renewed = a.request(token, func(ctx context.Context, s *session.Session[account]) { s.Renew(ctx, 0) }).Header().Get("X-Auth-Token")
			s.Data.Role = "stolen"
			if err := s.Save(ctx); !errors.Is(err, session.ErrGone) {
				t.Errorf("Save: %v", err)
			}
			if err := s.Reload(ctx); !errors.Is(err, session.ErrGone) {
				t.Errorf("Reload: %v", err)
			}
		})
		if data, _, ok := a.stored(t, renewed); !ok || data.Role != "admin" {
			t.Errorf("%v %+v", ok, data)
		}
	})
	t.Run("of a new session stores it", func(t *testing.T) {
		token := a.request("", func(ctx context.Context, s *session.Session[account]) {
			if err := s.Renew(ctx, 0); err != nil {
				t.Error(err)
			}
		}).Header().Get("X-Auth-Token")
		if _, _, ok := a.stored(t, token); !ok {
			t.Error("no session")
		}
	})
}

func TestAfterTheHeader(t *testing.T) {
	a := newApp(t, nil)
	send := func(w http.ResponseWriter) { w.Write([]byte("x")) }

	t.Run("a new session is not stored", func(t *testing.T) {
		w := a.serve(a.newRequest(""), func(w http.ResponseWriter, r *http.Request) {
			s := a.Get(r.Context())
			send(w)
			s.Data.Views = 1
			for name, err := range map[string]error{
				"Save":       s.Save(r.Context()),
				"Renew":      s.Renew(r.Context(), 0),
				"with grace": s.Renew(r.Context(), time.Minute),
				"Reset":      s.Reset(r.Context()),
				"ResetToken": s.ResetToken(r.Context(), strings.Repeat("x", 40)),
			} {
				if !errors.Is(err, session.ErrHeaderSent) {
					t.Errorf("%s: %v", name, err)
				}
			}
			if s.Token() != "" {
				t.Error("a session that cannot be stored any more gives a token")
			}
		})
		if w.Header().Get("X-Auth-Token") != "" || strings.Contains(a.store.calls(), "Create") {
			t.Errorf("%v, calls %s", w.Header(), a.store.calls())
		}
		if !strings.Contains(a.log.String(), session.ErrHeaderSent.Error()) {
			t.Errorf("log:\n%s", a.log)
		}
	})
	token := a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.Data.Views = 1 })
	t.Run("an existing one keeps its token", func(t *testing.T) {
		a.serve(a.newRequest(token), func(w http.ResponseWriter, r *http.Request) {
			send(w)
			s := a.Get(r.Context())
			for name, err := range map[string]error{
				"Renew":      s.Renew(r.Context(), 0),
				"with grace": s.Renew(r.Context(), time.Minute),
				"Reset":      s.Reset(r.Context()),
				"ResetToken": s.ResetToken(r.Context(), strings.Repeat("x", 40)),
			} {
				if !errors.Is(err, session.ErrHeaderSent) || s.Token() != token {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
		if data, _, ok := a.stored(t, token); !ok || data.Views != 1 {
			t.Errorf("%v %+v", ok, data)
		}
	})
	t.Run("a change is saved all the same", func(t *testing.T) {
		a.serve(a.newRequest(token), func(w http.ResponseWriter, r *http.Request) {
			s := a.Get(r.Context())
			s.Data.Views = 2
			send(w)
			if data, _, _ := a.stored(t, token); data.Views != 2 {
				t.Errorf("after the first byte: %+v", data)
			}
			s.Data.Views = 3
		})
		if data, _, _ := a.stored(t, token); data.Views != 3 {
			t.Errorf("after the handler: %+v", data)
		}
	})
	t.Run("Destroy works", func(t *testing.T) {
		a.serve(a.newRequest(token), func(w http.ResponseWriter, r *http.Request) {
			send(w)
			if err := a.Get(r.Context()).Destroy(r.Context()); err != nil {
				t.Error(err)
			}
		})
		if _, _, ok := a.stored(t, token); ok {
			t.Error("the session is still there")
		}
	})
}

func TestPanicSavesNothing(t *testing.T) {
	a := newApp(t, nil)
	token := a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.Data.Views = 1 })
	func() {
		defer func() { recover() }()
		a.request(token, func(ctx context.Context, s *session.Session[account]) { s.Data.Views = 2; panic("x") })
	}()
	if data, _, _ := a.stored(t, token); data.Views != 1 {
		t.Errorf("%+v", data)
	}
}

func TestIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t, &session.Options[account]{IdleTimeout: 8 * time.Hour, Lifetime: 7 * 24 * time.Hour})
		token := a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.Data.Views = 1 })
		look := func(ctx context.Context, s *session.Session[account]) {}
		for range 10 { // within an eighth: no write
			time.Sleep(time.Hour / 11)
			a.request(token, look)
		}
		if calls := a.store.calls(); strings.Contains(calls, "Touch") {
			t.Errorf("calls %s", calls)
		}
		for range 10 { // each after seven eighths, the least that the timeout promises
			time.Sleep(7*time.Hour - time.Second)
			a.request(token, look)
		}
		if calls := a.store.calls(); !strings.Contains(calls, "Touch:10") {
			t.Errorf("calls %s", calls)
		}
		if _, _, ok := a.stored(t, token); !ok {
			t.Fatal("a session in use has ended")
		}
		time.Sleep(8*time.Hour - time.Second)
		s, err := a.Load(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Save(t.Context()); err != nil { // unchanged: only touched
			t.Error(err)
		}
		time.Sleep(2 * time.Second)
		if err := s.Touch(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(8 * time.Hour)
		if _, _, ok := a.stored(t, token); ok {
			t.Error("the session has outlived its idle timeout")
		}
		if err := s.Touch(t.Context()); !errors.Is(err, session.ErrGone) {
			t.Errorf("Touch: %v", err)
		}
	})
}

func TestLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t, &session.Options[account]{IdleTimeout: 8 * time.Hour, Lifetime: 24 * time.Hour})
		token := a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.Data.Views = 1 })
		count := func(ctx context.Context, s *session.Session[account]) { s.Data.Views++ }
		for range 23 {
			time.Sleep(time.Hour)
			a.request(token, count)
			s := a.load(t, token)
			if err := s.Renew(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
			token = s.Token()
		}
		time.Sleep(time.Hour - time.Second)
		if data, _, ok := a.stored(t, token); !ok || data.Views != 24 {
			t.Fatalf("a second before its end: %v %+v", ok, data)
		}
		late := a.load(t, token)
		time.Sleep(time.Second)
		if _, _, ok := a.stored(t, token); ok {
			t.Error("the session has outlived its lifetime")
		}
		late.Data.Views = 100
		if err := late.Save(t.Context()); !errors.Is(err, session.ErrGone) {
			t.Errorf("Save: %v", err)
		}
	})
}

func TestForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t, &session.Options[account]{IdleTimeout: tokensession.Forever, Lifetime: tokensession.Forever})
		token := a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.Data.Views = 1 })
		time.Sleep(50 * 365 * 24 * time.Hour)
		a.request(token, func(ctx context.Context, s *session.Session[account]) {})
		if _, _, ok := a.stored(t, token); !ok || strings.Contains(a.store.calls(), "Touch") {
			t.Errorf("%v, calls %s", ok, a.store.calls())
		}
	})
}

func TestShortenedTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t, nil)
		token := a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.Data.Views = 1 })
		b := newAppOn(t, a.store, &session.Options[account]{IdleTimeout: time.Hour, Lifetime: 2 * time.Hour})
		b.request(token, func(ctx context.Context, s *session.Session[account]) {})
		time.Sleep(time.Hour)
		if _, _, ok := b.stored(t, token); ok {
			t.Error("the shorter idle timeout does not hold")
		}
		token = a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.Data.Views = 1 })
		time.Sleep(2 * time.Hour)
		if _, _, ok := b.stored(t, token); ok {
			t.Error("the shorter lifetime does not hold")
		}
	})
}

func TestWithoutHTTP(t *testing.T) {
	a := newApp(t, nil)
	s := a.Start()
	if !s.IsNew() {
		t.Error("not new")
	}
	if err := s.Touch(t.Context()); err != nil {
		t.Errorf("Touch of a new session: %v", err)
	}
	s.Data.Note = "discarded"
	if err := s.Reload(t.Context()); err != nil || s.Data.Note != "" {
		t.Errorf("Reload of a new session: %v, %+v", err, s.Data)
	}
	token := s.Token()
	if err := s.Save(t.Context()); err != nil || s.IsNew() || s.Token() != token {
		t.Fatal(err)
	}
	if _, _, ok := a.stored(t, token); !ok {
		t.Error("an empty session that was saved is not there")
	}
	ctx := a.NewContext(t.Context(), s)
	if a.Get(ctx) != s {
		t.Error("NewContext and Get disagree")
	}
	hung, cancel := context.WithCancel(ctx)
	cancel()
	s.Data.Views = 9
	if err := s.Save(hung); err != nil {
		t.Errorf("a client that hung up aborts the save: %v", err)
	}
	if err := s.Reload(hung); !errors.Is(err, context.Canceled) {
		t.Errorf("Reload: %v", err)
	}
	for _, token := range []string{"", "short", strings.Repeat("x", 40), a.Start().Token()} {
		if _, err := a.Load(t.Context(), token); !errors.Is(err, session.ErrInvalidToken) {
			t.Errorf("Load of a token of %d characters: %v", len(token), err)
		}
	}
	if _, err := a.Load(hung, token); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled Load: %v", err)
	}
	if err := s.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, _, ok := a.stored(t, token); ok {
		t.Error("Destroy left it")
	}
}

func TestRecoveringMiddlewareInside(t *testing.T) {
	a := newApp(t, nil)
	w := httptest.NewRecorder()
	a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			recover()
			http.Error(w, "sorry", 500)
		}()
		a.Get(r.Context()).Data.Views = 1
		panic("x")
	})).ServeHTTP(w, a.newRequest(""))
	if data, _, ok := a.stored(t, w.Header().Get("X-Auth-Token")); !ok || data.Views != 1 || w.Code != 500 {
		t.Errorf("status %d, %v, %+v", w.Code, ok, data)
	}
}

// A session that is saved every hour, or whose request lasts, is in use, though nothing of it
// changes.
func TestSavingAndLongRequestsKeepASessionAlive(t *testing.T) {
	hourly := func(ctx context.Context, s *sess) {
		for range 20 {
			time.Sleep(time.Hour)
			if err := s.Save(ctx); err != nil {
				t.Error(err)
			}
		}
	}
	write := func(w http.ResponseWriter) { io.WriteString(w, "at once") }
	for name, use := range map[string]func(a *app, token string){
		"saved in a request": func(a *app, token string) { a.request(token, hourly) },
		"saved without HTTP": func(a *app, token string) { hourly(t.Context(), a.load(t, token)) },
		"a long request": func(a *app, token string) {
			a.request(token, func(context.Context, *sess) { time.Sleep(7 * time.Hour) })
			time.Sleep(2 * time.Hour)
		},
		"a long response": func(a *app, token string) {
			a.serve(a.newRequest(token), func(w http.ResponseWriter, r *http.Request) {
				write(w)
				time.Sleep(7 * time.Hour)
			})
			time.Sleep(2 * time.Hour)
		},
		"a long response to a request that was touched": func(a *app, token string) {
			time.Sleep(time.Hour)
			a.serve(a.newRequest(token), func(w http.ResponseWriter, r *http.Request) {
				write(w)
				time.Sleep(7 * time.Hour)
			})
			time.Sleep(2 * time.Hour)
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := newApp(t, &session.Options[account]{IdleTimeout: 8 * time.Hour})
			token := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Views = 1 })
			use(a, token)
			if _, _, ok := a.stored(t, token); !ok {
				t.Errorf("%s: it has expired; %d Touches", name, a.store.count("Touch"))
			}
		})
	}
}

func TestSaveLearnsOfALogout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t, &session.Options[account]{IdleTimeout: 8 * time.Hour})
		token := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Views = 1 })
		s := a.load(t, token)
		if err := a.load(t, token).Destroy(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		if err := s.Save(t.Context()); !errors.Is(err, session.ErrGone) {
			t.Errorf("Save: %v", err)
		}
	})
}
