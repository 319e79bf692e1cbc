package memcache

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/tokensession/tokensession"
)

// pool sends commands through clients that Open made. gomemcache knows no context, and
// does not say which connection it uses. So each client has one caller at a time, and
// at most one connection to each server, which are this package's own: they
// keep the deadline of the call, without another goroutine, and look at the state of
// the connection before they send.
type pool struct {
	servers serverList
	timeout time.Duration
	maxIdle int
	log     *slog.Logger

	mu     sync.Mutex
	idle   []*lane // the one used last is taken first
	closed bool
	boots  map[string]boot // the last one that was seen, by address
}

// lane is a client and what its connections must know of the command under way.
type lane struct {
	pool     *pool
	client   *memcache.Client
	deadline time.Time
	turn     uint64 // counts the commands
	want     boot   // command.boot
	got      boot   // of the connection that was used last
}

func newPool(servers serverList, opts Options) *pool {
	return &pool{
		servers: servers,
		timeout: opts.Timeout,
		maxIdle: opts.MaxIdleConns,
		log:     opts.Logger,
		boots:   make(map[string]boot),
	}
}

func (p *pool) newLane() *lane {
	l := &lane{pool: p, client: memcache.NewFromSelector(p.servers)}
	l.client.Timeout = p.timeout
	l.client.MaxIdleConns = 1
	l.client.DialContext = func(_ context.Context, network, address string) (net.Conn, error) {
		return l.connect(network, address)
	}
	return l
}

func (p *pool) deadline(ctx context.Context, now time.Time) time.Time {
	end := now.Add(p.timeout)
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(end) {
		return deadline
	}
	return end
}

func (p *pool) do(deadline time.Time, c command) reply {
	l, err := p.take()
	if err != nil {
		return reply{err: err}
	}
	defer p.put(l)
	l.deadline = deadline
	l.turn++
	l.want = c.boot
	item, err := c.verb(l.client, c.item)
	return reply{item, l.got, err}
}

func (p *pool) take() (*lane, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, tokensession.ErrClosed
	}
	last := len(p.idle) - 1
	if last < 0 {
		return p.newLane(), nil
	}
	l := p.idle[last]
	p.idle = p.idle[:last]
	return l, nil
}

func (p *pool) put(l *lane) {
	if !p.keep(l) {
		_ = l.client.Close() // its connections are of no use to anybody
	}
}

func (p *pool) keep(l *lane) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) >= p.maxIdle {
		return false
	}
	p.idle = append(p.idle, l)
	return true
}

// stale is 1: a connection that was closed is found out before it is used, unless
// that happens in this very moment.
func (p *pool) stale() int { return 1 }

func (p *pool) close() error {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	var errs []error
	for _, l := range idle {
		errs = append(errs, l.client.Close())
	}
	return errors.Join(errs...)
}

// notice remembers which process of a server answered.
func (p *pool) notice(address string, b boot) {
	p.mu.Lock()
	before := p.boots[address]
	p.boots[address] = b
	p.mu.Unlock()
	if before != 0 && before != b {
		p.log.Warn("memcache: the server has restarted; the sessions that it kept are lost", "server", address)
	}
}
