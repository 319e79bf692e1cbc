package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tokensession/tokensession"
)

// Create is described at [tokensession.Store].
func (s *Store) Create(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	if err := check(ctx, id, rec); err != nil {
		return "", err
	}
	text, raw := columns(rec.Data)
	version := newVersion()
	err := s.call(ctx, "create", id, func() error {
		n, err := s.exec(ctx, s.sql.create, id, interval(rec.TTL), text, raw, rec.Owner, version)
		if err == nil && n == 0 {
			return tokensession.ErrExists
		}
		return err
	})
	if err != nil {
		return "", err
	}
	return tokensession.Version(version.Bytes[:]), nil
}

// Update is described at [tokensession.Store]. It takes a second round trip where it
// replaces nothing.
func (s *Store) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	if err := check(ctx, id, rec); err != nil {
		return "", err
	}
	text, raw := columns(rec.Data)
	from, to := parseVersion(rec.Version), newVersion()
	args := []any{id, interval(rec.TTL), text, raw, rec.Owner, to, from}
	err := s.call(ctx, "update", id, func() error {
		for {
			changed, err := s.change(ctx, s.sql.update, s.sql.updateLocked, args)
			if err != nil || changed {
				return err
			}
			now, err := s.settle(ctx, id)
			if err != nil {
				return err
			}
			if now != from {
				return tokensession.ErrConflict
			}
		}
	})
	if err != nil {
		return "", err
	}
	return tokensession.Version(to.Bytes[:]), nil
}

// Touch is described at [tokensession.Store]. It takes a second round trip where it finds
// no live record.
func (s *Store) Touch(ctx context.Context, id string, ttl time.Duration) error {
	if err := tokensession.Check(ctx, id, &tokensession.Record{TTL: ttl}); err != nil {
		return err
	}
	args := []any{id, interval(ttl)}
	return s.call(ctx, "touch", id, func() error {
		for {
			changed, err := s.change(ctx, s.sql.touch, s.sql.touchLocked, args)
			if err != nil || changed {
				return err
			}
			if _, err := s.settle(ctx, id); err != nil {
				return err
			}
		}
	})
}

// change runs an UPDATE of one record and reports whether it changed that. The server
// asks for the record's expiry before it waits for a lock on it, and not again unless it
// was changed meanwhile: after a long wait, an UPDATE would revive the dead. Then it undoes
// itself, and another is run that takes the lock first. To do so always costs a third
// more.
func (s *Store) change(ctx context.Context, plain, locked string, args []any) (bool, error) {
	n, err := s.exec(ctx, plain, args...)
	if waited(err) {
		n, err = s.exec(ctx, locked, args...)
	}
	return n > 0, err
}

// Delete is described at [tokensession.Store].
func (s *Store) Delete(ctx context.Context, id string) error {
	if err := tokensession.Check(ctx, id, nil); err != nil {
		return err
	}
	return s.call(ctx, "delete", id, func() error {
		_, err := s.exec(ctx, s.sql.remove, id)
		return err
	})
}

// Clear removes all records, in one transaction.
func (s *Store) Clear(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.call(ctx, "clear", "", func() error {
		return s.readCommitted(ctx, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, s.sql.clear)
			return err
		})
	})
}

// DeleteOwner removes the owner's records, in one transaction.
func (s *Store) DeleteOwner(ctx context.Context, owner string) (removed int, err error) {
	if err := tokensession.CheckOwner(ctx, owner); err != nil {
		return 0, err
	}
	err = s.call(ctx, "deleteowner", "", func() error {
		return s.readCommitted(ctx, func(tx pgx.Tx) error {
			return tx.QueryRow(ctx, s.sql.removeOwner, owner).Scan(&removed)
		})
	})
	if err != nil {
		return 0, err
	}
	return removed, nil
}

func check(ctx context.Context, id string, rec tokensession.Record) error {
	if err := tokensession.Check(ctx, id, &rec); err != nil {
		return err
	}
	if len(rec.Data) > maxData {
		return fmt.Errorf("%w: %d bytes of data; accepted are up to %d", tokensession.ErrTooLarge, len(rec.Data), maxData)
	}
	return nil
}
