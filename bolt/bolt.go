// Package bolt keeps sessions in one file of this machine, with
// [go.etcd.io/bbolt]. No server is needed.
//
//	store, err := bolt.Open(ctx, "bolt:sessions.db", nil)
//
// A file belongs to one process at a time. To share a database with other parts
// of the application, open it there and pass it to [New]; any number of stores can
// use one database, in one bucket or in several.
//
// # URLs
//
// The path follows the scheme: bolt:sessions.db, bolt:/var/lib/app/sessions.db or
// bolt:///var/lib/app/sessions.db. What a URL cannot hold is percent-encoded.
// Options follow a question mark and override those of [Options]:
//
//	lock_timeout=2s  LockTimeout
//	bucket=name      Bucket
//
// # What it promises
//
// Granularity (rule 11): none. A record expires at its nanosecond, by the wall clock
// of this machine; if that is set, lifetimes move with it. The space of an expired
// record is free a second or so later.
//
// Limits (rule 2): 64 MiB of Data.
//
// I/O timeout (rule 13): none, because the disk is local. A write that still waits
// for its turn is withdrawn when its context ends. One that is being committed
// reports its outcome, whatever the context says.
//
// Durability (rule 16): a write returns when the file is synced. What was
// acknowledged survives a crash of the process, and one of the machine if its disk
// keeps what it has synced. There is no failover. Writes that wait at the same time
// share one sync, and each has its own outcome. A borrowed database that was opened
// with NoSync promises as little as that says.
//
// Every record has a checksum. A damaged record is an error of that record alone, which
// wraps [tokensession.ErrCorrupt]. It can be deleted, but neither read nor replaced, and
// it goes when its time is up.
package bolt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/tokensession/tokensession"
)

const (
	defaultBucket      = "tokensession"
	defaultLockTimeout = time.Second
)

// Options are the settings of a Store. The zero value is the default.
type Options struct {
	// Bucket is the top-level bucket that holds the sessions. Stores of
	// different buckets do not see each other. The default is "tokensession".
	Bucket string

	// LockTimeout is how long Open waits for another process to let go of the
	// file. The default is one second.
	LockTimeout time.Duration

	// Logger is told when expired or damaged records cannot be removed in the
	// background, or damaged ones were. The default is slog.Default().
	Logger *slog.Logger
}

// withDefaults returns a copy of o without empty fields, or what is wrong with it.
func (o *Options) withDefaults() (Options, error) {
	var full Options
	if o != nil {
		full = *o
	}
	if full.LockTimeout < 0 {
		return full, fmt.Errorf("bolt: LockTimeout is %v; it cannot be negative", full.LockTimeout)
	}
	if full.LockTimeout == 0 {
		full.LockTimeout = defaultLockTimeout
	}
	if full.Bucket == "" {
		full.Bucket = defaultBucket
	}
	if full.Logger == nil {
		full.Logger = slog.Default()
	}
	return full, nil
}

// Store is a [tokensession.Store] in a bbolt database. It has every capability:
// [tokensession.Counter], [tokensession.Clearer], [tokensession.Lister],
// [tokensession.OwnerIndex], [tokensession.Pinger] and [io.Closer].
type Store struct {
	bucket []byte
	log    *slog.Logger
	now    func() time.Time
	path   string // of the file, to compact it; "" if the database is borrowed

	// committing is held by whoever writes to the file: the committer for each
	// transaction, Compact and Close. It comes before mu.
	committing sync.Mutex

	// mu guards db. Readers hold it while they read.
	mu sync.RWMutex
	db *bbolt.DB // nil once closed

	queue   queue
	quit    chan struct{} // closed by Close: the committer shall end
	stopped chan struct{} // closed by the committer: it has ended
	closing sync.Once
	reaper  reaper
}

var _ interface {
	tokensession.Store
	tokensession.Counter
	tokensession.Clearer
	tokensession.Lister
	tokensession.OwnerIndex
	tokensession.Pinger
} = (*Store)(nil)

// New returns a Store in db, which must be open and writable, and which stays open
// when the Store is closed. Close the Store before db. Do not call the Store in a
// transaction of your own that writes: each would wait for the other.
func New(db *bbolt.DB, opts *Options) (*Store, error) {
	full, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if db == nil {
		return nil, errors.New("bolt: the database is nil")
	}
	return newStore(db, "", full)
}

// newStore starts a Store in db, whose file Compact may replace if path is given.
func newStore(db *bbolt.DB, path string, opts Options) (*Store, error) {
	s := &Store{
		bucket:  []byte(opts.Bucket),
		log:     opts.Logger,
		now:     time.Now,
		path:    path,
		db:      db,
		queue:   queue{wake: make(chan struct{}, 1)},
		quit:    make(chan struct{}),
		stopped: make(chan struct{}),
	}
	if err := s.prepare(); err != nil {
		return nil, err
	}
	go s.run()
	return s, nil
}

// Ping reads from the database.
func (s *Store) Ping(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return outcome("ping", "", s.view(func(*buckets) error { return nil }))
}

// Close commits the writes that are waiting and ends the Store. It closes the
// database if Open opened it.
func (s *Store) Close() error {
	var err error
	s.closing.Do(func() { err = s.close() })
	return err
}

func (s *Store) close() error {
	s.queue.close()
	close(s.quit)
	<-s.stopped

	s.committing.Lock()
	defer s.committing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	db := s.db
	s.db = nil
	if s.path == "" {
		return nil
	}
	return outcome("close", "", guard(db.Close))
}
