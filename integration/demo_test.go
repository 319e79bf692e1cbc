package integration

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDemo runs the demo as a user would, on every backend, and again after a restart.
func TestDemo(t *testing.T) {
	command := filepath.Join(t.TempDir(), "tokensession")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", command, "github.com/tokensession/tokensession/cmd/tokensession")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			store := b.url(t)
			d := startDemo(t, command, store)
			token := d.ask(t, "POST", "", http.StatusCreated, 0)
			d.ask(t, "GET", token, http.StatusOK, 1)
			if b.name != "memory" {
				d.stop(t)
				d = startDemo(t, command, store)
			}
			d.ask(t, "GET", token, http.StatusOK, 2)
			d.ask(t, "DELETE", token, http.StatusNoContent, 0)
			d.ask(t, "GET", token, http.StatusUnauthorized, 0)
			d.stop(t)
		})
	}
}

// runningDemo is a demo and where its sessions are for programs.
type runningDemo struct {
	cmd *exec.Cmd
	api string
}

func startDemo(t *testing.T, command, store string) *runningDemo {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command, "demo", "--addr", "127.0.0.1:0", "--store", store)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("the demo printed no line: %v", err)
	}
	return &runningDemo{cmd, regexp.MustCompile(`http://[^ ]+/`).FindString(line) + "api/session"}
}

func (d *runningDemo) stop(t *testing.T) {
	t.Helper()
	if err := d.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v", err)
	}
}

// ask sends a request and returns the token of the answer, if it has one. The answer
// must have this status and count of views.
func (d *runningDemo) ask(t *testing.T, method, token string, status, views int) string {
	t.Helper()
	form := strings.NewReader(url.Values{"name": {"ada"}}.Encode())
	r, err := http.NewRequestWithContext(t.Context(), method, d.api, form)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("X-Auth-Token", token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct{ Views int }
	if resp.StatusCode != http.StatusNoContent {
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
			t.Fatal(err)
		}
	}
	if resp.StatusCode != status || answer.Views != views {
		t.Fatalf("%s: %s, %d views; want %d, %d views", method, resp.Status, answer.Views, status, views)
	}
	return resp.Header.Get("X-Auth-Token")
}
