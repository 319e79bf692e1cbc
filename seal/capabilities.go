package seal

import (
	"context"
	"io"
	"iter"
	"slices"

	"github.com/tokensession/tokensession"
)

// Unwrap leads [tokensession.As] to the capabilities. It does not lead to the store that
// New was given, whose own would show what is sealed, or take what is not.
func (s *Store) Unwrap() tokensession.Store { return s.offers }

// Each capability is a layer of its own, which is there if the store under this one has
// it. One type with all of them would offer what is not there, and types with each
// combination would be 64.
type (
	layer struct {
		*Store
		next tokensession.Store
	}

	counter struct {
		layer
		tokensession.Counter
	}
	clearer struct {
		layer
		tokensession.Clearer
	}
	pinger struct {
		layer
		tokensession.Pinger
	}
	closer struct {
		layer
		io.Closer
	}
	lister struct {
		layer
		sealed tokensession.Lister
	}
	ownerIndex struct {
		layer
		sealed tokensession.OwnerIndex
	}
)

// Unwrap leads to the next layer; the last has nil.
func (l layer) Unwrap() tokensession.Store { return l.next }

func (s *Store) capabilities() (first tokensession.Store) {
	if c, ok := tokensession.As[tokensession.Counter](s.store); ok {
		first = counter{layer{s, first}, c}
	}
	if c, ok := tokensession.As[tokensession.Clearer](s.store); ok {
		first = clearer{layer{s, first}, c}
	}
	if c, ok := tokensession.As[tokensession.Pinger](s.store); ok {
		first = pinger{layer{s, first}, c}
	}
	if c, ok := tokensession.As[io.Closer](s.store); ok {
		first = closer{layer{s, first}, c}
	}
	if c, ok := tokensession.As[tokensession.Lister](s.store); ok {
		first = lister{layer{s, first}, c}
	}
	if c, ok := tokensession.As[tokensession.OwnerIndex](s.store); ok {
		first = ownerIndex{layer{s, first}, c}
	}
	return first
}

// All walks through the live records.
func (l lister) All(ctx context.Context) iter.Seq2[tokensession.Entry, error] {
	return func(yield func(tokensession.Entry, error) bool) {
		l.show("all", l.sealed.All(ctx), yield)
	}
}

// ByOwner walks through the owner's live records: first those that other keys have
// sealed, then those of the first key. So an Update, which takes a record from the
// former to the latter, can make it show twice, but not be missed.
func (o ownerIndex) ByOwner(ctx context.Context, owner string) iter.Seq2[tokensession.Entry, error] {
	return func(yield func(tokensession.Entry, error) bool) {
		if err := tokensession.CheckOwner(ctx, owner); err != nil {
			yield(tokensession.Entry{}, err)
			return
		}
		// An index shows what whoever can write to it likes. The record says whose it is.
		yieldOwn := func(e tokensession.Entry, err error) bool {
			return err == nil && e.Owner != owner || yield(e, err)
		}
		for _, k := range slices.Backward(o.keys) {
			if !o.show("byowner", o.sealed.ByOwner(ctx, k.tag(owner)), yieldOwn) {
				return
			}
		}
	}
}

// DeleteOwner removes the owner's records in the same order, for the same reason.
func (o ownerIndex) DeleteOwner(ctx context.Context, owner string) (int, error) {
	if err := tokensession.CheckOwner(ctx, owner); err != nil {
		return 0, err
	}
	removed := 0
	for _, k := range slices.Backward(o.keys) {
		n, err := o.sealed.DeleteOwner(ctx, k.tag(owner))
		removed += n
		if err != nil {
			return removed, err
		}
	}
	return removed, nil
}

// show yields what it opens. It returns false if that was the end: the caller's, or one
// with an error.
func (s *Store) show(
	op string, sealed iter.Seq2[tokensession.Entry, error], yield func(tokensession.Entry, error) bool,
) bool {
	for e, err := range sealed {
		if err == nil {
			e.Record, err = s.opened(op, e.ID, e.Record)
		}
		if !yield(e, err) || e.ID == "" {
			return false
		}
	}
	return true
}
