// Package faultnet breaks the network between a client and its server, on purpose and
// on command, for the tests of clients.
//
// A [Proxy] listens on loopback and passes bytes on to the server:
//
//	proxy := faultnet.New(t, "127.0.0.1:6379")
//	client := dial(proxy.Addr())
//
//	proxy.Stall(faultnet.Both) // the server accepts and does not answer
//	...
//	proxy.Heal()
//
//	// The next request is carried out, and the client never learns that.
//	lost := proxy.Next(faultnet.Fault{End: faultnet.Reset})
//	err := client.Send("request")
//	<-lost
//
// It sees nothing but bytes, so any protocol over TCP goes, in TLS too. Where it speaks
// of requests and answers, it means turns: a request is what the client sends until the
// server does, and an answer what the server sends until the client does. With a protocol
// in which both send at any time, turns mean little, and the faults that last are those
// to use.
//
// No fault depends on time: each begins before the method that causes it returns, and
// lasts until [Proxy.Heal], or it happens once, to the answer that is asked for.
package faultnet

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"
)

// Direction is which bytes a fault is about.
type Direction int

const (
	Requests Direction = 1 << iota // from the client to the server
	Answers                        // from the server to the client
	Both     = Requests | Answers
)

// End is how a connection ends, for client and server alike.
type End int

const (
	// Hangup closes the connection in order: the client reads the end of the stream.
	Hangup End = iota

	// Reset breaks it: the client's reads and writes fail.
	Reset

	// Silence keeps it open, and nothing passes any more, whatever is healed. It is
	// what a firewall does that has forgotten the connection.
	Silence

	// Stay lets it go on.
	Stay
)

// Portion is how much of an answer the client gets.
type Portion int

const (
	Nothing Portion = iota
	Half            // of what came of it at once
	All
)

// Fault is what happens to one answer. The zero Fault swallows the next one, and then
// hangs up.
type Fault struct {
	// Skip is how many answers pass before.
	Skip int

	// Match says whether the answer to a request counts; it is given as much of the
	// request as came at once. It is called in the order of the answers, by one goroutine
	// at a time, and must not call the Proxy. Nil: every answer counts.
	Match func(request []byte) bool

	// Meanwhile is called when the answer has arrived: the server has done what it was
	// asked for, and the client knows nothing of it yet. It may call the Proxy, except
	// for Close. Nil: nothing is called.
	Meanwhile func()

	// Pass is how much of the answer the client gets, after Meanwhile.
	Pass Portion

	// End is what becomes of the connection after that.
	End End
}

// Proxy passes bytes between clients and one server. Its methods may be called from
// several goroutines at once.
type Proxy struct {
	tb       testing.TB
	upstream string
	addr     string
	anchor   [2]net.Conn
	ctx      context.Context // ends with the Proxy
	cancel   context.CancelFunc
	running  sync.WaitGroup

	mu       sync.Mutex
	changed  *sync.Cond // is told of what may let a link go on that waits
	listener net.Listener
	links    map[*link]bool
	stalled  Direction
	delays   map[Direction]time.Duration
	healed   chan struct{} // closed by Heal
	next     *armed
	closed   bool
}

// armed is a Fault that has not happened yet.
type armed struct {
	Fault
	happened chan struct{}
}

// New returns a Proxy in front of the server at upstream, "host:port", which it dials once
// for each of its clients. It is closed when the test ends.
func New(tb testing.TB, upstream string) *Proxy {
	tb.Helper()
	p := &Proxy{
		tb:       tb,
		upstream: upstream,
		links:    make(map[*link]bool),
		healed:   make(chan struct{}),
	}
	p.changed = sync.NewCond(&p.mu)
	p.ctx, p.cancel = context.WithCancel(context.Background())
	if err := p.open(); err != nil {
		p.cancel()
		tb.Fatalf("faultnet: %v", err)
	}
	tb.Cleanup(p.Close)
	return p
}

// open begins to listen.
func (p *Proxy) open() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	p.addr = l.Addr().String()
	if err := p.hold(l); err != nil {
		l.Close()
		return err
	}
	p.listen(l)
	return nil
}

// hold connects the listener with itself. While that connection is there the system
// gives its port to nobody who does not ask for it, so Heal finds it free.
func (p *Proxy) hold(l net.Listener) (err error) {
	if p.anchor[0], err = net.Dial("tcp", p.addr); err != nil {
		return err
	}
	if p.anchor[1], err = l.Accept(); err != nil {
		p.anchor[0].Close()
	}
	return err
}

func (p *Proxy) listen(l net.Listener) {
	p.listener = l
	p.running.Go(func() { p.accept(l) })
}

func (p *Proxy) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return // it was closed
		}
		p.running.Go(func() { p.serve(l, conn.(*net.TCPConn)) })
	}
}

// Addr returns the address that clients are to use instead of the server's, "127.0.0.1:"
// and a port. It stays the same.
func (p *Proxy) Addr() string { return p.addr }

// Connections returns how many connections there are. One that its client has left counts
// until the server has read all that came on it, and closed it too.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

// Cut ends all connections, and refuses new ones until Heal.
func (p *Proxy) Cut(how End) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		p.listener.Close()
		p.listener = nil
	}
	for l := range p.links {
		l.end(how)
	}
}

// Stall holds back all bytes of a direction, and the end of the stream, until Heal.
// Connections are accepted, and stay open. Who writes much finds that nobody reads it.
func (p *Proxy) Stall(which Direction) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stalled |= which
}

// Delay lets each request and each answer come later, until Heal.
func (p *Proxy) Delay(requests, answers time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delays = map[Direction]time.Duration{Requests: requests, Answers: answers}
}

// Next lets f happen, once, and closes the channel when it does: after f.Meanwhile and before
// the client can notice anything. It replaces a Fault that has not happened yet.
func (p *Proxy) Next(f Fault) (happened <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = &armed{f, make(chan struct{})}
	return p.next.happened
}

// Heal ends all faults. What was held back is delivered, even to a server whose client
// has given up since: a network does that. A connection that was ended stays so.
func (p *Proxy) Heal() {
	p.tb.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.stalled, p.delays, p.next = 0, nil, nil
	close(p.healed)
	p.healed = make(chan struct{})
	p.changed.Broadcast()
	if p.listener != nil {
		return
	}
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		p.tb.Errorf("faultnet: the connection cannot be healed: %v", err)
		return
	}
	p.listen(l)
}

// Close ends the Proxy and all its connections, and returns when no goroutine of it
// is left. It waits for a Meanwhile that runs.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cancel()
	p.Cut(Reset)
	p.anchor[0].Close()
	p.anchor[1].Close()
	p.running.Wait()
}

// take returns the Fault that is to happen to the answer to a request, or nil.
func (p *Proxy) take(request []byte) *armed {
	f := p.next
	if f == nil || f.Match != nil && !f.Match(request) {
		return nil
	}
	if f.Skip > 0 {
		f.Skip--
		return nil
	}
	p.next = nil
	return f
}
