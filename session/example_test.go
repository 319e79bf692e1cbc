package session_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"

	"github.com/tokensession/tokensession"
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

// A page that lists a user's devices, and logs out one of them or all others.
func ExampleManager_Sessions() {
	type device struct{ Browser string }

	store := memory.New(nil)
	defer store.Close()
	sessions := session.New[device](store, &session.Options[device]{Logger: slog.New(slog.DiscardHandler)})

	list := func(w http.ResponseWriter, r *http.Request) {
		s := sessions.Get(r.Context())
		if s.Owner() == "" {
			http.Error(w, "log in first", http.StatusUnauthorized)
			return
		}
		var lines []string
		for info, err := range sessions.Sessions(r.Context(), s.Owner()) {
			switch {
			case err != nil && info.ID == "": // the walk is over
				http.Error(w, "try again later", http.StatusServiceUnavailable)
				return
			case err != nil: // this one cannot be read, but it can be ended
				lines = append(lines, "unknown device")
			case info.ID == s.ID():
				lines = append(lines, info.Data.Browser+" (this one)")
			default:
				lines = append(lines, info.Data.Browser)
			}
		}
		slices.Sort(lines)
		fmt.Fprintln(w, strings.Join(lines, ", "))
	}
	end := func(w http.ResponseWriter, r *http.Request) {
		s := sessions.Get(r.Context())
		err := sessions.End(r.Context(), s.Owner(), r.FormValue("id"))
		if errors.Is(err, tokensession.ErrNotFound) { // it has ended by itself, or is not his
			err = nil
		}
		if err != nil {
			http.Error(w, "try again later", http.StatusServiceUnavailable)
		}
	}
	endOthers := func(w http.ResponseWriter, r *http.Request) {
		s := sessions.Get(r.Context())
		if err := sessions.EndOwner(r.Context(), s.Owner(), s.ID()); err != nil {
			http.Error(w, "try again later", http.StatusServiceUnavailable)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /devices", list)
	mux.HandleFunc("POST /devices/end", end)
	mux.HandleFunc("POST /devices/end-others", endOthers)
	site := sessions.Handler(mux)

	// Ada has logged in with three browsers.
	var laptop *session.Session[device]
	var phone string
	for _, browser := range []string{"phone", "tablet", "laptop"} {
		laptop = sessions.Start()
		laptop.SetOwner("ada")
		laptop.Data.Browser = browser
		if err := laptop.Save(context.Background()); err != nil {
			fmt.Println(err)
			return
		}
		if browser == "phone" {
			phone = laptop.ID()
		}
	}
	send := func(method, path string) {
		r := httptest.NewRequest(method, path, nil)
		sessions.SetToken(r, laptop.Token())
		w := httptest.NewRecorder()
		site.ServeHTTP(w, r)
		fmt.Print(w.Body)
	}
	send("GET", "/devices")
	send("POST", "/devices/end?id="+phone)
	send("GET", "/devices")
	send("POST", "/devices/end-others")
	send("GET", "/devices")
	// Output:
	// laptop (this one), phone, tablet
	// laptop (this one), tablet
	// laptop (this one)
}

// Tokens that change each hour are of less use to who finds an old one. In its grace the
// former one still works, for the requests that are under way with it.
func ExampleSession_Renew() {
	type visit struct{ RenewedAt time.Time }

	store := memory.New(nil)
	defer store.Close()
	sessions := session.New[visit](store, nil)
	renewHourly := func(next http.Handler) http.Handler {
		return sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s := sessions.Get(r.Context())
			if !s.IsNew() && time.Since(s.Data.RenewedAt) > time.Hour {
				s.Data.RenewedAt = time.Now()
				if err := s.Renew(r.Context(), time.Minute); err != nil {
					log.Print(err) // the next request tries again
				}
			}
			next.ServeHTTP(w, r)
		}))
	}
	http.Handle("/", renewHourly(http.FileServer(http.Dir("static"))))
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
