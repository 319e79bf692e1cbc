package storetest

import (
	"cmp"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokensession/tokensession"
)

// A networked store: a server that keeps what references keep, and answers one message with
// another; and its client, written to be broken.

// message is a request or an answer.
type message struct {
	Op, ID string
	Record tokensession.Record
	Answer string // of errorsByName; "" is success
	Count  int
	All    []tokensession.Entry
}

var errorsByName = map[string]error{
	"not found": tokensession.ErrNotFound,
	"exists":    tokensession.ErrExists,
	"conflict":  tokensession.ErrConflict,
	"too large": tokensession.ErrTooLarge,
}

// netServer serves the spaces of one server.
type netServer struct {
	net.Listener
	records *server
}

func startNetServer(tb testing.TB) *netServer {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s := &netServer{l, newServer()}
	tb.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(conn)
		}
	}()
	return s
}

// serve answers what comes on a connection, the first of which names the space.
func (s *netServer) serve(conn net.Conn) {
	defer conn.Close()
	in, out := gob.NewDecoder(conn), gob.NewEncoder(conn)
	var hello message
	if in.Decode(&hello) != nil {
		return
	}
	store := newReference(s.records, hello.ID)
	for {
		var m message
		if in.Decode(&m) != nil || out.Encode(answer(store, m)) != nil {
			return
		}
	}
}

// answer does what m asks for.
func answer(store *reference, m message) message {
	ctx := context.Background()
	var err error
	switch m.Op {
	case "Get":
		m.Record, err = store.Get(ctx, m.ID)
	case "Create":
		m.Record.Version, err = store.Create(ctx, m.ID, m.Record)
	case "Update":
		m.Record.Version, err = store.Update(ctx, m.ID, m.Record)
	case "Replace": // what no client should ask for
		store.Delete(ctx, m.ID)
		m.Record.Version, err = store.Create(ctx, m.ID, m.Record)
	case "Touch":
		err = store.Touch(ctx, m.ID, m.Record.TTL)
	case "Delete":
		err = store.Delete(ctx, m.ID)
	case "Len":
		m.Count, err = store.Len(ctx)
	case "All":
		for e := range store.All(ctx) {
			m.All = append(m.All, e)
		}
	}
	for name, is := range errorsByName {
		if errors.Is(err, is) {
			m.Answer = name
		}
	}
	return m
}

// clientHabits are what a client decides when something is wrong. Broken ones have bad ones.
type clientHabits struct {
	// outage makes an error of one that a connection gave.
	outage func(ctx context.Context, m message, err error) (message, error)

	// deadline is when waiting on a connection ends.
	deadline func(ctx context.Context, now time.Time) time.Time

	// resends says how often a request is sent again, without a look at what became of it.
	resends func(m message) int

	// dead is told of a connection that failed. It reports whether to use it no more.
	dead func() bool

	// waits lets Close wait for the calls in flight, and for ever.
	waits bool

	// leaves lets calls leave a goroutine behind at the end of their context, and Close too.
	leaves bool
}

// ioTimeout is that of clients which do not reach the server by its own address.
const ioTimeout = 50 * time.Millisecond

func goodClientHabits() clientHabits {
	return clientHabits{
		outage: func(ctx context.Context, m message, err error) (message, error) {
			if ctx.Err() != nil {
				return message{}, fmt.Errorf("%s: %w: %w", m.Op, ctx.Err(), err)
			}
			if d, ok := ctx.Deadline(); ok && !time.Now().Before(d) {
				return message{}, fmt.Errorf("%s: %w: %w", m.Op, context.DeadlineExceeded, err)
			}
			return message{}, fmt.Errorf("%s: %w", m.Op, err)
		},
		deadline: impatiently(time.Minute),
		resends:  func(message) int { return 0 },
		dead:     func() bool { return true },
	}
}

// impatiently ends waiting with the context, and after some time where that has no deadline.
func impatiently(timeout time.Duration) func(context.Context, time.Time) time.Time {
	return func(ctx context.Context, now time.Time) time.Time {
		if d, ok := ctx.Deadline(); ok {
			return d
		}
		return now.Add(timeout)
	}
}

// clientConn is a connection of a client.
type clientConn struct {
	net.Conn
	in  *gob.Decoder
	out *gob.Encoder
}

// client is the client: a Store with some capabilities.
type client struct {
	clientHabits
	addr, space string

	mu      sync.Mutex
	idle    []*clientConn
	used    map[*clientConn]bool
	closed  atomic.Bool
	pending sync.WaitGroup
}

func newClient(addr, space string) *client {
	return &client{clientHabits: goodClientHabits(), addr: addr, space: space, used: make(map[*clientConn]bool)}
}

func (s *client) take(ctx context.Context, deadline time.Time) (*clientConn, error) {
	s.mu.Lock()
	if last := len(s.idle) - 1; last >= 0 {
		c := s.idle[last]
		s.idle = s.idle[:last]
		s.used[c] = true
		s.mu.Unlock()
		return c, nil
	}
	s.mu.Unlock()
	dialer := net.Dialer{Deadline: deadline}
	conn, err := dialer.DialContext(context.WithoutCancel(ctx), "tcp", s.addr)
	if err != nil {
		return nil, err
	}
	c := &clientConn{conn, gob.NewDecoder(conn), gob.NewEncoder(conn)}
	s.mu.Lock()
	s.used[c] = true
	s.mu.Unlock()
	if s.closed.Load() {
		conn.Close()
		return nil, tokensession.ErrClosed
	}
	return c, c.out.Encode(message{ID: s.space})
}

func (s *client) put(c *clientConn, dead bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.used, c)
	if dead || s.closed.Load() {
		c.Close()
		return
	}
	s.idle = append(s.idle, c)
}

// try sends a request once and returns the answer.
func (s *client) try(ctx context.Context, m message) (got message, err error) {
	deadline := s.deadline(ctx, time.Now())
	c, err := s.take(ctx, deadline)
	if err != nil {
		return got, err
	}
	defer func() { s.put(c, err != nil && s.dead()) }()
	if err := c.SetDeadline(deadline); err != nil {
		return got, err
	}
	if err := c.out.Encode(m); err != nil {
		return got, err
	}
	return got, c.in.Decode(&got)
}

// send is try, or leaves that to a goroutine.
func (s *client) send(ctx context.Context, m message) (message, error) {
	if !s.leaves {
		return s.try(ctx, m)
	}
	type result struct {
		message
		error
	}
	done := make(chan result, 1)
	go func() {
		got, err := s.try(context.WithoutCancel(ctx), m)
		done <- result{got, err}
	}()
	select {
	case r := <-done:
		return r.message, r.error
	case <-ctx.Done():
		return message{}, ctx.Err()
	}
}

// ask sends a request and returns the answer.
func (s *client) ask(ctx context.Context, m message, rec *tokensession.Record) (message, error) {
	if m.ID == "" {
		if err := ctx.Err(); err != nil {
			return m, err
		}
	} else if err := tokensession.Check(ctx, m.ID, rec); err != nil {
		return m, err
	}
	if rec != nil {
		m.Record = *rec
	}
	if s.closed.Load() {
		return m, tokensession.ErrClosed
	}
	if s.waits {
		s.pending.Add(1)
		defer s.pending.Done()
	}
	got, err := s.send(ctx, m)
	for range s.resends(m) {
		if err != nil {
			got, err = s.try(ctx, m)
		}
	}
	if err != nil {
		return s.outage(ctx, m, err)
	}
	return got, errorsByName[got.Answer]
}

func (s *client) Get(ctx context.Context, id string) (tokensession.Record, error) {
	m, err := s.ask(ctx, message{Op: "Get", ID: cmp.Or(id, " ")}, nil)
	if err != nil {
		return tokensession.Record{}, err
	}
	return m.Record, nil
}

func (s *client) Create(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	return s.write(ctx, "Create", id, rec)
}

func (s *client) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	return s.write(ctx, "Update", id, rec)
}

func (s *client) write(ctx context.Context, op, id string, rec tokensession.Record) (tokensession.Version, error) {
	m, err := s.ask(ctx, message{Op: op, ID: cmp.Or(id, " ")}, &rec)
	if err != nil {
		return "", err
	}
	return m.Record.Version, nil
}

func (s *client) Touch(ctx context.Context, id string, ttl time.Duration) error {
	_, err := s.ask(ctx, message{Op: "Touch", ID: cmp.Or(id, " ")}, &tokensession.Record{TTL: ttl})
	return err
}

func (s *client) Delete(ctx context.Context, id string) error {
	_, err := s.ask(ctx, message{Op: "Delete", ID: cmp.Or(id, " ")}, nil)
	return err
}

func (s *client) Len(ctx context.Context) (int, error) {
	m, err := s.ask(ctx, message{Op: "Len"}, nil)
	return m.Count, err
}

func (s *client) All(ctx context.Context) entries {
	return func(yield func(tokensession.Entry, error) bool) {
		m, err := s.ask(ctx, message{Op: "All"}, nil)
		if err != nil {
			yield(tokensession.Entry{}, err)
			return
		}
		for _, e := range m.All {
			if s.closed.Load() {
				yield(tokensession.Entry{}, tokensession.ErrClosed)
				return
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// Close breaks the connections that calls wait on.
func (s *client) Close() error {
	s.closed.Store(true)
	s.pending.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.used {
		if !s.leaves {
			c.Close()
		}
	}
	for _, c := range s.idle {
		c.Close()
	}
	s.idle = nil
	return nil
}

// networked is a Suite for clients that have been through spoil.
func networked(tb testing.TB, spoil func(*client) tokensession.Store) Suite {
	server := startNetServer(tb)
	var spaces atomic.Int64
	unused := func() string { return fmt.Sprint(spaces.Add(1), " ") }
	return Suite{
		Capabilities: Counter | Lister | Closer,
		Secrets:      []string{password},
		New:          func(testing.TB) tokensession.Store { return newClient(server.Addr().String(), unused()) },
		Namespaces: func(_ testing.TB, a, b string) (tokensession.Store, tokensession.Store) {
			run := unused()
			return newClient(server.Addr().String(), run+a), newClient(server.Addr().String(), run+b)
		},
		Reopen: func(testing.TB) func() tokensession.Store {
			space := unused()
			return func() tokensession.Store { return newClient(server.Addr().String(), space) }
		},
		Network: func(testing.TB) (string, func(string) tokensession.Store) {
			space := unused()
			return server.Addr().String(), func(addr string) tokensession.Store {
				if addr == server.Addr().String() {
					return newClient(addr, space)
				}
				s := newClient(addr, space)
				s.deadline = impatiently(ioTimeout)
				return spoil(s)
			}
		},
		IOTimeout: ioTimeout,
		Shared:    true,
		TooLarge:  4<<20 + 1,
		Budget:    20 * time.Millisecond,
	}
}

func healthyClient(s *client) tokensession.Store { return s }

func TestNetworked(t *testing.T) { networked(t, healthyClient).Run(t) }
