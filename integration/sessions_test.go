package integration

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tokensession/tokensession"
	_ "github.com/tokensession/tokensession/bolt"
	_ "github.com/tokensession/tokensession/memory"
	"github.com/tokensession/tokensession/session"
)

// backends are the URLs under which the stores are opened.
var backends = []struct {
	name string
	url  func(*testing.T) string
}{
	{"memory", func(*testing.T) string { return "memory:" }},
	{"bolt", func(t *testing.T) string { return "bolt:" + filepath.Join(t.TempDir(), "sessions.db") }},
}

var transports = []struct {
	name string
	session.Transport
}{
	{"header", session.Header("X-Auth-Token")},
	{"cookie", session.Cookie(session.CookieOptions{})},
}

// profile is what the sessions of these tests hold.
type profile struct {
	Views       int
	Left, Right int
	Entries     map[string]int
}

type manager = session.Manager[profile]

// everywhere runs a test on every backend with every transport.
func everywhere(t *testing.T, test func(t *testing.T, store tokensession.Store, o *session.Options[profile])) {
	for _, backend := range backends {
		for _, transport := range transports {
			t.Run(backend.name+"/"+transport.name, func(t *testing.T) {
				store, err := tokensession.Open(t.Context(), backend.url(t))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					if err := store.(io.Closer).Close(); err != nil {
						t.Error(err)
					}
				})
				test(t, store, &session.Options[profile]{
					Transport: transport.Transport,
					Logger:    slog.New(slog.DiscardHandler),
				})
			})
		}
	}
}

// site is an application, served.
type site struct {
	*httptest.Server
	sessions *manager
}

// serve starts a server over TLS, as the default cookie needs it.
func serve(t *testing.T, sessions *manager, handler http.Handler) *site {
	server := httptest.NewTLSServer(sessions.Handler(handler))
	t.Cleanup(server.Close)
	return &site{server, sessions}
}

// client returns a client that sends the token with every request: in the header,
// and from a cookie jar, as a browser does.
func (s *site) client(t *testing.T, token string) func(path string) (*http.Response, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	prepared := httptest.NewRequest("GET", "/", nil)
	if token != "" {
		s.sessions.SetToken(prepared, token)
	}
	at, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range prepared.Cookies() {
		c.Secure, c.Path = true, "/"
		jar.SetCookies(at, []*http.Cookie{c})
	}
	client := &http.Client{Transport: s.Client().Transport, Jar: jar}
	return func(path string) (*http.Response, error) {
		r, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+path, nil)
		if err != nil {
			return nil, err
		}
		if header := prepared.Header.Get("X-Auth-Token"); header != "" {
			r.Header.Set("X-Auth-Token", header)
		}
		resp, err := client.Do(r)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return nil, err
		}
		if resp.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("%s: %s", path, resp.Status)
		}
		return resp, nil
	}
}

// begin stores a session and returns its token.
func begin(t *testing.T, sessions *manager) string {
	t.Helper()
	s := sessions.Start()
	if err := s.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s.Token()
}

func load(t *testing.T, sessions *manager, token string) profile {
	t.Helper()
	s, err := sessions.Load(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	return s.Data
}

func TestEveryIncrementCounts(t *testing.T) {
	everywhere(t, func(t *testing.T, store tokensession.Store, o *session.Options[profile]) {
		sessions := session.New(store, o)
		site := serve(t, sessions, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s := sessions.Get(r.Context())
			if err := s.Update(r.Context(), func(p *profile) error { p.Views++; return nil }); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		}))
		token := begin(t, sessions)
		const clients, requests = 8, 50
		var running sync.WaitGroup
		for range clients {
			get := site.client(t, token)
			running.Go(func() {
				for range requests {
					if _, err := get("/"); err != nil {
						t.Error(err)
					}
				}
			})
		}
		running.Wait()
		if got := load(t, sessions, token).Views; got != clients*requests {
			t.Errorf("%d of %d increments", got, clients*requests)
		}
	})
}

// TestDifferentFieldsBothStay sends pairs of requests of which both have loaded the
// session before either saves.
func TestDifferentFieldsBothStay(t *testing.T) {
	everywhere(t, func(t *testing.T, store tokensession.Store, o *session.Options[profile]) {
		sessions := session.New(store, o)
		var mu sync.Mutex
		var both *sync.WaitGroup
		site := serve(t, sessions, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s := sessions.Get(r.Context())
			mu.Lock()
			loaded := both
			mu.Unlock()
			loaded.Done()
			loaded.Wait()
			if s.Data.Entries == nil {
				s.Data.Entries = make(map[string]int)
			}
			switch r.URL.Path {
			case "/left":
				s.Data.Left++
				s.Data.Entries["left"]++
			case "/right":
				s.Data.Right++
				s.Data.Entries["right"]++
			}
		}))
		token := begin(t, sessions)
		left, right := site.client(t, token), site.client(t, token)
		for pair := 1; pair <= 50; pair++ {
			mu.Lock()
			both = new(sync.WaitGroup)
			both.Add(2)
			mu.Unlock()
			var running sync.WaitGroup
			for path, get := range map[string]func(string) (*http.Response, error){"/left": left, "/right": right} {
				running.Go(func() {
					if _, err := get(path); err != nil {
						t.Error(err)
					}
				})
			}
			running.Wait()
			got := load(t, sessions, token)
			if got.Left != pair || got.Right != pair || got.Entries["left"] != pair || got.Entries["right"] != pair {
				t.Fatalf("after pair %d: %+v", pair, got)
			}
		}
	})
}

// TestNoSessionComesBackAfterLogout has 200 requests in flight when the user logs
// out; they save before, during and after it.
func TestNoSessionComesBackAfterLogout(t *testing.T) {
	everywhere(t, func(t *testing.T, store tokensession.Store, o *session.Options[profile]) {
		sessions := session.New(store, o)
		const inFlight = 200
		var loaded sync.WaitGroup
		loaded.Add(inFlight)
		loggedOut := make(chan struct{})
		site := serve(t, sessions, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s := sessions.Get(r.Context())
			switch r.URL.Path {
			case "/logout":
				if err := s.Destroy(r.Context()); err != nil {
					http.Error(w, err.Error(), http.StatusInternalServerError)
				}
				return
			case "/late":
				loaded.Done()
				<-loggedOut
			case "/around":
				loaded.Done()
				loaded.Wait()
			}
			s.Data.Views++
			s.Data.Entries = map[string]int{"in flight": 1}
		}))
		token := begin(t, sessions)
		get := site.client(t, token)
		var running sync.WaitGroup
		for i := range inFlight {
			running.Go(func() {
				if _, err := get([]string{"/late", "/around"}[i%2]); err != nil {
					t.Error(err)
				}
			})
		}
		loaded.Wait()
		resp, err := site.client(t, token)("/logout")
		if err != nil {
			t.Fatal(err)
		}
		close(loggedOut)
		running.Wait()
		if s, err := sessions.Load(t.Context(), token); err == nil {
			t.Errorf("the token from before the logout opens %+v", s.Data)
		}
		header, told := resp.Header["X-Auth-Token"]
		if cookie := resp.Header.Get("Set-Cookie"); !(told && header[0] == "") && !strings.Contains(cookie, "Max-Age=0") {
			t.Errorf("the client was not told to forget its token: %v", resp.Header)
		}
	})
}

func TestTokensOfAnotherManagerOpenNothing(t *testing.T) {
	everywhere(t, func(t *testing.T, store tokensession.Store, o *session.Options[profile]) {
		staffOptions, customerOptions := *o, *o
		staffOptions.Name, customerOptions.Name = "staff", "customers"
		staff, customers := session.New(store, &staffOptions), session.New(store, &customerOptions)
		for _, pair := range [][2]*manager{{staff, customers}, {customers, staff}} {
			token := begin(t, pair[0])
			other := pair[1]
			site := serve(t, other, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				s := other.Get(r.Context())
				if !s.IsNew() {
					http.Error(w, "opened", http.StatusTeapot)
				}
				s.Data.Views = 1
			}))
			if _, err := site.client(t, token)("/"); err != nil {
				t.Error(err)
			}
			if got := load(t, pair[0], token).Views; got != 0 {
				t.Errorf("a manager of another name changed the session: %d views", got)
			}
		}
	})
}
