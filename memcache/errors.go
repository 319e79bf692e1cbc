package memcache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/tokensession/tokensession"
)

// outcome leaves what the contract expects as it is; everything else becomes an
// OpError.
func (c *call) outcome(err error) error {
	switch err {
	case nil, tokensession.ErrNotFound, tokensession.ErrExists, tokensession.ErrConflict, tokensession.ErrClosed:
		return err
	}
	if cause := c.ended(); cause != nil && isTimeout(err) && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	return &tokensession.OpError{Driver: "memcache", Op: c.op, ID: c.id, Err: err}
}

// ended returns why the context has ended, even if its own timer has not noticed yet.
func (c *call) ended() error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	if deadline, ok := c.ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return nil
}

func isTimeout(err error) bool {
	var timeout net.Error
	var connecting *memcache.ConnectTimeoutError
	return errors.As(err, &timeout) && timeout.Timeout() || errors.As(err, &connecting)
}

// isBroken reports whether err is what a connection that the server has closed says.
func isBroken(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
