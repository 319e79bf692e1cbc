package sqlite

import (
	"context"
	"database/sql"
	"iter"

	"github.com/tokensession/tokensession"
)

// Len counts the live records, of which it reads all.
func (s *Store) Len(ctx context.Context) (n int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	err = s.exclusive(ctx, "len", "", func(tx *sql.Tx, now int64) error {
		const count = `SELECT count(*) FROM sessions WHERE namespace = ? AND expires > ?`
		return tx.QueryRowContext(ctx, count, s.namespace, now).Scan(&n)
	})
	return n, err
}

// Clear removes all records of the namespace.
func (s *Store) Clear(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.exclusive(ctx, "clear", "", func(tx *sql.Tx, _ int64) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM sessions WHERE namespace = ?`, s.namespace)
		return err
	})
}

// All walks through the live records in the order of their ids.
func (s *Store) All(ctx context.Context) iter.Seq2[tokensession.Entry, error] {
	return s.walk(ctx, "all", "")
}

// ByOwner walks through the owner's live records in the order of their ids.
func (s *Store) ByOwner(ctx context.Context, owner string) iter.Seq2[tokensession.Entry, error] {
	if err := tokensession.CheckOwner(ctx, owner); err != nil {
		return func(yield func(tokensession.Entry, error) bool) { yield(tokensession.Entry{}, err) }
	}
	return s.walk(ctx, "byowner", `AND owner = ?`, owner)
}

// walk yields the live records page by page. It has no transaction while it yields.
func (s *Store) walk(ctx context.Context, op, condition string, args ...any) iter.Seq2[tokensession.Entry, error] {
	query := `SELECT ` + columns + ` FROM sessions WHERE namespace = ? AND id > ? AND expires > ? ` + condition +
		` ORDER BY id LIMIT 32`
	return func(yield func(tokensession.Entry, error) bool) {
		for after := ""; ; {
			page, err := s.page(ctx, op, query, after, args)
			if err != nil {
				yield(tokensession.Entry{}, err)
				return
			}
			for _, entry := range page {
				if !yield(entry, nil) {
					return
				}
				after = entry.ID
			}
			if len(page) == 0 {
				return
			}
		}
	}
}

func (s *Store) page(ctx context.Context, op, query, after string, args []any) (page []tokensession.Entry, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	err = s.exclusive(ctx, op, "", func(tx *sql.Tx, now int64) error {
		rows, err := tx.QueryContext(ctx, query, append([]any{s.namespace, after, now}, args...)...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var r row
			if err := rows.Scan(r.fields()...); err != nil {
				return err
			}
			page = append(page, tokensession.Entry{ID: r.id, Record: r.record(now)})
		}
		return rows.Err()
	})
	return page, err
}

// DeleteOwner removes the owner's live records. What has expired goes with the next writes.
func (s *Store) DeleteOwner(ctx context.Context, owner string) (int, error) {
	if err := tokensession.CheckOwner(ctx, owner); err != nil {
		return 0, err
	}
	var n int64
	err := s.exclusive(ctx, "deleteowner", "", func(tx *sql.Tx, now int64) (err error) {
		const remove = `DELETE FROM sessions WHERE namespace = ? AND owner = ? AND expires > ?`
		n, err = changed(tx.ExecContext(ctx, remove, s.namespace, owner, now))
		return err
	})
	return int(n), err
}

// Ping reads from the database.
func (s *Store) Ping(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.closed.Load() {
		return tokensession.ErrClosed
	}
	var any bool
	return outcome(ctx, "ping", "", s.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM sessions)`).Scan(&any))
}
