package redis

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tokensession/tokensession"
)

// once is a command that go-redis does not send again after a network error: it cannot
// tell whether the first try took effect.
type once struct{ *redis.Cmd }

func (once) NoRetry() bool { return true }

func (c once) Clone() redis.Cmder { return once{c.Cmd.Clone().(*redis.Cmd)} }

// do sends a command once and returns the reply, which may be nil.
func (s *Store) do(ctx context.Context, args ...any) (any, error) {
	return s.doAfter(ctx, nil, args)
}

// doAfter is do with another command ahead, if any, in one round trip. What the other is
// answered does not matter.
func (s *Store) doAfter(ctx context.Context, ahead, args []any) (any, error) {
	for try := 0; ; try++ {
		cmd := once{redis.NewCmd(ctx, args...)}
		left := s.wait(ctx, func() {
			if ahead == nil {
				_ = s.client.Process(ctx, cmd)
				return
			}
			pipe := s.client.Pipeline()
			_ = pipe.Process(ctx, once{redis.NewCmd(ctx, ahead...)})
			_ = pipe.Process(ctx, cmd)
			exec(ctx, pipe)
		})
		if left != nil {
			return nil, left
		}
		err := cmd.Err()
		if refused(err) && pause(ctx, try) {
			continue
		}
		if err == redis.Nil {
			return nil, nil
		}
		return cmd.Val(), err
	}
}

// exec sends what is in pipe. Each command then has its reply or an error. go-redis gives
// none to those that it did not send because the server refused the connection in words,
// for its password say, so that they would seem to have empty replies.
func exec(ctx context.Context, pipe redis.Pipeliner) {
	cmds, err := pipe.Exec(ctx)
	if slices.ContainsFunc(cmds, func(cmd redis.Cmder) bool { return cmd.Err() != nil }) {
		return
	}
	for _, cmd := range cmds {
		cmd.SetErr(err)
	}
}

// wait runs fn, which talks to the server. If it returns an error, it has left fn
// behind, and what fn writes must not be read.
func (s *Store) wait(ctx context.Context, fn func()) error {
	if s.prompt || ctx.Done() == nil {
		fn()
		return nil
	}
	s.mu.Lock()
	if s.closed.Load() {
		s.mu.Unlock()
		return tokensession.ErrClosed
	}
	s.pending.Add(1)
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer s.pending.Done()
		defer close(done)
		fn()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// refused reports whether the server said that it did nothing, and that this will pass:
// a slot is being moved, or it has just started.
func refused(err error) bool {
	return err != nil && (redis.IsTryAgainError(err) || redis.IsLoadingError(err) || redis.IsClusterDownError(err))
}

// pause waits before another try, and reports whether there should be one. All of them
// take less than a second and a half.
func pause(ctx context.Context, try int) bool {
	const tries = 7
	if try == tries {
		return false
	}
	timer := time.NewTimer(10 * time.Millisecond << try)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// broken reports whether err is that of a connection which was closed while a command
// was under way, so that the server may have done it but will not do it later. A
// timeout is not: a server that stalls may do it when it goes on.
func broken(ctx context.Context, err error) bool {
	var server redis.Error
	var network net.Error
	switch {
	case err == nil, ctx.Err() != nil, errors.As(err, &server):
		return false
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return true
	}
	return errors.As(err, &network) && !network.Timeout()
}
