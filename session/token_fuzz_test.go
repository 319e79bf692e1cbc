package session

import (
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/tokensession/tokensession/memory"
)

var (
	serverTokens = regexp.MustCompile(`^[A-Za-z0-9_-]{24}\.[A-Za-z0-9_-]{43}$`)
	visibleASCII = regexp.MustCompile(`^[!-~]+$`)
)

// FuzzToken presents a token, and one that the manager made with bytes of it altered.
// Of all of them only the manager's own opens a session, and none is taken over.
func FuzzToken(f *testing.F) {
	store := memory.New(nil)
	f.Cleanup(func() { store.Close() })
	m := New(store, &Options[fuzzData]{Name: "fuzz", Logger: slog.New(slog.DiscardHandler)})
	own := m.Start()
	if err := own.Save(f.Context()); err != nil {
		f.Fatal(err)
	}

	f.Add("", []byte(nil))
	f.Add("0123456789-the-application-made-this", []byte{0, 1})
	f.Add(strings.Repeat("A", 24)+"."+strings.Repeat("B", 43), []byte("\x00\x00\x00\x80"))
	f.Add(strings.Repeat("A", 24)+"."+strings.Repeat("B", 42)+"+", append(make([]byte, 67), 1))
	f.Add(strings.Repeat("C", 69), append(make([]byte, 68), 'x'))
	f.Fuzz(func(t *testing.T, token string, change []byte) {
		checkParsed(t, token)
		for _, presented := range []string{token, alter(own.Token(), change)} {
			if presented == own.Token() {
				if _, err := m.Load(t.Context(), presented); err != nil {
					t.Errorf("the manager's own token: %v", err)
				}
				continue
			}
			checkNotAdopted(t, m, presented)
		}
	})
}

type fuzzData struct{ Views int }

// alter exclusive-ors a token with the bytes of change, which may make it longer.
func alter(token string, change []byte) string {
	b := []byte(token)
	for i, c := range change {
		if i == len(b) {
			b = append(b, 0)
		}
		b[i] ^= c
	}
	return string(b)
}

// checkParsed compares parseToken with what a token is by its documentation.
func checkParsed(t *testing.T, token string) {
	cred, ok := parseToken("fuzz", token, minTokenLen)
	isServers := serverTokens.MatchString(token)
	isApplications := !isServers && len(token) >= minTokenLen && len(token) <= maxTokenLen && visibleASCII.MatchString(token)
	if ok != (isServers || isApplications) {
		t.Fatalf("parsed: %v; the manager's shape: %v, an application's: %v", ok, isServers, isApplications)
	}
	if (checkAppToken(token, minTokenLen) == nil) != isApplications {
		t.Errorf("ResetToken and the parser disagree about it")
	}
	if !ok {
		return
	}
	want := credential{token: token}
	if isServers {
		id, secret, _ := strings.Cut(token, ".")
		want.id, want.secret = id, sha256.Sum256([]byte("secret\x00fuzz\x00"+secret))
	} else {
		id := sha256.Sum256([]byte("application id\x00fuzz\x00" + token))
		want.id, want.secret = base64.RawURLEncoding.EncodeToString(id[:18]), sha256.Sum256([]byte("application secret\x00fuzz\x00"+token))
	}
	if cred != want {
		t.Errorf("taken apart otherwise than documented: id %q, want %q", cred.id, want.id)
	}
}

// checkNotAdopted sends a request with a token that nobody was given. Its session is
// new, and is stored under an id and a secret of the manager's making.
func checkNotAdopted(t *testing.T, m *Manager[fuzzData], presented string) {
	var id string
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set(defaultHeader, presented)
	m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := m.Get(r.Context())
		if !s.IsNew() || s.Data.Views != 0 {
			t.Error("a token that was not given away opens a session")
		}
		s.Data.Views = 1
		id = s.ID()
	})).ServeHTTP(w, r)
	given := w.Header().Get(defaultHeader)
	if w.Code != http.StatusOK || !serverTokens.MatchString(given) || !strings.HasPrefix(given, id+".") {
		t.Fatalf("status %d; a token of the manager's was given: %v", w.Code, serverTokens.MatchString(given))
	}
	if given == presented || strings.HasPrefix(presented, id) {
		t.Error("a token that was not given away is taken over")
	}
	if _, err := m.Load(t.Context(), presented); err == nil {
		t.Error("a token that was not given away opens the session now")
	}
	if err := m.store.Delete(t.Context(), id); err != nil {
		t.Error(err)
	}
}
