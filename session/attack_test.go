package session_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/session"
)

type sess = session.Session[account]

// A browser does not hold a name that begins with other space to the promise of its
// prefix, so any host of the domain may have set it.
func TestCookieNameIsNotTrimmedOfOtherSpace(t *testing.T) {
	a := newApp(t, &session.Options[account]{Transport: session.Cookie(session.CookieOptions{})})
	begin := func(owner string) string {
		s := a.Start()
		s.SetOwner(owner)
		if err := s.Save(t.Context()); err != nil {
			t.Fatal(err)
		}
		return s.Token()
	}
	evil, good := begin("attacker"), begin("victim")
	for _, space := range []string{"\u0085", "\u00a0", "\u2000", "\u3000"} {
		r := a.newRequest("")
		r.Header.Set("Cookie", space+"__Host-session="+evil+"; __Host-session="+good)
		a.serve(r, func(w http.ResponseWriter, r *http.Request) {
			if owner := a.Get(r.Context()).Owner(); owner != "victim" {
				t.Errorf("%q before the name: the session is %s's", space, owner)
			}
		})
	}
}

func TestOwnerSetToWhatItIsChangesNothing(t *testing.T) {
	a := newApp(t, nil)
	token := a.begin(t, func(ctx context.Context, s *sess) { s.SetOwner("bob"); s.Data.Role = "admin" })
	a.request(token, a.during(token,
		func(ctx context.Context, s *sess) { s.SetOwner("bob"); s.Data.Note = "n" },
		func(ctx context.Context, s *sess) { s.Data.Role = "user" }))
	if data, _, _ := a.stored(t, token); data.Role != "user" || data.Note != "n" {
		t.Errorf("a demotion is undone: %+v", data)
	}
	a.request(token, a.during(token,
		func(ctx context.Context, s *sess) { s.SetOwner("bob"); s.Data.Note = "bob's" },
		func(ctx context.Context, s *sess) { s.SetOwner("alice"); s.Data.Note = "alice's" }))
	if data, owner, _ := a.stored(t, token); owner != "alice" || data.Note != "alice's" {
		t.Errorf("a login is undone: %s, %+v", owner, data)
	}
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for range 20 {
				a.request(token, func(ctx context.Context, s *sess) {
					s.SetOwner("alice")
					if err := s.Update(ctx, func(d *account) error { d.Views++; return nil }); err != nil {
						t.Error(err)
					}
				})
			}
		})
	}
	clients.Wait()
	if data, _, _ := a.stored(t, token); data.Views != 160 {
		t.Errorf("%d of 160", data.Views)
	}
	if calls := a.request("", func(ctx context.Context, s *sess) { s.SetOwner("") }).Header().Get("X-Auth-Token"); calls != "" {
		t.Error("nobody's empty session was stored")
	}
}

// flat is a type that is compared without its encoding.
type flat struct {
	Role  string
	Views int
}

func TestUpdateThatUndoesWhatWasNotSaved(t *testing.T) {
	a := newApp(t, nil)
	token := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Role = "user" })
	a.request(token, func(ctx context.Context, s *sess) {
		s.Data.Role = "admin"
		if err := s.Update(ctx, func(d *account) error { d.Role = "user"; return nil }); err != nil || s.Data.Role != "user" {
			t.Errorf("%v, %+v", err, s.Data)
		}
	})
	if data, _, _ := a.stored(t, token); data.Role != "user" {
		t.Errorf("stored %+v", data)
	}
	m := session.New[flat](a.store, nil)
	s := m.Start()
	s.Data.Role = "user"
	if err := s.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Data.Role = "admin"
	if err := s.Update(t.Context(), func(d *flat) error { d.Role = "user"; return nil }); err != nil || s.Data.Role != "user" {
		t.Errorf("%v, %+v", err, s.Data)
	}
}

func TestApplicationTokenUsedAgain(t *testing.T) {
	const chosen = "0123456789-the-application-made-this"
	ctx := context.Background()
	t.Run("a request of the session before has no part in the next", func(t *testing.T) {
		a := newApp(t, nil)
		first := a.Start()
		if err := first.ResetToken(ctx, chosen); err != nil {
			t.Fatal(err)
		}
		late := a.load(t, chosen)
		late.Data.Note = "of the first"
		if err := first.Destroy(ctx); err != nil {
			t.Fatal(err)
		}
		if err := a.Start().ResetToken(ctx, chosen); err != nil {
			t.Fatal(err)
		}
		if err := late.Save(ctx); !errors.Is(err, session.ErrGone) {
			t.Errorf("Save: %v", err)
		}
		if data, _, ok := a.stored(t, chosen); !ok || data.Note != "" {
			t.Errorf("%v %+v", ok, data)
		}
	})
	t.Run("after Destroy in one request", func(t *testing.T) {
		a := newApp(t, nil)
		s := a.Start()
		for range 2 {
			if err := s.ResetToken(ctx, chosen); err != nil {
				t.Fatal(err)
			}
			if _, _, ok := a.stored(t, chosen); !ok {
				t.Fatal("the session is gone")
			}
			if err := s.Destroy(ctx); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("after an answer was lost", func(t *testing.T) {
		a := newApp(t, nil)
		token := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Note = "old" })
		s := a.load(t, token)
		a.store.set(nil, map[string]error{"Create": errDown})
		if err := s.ResetToken(ctx, chosen); !errors.Is(err, errDown) || s.Token() != token || s.Data.Note != "old" {
			t.Fatal(err)
		}
		a.store.set(nil, nil)
		if err := a.Start().ResetToken(ctx, chosen); !errors.Is(err, tokensession.ErrExists) {
			t.Errorf("another's: %v", err)
		}
		if err := s.ResetToken(ctx, chosen); err != nil {
			t.Errorf("again: %v", err)
		}
		s.Data.Views = 1
		if err := s.Save(ctx); err != nil {
			t.Error(err)
		}
		if data, _, ok := a.stored(t, chosen); !ok || data.Views != 1 {
			t.Errorf("%v %+v", ok, data)
		}
	})
}

func TestResetTokenAgainTakesNobodysSession(t *testing.T) {
	const chosen = "0123456789-the-application-made-this"
	for name, use := range map[string]step{
		"with an owner": func(ctx context.Context, s *sess) { s.SetOwner("bob") },
		"with data":     func(ctx context.Context, s *sess) { s.Data.Views = 7 },
		"renewed":       func(ctx context.Context, s *sess) { s.Renew(ctx, time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			a := newApp(t, nil)
			s := a.Start()
			a.store.set(nil, map[string]error{"Create": errDown})
			if err := s.ResetToken(t.Context(), chosen); !errors.Is(err, errDown) {
				t.Fatal(err)
			}
			a.store.set(nil, nil)
			if w := a.request(chosen, use); w.Code != 200 {
				t.Fatal(w.Code)
			}
			before, owner, _ := a.stored(t, chosen)
			for range 2 {
				if err := s.ResetToken(t.Context(), chosen); !errors.Is(err, tokensession.ErrExists) {
					t.Errorf("again: %v", err)
				}
			}
			if data, now, ok := a.stored(t, chosen); !ok || now != owner || data.Views != before.Views {
				t.Errorf("%v, owner %q, %+v", ok, now, data)
			}
		})
	}
}

func TestResetTokenAgainAfterAnOutage(t *testing.T) {
	const chosen = "0123456789-the-application-made-this"
	a := newApp(t, nil)
	token := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Note = "old" })
	s := a.load(t, token)
	a.store.set(map[string]error{"Delete": errDown}, nil)
	for range 2 {
		if err := s.ResetToken(t.Context(), chosen); !errors.Is(err, errDown) || s.Token() != token || s.Data.Note != "old" {
			t.Fatalf("while nothing can be deleted: %v, %+v", err, s.Data)
		}
	}
	a.store.set(nil, nil)
	if err := s.ResetToken(t.Context(), chosen); err != nil || s.Token() != chosen {
		t.Fatalf("again: %v", err)
	}
	s.Data.Views = 1
	if err := s.Save(t.Context()); err != nil {
		t.Error(err)
	}
	if data, _, ok := a.stored(t, chosen); !ok || data.Views != 1 {
		t.Errorf("%v %+v", ok, data)
	}
	if _, _, ok := a.stored(t, token); ok {
		t.Error("the old session is still there")
	}
}

func TestResetTokenAgainWhenItCannotBeTold(t *testing.T) {
	const chosen = "0123456789-the-application-made-this"
	a := newApp(t, nil)
	s := a.Start()
	a.store.set(nil, map[string]error{"Create": errDown})
	if err := s.ResetToken(t.Context(), chosen); !errors.Is(err, errDown) {
		t.Fatal(err)
	}
	a.store.set(map[string]error{"Get": errDown}, nil)
	if err := s.ResetToken(t.Context(), chosen); !errors.Is(err, errDown) {
		t.Errorf("when nothing can be read: %v", err)
	}
	a.store.set(nil, nil)
	if err := s.ResetToken(t.Context(), chosen); err != nil || s.Token() != chosen {
		t.Errorf("again: %v", err)
	}
}

func TestRenewWhoseAnswerWasLost(t *testing.T) {
	a := newApp(t, nil)
	old := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Views = 1 })
	for name, again := range map[string]func(context.Context, *sess) error{
		"Renew": func(ctx context.Context, s *sess) error { return s.Renew(ctx, 0) },
		"Save":  func(ctx context.Context, s *sess) error { s.Data.Views++; return s.Save(ctx) },
	} {
		w := a.request(old, func(ctx context.Context, s *sess) {
			a.store.set(nil, map[string]error{"Update": errDown})
			if err := s.Renew(ctx, 0); !errors.Is(err, errDown) {
				t.Fatal(err)
			}
			a.store.set(nil, nil)
			if err := again(ctx, s); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
		token := w.Header().Get("X-Auth-Token")
		if _, _, ok := a.stored(t, token); !ok || token == old {
			t.Fatalf("%s: the client has no token that opens its session", name)
		}
		if _, _, ok := a.stored(t, old); ok {
			t.Errorf("%s: the old token still opens the session", name)
		}
		old = token
	}
}

func TestRenewThatFailsRepeatedly(t *testing.T) {
	t.Run("its first try has landed", func(t *testing.T) {
		a := newApp(t, nil)
		old := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Views = 1 })
		token := a.given(old, func(ctx context.Context, s *sess) {
			for _, fail := range []func(){
				func() { a.store.set(nil, map[string]error{"Update": errDown}) },
				func() { a.store.set(map[string]error{"Update": errDown}, nil) },
			} {
				fail()
				if err := s.Renew(ctx, 0); !errors.Is(err, errDown) {
					t.Fatal(err)
				}
			}
			a.store.set(nil, nil)
			if err := s.Renew(ctx, 0); err != nil {
				t.Error(err)
			}
		})
		if _, _, ok := a.stored(t, token); !ok || token == old {
			t.Error("the client has no token that opens its session")
		}
	})
	t.Run("another's has landed", func(t *testing.T) {
		a := newApp(t, nil)
		old := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Views = 1 })
		var theirs string
		w := a.request(old, func(ctx context.Context, s *sess) {
			a.store.set(map[string]error{"Update": errDown}, nil)
			if err := s.Renew(ctx, 0); !errors.Is(err, errDown) {
				t.Fatal(err)
			}
			a.store.set(nil, nil)
			theirs = a.given(old, renewing(t, 0))
			s.Data.Views = 2
			if err := s.Save(ctx); !errors.Is(err, session.ErrGone) {
				t.Errorf("Save: %v", err)
			}
		})
		if data, _, ok := a.stored(t, theirs); !ok || data.Views != 1 || w.Header()["X-Auth-Token"] != nil {
			t.Errorf("%v, %+v; answered with %v", ok, data, w.Header())
		}
	})
}

func TestMergeThatFailsIsNoOutage(t *testing.T) {
	for _, open := range []bool{false, true} {
		a := newApp(t, &session.Options[account]{FailOpen: open, Merge: func(base, mine, theirs *account) error { return errors.New("no") }})
		token := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Views = 1 })
		w := a.request(token, a.during(token,
			func(ctx context.Context, s *sess) { s.Data.Views = 2 },
			func(ctx context.Context, s *sess) { s.Data.Views = 3 }))
		if w.Code != 500 {
			t.Errorf("FailOpen %v: status %d", open, w.Code)
		}
	}
}

func TestRejectKnowsItsOwnWrite(t *testing.T) {
	a := newApp(t, &session.Options[account]{Merge: session.Reject[account]})
	token := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Views = 1 })
	w := a.request(token, func(ctx context.Context, s *sess) {
		s.Data.Views = 2
		a.store.set(nil, map[string]error{"Update": errDown})
		if err := s.Save(ctx); !errors.Is(err, errDown) {
			t.Error(err)
		}
		a.store.set(nil, nil)
	})
	if data, _, _ := a.stored(t, token); w.Code != 200 || data.Views != 2 {
		t.Errorf("status %d, %+v", w.Code, data)
	}
}

// A token that is in force reaches the client also with an error.
func TestErrorCarriesTheTokenThatIsInForce(t *testing.T) {
	a := newApp(t, nil)
	old := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Views = 1 })
	w := a.request(old, func(ctx context.Context, s *sess) {
		if err := s.Renew(ctx, 0); err != nil {
			t.Fatal(err)
		}
		s.Data.Views = 2
		a.store.set(map[string]error{"Update": errDown}, nil)
	})
	a.store.set(nil, nil)
	if _, _, ok := a.stored(t, w.Header().Get("X-Auth-Token")); !ok || w.Code != 503 {
		t.Errorf("status %d, %v", w.Code, w.Header())
	}
}

func TestRenewOfAnEmptySessionTakesOverWhatOthersStore(t *testing.T) {
	a := newApp(t, nil)
	old := a.begin(t, func(ctx context.Context, s *sess) { s.Token() })
	w := a.request(old, func(ctx context.Context, s *sess) {
		a.request(old, func(ctx context.Context, s *sess) { s.Data.Note = "theirs" })
		if err := s.Renew(ctx, 0); err != nil {
			t.Error(err)
		}
	})
	if data, _, ok := a.stored(t, w.Header().Get("X-Auth-Token")); !ok || data.Note != "theirs" {
		t.Errorf("%v %+v", ok, data)
	}
}

func TestErrorsOfTheCodecShowNoData(t *testing.T) {
	a := newApp(t, nil)
	type before struct{ Note, Views string }
	type after struct{ Note time.Time }
	m := session.New[before](a.store, nil)
	s := m.Start()
	s.Data = before{"secret-note", "secret-views"}
	if err := s.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, mismatch := a.Load(t.Context(), s.Token())
	_, parse := session.New[after](a.store, nil).Load(t.Context(), s.Token())
	for _, err := range []error{mismatch, parse} {
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v", err)
		}
	}
	if !strings.Contains(mismatch.Error(), `"Views"`) {
		t.Errorf("it does not say which field: %v", mismatch)
	}
}

func TestTokenAskedForWhileTheHeaderGoesOut(t *testing.T) {
	a := newApp(t, nil)
	for range 300 {
		var token string
		a.serve(a.newRequest(""), func(w http.ResponseWriter, r *http.Request) {
			s := a.Get(r.Context())
			var asking sync.WaitGroup
			asking.Go(func() { token = s.Token() })
			w.Write([]byte("x"))
			asking.Wait()
		})
		if token == "" {
			continue
		}
		if _, _, ok := a.stored(t, token); !ok {
			t.Fatal("a token was given that opens nothing")
		}
	}
}

func TestLongestLifetimeWithAClockThatIsAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t, &session.Options[account]{IdleTimeout: tokensession.Forever, Lifetime: tokensession.MaxTTL})
		time.Sleep(2 * time.Second)
		s := a.Start() // as if by a machine 2 s ahead
		s.Data.Views = 1
		if err := s.Save(t.Context()); err != nil {
			t.Fatal(err)
		}
		rec, err := a.store.Get(t.Context(), s.ID())
		if err != nil {
			t.Fatal(err)
		}
		future := time.Now().Add(2 * time.Second).UnixMilli()
		_, tail, _ := strings.Cut(string(rec.Data), " epoch=")
		rec.Data = []byte("ts1 created=" + strconv.FormatInt(future, 10) + " epoch=" + tail)
		if _, err := a.store.Update(t.Context(), s.ID(), rec); err != nil {
			t.Fatal(err)
		}
		w := a.request(s.Token(), func(ctx context.Context, s *sess) { s.Data.Views = 2 })
		if data, _, _ := a.stored(t, s.Token()); w.Code != 200 || data.Views != 2 {
			t.Errorf("status %d, %+v", w.Code, data)
		}
	})
}

func TestSetTokenReplacesTheCookie(t *testing.T) {
	a := newApp(t, &session.Options[account]{Transport: session.Cookie(session.CookieOptions{})})
	s := a.Start()
	s.Save(t.Context())
	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(&http.Cookie{Name: "other", Value: "stays"})
	a.SetToken(r, a.Start().Token())
	a.SetToken(r, s.Token())
	a.serve(r, func(w http.ResponseWriter, r *http.Request) {
		if got := a.Get(r.Context()); got.IsNew() || len(r.Cookies()) != 2 {
			t.Errorf("new: %v, %d cookies", got.IsNew(), len(r.Cookies()))
		}
	})
}
