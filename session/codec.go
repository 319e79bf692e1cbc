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
