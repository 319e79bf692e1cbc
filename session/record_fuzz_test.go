package session

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"reflect"
	"testing"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/memory"
)

// FuzzRecord makes a record out of fields, and takes raw for one.
func FuzzRecord(f *testing.F) {
	store := memory.New(nil)
	f.Cleanup(func() { store.Close() })
	m := New(store, &Options[fuzzData]{Logger: slog.New(slog.DiscardHandler)})

	f.Add([]byte(nil), []byte(nil), []byte(nil))
	f.Add([]byte(`{"Views":1}`), bytes.Repeat([]byte{0xff}, 64), []byte("\n"))
	for _, raw := range []string{
		"ts1 created=1763869020123 epoch=0 secret=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n{}",
		"ts1 created=0 epoch=18446744073709551615 secret=__________________________________________8\n{\"Views\":1}",
		"ts1 created=7258118400000 epoch=1 secret=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
		"ts1 created=+1 epoch=01 secret=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n{}",
		"ts1 created=1 epoch=1 secret=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB\n{}",
		"ts1 created=1 epoch=1 secret=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA \n{}",
		"ts1 created=1 epoch=1 secret=AAAAAAAAAAAAAAAA\r\r\r\rAAAAAAAAAAAAAAAAAAAAAAA\n{}",
		"ts2 created=1 epoch=1 secret=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n{}",
	} {
		f.Add([]byte(raw), []byte{1, 2, 3}, []byte("payload"))
	}
	f.Fuzz(func(t *testing.T, raw, fields, payload []byte) {
		h := headerOf(fields)
		record := append(h.appendTo(nil), payload...)
		if got, rest, err := parseRecord(record); err != nil || !reflect.DeepEqual(got, h) || !bytes.Equal(rest, payload) {
			t.Errorf("%+v is read as %+v, %v from\n%q", h, got, err, record)
		}
		if h, rest, err := parseRecord(raw); err == nil && string(h.appendTo(nil))+string(rest) != string(raw) {
			t.Errorf("%q is accepted, but not what %+v is written as", raw, h)
		}
		checkOpens(t, m, raw)
	})
}

// headerOf takes the fields of a header from b, each from the bytes that follow those
// of the one before. A new field goes last, so that the corpus keeps its meaning.
func headerOf(b []byte) (h header) {
	next := bytes.NewReader(append(b, make([]byte, 1024)...))
	number := func() (n uint64) {
		binary.Read(next, binary.LittleEndian, &n)
		return n
	}
	h.created = int64(number() % uint64(maxMillis+1))
	h.epoch = number()
	next.Read(h.secret[:])
	for range number() % (maxFormers + 1) {
		f := former{end: int64(number() % uint64(maxMillis+1))}
		next.Read(f.secret[:])
		next.Read(f.nonce[:])
		h.formers = append(h.formers, f)
	}
	return h
}

// checkOpens puts raw where a session should be, and comes with its token. It must not
// open it but with the secret that stands in the record, and the record stays.
func checkOpens(t *testing.T, m *Manager[fuzzData], raw []byte) {
	token := newCredential("")
	rec := tokensession.Record{Data: raw, TTL: tokensession.MaxTTL}
	if _, err := m.store.Create(t.Context(), token.id, rec); err != nil {
		t.Fatal(err)
	}
	if s, err := m.Load(t.Context(), token.token); err == nil {
		t.Errorf("it opens session %v, whose secret it cannot have", s)
	}
	if left, err := m.store.Get(t.Context(), token.id); err != nil || !bytes.Equal(left.Data, raw) {
		t.Errorf("the record was not left alone: %v", err)
	}

	// The same with the right secret: now it is for the codec to accept it or not.
	h, payload, parseErr := parseRecord(raw)
	if parseErr == nil {
		h.secret = token.secret
		rec.Data = append(h.appendTo(nil), payload...)
	}
	if err := m.store.Delete(t.Context(), token.id); err != nil {
		t.Fatal(err)
	}
	if _, err := m.store.Create(t.Context(), token.id, rec); err != nil {
		t.Fatal(err)
	}
	if s, err := m.Load(t.Context(), token.token); err == nil {
		want := new(fuzzData)
		if parseErr != nil || m.opts.Codec.Decode(payload, want) != nil || s.Data != *want {
			t.Errorf("it opens %+v", s.Data)
		}
	}
	if err := m.store.Delete(t.Context(), token.id); err != nil {
		t.Fatal(err)
	}
}
