package main

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asCommand, in the environment, makes the test binary the command itself.
const asCommand = "TOKENSESSION_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	os.Exit(m.Run())
}

// command is the command with arguments, in an empty directory and with a cache
// directory of its own.
func command(t *testing.T, cache string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Dir = t.TempDir()
	// os.UserCacheDir looks at one of these; the race detector would wait a second at exit.
	cmd.Env = append(os.Environ(), asCommand+"=1", "GORACE=atexit_sleep_ms=0", "XDG_CACHE_HOME="+cache, "HOME="+cache, "LocalAppData="+cache)
	return cmd
}

// call runs the command until it ends by itself.
func call(t *testing.T, cache string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	cmd := command(t, cache, args...)
	var out, err bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &err
	if e := cmd.Run(); e != nil && cmd.ProcessState == nil {
		t.Fatal(e)
	}
	return cmd.ProcessState.ExitCode(), out.String(), err.String()
}

// running is a demo that is running.
type running struct {
	cmd    *exec.Cmd
	stdout *bufio.Reader
	stderr bytes.Buffer
	url    string
}

func startDemo(t *testing.T, cache string, args ...string) *running {
	t.Helper()
	d := &running{cmd: command(t, cache, append([]string{"demo", "--addr", "127.0.0.1:0"}, args...)...)}
	stdout, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	d.cmd.Stderr = &d.stderr
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d.stdout = bufio.NewReader(stdout)
	line, err := d.stdout.ReadString('\n')
	if err != nil {
		t.Fatalf("the demo printed no line: %v; its errors: %s", err, d.stderr.String())
	}
	d.url = regexp.MustCompile(`http://[^ ]+/`).FindString(line)
	if d.url == "" || strings.Contains(d.url, ":0/") {
		t.Fatalf("the demo printed no URL with its port: %q", line)
	}
	return d
}

// stop ends the demo as Ctrl-C does, and wants status 0 and nothing more printed.
func (d *running) stop(t *testing.T, sig os.Signal) {
	t.Helper()
	if err := d.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(d.stdout)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Wait(); err != nil || len(rest) > 0 || d.stderr.Len() > 0 {
		t.Errorf("after %v: %v; stdout %q, stderr %q; want status 0 and nothing printed", sig, err, rest, d.stderr.String())
	}
}

func TestSignalsEndWithStatus0(t *testing.T) {
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		startDemo(t, t.TempDir(), "--store", "memory:").stop(t, sig)
	}
}

func TestShutdownDoesNotWaitForIdleClients(t *testing.T) {
	d := startDemo(t, t.TempDir(), "--store", "memory:")
	// As a browser's spare connection: open, never used.
	conn, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(d.url, "http://"), "/"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	began := time.Now()
	d.stop(t, os.Interrupt)
	if took := time.Since(began); took > 2*shutdownTimeout {
		t.Errorf("it took %v to end", took)
	}
}

func TestErrorsAreOneLine(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	cache := t.TempDir()
	defer startDemo(t, cache).stop(t, os.Interrupt)

	for _, c := range []struct {
		name   string
		args   []string
		status int
		want   string // in the error
	}{
		{"unknown command", []string{"dmeo"}, 2, `unknown command "dmeo"; the commands are demo, help`},
		{"unknown option", []string{"demo", "--adr", ":0"}, 2, "--addr, --help, --store"},
		{"option without value", []string{"demo", "--addr"}, 2, "--addr"},
		{"argument", []string{"demo", "memory:"}, 2, "demo takes no arguments"},
		{"port in use", []string{"demo", "--store", "memory:", "--addr", busy.Addr().String()}, 1, busy.Addr().String() + " is in use"},
		{"address without port", []string{"demo", "--store", "memory:", "--addr", "localhost"}, 1, "missing port"},
		{"file in use", []string{"demo", "--addr", "127.0.0.1:0"}, 1, filepath.Join("tokensession", "demo.db")},
		{"unknown scheme", []string{"demo", "--store", "floppy:a"}, 1, "registered: bolt, memcache, memory, postgres"},
		{"no scheme", []string{"demo", "--store", "sessions.db"}, 1, "bolt:sessions.db"},
		{"password", []string{"demo", "--store", "redis://me:hunter2@127.0.0.1:1/0"}, 1, "redis: the server cannot be used"},
		{"no server", []string{"demo", "--store", "postgres://me:hunter2@127.0.0.1:1/x"}, 1, "`user=me database=x`: 127.0.0.1:1 "},
		{"missing directory", []string{"demo", "--store", "bolt:missing/x.db"}, 1, "missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, stdout, stderr := call(t, cache, c.args...)
			if status != c.status || stdout != "" {
				t.Errorf("status %d, stdout %q; want status %d and no output", status, stdout, c.status)
			}
			if !strings.HasPrefix(stderr, "tokensession: ") || strings.Count(stderr, "\n") != 1 || strings.Contains(stderr, "\t") || !strings.Contains(stderr, c.want) {
				t.Errorf("stderr %q; want one line with %q", stderr, c.want)
			}
			if strings.Contains(stderr, "hunter2") {
				t.Errorf("stderr %q shows the password", stderr)
			}
		})
	}
}

// A server that accepts connections and says nothing does not hold the demo.
func TestSilentServer(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() }) // after the parallel subtests
	for _, scheme := range []string{"redis", "rediss", "postgres", "memcache"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			status, _, stderr := call(t, t.TempDir(), "demo", "--store", scheme+"://"+silent.Addr().String())
			if status != 1 || !strings.HasPrefix(stderr, "tokensession: ") || strings.Count(stderr, "\n") != 1 {
				t.Errorf("status %d, stderr %q; want status 1 and one line", status, stderr)
			}
		})
	}
}

func TestVersionAndHelp(t *testing.T) {
	for arg, want := range map[string]string{"--version": "tokensession version ", "--help": "demo"} {
		status, stdout, stderr := call(t, t.TempDir(), arg)
		if status != 0 || !strings.Contains(stdout, want) || stderr != "" {
			t.Errorf("%s: status %d, stdout %q, stderr %q; want %q on stdout", arg, status, stdout, stderr, want)
		}
	}
}
