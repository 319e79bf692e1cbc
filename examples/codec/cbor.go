// Package codec shows another encoding of sessions than JSON: CBOR (RFC 8949).
package codec

import (
	"reflect"

	"github.com/fxamacker/cbor/v2"
)

// CBOR is a session.Codec. It needs no struct tags; those of JSON count too.
type CBOR[T any] struct{}

// Encode returns v as CBOR.
func (CBOR[T]) Encode(v *T) ([]byte, error) { return encoding.Marshal(v) }

// Decode sets v to what the CBOR in data says.
func (CBOR[T]) Decode(data []byte, v *T) error { return decoding.Unmarshal(data, v) }

// What a codec does not bring back is lost to the session, so the defaults of the module
// will not do: they cut times to seconds, and make a map in an any one that has keys of
// any type.
var (
	encoding = must(cbor.EncOptions{Time: cbor.TimeRFC3339Nano}.EncMode())
	decoding = must(cbor.DecOptions{DefaultMapType: reflect.TypeFor[map[string]any]()}.DecMode())
)

func must[M any](mode M, err error) M {
	if err != nil {
		panic(err)
	}
	return mode
}
