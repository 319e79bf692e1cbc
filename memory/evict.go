package memory

import (
	"context"
	"time"
)

// warnInterval is the least time from one warning of evictions to the next.
const warnInterval = time.Minute

// Evicted returns how many live records have been evicted because the store was
// full. It counts from New on, and also after Close.
func (s *Store) Evicted() uint64 {
	return s.evicted.Load()
}

// makeRoom removes the entry of t that expires first if there is no room for
// another, and reports whether the log should say so. If the time of that entry is
// up, it is no eviction. The caller holds s.mu.
func (s *Store) makeRoom(t *table, now int64) (warn bool) {
	if s.maxRecords == 0 || len(t.byExpiry) < s.maxRecords {
		return false
	}
	first := t.byExpiry[0]
	t.remove(first)
	if first.expires <= now {
		return false
	}
	s.evicted.Add(1)
	if now < s.warnAt {
		return false
	}
	s.warnAt = now + int64(warnInterval)
	return true
}

func (s *Store) warnEvicted(ctx context.Context) {
	s.logger.WarnContext(ctx, "memory: the store is full: live sessions are being evicted",
		"max_records", s.maxRecords, "evicted", s.Evicted())
}
