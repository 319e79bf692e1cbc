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
// # A change of token
//
// [Session.Renew] changes the token of a session. With a grace of 0 every former token is
// dead at once: for a change of privileges. With a grace of up to five minutes the former
// token goes on opening the session for so long, and whoever comes with it is given the new
// one: for changing tokens regularly, while other requests of the client are under way.
//
//	if time.Since(s.Data.RenewedAt) > time.Hour {
//		s.Data.RenewedAt = time.Now()
//		err := s.Renew(ctx, time.Minute)
//		…
//	}
//
// The new token is made of the former one's secret and a random number in the record, so
// that it can be given again and neither is in the store. The price: a thief of a token who
// comes within its grace is given the new one too, as its owner is, and one who can also
// read the store can follow the session to each next token. Renew with a grace of 0 ends
// both, as do Reset and Destroy. The ends of graces are told by the clocks of the machines
// that the application runs on.
//
// # A user's devices
//
// [Session.SetOwner] says whose a session is. [Manager.Sessions] lists those of an owner,
// [Manager.End] ends one of them and [Manager.EndOwner] all, or all but this one: after a
// change of password, say. What they end is over as after Destroy, also for requests in
// flight, but the clients are not told; their tokens open nothing.
//
//	err := sessions.EndOwner(ctx, s.Owner(), s.ID()) // everywhere but here
//
// Sessions and EndOwner need a store that keeps an index of owners. All of this project's
// do, except memcache.
//
// # Several managers
//
// One application can have several managers on one store, for staff and for customers, say:
// give each its Name, and a header or cookie of its own, and put the one's Handler around the
// other's. The sessions, tokens and owners of the one mean nothing to the other. Where the
// save of the outer one fails, the response that it sends instead still carries the token
// that the inner one has given out.
//
// # Several goroutines
//
// The goroutines of one request share its session. Its methods may be called by any of them
// at any time. Data may not: while one goroutine reads or writes it, no other may write it, and
// the end of the handler, the first byte of the response, Save and Renew read it, Update and
// Reload write it. Where goroutines change a session at the same time, each does so in the
// function that it gives to [Session.Update], which has a copy, and none reads Data meanwhile.
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
// # What is logged
//
// Options.Logger, if it is set, gets an event for whatever an audit asks about the life of
// sessions. Each has the attribute "event". With the context of the request, a handler can
// add who made it. Messages, levels and attributes stay the same from version to version.
// What is not known to have happened, because the answer of the store was lost, is not
// logged.
//
//	event      message                  level        other attributes
//	started    session: started         INFO         session
//	renewed    session: renewed         INFO         session, grace (0s: former tokens are dead)
//	destroyed  session: destroyed       INFO         session; by Destroy, Reset or ResetToken
//	expired    session: expired         INFO         session; its Lifetime has ended
//	rejected   session: token rejected  INFO, DEBUG  session, reason
//	revoked    session: revoked         INFO         session (End) or count (EndOwner)
//
// The reason of a rejection is "malformed" (no session then) or "unknown", which are DEBUG,
// since anybody can send such tokens: "unknown" includes every session that was destroyed, or
// not used for IdleTimeout, which the store alone sees. It is "former secret" for a token
// whose grace is over, or "wrong secret" for any other with the ID of a live session; both
// are INFO, and may be theft.
//
// A session is named by its ID. Tokens, secrets, Data and owners, who are persons, are not
// logged: an application that may log users does so where it calls SetOwner and EndOwner.
// Messages without the attribute "event" are for operators and may change.
//
// # Without HTTP
//
// [Manager.Start] and [Manager.Load] give a session for a token to whatever speaks
// another protocol; [Manager.NewContext] hands it on.
//
// # Limits and failures
//
// A session that encodes to more than MaxBytes is refused with
// [tokensession.ErrTooLarge] before the store is asked. Save and Update return that; at the
// end of a request it goes to OnError. What was stored before stands.
//
// A store that takes longer than StoreTimeout has not answered: for reading, and then for
// each operation, anew. A request whose session cannot be read in time does not reach its
// handler, and one whose session cannot be saved loses its response; OnError answers both,
// by default with 503. A Touch that fails is only logged. With FailOpen the first request
// has an empty session that nothing saves, and the second keeps its response. A write that
// was given up may still take effect.
//
// A record that cannot be read is logged as an error, with the session's ID, and left
// alone, so that it expires when the session would have. The request gets a new session, as
// if it had come without a token; [Manager.Load] says what is wrong with the record. Such
// are: one that is empty, or was written by something else or by a newer release; one whose
// first line is cut short, or has a time, a hash or a field that is none; one whose owner is
// another manager's; one whose Data was cut, holds garbage, or is of another type or codec;
// and one that the store itself reports with [tokensession.ErrCorrupt]. Where the record
// turns into that while a request has its session, the save is refused, by default with 500.
package session
