package backend

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// childEnv makes this test binary a process that starts servers of the kinds named in
// it, and prints a line about each. A kind with an exclamation mark is paused.
const childEnv = "TOKENSESSION_BACKEND_CHILD"

// nowhere is a directory that is not there.
const nowhere = "/nonexistent"

func child(names []string) {
	if os.Getenv("PATH") == nowhere {
		KindPostgres.dirs = nowhere
	}
	for _, name := range names {
		name, paused := strings.CutSuffix(name, "!")
		for _, k := range kinds {
			if k.name == name {
				fmt.Println(line(k, paused))
			}
		}
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent closes it
	if err := endSession(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// line is the address of a new server and how it runs, or what went wrong.
func line(k *Kind, paused bool) string {
	s, err := k.start(nil)
	k.shared = s
	if err == nil && paused {
		err = s.host.pause()
	}
	if err != nil {
		return "error\t" + strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	return s.Addr + "\t" + s.How
}

// startChild returns what the child has printed about each server, split at the tab.
func startChild(t *testing.T, env []string, kinds ...string) (*exec.Cmd, [][2]string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), env...), childEnv+"="+strings.Join(kinds, " "))
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
		_ = cmd.Wait() // it may have been killed
	})
	var said [][2]string
	for lines := bufio.NewScanner(stdout); len(said) < len(kinds) && lines.Scan(); {
		first, second, _ := strings.Cut(lines.Text(), "\t")
		said = append(said, [2]string{first, second})
	}
	if len(said) != len(kinds) {
		t.Fatalf("the child has said no more than %v", said)
	}
	return cmd, said
}

func listens(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	return err == nil && conn.Close() == nil
}

// Servers of containers are ended by the next session, or by the reaper of
// testcontainers.
func TestServersEndWithAKilledProcess(t *testing.T) {
	t.Parallel()
	for _, names := range [][]string{
		{"redis", "postgres", "memcache"},
		{"redis!", "postgres!", "memcache!"},
	} {
		t.Run(names[0], func(t *testing.T) {
			killed, servers := startChild(t, nil, names...)
			sweep(t)
			for _, s := range servers {
				if !listens(s[0]) {
					t.Fatalf("before the kill: %v", s)
				}
			}
			if err := killed.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := killed.Wait(); err == nil {
				t.Fatal("the child was not killed")
			}
			for _, s := range servers {
				for begun := time.Now(); listens(s[0]); sweep(t) {
					if time.Since(begun) > stopTimeout {
						t.Fatalf("it still listens: %v", s)
					}
					time.Sleep(10 * time.Millisecond)
				}
			}
		})
	}
}

func sweep(t *testing.T) {
	t.Helper()
	session, err := currentSession()
	if err == nil {
		err = session.sweep()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// deaf is a socket that accepts connections and never answers. Testcontainers would
// look for Docker elsewhere too if it did not accept any.
func deaf(t *testing.T) (path string) {
	dir, err := os.MkdirTemp("", "deaf") // t.TempDir is longer than a socket's path may be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	listener, err := net.Listen("unix", dir+"/socket")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return dir + "/socket"
}

func TestDockerThatNeverAnswers(t *testing.T) {
	t.Parallel()
	begun := time.Now()
	_, servers := startChild(t, []string{"DOCKER_HOST=unix://" + deaf(t), serversEnv + "="}, "redis", "memcache")
	for _, s := range servers {
		if !strings.HasPrefix(s[1], "local process") || !strings.Contains(s[1], "(Docker: ") {
			t.Errorf("it was started so: %v", s)
		}
	}
	if took := time.Since(begun); took > startTimeout/2 { // and not for ever; the machine may be busy
		t.Errorf("it took %v", took)
	}
}

func TestWhatToInstall(t *testing.T) {
	t.Parallel()
	_, servers := startChild(t, []string{"DOCKER_HOST=unix://" + deaf(t), serversEnv + "=", "PATH=" + nowhere},
		"redis", "postgres", "memcache")
	for i, want := range []string{"apt-get install redis-server", "apt-get install postgresql", "apt-get install memcached"} {
		if s := servers[i]; s[0] != "error" || !strings.Contains(s[1], want) || !strings.Contains(s[1], "Docker") {
			t.Errorf("%v; want an error with %q", s, want)
		}
	}
}

func TestWayIsForced(t *testing.T) {
	t.Parallel()
	_, servers := startChild(t, []string{serversEnv + "=" + onMachine}, "redis")
	if s := servers[0]; !strings.HasPrefix(s[1], "local process") || strings.Contains(s[1], "Docker") {
		t.Errorf("local is wanted, and got %v", s)
	}
	_, servers = startChild(t, []string{serversEnv + "=" + inDocker, "DOCKER_HOST=unix://" + deaf(t)}, "redis")
	if s := servers[0]; s[0] != "error" {
		t.Errorf("docker is wanted, which is not there, and got %v", s)
	}
	_, servers = startChild(t, []string{serversEnv + "=cloud"}, "redis")
	if s := servers[0]; s[0] != "error" || !strings.Contains(s[1], `"cloud"`) {
		t.Errorf("a way that is unknown got %v", s)
	}
}
