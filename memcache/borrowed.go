package memcache

import (
	"context"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

// steps is how often a client may wait for its Timeout in one command: to connect, and
// for each of the up to three parts of a reply to a get.
const steps = 4

// borrowed sends commands through a client that belongs to somebody else.
type borrowed struct {
	client  *memcache.Client
	longest time.Duration // that a command may take
	idle    int
}

func newBorrowed(client *memcache.Client) *borrowed {
	b := &borrowed{client, steps * client.Timeout, client.MaxIdleConns}
	if b.longest == 0 {
		b.longest = steps * memcache.DefaultTimeout
	}
	if b.idle <= 0 {
		b.idle = memcache.DefaultMaxIdleConns
	}
	return b
}

func (b *borrowed) deadline(ctx context.Context, _ time.Time) time.Time {
	deadline, _ := ctx.Deadline()
	return deadline
}

// do leaves the client to wait by itself where that ends before the deadline, because
// to hand a command to a goroutine costs as much as the server's reply takes.
//
// It does not know what process of a server it sends to, so it sends nothing that is
// meant for one.
func (b *borrowed) do(deadline time.Time, c command) reply {
	if c.boot != 0 {
		return reply{err: errRestarted}
	}
	if deadline.IsZero() {
		return b.wait(c)
	}
	left := time.Until(deadline)
	if left > b.longest {
		return b.wait(c)
	}
	giveUp := time.NewTimer(left)
	defer giveUp.Stop()
	done := make(chan reply, 1)
	go func() { done <- b.wait(c) }()
	select {
	case r := <-done:
		return r
	case <-giveUp.C:
		return reply{err: context.DeadlineExceeded}
	}
}

func (b *borrowed) wait(c command) reply {
	item, err := c.verb(b.client, c.item)
	return reply{item: item, err: err}
}

func (b *borrowed) stale() int { return b.idle }

func (b *borrowed) close() error { return nil }
