// Package redis keeps sessions on a Redis or Valkey server, version 7.0 or newer,
// alone, behind Sentinel or in a Cluster, with [github.com/redis/go-redis/v9].
//
//	store, err := redis.Open(ctx, "redis://user:password@localhost:6379/0", nil)
//
// An application that has a client passes it to [New]. Any number of stores can use
// one server, with one prefix or with several.
//
// # URLs
//
// The scheme is redis, or rediss for TLS. User, password and database are those of
// the server that holds the sessions. Options follow a question mark and override those
// of [Options]:
//
//	prefix=name:              Prefix
//	addr=host:port            another node of a Cluster, or another Sentinel; may be repeated
//	cluster=true              a Cluster of which one node is given
//	master_name=mymaster      the addresses are Sentinels, which know this master
//	sentinel_username=name    for the Sentinels
//	sentinel_password=secret  for the Sentinels
//	skip_verify=true          TLS without a look at the server's certificate
//
// Also accepted, under the names that go-redis gives them, are db, protocol, client_name,
// the times dial_timeout, read_timeout, write_timeout, pool_timeout, conn_max_idle_time,
// conn_max_lifetime, min_retry_backoff, max_retry_backoff and dialer_retry_timeout, such as
// 2s, and the numbers pool_size, min_idle_conns, max_idle_conns, max_active_conns,
// max_retries, max_redirects and dialer_retries.
//
// # What it promises
//
// Granularity (rule 11): two milliseconds. Redis counts in whole ones, and a TTL is
// rounded up. The clock is the server's; if that is set, lifetimes move with it.
//
// Limits (rule 2): 64 MiB of Data.
//
// I/O timeout (rule 13): the client's read_timeout, which is 5 s unless it is set. A call
// that waits for the server's answer when its context is canceled ends at the latest
// then. Deadlines are exact. With a client that was passed to New and does not have
// ContextTimeoutEnabled, calls are handed to a goroutine: that keeps deadlines exact too,
// and costs some 20 µs a call.
//
// Failover (rule 16): Redis replicates asynchronously. What was acknowledged in the last
// moments before a failover may be lost, deletions included, and so may what a server
// without appendonly had not written to its disk when it died.
//
// Iterations: All, Len and Clear scan all masters. A record may be shown or counted
// twice while a server shrinks its tables, and so by ByOwner where an owner has tens of
// thousands of records. While a Cluster moves slots, All and Len may miss
// records that are moved; ByOwner and DeleteOwner do not.
//
// # What the server must be configured for
//
// The maxmemory-policy should be noeviction. With any other, the server removes sessions
// that have not expired when its memory is full, and entries of the owner index. New and
// Open warn of that, and of a server that is a replica. A user of the server needs the keys
// ~prefix* and +@connection +@read +@write +@scripting +time, in a Cluster +cluster and
// +command too, and +info for the warnings.
//
// # What it stores
//
// A session is one string: a line with its version and its owner, then its data.
//
//	tokensession:{17}s:<id>     ts1 bm9uY2Vub25jZW5v alice⏎{"views":3}
//
// Beside it, for each owner and each of 256 numbers that ids are hashed to, stands a
// sorted set of ids by the time at which they expire, under tokensession:{17}o:<owner>. The
// number in braces puts both into one slot of a Cluster. An Update of more than 3 KiB sends
// its value ahead, to tokensession:{17}v:<nonce>, from where its script fetches it. What is
// not fetched, because the connection broke, is gone after ten seconds.
package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"github.com/tokensession/tokensession"
)

const defaultPrefix = "tokensession:"

// Options are the settings of a Store. The zero value is the default.
type Options struct {
	// Prefix is what the store's keys begin with. Stores of different prefixes
	// do not see each other. It cannot contain { or }. The default is
	// "tokensession:".
	Prefix string

	// Client has settings for the client that Open makes, such as pool sizes, a
	// TLSConfig or a Dialer. Addresses, user, password and database come from the
	// URL, as do the options that it has. ContextTimeoutEnabled is always set.
	// New does not look at it.
	Client *redis.UniversalOptions

	// Logger is told when the server may remove sessions that have not expired, or
	// is a replica. The default is slog.Default().
	Logger *slog.Logger
}

// withDefaults returns a copy of o without empty fields, or what is wrong with it.
func (o *Options) withDefaults() (Options, error) {
	var full Options
	if o != nil {
		full = *o
	}
	if full.Prefix == "" {
		full.Prefix = defaultPrefix
	}
	if strings.ContainsAny(full.Prefix, "{}") {
		return full, fmt.Errorf("redis: the prefix %q contains { or }, which place keys in a Cluster", full.Prefix)
	}
	if full.Logger == nil {
		full.Logger = slog.Default()
	}
	return full, nil
}

// Store is a [tokensession.Store] in Redis. It has every capability:
// [tokensession.Counter], [tokensession.Clearer], [tokensession.Lister],
// [tokensession.OwnerIndex], [tokensession.Pinger] and [io.Closer].
type Store struct {
	client  redis.UniversalClient
	owned   bool // Open made the client
	prompt  bool // the client keeps deadlines by itself
	secrets []string
	keys    keys
	log     *slog.Logger

	// mu orders the start of goroutines before closing, which waits for them.
	mu      sync.Mutex
	closed  atomic.Bool
	pending sync.WaitGroup
}

var _ interface {
	tokensession.Store
	tokensession.Counter
	tokensession.Clearer
	tokensession.Lister
	tokensession.OwnerIndex
	tokensession.Pinger
} = (*Store)(nil)

// New returns a Store that uses client, which must be a *[redis.Client], for one server or
// Sentinel, or a *[redis.ClusterClient]. The client stays open when the Store is closed. One
// that reads from replicas is refused.
//
// New asks the server for a second how it is configured, in order to warn. That it does
// not answer is no error.
func New(client redis.UniversalClient, opts *Options) (*Store, error) {
	full, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	s, err := newStore(client, full)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), inspectTimeout)
	defer cancel()
	if err := s.inspect(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

func newStore(client redis.UniversalClient, opts Options) (*Store, error) {
	s := &Store{client: client, keys: newKeys(opts.Prefix), log: opts.Logger}
	switch c := client.(type) {
	case *redis.Client:
		if c == nil {
			return nil, errNilClient
		}
		o := c.Options()
		s.prompt, s.secrets = o.ContextTimeoutEnabled, []string{o.Password}
	case *redis.ClusterClient:
		if c == nil {
			return nil, errNilClient
		}
		o := c.Options()
		if o.ReadOnly {
			return nil, errors.New("redis: the client reads from replicas, which may not know the latest state yet")
		}
		s.prompt, s.secrets = o.ContextTimeoutEnabled, []string{o.Password}
	case nil:
		return nil, errNilClient
	default:
		return nil, fmt.Errorf("redis: the client is a %T; accepted are *redis.Client and *redis.ClusterClient", client)
	}
	return s, nil
}

var errNilClient = errors.New("redis: the client is nil")

// Ping asks the server for a sign of life; in a Cluster, one of them.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.check(ctx.Err()); err != nil {
		return err
	}
	_, err := s.do(ctx, "ping")
	return s.outcome(ctx, "ping", "", err)
}

// Close ends the Store, and the client if Open made it. It waits for goroutines that
// calls have left behind at their deadline.
func (s *Store) Close() error {
	s.mu.Lock()
	again := s.closed.Swap(true)
	s.mu.Unlock()
	s.pending.Wait()
	if again || !s.owned {
		return nil
	}
	return s.outcome(context.Background(), "close", "", s.client.Close())
}

// check returns err, which is what the arguments and the context have to say, or
// ErrClosed.
func (s *Store) check(err error) error {
	if err == nil && s.closed.Load() {
		return tokensession.ErrClosed
	}
	return err
}
