package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tokensession/tokensession"
)

// Create is described at [tokensession.Store]. It is not sent twice: a record that was
// created and deleted at once would come back.
func (s *Store) Create(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	if err := s.checkRecord(ctx, id, rec); err != nil {
		return "", err
	}
	header := newHeader(rec.Owner)
	reply, err := s.create(ctx, id, header, rec)
	if err == nil {
		err = created(reply)
	}
	if broken(ctx, err) && s.stands(ctx, id, header) {
		err = nil
	}
	if err != nil {
		return "", s.outcome(ctx, "create", id, err)
	}
	return tokensession.Version(header), nil
}

// create returns nil or 1 if it stored the record, else what stands there.
func (s *Store) create(ctx context.Context, id, header string, rec tokensession.Record) (any, error) {
	key, value, ttl := s.keys.ofRecord(id), encode(header, rec.Data), milliseconds(rec.TTL)
	switch {
	case rec.Owner != "":
		return s.run(ctx, createOwnedScript, []string{key, s.keys.ofIndex(id, rec.Owner)}, id, value, ttl)
	case ttl == "":
		return s.do(ctx, "set", key, value, "nx", "get")
	}
	return s.do(ctx, "set", key, value, "nx", "get", "px", ttl)
}

func created(reply any) error {
	there, ok := reply.(string)
	if !ok {
		return nil
	}
	if _, _, err := parseHeader(there); err != nil {
		return err
	}
	return tokensession.ErrExists
}

// stands reports whether the record of id is known to have this header.
func (s *Store) stands(ctx context.Context, id, header string) bool {
	reply, err := s.do(ctx, "getrange", s.keys.ofRecord(id), 0, len(header)-1)
	return err == nil && reply == header
}

// Update is described at [tokensession.Store]. When a connection breaks it is sent once
// more, which is safe: where the first try took effect, the version that it asks for is
// gone for good.
func (s *Store) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	if err := s.checkRecord(ctx, id, rec); err != nil {
		return "", err
	}
	header := newHeader(rec.Owner)
	err := s.update(ctx, id, header, rec)
	if broken(ctx, err) && s.update(ctx, id, header, rec) == nil {
		err = nil
	}
	if err != nil {
		return "", s.outcome(ctx, "update", id, err)
	}
	return tokensession.Version(header), nil
}

func (s *Store) update(ctx context.Context, id, header string, rec tokensession.Record) error {
	from, owner, err := parseHeader(string(rec.Version))
	if err != nil || from != string(rec.Version) {
		from, owner = "?", "" // which no record begins with
	}
	sc, keys := updateScript, []string{s.keys.ofRecord(id)}
	value := encode(header, rec.Data)
	args := []any{from, value, milliseconds(rec.TTL)}
	if owner != "" || rec.Owner != "" {
		joins, leaves := 0, 0
		if rec.Owner != "" {
			keys, joins = append(keys, s.keys.ofIndex(id, rec.Owner)), 1
		}
		if owner != "" && owner != rec.Owner {
			keys, leaves = append(keys, s.keys.ofIndex(id, owner)), 1
		}
		sc, args = updateOwnedScript, append(args, id, joins, leaves)
	}
	var ahead []any
	if len(value) >= stage {
		staged := s.keys.ofStaged(id, header[len(magic):tailAt])
		keys, args[1] = append(keys, staged), ""
		ahead = []any{"set", staged, value, "px", milliseconds(stageTime)}
	}
	reply, err := s.runAfter(ctx, ahead, sc, keys, args...)
	if err != nil {
		return err
	}
	return updated(reply, header)
}

// stage is the size from which on an Update sends its value in a command of its own.
// What a script is given, Lua copies, hashes and collects: at 4 KiB that takes about as
// long as one more command, at 16 KiB a third of the whole call.
const stage = 3 << 10

// stageTime is when Redis forgets a staged value that no script has fetched, because the
// connection broke in between or the script failed.
const stageTime = 10 * time.Second

func updated(reply any, header string) error {
	switch there := reply.(type) {
	case nil:
		return tokensession.ErrNotFound
	case string:
		found, _, err := parseHeader(there)
		if err == nil && found != header {
			err = tokensession.ErrConflict
		}
		return err
	}
	return nil
}

func (s *Store) checkRecord(ctx context.Context, id string, rec tokensession.Record) error {
	if err := s.check(tokensession.Check(ctx, id, &rec)); err != nil {
		return err
	}
	if len(rec.Data) > maxData {
		return fmt.Errorf("%w: %d bytes of data; accepted are up to %d", tokensession.ErrTooLarge, len(rec.Data), maxData)
	}
	return nil
}

// Touch is described at [tokensession.Store].
func (s *Store) Touch(ctx context.Context, id string, ttl time.Duration) error {
	if err := s.check(tokensession.Check(ctx, id, &tokensession.Record{TTL: ttl})); err != nil {
		return err
	}
	key, left := s.keys.ofRecord(id), milliseconds(ttl)
	return s.outcome(ctx, "touch", id, asOwned(func(owner string) (any, error) {
		if owner == "" {
			return s.run(ctx, touchScript, []string{key}, magic+tail(""), left)
		}
		return s.run(ctx, touchOwnedScript, []string{key, s.keys.ofIndex(id, owner)}, magic+tail(owner), left, id)
	}))
}

// Delete is described at [tokensession.Store]. It removes what is no record too.
func (s *Store) Delete(ctx context.Context, id string) error {
	if err := s.check(tokensession.Check(ctx, id, nil)); err != nil {
		return err
	}
	key := s.keys.ofRecord(id)
	err := asOwned(func(owner string) (any, error) {
		if owner == "" {
			return s.run(ctx, removeScript, []string{key}, magic+tail(""))
		}
		return s.run(ctx, removeScript, []string{key, s.keys.ofIndex(id, owner)}, magic+tail(owner), id)
	})
	switch {
	case err == tokensession.ErrNotFound:
		return nil
	case isCorrupt(err):
		_, err = s.do(ctx, "unlink", key)
	}
	return s.outcome(ctx, "delete", id, err)
}

// asOwned runs fn, a script that must be told whose the record is: nobody's at first,
// and then, where it is somebody's, his whom the script finds.
func asOwned(fn func(owner string) (any, error)) error {
	for owner := ""; ; {
		reply, err := fn(owner)
		if err != nil {
			return err
		}
		switch there := reply.(type) {
		case nil:
			return tokensession.ErrNotFound
		case string:
			if _, owner, err = parseHeader(there); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// isCorrupt reports whether err says that what stands there is no record.
func isCorrupt(err error) bool {
	return errors.Is(err, tokensession.ErrCorrupt) || redis.HasErrorPrefix(err, "WRONGTYPE")
}

// Clear removes all records, and then from the indexes what is not there any more.
func (s *Store) Clear(ctx context.Context) error {
	if err := s.check(ctx.Err()); err != nil {
		return err
	}
	err := s.clearRecords(ctx)
	if err == nil {
		err = s.clearIndexes(ctx)
	}
	return s.outcome(ctx, "clear", "", err)
}

func (s *Store) clearRecords(ctx context.Context) error {
	for ids, err := range s.scanIDs(ctx) {
		if err != nil {
			return err
		}
		pipe := s.client.Pipeline()
		removals := make([]*redis.IntCmd, len(ids))
		for i, id := range ids {
			removals[i] = pipe.Unlink(ctx, s.keys.ofRecord(id)) // each may be in another slot
		}
		if err := s.exec(ctx, pipe); err != nil {
			return err
		}
		for _, cmd := range removals {
			if err := cmd.Err(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) clearIndexes(ctx context.Context) error {
	for keys, err := range s.scan(ctx, s.keys.indexes()) {
		if err != nil {
			return err
		}
		for _, key := range keys {
			owner, bucket, ok := s.keys.owner(key)
			if !ok {
				continue
			}
			if err := s.clearIndex(ctx, owner, bucket); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) clearIndex(ctx context.Context, owner string, bucket int) error {
	for ids, err := range s.members(ctx, owner, bucket, 0) {
		if err != nil {
			return err
		}
		if _, err := s.sweep(ctx, owner, bucket, ids, ""); err != nil {
			return err
		}
	}
	return nil
}

// DeleteOwner removes the owner's records, those of one bucket after the other.
func (s *Store) DeleteOwner(ctx context.Context, owner string) (int, error) {
	if err := s.check(tokensession.CheckOwner(ctx, owner)); err != nil {
		return 0, err
	}
	deleted := 0
	for ids, err := range s.ownedIDs(ctx, owner) {
		if err != nil {
			return deleted, s.outcome(ctx, "deleteowner", "", err)
		}
		n, err := s.sweep(ctx, owner, bucketOf(ids[0]), ids, "delete")
		deleted += n
		if err != nil {
			return deleted, s.outcome(ctx, "deleteowner", "", err)
		}
	}
	return deleted, nil
}

// sweepSize is how many records one script looks at: the server does nothing else
// meanwhile.
const sweepSize = 128

// sweep takes ids out of the bucket's index of owner, unless they are his records, and
// those too if it is to "delete" them. It returns how many it deleted.
func (s *Store) sweep(ctx context.Context, owner string, bucket int, ids []string, what string) (int, error) {
	deleted := 0
	for some := range slices.Chunk(ids, sweepSize) {
		keys := []string{s.keys.index[bucket] + owner}
		args := []any{magic + tail(owner), what}
		for _, id := range some {
			keys = append(keys, s.keys.record[bucket]+id)
			args = append(args, id)
		}
		reply, err := s.run(ctx, sweepScript, keys, args...)
		if err != nil {
			return deleted, err
		}
		n, _ := reply.(int64)
		deleted += int(n)
	}
	return deleted, nil
}
