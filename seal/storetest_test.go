package seal_test

import (
	"bytes"
	"testing"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/memory"
	"github.com/tokensession/tokensession/storetest"
)

func TestStore(t *testing.T) {
	for name, keys := range map[string][][]byte{"one key": {newKey}, "two keys": {newKey, oldKey}} {
		t.Run(name, func(t *testing.T) {
			storetest.Suite{
				New: func(tb testing.TB) tokensession.Store { return sealed(tb, memory.New(nil), keys...) },
				Corrupt: func(tb testing.TB) (tokensession.Store, func(string)) {
					under := memory.New(nil)
					return sealed(tb, under, keys...), func(id string) { tamper(tb, under, id) }
				},
				Capabilities: storetest.AllCapabilities,
				InProcess:    true,
			}.Run(t)
		})
	}
}

// tamper changes a byte of what is sealed.
func tamper(tb testing.TB, under tokensession.Store, id string) {
	tb.Helper()
	rec, err := under.Get(tb.Context(), id)
	if err == nil {
		rec.Data = bytes.Clone(rec.Data)
		rec.Data[len(rec.Data)/2] ^= 1
		_, err = under.Update(tb.Context(), id, rec)
	}
	if err != nil {
		tb.Fatal(err)
	}
}
