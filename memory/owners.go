package memory

import (
	"context"
	"iter"
	"sync/atomic"

	"github.com/tokensession/tokensession"
)

// ownerList is the entries of one owner, the newest first. It has at least one link.
type ownerList struct {
	owner string
	first *link
}

// link is one entry's place in an ownerList.
//
// Whoever had a list's first link under Store.mu can follow next without the lock
// and misses no link that stays: links are only added in front of the first, and one
// that is taken out keeps its next. An entry that leaves an owner and comes back has
// another link, so nobody meets an entry twice.
type link struct {
	entry *entry
	next  atomic.Pointer[link]

	// Under Store.mu:
	list *ownerList
	prev *link
}

// own adds e to the list of its owner.
func (t *table) own(e *entry, owner string) {
	if owner == "" {
		return
	}
	list := t.byOwner[owner]
	if list == nil {
		list = &ownerList{owner: owner}
		t.byOwner[owner] = list
	}
	e.owned = &link{entry: e, list: list}
	if list.first != nil {
		e.owned.next.Store(list.first)
		list.first.prev = e.owned
	}
	list.first = e.owned
}

// disown takes e out of the list of its owner, and the list away if that was all.
func (t *table) disown(e *entry) {
	l := e.owned
	if l == nil {
		return
	}
	e.owned = nil
	next := l.next.Load()
	if next != nil {
		next.prev = l.prev
	}
	if l.prev != nil {
		l.prev.next.Store(next)
		l.prev = nil // whoever stands at l must not keep those before it in memory
		return
	}
	l.list.first = next
	if next == nil {
		delete(t.byOwner, l.list.owner)
	}
}

// entries are those of l and of the links after it.
func (l *link) entries(yield func(*entry) bool) {
	for ; l != nil; l = l.next.Load() {
		if !yield(l.entry) {
			return
		}
	}
}

// ByOwner walks through the owner's live records, the newest first.
func (s *Store) ByOwner(ctx context.Context, owner string) iter.Seq2[tokensession.Entry, error] {
	return func(yield func(tokensession.Entry, error) bool) {
		if err := tokensession.CheckOwner(ctx, owner); err != nil {
			yield(tokensession.Entry{}, err)
			return
		}
		t, first := s.firstOf(owner)
		if t == nil {
			yield(tokensession.Entry{}, tokensession.ErrClosed)
			return
		}
		s.walk(ctx, t, first.entries, owner, yield)
	}
}

// firstOf returns the first link of the owner's list, nil if there is none, and the
// table, nil if the store is closed.
func (s *Store) firstOf(owner string) (*table, *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.table.Load()
	if t == nil {
		return nil, nil
	}
	list := t.byOwner[owner]
	if list == nil {
		return t, nil
	}
	return t, list.first
}

// DeleteOwner removes the owner's records, all at one instant.
func (s *Store) DeleteOwner(ctx context.Context, owner string) (int, error) {
	if err := tokensession.CheckOwner(ctx, owner); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.table.Load()
	if t == nil {
		return 0, tokensession.ErrClosed
	}
	list := t.byOwner[owner]
	if list == nil {
		return 0, nil
	}
	removed := 0
	for e := range list.first.entries {
		if r, _ := s.current(e); r != nil {
			removed++
		}
		t.remove(e)
	}
	return removed, nil
}
