package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/log"
	"github.com/testcontainers/testcontainers-go/wait"
)

const (
	dockerTimeout = 3 * time.Second // for Docker to say that it is there
	pullTimeout   = 5 * time.Minute
	sessionLabel  = "tokensession.session"
)

// runner starts a container. It may return one together with an error.
type runner func(context.Context, string, ...testcontainers.ContainerCustomizer) (testcontainers.Container, error)

// module makes a runner of testcontainers.Run, or the Run of one of its modules, which
// return a nil pointer where there is no container.
func module[C interface {
	comparable
	testcontainers.Container
}](run func(context.Context, string, ...testcontainers.ContainerCustomizer) (C, error)) runner {
	return func(ctx context.Context, image string, options ...testcontainers.ContainerCustomizer) (testcontainers.Container, error) {
		var none C
		c, err := run(ctx, image, options...)
		if c == none {
			return nil, err
		}
		return c, err
	}
}

// engine is Docker, or what answers in its place.
type engine struct {
	*testcontainers.DockerClient
	version string
}

// connect looks for Docker. A socket that accepts and never answers would hold the
// discovery of testcontainers for ever, whatever the context says: then a goroutine
// stays behind.
func connect() (*engine, error) {
	log.SetDefault(log.NewNoopLogger())
	type answer struct {
		docker *engine
		err    error
	}
	answered := make(chan answer, 1)
	go func() {
		docker, err := discover()
		answered <- answer{docker, err}
	}()
	select {
	case a := <-answered:
		return a.docker, a.err
	case <-time.After(dockerTimeout):
		return nil, fmt.Errorf("no answer within %v", dockerTimeout)
	}
}

func discover() (docker *engine, err error) {
	defer func() {
		// Some ways of not finding Docker are panics in testcontainers.
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), dockerTimeout)
	defer cancel()
	docker = &engine{}
	if docker.DockerClient, err = testcontainers.NewDockerClientWithOpts(ctx); err != nil {
		return nil, err
	}
	answer, err := docker.ServerVersion(ctx, client.ServerVersionOptions{})
	if err != nil {
		return nil, err
	}
	docker.version = answer.Version
	return docker, nil
}

// fetch pulls an image that is not there. Testcontainers would try that again and again
// for a quarter of an hour, where no registry can be reached too.
func (e *engine) fetch(ctx context.Context, image string) error {
	if _, err := e.ImageInspect(ctx, image); err == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, pullTimeout)
	defer cancel()
	pull, err := e.ImagePull(ctx, image, client.ImagePullOptions{})
	if err != nil {
		return fmt.Errorf("pull %s: %w", image, err)
	}
	return pull.Wait(ctx)
}

// removeAll removes the containers of a session.
func (e *engine) removeAll(ctx context.Context, session string) error {
	label := make(client.Filters).Add("label", sessionLabel+"="+session)
	list, err := e.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: label})
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range list.Items {
		errs = append(errs, e.remove(ctx, c.ID))
	}
	return errors.Join(errs...)
}

func (e *engine) remove(ctx context.Context, id string) error {
	_, err := e.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	return err
}

// box is a host: a container.
type box struct {
	testcontainers.Container
	kind   *Kind
	docker *engine
	addr   string
	paused bool
}

func (s *session) startContainer(k *Kind, args []string) (*Server, error) {
	if s.docker == nil {
		return nil, s.noDocker
	}
	ctx := context.Background()
	image := path.Join(testcontainers.ReadConfig().Config.HubImageNamePrefix, k.image)
	if err := s.docker.fetch(ctx, image); err != nil {
		return nil, err
	}
	if err := os.WriteFile(s.containers(), nil, 0o600); err != nil {
		return nil, err
	}
	b := &box{kind: k, docker: s.docker}
	if err := b.run(s.name(), args); err != nil {
		return nil, err
	}
	return &Server{Addr: b.addr, How: fmt.Sprintf("testcontainers, Docker %s, %s", s.docker.version, image), host: b}, nil
}

// run makes the container. Its port is fixed, because one that Docker has chosen is
// another after a restart; somebody else may take it meanwhile: then another.
func (b *box) run(session string, args []string) error {
	for tries := 1; ; tries++ {
		port, err := freePort()
		if err != nil {
			return err
		}
		b.addr = net.JoinHostPort(loopback, port)
		err = b.runAt(port, session, args)
		if err == nil || isFree(port) || tries == portTries {
			return err
		}
	}
}

func (b *box) runAt(port, session string, args []string) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	b.Container, err = b.kind.run(ctx, b.kind.image,
		testcontainers.WithLabels(map[string]string{sessionLabel: session}),
		testcontainers.WithEnv(b.kind.env),
		testcontainers.WithExposedPorts(b.kind.port),
		testcontainers.WithCmdArgs(args...),
		testcontainers.WithHostConfigModifier(func(host *container.HostConfig) {
			host.PortBindings = network.PortMap{
				network.MustParsePort(b.kind.port): {{HostIP: netip.MustParseAddr(loopback), HostPort: port}},
			}
		}),
		testcontainers.WithWaitStrategy(b),
	)
	if err != nil && b.Container != nil {
		err = errors.Join(err, b.remove())
	}
	return err
}

// WaitUntilReady makes the box the wait.Strategy of its container.
func (b *box) WaitUntilReady(ctx context.Context, target wait.StrategyTarget) error {
	return b.kind.await(b.addr, func() error {
		state, err := target.State(ctx)
		if err != nil || state.Running {
			return err
		}
		printed, err := target.Logs(ctx)
		if err != nil {
			return err
		}
		defer printed.Close()
		text, err := io.ReadAll(printed)
		return errors.Join(fmt.Errorf("the container has ended with exit status %d\n%s", state.ExitCode, text), err)
	})
}

func (b *box) start() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	return b.Start(ctx)
}

func (b *box) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := b.resume(); err != nil {
		return err
	}
	return b.Stop(ctx, nil)
}

func (b *box) pause() error {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	_, err := b.docker.ContainerPause(ctx, b.GetContainerID(), client.ContainerPauseOptions{})
	b.paused = err == nil
	return err
}

func (b *box) resume() error {
	if !b.paused {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	_, err := b.docker.ContainerUnpause(ctx, b.GetContainerID(), client.ContainerUnpauseOptions{})
	b.paused = err != nil
	return err
}

func (b *box) remove() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return b.docker.remove(ctx, b.GetContainerID())
}
