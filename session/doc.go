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
// # The response
//
// The session is saved, and a new token put into the header, when the handler first
// writes, flushes, copies or hijacks; a 1xx is not yet the response. So whatever a client
// has seen of it, its next request finds the session as it was then. From there on no
// token can be sent: a session cannot begin or be renewed any more, which is
// [ErrHeaderSent]. What is changed of an existing one is saved when the handler returns.
//
// A handler that goes on for long, with a stream of events or a WebSocket, stores what it
// changes at once with [Session.Update]. [Session.Reload] tells it that the user has
// logged out elsewhere, with [ErrGone], and [Session.Save] keeps the session alive.
//
// The ResponseWriter of the handler has Flush and Hijack if something under it has, with
// any number of middlewares between them that have Unwrap. An [http.ResponseController]
// reaches everything else, and [io.Copy] of a file reaches sendfile.
//
// # Other middleware
//
// [http.TimeoutHandler] belongs outside of [Manager.Handler]. Inside, a handler that it
// has given up would go on using the session while that is being saved. Outside, what
// such a handler still changes is saved, though the client was told of a failure; a new
// token is lost with the response.
//
// A middleware that recovers from panics answers like any handler if it is inside, and
// what was changed before the panic is saved with its answer. If it is outside, nothing
// is saved that was not saved before. Where the handler had already renewed or ended the
// session, the answer tells the client.
//
// Compression works on either side, and so does a [net/http/httputil.ReverseProxy]: it
// streams, and connections that change protocol are passed on.
//
// # Without HTTP
//
// [Manager.Start] and [Manager.Load] give a session for a token to whatever speaks
// another protocol; [Manager.NewContext] hands it on.
package session
