package seal_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/memory"
	"github.com/tokensession/tokensession/seal"
	"github.com/tokensession/tokensession/session"
)

// Sessions on a store that sees neither what they hold nor whose they are.
func Example() {
	type visit struct{ Views int }

	key := make([]byte, 32) // comes from the configuration
	rand.Read(key)
	store := memory.New(nil)
	defer store.Close()
	sealed, err := seal.New(store, key)
	if err != nil {
		log.Fatal(err)
	}
	sessions := session.New[visit](sealed, nil)
	handler := sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := sessions.Get(r.Context())
		s.SetOwner("ada")
		if err := s.Update(r.Context(), func(v *visit) error { v.Views++; return nil }); err != nil {
			http.Error(w, "please try again", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintf(w, "%s's views: %d", s.Owner(), s.Data.Views)
	}))

	// A client sends back the token that it is given.
	token := ""
	for range 3 {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("X-Auth-Token", token)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if given := w.Header().Get("X-Auth-Token"); given != "" {
			token = given
		}
		fmt.Println(w.Body)
	}
	// Output:
	// ada's views: 1
	// ada's views: 2
	// ada's views: 3
}

// After the second step of a rotation, an Update of every record to what it is takes it
// to the new key. Then the old key can be dropped at once.
func ExampleNew_rotation() {
	store := memory.New(nil)
	defer store.Close()
	oldKey, newKey := make([]byte, 32), make([]byte, 32)
	rand.Read(oldKey)
	rand.Read(newKey)
	ctx := context.Background()
	before, err := seal.New(store, oldKey)
	if err != nil {
		log.Fatal(err)
	}
	rec := tokensession.Record{Data: []byte("data"), Owner: "ada", TTL: tokensession.Forever}
	if _, err := before.Create(ctx, "id", rec); err != nil {
		log.Fatal(err)
	}

	both, err := seal.New(store, newKey, oldKey)
	if err != nil {
		log.Fatal(err)
	}
	lister, ok := tokensession.As[tokensession.Lister](both)
	if !ok {
		log.Fatal("the store cannot list its records: let their Lifetime go by")
	}
	for e, err := range lister.All(ctx) {
		if err == nil {
			// ErrNotFound and ErrConflict are fine: it has ended, or was updated just now.
			_, err = both.Update(ctx, e.ID, e.Record)
		}
		if err != nil {
			log.Print(err)
		}
	}

	after, err := seal.New(store, newKey)
	if err != nil {
		log.Fatal(err)
	}
	rec, err = after.Get(ctx, "id")
	fmt.Printf("%s, %s, %v\n", rec.Data, rec.Owner, err)
	// Output: data, ada, <nil>
}
