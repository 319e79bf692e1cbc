package codec_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
	"time"

	"github.com/tokensession/tokensession/examples/codec"
	"github.com/tokensession/tokensession/memory"
	"github.com/tokensession/tokensession/session"
)

// Two requests have the session at the same time, and each puts something into the cart.
// Both entries stay: they are merged as entries of a Go map, and CBOR is only how the
// store keeps them.
func Example() {
	type shopper struct {
		Cart map[string]int
		Seen time.Time
	}
	store := memory.New(nil)
	defer store.Close()
	sessions := session.New(store, &session.Options[shopper]{
		Codec:  codec.CBOR[shopper]{},
		Logger: slog.New(slog.DiscardHandler),
	})
	put := func(what string, meanwhile func()) http.Handler {
		return sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s := sessions.Get(r.Context())
			if s.Data.Cart == nil {
				s.Data.Cart = make(map[string]int)
			}
			s.Data.Cart[what]++
			meanwhile()
		}))
	}
	client := new(client)
	client.get(put("bread", func() {}))
	client.get(put("milk", func() {
		client.get(put("tea", func() {}))
	}))
	client.get(sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println(sessions.Get(r.Context()).Data.Cart)
	})))
	// Output: map[bread:1 milk:1 tea:1]
}

// client sends back the token that it is given.
type client struct{ token string }

func (c *client) get(h http.Handler) {
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("X-Auth-Token", c.token)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if given := w.Header().Get("X-Auth-Token"); given != "" {
		c.token = given
	}
}

// everything has values that a codec may easily change.
type everything struct {
	Views   int
	Big     uint64
	Since   time.Time
	Pointer *int
	Raw     []byte
	Any     any
}

func TestNothingIsLost(t *testing.T) {
	store := memory.New(nil)
	defer store.Close()
	sessions := session.New(store, &session.Options[everything]{Codec: codec.CBOR[everything]{}})
	seven := 7
	want := everything{
		Views: -1, Big: 1<<64 - 1, Since: time.Date(2026, 11, 23, 1, 2, 3, 456789, time.UTC),
		Pointer: &seven, Raw: []byte{0, 0xff}, Any: map[string]any{"a": []any{"b", true, nil}},
	}
	s := sessions.Start()
	s.Data = want
	if err := s.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := sessions.Load(t.Context(), s.Token())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Data, want) {
		t.Errorf("got  %+v\nwant %+v", got.Data, want)
	}
}
