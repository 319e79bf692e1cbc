package seal

import (
	"context"
	"time"

	"github.com/tokensession/tokensession"
)

// Store is a [tokensession.Store] that seals what it gives to another. It is safe for
// concurrent use.
type Store struct {
	store  tokensession.Store
	keys   []*key
	offers tokensession.Store
}

var _ tokensession.Store = (*Store)(nil)

// New returns a Store around another. A key is 32 random bytes, such as
// [crypto/rand.Read] makes them; a password is none. The first key seals, and all
// open. New keeps no reference to the keys. It panics if store is nil.
func New(store tokensession.Store, keys ...[]byte) (*Store, error) {
	if store == nil {
		panic("seal: New: the Store is nil")
	}
	ring, err := newKeys(keys)
	if err != nil {
		return nil, err
	}
	s := &Store{store: store, keys: ring}
	s.offers = s.capabilities()
	return s, nil
}

// Get returns the live record of id, or [tokensession.ErrCorrupt] if it cannot be opened.
func (s *Store) Get(ctx context.Context, id string) (tokensession.Record, error) {
	rec, err := s.store.Get(ctx, id)
	if err != nil {
		return tokensession.Record{}, err
	}
	return s.opened("get", id, rec)
}

// Create seals rec.
func (s *Store) Create(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	if err := tokensession.Check(ctx, id, &rec); err != nil {
		return "", err
	}
	return s.store.Create(ctx, id, s.seal(id, rec))
}

// Update seals rec, with the first key, whichever has sealed the record that it replaces.
func (s *Store) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	if err := tokensession.Check(ctx, id, &rec); err != nil {
		return "", err
	}
	return s.store.Update(ctx, id, s.seal(id, rec))
}

// Touch opens nothing and seals nothing.
func (s *Store) Touch(ctx context.Context, id string, ttl time.Duration) error {
	return s.store.Touch(ctx, id, ttl)
}

// Delete also removes what cannot be opened.
func (s *Store) Delete(ctx context.Context, id string) error {
	return s.store.Delete(ctx, id)
}

// opened is open with the error that a caller gets.
func (s *Store) opened(op, id string, rec tokensession.Record) (tokensession.Record, error) {
	rec, err := s.open(id, rec)
	if err != nil {
		return rec, &tokensession.OpError{Driver: "seal", Op: op, ID: id, Err: err}
	}
	return rec, nil
}
