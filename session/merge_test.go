package session

import (
	"math"
	"reflect"
	"slices"
	"testing"
	"time"
)

type embedded struct{ A, B int }

// ownCodec has fields, but only it knows how they belong together.
type ownCodec struct{ X, Y int }

func (ownCodec) MarshalText() ([]byte, error) { return nil, nil }

type codecMap map[string]int

func (codecMap) MarshalJSON() ([]byte, error) { return nil, nil }

type everything struct {
	embedded
	Number  int
	Nested  embedded
	Pointer *embedded
	Slice   []int
	Map     map[string]embedded
	Codec   ownCodec
	CodecM  codecMap
	Any     any
	When    time.Time
	hidden  int
}

func TestMergeFields(t *testing.T) {
	for _, tt := range []struct {
		name                     string
		base, mine, theirs, want everything
		both                     []string
	}{
		{
			name:   "fields of an embedded struct merge singly",
			mine:   everything{embedded: embedded{A: 1}},
			theirs: everything{embedded: embedded{B: 2}},
			want:   everything{embedded: embedded{1, 2}},
		},
		{
			name:   "a nested struct is one value",
			mine:   everything{Nested: embedded{A: 1}},
			theirs: everything{Nested: embedded{B: 2}},
			want:   everything{Nested: embedded{A: 1}},
			both:   []string{"Nested"},
		},
		{
			name:   "what a pointer points to is one value",
			base:   everything{Pointer: &embedded{1, 1}},
			mine:   everything{Pointer: &embedded{1, 1}},
			theirs: everything{Pointer: &embedded{1, 2}},
			want:   everything{Pointer: &embedded{1, 2}},
		},
		{
			name:   "a slice is one value",
			base:   everything{Slice: []int{1}},
			mine:   everything{Slice: []int{1, 2}},
			theirs: everything{Slice: []int{1, 3}},
			want:   everything{Slice: []int{1, 2}},
			both:   []string{"Slice"},
		},
		{
			name:   "entries of a map merge singly, each as one value",
			base:   everything{Map: map[string]embedded{"a": {1, 1}, "b": {1, 1}, "c": {1, 1}, "d": {1, 1}}},
			mine:   everything{Map: map[string]embedded{"a": {2, 1}, "b": {1, 1}, "d": {1, 1}, "e": {5, 5}}},
			theirs: everything{Map: map[string]embedded{"a": {1, 2}, "b": {1, 3}, "c": {1, 1}, "f": {6, 6}}},
			want:   everything{Map: map[string]embedded{"a": {2, 1}, "b": {1, 3}, "e": {5, 5}, "f": {6, 6}}},
			both:   []string{"Map"},
		},
		{
			name:   "an entry that one deletes and the other changes",
			base:   everything{Map: map[string]embedded{"a": {}, "b": {}}},
			mine:   everything{Map: map[string]embedded{"b": {1, 1}}},
			theirs: everything{Map: map[string]embedded{"a": {1, 1}}},
			want:   everything{Map: map[string]embedded{"b": {1, 1}}},
			both:   []string{"Map"},
		},
		{
			name:   "into a nil map",
			theirs: everything{Map: map[string]embedded{"a": {1, 1}}},
			want:   everything{Map: map[string]embedded{"a": {1, 1}}},
		},
		{
			name:   "nil and empty are equal",
			base:   everything{Slice: []int{}, Map: map[string]embedded{}},
			mine:   everything{},
			theirs: everything{Slice: []int{1}, Map: map[string]embedded{"a": {}}},
			want:   everything{Slice: []int{1}, Map: map[string]embedded{"a": {}}},
		},
		{
			name:   "types with their own codec are one value",
			mine:   everything{Codec: ownCodec{X: 1}, CodecM: codecMap{"a": 1}},
			theirs: everything{Codec: ownCodec{Y: 2}, CodecM: codecMap{"b": 1}, When: time.Unix(1, 1)},
			want:   everything{Codec: ownCodec{X: 1}, CodecM: codecMap{"a": 1}, When: time.Unix(1, 1)},
			both:   []string{"Codec", "CodecM"},
		},
		{
			name:   "the same change by both is no conflict",
			mine:   everything{Number: 1, Any: []any{1.5, "x"}},
			theirs: everything{Number: 1, Any: []any{1.5, "x"}},
			want:   everything{Number: 1, Any: []any{1.5, "x"}},
		},
		{
			name:   "what is not exported stays",
			mine:   everything{hidden: 1},
			theirs: everything{hidden: 2},
			want:   everything{hidden: 1},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mine := tt.mine
			both := mergeFields(reflect.ValueOf(&tt.base).Elem(), reflect.ValueOf(&mine).Elem(), reflect.ValueOf(&tt.theirs).Elem(), "Data")
			if !reflect.DeepEqual(mine, tt.want) || !slices.Equal(both, tt.both) {
				t.Errorf("got  %+v, both %v\nwant %+v, both %v", mine, both, tt.want, tt.both)
			}
		})
	}
}

func TestMergeOfWholeTypes(t *testing.T) {
	t.Run("map", func(t *testing.T) {
		base, mine, theirs := map[string]int{"a": 1}, map[string]int{"a": 1, "b": 2}, map[string]int{"c": 3}
		mergeFields(reflect.ValueOf(&base).Elem(), reflect.ValueOf(&mine).Elem(), reflect.ValueOf(&theirs).Elem(), "Data")
		if want := map[string]int{"b": 2, "c": 3}; !reflect.DeepEqual(mine, want) {
			t.Errorf("got %v, want %v", mine, want)
		}
	})
	t.Run("own codec", func(t *testing.T) {
		base, mine, theirs := ownCodec{}, ownCodec{X: 1}, ownCodec{Y: 1}
		both := mergeFields(reflect.ValueOf(&base).Elem(), reflect.ValueOf(&mine).Elem(), reflect.ValueOf(&theirs).Elem(), "Data")
		if mine != (ownCodec{X: 1}) || !slices.Equal(both, []string{"Data"}) {
			t.Errorf("got %v, both %v", mine, both)
		}
	})
}

func TestEqual(t *testing.T) {
	type any2 struct{ V any }
	for _, tt := range []struct {
		a, b any
		want bool
	}{
		{1, 1, true},
		{1, int64(1), false},
		{math.NaN(), math.NaN(), true},
		{0.0, 1.0, false},
		{[]byte("a"), []byte("a"), true},
		{[]byte(nil), []byte{}, true},
		{[2]int{1, 2}, [2]int{1, 3}, false},
		{map[string][]int{"a": nil}, map[string][]int{"a": {}}, true},
		{map[string]int{"a": 0}, map[string]int{"b": 0}, false},
		{map[string]any{"a": nil}, map[string]any{}, false},
		{any2{nil}, any2{0}, false},
		{&embedded{1, 2}, &embedded{1, 2}, true},
		{(*embedded)(nil), &embedded{}, false},
		{func() {}, func() {}, false},
		{time.Unix(1, 0).In(time.FixedZone("x", 60)), time.Unix(1, 0).In(time.FixedZone("x", 60)), true},
	} {
		if got := equal(reflect.ValueOf(tt.a), reflect.ValueOf(tt.b)); got != tt.want {
			t.Errorf("equal(%#v, %#v) is %v", tt.a, tt.b, got)
		}
	}
}

func TestIsFlat(t *testing.T) {
	for _, tt := range []struct {
		v    any
		want bool
	}{
		{struct {
			A string
			B [2]float64
			C time.Time
			d struct{ e bool }
		}{}, true},
		{struct{ A []int }{}, false},
		{struct{ A *int }{}, false},
		{struct{ A any }{}, false},
		{map[string]int{}, false},
	} {
		if got := isFlat(reflect.TypeOf(tt.v)); got != tt.want {
			t.Errorf("%T: %v", tt.v, got)
		}
	}
}
