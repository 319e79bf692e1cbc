package backend

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// loopback is where every server listens.
const loopback = "127.0.0.1"

const (
	startTimeout = time.Minute     // of a server, without what it has to download
	askTimeout   = 5 * time.Second // of one question to a server
)

// Server is a server that runs.
type Server struct {
	URL     string // as tokensession.Open takes it, without options
	Addr    string // 127.0.0.1 and the port
	Version string // as the server says it
	How     string // for people: "testcontainers, Docker 28.2.2, redis:8", "local process /usr/bin/redis-server"

	kind *Kind
	host host
}

// host is what a server runs in. After start, stop or resume the address is the same.
type host interface {
	start() error
	stop() error  // in order, with the data saved where the server saves data
	pause() error // it accepts connections, and does not answer
	resume() error
	remove() error // whatever state it is in, with its data
}

// start starts a server and waits until it answers.
func (k *Kind) start(args []string) (*Server, error) {
	run, err := currentSession()
	if err != nil {
		return nil, err
	}
	s, err := run.start(k, args)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k, err)
	}
	s.kind, s.URL = k, k.url(s.Addr)
	if s.Version, err = k.version(s.URL); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", k, err), s.host.remove())
	}
	return s, nil
}

// await waits until a server answers, or has ended. Somebody else may answer in its
// place if he took the port: so ended counts for more than an answer.
func (k *Kind) await(addr string, ended func() error) error {
	deadline := time.Now().Add(startTimeout)
	for {
		_, err := k.version(k.url(addr))
		if end := ended(); end != nil {
			return end
		}
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// askVersion asks a server with a protocol of lines, and returns what follows the
// prefix in a line of the answer.
func askVersion(addr, question, prefix string) (string, error) {
	conn, err := net.DialTimeout("tcp", addr, askTimeout)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(askTimeout)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, question); err != nil {
		return "", err
	}
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		if version, found := strings.CutPrefix(lines.Text(), prefix); found {
			return version, nil
		}
		if strings.HasPrefix(lines.Text(), "-") {
			return "", errors.New(lines.Text())
		}
	}
	return "", cmp.Or(lines.Err(), io.ErrUnexpectedEOF)
}

// Pause makes the server stall: it neither answers nor closes a connection. It goes on
// with Resume, and at the end of the test.
func (s *Server) Pause(tb testing.TB) {
	tb.Helper()
	if err := s.host.pause(); err != nil {
		tb.Fatalf("pause %s: %v", s.kind, err)
	}
	tb.Cleanup(func() { s.Resume(tb) })
}

// Resume ends a Pause, if there is one.
func (s *Server) Resume(tb testing.TB) {
	tb.Helper()
	if err := s.host.resume(); err != nil {
		tb.Fatalf("resume %s: %v", s.kind, err)
	}
}

// Stop stops the server in order. Its port refuses connections until Restart.
func (s *Server) Stop(tb testing.TB) {
	tb.Helper()
	if err := s.host.stop(); err != nil {
		tb.Fatalf("stop %s: %v", s.kind, err)
	}
}

// Restart stops the server, unless it is stopped, and starts it with the data that it
// kept, on the same port.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	s.Stop(tb)
	if err := s.host.start(); err != nil {
		tb.Fatalf("start %s: %v", s.kind, err)
	}
}
