package redis

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tokensession/tokensession"
)

// outcome leaves what the contract expects as it is; everything else becomes an
// OpError.
func (s *Store) outcome(ctx context.Context, op, id string, err error) error {
	switch {
	case err == nil,
		errors.Is(err, tokensession.ErrNotFound),
		errors.Is(err, tokensession.ErrExists),
		errors.Is(err, tokensession.ErrConflict),
		errors.Is(err, tokensession.ErrClosed):
		return err
	}
	return &tokensession.OpError{Driver: "redis", Op: op, ID: id, Err: s.explain(ctx, id, err)}
}

// explain adds to err what it means in words of this package.
func (s *Store) explain(ctx context.Context, id string, err error) error {
	err = s.discreet(id, err)
	if cause := contextError(ctx, err); cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	if redis.HasErrorPrefix(err, "WRONGTYPE") {
		return fmt.Errorf("%w: %w", tokensession.ErrCorrupt, err)
	}
	return err
}

// contextError returns the error of ctx if that is why err came about. The socket's
// deadline is that of ctx, and may be noticed first.
func contextError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	deadline, ok := ctx.Deadline()
	if ok && errors.Is(err, os.ErrDeadlineExceeded) && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return nil
}

// discreet returns err, or one without the id and the passwords: Redis quotes the
// arguments of a command that it does not know.
func (s *Store) discreet(id string, err error) error {
	text := err.Error()
	for _, secret := range s.secrets {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "…")
		}
	}
	if len(id) > 8 {
		text = strings.ReplaceAll(text, id, id[:8]+"…")
	}
	if text == err.Error() {
		return err
	}
	return errors.New(text)
}
