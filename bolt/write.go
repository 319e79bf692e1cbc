package bolt

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/tokensession/tokensession"
)

// Create is described at [tokensession.Store].
func (s *Store) Create(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	return s.store(ctx, "create", id, rec, func(t *txn) (old record, err error) {
		old, err = t.find(id)
		switch {
		case err == tokensession.ErrNotFound:
			return record{}, nil
		case err == nil && t.live(old):
			return old, tokensession.ErrExists
		}
		return old, err
	})
}

// Update is described at [tokensession.Store].
func (s *Store) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	return s.store(ctx, "update", id, rec, func(t *txn) (old record, err error) {
		old, err = t.findLive(id)
		if err == nil && string(old.version()) != string(rec.Version) {
			return old, tokensession.ErrConflict
		}
		return old, err
	})
}

// store puts rec in the place of the record that replaceable returns, which is empty
// if none is there, unless that fails.
func (s *Store) store(ctx context.Context, op, id string, rec tokensession.Record,
	replaceable func(*txn) (record, error)) (tokensession.Version, error) {
	if err := tokensession.Check(ctx, id, &rec); err != nil {
		return "", err
	}
	if len(rec.Data) > maxData {
		return "", fmt.Errorf("%w: %d bytes of data; accepted are up to %d", tokensession.ErrTooLarge, len(rec.Data), maxData)
	}
	r := newRecord(id, rec) // here, so that callers share the work
	err := s.write(ctx, op, id, len(r.value), func(t *txn) error {
		old, err := replaceable(t)
		if err != nil {
			return err
		}
		t.replace(id, old, r, expiryAfter(rec.TTL, t.now))
		return nil
	})
	if err != nil {
		return "", err
	}
	return tokensession.Version(r.version()), nil
}

// Touch is described at [tokensession.Store].
func (s *Store) Touch(ctx context.Context, id string, ttl time.Duration) error {
	if err := tokensession.Check(ctx, id, &tokensession.Record{TTL: ttl}); err != nil {
		return err
	}
	return s.write(ctx, "touch", id, 0, func(t *txn) error {
		old, err := t.findLive(id)
		if err != nil {
			return err
		}
		t.replace(id, old, old.clone(), expiryAfter(ttl, t.now))
		return nil
	})
}

// Delete is described at [tokensession.Store]. It removes damaged records too.
func (s *Store) Delete(ctx context.Context, id string) error {
	if err := tokensession.Check(ctx, id, nil); err != nil {
		return err
	}
	return s.write(ctx, "delete", id, 0, func(t *txn) error {
		old, err := t.find(id)
		switch {
		case err == tokensession.ErrNotFound:
		case err != nil:
			t.removeDamaged(id)
		default:
			t.remove(id, old)
		}
		return nil
	})
}

// Clear removes all records, in one transaction.
func (s *Store) Clear(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.write(ctx, "clear", "", 0, func(t *txn) error {
		t.changed = true
		for _, name := range [][]byte{recordsName, expiryName, ownersName} {
			t.fail(t.root.DeleteBucket(name))
			_, err := t.root.CreateBucket(name)
			t.fail(err)
		}
		t.open()
		return nil
	})
}

// DeleteOwner removes the owner's records, in one transaction. Damaged ones go too,
// but are not counted.
func (s *Store) DeleteOwner(ctx context.Context, owner string) (int, error) {
	if err := tokensession.CheckOwner(ctx, owner); err != nil {
		return 0, err
	}
	removed := 0
	err := s.write(ctx, "deleteowner", "", 0, func(t *txn) error {
		removed = t.removeOwner([]byte(owner))
		return nil
	})
	if err != nil {
		return 0, err
	}
	return removed, nil
}

// removeOwner removes the owner's records and returns how many live ones it removed.
func (t *txn) removeOwner(owner []byte) int {
	removed := 0
	for _, id := range t.idsOf(owner) { // not a cursor, which deletions confuse
		switch old, err := t.find(id); {
		case err == tokensession.ErrNotFound:
			t.delete(t.owners, ownerKey(owner, id))
		case err != nil:
			t.removeDamaged(id)
		default:
			t.remove(id, old)
			if t.live(old) {
				removed++
			}
		}
	}
	return removed
}

func (t *txn) idsOf(owner []byte) []string {
	var ids []string
	prefix := ownerPrefix(owner)
	c := t.owners.Cursor()
	for key, _ := c.Seek(prefix); bytes.HasPrefix(key, prefix); key, _ = c.Next() {
		ids = append(ids, string(key[len(prefix):]))
	}
	return ids
}

// findLive returns the live record of id, or ErrNotFound.
func (t *txn) findLive(id string) (record, error) {
	r, err := t.find(id)
	if err == nil && !t.live(r) {
		err = tokensession.ErrNotFound
	}
	return r, err
}

// removeDamaged removes the record of id, which does not say where it stands in the
// indexes. They are searched from end to end: it is slow, but rare.
func (t *txn) removeDamaged(id string) {
	t.delete(t.records, []byte(id))
	t.deleteKeys(t.expiry, func(key []byte) bool {
		_, of := splitExpiryKey(key)
		return of == id
	})
	t.deleteKeys(t.owners, func(key []byte) bool {
		_, of, _ := bytes.Cut(key, []byte{0})
		return string(of) == id
	})
}

func (t *txn) deleteKeys(b *bbolt.Bucket, match func(key []byte) bool) {
	var keys [][]byte
	c := b.Cursor()
	for key, _ := c.First(); key != nil; key, _ = c.Next() {
		if match(key) {
			keys = append(keys, bytes.Clone(key))
		}
	}
	for _, key := range keys {
		t.delete(b, key)
	}
}
