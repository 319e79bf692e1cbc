package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tokensession/tokensession"
)

// call runs fn, which does the work of a method, and again where it is certain that its
// last statement has done nothing.
func (s *Store) call(ctx context.Context, op, id string, fn func() error) error {
	if s.closed.Load() {
		return tokensession.ErrClosed
	}
	for resent := false; ; {
		err := fn()
		if err == nil {
			return nil
		}
		resend := !resent && unsent(err)
		if ctx.Err() != nil || !resend && !rolledBack(err) {
			return outcome(ctx, op, id, err)
		}
		resent = resent || resend
	}
}

// unsent reports whether err is that of a connection that was dead before it was used.
// Connecting has failed for good when it fails.
func unsent(err error) bool {
	_, connecting := errors.AsType[*pgconn.ConnectError](err)
	return !connecting && pgconn.SafeToRetry(err)
}

// rolledBack reports whether the server undid a statement because of what others do at
// the same time, and may do it the next time. Above the level read committed, that is how
// it resolves every conflict.
func rolledBack(err error) bool {
	code := sqlState(err)
	return code == serializationFailure || code == deadlockDetected
}

// waited reports whether a statement undid itself, because it waited for a lock.
func waited(err error) bool { return sqlState(err) == divisionByZero }

// outcome leaves what the contract expects as it is; everything else becomes an OpError.
func outcome(ctx context.Context, op, id string, err error) error {
	switch {
	case errors.Is(err, tokensession.ErrNotFound),
		errors.Is(err, tokensession.ErrExists),
		errors.Is(err, tokensession.ErrConflict):
		return err
	}
	err = withCause(ctx, err)
	switch sqlState(err) {
	case undefinedTable:
		err = fmt.Errorf("the table was removed while the store was open: %w", err)
	case readOnlySQLTransaction:
		err = fmt.Errorf("the server takes no writes, as a standby does: %w", err)
	}
	return &tokensession.OpError{Driver: "postgres", Op: op, ID: id, Err: err}
}

// withCause makes sure that an error of a call whose context has ended says so: some of
// pgx and net only say that a connection failed.
func withCause(ctx context.Context, err error) error {
	if cause := ctx.Err(); cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

// exec runs a statement in a transaction of its own and returns how many rows it changed.
func (s *Store) exec(ctx context.Context, sql string, args ...any) (int64, error) {
	tag, err := s.pool.Exec(ctx, sql, args...)
	return tag.RowsAffected(), err
}

// readCommitted runs fn in a transaction. A statement that writes many rows, which
// others write too, would hardly get through at a higher level.
func (s *Store) readCommitted(ctx context.Context, fn func(pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, fn)
}
