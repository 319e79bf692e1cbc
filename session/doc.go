// Package session keeps sessions for HTTP handlers on any [tokensession.Store].
//
// A [Manager] has the type of what a session holds:
//
//	type visit struct{ Views int }
//
//	sessions := session.New[visit](store, nil)
//	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
//		s := sessions.Get(r.Context())
//		s.Update(r.Context(), func(v *visit) error { v.Views++; return nil })
//		fmt.Fprintf(w, "views: %d", s.Data.Views)
//	})
//	http.ListenAndServe(":8080", sessions.Handler(mux))
//
// Handlers read and set s.Data; what changed is saved before the response goes out.
// No write of a concurrent request is lost: requests that change different fields
// are merged, and [Session.Update] repeats its function until it lands. No session
// comes back after [Session.Destroy], whatever is in flight.
//
// # Tokens
//
// A token has two parts. The ID is public: the store's key, the same for as long as
// the session lives. The secret is the client's alone; the store has its SHA-256. The
// server makes both, and never takes over a token that it did not give away, unless
// the application chooses one itself with [Session.ResetToken]. A [Transport] carries
// it: by default the header X-Auth-Token.
//
// # A login
//
//	s := sessions.Get(ctx)
//	if err := s.Reset(ctx); err != nil { … } // the token from before opens nothing
//	s.SetOwner(user.ID)
//	s.Data.Role = user.Role
//
// # Times
//
// A session ends when it was not used for IdleTimeout, and in any case after
// Lifetime.
//
// # Without HTTP
//
// [Manager.Start] and [Manager.Load] give a session for a token to whatever speaks
// another protocol; [Manager.NewContext] hands it on.
package session
