package session_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/session"
)

func TestTransports(t *testing.T) {
	cookieOf := func(w *httptest.ResponseRecorder) string {
		for _, c := range w.Result().Cookies() {
			return c.Value
		}
		return ""
	}
	headerOf := func(name string) func(*httptest.ResponseRecorder) string {
		return func(w *httptest.ResponseRecorder) string { return w.Header().Get(name) }
	}
	for name, tt := range map[string]struct {
		session.Transport
		read  func(*httptest.ResponseRecorder) string
		write func(*http.Request, string)
	}{
		"default": {nil, headerOf("X-Auth-Token"), func(r *http.Request, token string) { r.Header.Set("x-auth-token", token) }},
		"header":  {session.Header("x-my"), headerOf("X-My"), func(r *http.Request, token string) { r.Header.Set("X-MY", token) }},
		"bearer":  {session.Bearer(), headerOf("X-Auth-Token"), func(r *http.Request, token string) { r.Header.Set("Authorization", "bEARER  "+token) }},
		"cookie":  {session.Cookie(session.CookieOptions{}), cookieOf, func(r *http.Request, token string) { r.Header.Set("Cookie", "a=b; __Host-session="+token) }},
		"quoted": {session.Cookie(session.CookieOptions{}), cookieOf, func(r *http.Request, token string) {
			r.Header.Set("Cookie", `__host-session=no; __Host-session2=no;__Host-session="`+token+`"; __Host-session=late`)
		}},
		"second line":   {session.Cookie(session.CookieOptions{}), cookieOf, func(r *http.Request, token string) { r.Header["Cookie"] = []string{"x", "__Host-session=" + token} }},
		"first, none":   {session.First(session.Bearer(), session.Header("X-B")), headerOf("X-Auth-Token"), func(r *http.Request, token string) { r.Header.Set("X-B", token) }},
		"first, nested": {session.First(session.First(session.Header("X-A")), session.Header("X-B")), headerOf("X-A"), func(r *http.Request, token string) { r.Header.Set("X-B", token) }},
	} {
		t.Run(name, func(t *testing.T) {
			a := newApp(t, &session.Options[account]{Transport: tt.Transport})
			token := tt.read(a.request("", func(ctx context.Context, s *session.Session[account]) { s.Data.Views = 1 }))
			a.keep(token)
			for _, put := range []func(*http.Request, string){tt.write, a.SetToken} {
				r := a.newRequest("")
				put(r, token)
				a.serve(r, func(w http.ResponseWriter, r *http.Request) {
					if s := a.Get(r.Context()); s.Data.Views != 1 || s.Token() != token {
						t.Errorf("got %+v", s.Data)
					}
				})
			}
		})
	}
}

func TestFirstTokenDecidesEvenIfItIsDead(t *testing.T) {
	a := newApp(t, &session.Options[account]{Transport: session.First(session.Header("X-A"), session.Header("X-B"))})
	token := a.request("", func(ctx context.Context, s *session.Session[account]) { s.Data.Views = 1 }).Header().Get("X-A")
	for _, dead := range []string{a.Start().Token(), "malformed"} {
		r := a.newRequest("")
		r.Header.Set("X-A", dead)
		r.Header.Set("X-B", token)
		a.serve(r, func(w http.ResponseWriter, r *http.Request) {
			if s := a.Get(r.Context()); !s.IsNew() {
				t.Error("a later token was used")
			}
		})
	}
	r := a.newRequest("")
	r.Header.Set("X-B", token)
	w := a.serve(r, func(w http.ResponseWriter, r *http.Request) { a.Get(r.Context()).Renew(r.Context(), 0) })
	if w.Header().Get("X-B") == "" || w.Header().Get("X-A") != "" {
		t.Errorf("the answer did not go back the way the token came: %v", w.Header())
	}
}

func TestCookieAttributes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct {
			o        session.CookieOptions
			lifetime time.Duration
			want     string // with TOKEN in place of the token
		}{
			{session.CookieOptions{}, 0, "__Host-session=TOKEN; Path=/; Max-Age=2592000; HttpOnly; Secure; SameSite=Lax"},
			{session.CookieOptions{}, tokensession.Forever, "__Host-session=TOKEN; Path=/; Max-Age=34560000; HttpOnly; Secure; SameSite=Lax"},
			{session.CookieOptions{Name: "s", Insecure: true, SameSite: http.SameSiteStrictMode}, time.Hour, "s=TOKEN; Path=/; Max-Age=3600; HttpOnly; SameSite=Strict"},
			{session.CookieOptions{Name: "__Secure-s", Domain: "example.com", Path: "/app", SameSite: http.SameSiteNoneMode, Partitioned: true}, time.Minute,
				"__Secure-s=TOKEN; Path=/app; Domain=example.com; Max-Age=60; HttpOnly; Secure; SameSite=None; Partitioned"},
		} {
			a := newApp(t, &session.Options[account]{Transport: session.Cookie(tt.o), Lifetime: tt.lifetime})
			var token string
			w := a.request("", func(ctx context.Context, s *session.Session[account]) { token = s.Token() })
			a.keep(token)
			if got := w.Header()["Set-Cookie"]; len(got) != 1 || got[0] != strings.Replace(tt.want, "TOKEN", token, 1) {
				t.Errorf("got  %v\nwant %s", got, tt.want)
			}
			w = a.request(token, func(ctx context.Context, s *session.Session[account]) {
				time.Sleep(20 * time.Second)
				s.Renew(ctx, 0)
				token = s.Token()
			})
			if got := w.Header().Get("Set-Cookie"); tt.lifetime == time.Minute && !strings.Contains(got, "Max-Age=40;") {
				t.Errorf("with 40 s of the lifetime left: %s", got)
			}
			w = a.request(token, func(ctx context.Context, s *session.Session[account]) { s.Destroy(ctx) })
			name, _, _ := strings.Cut(tt.want, "=")
			if got := w.Header().Get("Set-Cookie"); !strings.HasPrefix(got, name+"=;") || !strings.Contains(got, "Max-Age=0") {
				t.Errorf("after Destroy: %s", got)
			}
		}
	})
}

func TestDeadCookieIsNotCleared(t *testing.T) {
	a := newApp(t, &session.Options[account]{Transport: session.Cookie(session.CookieOptions{})})
	w := a.request(a.Start().Token(), func(ctx context.Context, s *session.Session[account]) {})
	if w.Header()["Set-Cookie"] != nil {
		t.Errorf("a newer login's cookie could be deleted: %v", w.Header())
	}
}

func TestCrossOriginRequests(t *testing.T) {
	a := newApp(t, &session.Options[account]{Transport: session.First(session.Header("X-A"),
		session.Cookie(session.CookieOptions{TrustedOrigins: []string{"https://friend.example"}}))})
	var token string
	a.request("", func(ctx context.Context, s *session.Session[account]) { token = s.Token() })
	for name, tt := range map[string]struct {
		method, origin, via string
		want                int
	}{
		"cookie, unsafe, same origin":       {"POST", "https://example.com", "cookie", 200},
		"cookie, unsafe, trusted origin":    {"POST", "https://friend.example", "cookie", 200},
		"cookie, unsafe, another origin":    {"POST", "https://evil.example", "cookie", 403},
		"cookie, unsafe, no browser":        {"DELETE", "", "cookie", 200},
		"cookie, safe, another origin":      {"GET", "https://evil.example", "cookie", 200},
		"header, unsafe, another origin":    {"POST", "https://evil.example", "header", 200},
		"no token, unsafe, another origin":  {"POST", "https://evil.example", "", 200},
		"dead cookie, unsafe, other origin": {"POST", "https://evil.example", "dead", 403},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(tt.method, "https://example.com/", nil)
			if tt.origin != "" {
				r.Header.Set("Origin", tt.origin)
			}
			switch tt.via {
			case "cookie":
				r.AddCookie(&http.Cookie{Name: "__Host-session", Value: token})
			case "dead":
				r.AddCookie(&http.Cookie{Name: "__Host-session", Value: a.Start().Token()})
			case "header":
				r.Header.Set("X-A", token)
			}
			ran := false
			w := a.serve(r, func(w http.ResponseWriter, r *http.Request) { ran = true })
			if w.Code != tt.want || ran != (tt.want == 200) {
				t.Errorf("status %d, want %d; the handler ran: %v", w.Code, tt.want, ran)
			}
		})
	}
}
