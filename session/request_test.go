package session_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/session"
)

func TestClientsHaveSessionsOfTheirOwn(t *testing.T) {
	a := newApp(t, nil)
	one := a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.Data.Name = "one" })
	two := a.begin(t, func(ctx context.Context, s *session.Session[account]) {
		if s.Data.Name != "" {
			t.Errorf("the second client got %+v", s.Data)
		}
		s.Data.Name = "two"
	})
	for token, want := range map[string]string{one: "one", two: "two"} {
		if data, _, _ := a.stored(t, token); data.Name != want {
			t.Errorf("the session of %s: %+v", want, data)
		}
	}
}

func TestRequestWithAnEmptyURL(t *testing.T) {
	for name, transport := range map[string]session.Transport{"header": nil, "cookie": session.Cookie(session.CookieOptions{})} {
		a := newApp(t, &session.Options[account]{Transport: transport})
		r := a.newRequest("")
		r.URL, r.RequestURI = new(url.URL), ""
		w := a.serve(r, func(w http.ResponseWriter, r *http.Request) { a.Get(r.Context()).Data.Views++ })
		if len(w.Header()["X-Auth-Token"])+len(w.Result().Cookies()) != 1 || w.Code != 200 {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
	}
}

func TestTokenThatOpensNothingBeginsAnotherSession(t *testing.T) {
	for name, spoil := range map[string]func(*app, string) string{
		"destroyed": func(a *app, token string) string {
			a.request(token, func(ctx context.Context, s *session.Session[account]) { s.Destroy(ctx) })
			return token
		},
		"expired":        func(a *app, token string) string { time.Sleep(25 * time.Hour); return token },
		"another secret": func(a *app, token string) string { return token[:25] + strings.Repeat("A", 43) },
		"another id":     func(a *app, token string) string { return strings.Repeat("A", 24) + token[24:] },
		"never stored":   func(a *app, token string) string { return a.Start().Token() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newApp(t, nil)
				token := spoil(a, a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.Data.Views = 1 }))
				w := a.request(token, func(ctx context.Context, s *session.Session[account]) {
					if !s.IsNew() || s.Data.Views != 0 || s.ID() == token[:24] {
						t.Errorf("got %v, new %v, %+v", s, s.IsNew(), s.Data)
					}
					s.Data.Views = 10
				})
				other := w.Header().Get("X-Auth-Token")
				if data, _, ok := a.stored(t, other); !ok || data.Views != 10 || other[:24] == token[:24] {
					t.Errorf("%v %+v", ok, data)
				}
				if _, err := a.store.Get(t.Context(), token[:24]); name != "another secret" && !errors.Is(err, tokensession.ErrNotFound) {
					t.Errorf("under the old id: %v", err)
				}
			})
		})
	}
}

// Whether TLS ends here or before a proxy is for the configuration to say: headers can
// be forged.
func TestCookieDoesNotDependOnHowTheRequestCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // Max-Age is a time
		for _, o := range []session.CookieOptions{{}, {Name: "s", Insecure: true}} {
			a := newApp(t, &session.Options[account]{Transport: session.Cookie(o)})
			for name, change := range map[string]func(*http.Request){
				"plain":              func(r *http.Request) {},
				"TLS":                func(r *http.Request) { r.TLS = new(tls.ConnectionState) },
				"forwarded TLS":      func(r *http.Request) { r.Header.Set("X-Forwarded-Proto", "https") },
				"forwarded, a list":  func(r *http.Request) { r.Header.Set("X-Forwarded-Proto", "https,http") },
				"forwarded plain":    func(r *http.Request) { r.Header.Set("X-Forwarded-Proto", "http"); r.TLS = new(tls.ConnectionState) },
				"by RFC 7239":        func(r *http.Request) { r.Header.Set("Forwarded", "proto=https;host=example.org") },
				"another host, path": func(r *http.Request) { r.Host, r.URL.Path = "example.org", "/foo/bar" },
			} {
				r := a.newRequest("")
				change(r)
				var token string
				w := a.serve(r, func(w http.ResponseWriter, r *http.Request) { token = a.Get(r.Context()).Token() })
				a.keep(token)
				want := "__Host-session=TOKEN; Path=/; Max-Age=2592000; HttpOnly; Secure; SameSite=Lax"
				if o.Insecure {
					want = "s=TOKEN; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax"
				}
				if got := strings.Join(w.Header()["Set-Cookie"], "\n"); got != strings.Replace(want, "TOKEN", token, 1) {
					t.Errorf("%s: %s", name, got)
				}
			}
		}
	})
}

func TestEmptySessionBeginsOnlyIfAskedTo(t *testing.T) {
	for name, tt := range map[string]struct {
		do     step
		begins bool
	}{
		"Get alone": {func(ctx context.Context, s *session.Session[account]) {}, false},
		"accessors": {func(ctx context.Context, s *session.Session[account]) { s.ID(); s.Owner(); s.IsNew() }, false},
		"Touch":     {func(ctx context.Context, s *session.Session[account]) { s.Touch(ctx) }, false},
		"Reload":    {func(ctx context.Context, s *session.Session[account]) { s.Reload(ctx) }, false},
		"Update without effect": {func(ctx context.Context, s *session.Session[account]) {
			s.Update(ctx, func(*account) error { return nil })
		}, false},
		"a change that is undone": {func(ctx context.Context, s *session.Session[account]) { s.Data.Views++; s.Data.Views-- }, false},
		"Token":                   {func(ctx context.Context, s *session.Session[account]) { s.Token() }, true},
		"Save":                    {func(ctx context.Context, s *session.Session[account]) { s.Save(ctx) }, true},
		"SetOwner":                {func(ctx context.Context, s *session.Session[account]) { s.SetOwner("bob") }, true},
		"Reset":                   {func(ctx context.Context, s *session.Session[account]) { s.Reset(ctx) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			a := newApp(t, nil)
			token := a.request("", tt.do).Header().Get("X-Auth-Token")
			if _, _, ok := a.stored(t, token); ok != tt.begins || (token != "") != tt.begins {
				t.Errorf("stored %v, want %v; calls %s", ok, tt.begins, a.store.calls())
			}
			want := "map[]"
			if tt.begins {
				want = "map[Create:1 Get:1]" // the Get is the test's
			}
			if got := a.store.calls(); got != want {
				t.Errorf("calls %s, want %s", got, want)
			}
		})
	}
}

func TestChangeDeepInDataIsSaved(t *testing.T) {
	a := newApp(t, nil)
	token := a.begin(t, func(ctx context.Context, s *session.Session[account]) {
		s.Data.Cart, s.Data.Tags = map[string]int{"cookie": 1}, []string{"a", "b"}
	})
	a.request(token, func(ctx context.Context, s *session.Session[account]) {
		s.Data.Cart["cookie"]++
		s.Data.Tags[1] = "c"
	})
	if data, _, _ := a.stored(t, token); data.Cart["cookie"] != 2 || data.Tags[1] != "c" {
		t.Errorf("%+v", data)
	}
}

func TestDestroyTellsOnlyAClientThatCameWithAToken(t *testing.T) {
	for name, transport := range map[string]session.Transport{"header": nil, "cookie": session.Cookie(session.CookieOptions{})} {
		a := newApp(t, &session.Options[account]{Transport: transport})
		for _, saved := range []bool{false, true} {
			w := a.request("", func(ctx context.Context, s *session.Session[account]) {
				s.Data.Views = 1
				if saved {
					if err := s.Save(ctx); err != nil {
						t.Error(err)
					}
				}
				if err := s.Destroy(ctx); err != nil {
					t.Error(err)
				}
			})
			if w.Header()["X-Auth-Token"] != nil || w.Header()["Set-Cookie"] != nil || w.Header().Get("Cache-Control") != "" {
				t.Errorf("%s, saved %v: a newer login's token could be deleted: %v", name, saved, w.Header())
			}
		}
		for _, token := range []string{a.Start().Token(), "malformed"} {
			w := a.request(token, func(ctx context.Context, s *session.Session[account]) { s.Destroy(ctx) })
			if len(w.Header()["X-Auth-Token"])+len(w.Header()["Set-Cookie"]) != 1 {
				t.Errorf("%s: a logout with a dead token: %v", name, w.Header())
			}
		}
	}
}

func TestStoreThatAnswersAgain(t *testing.T) {
	for _, open := range []bool{false, true} {
		a := newApp(t, &session.Options[account]{FailOpen: open})
		token := a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.Data.Views = 1 })
		a.store.set(map[string]error{"Get": errDown}, nil)
		a.request(token, func(ctx context.Context, s *session.Session[account]) {
			if s.Data.Views != 0 || !open {
				t.Errorf("during the outage: %+v", s.Data)
			}
		})
		a.store.set(nil, nil)
		w := a.request(token, func(ctx context.Context, s *session.Session[account]) {
			if s.Data.Views != 1 {
				t.Errorf("after the outage: %+v", s.Data)
			}
		})
		if w.Code != 200 {
			t.Errorf("status %d", w.Code)
		}
	}
}

func TestReload(t *testing.T) {
	a := newApp(t, nil)
	token := a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.Data.Name = "stored" })
	a.request(token, func(ctx context.Context, s *session.Session[account]) {
		s.Data.Name, s.Data.Note = "mine", "forgotten"
		s.SetOwner("me")
		a.request(token, func(ctx context.Context, s *session.Session[account]) { s.Data.Name = "theirs" })
		if err := s.Reload(ctx); err != nil || s.Data.Name != "theirs" || s.Data.Note != "" || s.Owner() != "" {
			t.Errorf("%v, %+v of %q", err, s.Data, s.Owner())
		}
	})
	if data, owner, _ := a.stored(t, token); data.Name != "theirs" || data.Note != "" || owner != "" {
		t.Errorf("%+v of %q", data, owner)
	}
	a.request(token, func(ctx context.Context, s *session.Session[account]) {
		s.Data.Note = "mine"
		a.request(token, func(ctx context.Context, s *session.Session[account]) { s.Destroy(ctx) })
		for range 20 {
			if err := s.Reload(ctx); !errors.Is(err, session.ErrGone) {
				t.Errorf("after a logout elsewhere: %v", err)
			}
		}
	})
	if _, _, ok := a.stored(t, token); ok {
		t.Error("the session has come back")
	}
}

func TestOwnerThatIsTakenBackBeginsNoSession(t *testing.T) {
	for name, takeBack := range map[string]step{
		"Reload": func(ctx context.Context, s *sess) {
			if err := s.Reload(ctx); err != nil {
				t.Error(err)
			}
		},
		"SetOwner": func(ctx context.Context, s *sess) { s.SetOwner("") },
	} {
		a := newApp(t, nil)
		w := a.request("", func(ctx context.Context, s *sess) { s.SetOwner("bob"); takeBack(ctx, s) })
		if n := a.store.count("Create"); n != 0 || w.Header().Get("X-Auth-Token") != "" {
			t.Errorf("%s: %d stored, %v", name, n, w.Header())
		}
	}
}

func TestSaveInTheHandlerLeavesNothingToTheEnd(t *testing.T) {
	for name, reload := range map[string]bool{"": false, "reloaded": true} {
		a := newApp(t, nil)
		token := a.begin(t, func(ctx context.Context, s *session.Session[account]) {
			s.Data.Views = 1
			if err := s.Save(ctx); err != nil || s.IsNew() {
				t.Errorf("%v, new %v", err, s.IsNew())
			}
			if data, _, ok := a.stored(t, s.Token()); !ok || data.Views != 1 {
				t.Errorf("after Save: %v %+v", ok, data)
			}
		})
		a.request(token, func(ctx context.Context, s *session.Session[account]) {
			if reload {
				s.Reload(ctx)
			}
			s.Data.Views = 2
			if err := s.Save(ctx); err != nil {
				t.Error(err)
			}
		})
		gets := 2
		if reload {
			gets = 3
		}
		if got, want := a.store.calls(), fmt.Sprintf("map[Create:1 Get:%d Update:1]", gets); got != want {
			t.Errorf("%s: calls %s, want %s", name, got, want)
		}
	}
}

func TestHeaderWrittenTwice(t *testing.T) {
	for _, protocol := range protocols {
		a := newApp(t, nil)
		server := start(t, protocol, a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a.Get(r.Context()).Data.Views++
			w.WriteHeader(http.StatusAccepted)
			w.WriteHeader(http.StatusTeapot)
			fmt.Fprint(w, "body")
			w.WriteHeader(http.StatusTeapot)
		})))
		resp := a.send(t, server, "GET", "/", "")
		if body := readAll(t, resp.Body); resp.StatusCode != http.StatusAccepted || body != "body" || len(resp.Header["X-Auth-Token"]) != 1 {
			t.Errorf("%d %q %v", resp.StatusCode, body, resp.Header)
		}
		server.Close()
		if got := a.store.calls(); got != "map[Create:1]" {
			t.Errorf("calls %s", got)
		}
	}
}
