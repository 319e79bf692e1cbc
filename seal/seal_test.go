package seal_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/memory"
	"github.com/tokensession/tokensession/seal"
)

var (
	oldKey = bytes.Repeat([]byte{0xab}, 32)
	newKey = bytes.Repeat([]byte{0xcd}, 32)
)

func sealed(tb testing.TB, store tokensession.Store, keys ...[]byte) *seal.Store {
	tb.Helper()
	s, err := seal.New(store, keys...)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func newMemory(tb testing.TB) *memory.Store {
	m := memory.New(nil)
	tb.Cleanup(func() { m.Close() })
	return m
}

func record(data, owner string) tokensession.Record {
	return tokensession.Record{Data: []byte(data), Owner: owner, TTL: time.Hour}
}

func create(tb testing.TB, s tokensession.Store, id string, rec tokensession.Record) {
	tb.Helper()
	if _, err := s.Create(tb.Context(), id, rec); err != nil {
		tb.Fatalf("Create: %v", err)
	}
}

func get(tb testing.TB, s tokensession.Store, id string) tokensession.Record {
	tb.Helper()
	rec, err := s.Get(tb.Context(), id)
	if err != nil {
		tb.Fatalf("Get: %v", err)
	}
	return rec
}

// change replaces the Data and the Owner of a record.
func change(tb testing.TB, s tokensession.Store, id string, rec tokensession.Record) {
	tb.Helper()
	rec.Version = get(tb, s, id).Version
	if _, err := s.Update(tb.Context(), id, rec); err != nil {
		tb.Fatalf("Update: %v", err)
	}
}

func wantRecord(tb testing.TB, s tokensession.Store, id, data, owner string) {
	tb.Helper()
	if rec := get(tb, s, id); string(rec.Data) != data || rec.Owner != owner {
		tb.Errorf("Get gave %q of %q, want %q of %q", rec.Data, rec.Owner, data, owner)
	}
}

// wantCorrupt fails unless Get says of the record what a driver says of a damaged one.
func wantCorrupt(tb testing.TB, s tokensession.Store, id string) {
	tb.Helper()
	rec, err := s.Get(tb.Context(), id)
	wantCorruptError(tb, err)
	if rec.Data != nil || rec.Owner != "" || rec.Version != "" {
		tb.Errorf("Get gave %q of %q beside its error", rec.Data, rec.Owner)
	}
}

func wantCorruptError(tb testing.TB, err error) {
	tb.Helper()
	if !errors.Is(err, tokensession.ErrCorrupt) {
		tb.Errorf("got %v, want ErrCorrupt", err)
	}
	for _, other := range []error{tokensession.ErrNotFound, tokensession.ErrExists, tokensession.ErrConflict} {
		if errors.Is(err, other) {
			tb.Errorf("%v is also %v", err, other)
		}
	}
	if op := (*tokensession.OpError)(nil); !errors.As(err, &op) || op.Driver != "seal" {
		tb.Errorf("%v is no OpError of this package", err)
	}
}

func TestNewRefusesKeys(t *testing.T) {
	inHex := []byte(hex.EncodeToString(newKey))
	for _, tt := range []struct {
		name, want string
		keys       [][]byte
	}{
		{"none", "at least one", nil},
		{"nil", "0 bytes; accepted are 32", [][]byte{nil}},
		{"short", "31 bytes; accepted are 32", [][]byte{newKey[1:]}},
		{"long", "33 bytes; accepted are 32", [][]byte{append(newKey[:32:32], 0xcd)}},
		{"encoded", "64 bytes; accepted are 32", [][]byte{inHex}},
		{"the second", "key 2 of 2 has 16 bytes", [][]byte{newKey, oldKey[:16]}},
		{"twice", "keys 1 and 3 of 3 are the same", [][]byte{newKey, oldKey, newKey}},
	} {
		s, err := seal.New(newMemory(t), tt.keys...)
		if s != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
		wantNoKey(t, fmt.Sprint(err))
	}
}

func TestNewPanicsWithoutStore(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("New took nil")
		}
	}()
	seal.New(nil, newKey)
}

// wantNoKey looks for newKey in what is shown to people.
func wantNoKey(t *testing.T, shown string) {
	t.Helper()
	for _, key := range []string{string(newKey[:4]), "cdcd", "cd cd", "205 205", "0xcd, 0xcd",
		base64.StdEncoding.EncodeToString(newKey)[:8]} {
		if strings.Contains(strings.ToLower(shown), key) {
			t.Errorf("a key is shown: %s", shown)
		}
	}
}

func TestKeysAreNotPrinted(t *testing.T) {
	s := sealed(t, newMemory(t), newKey)
	index, _ := tokensession.As[tokensession.OwnerIndex](s)
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		wantNoKey(t, fmt.Sprintf(format, s))
		wantNoKey(t, fmt.Sprintf(format, index))
	}
}

// The caller may wipe a key once New has returned.
func TestKeysAreNotKept(t *testing.T) {
	m := newMemory(t)
	key := bytes.Clone(newKey)
	s := sealed(t, m, key)
	clear(key)
	create(t, s, "id", record("data", "owner"))
	wantRecord(t, sealed(t, m, newKey), "id", "data", "owner")
}

// Nothing that is secret stands in the store, however it may be written.
func TestNothingIsLegible(t *testing.T) {
	m := newMemory(t)
	s := sealed(t, m, newKey)
	secrets := []string{"the data of a session", "ada@example.org"}
	for i := range 20 {
		create(t, s, fmt.Sprint("id", i), record(strings.Repeat(secrets[0], i+1), secrets[1]))
		change(t, s, fmt.Sprint("id", i), record(secrets[0], strings.Repeat(secrets[1], i%17+1)))
	}
	for e, err := range m.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		held := e.ID + e.Owner + string(e.Version) + string(e.Data)
		for _, secret := range secrets {
			for _, form := range []string{secret, hex.EncodeToString([]byte(secret)),
				base64.StdEncoding.EncodeToString([]byte(secret))} {
				if strings.Contains(held, form[:8]) {
					t.Fatalf("%q stands in the store, in %q", form, held)
				}
			}
		}
	}
}

// What is sealed twice is not the same twice: neither half of the nonce is.
func TestSealsDiffer(t *testing.T) {
	m := newMemory(t)
	s := sealed(t, m, newKey)
	create(t, s, "id", record("data", "owner"))
	first := get(t, m, "id")
	change(t, s, "id", record("data", "owner"))
	second := get(t, m, "id")
	if bytes.Equal(first.Data[5:17], second.Data[5:17]) || bytes.Equal(first.Data[17:29], second.Data[17:29]) ||
		bytes.Equal(first.Data[29:35], second.Data[29:35]) {
		t.Errorf("sealed twice:\n%x\n%x", first.Data, second.Data)
	}
	if first.Owner != second.Owner {
		t.Errorf("one owner has become %q and %q", first.Owner, second.Owner)
	}
}

func TestOverhead(t *testing.T) {
	m := newMemory(t)
	s := sealed(t, m, newKey)
	for i, owner := range []string{"", "o", strings.Repeat("x", 256), strings.Repeat("é", 128)} {
		id := fmt.Sprint(i)
		create(t, s, id, record("data", owner))
		wantRecord(t, s, id, "data", owner)
		rec := get(t, m, id)
		if want := 47 + len(owner) + len("data"); len(rec.Data) != want {
			t.Errorf("an owner of %d bytes: sealed are %d bytes, want %d", len(owner), len(rec.Data), want)
		}
		if want := map[bool]int{false: 22}[owner == ""]; len(rec.Owner) != want {
			t.Errorf("an owner of %d bytes has a tag of %d bytes, want %d", len(owner), len(rec.Owner), want)
		}
	}
}

// TestTampering changes every bit of what the store holds, cuts it anywhere and adds to it.
func TestTampering(t *testing.T) {
	m := newMemory(t)
	s := sealed(t, m, newKey, oldKey)
	for _, rec := range []tokensession.Record{record("", ""), record("data", ""), record("", "owner"), record("data", "owner")} {
		id := fmt.Sprintf("%s-%s", rec.Data, rec.Owner)
		create(t, s, id, rec)
		authentic := get(t, m, id)
		authentic.TTL = tokensession.Forever
		refuses := func(what string, data []byte, tag string) {
			t.Helper()
			change(t, m, id, tokensession.Record{Data: data, Owner: tag, TTL: time.Hour})
			if wantCorrupt(t, s, id); t.Failed() {
				t.Fatalf("after %s of %s", what, id)
			}
		}
		for at := range authentic.Data {
			for bit := range 8 {
				data := bytes.Clone(authentic.Data)
				data[at] ^= 1 << bit
				refuses(fmt.Sprintf("a change of bit %d of byte %d", bit, at), data, authentic.Owner)
			}
			refuses(fmt.Sprintf("a cut at %d", at), authentic.Data[:at], authentic.Owner)
			refuses(fmt.Sprintf("a cut until %d", at), authentic.Data[at+1:], authentic.Owner)
		}
		refuses("an addition", append(authentic.Data[:len(authentic.Data):len(authentic.Data)], 0), authentic.Owner)
		for at := range authentic.Owner {
			for bit := range 7 { // the eighth makes it invalid
				tag := []byte(authentic.Owner)
				if tag[at] ^= 1 << bit; tag[at] != 0 {
					refuses(fmt.Sprintf("a change of bit %d of byte %d of the owner", bit, at), authentic.Data, string(tag))
				}
			}
		}
		refuses("an addition to the owner", authentic.Data, authentic.Owner+"x")
		if authentic.Owner != "" {
			refuses("the removal of the owner", authentic.Data, "")
		}
		change(t, m, id, authentic)
		wantRecord(t, s, id, string(rec.Data), rec.Owner)
	}
}

// Records that are authentic, but somewhere else, are not.
func TestSwapping(t *testing.T) {
	m := newMemory(t)
	s := sealed(t, m, newKey)
	create(t, s, "a", record("data", "ada"))
	create(t, s, "ab", record("data", "ada"))
	create(t, s, "b", record("data", "bob"))
	create(t, s, "nobody", record("data", ""))
	a, b, nobody := get(t, m, "a"), get(t, m, "b"), get(t, m, "nobody")
	create(t, s, "a"+a.Owner[:1], record("data", "ada"))
	for name, swapped := range map[string]struct {
		id  string
		rec tokensession.Record
	}{
		"another id of one owner":    {"ab", a},
		"another id and owner":       {"b", a},
		"another's data":             {"b", tokensession.Record{Data: a.Data, Owner: b.Owner}},
		"another's tag":              {"b", tokensession.Record{Data: b.Data, Owner: a.Owner}},
		"a tag for who has none":     {"nobody", tokensession.Record{Data: nobody.Data, Owner: a.Owner}},
		"the tag's start in the id":  {"a" + a.Owner[:1], tokensession.Record{Data: a.Data, Owner: a.Owner[1:]}},
		"the tag of the owner taken": {"a", tokensession.Record{Data: a.Data}},
	} {
		t.Run(name, func(t *testing.T) {
			authentic := get(t, m, swapped.id)
			swapped.rec.TTL = time.Hour
			change(t, m, swapped.id, swapped.rec)
			wantCorrupt(t, s, swapped.id)
			change(t, m, swapped.id, authentic)
			get(t, s, swapped.id)
		})
	}
}

// An older state of the same record opens: the documentation says so.
func TestReplayIsNotSeen(t *testing.T) {
	m := newMemory(t)
	s := sealed(t, m, newKey)
	create(t, s, "id", record("before", "ada"))
	before := get(t, m, "id")
	change(t, s, "id", record("after", "bob"))
	change(t, m, "id", before)
	wantRecord(t, s, "id", "before", "ada")
}

// What cannot be opened is an error of that record, which says why, and can be removed.
func TestUnreadable(t *testing.T) {
	for _, tt := range []struct {
		name, why string
		store     func(m tokensession.Store)
	}{
		{"not sealed", "not sealed", func(m tokensession.Store) { create(t, m, "123456789", record(strings.Repeat("legible ", 20), "owner")) }},
		{"empty", "not sealed", func(m tokensession.Store) { create(t, m, "123456789", record("", "")) }},
		{"dropped key", "key", func(m tokensession.Store) { create(t, sealed(t, m, oldKey), "123456789", record("data", "owner")) }},
		{"another id", "changed", func(m tokensession.Store) {
			create(t, sealed(t, m, newKey), "another", record("data", "owner"))
			rec := get(t, m, "another")
			m.Delete(t.Context(), "another")
			create(t, m, "123456789", rec)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMemory(t)
			tt.store(m)
			s := sealed(t, m, newKey)
			wantCorrupt(t, s, "123456789")
			_, err := s.Get(t.Context(), "123456789")
			if msg := err.Error(); !strings.HasPrefix(msg, "seal: get 12345678…: ") || !strings.Contains(msg, tt.why) {
				t.Errorf("the error is %q", msg)
			}
			if _, err := s.Create(t.Context(), "123456789", record("", "")); !errors.Is(err, tokensession.ErrExists) {
				t.Errorf("Create: %v, want ErrExists", err)
			}
			if _, err := s.Update(t.Context(), "123456789", record("", "")); !errors.Is(err, tokensession.ErrConflict) {
				t.Errorf("Update from no Version: %v, want ErrConflict", err)
			}
			if err := s.Touch(t.Context(), "123456789", time.Minute); err != nil {
				t.Errorf("Touch: %v", err)
			}
			if err := s.Delete(t.Context(), "123456789"); err != nil {
				t.Errorf("Delete: %v", err)
			}
			create(t, s, "123456789", record("new", ""))
			wantRecord(t, s, "123456789", "new", "")
		})
	}
}

// small is a store that holds 100 bytes of Data in a record.
type small struct{ *memory.Store }

func (s small) Create(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	if len(rec.Data) > 100 {
		return "", fmt.Errorf("%w: accepted are 100", tokensession.ErrTooLarge)
	}
	return s.Store.Create(ctx, id, rec)
}

func TestTooLargePasses(t *testing.T) {
	s := sealed(t, small{newMemory(t)}, newKey)
	create(t, s, "fits", record(strings.Repeat("x", 100-47-5), "owner"))
	_, err := s.Create(t.Context(), "too-large", record(strings.Repeat("x", 100-47-4), "owner"))
	if !errors.Is(err, tokensession.ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
}
