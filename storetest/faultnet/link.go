package faultnet

import (
	"bytes"
	"io"
	"net"
	"time"
)

// link is a client's connection and the one to the server that belongs to it.
type link struct {
	proxy          *Proxy
	client, server *net.TCPConn

	// These are guarded by the mutex of the proxy.
	request   []byte // the first bytes of the latest
	answering bool   // the latest bytes were the server's
	dropping  bool   // the rest of this answer
	silent    bool
	closed    bool
}

// serve passes bytes between a client, whom listener accepted, and the server until the
// connection ends.
func (p *Proxy) serve(listener net.Listener, client *net.TCPConn) {
	var dialer net.Dialer
	server, err := dialer.DialContext(p.ctx, "tcp", p.upstream)
	if err != nil {
		reset(client)
		return
	}
	l := &link{proxy: p, client: client, server: server.(*net.TCPConn)}
	if !p.add(l, listener) {
		return
	}
	done := make(chan struct{})
	p.running.Go(func() {
		defer close(done)
		l.pump(Answers, l.server, l.client)
	})
	l.pump(Requests, l.client, l.server)
	<-done
	p.mu.Lock()
	defer p.mu.Unlock()
	l.end(Hangup)
	delete(p.links, l)
}

// add reports whether l may begin. It may not if there was a Cut since its client was
// accepted.
func (p *Proxy) add(l *link, accepted net.Listener) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != accepted {
		l.end(Reset)
		return false
	}
	p.links[l] = true
	return true
}

func reset(conn *net.TCPConn) {
	conn.SetLinger(0)
	conn.Close()
}

// end ends the link. The caller has locked the proxy.
func (l *link) end(how End) {
	switch how {
	case Stay:
		return
	case Silence:
		l.silent = true
	case Reset:
		reset(l.client)
		reset(l.server)
		l.closed = true
	case Hangup:
		l.client.Close()
		l.server.Close()
		l.closed = true
	}
	l.proxy.changed.Broadcast()
}

// fate is what becomes of bytes that a link has read.
type fate int

const (
	deliver fate = iota
	discard
	stop // there is no link any more
)

// pump passes on what comes in one direction.
func (l *link) pump(which Direction, from, to *net.TCPConn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && !l.pass(which, buf[:n], to) {
			return
		}
		if err != nil {
			l.finish(which, err, to)
			return
		}
	}
}

// finish passes on that one direction has ended.
func (l *link) finish(which Direction, err error, to *net.TCPConn) {
	fate := l.await(which)
	switch {
	case fate == deliver && err == io.EOF:
		to.CloseWrite()
	case fate == discard && which == Answers:
		// The client of a silent link does not learn it.
	default:
		l.proxy.mu.Lock()
		defer l.proxy.mu.Unlock()
		l.end(Reset)
	}
}

// pass passes bytes on, as the faults allow, and reports whether more may follow.
func (l *link) pass(which Direction, some []byte, to *net.TCPConn) bool {
	first, f := l.turn(which, some)
	if first {
		l.linger(which)
	}
	if f != nil {
		return l.suffer(f, some)
	}
	fate := l.await(which)
	if fate == deliver && !(which == Answers && l.drops()) {
		// A client that is gone may have left requests, which are to be delivered. So
		// that its answers fail is no reason to stop.
		_, err := to.Write(some)
		return err == nil || which == Answers
	}
	return fate != stop
}

// turn notes whose turn it is. It reports whether bytes are the first of a request or an
// answer, and which fault is to happen to this answer.
func (l *link) turn(which Direction, some []byte) (first bool, f *armed) {
	p := l.proxy
	p.mu.Lock()
	defer p.mu.Unlock()
	if which == Requests {
		first = l.answering || l.request == nil
		if first {
			l.request, l.answering, l.dropping = bytes.Clone(some), false, false
		}
		return first, nil
	}
	if l.answering || l.silent {
		return false, nil
	}
	l.answering = true
	return true, p.take(l.request)
}

// linger waits for the delay of a direction.
func (l *link) linger(which Direction) {
	p := l.proxy
	p.mu.Lock()
	delay, healed := p.delays[which], p.healed
	p.mu.Unlock()
	if delay <= 0 {
		return
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-healed:
	case <-p.ctx.Done():
	}
}

// await waits while a direction is stalled.
func (l *link) await(which Direction) fate {
	p := l.proxy
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.stalled&which != 0 && !l.closed && !l.silent {
		p.changed.Wait()
	}
	switch {
	case l.closed:
		return stop
	case l.silent:
		return discard
	}
	return deliver
}

// drops reports whether the rest of the answer is not to reach the client.
func (l *link) drops() bool {
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	return l.dropping
}

// suffer lets f happen to an answer of which some bytes have come. It reports whether more
// may follow.
func (l *link) suffer(f *armed, some []byte) bool {
	if f.Meanwhile != nil {
		f.Meanwhile()
	}
	close(f.happened)
	switch f.Pass {
	case Nothing:
		some = nil
	case Half:
		some = some[:len(some)/2]
	}
	if len(some) > 0 && l.await(Answers) == deliver {
		l.client.Write(some)
	}
	p := l.proxy
	p.mu.Lock()
	defer p.mu.Unlock()
	l.dropping = f.Pass != All
	l.end(f.End)
	return !l.closed
}
