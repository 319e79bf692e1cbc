package session

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"time"

	"github.com/tokensession/tokensession"
)

// Info is what a page that lists a user's sessions shows of one.
type Info[T any] struct {
	ID      string // public; what End takes
	Created time.Time

	// Touched is when the idle timeout was last renewed, by a save or because an
	// eighth of it had gone by: the session was last used then, or up to an eighth
	// of IdleTimeout later. It follows from the time that the session has left. In
	// the last IdleTimeout of its Lifetime, and if IdleTimeout is Forever, that says
	// nothing, and Touched is the earliest that it may have been. An IdleTimeout of
	// another length at the time makes it wrong by the difference.
	Touched time.Time

	// Expires is when the session ends if it is not used again; the zero Time if
	// never.
	Expires time.Time

	Data T
}

// Sessions walks through the live sessions of an owner, in no order. It misses none that
// is the owner's throughout. The caller may end sessions meanwhile. Only ctx limits the
// time that it takes.
//
// An error that comes with an ID is about that session, which cannot be read, and the
// walk goes on: End and EndOwner end it all the same. One without an ID ends the walk. An
// empty owner, who is nobody, wraps [tokensession.ErrInvalidOwner]; a store without an
// [tokensession.OwnerIndex] is [errors.ErrUnsupported].
func (m *Manager[T]) Sessions(ctx context.Context, owner string) iter.Seq2[Info[T], error] {
	return func(yield func(Info[T], error) bool) {
		index, err := m.ownerIndex(owner)
		if err != nil {
			yield(Info[T]{}, wrap("sessions", "", err))
			return
		}
		for e, err := range index.ByOwner(ctx, m.scoped(owner)) {
			now := time.Now()
			info := Info[T]{ID: e.ID}
			live := true
			if err == nil {
				live, err = m.inform(&info, &e.Record, now)
			}
			if live && !yield(info, wrap("sessions", e.ID, err)) {
				return
			}
		}
	}
}

// inform reports whether the record's Lifetime lasts, and tells info of it.
func (m *Manager[T]) inform(info *Info[T], rec *tokensession.Record, now time.Time) (live bool, err error) {
	h, payload, err := parseRecord(rec.Data)
	if err != nil {
		return true, err
	}
	left := min(rec.TTL, m.timeLeft(h.created, now))
	if left <= 0 {
		return false, nil
	}
	info.Created = time.UnixMilli(h.created)
	info.Touched = info.Created
	if left != tokensession.Forever {
		info.Expires = now.Add(left)
		if touched := info.Expires.Add(-m.opts.IdleTimeout); touched.After(info.Created) {
			info.Touched = touched
		}
	}
	data, err := m.decode(payload)
	if err != nil {
		return true, err
	}
	info.Data = *data
	return true, nil
}

// End ends a session of the owner by its ID, for every request that has it, as Destroy
// does, except that its client is not told. Where the owner has no such session it wraps
// [tokensession.ErrNotFound], whether it is another's or there is none, so that nobody
// learns of strangers' sessions. A session that changes hands at that moment may end too.
//
// It needs no owner index, but for a session that the store cannot read: there, without
// one, it wraps [tokensession.ErrCorrupt]. An empty owner wraps
// [tokensession.ErrInvalidOwner]. End goes on when ctx is cancelled, each operation of the
// store for StoreTimeout.
func (m *Manager[T]) End(ctx context.Context, owner, id string) error {
	if len(id) != idLen || !isBase64URL(id) {
		return fmt.Errorf("session: end: %w of this owner: an ID has %d characters of base64url", tokensession.ErrNotFound, idLen)
	}
	return wrap("end", id, m.endOne(ctx, owner, id))
}

func (m *Manager[T]) endOne(ctx context.Context, owner, id string) error {
	if err := checkOwner(owner); err != nil {
		return err
	}
	owns, err := m.owns(ctx, owner, id)
	if err != nil {
		return err
	}
	if !owns {
		return fmt.Errorf("%w of this owner", tokensession.ErrNotFound)
	}
	if err := m.delete(ctx, id); err != nil {
		return err
	}
	m.audit(ctx, &eventRevoked, id, slog.Attr{})
	return nil
}

// owns reports whether a session is the owner's. For one that the store cannot read, the
// owner index tells.
func (m *Manager[T]) owns(ctx context.Context, owner, id string) (bool, error) {
	getCtx, cancel := m.unhurried(ctx)
	defer cancel()
	rec, err := m.store.Get(getCtx, id)
	if errors.Is(err, tokensession.ErrNotFound) {
		return false, nil
	}
	if !errors.Is(err, tokensession.ErrCorrupt) {
		return err == nil && rec.Owner == m.scoped(owner), err
	}
	index, indexErr := m.ownerIndex(owner)
	if indexErr != nil {
		return false, err
	}
	ids, listErr := m.idsOf(ctx, index, m.scoped(owner))
	if slices.Contains(ids, id) {
		return true, nil
	}
	return false, listErr
}

// EndOwner ends all sessions of the owner but those with the IDs in exceptIDs: "log out
// everywhere", or "everywhere but here". A session that was the owner's before the call is
// over after it, whatever a request in flight does with it; one that begins or changes
// hands during the call may be either. The excepted ones it does not touch. Sessions that
// cannot be read end too.
//
// If it returns an error, some may live yet: call it again. An empty owner wraps
// [tokensession.ErrInvalidOwner]; a store without an [tokensession.OwnerIndex] is
// [errors.ErrUnsupported]. EndOwner goes on when ctx is cancelled, each operation of the
// store for StoreTimeout.
func (m *Manager[T]) EndOwner(ctx context.Context, owner string, exceptIDs ...string) error {
	index, err := m.ownerIndex(owner)
	if err != nil {
		return wrap("end owner", "", err)
	}
	var n int
	if len(exceptIDs) == 0 {
		n, err = m.endAll(ctx, index, m.scoped(owner))
	} else {
		n, err = m.endOthers(ctx, index, m.scoped(owner), exceptIDs)
	}
	if n > 0 {
		m.audit(ctx, &eventRevoked, "", slog.Int("count", n))
	}
	return wrap("end owner", "", err)
}

func (m *Manager[T]) endAll(ctx context.Context, index tokensession.OwnerIndex, owner string) (int, error) {
	ctx, cancel := m.unhurried(ctx)
	defer cancel()
	return index.DeleteOwner(ctx, owner)
}

// endOthers deletes what ByOwner shows, which misses no session that was there when it
// began; a request in flight can change such a session, but not bring it back.
func (m *Manager[T]) endOthers(ctx context.Context, index tokensession.OwnerIndex, owner string, exceptIDs []string) (int, error) {
	ids, listErr := m.idsOf(ctx, index, owner)
	ended := 0
	for _, id := range ids {
		if slices.Contains(exceptIDs, id) {
			continue
		}
		if err := m.delete(ctx, id); err != nil {
			return ended, errors.Join(listErr, err)
		}
		ended++
	}
	return ended, listErr
}

// idsOf lists the owner's sessions, before any is deleted so that each deletion has
// StoreTimeout for itself. Beside an error it returns those that it has found.
func (m *Manager[T]) idsOf(ctx context.Context, index tokensession.OwnerIndex, owner string) (ids []string, err error) {
	ctx, cancel := m.unhurried(ctx)
	defer cancel()
	for e, entryErr := range index.ByOwner(ctx, owner) {
		if entryErr == nil || e.ID != "" && errors.Is(entryErr, tokensession.ErrCorrupt) {
			ids = append(ids, e.ID)
			continue
		}
		err = errors.Join(err, entryErr)
	}
	slices.Sort(ids)
	return slices.Compact(ids), err // a server may repeat one
}

func (m *Manager[T]) delete(ctx context.Context, id string) error {
	ctx, cancel := m.unhurried(ctx)
	defer cancel()
	return m.store.Delete(ctx, id)
}

// unhurried is a context that the client's hanging up does not end.
func (m *Manager[T]) unhurried(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), m.opts.StoreTimeout)
}

func (m *Manager[T]) ownerIndex(owner string) (tokensession.OwnerIndex, error) {
	if err := checkOwner(owner); err != nil {
		return nil, err
	}
	index, ok := tokensession.As[tokensession.OwnerIndex](m.store)
	if !ok {
		return nil, fmt.Errorf("%w: the store, a %T, has no owner index (tokensession.OwnerIndex)", errors.ErrUnsupported, m.store)
	}
	return index, nil
}

func checkOwner(owner string) error {
	if owner == "" {
		return fmt.Errorf("%w: the owner is empty, which is nobody", tokensession.ErrInvalidOwner)
	}
	return nil
}
