package memory

import (
	"context"
	"iter"

	"github.com/tokensession/tokensession"
)

// Len returns the number of live records. It removes those that have expired, which
// is all that its cost depends on.
func (s *Store) Len(ctx context.Context) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	for {
		n, more, err := s.count()
		if !more {
			return n, err
		}
	}
}

// count returns the number of live records, unless there are more to remove first.
func (s *Store) count() (n int, more bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.table.Load()
	if t == nil {
		return 0, false, tokensession.ErrClosed
	}
	more = t.removeExpired(s.now())
	return len(t.byExpiry), more, nil
}

// Clear removes every record, at one instant and at once, however many there are.
func (s *Store) Clear(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.table.Load() == nil {
		return tokensession.ErrClosed
	}
	s.table.Store(newTable())
	return nil
}

// All walks through the live records, in no order.
func (s *Store) All(ctx context.Context) iter.Seq2[tokensession.Entry, error] {
	return func(yield func(tokensession.Entry, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(tokensession.Entry{}, err)
			return
		}
		t := s.table.Load()
		if t == nil {
			yield(tokensession.Entry{}, tokensession.ErrClosed)
			return
		}
		s.walk(ctx, t, t.byID.all, "", yield)
	}
}

// walk yields the live records of those entries of t that are the owner's; "" is
// everybody. It ends where Clear puts another table in the place of t.
func (s *Store) walk(
	ctx context.Context, t *table, entries iter.Seq[*entry], owner string,
	yield func(tokensession.Entry, error) bool,
) {
	for e := range entries {
		if err := s.Ping(ctx); err != nil {
			yield(tokensession.Entry{}, err)
			return
		}
		if s.table.Load() != t {
			return
		}
		r, now := s.current(e)
		if r == nil || owner != "" && r.owner != owner {
			continue
		}
		if !yield(tokensession.Entry{ID: e.id, Record: r.export(now)}, nil) {
			return
		}
	}
}
