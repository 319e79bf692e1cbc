// Package memcache keeps sessions in memcached, with
// [github.com/bradfitz/gomemcache/memcache].
//
//	store, err := memcache.Open(ctx, "memcache://10.0.0.1:11211,10.0.0.2:11211", nil)
//
// memcached is a cache. It keeps nothing on disk, has no replicas, and removes what
// was used least when its memory is full. Choose it where losing a session means that
// somebody logs in again, and nothing worse.
//
// # URLs
//
// One or more servers follow the scheme, separated by commas, each with a port unless
// that is 11211. Options follow a question mark and override those of [Options]:
//
//	prefix=name            Prefix
//	timeout=1s             Timeout
//	max_idle_conns=64      MaxIdleConns
//	max_item_size=1048576  MaxItemSize
//
// For TLS or unix sockets, make a client and pass it to [New].
//
// # What it promises
//
// Granularity (rule 11): none. A record expires at its nanosecond, by the wall clocks
// of the machines that the application runs on, which are assumed to be synchronised.
// The expiry stands in the value, because the server's own counts in seconds and may
// be early. The server is told to drop the value a second or two later. For lives of
// more than 30 days it is told a date, by its own clock, which may be up to a day
// ahead, and for those that end after January 2038 nothing: such a value stays until
// the server needs its memory.
//
// Limits (rule 2): Data, Owner, key and some 110 bytes fit in the server's largest
// item, which is 1 MiB unless memcached was started with -I. What does not fit is
// never sent.
//
// I/O timeout (rule 13): [Options.Timeout], for a call as a whole, connecting
// included. With a client passed to New it is four times the client's Timeout for each
// of the commands that the call consists of, and a call whose deadline is nearer is
// handed to a goroutine, which costs some 20 µs.
//
// What is lost (rule 16): there is no failover. A server that restarts, or that is
// replaced, has lost its sessions: they are not found. So are those that it evicted for
// want of memory; watch evictions in its statistics, and give it enough. A server that
// does not answer makes the calls on its sessions fail; no other takes its place.
//
// Which server has a session follows from its id and the list of servers. All
// processes must have the same list, in the same order. A list that is changed moves
// most sessions to servers that do not have them; if it is changed back, what those
// servers still have is there again, as it was, even if it was deleted meanwhile
// by the other list. So restart the servers when the list changes.
//
// # How it works
//
// Get and Delete are one command each, and so is Create, unless what it replaces has
// just expired. Touch is two, for the expiry stands in the value. Update is one command
// if the Version came from Get and nobody touched the record since: it is a
// compare-and-swap with the server's number for what was read. Otherwise it is two or
// three, for then the random part of the Version decides.
//
// A server that restarts begins to count anew, so an old number may come to stand for a
// new record. A Store that Open made therefore asks each connection for the server's
// start, and trusts a number only on a connection to the process that gave it. A
// borrowed client does not tell one connection from another: there Update always reads
// first, and what remains is a server that restarts between the two commands and gives
// the same id the same number in that time. What remains for the other is a server that
// is started twice in one second with one process id, as containers have.
//
// Whoever finds a record expired removes it before he says so, with a compare-and-swap
// that lets it expire on the server too. So no Update or Touch that is still on its
// way can bring it back.
//
// A connection that the server has closed while it was idle is replaced before
// anything is sent on it. Only reads are sent again. A write whose answer did not come is
// looked for: its own random number in the record says that it took effect, and
// otherwise the first error stands. On a borrowed client, reads alone are safe from
// idle connections that were closed.
//
// # What it lacks
//
// It is no [tokensession.Counter], Clearer, Lister or OwnerIndex. memcached cannot
// list its keys, its count is of all that use the server, and flush_all would empty
// their namespaces too. An index in values of its own would be evicted
// independently of what it lists, and so miss sessions, unseen. The Owner is kept
// and returned.
package memcache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/tokensession/tokensession"
)

const (
	defaultPrefix       = "tokensession"
	defaultTimeout      = time.Second
	defaultMaxIdleConns = 64
	defaultMaxItemSize  = 1 << 20 // memcached's own default
)

// Options are the settings of a Store. The zero value is the default.
type Options struct {
	// Prefix begins every key. Stores of different prefixes do not see each
	// other. It consists of printable ASCII characters other than space, at most
	// 121 of them, where : and % count three times, for they are escaped. The
	// default is "tokensession".
	Prefix string

	// MaxItemSize is the largest item that every server accepts, in bytes: what
	// memcached was given with -I. Open asks the servers too and takes the least.
	// The default, where nobody says, is 1 MiB.
	MaxItemSize int

	// Timeout is how long a call may take that has no nearer deadline. The default
	// is one second. A client passed to New has its own.
	Timeout time.Duration

	// MaxIdleConns is how many connections to each server are kept while they are
	// not in use. The default is 64. A client passed to New has its own.
	MaxIdleConns int

	// Logger is told when a server turns out to have lost its sessions by a
	// restart, or to accept only items that are smaller than what a Store should
	// hold. The default is slog.Default().
	Logger *slog.Logger
}

// withDefaults returns a copy of o, or what is wrong with it. MaxItemSize stays 0
// if it is.
func (o *Options) withDefaults() (Options, error) {
	var full Options
	if o != nil {
		full = *o
	}
	if full.Prefix == "" {
		full.Prefix = defaultPrefix
	}
	if err := checkPrefix(full.Prefix); err != nil {
		return full, err
	}
	if full.MaxItemSize < 0 || full.Timeout < 0 || full.MaxIdleConns < 0 {
		return full, fmt.Errorf("memcache: MaxItemSize is %d, Timeout %v, MaxIdleConns %d; none of them can be negative",
			full.MaxItemSize, full.Timeout, full.MaxIdleConns)
	}
	if full.Timeout == 0 {
		full.Timeout = defaultTimeout
	}
	if full.MaxIdleConns == 0 {
		full.MaxIdleConns = defaultMaxIdleConns
	}
	if full.Logger == nil {
		full.Logger = slog.Default()
	}
	return full, nil
}

// Store is a [tokensession.Store] in memcached. It is a [tokensession.Pinger] and an
// [io.Closer].
type Store struct {
	prefix  string // of keys, encoded
	maxItem int
	carrier carrier
	closed  atomic.Bool
}

var _ interface {
	tokensession.Store
	tokensession.Pinger
	io.Closer
} = (*Store)(nil)

// New returns a Store that sends its commands through client, which stays open when
// the Store is closed. It sends nothing yet. Raise the client's MaxIdleConns: its
// default is 2.
func New(client *memcache.Client, opts *Options) (*Store, error) {
	full, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if client == nil {
		return nil, errors.New("memcache: the client is nil")
	}
	if full.MaxItemSize == 0 {
		full.MaxItemSize = defaultMaxItemSize
	}
	return newStore(newBorrowed(client), full), nil
}

func newStore(carrier carrier, opts Options) *Store {
	return &Store{prefix: keyPrefix(opts.Prefix), maxItem: opts.MaxItemSize, carrier: carrier}
}

// Ping asks every server for a sign of life.
func (s *Store) Ping(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c, err := s.begin(ctx, "ping", "")
	if err != nil {
		return err
	}
	return c.outcome(c.send(command{verb: ping}).err)
}

// Close ends the Store. It closes the connections if Open made them; those in use
// are closed when their calls return.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	if err := s.carrier.close(); err != nil {
		return &tokensession.OpError{Driver: "memcache", Op: "close", Err: err}
	}
	return nil
}
