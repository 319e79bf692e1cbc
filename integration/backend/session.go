package backend

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

const (
	// serversEnv says how servers run. Without it they run in containers if they can.
	serversEnv = "TOKENSESSION_SERVERS"
	inDocker   = "docker"
	onMachine  = "local"

	sessionPrefix = "tokensession-servers-"
)

// session is what this process has of servers. Its directory holds those of local
// servers, and a file that is locked as long as this process lives: so another process
// can tell what was left by a dead one. The name of the directory is the session's, and
// stands on its containers.
type session struct {
	dir  string
	lock *os.File
	ways string // what serversEnv says

	docker   *engine
	noDocker error // why docker is nil
}

var (
	sessionOnce sync.Once
	theSession  *session
	sessionErr  error
)

// currentSession is begun by the first server.
func currentSession() (*session, error) {
	sessionOnce.Do(func() { theSession, sessionErr = newSession() })
	return theSession, sessionErr
}

func newSession() (*session, error) {
	s := &session{ways: os.Getenv(serversEnv)}
	switch s.ways {
	case "", inDocker:
		s.docker, s.noDocker = connect()
	case onMachine:
		s.noDocker = fmt.Errorf("excluded by %s", serversEnv)
	default:
		return nil, fmt.Errorf("%s=%q: it may be %q, %q or nothing", serversEnv, s.ways, inDocker, onMachine)
	}
	if err := s.makeDir(); err != nil {
		return nil, err
	}
	return s, s.sweep()
}

// makeDir lets nobody see the directory under its name before the lock is held.
func (s *session) makeDir() error {
	hidden, err := os.MkdirTemp("", "."+sessionPrefix)
	if err != nil {
		return err
	}
	s.dir = filepath.Join(filepath.Dir(hidden), filepath.Base(hidden)[1:])
	if s.lock, err = os.OpenFile(filepath.Join(hidden, "lock"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return err
	}
	return errors.Join(
		syscall.Flock(int(s.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB),
		os.Chmod(hidden, 0o711), // the user of the servers passes
		os.Rename(hidden, s.dir),
	)
}

// name is what its containers are labelled with.
func (s *session) name() string { return filepath.Base(s.dir) }

// newDir makes a directory for a local server.
func (s *session) newDir(name string) (string, error) {
	dir, err := os.MkdirTemp(s.dir, name+"-")
	if err != nil {
		return "", err
	}
	return dir, giveAway(dir)
}

// start starts a server in the way that the caller wants, or that works.
func (s *session) start(k *Kind, args []string) (*Server, error) {
	if s.ways == onMachine {
		return s.startProcess(k, args)
	}
	server, dockerErr := s.startContainer(k, args)
	if dockerErr == nil || s.ways == inDocker {
		return server, dockerErr
	}
	server, err := s.startProcess(k, args)
	if err != nil {
		return nil, errors.Join(err, fmt.Errorf("and no container: %w", dockerErr))
	}
	reason, _, _ := strings.Cut(dockerErr.Error(), "\n")
	server.How += " (Docker: " + reason + ")"
	return server, nil
}

// containers is a file in the directory of a session that has had some.
func (s *session) containers() string { return filepath.Join(s.dir, "containers") }

// sweep removes what dead sessions have left: containers, if no reaper of testcontainers
// did that, and the files of local servers, which end with their parent.
func (s *session) sweep() error {
	dirs, err := filepath.Glob(filepath.Join(filepath.Dir(s.dir), sessionPrefix+"*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, dir := range dirs {
		errs = append(errs, s.sweepDir(&session{dir: dir}))
	}
	return errors.Join(errs...)
}

func (s *session) sweepDir(other *session) error {
	lock, err := os.OpenFile(filepath.Join(other.dir, "lock"), os.O_RDWR, 0)
	if err != nil {
		return nil // another user's, or another process has just swept it
	}
	defer lock.Close()
	if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		return nil // it lives
	}
	if _, err := os.Stat(other.containers()); err == nil {
		if s.docker == nil {
			return nil // for a session that has Docker
		}
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		if err := s.docker.removeAll(ctx, other.name()); err != nil {
			return err
		}
	}
	return os.RemoveAll(other.dir)
}

// endSession ends the shared servers and leaves nothing behind.
func endSession() error {
	if theSession == nil {
		return nil
	}
	var errs []error
	for _, k := range kinds {
		if k.shared != nil {
			errs = append(errs, k.shared.host.remove())
		}
	}
	return errors.Join(append(errs, os.RemoveAll(theSession.dir))...)
}
