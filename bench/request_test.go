package bench

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/alexedwards/scs/v2"

	"github.com/tokensession/tokensession/session"
)

// account is the session. In scs it is a value under each of two keys.
type account struct {
	User  string
	Views int
}

const user = "alice"

// A library makes the handler to measure and a request with the token of a session
// that is stored: alice's, with no views yet. The handler answers with user and
// views; if change is set, it counts a view first.
type library struct {
	name string
	make func(tb testing.TB, change bool) (http.Handler, *http.Request)
}

var libraries = []library{
	{"tokensession", func(tb testing.TB, change bool) (http.Handler, *http.Request) {
		return newTokensession(tb, change, session.Cookie(session.CookieOptions{Name: "session", Insecure: true}))
	}},
	{"tokensession-header", func(tb testing.TB, change bool) (http.Handler, *http.Request) {
		return newTokensession(tb, change, session.Header("X-Auth-Token"))
	}},
	{"scs", newSCS},
	{"bare", newBare},
}

func newTokensession(tb testing.TB, change bool, via session.Transport) (http.Handler, *http.Request) {
	sessions := session.New(newMemory(tb, newIDs()), &session.Options[account]{Transport: via})
	s := sessions.Start()
	s.Data.User = user
	if err := s.Save(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	r := newRequest(tb)
	sessions.SetToken(r, s.Token())
	return sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := sessions.Get(r.Context())
		if change {
			s.Data.Views++
		}
		answer(w, s.Data.User, s.Data.Views)
	})), r
}

func newSCS(tb testing.TB, change bool) (http.Handler, *http.Request) {
	sessions := scs.New()
	sessions.Store = newMemstore(tb, newIDs())
	ctx, err := sessions.Load(tb.Context(), "")
	if err != nil {
		tb.Fatal(err)
	}
	sessions.Put(ctx, "user", user)
	sessions.Put(ctx, "views", 0)
	token, _, err := sessions.Commit(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	r := newRequest(tb)
	r.AddCookie(&http.Cookie{Name: sessions.Cookie.Name, Value: token})
	return sessions.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		views := sessions.GetInt(r.Context(), "views")
		if change {
			views++
			sessions.Put(r.Context(), "views", views)
		}
		answer(w, sessions.GetString(r.Context(), "user"), views)
	})), r
}

// newBare keeps the account in a variable: what the request costs without sessions.
func newBare(tb testing.TB, change bool) (http.Handler, *http.Request) {
	alice := account{User: user}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if change {
			alice.Views++
		}
		answer(w, alice.User, alice.Views)
	}), newRequest(tb)
}

func newRequest(tb testing.TB) *http.Request {
	return httptest.NewRequestWithContext(tb.Context(), http.MethodGet, "/", nil)
}

// answer is the whole work of all handlers beside the session.
func answer(w http.ResponseWriter, user string, views int) {
	body := make([]byte, 0, 64)
	body = append(body, user...)
	body = append(body, ' ')
	body = strconv.AppendInt(body, int64(views), 10)
	w.Write(body)
}

// response is an http.ResponseWriter that is used again for every request, so that
// next to nothing of what is measured is its own.
type response struct {
	header http.Header
	status int
	body   []byte
}

func (w *response) Header() http.Header    { return w.header }
func (w *response) WriteHeader(status int) { w.status = status }

func (w *response) Write(b []byte) (int, error) {
	w.body = append(w.body, b...)
	return len(b), nil
}

func (w *response) reset() {
	clear(w.header)
	w.status, w.body = http.StatusOK, w.body[:0]
}

// BenchmarkRequest is one request after another of one session among many, which
// the handler reads or changes.
func BenchmarkRequest(b *testing.B) {
	for _, change := range []bool{false, true} {
		name := "data=unchanged"
		if change {
			name = "data=changed"
		}
		b.Run(name, func(b *testing.B) {
			for _, lib := range libraries {
				b.Run("lib="+lib.name, func(b *testing.B) {
					handler, r := lib.make(b, change)
					w := &response{header: make(http.Header)}
					b.ReportAllocs()
					for b.Loop() {
						w.reset()
						handler.ServeHTTP(w, r)
					}
					checkAnswer(b, w.status, string(w.body), change, b.N)
				})
			}
		})
	}
}

// TestRequest shows that what is compared does the same: every library knows the
// user, and counts exactly the requests that change the session.
func TestRequest(t *testing.T) {
	for _, lib := range libraries {
		for _, change := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/change=%t", lib.name, change), func(t *testing.T) {
				handler, r := lib.make(t, change)
				for i := range 3 {
					w := httptest.NewRecorder()
					handler.ServeHTTP(w, r)
					checkAnswer(t, w.Code, w.Body.String(), change, i+1)
				}
			})
		}
	}
}

func checkAnswer(tb testing.TB, status int, body string, change bool, requests int) {
	tb.Helper()
	views := 0
	if change {
		views = requests
	}
	if want := fmt.Sprintf("%s %d", user, views); status != http.StatusOK || body != want {
		tb.Fatalf("after %d requests the answer is %d %q, want %d %q", requests, status, body, http.StatusOK, want)
	}
}
