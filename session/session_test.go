package session_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/memory"
	"github.com/tokensession/tokensession/session"
)

// account is what the sessions of these tests hold.
type account struct {
	Views int
	Name  string
	Role  string
	Note  string
	Cart  map[string]int
	Tags  []string
}

// app is an application with sessions, and its log.
type app struct {
	*session.Manager[account]
	store *flaky
	log   *safeBuffer

	mu      sync.Mutex
	secrets []string // that were sent to clients, and must not stand in the log
}

// newApp makes an application on a memory store. When the test ends, the log must
// be without a secret.
func newApp(t *testing.T, o *session.Options[account]) *app {
	t.Helper()
	store := memory.New(&memory.Options{Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() { store.Close() })
	return newAppOn(t, &flaky{Store: store}, o)
}

func newAppOn(t *testing.T, store *flaky, o *session.Options[account]) *app {
	t.Helper()
	if o == nil {
		o = new(session.Options[account])
	}
	a := &app{store: store, log: new(safeBuffer)}
	options := *o
	options.Logger = slog.New(slog.NewTextHandler(a.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	a.Manager = session.New(store, &options)
	t.Cleanup(func() {
		for _, secret := range a.secrets {
			if strings.Contains(a.log.String(), secret) {
				t.Errorf("a secret stands in the log:\n%s", a.log)
			}
		}
	})
	return a
}

// safeBuffer is a bytes.Buffer for several goroutines.
type safeBuffer struct {
	mu    sync.Mutex
	b     bytes.Buffer
	taken int
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// take returns what was written since the last call.
func (b *safeBuffer) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	text := b.b.String()[b.taken:]
	b.taken = b.b.Len()
	return text
}

// step is what a handler does with its session.
type step = func(ctx context.Context, s *session.Session[account])

// request is one request with the header token and its whole response.
func (a *app) request(token string, do step) *httptest.ResponseRecorder {
	return a.serve(a.newRequest(token), func(w http.ResponseWriter, r *http.Request) {
		do(r.Context(), a.Get(r.Context()))
	})
}

func (a *app) newRequest(token string) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	if token != "" {
		a.SetToken(r, token)
	}
	return r
}

func (a *app) serve(r *http.Request, handler http.HandlerFunc) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	a.Handler(handler).ServeHTTP(w, r)
	a.keep(w.Header().Get("X-Auth-Token"))
	return w
}

// keep remembers that a token's secret must not stand in the log.
func (a *app) keep(token string) {
	if token == "" {
		return
	}
	secret := token
	if len(token) == 68 && token[24] == '.' {
		secret = token[25:]
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.secrets = append(a.secrets, secret)
}

// begin is a first request; it returns the token that came back.
func (a *app) begin(t *testing.T, do step) string {
	t.Helper()
	w := a.request("", do)
	token := w.Header().Get("X-Auth-Token")
	if w.Code != 200 || token == "" {
		t.Fatalf("the first request: status %d, token %q, log:\n%s", w.Code, token, a.log)
	}
	return token
}

// stored is what the token opens now; ok is false if it opens nothing.
func (a *app) stored(t *testing.T, token string) (data account, owner string, ok bool) {
	t.Helper()
	a.keep(token)
	s, err := a.Load(t.Context(), token)
	if errors.Is(err, session.ErrInvalidToken) {
		return data, "", false
	}
	if err != nil {
		t.Fatal(err)
	}
	return s.Data, s.Owner(), true
}

// load is the session that the token opens.
func (a *app) load(t *testing.T, token string) *session.Session[account] {
	t.Helper()
	s, err := a.Load(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// during makes a step that does mine, then lets a whole other request happen, and
// only then ends, so that mine is saved last though it was loaded first.
func (a *app) during(token string, mine, theirs step) step {
	return func(ctx context.Context, s *session.Session[account]) {
		mine(ctx, s)
		a.request(token, theirs)
	}
}

// flaky is a store of which single calls can be made to fail, and which counts.
type flaky struct {
	tokensession.Store

	mu     sync.Mutex
	fail   map[string]error // by method; a method that fails has no effect
	after  map[string]error // the same, but it has had its effect
	called map[string]int
}

var errDown = errors.New("the store is down")

// Unwrap offers the capabilities of the store, which never fail.
func (f *flaky) Unwrap() tokensession.Store { return f.Store }

func (f *flaky) set(before, after map[string]error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail, f.after = before, after
}

func (f *flaky) calls() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return fmt.Sprint(f.called)
}

func (f *flaky) count(method string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.called[method]
}

func (f *flaky) begin(method string) (before, after error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.called == nil {
		f.called = make(map[string]int)
	}
	f.called[method]++
	return f.fail[method], f.after[method]
}

func (f *flaky) Get(ctx context.Context, id string) (tokensession.Record, error) {
	if err, _ := f.begin("Get"); err != nil {
		return tokensession.Record{}, err
	}
	return f.Store.Get(ctx, id)
}

func (f *flaky) Create(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	before, after := f.begin("Create")
	if before != nil {
		return "", before
	}
	version, err := f.Store.Create(ctx, id, rec)
	return version, errors.Join(err, after)
}

func (f *flaky) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	before, after := f.begin("Update")
	if before != nil {
		return "", before
	}
	version, err := f.Store.Update(ctx, id, rec)
	return version, errors.Join(err, after)
}

func (f *flaky) Touch(ctx context.Context, id string, ttl time.Duration) error {
	if err, _ := f.begin("Touch"); err != nil {
		return err
	}
	return f.Store.Touch(ctx, id, ttl)
}

func (f *flaky) Delete(ctx context.Context, id string) error {
	if err, _ := f.begin("Delete"); err != nil {
		return err
	}
	return f.Store.Delete(ctx, id)
}

func TestSessionFromRequestToRequest(t *testing.T) {
	a := newApp(t, nil)
	token := a.begin(t, func(ctx context.Context, s *session.Session[account]) {
		if !s.IsNew() {
			t.Error("a session without a token is not new")
		}
		s.Data.Views++
	})
	w := a.request(token, func(ctx context.Context, s *session.Session[account]) {
		if s.IsNew() || s.Data.Views != 1 || !strings.HasPrefix(token, s.ID()) || s.Token() != token {
			t.Errorf("the second request got session %v, new %v, data %+v", s, s.IsNew(), s.Data)
		}
		s.Data.Views++
	})
	if got := w.Header().Get("X-Auth-Token"); got != "" {
		t.Errorf("the token was sent again: %q", got)
	}
	if data, _, _ := a.stored(t, token); data.Views != 2 {
		t.Errorf("stored: %+v", data)
	}
}

func TestRequestThatStoresNothing(t *testing.T) {
	for name, token := range map[string]string{
		"no token":        "",
		"too short":       strings.Repeat("x", 31),
		"too long":        strings.Repeat("x", 129),
		"not ASCII":       strings.Repeat("é", 20),
		"a space within":  strings.Repeat("x", 20) + " " + strings.Repeat("x", 20),
		"a control byte":  strings.Repeat("x", 40) + "\x7f",
		"short by one id": strings.Repeat("x", 23) + ".",
	} {
		t.Run(name, func(t *testing.T) {
			a := newApp(t, nil)
			w := a.request(token, func(ctx context.Context, s *session.Session[account]) {
				if s.Data.Views != 0 || !s.IsNew() {
					t.Errorf("got %+v", s.Data)
				}
			})
			if got := w.Header().Get("X-Auth-Token"); got != "" || w.Header().Get("Cache-Control") != "" {
				t.Errorf("answered with token %q, %v", got, w.Header())
			}
			if calls := a.store.calls(); calls != "map[]" {
				t.Errorf("the store was asked: %s", calls)
			}
		})
	}
}

func TestTokenThatTheServerDidNotMakeIsNotAdopted(t *testing.T) {
	a := newApp(t, nil)
	planted := strings.Repeat("A", 24) + "." + strings.Repeat("B", 43)
	for _, token := range []string{planted, strings.Repeat("C", 40)} {
		w := a.request(token, func(ctx context.Context, s *session.Session[account]) { s.Data.Name = "victim" })
		got := w.Header().Get("X-Auth-Token")
		if got == "" || got == token || strings.HasPrefix(got, token[:24]) {
			t.Errorf("with a planted token, the answer was %q", got)
		}
		if _, _, ok := a.stored(t, token); ok {
			t.Error("the planted token opens the session")
		}
	}
}

func TestSecretIsCheckedAndNotStored(t *testing.T) {
	a := newApp(t, nil)
	token := a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.Data.Views = 7 })
	id, secret, _ := strings.Cut(token, ".")
	rec, err := a.store.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(rec.Data, []byte(secret)) {
		t.Errorf("the record holds the secret: %s", rec.Data)
	}
	for i := range secret {
		wrong := []byte(token)
		wrong[len(id)+1+i] ^= 1
		if _, _, ok := a.stored(t, string(wrong)); ok {
			t.Fatalf("a token that differs at %d opens the session", i)
		}
	}
}

func TestManagersWithDifferentNames(t *testing.T) {
	staff := newApp(t, &session.Options[account]{Name: "staff"})
	for _, name := range []string{"", "customers", "staf", "staff.2"} {
		other := newAppOn(t, staff.store, &session.Options[account]{Name: name})
		token := staff.begin(t, func(ctx context.Context, s *session.Session[account]) { s.Data.Role = "admin" })
		if _, _, ok := other.stored(t, token); ok {
			t.Errorf("a token of staff opens a session of %q", name)
		}
		w := other.request(token, func(ctx context.Context, s *session.Session[account]) {
			if s.Data.Role != "" {
				t.Errorf("a handler of %q got a session of staff", name)
			}
			s.Destroy(ctx)
		})
		if _, _, ok := staff.stored(t, token); !ok || w.Code != 200 {
			t.Errorf("a handler of %q ended a session of staff", name)
		}

		chosen := strings.Repeat("k", 40)
		for _, a := range []*app{staff, other} {
			a.request("", func(ctx context.Context, s *session.Session[account]) {
				if err := s.ResetToken(ctx, chosen+name); err != nil {
					t.Errorf("both managers may use the same chosen token: %v", err)
				}
			})
		}
	}
}

// Staff and customers in one application: one request may be both.
func TestManagersSideBySide(t *testing.T) {
	customers := newApp(t, &session.Options[account]{Name: "customers"})
	staff := newAppOn(t, customers.store, &session.Options[account]{Name: "staff", Transport: session.Header("X-Staff-Token")})
	handler := staff.Handler(customers.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		switch r.URL.Path {
		case "/begin":
			customers.Get(ctx).SetOwner("alice")
			staff.Get(ctx).SetOwner("alice")
		case "/renew":
			if err := errors.Join(customers.Get(ctx).Renew(ctx, time.Minute), staff.Get(ctx).Renew(ctx, 0)); err != nil {
				t.Error(err)
			}
		case "/logout":
			if err := staff.Get(ctx).Destroy(ctx); err != nil {
				t.Error(err)
			}
		}
		customers.Get(ctx).Data.Views++
		staff.Get(ctx).Data.Views += 10
		if c, s := customers.Get(ctx), staff.Get(ctx); c.ID() == s.ID() {
			t.Error("both are one session")
		}
	})))
	var customer, member string
	send := func(path string) {
		t.Helper()
		r := httptest.NewRequest("GET", path, nil)
		if customer != "" {
			customers.SetToken(r, customer)
		}
		if member != "" {
			staff.SetToken(r, member)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if vary := fmt.Sprint(w.Header()["Vary"]); w.Code != 200 || !strings.Contains(vary, "X-Staff-Token") || !strings.Contains(vary, "X-Auth-Token") {
			t.Errorf("%s: status %d, %v", path, w.Code, w.Header())
		}
		customer = cmp.Or(w.Header().Get("X-Auth-Token"), customer)
		member = cmp.Or(w.Header().Get("X-Staff-Token"), member)
		customers.keep(customer)
		staff.keep(member)
	}
	expect := func(a *app, token string, views int) {
		t.Helper()
		if data, owner, ok := a.stored(t, token); !ok || data.Views != views || owner != "alice" {
			t.Errorf("%v, %q, %+v", ok, owner, data)
		}
	}
	send("/begin")
	send("/")
	before := member
	send("/renew")
	expect(customers, customer, 3)
	expect(staff, member, 30)
	if _, _, ok := staff.stored(t, before); ok {
		t.Error("the former token of staff is alive")
	}
	for _, crossed := range []struct {
		a     *app
		token string
	}{{customers, member}, {staff, customer}} {
		if _, _, ok := crossed.a.stored(t, crossed.token); ok {
			t.Error("a token of one manager opens a session of the other")
		}
	}
	send("/logout")
	expect(customers, customer, 4)
	if _, _, ok := staff.stored(t, member); ok {
		t.Error("staff is still logged in")
	}
	if err := staff.EndOwner(t.Context(), "alice"); err != nil {
		t.Error(err)
	}
	expect(customers, customer, 4)
}

func TestNestedHandlerDoesNothing(t *testing.T) {
	a := newApp(t, nil)
	token := a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.Data.Views = 1 })
	w := httptest.NewRecorder()
	a.Handler(a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.Get(r.Context()).Data.Views++
	}))).ServeHTTP(w, a.newRequest(token))
	if data, _, _ := a.stored(t, token); data.Views != 2 {
		t.Errorf("views %d", data.Views)
	}
	if got, want := a.store.calls(), "map[Create:1 Get:2 Update:1]"; got != want {
		t.Errorf("calls %s, want %s", got, want)
	}
}

func TestUnchangedSessionCostsOneGet(t *testing.T) {
	a := newApp(t, nil)
	token := a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.Data.Cart = map[string]int{"a": 1} })
	for range 5 {
		a.request(token, func(ctx context.Context, s *session.Session[account]) { s.Data.Tags = []string{} })
	}
	if got, want := a.store.calls(), "map[Create:1 Get:5]"; got != want {
		t.Errorf("calls %s, want %s", got, want)
	}
}

func TestGetOutsideHandlerPanics(t *testing.T) {
	a, other := newApp(t, nil), newApp(t, nil)
	for name, ctx := range map[string]context.Context{
		"no handler":        t.Context(),
		"another manager's": other.NewContext(t.Context(), other.Start()),
	} {
		func() {
			defer func() {
				if msg := fmt.Sprint(recover()); !strings.Contains(msg, "Handler") {
					t.Errorf("%s: %v", name, msg)
				}
			}()
			a.Get(ctx)
		}()
	}
}

func TestPrintedSessionShowsItsIDOnly(t *testing.T) {
	a := newApp(t, nil)
	s := a.Start()
	s.Data.Name = "private"
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "pointer", s, "value", *s)
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		log.WriteString(fmt.Sprintf(format, s) + " " + fmt.Sprintf(format, *s) + "\n")
	}
	asJSON := slog.New(slog.NewJSONHandler(&log, nil))
	for _, v := range []any{s, *s, []*sess{s}, struct{ S *sess }{s}, map[string]any{"session": s}} {
		asJSON.Info("x", "nested", v)
	}
	id, secret, _ := strings.Cut(s.Token(), ".")
	if strings.Contains(log.String(), secret) || strings.Contains(log.String(), "private") {
		t.Errorf("printed:\n%s", &log)
	}
	if n := strings.Count(log.String(), id); n != 21 {
		t.Errorf("the ID stands %d times, want 21:\n%s", n, &log)
	}
}

func TestNewRefusesOptionsThatCannotWork(t *testing.T) {
	store := memory.New(nil)
	defer store.Close()
	refused := func(name, want string, f func()) {
		t.Helper()
		defer func() {
			t.Helper()
			if msg := fmt.Sprint(recover()); !strings.Contains(msg, want) {
				t.Errorf("%s: panic %q, want one with %q", name, msg, want)
			}
		}()
		f()
	}
	with := func(o session.Options[account]) func() { return func() { session.New(store, &o) } }
	refused("nil store", "nil", func() { session.New[account](nil, nil) })
	refused("long name", "32", with(session.Options[account]{Name: strings.Repeat("x", 33)}))
	refused("colon in name", "characters", with(session.Options[account]{Name: "a:b"}))
	refused("negative idle timeout", "IdleTimeout", with(session.Options[account]{IdleTimeout: -1}))
	refused("101 years", "Lifetime", with(session.Options[account]{Lifetime: tokensession.MaxTTL + 1}))
	refused("negative timeout", "StoreTimeout", with(session.Options[account]{StoreTimeout: -1}))
	refused("negative size", "MaxBytes", with(session.Options[account]{MaxBytes: -1}))
	refused("token length", "MinTokenLength", with(session.Options[account]{MinTokenLength: 129}))
	refused("a channel", "cannot encode", func() { session.New[struct{ C chan int }](store, nil) })
	refused("no exported field", "no exported field", func() { session.New[struct{ views int }](store, nil) })
	refused("header name", "field name", func() { session.Header("X Auth") })
	refused("no transport", "no transport", func() { session.First() })
	refused("nil transport", "nil", func() { session.First(nil) })
	for _, o := range []session.CookieOptions{
		{Insecure: true},
		{Domain: "example.com"},
		{Path: "/app"},
		{Name: "__host-x", Path: "/app"},
		{Name: "__HOST-HTTP-x", Domain: "example.com"},
		{Name: "__Secure-x", Insecure: true},
		{Name: "__http-x", Insecure: true},
		{Name: "x", SameSite: http.SameSiteNoneMode, Insecure: true},
		{Name: "x", Partitioned: true, Insecure: true},
		{Name: "a b"},
		{Name: "x", TrustedOrigins: []string{"example.com"}},
	} {
		refused(fmt.Sprintf("cookie %+v", o), "session: Cookie", func() { session.Cookie(o) })
	}
}
