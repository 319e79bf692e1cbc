package session

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokensession/tokensession/memory"
)

// merged has a field of each kind that the rule knows.
type merged struct {
	Embedded
	*Pointed
	Number  int
	Text    string
	Nested  Inner
	Pointer *Inner
	Slice   []int
	Bytes   []byte
	Array   [2]bool
	Map     map[string]int
	Deep    map[string][]Inner
	Coded   sparse
	Time    time.Time
	Any     any
}

type (
	Inner    struct{ A, B int }
	Pointed  struct{ D, E int }
	Embedded struct {
		C   int
		Set map[int]bool
	}
)

// sparse is a map with a codec of its own.
type sparse map[string]int

func (s sparse) MarshalJSON() ([]byte, error)  { return json.Marshal(map[string]int(s)) }
func (s *sparse) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, (*map[string]int)(s)) }

// choices is where mergedOf takes its decisions from, one byte each. There are few for
// each field, so that states have much in common.
type choices []byte

func (c *choices) of(n int) int {
	if len(*c) == 0 {
		return 0
	}
	choice := int((*c)[0]) % n
	*c = (*c)[1:]
	return choice
}

// pick makes one of several values anew, so that no two states share one.
func pick[T any](c *choices, makers ...func() T) T { return makers[c.of(len(makers))]() }

func value[T any](v T) func() T { return func() T { return v } }

// mapOf makes a map of up to three entries, which is nil or empty where it has none.
func mapOf[K comparable, V any](c *choices, keys [3]K, entry func() V) map[K]V {
	m := pick(c, value(map[K]V(nil)), func() map[K]V { return make(map[K]V) })
	for _, key := range keys {
		if c.of(3) == 0 {
			continue
		}
		if m == nil {
			m = make(map[K]V)
		}
		m[key] = entry()
	}
	return m
}

func mergedOf(c choices) *merged {
	number := func() int { return c.of(3) }
	inner := func() Inner { return Inner{number(), number()} }
	names := [3]string{"a", "b", ""}
	return &merged{
		Embedded: Embedded{number(), mapOf(&c, [3]int{0, -1, 7}, func() bool { return c.of(2) == 1 })},
		Pointed:  pick(&c, value((*Pointed)(nil)), func() *Pointed { return new(Pointed) }, func() *Pointed { return &Pointed{1, number()} }),
		Number:   number(),
		Text:     pick(&c, value(""), value("a"), value("<\u2028é>")),
		Nested:   inner(),
		Pointer:  pick(&c, value((*Inner)(nil)), func() *Inner { return new(Inner) }, func() *Inner { return &Inner{1, number()} }),
		Slice:    pick(&c, value([]int(nil)), func() []int { return []int{} }, func() []int { return []int{number(), 1} }),
		Bytes:    pick(&c, value([]byte(nil)), func() []byte { return []byte{} }, func() []byte { return []byte{0, 0xff} }),
		Array:    [2]bool{c.of(2) == 1, c.of(2) == 1},
		Map:      mapOf(&c, names, number),
		Deep: mapOf(&c, names, func() []Inner {
			return pick(&c, value([]Inner(nil)), func() []Inner { return []Inner{} }, func() []Inner { return []Inner{inner()} })
		}),
		Coded: mapOf(&c, names, number),
		Time:  pick(&c, value(time.Time{}), value(time.Unix(1, 5).UTC()), value(time.Unix(1, 5).In(time.FixedZone("", 3600)))),
		Any: pick(&c, value[any](nil), value[any](1.5), value[any]("1.5"), func() any { return []any{nil, true} },
			func() any { return map[string]any{"a": []any{}} }),
	}
}

// mergedLen is more than mergedOf reads.
const mergedLen = 80

// leaves are what the rule knows of a state: the fields that merge singly, and the
// entries of maps under "field/key", each with a text that is the same where the values
// are. What is missing, nil or empty differs from all else, and not from each other.
func leaves(m *merged) map[string]string {
	l := map[string]string{
		"C":       fmt.Sprint(m.C),
		"Pointed": fmt.Sprintf("%+v", deref(m.Pointed)),
		"Number":  fmt.Sprint(m.Number),
		"Text":    m.Text,
		"Nested":  fmt.Sprint(m.Nested),
		"Pointer": fmt.Sprint(deref(m.Pointer)),
		"Slice":   fmt.Sprint(m.Slice),
		"Bytes":   fmt.Sprint(m.Bytes),
		"Array":   fmt.Sprint(m.Array),
		"Coded":   fmt.Sprint(m.Coded),
		"Time":    m.Time.Format(time.RFC3339Nano),
		"Any":     fmt.Sprintf("%T %v", m.Any, m.Any),
	}
	for k, v := range m.Set {
		l[fmt.Sprint("Set/", k)] = fmt.Sprint(v)
	}
	for k, v := range m.Map {
		l["Map/"+k] = fmt.Sprint(v)
	}
	for k, v := range m.Deep {
		l["Deep/"+k] = fmt.Sprint(v)
	}
	return l
}

// deref is what p points to, or nil.
func deref[T any](p *T) any {
	if p == nil {
		return nil
	}
	return *p
}

// mergedByRule is the rule itself: only theirs changed, theirs; only mine, mine; both,
// mine, and the field is named, unless they changed it to the same.
func mergedByRule(base, mine, theirs map[string]string) (merged map[string]string, both []string) {
	merged = make(map[string]string)
	named := make(map[string]bool)
	for _, state := range []map[string]string{base, mine, theirs} {
		for leaf := range state {
			b, inBase := base[leaf]
			m, inMine := mine[leaf]
			t, inTheirs := theirs[leaf]
			iChanged := m != b || inMine != inBase
			theyChanged := t != b || inTheirs != inBase
			if iChanged && theyChanged && (m != t || inMine != inTheirs) {
				field, _, _ := strings.Cut(leaf, "/")
				named[field] = true
			}
			if iChanged {
				t, inTheirs = m, inMine
			}
			if inTheirs {
				merged[leaf] = t
			}
		}
	}
	return merged, slices.Sorted(maps.Keys(named))
}

// FuzzMerge makes three states of one session out of bytes, and compares what two
// overlapping requests leave with what the rule says, leaf by leaf.
func FuzzMerge(f *testing.F) {
	store := memory.New(nil)
	f.Cleanup(func() { store.Close() })
	m := New(store, &Options[merged]{Logger: slog.New(slog.DiscardHandler)})

	f.Add([]byte(nil))
	for seed := range byte(8) {
		b := make([]byte, 3*mergedLen)
		for i := range b {
			b[i] = byte(i*i)*seed + byte(i)/(seed+1)
		}
		f.Add(b)
		emptied := bytes.Clone(b)
		clear(emptied[mergedLen : 2*mergedLen])
		f.Add(emptied)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		data = append(data, make([]byte, 3*mergedLen)...)
		states := func() (base, mine, theirs *merged) {
			return mergedOf(data[:mergedLen]), mergedOf(data[mergedLen : 2*mergedLen]), mergedOf(data[2*mergedLen : 3*mergedLen])
		}
		base, mine, theirs := states()
		before := fmt.Sprintf("base   %v\nmine   %v\ntheirs %v\n", leaves(base), leaves(mine), leaves(theirs))
		want, wantBoth := mergedByRule(leaves(base), leaves(mine), leaves(theirs))

		both := mergeFields(reflect.ValueOf(base).Elem(), reflect.ValueOf(mine).Elem(), reflect.ValueOf(theirs).Elem(), "Data")
		slices.Sort(both)
		if got := leaves(mine); !maps.Equal(got, want) || !slices.Equal(both, wantBoth) {
			t.Errorf("%smerged %v, both changed %v\nwant   %v, both changed %v", before, got, both, want, wantBoth)
		}

		base, mine, theirs = states()
		if empty := leaves(new(merged)); maps.Equal(leaves(mine), empty) && !maps.Equal(leaves(base), empty) {
			want = empty // to empty Data is to change all of it
		}
		stored, kept := overlap(t, m, base, mine, theirs)
		if got := leaves(stored); !maps.Equal(got, want) {
			t.Errorf("%sstored %v\nwant   %v", before, got, want)
		}
		base, mine, _ = states()
		if maps.Equal(leaves(mine), leaves(base)) {
			want = leaves(mine) // it has saved nothing, and so met nobody
		}
		if got := leaves(kept); !maps.Equal(got, want) {
			t.Errorf("%sthe later request goes on with %v\nwant   %v", before, got, want)
		}
	})
}

// overlap lets two requests load base and save, first theirs and then mine. It returns
// what is stored then, and what the later one has.
func overlap(t *testing.T, m *Manager[merged], base, mine, theirs *merged) (stored, kept *merged) {
	ctx := t.Context()
	begun := m.Start()
	begun.Data = *base
	if err := begun.Save(ctx); err != nil {
		t.Fatal(err)
	}
	load := func() *Session[merged] {
		s, err := m.Load(ctx, begun.Token())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	later, sooner := load(), load()
	later.Data, sooner.Data = *mine, *theirs
	if err := errors.Join(sooner.Save(ctx), later.Save(ctx)); err != nil {
		t.Fatal(err)
	}
	stored = &load().Data
	if err := begun.Destroy(ctx); err != nil {
		t.Fatal(err)
	}
	return stored, &later.Data
}
