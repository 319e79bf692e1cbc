// Command websocket shows a session in a WebSocket: messages are counted in it, and the
// connection ends when the user logs out elsewhere.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/memory"
	"github.com/tokensession/tokensession/session"
)

func main() {
	store := memory.New(nil)
	defer store.Close()
	log.Print("listening on http://localhost:8080")
	log.Print(http.ListenAndServe("localhost:8080", newServer(store, 5*time.Second)))
}

// user is what a session holds.
type user struct{ Messages int }

type server struct {
	sessions *session.Manager[user]
	check    time.Duration // how often a connection looks whether its session is over
	http.Handler
}

// newServer takes the token from a cookie: a browser's WebSocket cannot set a header.
// Any site can make a browser open one with that cookie, so Accept looks at the Origin.
func newServer(store tokensession.Store, check time.Duration) *server {
	s := &server{
		sessions: session.New(store, &session.Options[user]{Transport: session.Cookie(session.CookieOptions{})}),
		check:    check,
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", index)
	mux.HandleFunc("POST /login", s.login)
	mux.HandleFunc("POST /logout", s.logout)
	mux.HandleFunc("GET /socket", s.socket)
	s.Handler = http.NewCrossOriginProtection().Handler(s.sessions.Handler(mux))
	return s
}

func (s *server) login(w http.ResponseWriter, r *http.Request) {
	current := s.sessions.Get(r.Context())
	if err := current.Reset(r.Context()); err != nil {
		http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
		return
	}
	current.SetOwner("alice")
}

func (s *server) logout(w http.ResponseWriter, r *http.Request) {
	if err := s.sessions.Get(r.Context()).Destroy(r.Context()); err != nil {
		http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
	}
}

// socket answers each message with its number in the session.
//
// The header of the response has gone out with Accept, and the handler runs as long as
// the connection. So what changes is stored at once, with Update.
func (s *server) socket(w http.ResponseWriter, r *http.Request) {
	ctx, current := r.Context(), s.sessions.Get(r.Context())
	if current.Owner() == "" {
		http.Error(w, "log in first", http.StatusUnauthorized)
		return
	}
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // it has answered
	}
	defer conn.CloseNow()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go s.watch(ctx, current, conn)
	for {
		if _, _, err := conn.Read(ctx); err != nil {
			return
		}
		number := 0
		err := current.Update(ctx, func(u *user) error {
			u.Messages++
			number = u.Messages
			return nil
		})
		if err != nil {
			end(conn, err)
			return
		}
		if err := conn.Write(ctx, websocket.MessageText, fmt.Append(nil, number)); err != nil {
			return
		}
	}
}

// watch ends the connection when its session is over, and until then keeps the session
// alive. A store that does not answer is no logout.
func (s *server) watch(ctx context.Context, current *session.Session[user], conn *websocket.Conn) {
	ticks := time.NewTicker(s.check)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		err := current.Reload(ctx)
		if err == nil {
			err = current.Save(ctx)
		}
		if errors.Is(err, session.ErrGone) {
			end(conn, err)
			return
		}
	}
}

func end(conn *websocket.Conn, err error) {
	if errors.Is(err, session.ErrGone) {
		conn.Close(websocket.StatusPolicyViolation, "logged out")
		return
	}
	conn.Close(websocket.StatusTryAgainLater, "no answer from the store")
}

func index(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprint(w, `<!DOCTYPE html>
<title>A session in a WebSocket</title>
<button onclick="fetch('/login', {method: 'POST'})">log in</button>
<button onclick="open_()">connect</button>
<button onclick="socket.send('x')">send</button>
<button onclick="fetch('/logout', {method: 'POST'})">log out</button>
<pre id="log"></pre>
<script>
let socket
const say = text => document.getElementById('log').append(text + '\n')
function open_() {
	socket = new WebSocket('/socket')
	socket.onopen = () => say('connected')
	socket.onmessage = e => say('message ' + e.data)
	socket.onclose = e => say('closed: ' + (e.reason || 'log in first'))
}
</script>
`)
}
