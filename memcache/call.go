package memcache

import (
	"context"
	"errors"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/tokensession/tokensession"
)

// carrier brings commands to the servers.
type carrier interface {
	// deadline returns when a call that begins now is to be given up, or zero.
	deadline(ctx context.Context, now time.Time) time.Time

	// do sends one command and waits for the reply, or for the deadline if there
	// is one.
	do(deadline time.Time, c command) reply

	// stale is how many idle connections, all closed by the server, one read may
	// come upon.
	stale() int

	close() error
}

// command is one command of the protocol.
type command struct {
	verb func(*memcache.Client, *memcache.Item) (*memcache.Item, error)
	item *memcache.Item

	// boot is not 0 if the command must reach that process of the server, or
	// none. The carrier returns errRestarted if it is gone.
	boot boot
}

// reply is what became of a command.
type reply struct {
	item *memcache.Item // of a get
	boot boot           // of the process that gave the item; 0 if that is not known
	err  error
}

// boot names a process of a server: none other has the same. 0 is an unknown one.
type boot uint64

func get(c *memcache.Client, item *memcache.Item) (*memcache.Item, error) { return c.Get(item.Key) }

func add(c *memcache.Client, item *memcache.Item) (*memcache.Item, error) { return nil, c.Add(item) }

func cas(c *memcache.Client, item *memcache.Item) (*memcache.Item, error) {
	return nil, c.CompareAndSwap(item)
}

func remove(c *memcache.Client, item *memcache.Item) (*memcache.Item, error) {
	return nil, c.Delete(item.Key)
}

func ping(c *memcache.Client, _ *memcache.Item) (*memcache.Item, error) { return nil, c.Ping() }

var (
	// errRestarted says that a command was not sent, because the process that it was
	// meant for is gone.
	errRestarted = errors.New("the server has restarted")

	// errChanged says that something else stands in the place of what was to be
	// replaced. It does not leave this package.
	errChanged = errors.New("changed meanwhile")
)

// call is one call of a method of the Store, which may take several commands.
type call struct {
	carrier  carrier
	ctx      context.Context
	op, id   string
	key      string
	start    time.Time
	deadline time.Time
}

func (s *Store) begin(ctx context.Context, op, id string) (call, error) {
	if s.closed.Load() {
		return call{}, tokensession.ErrClosed
	}
	now := time.Now()
	return call{
		carrier:  s.carrier,
		ctx:      ctx,
		op:       op,
		id:       id,
		key:      s.prefix + id,
		start:    now,
		deadline: s.carrier.deadline(ctx, now),
	}, nil
}

func (c *call) send(cmd command) reply { return c.carrier.do(c.deadline, cmd) }

// read returns the record, dead or alive, or ErrNotFound. It is sent again while the
// connections that it meets are closed.
func (c *call) read() (record, error) {
	if err := c.ctx.Err(); err != nil {
		return record{}, err
	}
	cmd := command{verb: get, item: &memcache.Item{Key: c.key}}
	r := c.send(cmd)
	for range c.carrier.stale() {
		if !isBroken(r.err) {
			break
		}
		r = c.send(cmd)
	}
	switch {
	case r.err == memcache.ErrCacheMiss:
		return record{}, tokensession.ErrNotFound
	case r.err != nil:
		return record{}, r.err
	case r.item.Key != c.key:
		return record{}, errors.New("the server replied with another item")
	}
	return parseRecord(r.item.Value, state{r.item.CasID, r.boot})
}

// find returns the live record and when it was seen alive, or ErrNotFound.
func (c *call) find() (record, time.Time, error) {
	for {
		r, err := c.read()
		now := time.Now()
		if err != nil || r.live(now) {
			return r, now, err
		}
		if err := c.bury(r); err != errChanged {
			return r, now, err
		}
	}
}

// bury removes r, which has expired, or fails with errChanged. If it is gone it
// returns ErrNotFound.
//
// An Update or a Touch that was sent while r lived may still be on its way. If it took
// effect after somebody was told that r is gone, r would have come back. Once it is
// removed, that cannot happen.
func (c *call) bury(r record) error {
	err := c.swap(record{r.value[:ownerAt], r.state}, atOnce)
	if err == nil {
		return tokensession.ErrNotFound
	}
	return err
}

// swap stores r in the place of the state that r.state names. It returns ErrNotFound
// where nothing is, and errChanged where another state is.
func (c *call) swap(r record, exptime int32) error {
	err := c.send(command{
		verb: cas,
		item: &memcache.Item{Key: c.key, Value: r.value, Expiration: exptime, CasID: r.state.cas},
		boot: r.state.boot,
	}).err
	switch err {
	case memcache.ErrCacheMiss:
		return tokensession.ErrNotFound
	case memcache.ErrCASConflict, errRestarted:
		return errChanged
	}
	return err
}

// add stores r where nothing is, else it returns errChanged.
func (c *call) add(r record, exptime int32) error {
	err := c.send(command{
		verb: add,
		item: &memcache.Item{Key: c.key, Value: r.value, Expiration: exptime},
	}).err
	if err == memcache.ErrNotStored {
		return errChanged
	}
	return err
}

// settle turns err, which a write ended with, into nil if it is about what became of
// the write and that turns out to have taken effect: what is stored now is mine.
func (c *call) settle(err error, mine func(record) bool) error {
	switch err {
	case nil, errChanged, tokensession.ErrNotFound, tokensession.ErrExists, tokensession.ErrConflict:
		return err
	}
	if !c.deadline.IsZero() && !time.Now().Before(c.deadline) {
		return err
	}
	if r, readErr := c.read(); readErr == nil && mine(r) {
		return nil
	}
	return err
}
