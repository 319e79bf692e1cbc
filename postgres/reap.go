package postgres

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// The reaper reads the table from end to end, a range of pages at a time. No index tells it
// what has expired, because that would have to move with each Touch, which then could not
// be HOT: it would write every index of the table and leave a dead entry in each. Nor would
// a coarse index do: to be moved by less than one touch in a hundred, if touches are an
// eighth of the TTL apart, it has to keep the dead for a dozen TTLs. A gigabyte is read in
// a second or two.

const (
	// reaperID is the id of the row that says, by its expiry, when to reap next. It is no
	// session's, for it has a space, and precedes all that are.
	reaperID = " reaper"

	// reapPages is how much is read in one statement: 8 MiB.
	reapPages = 1024

	// reapBatch is how many rows are removed, and locked, in one statement.
	reapBatch = 512

	// reapTimeout is for a server that does not answer.
	reapTimeout = 30 * time.Second
)

// runReaper removes expired records now and then, until ctx ends.
func (s *Store) runReaper(ctx context.Context) {
	for {
		// Stores that were opened together shall not come together.
		if !sleep(ctx, s.reapTurn()+rand.N(s.reapInterval/2+1)) {
			return
		}
		if err := s.reap(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("postgres: removing expired records failed", "error", err)
		}
	}
}

// sleep reports whether it slept all of d.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// reap removes what has expired, unless another store does so in this interval.
func (s *Store) reap(ctx context.Context) error {
	mine, err := s.takeTurn(ctx)
	if err != nil || !mine {
		return err
	}
	pages, err := s.pages(ctx)
	if err != nil {
		return err
	}
	for from := uint32(0); from < pages; from += reapPages {
		if err := s.reapRange(ctx, from, from+reapPages); err != nil {
			return err
		}
	}
	return nil
}

// reapTurn is the least time between two reapings, of one store or of several.
func (s *Store) reapTurn() time.Duration { return s.reapInterval - s.reapInterval/4 }

// takeTurn creates the reaper's row, which only one store can do until that expires.
func (s *Store) takeTurn(ctx context.Context) (mine bool, err error) {
	text, raw := columns([]byte("not a session: expired ones are removed next at the expiry of this row"))
	err = s.reapCall(ctx, func(ctx context.Context) error {
		n, err := s.exec(ctx, s.sql.create, reaperID, interval(s.reapTurn()), text, raw, "", newVersion())
		mine = n > 0
		return err
	})
	return mine, err
}

func (s *Store) pages(ctx context.Context) (n uint32, err error) {
	err = s.reapCall(ctx, func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, s.sql.size).Scan(&n)
	})
	return n, err
}

// reapRange removes what has expired in a range of pages. It rests as long as it works.
func (s *Store) reapRange(ctx context.Context, from, to uint32) error {
	for {
		var removed int64
		began := time.Now()
		err := s.reapCall(ctx, func(ctx context.Context) (err error) {
			removed, err = s.exec(ctx, s.sql.reap, startOf(from), startOf(to), reapBatch)
			return err
		})
		if err != nil {
			return err
		}
		if !sleep(ctx, time.Since(began)) {
			return ctx.Err()
		}
		if removed < reapBatch {
			return nil
		}
	}
}

// startOf is the place before the first row of a page.
func startOf(n uint32) pgtype.TID { return pgtype.TID{BlockNumber: n, Valid: true} }

func (s *Store) reapCall(ctx context.Context, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, reapTimeout)
	defer cancel()
	return s.call(ctx, "reap", "", func() error { return fn(ctx) })
}
