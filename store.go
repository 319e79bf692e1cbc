// Package tokensession is the contract between sessions and the stores that
// keep them: one small interface, [Store], which every backend implements the
// same way, so that a backend can be swapped without the application noticing.
//
// Applications use package session, which knows nothing but this interface,
// and one driver: memory, bolt, redis, postgres or memcache. Importing a driver
// registers its URL scheme with [Open]. Whoever writes a driver finds all that
// it must do on [Store], and package storetest proves that it does it.
package tokensession

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"time"
	"unicode/utf8"
)

// Store keeps records under ids until they expire. It is safe for concurrent
// use by any number of goroutines, and, where the backend is a server or a
// shared file, of processes.
//
// These are the rules that every Store keeps. Package storetest has a test for
// each, under its number.
//
//  1. Ids. An id is 1 to 128 bytes, each a printable ASCII character other than
//     space (0x21 to 0x7E). Any other id is [ErrInvalidID], from every method
//     and before any I/O. Ids are compared byte by byte; case counts.
//  2. Data. Any bytes at all, of any length up to at least 512 KiB, come back
//     as they were given. Nil and empty are the same. What a store cannot hold
//     it refuses with [ErrTooLarge], and the record that was there stands.
//  3. Owner. Valid UTF-8 without NUL, of at most 256 bytes; "" is nobody.
//     Anything else is [ErrInvalidOwner].
//  4. TTL. More than zero and at most [MaxTTL], or [Forever]; anything else is
//     [ErrInvalidTTL]. A store never rounds it down, whether it is a
//     microsecond, 31 days or ends after 2038, and keeps for ever only what was
//     given Forever. The TTL that Get returns is positive and was true at some
//     instant during the call; it is Forever if and only if the record's is.
//  5. Get. A live record or [ErrNotFound]. The caller only reads Data, and no
//     later operation changes what he was given.
//  6. Create. Stores a record where no live one is; where one is, it is
//     [ErrExists] and nothing changes. An expired record is no record. Of
//     Creates that run at the same time never two succeed, and one does unless
//     the outcome of one of them is unknown (rule 12).
//  7. Update. Replaces Data, Owner and TTL if rec.Version is a Version of the
//     state that is there. If no live record is there, it is [ErrNotFound]; if
//     its state is another, or rec.Version is empty, malformed or foreign, it is
//     [ErrConflict]. After either nothing has changed, the lifetime included,
//     and nothing was created. Of any number of Updates from one Version at most
//     one succeeds. Every success makes a new Version, even if all else is equal.
//  8. Versions never come back. A Version that was valid for an id and no longer
//     is will never be valid again: not after Delete and Create, not after Clear,
//     compaction, restart, restore or failover. Random nonces of 96 bits achieve
//     that; counters seldom do. One state may have several Version strings, so
//     callers do not compare them.
//  9. Touch. Sets the time to live, longer or shorter, and nothing else: Data and
//     Owner stay, and so does the validity of every Version. It never revives:
//     where no live record is, it is [ErrNotFound].
//  10. Delete. Afterwards no record is there. That none was there before is no
//     error.
//  11. Expiry. A record is gone for every method and capability the moment its
//     time is up, whether or not anything has removed it yet: not before its TTL
//     has passed, and at the latest one granularity after, which the driver
//     states. The clock is the server's, or, in drivers that say so, that of the
//     machines the application runs on.
//  12. Outages. An error that is none of this package's means "I do not know". A
//     write that ended so may still take effect, later, but at most once and only
//     if its precondition holds then. An outage is never reported as ErrNotFound,
//     ErrExists or ErrConflict.
//  13. Contexts. If the context is done before the call, the call returns an error
//     that wraps the context's and has no effect. A deadline ends a call within
//     100 ms, with an error that wraps [context.DeadlineExceeded], however the
//     server stalls; a cancellation ends it at the latest at the driver's I/O
//     timeout, which the driver states. Waiting for a local disk is exempt.
//  14. Once is once. A driver sends a write again only where it can recognise its
//     own first try. What it finds then is an answer only if it is its own;
//     otherwise the first error stands.
//  15. No aliasing. What the caller does to rec.Data once Create or Update has
//     returned does not reach the store, nor what a Get has returned.
//  16. Linearizability. The calls on one id take effect one at a time, each at an
//     instant between its start and its return, on one primary. What a failover
//     may lose the driver states.
//  17. Namespaces. Stores on one server whose prefixes, tables or buckets differ
//     never see each other's records. The encoding of keys is injective (prefix
//     "a" and id "b:1" is not prefix "a:b" and id "1"), patterns are escaped, and
//     Clear empties its own namespace only.
//  18. Close. Where a Store is an [io.Closer]: closing it twice is nil; every call
//     after it is [ErrClosed]; a call in flight completes or fails; no goroutine of
//     the store is left. A client that was passed in stays open. Arguments are
//     checked first, then the context, then whether the store is closed.
//
// The errors named here may come wrapped; compare them with [errors.Is]. No error
// holds a password or more of an id than its first 8 characters.
//
// # Writing a driver
//
// Call [Check] at the start of every method: it is rules 1, 3 and 4 and half of
// 13, in the order that rule 18 asks for. Offer those of [Counter], [Clearer],
// [Lister], [OwnerIndex], [Pinger] and [io.Closer] that the backend can keep
// honestly, and no others. Export two constructors, New(client, *Options), which
// borrows the client, and Open(ctx, url, *Options), which owns one; nil Options
// are the defaults. Register the URL scheme with [Register]. State in the package
// comment the granularity (rule 11) and clock, the limits (rule 2), the I/O timeout
// (rule 13) and what a failover loses (rule 16). Then run storetest.Suite.
type Store interface {
	// Get returns the live record of id, with all its fields set, or ErrNotFound
	// (rules 4, 5 and 11).
	Get(ctx context.Context, id string) (Record, error)

	// Create stores rec under id if no live record is there, else it returns
	// ErrExists (rule 6). It returns the Version of the new state and ignores
	// rec.Version.
	Create(ctx context.Context, id string, rec Record) (Version, error)

	// Update replaces the record of id by rec if rec.Version is still a Version
	// of it, and returns the new Version. Otherwise it changes nothing and returns
	// ErrConflict, or ErrNotFound where there is nothing to replace (rules 7, 8).
	Update(ctx context.Context, id string, rec Record) (Version, error)

	// Touch lets the record of id expire ttl from now and changes nothing else.
	// It returns ErrNotFound where no live record is (rule 9).
	Touch(ctx context.Context, id string, ttl time.Duration) error

	// Delete removes the record of id, if there is one (rule 10).
	Delete(ctx context.Context, id string) error
}

// Record is what a Store keeps under an id.
type Record struct {
	// Data is the encoded session. To the store it is bytes without meaning.
	// What Get returned must not be modified.
	Data []byte

	// Owner is whose session it is, for an [OwnerIndex]; "" if nobody's.
	Owner string

	// Version, from Get, names the state that was read; in Update, the state
	// to replace. Create ignores it.
	Version Version

	// TTL, from Get, is what is left of the record's life; in Create and Update
	// it is its length, counted from the call. Forever is without end.
	TTL time.Duration
}

// Version names one state of one record. It means something only to the store that
// made it, is not to be compared, and is never valid for any other state (rule 8).
// The empty Version names no state.
type Version string

// Forever is the TTL of a record that does not expire.
const Forever = time.Duration(math.MaxInt64)

// MaxTTL is the longest TTL that ends: 100 years.
const MaxTTL = 36525 * 24 * time.Hour

const (
	maxIDLen    = 128
	maxOwnerLen = 256
)

// The outcomes that a Store reports. Every other error means that the outcome is
// unknown (rule 12).
var (
	ErrNotFound = errors.New("tokensession: no such record")
	ErrExists   = errors.New("tokensession: record exists")
	ErrConflict = errors.New("tokensession: record was changed meanwhile")
	ErrClosed   = errors.New("tokensession: store is closed")
	ErrTooLarge = errors.New("tokensession: record is too large")

	// ErrCorrupt says that something stands under the id which is no record that
	// this store can read. It is an answer, but not about what the record was:
	// reading it again gives the same, and Delete removes it.
	ErrCorrupt = errors.New("tokensession: record is corrupt")

	ErrInvalidID    = errors.New("tokensession: invalid id")
	ErrInvalidOwner = errors.New("tokensession: invalid owner")
	ErrInvalidTTL   = errors.New("tokensession: invalid TTL")
)

// Check is what every method of a Store calls first, so that all drivers refuse
// the same input with the same error. It looks at the id, then at the owner and the
// TTL of rec, then at ctx; whether the store is closed and whether Data fits is for
// the driver to check after it.
//
// Get and Delete pass a nil rec, Touch one in which only the TTL is set:
//
//	Check(ctx, id, &Record{TTL: ttl})
func Check(ctx context.Context, id string, rec *Record) error {
	if err := checkID(id); err != nil {
		return err
	}
	if rec != nil {
		if err := checkOwner(rec.Owner); err != nil {
			return err
		}
		if rec.TTL <= 0 || rec.TTL > MaxTTL && rec.TTL != Forever {
			return fmt.Errorf("%w: %v; accepted are more than 0 and up to %v (100 years), and Forever",
				ErrInvalidTTL, rec.TTL, MaxTTL)
		}
	}
	return ctx.Err()
}

// CheckOwner is [Check] for the methods of an [OwnerIndex]. The empty owner, which
// is nobody, is invalid there.
func CheckOwner(ctx context.Context, owner string) error {
	if owner == "" {
		return fmt.Errorf("%w: it is empty, which is nobody", ErrInvalidOwner)
	}
	if err := checkOwner(owner); err != nil {
		return err
	}
	return ctx.Err()
}

func checkID(id string) error {
	if len(id) == 0 || len(id) > maxIDLen {
		return fmt.Errorf("%w: %d bytes; accepted are 1 to %d", ErrInvalidID, len(id), maxIDLen)
	}
	rest := id
	for len(rest) >= 8 && allPrintable(binary.LittleEndian.Uint64([]byte(rest[:8]))) {
		rest = rest[8:]
	}
	for i := range len(rest) {
		if c := rest[i]; c < 0x21 || c > 0x7E {
			return fmt.Errorf("%w: byte %#02x at %d; accepted are 0x21 to 0x7e (printable ASCII without space)",
				ErrInvalidID, c, len(id)-len(rest)+i)
		}
	}
	return nil
}

// allPrintable reports whether each of eight bytes is in 0x21 to 0x7E, which every
// call on a store asks. In a byte that is less, the subtraction sets the highest bit;
// in 0x7F the addition does; in all greater ones it is set.
func allPrintable(x uint64) bool {
	const each = 0x0101010101010101
	return ((x-0x21*each)|(x+each)|x)&(0x80*each) == 0
}

func checkOwner(owner string) error {
	if len(owner) > maxOwnerLen {
		return fmt.Errorf("%w: %d bytes; accepted are up to %d", ErrInvalidOwner, len(owner), maxOwnerLen)
	}
	for i := range len(owner) {
		if owner[i] == 0 {
			return fmt.Errorf("%w: NUL at %d", ErrInvalidOwner, i)
		}
	}
	if !utf8.ValidString(owner) {
		return fmt.Errorf("%w: it is not UTF-8", ErrInvalidOwner)
	}
	return nil
}

// OpError is how a driver reports an unknown outcome (rule 12): what was tried, on
// which record, and what went wrong.
type OpError struct {
	Driver string // the driver's package name, such as "bolt"
	Op     string // the method in lower case, such as "update"
	ID     string // the record's id; "" where the operation is not about one
	Err    error  // the cause
}

// Error shows no more of the id than its first 8 characters.
func (e *OpError) Error() string {
	switch {
	case e.ID == "":
		return e.Driver + ": " + e.Op + ": " + e.Err.Error()
	case len(e.ID) > 8:
		return e.Driver + ": " + e.Op + " " + e.ID[:8] + "…: " + e.Err.Error()
	}
	return e.Driver + ": " + e.Op + " " + e.ID + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *OpError) Unwrap() error { return e.Err }

// The capabilities: what some backends can do and others cannot do honestly. Find
// them with [As]. They keep the rules of [Store] where those apply; in particular
// only live records count and show (rule 11), and only those of the store's own
// namespace (rule 17).
type (
	// Counter counts live records.
	Counter interface {
		Len(ctx context.Context) (int, error)
	}

	// Clearer removes every record that was there when Clear began. One that is
	// created meanwhile may stay.
	Clearer interface {
		Clear(ctx context.Context) error
	}

	// Lister walks through the live records, in no order.
	//
	// A record that is live throughout the iteration is shown, and shown once,
	// unless the driver says that its server may repeat one. The state shown is one
	// that the record had during the iteration. The memory it takes does not grow
	// with the number of records. No lock and no transaction is held while the
	// caller has an Entry: he may call the store meanwhile.
	//
	// An error comes with the Entry{ID: id} of the record that it is about, and the
	// iteration goes on, or with the zero Entry, and the iteration has ended.
	Lister interface {
		All(ctx context.Context) iter.Seq2[Entry, error]
	}

	// OwnerIndex finds records by their Owner. An owner is what [CheckOwner]
	// accepts, else the error is ErrInvalidOwner.
	OwnerIndex interface {
		// ByOwner walks through the owner's live records as Lister does. It never
		// misses one that is the owner's throughout, however often it was touched
		// or changed hands before.
		ByOwner(ctx context.Context, owner string) iter.Seq2[Entry, error]

		// DeleteOwner removes the owner's records and returns how many live ones it
		// removed. One that is the owner's throughout the call is gone after it, and
		// an Update in flight does not bring it back. One that changes hands during
		// the call may stay or go.
		DeleteOwner(ctx context.Context, owner string) (int, error)
	}

	// Pinger asks the backend for a sign of life.
	Pinger interface {
		Ping(ctx context.Context) error
	}
)

// Entry is a record and the id that it is kept under.
type Entry struct {
	ID string
	Record
}

// As finds the capability T in s, or in what s wraps: it follows the method
// Unwrap() Store, outermost first, to the first that implements T.
//
//	if counter, ok := tokensession.As[tokensession.Counter](store); ok {
//		n, err := counter.Len(ctx)
//	}
//
// A wrapper implements a capability only where what it wraps has it.
func As[T any](s Store) (T, bool) {
	for s != nil {
		if t, ok := s.(T); ok {
			return t, true
		}
		w, ok := s.(interface{ Unwrap() Store })
		if !ok {
			break
		}
		s = w.Unwrap()
	}
	var none T
	return none, false
}
