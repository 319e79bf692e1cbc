package session_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensession/tokensession/session"
)

// renewing is a request that renews the token.
func renewing(t *testing.T, grace time.Duration) step {
	return func(ctx context.Context, s *sess) {
		t.Helper()
		if err := s.Renew(ctx, grace); err != nil {
			t.Error(err)
		}
	}
}

// given is the token that the answer to a request carries.
func (a *app) given(token string, do step) string {
	return a.request(token, do).Header().Get("X-Auth-Token")
}

func looking(context.Context, *sess) {}

func TestRenewWithGrace(t *testing.T) {
	a := newApp(t, nil)
	old := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Views = 1; s.SetOwner("bob") })
	w := a.request(old, func(ctx context.Context, s *sess) {
		s.Data.Role = "admin"
		renewing(t, time.Minute)(ctx, s)
		if s.ID() != old[:24] || s.Token() == old {
			t.Errorf("ID %v; the token is new: %v", s, s.Token() != old)
		}
	})
	token := w.Header().Get("X-Auth-Token")
	if token == "" || token == old || w.Header().Get("Cache-Control") != "no-store" {
		t.Fatalf("answered with %q, %v", token, w.Header())
	}
	for range 3 {
		w := a.request(old, func(ctx context.Context, s *sess) {
			if s.Token() != token || s.IsNew() || s.Owner() != "bob" || s.Data.Role != "admin" {
				t.Errorf("with the former token: %v, new %v, owner %q, %+v", s, s.IsNew(), s.Owner(), s.Data)
			}
			s.Data.Views++
		})
		if got := w.Header().Get("X-Auth-Token"); got != token || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("the former token was answered with %q, want %q", got, token)
		}
	}
	if got := a.given(token, looking); got != "" {
		t.Errorf("the new token was answered with %q", got)
	}
	if s := a.load(t, old); s.Token() != token || s.Data.Views != 4 {
		t.Errorf("Load: %v, %+v", s.Token() == token, s.Data)
	}

	t.Run("nobody asks for the session", func(t *testing.T) {
		w := a.serve(a.newRequest(old), func(w http.ResponseWriter, r *http.Request) {})
		if got := w.Header().Get("X-Auth-Token"); got != token {
			t.Errorf("answered with %q", got)
		}
	})
	t.Run("a request in flight", func(t *testing.T) {
		var next string
		got := a.given(token, func(ctx context.Context, s *sess) {
			next = a.given(token, renewing(t, time.Minute))
			s.Data.Note = "in flight"
		})
		if data, _, _ := a.stored(t, token); got != next || data.Note != "in flight" {
			t.Errorf("answered with %q, want %q; %+v", got, next, data)
		}
	})
	t.Run("Reload", func(t *testing.T) {
		s := a.load(t, old)
		next := a.given(s.Token(), renewing(t, time.Minute))
		if err := s.Reload(t.Context()); err != nil || s.Token() != next {
			t.Errorf("%v; the new token: %v", err, s.Token() == next)
		}
	})
	t.Run("of a new session stores it", func(t *testing.T) {
		if _, _, ok := a.stored(t, a.given("", renewing(t, time.Minute))); !ok {
			t.Error("no session")
		}
	})
	t.Run("of a token of the application's", func(t *testing.T) {
		chosen := strings.Repeat("k", 40)
		a.request("", func(ctx context.Context, s *sess) { s.ResetToken(ctx, chosen) })
		next := a.given(chosen, renewing(t, time.Minute))
		if got := a.given(chosen, looking); got != next || next == "" {
			t.Errorf("answered with %q, want %q", got, next)
		}
	})
	t.Run("out of bounds", func(t *testing.T) {
		for _, grace := range []time.Duration{-1, 5*time.Minute + 1} {
			s := a.load(t, old)
			before := s.Token()
			if err := s.Renew(t.Context(), grace); err == nil || !strings.Contains(err.Error(), "0 to 5m0s") || s.Token() != before {
				t.Errorf("%v: %v", grace, err)
			}
		}
	})
	t.Run("of another manager", func(t *testing.T) {
		other := newAppOn(t, a.store, &session.Options[account]{Name: "other"})
		for _, token := range []string{old, token} {
			if _, _, ok := other.stored(t, token); ok {
				t.Error("a manager of another name opens the session")
			}
		}
	})
}

func TestFormerTokenInACookie(t *testing.T) {
	a := newApp(t, &session.Options[account]{Transport: session.Cookie(session.CookieOptions{})})
	cookie := func(token string, do step) string {
		for _, c := range a.request(token, do).Result().Cookies() {
			a.keep(c.Value)
			return c.Value
		}
		return ""
	}
	old := cookie("", func(ctx context.Context, s *sess) { s.Data.Views = 1 })
	next := cookie(old, renewing(t, time.Minute))
	if got := cookie(old, looking); got != next || next == "" || next == old {
		t.Errorf("answered with %q, want %q", got, next)
	}
	if got := cookie(next, looking); got != "" {
		t.Errorf("the new token was sent again: %q", got)
	}
}

// Eight clients count while one renews the token fifty times. It waits for the others after
// every fourth, so that none of them sends a token that is more than eight renewals old.
func TestUpdatesWhileTheTokenIsRenewed(t *testing.T) {
	const clients, renewals = 8, 50
	for name, via := range map[string]session.Transport{
		"header": session.Header("X-Auth-Token"),
		"cookie": session.Cookie(session.CookieOptions{Name: "session", Insecure: true}),
	} {
		t.Run(name, func(t *testing.T) {
			a := newApp(t, &session.Options[account]{Transport: via})
			mux := http.NewServeMux()
			handle := func(path string, do func(context.Context, *sess) error) {
				mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
					s := a.Get(r.Context())
					if s.IsNew() {
						http.Error(w, "logged out", http.StatusUnauthorized)
					} else if err := do(r.Context(), s); err != nil {
						http.Error(w, err.Error(), http.StatusInternalServerError)
					}
				})
			}
			handle("/count", func(ctx context.Context, s *sess) error {
				return s.Update(ctx, func(d *account) error { d.Views++; return nil })
			})
			handle("/renew", func(ctx context.Context, s *sess) error { return s.Renew(ctx, 5*time.Minute) })
			server := httptest.NewServer(a.Handler(mux))
			defer server.Close()

			begun := a.Start()
			if err := begun.Save(t.Context()); err != nil {
				t.Fatal(err)
			}
			renewer := newBrowser(t, a, server, begun.Token())
			answers := newPace(clients)
			var stop atomic.Bool
			var running sync.WaitGroup
			for i := range clients {
				browser := newBrowser(t, a, server, begun.Token())
				running.Go(func() {
					for !stop.Load() {
						browser.get("/count")
						answers.count(i)
					}
				})
			}
			for i := range renewals {
				renewer.get("/renew")
				if i%4 == 3 {
					answers.await()
				}
			}
			stop.Store(true)
			running.Wait()
			if data, _, ok := a.stored(t, renewer.token()); !ok || data.Views != answers.sum() {
				t.Errorf("%v, %d of %d", ok, data.Views, answers.sum())
			}
			if n := strings.Count(a.log.String(), "event=renewed"); n != renewals {
				t.Errorf("%d of %d renewals", n, renewals)
			}
		})
	}
}

// pace counts the answers that each client has had, so that one can wait for all.
type pace struct {
	mu      sync.Mutex
	changed *sync.Cond
	counted []int
}

func newPace(clients int) *pace {
	p := &pace{counted: make([]int, clients)}
	p.changed = sync.NewCond(&p.mu)
	return p
}

func (p *pace) count(client int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counted[client]++
	p.changed.Broadcast()
}

// await waits until each client has had two more answers: the first may be to a request
// from before.
func (p *pace) await() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for client, before := range slices.Clone(p.counted) {
		for p.counted[client] < before+2 {
			p.changed.Wait()
		}
	}
}

func (p *pace) sum() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, counted := range p.counted {
		n += counted
	}
	return n
}

// browser is a client that takes over the tokens that it is given.
type browser struct {
	t      *testing.T
	a      *app
	server *httptest.Server
	client *http.Client
	with   *http.Request // has the header
}

func newBrowser(t *testing.T, a *app, server *httptest.Server, token string) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{t, a, server, &http.Client{Jar: jar}, a.newRequest(token)}
	jar.SetCookies(b.request("/").URL, b.with.Cookies())
	return b
}

func (b *browser) request(path string) *http.Request {
	r, err := http.NewRequestWithContext(b.t.Context(), "GET", b.server.URL+path, nil)
	if err != nil {
		b.t.Error(err)
	}
	if header := b.with.Header.Get("X-Auth-Token"); header != "" {
		r.Header.Set("X-Auth-Token", header)
	}
	return r
}

func (b *browser) get(path string) {
	resp, err := b.client.Do(b.request(path))
	if err != nil {
		b.t.Error(err)
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		b.t.Errorf("%s: %s: %s", path, resp.Status, body)
	}
	if token := resp.Header.Get("X-Auth-Token"); token != "" {
		b.a.keep(token)
		b.with.Header.Set("X-Auth-Token", token)
	}
}

// token is what the next request will carry.
func (b *browser) token() string {
	for _, c := range b.client.Jar.Cookies(b.request("/").URL) {
		return c.Value
	}
	return b.with.Header.Get("X-Auth-Token")
}

func TestParallelRenewalsConverge(t *testing.T) {
	for name, allLoadFirst := range map[string]bool{"all have loaded the session": true, "as it comes": false} {
		t.Run(name, func(t *testing.T) {
			a := newApp(t, nil)
			old := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Name = "x" })
			const renewals = 6
			var loaded, running sync.WaitGroup
			loaded.Add(renewals)
			tokens := make([]string, renewals)
			for i := range renewals {
				running.Go(func() {
					tokens[i] = a.given(old, func(ctx context.Context, s *sess) {
						loaded.Done()
						if allLoadFirst {
							loaded.Wait()
						}
						if s.Data.Cart == nil {
							s.Data.Cart = map[string]int{}
						}
						s.Data.Cart[fmt.Sprint(i)] = i
						renewing(t, time.Minute)(ctx, s)
					})
				})
			}
			running.Wait()
			if different := slices.Compact(slices.Sorted(slices.Values(tokens))); len(different) != 1 || tokens[0] == "" || tokens[0] == old {
				t.Errorf("%d different answers: %q", len(different), different)
			}
			if data, _, ok := a.stored(t, tokens[0]); !ok || len(data.Cart) != renewals {
				t.Errorf("%v %+v", ok, data)
			}
			if n := strings.Count(a.log.String(), "event=renewed"); n != 1 {
				t.Errorf("it was renewed %d times", n)
			}
			if next := a.given(tokens[0], renewing(t, time.Minute)); next == "" || next == tokens[0] {
				t.Errorf("the new token is not renewed: %q", next)
			}
		})
	}
}

func TestRenewalAfterARenewalThatAnotherMade(t *testing.T) {
	a := newApp(t, nil)
	old := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Name = "x" })
	next := a.given(old, renewing(t, time.Minute))
	s := a.load(t, old)
	for i, want := range []bool{true, false} {
		if err := s.Renew(t.Context(), time.Minute); err != nil || (s.Token() == next) != want {
			t.Errorf("renewal %d: %v; the same token: %v", i, err, s.Token() == next)
		}
	}
	s = a.load(t, old)
	if err := s.Renew(t.Context(), 0); err != nil {
		t.Error(err)
	}
	for _, token := range []string{old, next} {
		if _, _, ok := a.stored(t, token); ok {
			t.Error("a former token outlives a Renew without grace")
		}
	}
	if _, _, ok := a.stored(t, s.Token()); !ok {
		t.Error("the new token opens nothing")
	}
}

func TestAnswerToARenewalWithGraceIsLost(t *testing.T) {
	a := newApp(t, nil)
	old := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Name = "x" })
	t.Run("on the way to the client", func(t *testing.T) {
		lost := a.given(old, renewing(t, time.Minute))
		if got := a.given(old, renewing(t, time.Minute)); got != lost {
			t.Errorf("the second answer is %q, the first was %q", got, lost)
		}
		old = lost
	})
	for name, again := range map[string]step{
		"Renew": renewing(t, time.Minute),
		"Save":  func(ctx context.Context, s *sess) { s.Data.Views++ },
		"nothing": func(ctx context.Context, s *sess) {
			if got := a.given(s.Token(), looking); got == "" || got == s.Token() {
				t.Errorf("the next request is answered with %q", got)
			}
			renewing(t, time.Minute)(ctx, s)
		},
	} {
		t.Run("on the way from the store, then "+name, func(t *testing.T) {
			token := a.given(old, func(ctx context.Context, s *sess) {
				a.store.set(nil, map[string]error{"Update": errDown})
				if err := s.Renew(ctx, time.Minute); !errors.Is(err, errDown) {
					t.Fatal(err)
				}
				a.store.set(nil, nil)
				again(ctx, s)
			})
			if got := a.given(old, looking); got != token || token == "" || token == old {
				t.Errorf("answered with %q, then %q", token, got)
			}
			if got := a.given(token, looking); got != "" {
				t.Errorf("the new token is answered with %q", got)
			}
			old = token
		})
	}
}

func TestGraceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t, nil)
		old := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Name = "x" })
		next := a.given(old, renewing(t, 2*time.Minute))
		for range 4 { // nothing makes it longer
			time.Sleep(30*time.Second - time.Millisecond)
			a.request(old, func(ctx context.Context, s *sess) {
				s.Data.Views++
				if err := errors.Join(s.Save(ctx), s.Touch(ctx), s.Renew(ctx, 5*time.Minute)); err != nil {
					t.Error(err)
				}
			})
			a.request(next, func(ctx context.Context, s *sess) { s.Data.Views++ })
		}
		latest := a.given(next, renewing(t, 5*time.Minute))
		if got := a.given(old, looking); got != latest {
			t.Fatalf("just before its end, the former token is answered with %q", got)
		}
		late := a.load(t, old)
		time.Sleep(4 * time.Millisecond)
		if _, _, ok := a.stored(t, old); ok {
			t.Fatal("the former token outlives its grace")
		}
		if !strings.Contains(a.log.String(), `reason="former secret"`) {
			t.Errorf("the log does not say why:\n%s", a.log)
		}
		before := a.store.calls()
		gets := a.store.count("Get")
		w := a.request(old, func(ctx context.Context, s *sess) {
			if !s.IsNew() || s.Data.Views != 0 {
				t.Errorf("%+v", s.Data)
			}
		})
		if got := w.Header().Get("X-Auth-Token"); got != "" {
			t.Errorf("answered with %q", got)
		}
		want := strings.Replace(before, fmt.Sprint("Get:", gets), fmt.Sprint("Get:", gets+1), 1)
		if after := a.store.calls(); after != want {
			t.Errorf("a dead token cost more than one Get: before %s, after %s", before, after)
		}
		if _, _, ok := a.stored(t, latest); !ok {
			t.Error("the session has ended")
		}

		// What was let in in time may end its work.
		late.Data.Note = "late"
		if err := late.Save(t.Context()); err != nil || late.Token() != latest {
			t.Errorf("%v", err)
		}
	})
}

// The way from a token to the present one leads over others, which may die before it.
func TestShorterGraceAfterALongerOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t, nil)
		first := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Name = "x" })
		second := a.given(first, renewing(t, time.Minute))
		third := a.given(second, renewing(t, time.Second))
		time.Sleep(time.Second)
		a.request(third, func(ctx context.Context, s *sess) { s.Data.Views++ })
		if _, _, ok := a.stored(t, second); ok {
			t.Error("the second token outlives its grace")
		}
		if got := a.given(first, looking); got != third {
			t.Errorf("the first token is answered with %q", got)
		}
		time.Sleep(time.Minute)
		fourth := a.given(third, renewing(t, time.Minute))
		rec, err := a.store.Get(t.Context(), fourth[:24])
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(rec.Data), "former="); n != 1 {
			t.Errorf("%d former tokens are kept: %s", n, rec.Data)
		}
	})
}

func TestNineRenewalsWithinTheGrace(t *testing.T) {
	a := newApp(t, nil)
	tokens := []string{a.begin(t, func(ctx context.Context, s *sess) { s.Data.Name = "x" })}
	behind := a.load(t, tokens[0])
	for range 9 {
		tokens = append(tokens, a.given(tokens[len(tokens)-1], renewing(t, time.Minute)))
	}
	latest := tokens[9]
	for i, token := range tokens {
		s, err := a.Load(t.Context(), token)
		switch {
		case i == 0:
			if !errors.Is(err, session.ErrInvalidToken) {
				t.Errorf("the oldest: %v", err)
			}
		case err != nil || s.Token() != latest:
			t.Errorf("token %d: %v", i, err)
		}
	}

	t.Run("a request that fell behind", func(t *testing.T) {
		behind.Data.Note = "in time"
		if err := behind.Save(t.Context()); err != nil {
			t.Errorf("Save: %v", err)
		}
		if behind.Token() != "" {
			t.Error("it gives a token that opens nothing")
		}
		if err := behind.Renew(t.Context(), time.Minute); !errors.Is(err, session.ErrGone) {
			t.Errorf("Renew: %v", err)
		}
		if data, _, ok := a.stored(t, latest); !ok || data.Note != "in time" {
			t.Errorf("%v %+v", ok, data)
		}
		if err := behind.Destroy(t.Context()); err != nil {
			t.Error(err)
		}
		if _, _, ok := a.stored(t, latest); ok {
			t.Error("its Destroy does not end the session")
		}
	})
	t.Run("its response carries no token", func(t *testing.T) {
		token := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Name = "x" })
		w := a.request(token, func(ctx context.Context, s *sess) {
			latest = token
			for range 9 {
				latest = a.given(latest, renewing(t, time.Minute))
			}
			s.Data.Note = "in time"
		})
		if _, sent := w.Header()["X-Auth-Token"]; sent || w.Code != 200 {
			t.Errorf("status %d, %v", w.Code, w.Header())
		}
		if data, _, _ := a.stored(t, latest); data.Note != "in time" {
			t.Errorf("%+v", data)
		}
	})
}

func TestEverythingIsDeadAfter(t *testing.T) {
	for name, end := range map[string]func(*sess, context.Context) error{
		"Destroy":    (*sess).Destroy,
		"Reset":      (*sess).Reset,
		"ResetToken": func(s *sess, ctx context.Context) error { return s.ResetToken(ctx, strings.Repeat("k", 40)) },
	} {
		t.Run(name, func(t *testing.T) {
			a := newApp(t, nil)
			tokens := []string{a.begin(t, func(ctx context.Context, s *sess) { s.Data.Name = "x" })}
			for range 3 {
				tokens = append(tokens, a.given(tokens[len(tokens)-1], renewing(t, time.Minute)))
			}
			inFlight := a.load(t, tokens[1])
			a.request(tokens[0], func(ctx context.Context, s *sess) {
				if err := end(s, ctx); err != nil {
					t.Error(err)
				}
			})
			inFlight.Data.Views++
			if err := inFlight.Save(t.Context()); !errors.Is(err, session.ErrGone) {
				t.Errorf("a save in flight: %v", err)
			}
			for i, token := range tokens {
				if _, _, ok := a.stored(t, token); ok {
					t.Errorf("token %d is alive", i)
				}
			}
		})
	}
}

// A token that the response would carry can be that of a session which has ended
// meanwhile, and would overwrite that of a newer login.
func TestNoTokenOfASessionThatIsGone(t *testing.T) {
	for name, mine := range map[string]step{
		"changing": func(ctx context.Context, s *sess) { s.Data.Views++ },
		"reading":  looking,
	} {
		t.Run(name, func(t *testing.T) {
			a := newApp(t, nil)
			old := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Name = "x" })
			next := a.given(old, renewing(t, time.Minute))
			w := a.request(old, a.during(next, mine, func(ctx context.Context, s *sess) { s.Destroy(ctx) }))
			if _, sent := w.Header()["X-Auth-Token"]; sent || w.Code != 200 {
				t.Errorf("status %d, %v", w.Code, w.Header())
			}
		})
	}
}

func TestRequestWithAFormerTokenIsGivenTheNewest(t *testing.T) {
	for _, grace := range []time.Duration{0, time.Minute} {
		for name, age := range map[string]time.Duration{"looking": 0, "touching": time.Minute} {
			synctest.Test(t, func(t *testing.T) {
				a := newApp(t, &session.Options[account]{IdleTimeout: 4 * time.Minute})
				old := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Name = "x" })
				next := a.given(old, renewing(t, 2*time.Minute))
				time.Sleep(age)
				var newest string
				w := a.request(old, func(ctx context.Context, s *sess) { newest = a.given(next, renewing(t, grace)) })
				if grace == 0 {
					newest = "" // the former tokens are dead, and their bearers are not told
				}
				if got := w.Header().Get("X-Auth-Token"); got != newest {
					t.Errorf("%s, grace %v: not the newest token", name, grace)
				}
				if touched := a.store.count("Touch") > 0; touched != (age > 0 && grace > 0) {
					t.Errorf("%s: touched %v", name, touched)
				}
			})
		}
	}
}

func TestFormerTokenWhenTheStoreDoesNotAnswerAgain(t *testing.T) {
	a := newApp(t, nil)
	old := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Name = "x" })
	next := a.given(old, renewing(t, time.Minute))
	w := a.request(old, func(ctx context.Context, s *sess) { a.store.set(map[string]error{"Get": errDown}, nil) })
	if w.Code != 200 || w.Header().Get("X-Auth-Token") != next {
		t.Errorf("status %d, %v", w.Code, w.Header())
	}
}

func TestDestroyRacingRenew(t *testing.T) {
	for _, grace := range []time.Duration{0, time.Minute} {
		t.Run(fmt.Sprint(grace), func(t *testing.T) {
			a := newApp(t, nil)
			for range 500 {
				old := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Name = "x" })
				renewer, destroyer := a.load(t, old), a.load(t, old)
				var running sync.WaitGroup
				running.Go(func() {
					if err := renewer.Renew(t.Context(), grace); err != nil && !errors.Is(err, session.ErrGone) {
						t.Error(err)
					}
				})
				running.Go(func() {
					if err := destroyer.Destroy(t.Context()); err != nil {
						t.Error(err)
					}
				})
				running.Wait()
				for _, token := range []string{old, renewer.Token()} {
					if _, err := a.Load(t.Context(), token); !errors.Is(err, session.ErrInvalidToken) {
						t.Fatalf("a token is alive: %v", err)
					}
				}
			}
		})
	}
}

// A Renew whose answer was lost may have taken effect. If the store answers when the response
// goes out, the client is told.
func TestLostRenewIsAskedAbout(t *testing.T) {
	for _, grace := range []time.Duration{0, time.Minute} {
		for name, then := range map[string]step{
			"and nothing":                         looking,
			"and a save":                          func(ctx context.Context, s *sess) { s.Data.Views++ },
			"and a logout elsewhere, and nothing": nil,
		} {
			synctest.Test(t, func(t *testing.T) {
				a := newApp(t, nil)
				old := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Views = 1 })
				a.log.take()
				w := a.request(old, func(ctx context.Context, s *sess) {
					a.store.set(nil, map[string]error{"Update": errDown})
					if err := s.Renew(ctx, grace); !errors.Is(err, errDown) {
						t.Error(err)
					}
					a.store.set(nil, nil)
					if then == nil {
						if err := a.store.Store.Delete(ctx, s.ID()); err != nil {
							t.Error(err)
						}
						return
					}
					then(ctx, s)
				})
				token := w.Header().Get("X-Auth-Token")
				if then == nil {
					if token != "" {
						t.Errorf("grace %v, %s: a token was sent", grace, name)
					}
					return
				}
				time.Sleep(2 * time.Minute)
				if _, _, ok := a.stored(t, token); !ok || w.Code != 200 {
					t.Errorf("grace %v, %s: status %d, and the client is logged out", grace, name, w.Code)
				}
				if grace == 0 && !strings.Contains(a.log.take(), "event=renewed") {
					t.Errorf("%s: no event", name)
				}
			})
		}
	}
}

// A request that has renewed the token, and is answered late, does not overwrite the token of a
// login that another one was meanwhile.
func TestNoRenewedTokenOverANewerLogin(t *testing.T) {
	for _, grace := range []time.Duration{0, time.Minute} {
		a := newApp(t, nil)
		old := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Name = "x" })
		w := a.request(old, func(ctx context.Context, s *sess) {
			login := a.load(t, old) // by a request that came with the same token
			renewing(t, grace)(ctx, s)
			if err := errors.Join(login.Reset(ctx), login.Save(ctx)); err != nil {
				t.Error(err)
			}
		})
		if _, sent := w.Header()["X-Auth-Token"]; sent || w.Code != 200 {
			t.Errorf("grace %v: status %d, %v", grace, w.Code, w.Header())
		}
	}
}
