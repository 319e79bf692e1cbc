package redis

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// The scripts about one record return 1 if they did what they are for. Else they return what
// stands there, cut after the longest header, or nil if nothing does, and have changed
// nothing.
//
// Redis does not roll back a script that fails. So indexes, where something foreign may
// stand, are written before records. A script that begins with #! is refused as a whole
// by a server that is full; another may be half done before Redis looks.
const (
	growingLua = "#!lua\n"

	// freeingLua is for what has to work on a server that is full.
	freeingLua = "#!lua flags=allow-oom\n"

	otherLua = `
local function other()
	if redis.call('EXISTS', KEYS[1]) == 0 then return false end
	return redis.call('GETRANGE', KEYS[1], 0, 800)
end
`

	// tailLua has what a header begins with and what follows its nonce, which takes
	// the bytes 5 to 20.
	tailLua = `
local function tail(key, expected)
	local head = redis.call('GETRANGE', key, 0, #expected + 15)
	return string.sub(head, 1, 4) .. string.sub(head, 21)
end
`

	// joinLua puts an id into an index, until the record's life of ttl milliseconds ends,
	// throws out those that are dead, and lets the index live as long as the longest
	// living in it.
	joinLua = `
local function join(index, id, ttl)
	local time = redis.call('TIME')
	local now = time[1] * 1000 + math.floor(time[2] / 1000)
	redis.call('ZREMRANGEBYSCORE', index, '-inf', string.format('(%.0f', now))
	redis.call('ZADD', index, ttl == '' and 'inf' or now + ttl, id)
	local last = redis.call('ZRANGE', index, -1, -1, 'WITHSCORES')[2]
	if last == 'inf' then
		redis.call('PERSIST', index)
	else
		redis.call('PEXPIREAT', index, last)
	end
end
`

	expireLua = `
local function expire(ttl)
	if ttl == '' then
		redis.call('PERSIST', KEYS[1])
	else
		redis.call('PEXPIRE', KEYS[1], ttl)
	end
	return 1
end
`

	// setLua stores a value, which is staged under the last key if it is empty, and asks for
	// it again if it was left behind when a Cluster moved the slot.
	setLua = expireLua + `
local function set(value, ttl)
	if value == '' then
		if redis.pcall('RENAME', KEYS[#KEYS], KEYS[1]).err then
			return redis.error_reply('TRYAGAIN the staged value is not here')
		end
		return expire(ttl)
	end
	if ttl == '' then
		redis.call('SET', KEYS[1], value)
	else
		redis.call('SET', KEYS[1], value, 'PX', ttl)
	end
	return 1
end
`

	// matchLua compares the header of what stands there with the argument 1. If they differ,
	// a value that is staged is not needed.
	matchLua = otherLua + `
if redis.call('GETRANGE', KEYS[1], 0, #ARGV[1] - 1) ~= ARGV[1] then
	if ARGV[2] == '' then redis.call('DEL', KEYS[#KEYS]) end
	return other()
end
`
)

var (
	// createOwnedScript has the keys record, index; the arguments id, value, ttl.
	createOwnedScript = newScript(growingLua + otherLua + joinLua + setLua + `
if redis.call('EXISTS', KEYS[1]) == 1 then return other() end
join(KEYS[2], ARGV[1], ARGV[3])
return set(ARGV[2], ARGV[3])
`)

	// updateScript has the keys record, staged value if any; the arguments old header,
	// value or nothing, ttl.
	updateScript = newScript(growingLua + matchLua + setLua + `
return set(ARGV[2], ARGV[3])
`)

	// updateOwnedScript has the keys record, the index to join if any, the index to leave if
	// any, staged value if any; the arguments old header, value or nothing, ttl, id, how
	// many indexes to join, how many to leave.
	updateOwnedScript = newScript(growingLua + matchLua + joinLua + setLua + `
local joins = tonumber(ARGV[5])
if joins == 1 then join(KEYS[2], ARGV[4], ARGV[3]) end
if ARGV[6] == '1' then redis.call('ZREM', KEYS[2 + joins], ARGV[4]) end
return set(ARGV[2], ARGV[3])
`)

	// touchScript has the key record; the arguments tail, ttl.
	touchScript = newScript(freeingLua + otherLua + tailLua + expireLua + `
if tail(KEYS[1], ARGV[1]) ~= ARGV[1] then return other() end
return expire(ARGV[2])
`)

	// touchOwnedScript has the keys record, index; the arguments tail, ttl, id.
	touchOwnedScript = newScript(freeingLua + otherLua + tailLua + joinLua + expireLua + `
if tail(KEYS[1], ARGV[1]) ~= ARGV[1] then return other() end
join(KEYS[2], ARGV[3], ARGV[2])
return expire(ARGV[2])
`)

	// removeScript has the key record, and its index if it is in one; the arguments tail, id.
	removeScript = newScript(freeingLua + otherLua + tailLua + `
if tail(KEYS[1], ARGV[1]) ~= ARGV[1] then return other() end
if KEYS[2] then redis.call('ZREM', KEYS[2], ARGV[2]) end
return redis.call('DEL', KEYS[1])
`)

	// sweepScript has the keys index, records; the arguments tail, "delete" or "", ids of the
	// records. It takes out of the index what is no record of the tail's owner, and his
	// too if it is to delete them. It returns how many it deleted.
	sweepScript = newScript(freeingLua + `
local deleted = 0
for i = 2, #KEYS do
	local head = redis.pcall('GETRANGE', KEYS[i], 0, #ARGV[1] + 15)
	local his = type(head) == 'string' and string.sub(head, 1, 4) .. string.sub(head, 21) == ARGV[1]
	if his and ARGV[2] == 'delete' then
		deleted = deleted + redis.call('DEL', KEYS[i])
		his = false
	end
	if not his then redis.call('ZREM', KEYS[1], ARGV[i + 1]) end
end
return deleted
`)
)

type script struct{ source, sha string }

func newScript(source string) script { return script{source, redis.NewScript(source).Hash()} }

// run runs the script once and returns its reply.
func (s *Store) run(ctx context.Context, sc script, keys []string, args ...any) (any, error) {
	return s.runAfter(ctx, nil, sc, keys, args...)
}

// runAfter is run with a command ahead, if any, in one round trip. The server knows the
// script by its hash, until it restarts or forgets all scripts.
func (s *Store) runAfter(ctx context.Context, ahead []any, sc script, keys []string, args ...any) (any, error) {
	all := make([]any, 0, 3+len(keys)+len(args))
	all = append(all, "evalsha", sc.sha, len(keys))
	for _, key := range keys {
		all = append(all, key)
	}
	all = append(all, args...)
	reply, err := s.doAfter(ctx, ahead, all)
	if !redis.HasErrorPrefix(err, "NOSCRIPT") {
		return reply, err
	}
	all[0], all[1] = "eval", sc.source
	return s.doAfter(ctx, ahead, all)
}
