package integration

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokensession/tokensession"
	_ "github.com/tokensession/tokensession/bolt"
	"github.com/tokensession/tokensession/integration/backend"
	_ "github.com/tokensession/tokensession/memcache"
	_ "github.com/tokensession/tokensession/memory"
	_ "github.com/tokensession/tokensession/postgres"
	_ "github.com/tokensession/tokensession/redis"
	"github.com/tokensession/tokensession/session"
)

// applicationEnv makes this test binary a second process of the application; it has
// the names of a transport and the URL of a store.
const applicationEnv = "TOKENSESSION_APPLICATION"

func TestMain(m *testing.M) {
	if transport, storeURL, found := strings.Cut(os.Getenv(applicationEnv), " "); found {
		if err := runApplication(transport, storeURL); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	backend.Main(m)
}

// backends have a URL for a new, empty store.
var backends = []struct {
	name   string
	shared bool // several processes may open the store
	url    func(*testing.T) string
}{
	{"memory", false, func(*testing.T) string { return "memory:" }},
	{"bolt", false, func(t *testing.T) string { return "bolt:" + filepath.Join(t.TempDir(), "sessions.db") }},
	{"redis", true, func(t *testing.T) string { return backend.Redis(t).URL + "?prefix=" + namespace() }},
	{"postgres", true, func(t *testing.T) string { return backend.Postgres(t).URL + "&table=" + namespace() }},
	{"memcache", true, func(t *testing.T) string { return backend.Memcached(t).URL + "?prefix=" + namespace() }},
}

// namespace is a prefix or a table that no other test has.
func namespace() string { return "sessions_" + strings.ToLower(rand.Text()) }

var transports = map[string]session.Transport{
	"header": session.Header("X-Auth-Token"),
	"cookie": session.Cookie(session.CookieOptions{}),
}

// profile is what the sessions of these tests hold.
type profile struct {
	Views       int
	Left, Right int
	Entries     map[string]int
}

type manager = session.Manager[profile]

func options(transport string) *session.Options[profile] {
	return &session.Options[profile]{
		Transport: transports[transport],
		Logger:    slog.New(slog.DiscardHandler),
	}
}

// everywhere runs a test on every backend with every transport.
func everywhere(t *testing.T, test func(t *testing.T, store tokensession.Store, o *session.Options[profile])) {
	forEach(t, func(t *testing.T, transport, storeURL string, _ bool) {
		test(t, open(t, storeURL), options(transport))
	})
}

// onEverySite runs a test of the application on every backend with every transport. It
// gets the processes that share the store: two, where two can.
func onEverySite(t *testing.T, test func(t *testing.T, sessions *manager, sites []*site)) {
	forEach(t, func(t *testing.T, transport, storeURL string, shared bool) {
		sessions := session.New(open(t, storeURL), options(transport))
		sites := []*site{serve(t, sessions, application(sessions))}
		if shared {
			sites = append(sites, &site{sites[0].client, startApplication(t, transport, storeURL), sessions})
		}
		test(t, sessions, sites)
	})
}

func forEach(t *testing.T, test func(t *testing.T, transport, storeURL string, shared bool)) {
	for _, b := range backends {
		for transport := range transports {
			t.Run(b.name+"/"+transport, func(t *testing.T) {
				backend.SkipExcluded(t, b.name)
				test(t, transport, b.url(t), b.shared)
			})
		}
	}
}

func open(t *testing.T, storeURL string) tokensession.Store {
	store, err := tokensession.Open(t.Context(), storeURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.(io.Closer).Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// application handles the requests of the tests. One that has a gate in its query loads
// the session and waits there, which works in every process, before it goes on.
func application(sessions *manager) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/count", func(w http.ResponseWriter, r *http.Request) {
		s := sessions.Get(r.Context())
		respond(w, s.Update(r.Context(), func(p *profile) error { p.Views++; return nil }))
	})
	mux.HandleFunc("/logout", func(w http.ResponseWriter, r *http.Request) {
		respond(w, sessions.Get(r.Context()).Destroy(r.Context()))
	})
	mux.HandleFunc("/renew", func(w http.ResponseWriter, r *http.Request) {
		grace, err := time.ParseDuration(r.URL.Query().Get("grace"))
		if err == nil && r.URL.Query().Has("gate") {
			_, err = waitAtGate(sessions, r)
		}
		if err == nil {
			err = sessions.Get(r.Context()).Renew(r.Context(), grace)
		}
		if errors.Is(err, session.ErrGone) {
			err = nil // as with every change that comes after a logout
		}
		respond(w, err)
	})
	mux.HandleFunc("/left", func(w http.ResponseWriter, r *http.Request) {
		p, err := waitAtGate(sessions, r)
		p.Left++
		p.Entries["left"]++
		respond(w, err)
	})
	mux.HandleFunc("/right", func(w http.ResponseWriter, r *http.Request) {
		p, err := waitAtGate(sessions, r)
		p.Right++
		p.Entries["right"]++
		respond(w, err)
	})
	return mux
}

func waitAtGate(sessions *manager, r *http.Request) (*profile, error) {
	p := &sessions.Get(r.Context()).Data
	if p.Entries == nil {
		p.Entries = make(map[string]int)
	}
	resp, err := http.Get(r.URL.Query().Get("gate"))
	if err != nil {
		return p, err
	}
	if resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("the gate: %s", resp.Status)
	}
	return p, errors.Join(err, resp.Body.Close())
}

func respond(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// runApplication is what the second process does, until the first closes its input.
func runApplication(transport, storeURL string) error {
	store, err := tokensession.Open(context.Background(), storeURL)
	if err != nil {
		return err
	}
	sessions := session.New(store, options(transport))
	server := httptest.NewTLSServer(sessions.Handler(application(sessions)))
	defer server.Close()
	fmt.Println(server.URL)
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	return store.(io.Closer).Close()
}

// startApplication starts the second process and returns its URL.
func startApplication(t *testing.T, transport, storeURL string) string {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), applicationEnv+"="+transport+" "+storeURL)
	cmd.Stderr = os.Stderr
	stdin, inErr := cmd.StdinPipe()
	stdout, outErr := cmd.StdoutPipe()
	if inErr != nil || outErr != nil {
		t.Fatal(inErr, outErr)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the second process: %v", err)
		}
	})
	siteURL, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal("the second process does not say where it is:", err)
	}
	return strings.TrimSpace(siteURL)
}

// site is a process of an application, served.
type site struct {
	client   *http.Client // trusts its certificate, which is that of every httptest.Server
	url      string
	sessions *manager
}

// serve starts a server over TLS, as the default cookie needs it.
func serve(t *testing.T, sessions *manager, handler http.Handler) *site {
	server := httptest.NewTLSServer(sessions.Handler(handler))
	t.Cleanup(server.Close)
	return &site{server.Client(), server.URL, sessions}
}

// user returns a client that sends its token with every request, in the header, or from a
// cookie jar, as a browser does, and takes over the one that an answer carries.
func (s *site) user(t *testing.T, token string) func(path string) (*http.Response, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	prepared := httptest.NewRequest("GET", "/", nil)
	if token != "" {
		s.sessions.SetToken(prepared, token)
	}
	at, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range prepared.Cookies() {
		c.Secure, c.Path = true, "/"
		jar.SetCookies(at, []*http.Cookie{c})
	}
	client := &http.Client{Transport: s.client.Transport, Jar: jar}
	return func(path string) (*http.Response, error) {
		r, err := http.NewRequestWithContext(t.Context(), "GET", s.url+path, nil)
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
		if header := resp.Header.Get("X-Auth-Token"); header != "" {
			prepared.Header.Set("X-Auth-Token", header)
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
	onEverySite(t, func(t *testing.T, sessions *manager, sites []*site) {
		token := begin(t, sessions)
		const users, requests = 8, 50
		var running sync.WaitGroup
		for i := range users {
			get := sites[i%len(sites)].user(t, token)
			running.Go(func() {
				for range requests {
					if _, err := get("/count"); err != nil {
						t.Error(err)
					}
				}
			})
		}
		running.Wait()
		if got := load(t, sessions, token).Views; got != users*requests {
			t.Errorf("%d of %d increments", got, users*requests)
		}
	})
}

// crowd is a number of requests of the application, in any process, that wait for each
// other when they have loaded their session.
type crowd struct {
	missing atomic.Int32
	loaded  chan struct{} // closed when none is missing
}

func newCrowd(n int32) *crowd {
	c := &crowd{loaded: make(chan struct{})}
	c.missing.Store(n)
	return c
}

// gate starts a server at which requests of the crowd wait until the channel is closed.
// They wait no longer than the test does, for one of them may have failed.
func (c *crowd) gate(t *testing.T, open <-chan struct{}) (query string) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c.missing.Add(-1) == 0 {
			close(c.loaded)
		}
		if err := await(open); err != nil {
			http.Error(w, err.Error(), http.StatusGatewayTimeout)
		}
	}))
	t.Cleanup(server.Close)
	return "?gate=" + url.QueryEscape(server.URL)
}

func await(open <-chan struct{}) error {
	select {
	case <-open:
		return nil
	case <-time.After(30 * time.Second):
		return errors.New("some requests have not loaded their session")
	}
}

// TestDifferentFieldsBothStay sends pairs of requests of which both have loaded the
// session before either saves.
func TestDifferentFieldsBothStay(t *testing.T) {
	onEverySite(t, func(t *testing.T, sessions *manager, sites []*site) {
		token := begin(t, sessions)
		users := map[string]func(string) (*http.Response, error){
			"/left":  sites[0].user(t, token),
			"/right": sites[len(sites)-1].user(t, token),
		}
		for pair := 1; pair <= 50; pair++ {
			both := newCrowd(2)
			gate := both.gate(t, both.loaded)
			var running sync.WaitGroup
			for path, get := range users {
				running.Go(func() {
					if _, err := get(path + gate); err != nil {
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
	onEverySite(t, func(t *testing.T, sessions *manager, sites []*site) {
		const inFlight = 200
		all, loggedOut := newCrowd(inFlight), make(chan struct{})
		late, around := all.gate(t, loggedOut), all.gate(t, all.loaded)
		token := begin(t, sessions)
		var running sync.WaitGroup
		for i := range inFlight {
			get := sites[i%len(sites)].user(t, token)
			running.Go(func() {
				if _, err := get([]string{"/left" + late, "/right" + around}[i/2%2]); err != nil {
					t.Error(err)
				}
			})
		}
		if err := await(all.loaded); err != nil {
			t.Error(err)
		}
		resp, err := sites[0].user(t, token)("/logout")
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
			if _, err := site.user(t, token)("/"); err != nil {
				t.Error(err)
			}
			if got := load(t, pair[0], token).Views; got != 0 {
				t.Errorf("a manager of another name changed the session: %d views", got)
			}
		}
	})
}
