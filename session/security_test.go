package session_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/session"
)

// TestCookiePrefixes tries each prefix in every writing with every combination of the
// attributes that the prefixes are about (RFC 6265bis, section 4.1.3, and its successor for
// those with Http). Browsers refuse a cookie that breaks them, so Cookie does.
func TestCookiePrefixes(t *testing.T) {
	type promise struct{ secure, host bool }
	accepted := func(o session.CookieOptions) (ok bool) {
		defer func() { ok = recover() == nil }()
		session.Cookie(o)
		return
	}
	for prefix, p := range map[string]promise{
		"__host-":      {secure: true, host: true},
		"__secure-":    {secure: true},
		"__http-":      {secure: true},
		"__host-http-": {secure: true, host: true},
		"__other-":     {},
		"x__host-":     {},
		"__host":       {},
		"":             {},
	} {
		for _, name := range writings(prefix) {
			for bits := range 1 << 5 {
				o := session.CookieOptions{Name: name + "s", Insecure: bits&1 != 0, Partitioned: bits&2 != 0}
				if bits&4 != 0 {
					o.Domain = "example.com"
				}
				if bits&8 != 0 {
					o.Path = "/app"
				}
				if bits&16 != 0 {
					o.SameSite = http.SameSiteNoneMode
				}
				want := !(p.secure && o.Insecure) && !(p.host && (o.Domain != "" || o.Path != "")) &&
					!(o.Insecure && (o.Partitioned || o.SameSite == http.SameSiteNoneMode))
				if accepted(o) != want {
					t.Errorf("%+v: accepted: %v, want %v", o, !want, want)
				}
			}
		}
	}
}

// writings are all that differ from a name in the case of letters only.
func writings(name string) []string {
	all := []string{""}
	for _, c := range strings.Split(name, "") {
		both := []string{c}
		if upper := strings.ToUpper(c); upper != c {
			both = append(both, upper)
		}
		var longer []string
		for _, beginning := range all {
			for _, c := range both {
				longer = append(longer, beginning+c)
			}
		}
		all = longer
	}
	return all
}

// Browsers drop a cookie whose name and value have more than 4096 bytes (RFC 6265bis,
// section 5.6).
func TestCookieFits(t *testing.T) {
	fits := func(name string) (ok bool) {
		defer func() { ok = recover() == nil }()
		session.Cookie(session.CookieOptions{Name: name})
		return
	}
	const longestToken = 128
	if name := strings.Repeat("n", 4096-longestToken); !fits(name) || fits(name+"n") {
		t.Errorf("a name of %d bytes fits: %v; with one more: %v", len(name), fits(name), fits(name+"n"))
	}
}

// TestTokensAreRandom looks at each bit of many tokens. It is set in half of them, within
// eight standard deviations.
func TestTokensAreRandom(t *testing.T) {
	const tokens = 4096
	m := newApp(t, nil).Manager
	seen := make(map[string]bool)
	var set [18*8 + 32*8]int
	for range tokens {
		id, secret, _ := strings.Cut(m.Start().Token(), ".")
		bits := append(unbase64(t, id), unbase64(t, secret)...)
		if len(bits)*8 != len(set) {
			t.Fatalf("a token of %d bits, want %d", len(bits)*8, len(set))
		}
		for i := range set {
			set[i] += int(bits[i/8] >> (i % 8) & 1)
		}
		seen[id], seen[secret] = true, true
	}
	if len(seen) != 2*tokens {
		t.Errorf("%d ids and secrets, of which %d differ", 2*tokens, len(seen))
	}
	for i, n := range set {
		if n < tokens/2-256 || n > tokens/2+256 {
			t.Errorf("bit %d is set in %d of %d tokens", i, n, tokens)
		}
	}
}

// No session is stored over another, however unlikely it is that they have the same id.
func TestIDThatIsTaken(t *testing.T) {
	a := newApp(t, nil)
	s := a.Start()
	other := tokensession.Record{Data: []byte("another's"), TTL: time.Hour}
	if _, err := a.store.Create(t.Context(), s.ID(), other); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(t.Context()); err == nil || !s.IsNew() {
		t.Errorf("Save: %v, new: %v", err, s.IsNew())
	}
	if rec, err := a.store.Get(t.Context(), s.ID()); err != nil || string(rec.Data) != "another's" {
		t.Errorf("%v, %q", err, rec.Data)
	}

	taken := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Note = "another's" })
	rec, err := a.store.Get(t.Context(), taken[:24])
	if err != nil {
		t.Fatal(err)
	}
	s = a.Start()
	if _, err := a.store.Create(t.Context(), s.ID(), rec); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(t.Context()); !errors.Is(err, tokensession.ErrExists) || s.Data.Note != "" {
		t.Errorf("over a session: %v, %+v", err, s.Data)
	}
}

func unbase64(t *testing.T, s string) []byte {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A token that comes another way than the Transport's is not looked at.
func TestTokenComesByItsTransportOnly(t *testing.T) {
	for name, transport := range map[string]session.Transport{
		"X-Auth-Token":   session.Header("X-Auth-Token"),
		"Authorization":  session.Bearer(),
		"__Host-session": session.Cookie(session.CookieOptions{}),
	} {
		t.Run(name, func(t *testing.T) {
			a := newApp(t, &session.Options[account]{Transport: transport})
			s := a.Start()
			if err := s.Save(t.Context()); err != nil {
				t.Fatal(err)
			}
			a.keep(s.Token())
			form := url.Values{name: {s.Token()}, "token": {s.Token()}, "session": {s.Token()}}
			r := httptest.NewRequest("POST", "/"+s.Token()+";"+name+"="+s.Token()+"?"+form.Encode(), strings.NewReader(form.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Referer", "https://example.com/?"+form.Encode())
			for other, value := range map[string]string{
				"X-Auth-Token":  s.Token(),
				"Authorization": "Bearer " + s.Token(),
				"Cookie":        "__Host-session=" + s.Token(),
				"X-Session":     s.Token(),
			} {
				if other != name && !(other == "Cookie" && name == "__Host-session") {
					r.Header.Set(other, value)
				}
			}
			a.serve(r, func(w http.ResponseWriter, r *http.Request) {
				if s := a.Get(r.Context()); !s.IsNew() {
					t.Error("it opens the session")
				}
			})
			if calls := a.store.calls(); calls != "map[Create:1]" {
				t.Errorf("the store was asked: %s", calls)
			}
		})
	}
}

// The token of a cookie is sent in Set-Cookie and nowhere else, so that scripts never see
// it.
func TestCookieTokenIsSentInTheCookieOnly(t *testing.T) {
	a := newApp(t, &session.Options[account]{Transport: session.Cookie(session.CookieOptions{})})
	var token string
	w := a.request("", func(ctx context.Context, s *sess) { token = s.Token() })
	a.keep(token)
	set := w.Header()["Set-Cookie"]
	if len(set) != 1 || !strings.Contains(set[0], token) || !strings.Contains(set[0], "; HttpOnly") {
		t.Fatalf("%d cookies; the attributes: %v", len(set), strings.ReplaceAll(fmt.Sprint(set), token, "TOKEN"))
	}
	w.Header().Del("Set-Cookie")
	if rest := fmt.Sprint(w.Header()) + w.Body.String(); strings.Contains(rest, token[25:]) {
		t.Error("the token stands elsewhere in the response too")
	}
}

var (
	testNames   = regexp.MustCompile("`((?:Test|Fuzz|Example)[A-Za-z0-9_]*)`")
	testFuncs   = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Example)[A-Za-z0-9_]*)\(`)
	asvsNumbers = regexp.MustCompile(`(?m)^\| (\d+\.\d+\.\d+) \|`)
)

// TestSecurityPageIsTrue checks that each test that docs/security.md names is there, and
// that no requirement of the chapter is missing.
func TestSecurityPageIsTrue(t *testing.T) {
	page, err := os.ReadFile("../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := make(map[string]bool)
	err = filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, match := range testFuncs.FindAllSubmatch(source, -1) {
			tests[string(match[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := testNames.FindAllSubmatch(page, -1)
	if len(named) == 0 {
		t.Error("it names no test")
	}
	for _, match := range named {
		if !tests[string(match[1])] {
			t.Errorf("there is no test %s", match[1])
		}
	}
	var listed []string
	for _, match := range asvsNumbers.FindAllSubmatch(page, -1) {
		listed = append(listed, string(match[1]))
	}
	for section, requirements := range map[string]int{"7.1": 3, "7.2": 4, "7.3": 2, "7.4": 5, "7.5": 3, "7.6": 2, "3.3": 5} {
		for i := range requirements {
			if number := fmt.Sprint(section, ".", i+1); !slices.Contains(listed, number) {
				t.Errorf("requirement %s is missing", number)
			}
		}
	}
}
