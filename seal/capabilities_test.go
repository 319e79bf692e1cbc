package seal_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"testing"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/memory"
)

// offers are the capabilities that As finds in s.
func offers(s tokensession.Store) (list [6]bool) {
	_, list[0] = tokensession.As[tokensession.Counter](s)
	_, list[1] = tokensession.As[tokensession.Clearer](s)
	_, list[2] = tokensession.As[tokensession.Lister](s)
	_, list[3] = tokensession.As[tokensession.OwnerIndex](s)
	_, list[4] = tokensession.As[tokensession.Pinger](s)
	_, list[5] = tokensession.As[io.Closer](s)
	return list
}

// wrapper shows a store as it is, behind another type.
type wrapper struct{ tokensession.Store }

func (w wrapper) Unwrap() tokensession.Store { return w.Store }

func TestCapabilitiesAreThoseOfTheStore(t *testing.T) {
	m := newMemory(t)
	type bare struct{ tokensession.Store }
	for name, raw := range map[string]tokensession.Store{
		"all":  m,
		"none": bare{m},
		"Counter": struct {
			bare
			tokensession.Counter
		}{bare{m}, m},
		"Clearer": struct {
			bare
			tokensession.Clearer
		}{bare{m}, m},
		"Lister": struct {
			bare
			tokensession.Lister
		}{bare{m}, m},
		"OwnerIndex": struct {
			bare
			tokensession.OwnerIndex
		}{bare{m}, m},
		"Pinger": struct {
			bare
			tokensession.Pinger
		}{bare{m}, m},
		"Closer": struct {
			bare
			io.Closer
		}{bare{m}, m},
		"wrapped": wrapper{wrapper{m}},
	} {
		for _, s := range []tokensession.Store{
			sealed(t, raw, newKey),
			sealed(t, sealed(t, raw, oldKey), newKey),
			wrapper{sealed(t, raw, newKey)},
		} {
			if got, want := offers(s), offers(raw); got != want {
				t.Errorf("%s: %T offers %v, want %v", name, s, got, want)
			}
		}
	}
}

// As does not reach the store under the seal, whatever it is asked for.
func TestStoreUnderneathIsHidden(t *testing.T) {
	s := sealed(t, newMemory(t), newKey)
	create(t, s, "id", record("data", "ada"))
	if _, ok := tokensession.As[*memory.Store](s); ok {
		t.Error("the store itself was found")
	}
	type both interface {
		tokensession.Lister
		tokensession.Counter
	}
	if found, ok := tokensession.As[both](s); ok {
		for e := range found.All(t.Context()) {
			if string(e.Data) != "data" {
				t.Fatalf("%T shows what is sealed: %q", found, e.Data)
			}
		}
	}
	// What is found with a capability are the five methods of the seal.
	lister, ok := tokensession.As[interface {
		tokensession.Store
		tokensession.Lister
	}](s)
	if !ok {
		t.Fatal("there is no Lister that is a Store")
	}
	wantRecord(t, lister, "id", "data", "ada")
}

// A seal in a seal opens in that order.
func TestSealInSeal(t *testing.T) {
	m := newMemory(t)
	s := sealed(t, sealed(t, m, oldKey), newKey)
	for i := range 3 {
		create(t, s, fmt.Sprint("id", i), record("data", "ada"))
	}
	wantRecord(t, s, "id0", "data", "ada")
	wantOwned(t, s, "ada", "id0", "id1", "id2")
	wantCorrupt(t, sealed(t, sealed(t, m, newKey), oldKey), "id0")
}

// lying is an index that shows everybody's records to all, as whoever can write to one can
// make it do.
type lying struct {
	tokensession.Store
	tokensession.OwnerIndex
}

func (l lying) ByOwner(ctx context.Context, _ string) iter.Seq2[tokensession.Entry, error] {
	all, _ := tokensession.As[tokensession.Lister](l.Store)
	return all.All(ctx)
}

func TestIndexThatLies(t *testing.T) {
	m := newMemory(t)
	s := sealed(t, lying{m, ownerIndex(t, m)}, newKey)
	create(t, s, "bobs", record("data", "bob"))
	create(t, s, "alices", record("data", "alice"))
	var shown []string
	for e, err := range ownerIndex(t, s).ByOwner(t.Context(), "alice") {
		if err != nil {
			t.Error(err)
		}
		shown = append(shown, e.ID)
	}
	if !slices.Equal(shown, []string{"alices"}) {
		t.Errorf("of alice: %q", shown)
	}
}
