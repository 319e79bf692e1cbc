// Package sqlite is a tokensession.Store in an SQLite database. docs/writing-a-driver.md
// builds it step by step; it is an example of a driver, and not released as one.
//
// The database is a file that any number of processes of one machine may have open. A
// record ends with the nanosecond, by the clock of that machine. Data may have up to
// 16 MiB. A call waits for the lock of another process until its context is done, and for
// at most 5 seconds. What a call has reported is on the disk, in so far as the disk keeps
// what it was told to sync; there is no second server that could lose it in a failover.
package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/tokensession/tokensession"
)

// schema keeps the records of all namespaces in one table. Names of tables would be
// compared without regard to case.
const schema = `
	CREATE TABLE IF NOT EXISTS sessions (
		namespace TEXT    NOT NULL,
		id        TEXT    NOT NULL,
		data      BLOB    NOT NULL,
		owner     TEXT    NOT NULL,
		version   TEXT    NOT NULL,
		expires   INTEGER NOT NULL, -- nanoseconds since 1970, or never
		PRIMARY KEY (namespace, id)
	) STRICT;
	CREATE INDEX IF NOT EXISTS sessions_owner ON sessions (namespace, owner, id);
	CREATE INDEX IF NOT EXISTS sessions_expires ON sessions (expires);`

const (
	never   = math.MaxInt64
	maxData = 16 << 20
)

// expiry is when a record ends that has ttl to live. Nanoseconds reach to the year 2262.
func expiry(now int64, ttl time.Duration) int64 {
	if ttl == tokensession.Forever {
		return never
	}
	return now + int64(ttl)
}

// Options are the settings of a Store. The zero value is the default.
type Options struct {
	// Namespace keeps stores in one database apart. Any string will do.
	Namespace string
}

// Store is a [tokensession.Store] in an SQLite database, with every capability:
// [tokensession.Counter], [tokensession.Clearer], [tokensession.Lister],
// [tokensession.OwnerIndex], [tokensession.Pinger] and [io.Closer].
type Store struct {
	db        *sql.DB
	namespace string
	owned     bool          // Close closes db
	turn      chan struct{} // holds an element while somebody has the lock
	closed    atomic.Bool
}

// New returns a Store in db, which stays open when the Store is closed. That a call waits
// for the locks of other processes is for db to say, by its busy_timeout; that readers
// wait for no writer, by journal_mode(WAL).
func New(db *sql.DB, opts *Options) (*Store, error) {
	return newStore(context.Background(), db, opts)
}

func newStore(ctx context.Context, db *sql.DB, opts *Options) (*Store, error) {
	if opts == nil {
		opts = new(Options)
	}
	s := &Store{db: db, namespace: opts.Namespace, turn: make(chan struct{}, 1)}
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return nil, outcome(ctx, "open", "", err)
	}
	return s, nil
}

// exclusive runs fn in a transaction that has the lock of the database, and tells it what time
// it is while it does. The lock comes with the first statement that writes, so the first
// is one that is always of use: it removes some records that have expired.
func (s *Store) exclusive(ctx context.Context, op, id string, fn func(tx *sql.Tx, now int64) error) error {
	if s.closed.Load() {
		return tokensession.ErrClosed
	}
	// Whoever waits for a lock in SQLite has a connection and asks again and again. Only one
	// of this process does, so that readers find a connection and nobody is passed over.
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return outcome(ctx, op, id, ctx.Err())
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return outcome(ctx, op, id, err)
	}
	defer tx.Rollback()
	const reap = `DELETE FROM sessions WHERE rowid IN (SELECT rowid FROM sessions WHERE expires <= ? LIMIT 8)`
	if _, err := tx.ExecContext(ctx, reap, time.Now().UnixNano()); err != nil {
		return outcome(ctx, op, id, err)
	}
	if err := fn(tx, time.Now().UnixNano()); err != nil {
		return outcome(ctx, op, id, err)
	}
	return outcome(ctx, op, id, tx.Commit())
}

// outcome leaves what the contract expects as it is; everything else becomes an OpError.
func outcome(ctx context.Context, op, id string, err error) error {
	switch {
	case err == nil,
		errors.Is(err, tokensession.ErrNotFound),
		errors.Is(err, tokensession.ErrExists),
		errors.Is(err, tokensession.ErrConflict):
		return err
	}
	if cause := ctx.Err(); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	return &tokensession.OpError{Driver: "sqlite", Op: op, ID: id, Err: err}
}

// row is a record as it is stored.
type row struct {
	id, owner, version string
	data               []byte
	expires            int64
}

const columns = `id, owner, version, data, expires`

func (r *row) fields() []any { return []any{&r.id, &r.owner, &r.version, &r.data, &r.expires} }

func (r *row) record(now int64) tokensession.Record {
	ttl := tokensession.Forever
	if r.expires != never {
		ttl = time.Duration(r.expires - now)
	}
	return tokensession.Record{Data: r.data, Owner: r.owner, Version: tokensession.Version(r.version), TTL: ttl}
}

// querier is a database, or a transaction in one.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// find returns the row of id if it ends after now, else ErrNotFound.
func (s *Store) find(ctx context.Context, q querier, id string, now int64) (r row, err error) {
	const query = `SELECT ` + columns + ` FROM sessions WHERE namespace = ? AND id = ? AND expires > ?`
	err = q.QueryRowContext(ctx, query, s.namespace, id, now).Scan(r.fields()...)
	if errors.Is(err, sql.ErrNoRows) {
		return r, tokensession.ErrNotFound
	}
	return r, err
}

// Get is described at [tokensession.Store]. It takes the lock where it finds an expired
// record: a Touch that came in time may not be committed yet.
func (s *Store) Get(ctx context.Context, id string) (tokensession.Record, error) {
	if err := tokensession.Check(ctx, id, nil); err != nil {
		return tokensession.Record{}, err
	}
	if s.closed.Load() {
		return tokensession.Record{}, tokensession.ErrClosed
	}
	now := time.Now().UnixNano() // before the look, or a Touch may come between the two
	r, err := s.find(ctx, s.db, id, 0)
	if err != nil {
		return tokensession.Record{}, outcome(ctx, "get", id, err)
	}
	if r.expires <= now {
		err = s.exclusive(ctx, "get", id, func(tx *sql.Tx, locked int64) (err error) {
			now = locked
			r, err = s.find(ctx, tx, id, now)
			return err
		})
	}
	if err != nil {
		return tokensession.Record{}, err
	}
	return r.record(now), nil
}

// Create is described at [tokensession.Store].
func (s *Store) Create(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	const insert = `
		INSERT INTO sessions (namespace, id, owner, version, data, expires) VALUES (?, ?, ?, ?, coalesce(?, x''), ?)
		ON CONFLICT DO UPDATE
			SET owner = excluded.owner, version = excluded.version, data = excluded.data, expires = excluded.expires
			WHERE expires <= ?`
	if err := check(ctx, id, rec); err != nil {
		return "", err
	}
	version := rand.Text()
	err := s.exclusive(ctx, "create", id, func(tx *sql.Tx, now int64) error {
		n, err := changed(tx.ExecContext(ctx, insert,
			s.namespace, id, rec.Owner, version, rec.Data, expiry(now, rec.TTL), now))
		if err == nil && n == 0 {
			return tokensession.ErrExists
		}
		return err
	})
	if err != nil {
		return "", err
	}
	return tokensession.Version(version), nil
}

// Update is described at [tokensession.Store].
func (s *Store) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	const update = `
		UPDATE sessions SET owner = ?, version = ?, data = coalesce(?, x''), expires = ?
		WHERE namespace = ? AND id = ? AND version = ? AND expires > ?`
	if err := check(ctx, id, rec); err != nil {
		return "", err
	}
	version := rand.Text()
	err := s.exclusive(ctx, "update", id, func(tx *sql.Tx, now int64) error {
		n, err := changed(tx.ExecContext(ctx, update,
			rec.Owner, version, rec.Data, expiry(now, rec.TTL), s.namespace, id, string(rec.Version), now))
		if err != nil || n == 1 {
			return err
		}
		if _, err := s.find(ctx, tx, id, now); err != nil {
			return err
		}
		return tokensession.ErrConflict
	})
	if err != nil {
		return "", err
	}
	return tokensession.Version(version), nil
}

// Touch is described at [tokensession.Store].
func (s *Store) Touch(ctx context.Context, id string, ttl time.Duration) error {
	const touch = `UPDATE sessions SET expires = ? WHERE namespace = ? AND id = ? AND expires > ?`
	if err := tokensession.Check(ctx, id, &tokensession.Record{TTL: ttl}); err != nil {
		return err
	}
	return s.exclusive(ctx, "touch", id, func(tx *sql.Tx, now int64) error {
		n, err := changed(tx.ExecContext(ctx, touch, expiry(now, ttl), s.namespace, id, now))
		if err == nil && n == 0 {
			return tokensession.ErrNotFound
		}
		return err
	})
}

// Delete is described at [tokensession.Store].
func (s *Store) Delete(ctx context.Context, id string) error {
	if err := tokensession.Check(ctx, id, nil); err != nil {
		return err
	}
	return s.exclusive(ctx, "delete", id, func(tx *sql.Tx, _ int64) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM sessions WHERE namespace = ? AND id = ?`, s.namespace, id)
		return err
	})
}

// check is [tokensession.Check] and the limit of Data.
func check(ctx context.Context, id string, rec tokensession.Record) error {
	if err := tokensession.Check(ctx, id, &rec); err != nil {
		return err
	}
	if len(rec.Data) > maxData {
		return fmt.Errorf("%w: %d bytes of data; accepted are up to %d", tokensession.ErrTooLarge, len(rec.Data), maxData)
	}
	return nil
}

// changed returns how many rows a statement changed.
func changed(result sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// Close ends the Store, and closes the database if Open opened it.
func (s *Store) Close() error {
	if s.closed.Swap(true) || !s.owned {
		return nil
	}
	return outcome(context.Background(), "close", "", s.db.Close())
}
