package session_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokensession/tokensession/session"
)

// gobCodec encodes maps in a random order, leaves out zero fields, and knows no nil.
type gobCodec[T any] struct{}

func (gobCodec[T]) Encode(v *T) ([]byte, error) {
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(v)
	return b.Bytes(), err
}

func (gobCodec[T]) Decode(data []byte, v *T) error {
	return gob.NewDecoder(bytes.NewReader(data)).Decode(v)
}

// order has fields of each kind that merging knows. Its tags are for JSON alone.
type order struct {
	Address
	Views  int `json:"v"`
	Lines  map[int]Line
	Total  Line
	Tags   []string
	Since  time.Time
	Ratio  float64
	Hidden string `json:"-"`
}

type (
	Address struct{ Street, Town string }
	Line    struct{ Count, Price int }
)

// TestMergeIsTheSameWithEveryCodec has two requests change different fields and entries,
// and one nested struct.
func TestMergeIsTheSameWithEveryCodec(t *testing.T) {
	since := time.Date(2026, 11, 23, 1, 2, 3, 4, time.UTC)
	for name, codec := range map[string]session.Codec[order]{"JSON": nil, "gob": gobCodec[order]{}} {
		t.Run(name, func(t *testing.T) {
			store := newApp(t, nil).store
			m := session.New(store, &session.Options[order]{Codec: codec, Logger: slog.New(slog.DiscardHandler)})
			s := m.Start()
			s.Data = order{
				Address: Address{"Elm Street", "Springwood"},
				Lines:   map[int]Line{1: {1, 1}, 2: {1, 2}, 3: {1, 3}},
				Total:   Line{3, 6}, Tags: []string{"a"}, Since: since, Ratio: 0.1,
			}
			if err := s.Save(t.Context()); err != nil {
				t.Fatal(err)
			}
			load := func() *session.Session[order] {
				s, err := m.Load(t.Context(), s.Token())
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
			mine, theirs := load(), load()
			theirs.Data.Street = "Oak Street"
			delete(theirs.Data.Lines, 2)
			theirs.Data.Lines[5] = Line{5, 5}
			theirs.Data.Total = Line{5, 6}
			theirs.Data.Tags = append(theirs.Data.Tags, "b")

			mine.Data.Town = "Haddonfield"
			mine.Data.Lines[1] = Line{2, 1}
			mine.Data.Lines[4] = Line{4, 4}
			mine.Data.Total = Line{3, 10}
			mine.Data.Views = 7
			if err := errors.Join(theirs.Save(t.Context()), mine.Save(t.Context())); err != nil {
				t.Fatal(err)
			}
			want := order{
				Address: Address{"Oak Street", "Haddonfield"}, Views: 7,
				Lines: map[int]Line{1: {2, 1}, 3: {1, 3}, 4: {4, 4}, 5: {5, 5}},
				Total: Line{3, 10}, Tags: []string{"a", "b"}, Since: since, Ratio: 0.1,
			}
			for whose, got := range map[string]order{"the store": load().Data, "the later request": mine.Data} {
				if !reflect.DeepEqual(got, want) {
					t.Errorf("%s has\n%+v, want\n%+v", whose, got, want)
				}
			}
		})
	}
}

// What a codec leaves out lives no longer than the request.
func TestWhatTheCodecLeavesOut(t *testing.T) {
	for name, codec := range map[string]session.Codec[order]{"JSON": nil, "gob": gobCodec[order]{}} {
		store := newApp(t, nil).store
		m := session.New(store, &session.Options[order]{Codec: codec, Logger: slog.New(slog.DiscardHandler)})
		s := m.Start()
		s.Data.Hidden = "x"
		if err := s.Save(t.Context()); err != nil {
			t.Fatal(err)
		}
		loaded, err := m.Load(t.Context(), s.Token())
		if err != nil {
			t.Fatal(err)
		}
		if kept := loaded.Data.Hidden != ""; kept != (name == "gob") {
			t.Errorf("%s: kept: %v", name, kept)
		}
		calls := store.calls()
		loaded.Data.Hidden = "y"
		if err := loaded.Save(t.Context()); err != nil {
			t.Error(err)
		}
		if saved := store.calls() != calls; saved != (name == "gob") {
			t.Errorf("%s: a change of it was saved: %v", name, saved)
		}
	}
}

func TestUnchangedMapIsNotSavedAgain(t *testing.T) {
	a := newApp(t, &session.Options[account]{Codec: gobCodec[account]{}})
	token := a.begin(t, func(ctx context.Context, s *sess) {
		s.Data.Cart = map[string]int{}
		for i := range 50 {
			s.Data.Cart[fmt.Sprint(i)] = i
		}
	})
	for range 10 {
		a.request(token, func(ctx context.Context, s *sess) {})
	}
	if got, want := a.store.calls(), "map[Create:1 Get:10]"; got != want {
		t.Errorf("calls %s, want %s", got, want)
	}
}

func TestConcurrentUpdatesWithAnotherCodec(t *testing.T) {
	a := newApp(t, &session.Options[account]{Codec: gobCodec[account]{}})
	token := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Name = "x" })
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() {
			for range 25 {
				a.request(token, func(ctx context.Context, s *sess) {
					err := s.Update(ctx, func(d *account) error {
						if d.Cart == nil {
							d.Cart = make(map[string]int)
						}
						d.Views++
						d.Cart[fmt.Sprint(i)]++
						return nil
					})
					if err != nil {
						t.Error(err)
					}
				})
			}
		})
	}
	clients.Wait()
	data, _, _ := a.stored(t, token)
	if data.Views != 200 || len(data.Cart) != 8 || data.Cart["7"] != 25 {
		t.Errorf("%+v", data)
	}
}

// A codec that was changed under stored sessions finds records that it cannot decode.
func TestRecordOfAnotherCodec(t *testing.T) {
	a := newApp(t, &session.Options[account]{Codec: gobCodec[account]{}})
	token := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Note = "private" })
	b := newAppOn(t, a.store, nil)
	w := b.request(token, func(ctx context.Context, s *sess) {
		if !s.IsNew() {
			t.Errorf("got %+v", s.Data)
		}
	})
	if w.Code != 200 || !strings.Contains(b.log.String(), "cannot decode") || strings.Contains(b.log.String(), "private") {
		t.Errorf("status %d, log:\n%s", w.Code, b.log)
	}
	if data, _, ok := a.stored(t, token); !ok || data.Note != "private" {
		t.Errorf("the session was not left alone: %v %+v", ok, data)
	}
}

// failingCodec encodes and decodes until it is told not to.
type failingCodec struct{ encode, decode *error }

func (c failingCodec) Encode(v *account) ([]byte, error) {
	if *c.encode != nil {
		return nil, *c.encode
	}
	return json.Marshal(v)
}

func (c failingCodec) Decode(data []byte, v *account) error {
	if *c.decode != nil {
		return *c.decode
	}
	return json.Unmarshal(data, v)
}

func TestCodecThatFails(t *testing.T) {
	broken := errors.New("cannot take Data, which is private")
	var encode, decode error
	a := newApp(t, &session.Options[account]{Codec: failingCodec{&encode, &decode}})
	token := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Views = 1 })
	w := a.request(token, func(ctx context.Context, s *sess) {
		encode = broken
		s.Data.Views = 2
		if err := s.Save(ctx); !errors.Is(err, broken) {
			t.Errorf("Save: %v", err)
		}
	})
	encode = nil
	if data, _, _ := a.stored(t, token); w.Code != 500 || data.Views != 1 {
		t.Errorf("status %d, %+v", w.Code, data)
	}
	decode = broken
	if _, err := a.Load(t.Context(), token); !errors.Is(err, broken) || errors.Is(err, session.ErrInvalidToken) {
		t.Errorf("Load: %v", err)
	}
	if strings.Contains(a.log.String(), "private") {
		t.Errorf("the codec's own words stand in the log:\n%s", a.log)
	}
}
