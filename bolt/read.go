package bolt

import (
	"bytes"
	"context"
	"errors"
	"iter"

	"go.etcd.io/bbolt"

	"github.com/tokensession/tokensession"
)

var (
	// errUnsettled makes view try again when no write is under way.
	errUnsettled = errors.New("a write may be under way")

	// errRead rolls back a transaction that could have written.
	errRead = errors.New("nothing to commit")
)

// view runs fn in a transaction. What fn keeps it must copy.
//
// A record that has expired may have been touched while it was live, in a
// transaction that is not committed yet. Whoever said now that it is gone would be
// contradicted at once. So fn returns errUnsettled when it meets one, and runs again
// with the writer's lock, after that commit. This is rare: the reaper leaves no
// expired record there for long.
func (s *Store) view(fn func(*buckets) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return tokensession.ErrClosed
	}
	err := s.viewIn(s.db.View, fn)
	if err == errUnsettled {
		err = s.viewIn(s.db.Update, fn)
	}
	return err
}

func (s *Store) viewIn(transact func(func(*bbolt.Tx) error) error, fn func(*buckets) error) error {
	var result error
	err := guard(func() error {
		return transact(func(tx *bbolt.Tx) error {
			b, err := s.buckets(tx)
			if err != nil {
				return err
			}
			result = fn(&b)
			return errRead
		})
	})
	if err == errRead {
		return result
	}
	return err
}

// read returns a copy of the live record of id, or ErrNotFound, or errUnsettled.
func (b *buckets) read(id string) (tokensession.Record, error) {
	r, err := b.find(id)
	switch {
	case err != nil:
		return tokensession.Record{}, err
	case b.live(r):
		return r.export(b.now), nil
	case b.settled:
		return tokensession.Record{}, tokensession.ErrNotFound
	}
	return tokensession.Record{}, errUnsettled
}

// Get is described at [tokensession.Store].
func (s *Store) Get(ctx context.Context, id string) (rec tokensession.Record, err error) {
	if err := tokensession.Check(ctx, id, nil); err != nil {
		return rec, err
	}
	err = s.view(func(b *buckets) (err error) {
		rec, err = b.read(id)
		return err
	})
	return rec, outcome("get", id, err)
}

// Len counts the live records. It reads them all; damaged ones do not count.
func (s *Store) Len(ctx context.Context) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	n := 0
	err := s.view(func(b *buckets) error {
		c := b.records.Cursor()
		for key, value := c.First(); key != nil; key, value = c.Next() {
			if r, err := parseRecord(string(key), value); err == nil && b.live(r) {
				n++
			}
		}
		return nil
	})
	return n, outcome("len", "", err)
}

// All walks through the live records in the order of their ids.
func (s *Store) All(ctx context.Context) iter.Seq2[tokensession.Entry, error] {
	return s.walk(ctx, "all", "")
}

// ByOwner walks through the owner's live records in the order of their ids.
func (s *Store) ByOwner(ctx context.Context, owner string) iter.Seq2[tokensession.Entry, error] {
	if err := tokensession.CheckOwner(ctx, owner); err != nil {
		return func(yield func(tokensession.Entry, error) bool) {
			yield(tokensession.Entry{}, err)
		}
	}
	return s.walk(ctx, "byowner", owner)
}

// Limits of what is read in one transaction and kept in memory between two. At
// least one record is read.
const (
	pageRecords = 128
	pageBytes   = 1 << 20
)

// page is a part of a walk.
type page struct {
	items []item
	bytes int
	last  string // the id that was read last
	end   bool   // none is left
}

type item struct {
	entry tokensession.Entry
	err   error
}

// walk yields the live records of owner, or all if that is "". No transaction is
// open while it yields.
func (s *Store) walk(ctx context.Context, op, owner string) iter.Seq2[tokensession.Entry, error] {
	return func(yield func(tokensession.Entry, error) bool) {
		for p := (page{}); !p.end; {
			next, err := s.nextPage(ctx, op, owner, p.last)
			if err != nil {
				yield(tokensession.Entry{}, err)
				return
			}
			for _, i := range next.items {
				if !yield(i.entry, outcome(op, i.entry.ID, i.err)) {
					return
				}
			}
			p = next
		}
	}
}

func (s *Store) nextPage(ctx context.Context, op, owner, after string) (p page, err error) {
	if err := ctx.Err(); err != nil {
		return p, err
	}
	err = s.view(func(b *buckets) (err error) {
		p, err = b.page(owner, after)
		return err
	})
	return p, outcome(op, "", err)
}

// page reads the records of owner, or all, that follow the id after.
func (b *buckets) page(owner, after string) (page, error) {
	index, prefix := b.records, []byte{}
	if owner != "" {
		index, prefix = b.owners, ownerPrefix([]byte(owner))
	}
	p := page{last: after}
	c := index.Cursor()
	start := append(prefix, after...)
	key, _ := c.Seek(start)
	if after != "" && bytes.Equal(key, start) {
		key, _ = c.Next()
	}
	for n := 0; n < pageRecords && p.bytes < pageBytes; n++ {
		if key == nil || !bytes.HasPrefix(key, prefix) {
			p.end = true
			return p, nil
		}
		p.last = string(key[len(prefix):])
		if err := p.add(b, p.last, owner); err != nil {
			return p, err
		}
		key, _ = c.Next()
	}
	return p, nil
}

// add adds the record of id if it is live and owner's, or owner is "".
func (p *page) add(b *buckets, id, owner string) error {
	rec, err := b.read(id)
	switch {
	case err == errUnsettled:
		return err
	case err == tokensession.ErrNotFound:
		return nil
	case err == nil && owner != "" && rec.Owner != owner:
		return nil
	}
	p.items = append(p.items, item{tokensession.Entry{ID: id, Record: rec}, err})
	p.bytes += len(rec.Data)
	return nil
}
