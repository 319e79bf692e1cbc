package memcache

import (
	"context"
	"fmt"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/tokensession/tokensession"
)

// Get is described at [tokensession.Store].
func (s *Store) Get(ctx context.Context, id string) (tokensession.Record, error) {
	if err := tokensession.Check(ctx, id, nil); err != nil {
		return tokensession.Record{}, err
	}
	c, err := s.begin(ctx, "get", id)
	if err != nil {
		return tokensession.Record{}, err
	}
	r, now, err := c.find()
	if err != nil {
		return tokensession.Record{}, c.outcome(err)
	}
	return r.export(now), nil
}

// Create is described at [tokensession.Store].
func (s *Store) Create(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	return s.store(ctx, "create", id, rec, (*call).create)
}

// Update is described at [tokensession.Store].
func (s *Store) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	return s.store(ctx, "update", id, rec, func(c *call, r record, exptime int32) error {
		return c.update(rec.Version, r, exptime)
	})
}

// store encodes rec and lets write store it.
func (s *Store) store(ctx context.Context, op, id string, rec tokensession.Record,
	write func(*call, record, int32) error) (tokensession.Version, error) {
	if err := tokensession.Check(ctx, id, &rec); err != nil {
		return "", err
	}
	c, err := s.begin(ctx, op, id)
	if err != nil {
		return "", err
	}
	r := newRecord(rec, c.start)
	if err := s.fits(c.key, r); err != nil {
		return "", err
	}
	err = c.settle(write(&c, r, exptime(rec.TTL, c.start)), func(stored record) bool {
		return stored.nonce() == r.nonce()
	})
	if err != nil {
		return "", c.outcome(err)
	}
	return r.version(), nil
}

// fits refuses r if it is larger than what the servers accept, so that none of it is
// sent.
func (s *Store) fits(key string, r record) error {
	if n := len(key) + len(r.value) + itemOverhead; n > s.maxItem {
		return fmt.Errorf("%w: an item of %d bytes; accepted are up to %d", tokensession.ErrTooLarge, n, s.maxItem)
	}
	return nil
}

// create stores r where no live record is. A dead one is replaced and not removed, so
// that of several that find it one wins.
func (c *call) create(r record, exptime int32) error {
	for {
		if err := c.add(r, exptime); err != errChanged {
			return err
		}
		old, err := c.read()
		switch {
		case err == tokensession.ErrNotFound:
			continue // it was removed meanwhile
		case err != nil:
			return err
		case old.live(time.Now()):
			return tokensession.ErrExists
		}
		err = c.swap(record{r.value, old.state}, exptime)
		if err != errChanged && err != tokensession.ErrNotFound {
			return err
		}
	}
}

// update stores r in the place of the live record that v names.
func (c *call) update(v tokensession.Version, r record, exptime int32) error {
	if h, ok := hintOf(v, c.start); ok {
		if err := c.swap(record{r.value, h.state}, exptime); err != errChanged {
			return err
		}
	}
	for {
		old, _, err := c.find()
		switch {
		case err != nil:
			return err
		case !names(v, old):
			return tokensession.ErrConflict
		}
		if err := c.swap(record{r.value, old.state}, exptime); err != errChanged {
			return err
		}
	}
}

// Touch is described at [tokensession.Store].
func (s *Store) Touch(ctx context.Context, id string, ttl time.Duration) error {
	if err := tokensession.Check(ctx, id, &tokensession.Record{TTL: ttl}); err != nil {
		return err
	}
	c, err := s.begin(ctx, "touch", id)
	if err != nil {
		return err
	}
	return c.outcome(c.touch(ttl))
}

func (c *call) touch(ttl time.Duration) error {
	for {
		r, now, err := c.find()
		if err != nil {
			return err
		}
		r.expireAfter(ttl, now)
		err = c.settle(c.swap(r, exptime(ttl, now)), func(stored record) bool {
			return stored.nonce() == r.nonce() && stored.expiry() == r.expiry()
		})
		if err != errChanged {
			return err
		}
	}
}

// Delete is described at [tokensession.Store]. It removes corrupt records too.
func (s *Store) Delete(ctx context.Context, id string) error {
	if err := tokensession.Check(ctx, id, nil); err != nil {
		return err
	}
	c, err := s.begin(ctx, "delete", id)
	if err != nil {
		return err
	}
	err = c.send(command{verb: remove, item: &memcache.Item{Key: c.key}}).err
	if err == memcache.ErrCacheMiss {
		return nil
	}
	return c.outcome(err)
}
