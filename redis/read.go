package redis

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tokensession/tokensession"
)

const (
	// scanCount is how many keys the server looks at in one step of a scan. It does
	// nothing else meanwhile, for less than a millisecond.
	scanCount = 1000

	// memberCount is the same for the members of an index.
	memberCount = 128

	// pageSize is how many records are read at a time, and kept in memory.
	pageSize = 32
)

// Get is described at [tokensession.Store].
func (s *Store) Get(ctx context.Context, id string) (tokensession.Record, error) {
	if err := s.check(tokensession.Check(ctx, id, nil)); err != nil {
		return tokensession.Record{}, err
	}
	pipe := s.client.Pipeline()
	read := s.read(ctx, pipe, id)
	if err := s.exec(ctx, pipe); err != nil {
		return tokensession.Record{}, s.outcome(ctx, "get", id, err)
	}
	rec, err := read.record()
	return rec, s.outcome(ctx, "get", id, err)
}

// reading is what a pipeline reads of a record. Should a write come between the two
// commands, the record is from before and what is left of its life from after it:
// each was true during the call. Should its end come there, it is gone.
type reading struct {
	value *redis.StringCmd
	left  *redis.DurationCmd
}

func (s *Store) read(ctx context.Context, pipe redis.Pipeliner, id string) reading {
	key := s.keys.ofRecord(id)
	return reading{pipe.Get(ctx, key), pipe.PTTL(ctx, key)}
}

func (r reading) record() (tokensession.Record, error) {
	value, err := r.value.Result()
	if err == redis.Nil {
		return tokensession.Record{}, tokensession.ErrNotFound
	}
	if err != nil {
		return tokensession.Record{}, err
	}
	left, err := r.left.Result()
	if err != nil {
		return tokensession.Record{}, err
	}
	if left == absent {
		return tokensession.Record{}, tokensession.ErrNotFound
	}
	return decode(value, left)
}

// absent is what PTTL says of a key that is not there, which has no unit.
const absent time.Duration = -2

// exec sends what is in pipe. Unless it returns an error, each command has its own.
func (s *Store) exec(ctx context.Context, pipe redis.Pipeliner) error {
	return s.wait(ctx, func() { exec(ctx, pipe) })
}

// Len counts the live records. It looks at all keys of the database.
func (s *Store) Len(ctx context.Context) (int, error) {
	if err := s.check(ctx.Err()); err != nil {
		return 0, err
	}
	n := 0
	for ids, err := range s.scanIDs(ctx) {
		if err != nil {
			return 0, s.outcome(ctx, "len", "", err)
		}
		n += len(ids)
	}
	return n, nil
}

// All walks through the live records. It looks at all keys of the database.
func (s *Store) All(ctx context.Context) iter.Seq2[tokensession.Entry, error] {
	return s.walk(ctx, "all", "", s.scanIDs(ctx))
}

// ByOwner walks through the owner's live records. It reads all indexes of the owner, in
// one round trip, and then the records.
func (s *Store) ByOwner(ctx context.Context, owner string) iter.Seq2[tokensession.Entry, error] {
	if err := tokensession.CheckOwner(ctx, owner); err != nil {
		return func(yield func(tokensession.Entry, error) bool) {
			yield(tokensession.Entry{}, err)
		}
	}
	return s.walk(ctx, "byowner", owner, s.ownedIDs(ctx, owner))
}

// walk yields the live records of those ids that are owner's, or all if that is "".
func (s *Store) walk(ctx context.Context, op, owner string, pages iter.Seq2[[]string, error]) iter.Seq2[tokensession.Entry, error] {
	return func(yield func(tokensession.Entry, error) bool) {
		var ids []string
		for page, err := range pages {
			if err != nil {
				yield(tokensession.Entry{}, s.outcome(ctx, op, "", err))
				return
			}
			for ids = append(ids, page...); len(ids) >= pageSize; ids = ids[pageSize:] {
				if !s.show(ctx, op, owner, ids[:pageSize], yield) {
					return
				}
			}
		}
		s.show(ctx, op, owner, ids, yield)
	}
}

// show reads records and yields those that walk is to yield. It reports whether the walk
// goes on.
func (s *Store) show(ctx context.Context, op, owner string, ids []string, yield func(tokensession.Entry, error) bool) bool {
	readings, err := s.readAll(ctx, ids)
	if err != nil {
		yield(tokensession.Entry{}, s.outcome(ctx, op, "", err))
		return false
	}
	for i, r := range readings {
		rec, err := r.record()
		switch {
		case err == tokensession.ErrNotFound, err == nil && owner != "" && rec.Owner != owner:
			continue
		case err != nil && !isCorrupt(err):
			yield(tokensession.Entry{}, s.outcome(ctx, op, "", err))
			return false
		}
		if !yield(tokensession.Entry{ID: ids[i], Record: rec}, s.outcome(ctx, op, ids[i], err)) {
			return false
		}
	}
	return true
}

func (s *Store) readAll(ctx context.Context, ids []string) ([]reading, error) {
	if err := s.check(ctx.Err()); err != nil || len(ids) == 0 {
		return nil, err
	}
	pipe := s.client.Pipeline()
	readings := make([]reading, len(ids))
	for i, id := range ids {
		readings[i] = s.read(ctx, pipe, id)
	}
	return readings, s.exec(ctx, pipe)
}

// scanIDs yields the ids of the records, in pages.
func (s *Store) scanIDs(ctx context.Context) iter.Seq2[[]string, error] {
	return func(yield func([]string, error) bool) {
		for keys, err := range s.scan(ctx, s.keys.records()) {
			ids := keys[:0]
			for _, key := range keys {
				if id, ok := s.keys.id(key); ok {
					ids = append(ids, id)
				}
			}
			if !yield(ids, err) {
				return
			}
		}
	}
}

// scan yields the keys that match pattern, of all masters, in pages, which may be empty.
// An error is the last that it yields.
func (s *Store) scan(ctx context.Context, pattern string) iter.Seq2[[]string, error] {
	return func(yield func([]string, error) bool) {
		masters, err := s.masters(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		for _, master := range masters {
			page := func(cursor uint64) *redis.ScanCmd {
				return master.Scan(ctx, cursor, pattern, scanCount)
			}
			if !s.pages(ctx, 0, page, yield) {
				return
			}
		}
	}
}

// pages yields the pages that follow cursor, and reports whether to go on.
func (s *Store) pages(ctx context.Context, cursor uint64, page func(uint64) *redis.ScanCmd, yield func([]string, error) bool) bool {
	for {
		items, next, err := s.page(ctx, cursor, page)
		if !yield(items, err) || err != nil {
			return false
		}
		if next == 0 {
			return true
		}
		cursor = next
	}
}

func (s *Store) page(ctx context.Context, cursor uint64, page func(uint64) *redis.ScanCmd) ([]string, uint64, error) {
	if err := s.check(ctx.Err()); err != nil {
		return nil, 0, err
	}
	var cmd *redis.ScanCmd
	if err := s.wait(ctx, func() { cmd = page(cursor) }); err != nil {
		return nil, 0, err
	}
	return cmd.Result()
}

// masters returns the servers that have the records.
func (s *Store) masters(ctx context.Context) ([]*redis.Client, error) {
	if err := s.check(ctx.Err()); err != nil {
		return nil, err
	}
	cluster, ok := s.client.(*redis.ClusterClient)
	if !ok {
		return []*redis.Client{s.client.(*redis.Client)}, nil
	}
	var mu sync.Mutex
	var masters []*redis.Client
	var err error
	if left := s.wait(ctx, func() {
		err = cluster.ForEachMaster(ctx, func(_ context.Context, master *redis.Client) error {
			mu.Lock()
			defer mu.Unlock()
			masters = append(masters, master)
			return nil
		})
	}); left != nil {
		return nil, left
	}
	return masters, err
}

// ownedIDs yields the ids that the indexes of owner have, in pages that are not empty, each
// of one bucket.
func (s *Store) ownedIDs(ctx context.Context, owner string) iter.Seq2[[]string, error] {
	return func(yield func([]string, error) bool) {
		first, err := s.firstMembers(ctx, owner)
		if err != nil {
			yield(nil, err)
			return
		}
		for bucket, cmd := range first {
			items, next, err := cmd.Result()
			if err != nil {
				yield(nil, err)
				return
			}
			if len(items) > 0 && !yield(unscored(items), nil) {
				return
			}
			if next == 0 {
				continue
			}
			for ids, err := range s.members(ctx, owner, bucket, next) {
				if (len(ids) > 0 || err != nil) && (!yield(ids, err) || err != nil) {
					return
				}
			}
		}
	}
}

// firstMembers reads the first page of each index of owner, which is mostly all.
func (s *Store) firstMembers(ctx context.Context, owner string) ([]*redis.ScanCmd, error) {
	if err := s.check(ctx.Err()); err != nil {
		return nil, err
	}
	pipe := s.client.Pipeline()
	first := make([]*redis.ScanCmd, buckets)
	for bucket := range first {
		first[bucket] = pipe.ZScan(ctx, s.keys.index[bucket]+owner, 0, "", memberCount)
	}
	return first, s.exec(ctx, pipe)
}

// members yields the ids in the bucket's index of owner that follow cursor, in pages.
func (s *Store) members(ctx context.Context, owner string, bucket int, cursor uint64) iter.Seq2[[]string, error] {
	return func(yield func([]string, error) bool) {
		page := func(cursor uint64) *redis.ScanCmd {
			return s.client.ZScan(ctx, s.keys.index[bucket]+owner, cursor, "", memberCount)
		}
		s.pages(ctx, cursor, page, func(items []string, err error) bool {
			return yield(unscored(items), err)
		})
	}
}

// unscored returns the members in items, where each is followed by its score.
func unscored(items []string) []string {
	ids := items[:0]
	for i := 0; i < len(items); i += 2 {
		ids = append(ids, items[i])
	}
	return ids
}
