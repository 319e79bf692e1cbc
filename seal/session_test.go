package seal_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/session"
)

type visit struct{ Views int }

// visitSite counts a visit with the token, and returns the count and the token to come with
// next time.
func visitSite(t *testing.T, store tokensession.Store, token string) (views, next string) {
	t.Helper()
	sessions := session.New[visit](store, nil)
	r := httptest.NewRequest("GET", "/", nil)
	sessions.SetToken(r, token)
	w := httptest.NewRecorder()
	sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := sessions.Get(r.Context())
		s.SetOwner("ada")
		if err := s.Update(r.Context(), func(v *visit) error { v.Views++; return nil }); err != nil {
			t.Error(err)
		}
		fmt.Fprint(w, s.Data.Views)
	})).ServeHTTP(w, r)
	if given := w.Header().Get("X-Auth-Token"); given != "" {
		token = given
	}
	return w.Body.String(), token
}

// Sessions that are used outlive a rotation. One that was not begins anew, without an error.
func TestSessionsOutliveRotation(t *testing.T) {
	m := newMemory(t)
	var used, idle, views string
	visits := func(want string, keys ...[]byte) {
		t.Helper()
		if views, used = visitSite(t, sealed(t, m, keys...), used); views != want {
			t.Errorf("%s views, want %s", views, want)
		}
	}
	_, idle = visitSite(t, sealed(t, m, oldKey), "")
	visits("1", oldKey)
	visits("2", oldKey, newKey)
	visits("3", newKey, oldKey)
	visits("4", newKey)

	views, next := visitSite(t, sealed(t, m, newKey), idle)
	if views != "1" || next == idle {
		t.Errorf("after its key was dropped: %s views, want 1 and another token", views)
	}
}

// In FIPS 140 mode, what it does not allow is an error or a panic.
func TestFIPSOnly(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run=^(TestRotation|TestTampering)$", "-test.v")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=only")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestRotation") {
		t.Errorf("%v:\n%s", err, out)
	}
}
