package session

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"time"

	"github.com/tokensession/tokensession"
)

// Reject is a Merge that refuses: a save whose session was changed by another
// request since it was loaded returns an error that wraps
// [tokensession.ErrConflict], and stores nothing. The default OnError answers 409.
func Reject[T any](base, mine, theirs *T) error {
	return fmt.Errorf("%w by another request", tokensession.ErrConflict)
}

// mergeFields is the default Merge. Into mine it takes over what only theirs has
// changed since base, field by field and, in maps, entry by entry. It returns the
// names of the fields that both have changed; there, mine stands.
func mergeFields(base, mine, theirs reflect.Value, name string) (both []string) {
	switch t := mine.Type(); {
	case hasCodec(t):
		return mergeValue(base, mine, theirs, name)
	case t.Kind() == reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			switch {
			case f.Anonymous && f.Type.Kind() == reflect.Struct:
				both = append(both, mergeFields(base.Field(i), mine.Field(i), theirs.Field(i), f.Name)...)
			case !f.IsExported(): // no codec stores it
			case f.Type.Kind() == reflect.Map:
				both = append(both, mergeFields(base.Field(i), mine.Field(i), theirs.Field(i), f.Name)...)
			default:
				both = append(both, mergeValue(base.Field(i), mine.Field(i), theirs.Field(i), f.Name)...)
			}
		}
		return both
	case t.Kind() == reflect.Map:
		return mergeEntries(base, mine, theirs, name)
	}
	return mergeValue(base, mine, theirs, name)
}

// mergeValue merges what is one value.
func mergeValue(base, mine, theirs reflect.Value, name string) (both []string) {
	switch {
	case !mine.CanSet(): // an embedded type that is not exported and no struct: no codec stores it
	case equal(mine, base):
		mine.Set(theirs)
	case !equal(theirs, base) && !equal(theirs, mine):
		return []string{name}
	}
	return nil
}

// mergeEntries merges maps. An entry that is missing differs from every value.
func mergeEntries(base, mine, theirs reflect.Value, name string) (both []string) {
	for _, key := range theirs.MapKeys() {
		b, m, t := base.MapIndex(key), mine.MapIndex(key), theirs.MapIndex(key)
		switch {
		case equal(m, b) && !equal(t, m):
			if mine.IsNil() {
				mine.Set(reflect.MakeMap(mine.Type()))
			}
			mine.SetMapIndex(key, t)
		case !equal(m, b) && !equal(t, b) && !equal(t, m):
			both = []string{name}
		}
	}
	for _, key := range mine.MapKeys() {
		if theirs.MapIndex(key).IsValid() {
			continue
		}
		switch b, m := base.MapIndex(key), mine.MapIndex(key); {
		case !b.IsValid(): // mine alone added it
		case equal(m, b):
			mine.SetMapIndex(key, reflect.Value{}) // theirs alone deleted it
		default:
			both = []string{name}
		}
	}
	return both
}

func equalValues[T any](a, b *T) bool {
	return equal(reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem())
}

// equal is deep equality in which nil and empty slices and maps are the same, and
// a NaN is itself. The zero Value, a missing map entry, equals only itself. Both
// come from a decoder, so they have the same type and no cycles.
func equal(a, b reflect.Value) bool {
	if !a.IsValid() || !b.IsValid() {
		return a.IsValid() == b.IsValid()
	}
	if a.Type() != b.Type() {
		return false
	}
	switch a.Kind() {
	case reflect.Pointer, reflect.Interface:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() == b.IsNil()
		}
		return equal(a.Elem(), b.Elem())
	case reflect.Struct:
		for i := range a.NumField() {
			if !equal(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	case reflect.Slice:
		if a.Type().Elem().Kind() == reflect.Uint8 {
			return bytes.Equal(a.Bytes(), b.Bytes())
		}
		return a.Len() == b.Len() && equalElements(a, b)
	case reflect.Array:
		return equalElements(a, b)
	case reflect.Map:
		return equalEntries(a, b)
	case reflect.Float32, reflect.Float64:
		return a.Float() == b.Float() || math.IsNaN(a.Float()) && math.IsNaN(b.Float())
	case reflect.Func:
		return a.IsNil() && b.IsNil()
	}
	return a.Equal(b)
}

func equalElements(a, b reflect.Value) bool {
	for i := range a.Len() {
		if !equal(a.Index(i), b.Index(i)) {
			return false
		}
	}
	return true
}

func equalEntries(a, b reflect.Value) bool {
	if a.Len() != b.Len() {
		return false
	}
	for entries := a.MapRange(); entries.Next(); {
		if !equal(entries.Value(), b.MapIndex(entries.Key())) {
			return false
		}
	}
	return true
}

type (
	gobEncoder interface{ GobEncode() ([]byte, error) }
	gobDecoder interface{ GobDecode([]byte) error }
)

var codecs = []reflect.Type{
	reflect.TypeFor[json.Marshaler](), reflect.TypeFor[json.Unmarshaler](),
	reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextUnmarshaler](),
	reflect.TypeFor[encoding.BinaryMarshaler](), reflect.TypeFor[encoding.BinaryUnmarshaler](),
	reflect.TypeFor[gobEncoder](), reflect.TypeFor[gobDecoder](),
}

// hasCodec reports whether t encodes itself, so that its fields or entries mean
// what only it knows.
func hasCodec(t reflect.Type) bool {
	for _, c := range codecs {
		if t.Implements(c) || reflect.PointerTo(t).Implements(c) {
			return true
		}
	}
	return false
}

// isFlat reports whether assigning a value of type t copies all of it.
func isFlat(t reflect.Type) bool {
	if t == reflect.TypeFor[time.Time]() {
		return true // its *Location is never modified
	}
	switch t.Kind() {
	case reflect.Struct:
		for i := range t.NumField() {
			if !isFlat(t.Field(i).Type) {
				return false
			}
		}
		return true
	case reflect.Array:
		return isFlat(t.Elem())
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface, reflect.Func, reflect.Chan, reflect.UnsafePointer:
		return false
	}
	return true
}
