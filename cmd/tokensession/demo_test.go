package main

import (
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tokensession/tokensession/memory"
)

// browser is a client with cookies that is at a running demo.
type browser struct {
	t *testing.T
	http.Client
	url string
}

func newBrowser(t *testing.T, url string) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t, http.Client{Jar: jar}, url}
}

func (b *browser) get() string { return b.body(b.Get(b.url)) }

func (b *browser) post(path string, form url.Values) string {
	return b.body(b.PostForm(b.url+path, form))
}

func (b *browser) body(res *http.Response, err error) string {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

// want checks what a page shows, tags aside.
func (b *browser) want(page string, parts ...string) {
	b.t.Helper()
	text := html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(page, ""))
	for _, part := range parts {
		if !strings.Contains(text, part) {
			b.t.Fatalf("the page does not show %q:\n%s", part, text)
		}
	}
}

func TestRestartKeepsEverybodySignedIn(t *testing.T) {
	cache := t.TempDir()
	d := startDemo(t, cache)
	b := newBrowser(t, d.url)
	b.want(b.get(), "Sign in")
	b.want(b.post("sign-in", url.Values{"name": {"Ada <3"}}), "Signed in as Ada <3", "1 view ")
	b.want(b.get(), "2 views", "demo:Ada <3", `{"views":2,`)
	d.stop(t, os.Interrupt)

	d = startDemo(t, cache)
	defer d.stop(t, os.Interrupt)
	// Cookies do not distinguish ports.
	b.url = d.url
	b.want(b.get(), "Signed in as Ada <3", "3 views")
	b.want(b.post("sign-out", nil), "Sign in")
	b.want(b.get(), "Sign in")
}

func TestDataIsInTheCacheDirectory(t *testing.T) {
	cache := t.TempDir()
	d := startDemo(t, cache)
	d.stop(t, os.Interrupt)
	if left, err := os.ReadDir(d.cmd.Dir); err != nil || len(left) > 0 {
		t.Errorf("in the current directory: %v, %v; want nothing", left, err)
	}
	var found bool
	_ = filepath.WalkDir(cache, func(path string, _ os.DirEntry, err error) error {
		found = found || strings.HasSuffix(path, filepath.Join("tokensession", "demo.db"))
		return err
	})
	if !found {
		t.Errorf("no tokensession/demo.db below %s", cache)
	}
}

func TestSecretIsNotShown(t *testing.T) {
	d := startDemo(t, t.TempDir(), "--store", "memory:")
	defer d.stop(t, os.Interrupt)
	b := newBrowser(t, d.url)
	page := b.post("sign-in", url.Values{"name": {"ada"}})
	b.want(page, "secret=")
	if hash := regexp.MustCompile(`secret=[\w-]{7,}`).FindString(page); hash != "" {
		t.Errorf("the page shows %s; want at most 6 characters of the hash", hash)
	}
	u, _ := url.Parse(d.url)
	for _, c := range b.Jar.Cookies(u) {
		_, secret, _ := strings.Cut(c.Value, ".")
		if strings.Contains(page, secret) {
			t.Errorf("the page shows the secret of the token")
		}
	}
}

// The three lines of curl are run as the page shows them.
func TestShellLines(t *testing.T) {
	d := startDemo(t, t.TempDir(), "--store", "memory:")
	defer d.stop(t, os.Interrupt)
	page := newBrowser(t, d.url).get()
	_, lines, _ := strings.Cut(page, `<pre tabindex="0">`)
	lines, _, _ = strings.Cut(lines, "</pre>")
	signIn, view, signOut := threeLines(t, html.UnescapeString(lines))

	out, err := exec.CommandContext(t.Context(), "sh", "-euc",
		strings.Join([]string{signIn, view, view, signOut, view}, "\n")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v (the test needs sh, and curl 7.84 or newer): %s", err, out)
	}
	answers := json.NewDecoder(strings.NewReader(string(out)))
	for views := 1; views <= 2; views++ {
		var a answer
		if err := answers.Decode(&a); err != nil {
			t.Fatalf("%v in:\n%s", err, out)
		}
		if a.Name != "ada" || a.Views != views || a.Stored.ID == "" || a.Stored.Expires.IsZero() {
			t.Errorf("got %+v; want ada with %d views", a, views)
		}
	}
	var p problem
	if err := answers.Decode(&p); err != nil || p.Error != "not signed in" {
		t.Errorf("after signing out: %+v, %v; want that nobody is signed in", p, err)
	}
}

func threeLines(t *testing.T, text string) (first, second, third string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) != 3 {
		t.Fatalf("the page shows %d lines for the shell; want 3:\n%s", len(lines), text)
	}
	return lines[0], lines[1], lines[2]
}

func TestNames(t *testing.T) {
	d := startDemo(t, t.TempDir(), "--store", "memory:")
	defer d.stop(t, os.Interrupt)
	for name, want := range map[string]string{
		"":                             "Please give a name.",
		" \t ":                         "Please give a name.",
		"a\x00b":                       "Please give a name of letters.",
		"\xff":                         "Please give a name of letters.",
		strings.Repeat("ä", maxName+1): "at most 64 characters",
		strings.Repeat("ä", maxName):   "Signed in as ä",
	} {
		b := newBrowser(t, d.url)
		b.want(b.post("sign-in", url.Values{"name": {name}}), want)
	}
}

func TestOtherSitesCannotSignIn(t *testing.T) {
	d := startDemo(t, t.TempDir(), "--store", "memory:")
	defer d.stop(t, os.Interrupt)
	req, err := http.NewRequest("POST", d.url+"sign-in", strings.NewReader("name=mallory"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", "https://example.com")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusForbidden || len(res.Cookies()) > 0 {
		t.Errorf("%s with %d cookies; want 403 without", res.Status, len(res.Cookies()))
	}
}

// A session ended in another tab is no error.
func TestSignedOutElsewhere(t *testing.T) {
	d := startDemo(t, t.TempDir(), "--store", "memory:")
	defer d.stop(t, os.Interrupt)
	b := newBrowser(t, d.url)
	b.post("sign-in", url.Values{"name": {"ada"}})
	u, _ := url.Parse(d.url)
	cookies := b.Jar.Cookies(u)
	b.post("sign-out", nil)
	b.Jar.SetCookies(u, cookies) // the tab that has not noticed
	b.want(b.get(), "Sign in")
	b.want(b.post("sign-out", nil), "Sign in")
}

func TestStoreOutage(t *testing.T) {
	store := memory.New(nil)
	handler := newSite(store, "http://127.0.0.1/", "memory").handler()
	request := func(method, path, token string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, strings.NewReader("name=ada"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("X-Auth-Token", token)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w
	}
	token := request("POST", "/api/session", "").Header().Get("X-Auth-Token")
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ method, path, token, want string }{
		{"POST", "/sign-in", "", "The store did not answer."},
		{"POST", "/api/session", "", `"error": "the store did not answer"`},
		{"GET", "/api/session", token, `"error": "the store did not answer"`},
	} {
		w := request(c.method, c.path, c.token)
		if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s %s: %d %s; want 503 and %s", c.method, c.path, w.Code, w.Body, c.want)
		}
	}
}
