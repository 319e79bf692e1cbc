package postgres

import (
	"context"
	"errors"
	"iter"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tokensession/tokensession"
)

// Get is described at [tokensession.Store]. It takes a second round trip where it finds an
// expired record.
func (s *Store) Get(ctx context.Context, id string) (rec tokensession.Record, err error) {
	if err := tokensession.Check(ctx, id, nil); err != nil {
		return rec, err
	}
	err = s.call(ctx, "get", id, func() error {
		for {
			var r row
			err := s.pool.QueryRow(ctx, s.sql.get, id).Scan(r.fields()...)
			switch {
			case errors.Is(err, pgx.ErrNoRows):
				return tokensession.ErrNotFound
			case err != nil:
				return err
			case r.live():
				rec = r.export()
				return nil
			}
			if _, err := s.settle(ctx, id); err != nil {
				return err
			}
		}
	})
	return rec, err
}

// settle returns the version of the record of id, or ErrNotFound if none is alive.
//
// To see that the time of a record is up does not show that it is gone: a Touch may have
// found it alive just before, and not be committed yet. Whoever said then that it is gone
// would be contradicted by that Touch. So settle deletes it: the server lets the DELETE
// wait for a Touch that came first, and then looks again, and a Touch that comes later
// finds nothing to touch.
func (s *Store) settle(ctx context.Context, id string) (version pgtype.UUID, err error) {
	for {
		var (
			removed int
			expired bool
		)
		err := s.pool.QueryRow(ctx, s.sql.settle, id).Scan(&removed, &expired, &version)
		switch {
		case errors.Is(err, pgx.ErrNoRows), err == nil && removed > 0:
			return version, tokensession.ErrNotFound
		case err != nil || !expired:
			return version, err
		}
	}
}

// Len counts the live records. It reads the table from end to end.
func (s *Store) Len(ctx context.Context) (n int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	err = s.call(ctx, "len", "", func() error {
		return s.pool.QueryRow(ctx, s.sql.count).Scan(&n)
	})
	return n, err
}

// All walks through the live records in the order of their ids.
func (s *Store) All(ctx context.Context) iter.Seq2[tokensession.Entry, error] {
	return s.walk(ctx, "all", s.sql.list)
}

// ByOwner walks through the owner's live records in the order of their ids.
func (s *Store) ByOwner(ctx context.Context, owner string) iter.Seq2[tokensession.Entry, error] {
	if err := tokensession.CheckOwner(ctx, owner); err != nil {
		return func(yield func(tokensession.Entry, error) bool) {
			yield(tokensession.Entry{}, err)
		}
	}
	return s.walk(ctx, "byowner", s.sql.listOwner, owner)
}

// walk yields the live records that a query finds after an id, page by page. It has no
// connection while it yields.
func (s *Store) walk(ctx context.Context, op, query string, args ...any) iter.Seq2[tokensession.Entry, error] {
	return func(yield func(tokensession.Entry, error) bool) {
		// Every id follows the reaper's, which is none.
		for after := reaperID; ; {
			entries, err := s.page(ctx, op, query, append([]any{after}, args...))
			if err != nil {
				yield(tokensession.Entry{}, err)
				return
			}
			for _, e := range entries {
				if !yield(e, nil) {
					return
				}
				after = e.ID
			}
			if len(entries) == 0 {
				return
			}
		}
	}
}

// page returns some live records, and none only if there are no more. Where it meets expired
// ones, it settles them and reads again, for settle's reason.
func (s *Store) page(ctx context.Context, op, query string, args []any) (entries []tokensession.Entry, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	err = s.call(ctx, op, "", func() error {
		for {
			var expired []string
			if entries, expired, err = s.readPage(ctx, query, args); err != nil || len(expired) == 0 {
				return err
			}
			if _, err := s.exec(ctx, s.sql.settlePage, expired); err != nil {
				return err
			}
		}
	})
	return entries, err
}

func (s *Store) readPage(ctx context.Context, query string, args []any) (live []tokensession.Entry, expired []string, err error) {
	rows, err := s.pool.Query(ctx, query, args...)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var (
			id string
			r  row
		)
		if err := rows.Scan(append([]any{&id}, r.fields()...)...); err != nil {
			return nil, nil, err
		}
		if !r.live() {
			expired = append(expired, id)
			continue
		}
		live = append(live, tokensession.Entry{ID: id, Record: r.export()})
	}
	return live, expired, rows.Err()
}
