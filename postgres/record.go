package postgres

import (
	"bytes"
	"crypto/rand"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tokensession/tokensession"
)

// maxData is the longest Data of a record. PostgreSQL could hold a gigabyte in a column, of
// which each side needs several copies in memory.
const maxData = 64 << 20

// row is a record as the table has it, at a time of the server's clock.
type row struct {
	data, raw    []byte
	owner        string
	version      pgtype.UUID
	expires, now pgtype.Timestamptz
}

// fields are where to scan {columns}.
func (r *row) fields() []any {
	return []any{&r.data, &r.raw, &r.owner, &r.version, &r.expires, &r.now}
}

func (r *row) forever() bool { return r.expires.InfinityModifier == pgtype.Infinity }

func (r *row) live() bool { return r.forever() || r.expires.Time.After(r.now.Time) }

func (r *row) export() tokensession.Record {
	rec := tokensession.Record{
		Data:    r.data,
		Owner:   r.owner,
		Version: tokensession.Version(r.version.Bytes[:]),
		TTL:     tokensession.Forever,
	}
	if r.raw != nil {
		rec.Data = r.raw
	}
	if !r.forever() {
		rec.TTL = r.expires.Time.Sub(r.now.Time)
	}
	return rec
}

// columns splits data into what stands in the columns data and raw, of which one is nil.
func columns(data []byte) (text *string, raw []byte) {
	if !utf8.Valid(data) || !legible(data) {
		return nil, data
	}
	s := string(data)
	return &s, nil
}

// legible reports whether there is no NUL in UTF-8, which PostgreSQL takes in no text.
func legible[T ~string | ~[]byte](text T) bool { return bytes.IndexByte([]byte(text), 0) < 0 }

// interval returns a TTL as the server counts it: no shorter, although both the TTL and
// the clock that it is added to are cut to microseconds. Forever is NULL.
func interval(ttl time.Duration) pgtype.Interval {
	if ttl == tokensession.Forever {
		return pgtype.Interval{}
	}
	us := (ttl + time.Microsecond - 1).Microseconds() + 1
	return pgtype.Interval{Microseconds: us, Valid: true}
}

// newVersion returns 128 random bits.
func newVersion() pgtype.UUID {
	v := pgtype.UUID{Valid: true}
	rand.Read(v.Bytes[:])
	return v
}

// parseVersion returns NULL, which equals nothing, for what newVersion has not made.
func parseVersion(version tokensession.Version) (v pgtype.UUID) {
	v.Valid = copy(v.Bytes[:], version) == len(v.Bytes) && len(version) == len(v.Bytes)
	return v
}
