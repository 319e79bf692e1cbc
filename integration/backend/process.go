package backend

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const (
	stopTimeout = 20 * time.Second
	portTries   = 5
)

// signals are what a program ends at: in order, and at once.
type signals struct{ stop, kill syscall.Signal }

// process is a host: a process of this machine. The directory has the server's data
// and what it prints.
type process struct {
	kind               *Kind
	program, dir, port string
	args               []string
	cmd                *exec.Cmd
	ended              <-chan struct{} // closed when the process has
	paused             []int           // the processes that do not run, nil unless paused
	dismiss            func() error    // ends the guard, while paused
}

func (s *session) startProcess(k *Kind, args []string) (*Server, error) {
	program, err := k.find()
	if err != nil {
		return nil, err
	}
	dir, err := s.newDir(k.name)
	if err != nil {
		return nil, err
	}
	p := &process{kind: k, program: program, dir: dir, args: args}
	if err := p.startFirst(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &Server{Addr: p.addr(), How: "local process " + program, host: p}, nil
}

// find returns the path of the kind's program.
func (k *Kind) find() (string, error) {
	if path, err := exec.LookPath(k.program); err == nil {
		return path, nil
	}
	found, err := filepath.Glob(filepath.Join(k.dirs, k.program))
	if err != nil {
		return "", err
	}
	if k.dirs == "" || len(found) == 0 {
		return "", fmt.Errorf("%s is not installed: install it (on Debian and Ubuntu: apt-get install %s), or Docker", k.program, k.debian)
	}
	return found[len(found)-1], nil
}

// startFirst prepares the directory and starts the server on a port that is free.
// Somebody else may take that in between: then on another.
func (p *process) startFirst() error {
	if p.kind.prepare != nil {
		if err := p.kind.prepare(p.program, p.dir); err != nil {
			return err
		}
	}
	var err error
	for range portTries {
		if p.port, err = freePort(); err != nil {
			return err
		}
		if err = p.start(); !errors.Is(err, errEnded) {
			return err
		}
	}
	return err
}

// freePort avoids the ports that Linux, from 32768, and others, from 49152, give to
// outgoing connections: a server that restarts must find its port free.
func freePort() (string, error) {
	for range 100 {
		if port := strconv.Itoa(20000 + rand.IntN(12000)); isFree(port) {
			return port, nil
		}
	}
	return "", fmt.Errorf("no port of %s is free", loopback)
}

func isFree(port string) bool {
	listener, err := net.Listen("tcp", net.JoinHostPort(loopback, port))
	return err == nil && listener.Close() == nil
}

func (p *process) addr() string { return net.JoinHostPort(loopback, p.port) }

func (p *process) start() error {
	log, err := os.OpenFile(filepath.Join(p.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	p.cmd = command(p.program, p.dir, append(p.kind.args(p.dir, p.port), p.args...)...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := startWithUs(p.cmd, p.kind.signals.kill); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func(cmd *exec.Cmd) {
		_ = cmd.Wait() // cmd.ProcessState has it
		close(ended)
	}(p.cmd)
	p.ended = ended
	if err := p.kind.await(p.addr(), p.hasEnded); err != nil {
		printed, readErr := os.ReadFile(log.Name())
		return errors.Join(fmt.Errorf("%w\n%s", err, bytes.TrimSpace(printed)), readErr, p.end(p.kind.signals.kill))
	}
	return nil
}

// errEnded is why a server does not answer whose process is gone.
var errEnded = errors.New("the process has ended")

func (p *process) hasEnded() error {
	select {
	case <-p.ended:
		return fmt.Errorf("%s: %w: %v", p.program, errEnded, p.cmd.ProcessState)
	default:
		return nil
	}
}

func (p *process) stop() error {
	return errors.Join(p.resume(), p.end(p.kind.signals.stop))
}

func (p *process) remove() error {
	return errors.Join(p.resume(), p.end(p.kind.signals.kill), os.RemoveAll(p.dir))
}

// end sends the signal and waits until the process is gone.
func (p *process) end(signal syscall.Signal) error {
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.ended:
		return nil
	case <-time.After(stopTimeout):
		return errors.Join(fmt.Errorf("%s has not ended %v after signal %v", p.program, stopTimeout, signal), p.cmd.Process.Kill())
	}
}

// pause stops the process first, so that it makes no more children, and then the ones
// that it has: in PostgreSQL there is one for each connection.
func (p *process) pause() (err error) {
	pid := p.cmd.Process.Pid
	if p.dismiss, err = guard(pid); err != nil {
		return err
	}
	p.paused = []int{pid}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	children, err := childrenOf(pid)
	if err != nil {
		return err
	}
	p.paused = append(p.paused, children...)
	for _, child := range children {
		if err := syscall.Kill(child, syscall.SIGSTOP); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return nil
}

func (p *process) resume() error {
	if p.paused == nil {
		return nil
	}
	var errs []error
	for _, pid := range p.paused {
		if err := syscall.Kill(pid, syscall.SIGCONT); !errors.Is(err, syscall.ESRCH) {
			errs = append(errs, err)
		}
	}
	p.paused = nil
	return errors.Join(append(errs, p.dismiss())...)
}
