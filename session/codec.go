package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// Codec turns the Data of a session into bytes and back. It is used by many
// goroutines at once.
//
// Whether two values differ is decided by what Decode makes of their encodings, so
// an encoding need not be the same each time. What the codec leaves out of the
// encoding lives no longer than the request.
//
// Nothing else looks at the encoding. Two requests' changes are merged as Go values (see
// Options.Merge): what was loaded, what is stored now and what this request has made of
// it, each of them as Decode returns it. So merging is the same with any codec that keeps
// to this:
//
//   - Decode(Encode(v)) is v: what does not survive that, such as the nanoseconds of a
//     time, is lost with the first save. Encoding the result again makes no difference
//     any more; a value that changes each time is saved by every request, and is a
//     change by each of two.
//   - An interface decodes to the same dynamic types each time. A codec that makes
//     another number or map of what was assigned is met by the type assertions of the
//     request after.
//   - Decode ignores a field that T does not have. A release that has it and one that does
//     not may then share sessions; the older one drops the field when it saves a change.
//
// What is a field follows from T, not from the encoding: renaming or leaving out a field
// with a struct tag changes nothing. A type with a method of encoding, encoding/json or
// encoding/gob that encodes or decodes it is one value, whether or not the codec calls that
// method. Methods that only another codec knows are not recognised: a map, or an embedded
// struct, whose fields or entries mean something only together, needs one of the former, a
// field of its own within a struct, or a Merge. Of fields that are not exported, mine stay.
type Codec[T any] interface {
	// Encode returns the encoding of v, which it does not modify.
	Encode(v *T) ([]byte, error)

	// Decode sets v, which is a zero T, to what data encodes. It neither modifies
	// nor keeps data.
	Decode(data []byte, v *T) error
}

// jsonCodec is the default: encoding/json.
type jsonCodec[T any] struct{}

func (jsonCodec[T]) Encode(v *T) ([]byte, error)    { return json.Marshal(v) }
func (jsonCodec[T]) Decode(data []byte, v *T) error { return json.Unmarshal(data, v) }

// codecError is a failure of the codec. Its text shows nothing of Data, which the
// codec's own may quote.
type codecError struct {
	op  string // encode or decode
	err error
}

func (e *codecError) Error() string {
	text := "the codec cannot " + e.op + " Data: "
	if syntax, ok := errors.AsType[*json.SyntaxError](e.err); ok {
		return text + fmt.Sprintf("invalid JSON at byte %d", syntax.Offset)
	}
	if mismatch, ok := errors.AsType[*json.UnmarshalTypeError](e.err); ok {
		kind, _, _ := strings.Cut(mismatch.Value, " ") // of "number 1.5", say
		return text + fmt.Sprintf("a %s in field %q, which is of type %v", kind, mismatch.Field, mismatch.Type)
	}
	return text + fmt.Sprintf("%T", e.err)
}

func (e *codecError) Unwrap() error { return e.err }

// checkJSON finds a type of which JSON would store nothing, the commonest mistake
// with a new type.
func checkJSON(t reflect.Type) error {
	if t.Kind() != reflect.Struct || t.NumField() == 0 || hasCodec(t) {
		return nil
	}
	for _, f := range reflect.VisibleFields(t) {
		if f.IsExported() {
			return nil
		}
	}
	return fmt.Errorf("%v has no exported field, so JSON would save nothing of it", t)
}
