package integration

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokensession/tokensession/integration/backend"
	"github.com/tokensession/tokensession/session"
)

// tap passes bytes between clients and a server. It keeps what the clients send, and
// counts their turns: how often one sends something after the server has.
type tap struct {
	net.Listener
	server string

	mu    sync.Mutex
	turns int
	sent  []*[]byte // by connection
}

// startTap starts one that ends with the test.
func startTap(t *testing.T, server string) *tap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p := &tap{Listener: l, server: server}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(client)
		}
	}()
	return p
}

func (p *tap) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	defer server.Close()
	sent, clientsTurn := new([]byte), true
	p.mu.Lock()
	p.sent = append(p.sent, sent)
	p.mu.Unlock()
	go func() {
		defer server.(*net.TCPConn).CloseWrite()
		pass(server, client, func(b []byte) {
			p.mu.Lock()
			defer p.mu.Unlock()
			if clientsTurn {
				p.turns++
			}
			clientsTurn = false
			*sent = append(*sent, b...)
		})
	}()
	pass(client, server, func([]byte) {
		p.mu.Lock()
		defer p.mu.Unlock()
		clientsTurn = true
	})
}

// pass copies, and shows the bytes first.
func pass(to, from net.Conn, show func([]byte)) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		show(buf[:n])
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (p *tap) roundTrips() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.turns
}

// postgresCommands counts what clients have sent, by the letters of PostgreSQL's protocol,
// such as B(ind), E(xecute) and S(ync), and the transactions that wrote something: no
// others take a number.
func postgresCommands(t *testing.T, p *tap, url string) map[string]int {
	t.Helper()
	counts := make(map[string]int)
	var next int
	if err := postgresPool(t, url).QueryRow(t.Context(), "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint").Scan(&next); err != nil {
		t.Fatal(err)
	}
	counts["written"] = next
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, sent := range p.sent {
		rest := *sent
		rest = rest[binary.BigEndian.Uint32(rest):] // the first message has no letter
		for len(rest) > 0 {
			counts[string(rest[:1])]++
			rest = rest[1+binary.BigEndian.Uint32(rest[1:]):]
		}
	}
	return counts
}

// redisCommands is how often a server has executed each command, in scripts too.
func redisCommands(t *testing.T, addr string) map[string]int {
	t.Helper()
	info, err := bareRedis(t, addr).InfoMap(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[string]int)
	for name, stats := range info["Commandstats"] {
		var calls int
		if _, err := fmt.Sscanf(stats, "calls=%d,", &calls); err != nil {
			t.Fatal(err)
		}
		counts[strings.TrimPrefix(name, "cmdstat_")] = calls
	}
	// These are from looking.
	delete(counts, "info")
	delete(counts, "hello")
	delete(counts, "client|setinfo")
	return counts
}

// TestUnchangedSessionCostsOneRoundTrip counts what servers are asked for by requests
// that only read their session: once what has to be read, and nothing is written before
// an eighth of IdleTimeout has gone by.
func TestUnchangedSessionCostsOneRoundTrip(t *testing.T) {
	const requests, idle = 100, 8 * time.Hour
	for _, tt := range []struct {
		kind     *backend.Kind
		args     []string // of the server
		options  string   // of the URL, to which a namespace is added
		commands func(*testing.T, *backend.Server, *tap) map[string]int
		read     map[string]int // what a request costs
		touch    map[string]int // what one costs that renews the idle timeout
	}{
		{
			kind: backend.KindRedis, options: "?prefix=",
			commands: func(t *testing.T, s *backend.Server, _ *tap) map[string]int { return redisCommands(t, s.Addr) },
			read:     map[string]int{"get": 1, "pttl": 1},
			touch:    map[string]int{"get": 1, "pttl": 1, "evalsha": 1, "getrange": 1, "pexpire": 1},
		},
		{
			kind: backend.KindPostgres, options: "&table=", args: []string{"-c", "autovacuum=off"},
			commands: func(t *testing.T, s *backend.Server, p *tap) map[string]int { return postgresCommands(t, p, s.URL) },
			read:     map[string]int{"B": 1, "E": 1, "S": 1},
			touch:    map[string]int{"B": 2, "E": 2, "S": 2, "written": 1},
		},
		{
			kind: backend.KindMemcached, options: "?prefix=",
			commands: func(t *testing.T, s *backend.Server, _ *tap) map[string]int {
				counts := memcacheCommands(t, s.Addr)
				return map[string]int{"get": counts.get, "set": counts.set, "delete": counts.delete}
			},
			read:  map[string]int{"get": 1},
			touch: map[string]int{"get": 2, "set": 1},
		},
	} {
		t.Run(tt.kind.String(), func(t *testing.T) {
			server := tt.kind.Start(t, tt.args...)
			tap := startTap(t, server.Addr)
			store := open(t, strings.Replace(server.URL, server.Addr, tap.Addr().String(), 1)+tt.options+namespace())
			o := options("header")
			o.IdleTimeout = idle
			sessions := session.New(store, o)
			site := serve(t, sessions, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprint(w, sessions.Get(r.Context()).Data.Views)
			}))
			token := begin(t, sessions)
			get := site.user(t, token)
			send := func(n int) (map[string]int, int) {
				t.Helper()
				before, tripsBefore := tt.commands(t, server, tap), tap.roundTrips()
				for range n {
					if _, err := get("/"); err != nil {
						t.Fatal(err)
					}
				}
				trips := tap.roundTrips() - tripsBefore
				return difference(before, tt.commands(t, server, tap)), trips
			}
			// left lets the session be so long from its end.
			left := func(ttl time.Duration) {
				t.Helper()
				if err := store.Touch(context.Background(), token[:24], ttl); err != nil {
					t.Fatal(err)
				}
			}
			send(1) // which connects

			for _, ttl := range []time.Duration{idle, idle*7/8 + time.Minute} {
				left(ttl)
				got, trips := send(requests)
				if want := times(tt.read, requests); !maps.Equal(got, want) || trips != requests {
					t.Errorf("%d requests with %v left: %v in %d round trips, want %v in %d", requests, ttl, got, trips, want, requests)
				}
			}
			left(idle*7/8 - time.Minute)
			if got, _ := send(1); !maps.Equal(got, tt.touch) {
				t.Errorf("the request after an eighth of the timeout: %v, want %v", got, tt.touch)
			}
			if got, trips := send(requests); !maps.Equal(got, times(tt.read, requests)) || trips != requests {
				t.Errorf("%d requests after it: %v in %d round trips", requests, got, trips)
			}
		})
	}
}

// difference is how much more of each after has; what did not change is left out.
func difference(before, after map[string]int) map[string]int {
	d := maps.Clone(after)
	for name, n := range before {
		d[name] -= n
	}
	maps.DeleteFunc(d, func(_ string, n int) bool { return n == 0 })
	return d
}

func times(counts map[string]int, n int) map[string]int {
	product := make(map[string]int, len(counts))
	for name, count := range counts {
		product[name] = count * n
	}
	return product
}
