// Package postgres keeps sessions in a table of a PostgreSQL database, with
// [github.com/jackc/pgx/v5].
//
//	store, err := postgres.Open(ctx, "postgres://app:secret@db.example.org/app", nil)
//
// To share a pool with other parts of the application, pass it to [New]. Any number of
// stores and processes can use one table.
//
// # URLs
//
// What pgx accepts is accepted, with the parameters of pgx, pgxpool and the server.
// These are this package's own, and override what is in [Options]:
//
//	table=name        Table
//	schema=name       Schema
//	unlogged=true     Unlogged
//	no_create=true    NoCreate
//	reap_interval=5m  ReapInterval
//
// # The table
//
// If the table is not there, Open and New create it, and its schema, under an advisory
// lock. They change nothing that is there. Where the application's role may not create
// tables, run what [SQL] returns as one that may, and
//
//	GRANT SELECT, INSERT, UPDATE, DELETE ON public.tokensession TO app;
//
// Data that is UTF-8, such as JSON, stands in the column data, where a person can read
// it; other data stands in raw. The row whose id is " reaper" is no session: it says
// when expired ones are removed next.
//
// # What it promises
//
// Granularity (rule 11): 2 µs. The server counts in microseconds, and every TTL is
// rounded up to them, and one more is added for what its clock cuts off. The clock is
// the server's. A write that has waited for a lock for 100 ms or more looks again whether
// the record is still alive; the server's log then has a division by zero, by which the
// first try undid itself. Who finds a record whose time is up removes it, so reading takes
// the right to DELETE, and the primary.
//
// Limits (rule 2): 64 MiB of Data.
//
// I/O timeout (rule 13): none is needed. A call ends when its context does, by deadline or
// cancellation, and gives up its connection. Until the server has been told, that keeps its
// place in the pool; if it has gone silent for a quarter of a second, or 15 s in a pool that
// was passed to New. Close waits for calls in flight, but for no more than a second; to close
// a borrowed pool is its owner's business.
//
// Durability (rule 16): a write returns when the server says that it is committed. With
// synchronous_commit=off a crash of the server loses the last writes. A failover to an
// asynchronous standby loses those that it had not received, with a standby in
// synchronous_standby_names and synchronous_commit=on none. An unlogged table is empty after a
// crash and on every standby.
//
// # What the server must be
//
// PostgreSQL 14 or newer, the primary, and a database whose encoding is UTF8 (or
// SQL_ASCII). Any default isolation level will do: what the server rolls back because of
// other transactions is sent again.
//
// Statements are prepared once a connection. PgBouncer in transaction mode allows that from
// 1.21 with max_prepared_statements above zero. For older ones, add
// default_query_exec_mode=exec to the URL, or set it in the pool that is borrowed.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tokensession/tokensession"
)

const (
	defaultSchema       = "public"
	defaultTable        = "tokensession"
	defaultReapInterval = 5 * time.Minute

	// setupTimeout is how long New may take, which has no context.
	setupTimeout = 30 * time.Second

	// maxName is NAMEDATALEN - 1. The server cuts off what is longer, and two tables
	// would become one.
	maxName = 63
)

// Options are the settings of a Store. The zero value is the default.
type Options struct {
	// Schema is where the table is. The default is "public". Like Table, it is taken
	// literally: case counts, and any character but NUL may be in it.
	Schema string

	// Table is the table that holds the sessions. Stores of different tables do not
	// see each other. The default is "tokensession".
	Table string

	// Unlogged creates the table so that writes cost less and a crash of the server
	// empties it. A table that is there stays what it is.
	Unlogged bool

	// NoCreate makes it an error that the table is not there.
	NoCreate bool

	// ReapInterval is about how often expired records are removed, by whichever of the
	// table's stores comes first. Until then they take space and nothing else. Each time
	// the table is read from end to end. The default is five minutes.
	ReapInterval time.Duration

	// Logger is told when expired records cannot be removed in the background. The
	// default is slog.Default().
	Logger *slog.Logger
}

// withDefaults returns a copy of o without empty fields, or what is wrong with it.
func (o *Options) withDefaults() (Options, error) {
	var full Options
	if o != nil {
		full = *o
	}
	if full.Schema == "" {
		full.Schema = defaultSchema
	}
	if full.Table == "" {
		full.Table = defaultTable
	}
	if full.ReapInterval == 0 {
		full.ReapInterval = defaultReapInterval
	}
	if full.Logger == nil {
		full.Logger = slog.Default()
	}
	return full, full.check()
}

func (o *Options) check() error {
	if o.ReapInterval < 0 {
		return fmt.Errorf("postgres: ReapInterval is %v; it cannot be negative", o.ReapInterval)
	}
	if err := checkName("Schema", o.Schema); err != nil {
		return err
	}
	return checkName("Table", o.Table)
}

func checkName(option, name string) error {
	if len(name) > maxName {
		return fmt.Errorf("postgres: %s has %d bytes; PostgreSQL allows %d", option, len(name), maxName)
	}
	if !legible(name) || !utf8.ValidString(name) {
		return fmt.Errorf("postgres: %s is %q; a name is UTF-8 without NUL", option, name)
	}
	return nil
}

// Store is a [tokensession.Store] in a PostgreSQL table. It has every capability:
// [tokensession.Counter], [tokensession.Clearer], [tokensession.Lister],
// [tokensession.OwnerIndex], [tokensession.Pinger] and [io.Closer].
type Store struct {
	pool *pgxpool.Pool
	sql  statements
	log  *slog.Logger

	reapInterval time.Duration
	stopReaper   context.CancelFunc
	reaper       sync.WaitGroup

	connections *connections // of the pool if Open made it, else nil

	closed  atomic.Bool
	closing sync.Once
}

var _ interface {
	tokensession.Store
	tokensession.Counter
	tokensession.Clearer
	tokensession.Lister
	tokensession.OwnerIndex
	tokensession.Pinger
} = (*Store)(nil)

// New returns a Store that uses pool, which stays open when the Store is closed. Close
// the Store before the pool. It looks for the table, creates it if need be, and gives up
// after 30 seconds.
func New(pool *pgxpool.Pool, opts *Options) (*Store, error) {
	full, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if pool == nil {
		return nil, errors.New("postgres: the pool is nil")
	}
	ctx, cancel := context.WithTimeout(context.Background(), setupTimeout)
	defer cancel()
	return newStore(ctx, pool, full)
}

// newStore starts a Store once its table is there.
func newStore(ctx context.Context, pool *pgxpool.Pool, opts Options) (*Store, error) {
	if err := setUp(ctx, pool, opts); err != nil {
		return nil, explain(ctx, err)
	}
	s := &Store{
		pool:         pool,
		sql:          newStatements(tableName(opts)),
		log:          opts.Logger,
		reapInterval: opts.ReapInterval,
	}
	reaping, stop := context.WithCancel(context.Background())
	s.stopReaper = stop
	s.reaper.Go(func() { s.runReaper(reaping) })
	return s, nil
}

// Ping asks the server for an empty answer.
func (s *Store) Ping(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.call(ctx, "ping", "", func() error { return s.pool.Ping(ctx) })
}

// Close ends the Store. If Open made its pool, Close waits a second for the calls that have a
// connection, and closes the pool.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.stopReaper()
		s.closed.Store(true)
		s.reaper.Wait()
		if s.connections != nil {
			hurry := time.AfterFunc(closeTimeout, s.connections.sever)
			defer hurry.Stop()
			s.pool.Close()
		}
	})
	return nil
}
