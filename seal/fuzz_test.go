package seal_test

import (
	"encoding/hex"
	"errors"
	"testing"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/memory"
)

// golden was sealed by the first version, with newKey, for the id "id": "the data" of
// "ada". Every later version must open it.
const (
	goldenData = "01c5423833e1afd9e7e2bfefb92741c9ed9e4e57aa157b0eebab353d01" +
		"63cb52c12c9feb80dbda6fcf5bc5a8e3aa22ca7eb7d25b9847a5512888"
	goldenTag = "Tc4NiCJwPY1yTss3m1lCkw"
)

func golden(tb testing.TB) tokensession.Record {
	data, err := hex.DecodeString(goldenData)
	if err != nil {
		tb.Fatal(err)
	}
	rec := record("", goldenTag)
	rec.Data = data
	return rec
}

func TestGolden(t *testing.T) {
	m := newMemory(t)
	create(t, m, "id", golden(t))
	s := sealed(t, m, newKey)
	wantRecord(t, s, "id", "the data", "ada")
	wantOwned(t, s, "ada", "id")
}

// FuzzOpen lets anything stand in the store, under any id and owner. Nothing but what was
// sealed for them opens, and nothing panics.
func FuzzOpen(f *testing.F) {
	authentic := golden(f)
	f.Add("id", goldenTag, authentic.Data)
	f.Add("id2", goldenTag, authentic.Data)
	f.Add("id", "", authentic.Data)
	f.Add("id", goldenTag, authentic.Data[:len(authentic.Data)-1])
	f.Add("id", goldenTag, authentic.Data[:47])
	f.Add("id", "", []byte{})
	f.Fuzz(func(t *testing.T, id, tag string, data []byte) {
		m := memory.New(nil)
		defer m.Close()
		rec := record(string(data), tag)
		if _, err := m.Create(t.Context(), id, rec); err != nil {
			return // no store takes it
		}
		got, err := sealed(t, m, newKey, oldKey).Get(t.Context(), id)
		if id == "id" && tag == goldenTag && string(data) == string(authentic.Data) {
			if err != nil || string(got.Data) != "the data" || got.Owner != "ada" {
				t.Fatalf("Get gave %q of %q, %v", got.Data, got.Owner, err)
			}
			return
		}
		if !errors.Is(err, tokensession.ErrCorrupt) {
			t.Fatalf("Get gave %q of %q, %v; want ErrCorrupt", got.Data, got.Owner, err)
		}
	})
}
