package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The Go blocks of README.md are an application, which comes first, and fragments
// that share what it declares. The test is here because this module requires every
// driver that they use.

// around the fragments: what they take for granted.
const around = `package fragments

type visit struct{ Views int }

var sessions *session.Manager[visit]

func newStore(testing.TB) tokensession.Store { return nil }
`

// imports of the fragments, by the name that they use.
var imports = map[string]string{
	"context":      "context",
	"http":         "net/http",
	"testing":      "testing",
	"tokensession": "github.com/tokensession/tokensession",
	"seal":         "github.com/tokensession/tokensession/seal",
	"session":      "github.com/tokensession/tokensession/session",
	"storetest":    "github.com/tokensession/tokensession/storetest",
}

func TestReadmeCompiles(t *testing.T) {
	fragments := strings.Join(append([]string{around}, readmeBlocks(t)[1:]...), "\n")
	buildReadme(t, fragments)
}

func TestReadmeApplicationRuns(t *testing.T) {
	addr := freeAddress(t)
	app := strings.Replace(readmeBlocks(t)[0], "localhost:8080", addr, 1)
	binary := filepath.Join(t.TempDir(), "app")
	buildReadme(t, app, "-o", binary)

	dir := t.TempDir() // where it keeps sessions.db
	var token string
	for start := range 2 {
		stop := startApp(t, binary, dir, addr)
		for view := range 2 {
			want := fmt.Sprintf("views: %d\n", 2*start+view+1)
			var got string
			if got, token = visitApp(t, addr, token); got != want {
				t.Errorf("start %d: got %q; want %q", start, got, want)
			}
		}
		stop()
	}
}

// readmeBlocks returns the Go blocks of README.md.
func readmeBlocks(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, m := range regexp.MustCompile("(?ms)^```go\n(.*?)^```$").FindAllSubmatch(text, -1) {
		blocks = append(blocks, string(m[1]))
	}
	if len(blocks) < 2 || !strings.HasPrefix(blocks[0], "package main\n") {
		t.Fatalf("README.md has %d Go blocks; want an application first, then fragments", len(blocks))
	}
	return blocks
}

// buildReadme builds a package of this module that has the source for its only file,
// and exists in an overlay alone.
func buildReadme(t *testing.T, source string, flags ...string) {
	t.Helper()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	tmp := t.TempDir()
	file, overlay := filepath.Join(tmp, "readme.go"), filepath.Join(tmp, "overlay.json")
	replace, err := json.Marshal(map[string]any{
		"Replace": map[string]string{filepath.Join(here, "readme", "readme.go"): file},
	})
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, withImports(source))
	write(t, overlay, string(replace))
	args := append([]string{"build", "-overlay", overlay}, flags...)
	out, err := exec.CommandContext(t.Context(), "go", append(args, "./readme")...).CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// withImports adds the imports that a source without any needs.
func withImports(source string) string {
	if strings.Contains(source, "\nimport ") {
		return source
	}
	var list strings.Builder
	for name, path := range imports {
		if regexp.MustCompile(`\b` + name + `\.`).MatchString(source) {
			fmt.Fprintf(&list, "import %q\n", path)
		}
	}
	clause, rest, _ := strings.Cut(source, "\n")
	return clause + "\n" + list.String() + rest
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// startApp returns when the application answers.
func startApp(t *testing.T, binary, dir, addr string) (stop func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary)
	cmd.Dir, cmd.Stderr = dir, t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for giveUp := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			break
		}
		if time.Now().After(giveUp) {
			t.Fatal(err)
		}
	}
	return func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // says that it was killed
	}
}

// visitApp returns what the application answers and the token for the next visit.
func visitApp(t *testing.T, addr, token string) (text, next string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("X-Auth-Token", token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if sent := res.Header.Get("X-Auth-Token"); sent != "" {
		token = sent
	}
	return string(body), token
}
