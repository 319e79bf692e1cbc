package session_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/tokensession/tokensession/memory"
	"github.com/tokensession/tokensession/session"
)

func Example() {
	type visit struct{ Views int }

	store := memory.New(nil)
	defer store.Close()
	sessions := session.New[visit](store, nil)
	handler := sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := sessions.Get(r.Context())
		s.Update(r.Context(), func(v *visit) error { v.Views++; return nil })
		fmt.Fprintf(w, "views: %d", s.Data.Views)
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
	// views: 1
	// views: 2
	// views: 3
}

// A login begins another session, so that nobody who knew the token from before is
// logged in with it. The logout is final.
func ExampleSession_Reset() {
	type user struct{ Role string }

	store := memory.New(nil)
	defer store.Close()
	sessions := session.New[user](store, nil)
	login := func(w http.ResponseWriter, r *http.Request) {
		s := sessions.Get(r.Context())
		if err := s.Reset(r.Context()); err != nil {
			http.Error(w, "try again later", http.StatusServiceUnavailable)
			return
		}
		s.SetOwner(r.FormValue("name"))
		s.Data.Role = "editor"
	}
	logout := func(w http.ResponseWriter, r *http.Request) {
		if err := sessions.Get(r.Context()).Destroy(r.Context()); err != nil {
			http.Error(w, "try again later", http.StatusServiceUnavailable)
		}
	}
	http.Handle("POST /login", sessions.Handler(http.HandlerFunc(login)))
	http.Handle("POST /logout", sessions.Handler(http.HandlerFunc(logout)))
}

// The token can be the application's own, and go out in the body of a response.
func ExampleSession_ResetToken() {
	type device struct{ Serial string }

	store := memory.New(nil)
	defer store.Close()
	sessions := session.New[device](store, nil)

	s := sessions.Start()
	err := s.ResetToken(context.Background(), "cafe-0001-5f2b9c6e8d1a4730b6e2f9d8c7a1")
	fmt.Println(s.Token(), err)
	// Output: cafe-0001-5f2b9c6e8d1a4730b6e2f9d8c7a1 <nil>
}

// Load and Start give sessions to what is not HTTP.
func ExampleManager_Load() {
	type player struct{ Score int }

	store := memory.New(nil)
	defer store.Close()
	games := session.New[player](store, nil)
	ctx := context.Background()

	s := games.Start()
	s.Data.Score = 10
	if err := s.Save(ctx); err != nil {
		fmt.Println(err)
		return
	}
	token := s.Token() // what the client is sent

	again, err := games.Load(ctx, token)
	if err != nil {
		fmt.Println(err)
		return
	}
	again.Update(ctx, func(p *player) error { p.Score += 5; return nil })
	fmt.Println(again.Data.Score)

	_, err = games.Load(ctx, "guessed")
	fmt.Println(errors.Is(err, session.ErrInvalidToken))
	// Output:
	// 15
	// true
}
