package backend

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if names := os.Getenv(childEnv); names != "" {
		child(strings.Fields(names))
		return
	}
	Main(m)
}

// each runs a test with a server of each kind.
func each(t *testing.T, test func(t *testing.T, s *Server)) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			test(t, k.Start(t))
		})
	}
}

func ask(t *testing.T, s *Server) {
	t.Helper()
	version, err := s.kind.version(s.URL)
	if err != nil || version != s.Version {
		t.Errorf("%s says %q, %v; it said %q", s.URL, version, err, s.Version)
	}
}

func TestRestartedServerHasTheSameAddress(t *testing.T) {
	each(t, func(t *testing.T, s *Server) {
		t.Log(s.Version, s.How)
		s.Restart(t)
		ask(t, s)
		s.Stop(t)
		if version, err := s.kind.version(s.URL); err == nil {
			t.Errorf("a stopped server says %q", version)
		}
		s.Restart(t)
		ask(t, s)
	})
}

func TestPausedServerStalls(t *testing.T) {
	each(t, func(t *testing.T, s *Server) {
		s.Pause(t)
		answered := make(chan error, 1)
		go func() {
			_, err := s.kind.version(s.URL)
			answered <- err
		}()
		select {
		case err := <-answered:
			t.Errorf("a paused server answers: %v", err)
		case <-time.After(askTimeout / 10):
		}
		s.Resume(t)
		if err := <-answered; err != nil {
			t.Errorf("after Resume: %v", err)
		}
		s.Pause(t)
		s.Restart(t)
		ask(t, s)
	})
}

func TestServerThatDoesNotStart(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			begun := time.Now()
			_, err := k.start([]string{"--no-such-option"})
			if err == nil || !strings.Contains(err.Error(), "no-such-option") {
				t.Errorf("the error does not say what the server printed: %v", err)
			}
			if took := time.Since(begun); took > startTimeout/2 {
				t.Errorf("it took %v to see that", took)
			}
		})
	}
}

// skipper is a test that is asked to skip.
type skipper struct {
	testing.TB
	said string
}

func (s *skipper) Skipf(format string, args ...any) {
	s.said = format
	runtime.Goexit()
}

func TestExcludedBackendIsSkipped(t *testing.T) {
	t.Setenv(withoutEnv, "bolt redis")
	done := make(chan *skipper)
	go func() {
		s := &skipper{TB: t}
		defer func() { done <- s }()
		Redis(s)
	}()
	if s := <-done; s.said == "" {
		t.Error("Redis is excluded, and was started")
	}
	SkipExcluded(t, "postgres")
}

func TestReport(t *testing.T) {
	path := t.TempDir() + "/report"
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(reportEnv, path)
	s := &Server{Version: "7.2", How: "somehow", kind: KindRedis}
	err := errors.Join(s.report(), s.report())
	got, readErr := os.ReadFile(path)
	if want := strings.Repeat("redis\t7.2\tsomehow\n", 2); string(got) != want || errors.Join(err, readErr) != nil {
		t.Errorf("%q, %v; want %q", got, errors.Join(err, readErr), want)
	}
}
