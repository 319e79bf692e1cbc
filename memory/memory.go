// Package memory keeps sessions in this process's memory. It is for tests, for
// development and for applications that run as one process and may lose their
// sessions when it ends: nothing survives a restart and nothing is shared with
// another process. In production [New] says so in the log.
//
//	store := memory.New(nil)
//	defer store.Close()
//
// The clock is the process's monotonic one, so setting the machine's time changes
// no lifetime; whether a time of sleep (suspend) counts is up to the operating
// system. The granularity is that clock's nanosecond. Data has no limit but the
// memory that is free. There is no I/O and hence no timeout, and no failover.
// Iterations never repeat a record.
//
// Get and the iterators wait for nobody; writers wait for each other. A record whose
// time is up is gone at once, and its memory is free about a second later, whether or
// not anybody asks for it. Nothing ever looks through all records for that.
package memory

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tokensession/tokensession"
)

// Options are the settings of a Store. The zero Options are the defaults.
type Options struct {
	// MaxRecords is the largest number of records that the store holds; 0 is no
	// bound. Where a Create would exceed it, the record that would expire soonest
	// is evicted, which [Store.Evicted] counts and the log reports, at most once a
	// minute.
	MaxRecords int

	// Production makes New warn that sessions live in this process only. It need
	// not be set where APP_ENV or GO_ENV is "production" in the environment.
	Production bool

	// Logger is where the warnings go; nil is slog.Default().
	Logger *slog.Logger
}

// Store is a [tokensession.Store] in memory, with all of that package's
// capabilities. It is safe for concurrent use.
type Store struct {
	logger     *slog.Logger
	maxRecords int
	start      time.Time // what now counts from
	versions   *versions
	evicted    atomic.Uint64

	// table is what readers use without a lock. Clear puts another in its place, and
	// Close puts nil.
	table atomic.Pointer[table]

	mu      sync.Mutex  // held by every writer; guards what follows and the table's own
	reaper  *time.Timer // runs reap at wakeAt
	wakeAt  int64       // never if reap is not due; in the past while it runs
	reaping sync.WaitGroup
	warnAt  int64 // when an eviction is next worth a line in the log
}

var _ interface {
	tokensession.Store
	tokensession.Counter
	tokensession.Clearer
	tokensession.Lister
	tokensession.OwnerIndex
	tokensession.Pinger
} = (*Store)(nil)

// New returns an empty Store. Nil options are the defaults. It panics if MaxRecords
// is negative. Until it is closed, a Store stays in memory as long as a record in it
// is yet to expire.
func New(options *Options) *Store {
	if options == nil {
		options = &Options{}
	}
	if options.MaxRecords < 0 {
		panic("memory: New: Options.MaxRecords is negative")
	}
	s := &Store{
		logger:     options.Logger,
		maxRecords: options.MaxRecords,
		start:      time.Now(),
		versions:   newVersions(),
		wakeAt:     never,
	}
	if s.logger == nil {
		s.logger = slog.Default()
	}
	s.table.Store(newTable())
	s.reaper = time.AfterFunc(tokensession.Forever, s.reap)
	s.reaper.Stop() // until there is a record that ends
	if options.Production || os.Getenv("APP_ENV") == "production" || os.Getenv("GO_ENV") == "production" {
		s.logger.Warn("memory: sessions live in this process only: " +
			"a restart loses them, and other processes do not see them")
	}
	return s
}

// Get returns the live record of id. It takes no lock and allocates nothing.
func (s *Store) Get(ctx context.Context, id string) (tokensession.Record, error) {
	if err := tokensession.Check(ctx, id, nil); err != nil {
		return tokensession.Record{}, err
	}
	// Without a lock this takes effect at one instant all the same. A record that
	// current returns stood at the instant it returns. If there is no entry, or a dead
	// one, there was no record at an instant since the call began: a writer kills an
	// entry first, then takes it out, and only then adds another of the same id. And
	// if Clear or Close meanwhile took the table away, the call came before that.
	t := s.table.Load()
	if t == nil {
		return tokensession.Record{}, tokensession.ErrClosed
	}
	e := t.byID.find(id)
	if e == nil {
		return tokensession.Record{}, tokensession.ErrNotFound
	}
	r, now := s.current(e)
	if r == nil {
		return tokensession.Record{}, tokensession.ErrNotFound
	}
	return r.export(now), nil
}

// Create stores rec under id if no live record is there. If the store is full
// ([Options.MaxRecords]), the record that would expire soonest makes room.
func (s *Store) Create(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	if err := tokensession.Check(ctx, id, &rec); err != nil {
		return "", err
	}
	r := s.newRecord(rec)
	warn, err := s.create(id, r, rec.TTL)
	if err != nil {
		return "", err
	}
	if warn {
		// Not under the lock: a log handler may use the store.
		s.warnEvicted(ctx)
	}
	return r.version, nil
}

func (s *Store) create(id string, r *record, ttl time.Duration) (warn bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.table.Load()
	if t == nil {
		return false, tokensession.ErrClosed
	}
	e := t.byID.find(id)
	live, now := s.current(e)
	if live != nil {
		return false, tokensession.ErrExists
	}
	if e != nil {
		t.remove(e)
	}
	warn = s.makeRoom(t, now)
	r.expires = deadline(now, ttl)
	t.insert(id, r)
	s.schedule(t, now)
	return warn, nil
}

// Update replaces the record of id if rec.Version is still its Version.
func (s *Store) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	if err := tokensession.Check(ctx, id, &rec); err != nil {
		return "", err
	}
	next := s.newRecord(rec)
	err := s.change(id, func(old *record, now int64) (*record, error) {
		if old.version != rec.Version {
			return nil, tokensession.ErrConflict
		}
		next.expires = deadline(now, rec.TTL)
		return next, nil
	})
	if err != nil {
		return "", err
	}
	return next.version, nil
}

// Touch lets the record of id expire ttl from now.
func (s *Store) Touch(ctx context.Context, id string, ttl time.Duration) error {
	if err := tokensession.Check(ctx, id, &tokensession.Record{TTL: ttl}); err != nil {
		return err
	}
	return s.change(id, func(old *record, now int64) (*record, error) {
		next := *old
		next.expires = deadline(now, ttl)
		return &next, nil
	})
}

// change puts what next returns in the place of id's live record.
func (s *Store) change(id string, next func(old *record, now int64) (*record, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.table.Load()
	if t == nil {
		return tokensession.ErrClosed
	}
	e := t.byID.find(id)
	old, now := s.current(e)
	if old == nil {
		return tokensession.ErrNotFound
	}
	r, err := next(old, now)
	if err != nil {
		return err
	}
	if !t.replace(e, old, r) {
		return tokensession.ErrNotFound
	}
	s.schedule(t, now)
	return nil
}

// Delete removes the record of id, if there is one.
func (s *Store) Delete(ctx context.Context, id string) error {
	if err := tokensession.Check(ctx, id, nil); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.table.Load()
	if t == nil {
		return tokensession.ErrClosed
	}
	if e := t.byID.find(id); e != nil {
		t.remove(e)
	}
	return nil
}

// Ping returns nil unless ctx is done or the store is closed.
func (s *Store) Ping(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.table.Load() == nil {
		return tokensession.ErrClosed
	}
	return nil
}

// Close drops all records and ends the store's goroutine, if one is running.
func (s *Store) Close() error {
	s.mu.Lock()
	s.table.Store(nil)
	if s.reaper.Stop() {
		s.reaping.Done()
	}
	s.mu.Unlock()
	s.reaping.Wait()
	return nil
}

// newRecord copies rec, all but its TTL, under a new version. The strings are
// copied too: they may be parts of something large, or of a buffer that a web
// framework uses again.
func (s *Store) newRecord(rec tokensession.Record) *record {
	return &record{
		data:    slices.Clip(bytes.Clone(rec.Data)), // an append by the reader must not reach it
		owner:   strings.Clone(rec.Owner),
		version: s.versions.next(),
	}
}
