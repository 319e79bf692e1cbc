package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/integration/backend"
	"github.com/tokensession/tokensession/redis"
	"github.com/tokensession/tokensession/storetest/faultnet"
)

// bareRedis returns a client with the defaults of go-redis, which does not have
// ContextTimeoutEnabled.
func bareRedis(tb testing.TB, addr string) *goredis.Client {
	tb.Helper()
	client := goredis.NewClient(&goredis.Options{Addr: addr})
	tb.Cleanup(func() { client.Close() })
	return client
}

func borrowRedis(tb testing.TB, client goredis.UniversalClient, prefix string) *redis.Store {
	tb.Helper()
	store, err := redis.New(client, &redis.Options{Prefix: prefix})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { store.Close() })
	return store
}

// wantUnknownRedis checks that err says "I do not know", by rule 12.
func wantUnknownRedis(tb testing.TB, what string, err error) {
	tb.Helper()
	var op *tokensession.OpError
	if !errors.As(err, &op) || op.Driver != "redis" {
		tb.Errorf("%s: %v, want an OpError of redis", what, err)
	}
	for _, known := range []error{tokensession.ErrNotFound, tokensession.ErrExists, tokensession.ErrConflict} {
		if errors.Is(err, known) {
			tb.Errorf("%s: %v is %v", what, err, known)
		}
	}
}

// redisCalls calls every method, about the record of id.
func redisCalls(s *redis.Store, id string, rec tokensession.Record) map[string]func(context.Context) error {
	walk := func(seq func(func(tokensession.Entry, error) bool)) error {
		for _, err := range seq {
			if err != nil {
				return err
			}
		}
		return nil
	}
	return map[string]func(context.Context) error{
		"Get":         func(ctx context.Context) error { _, err := s.Get(ctx, id); return err },
		"Create":      func(ctx context.Context) error { _, err := s.Create(ctx, id, rec); return err },
		"Update":      func(ctx context.Context) error { _, err := s.Update(ctx, id, rec); return err },
		"Touch":       func(ctx context.Context) error { return s.Touch(ctx, id, time.Hour) },
		"Delete":      func(ctx context.Context) error { return s.Delete(ctx, id) },
		"Len":         func(ctx context.Context) error { _, err := s.Len(ctx); return err },
		"Clear":       func(ctx context.Context) error { return s.Clear(ctx) },
		"All":         func(ctx context.Context) error { return walk(s.All(ctx)) },
		"ByOwner":     func(ctx context.Context) error { return walk(s.ByOwner(ctx, "owner")) },
		"DeleteOwner": func(ctx context.Context) error { _, err := s.DeleteOwner(ctx, "owner"); return err },
		"Ping":        func(ctx context.Context) error { return s.Ping(ctx) },
	}
}

// The suite on a client that does not keep deadlines by itself.
func TestRedisBorrowed(t *testing.T) {
	server := backend.Redis(t)
	suite := redisSuite(server.URL)
	suite.Namespaces, suite.Reopen, suite.Shared = nil, nil, false
	suite.New = func(tb testing.TB) tokensession.Store {
		return borrowRedis(tb, bareRedis(tb, server.Addr), newRedisPrefix())
	}
	suite.Network = func(tb testing.TB) (string, func(string) tokensession.Store) {
		prefix := newRedisPrefix()
		return server.Addr, func(addr string) tokensession.Store {
			if addr == server.Addr {
				return openRedis(tb, server.URL, prefix)
			}
			client := goredis.NewClient(&goredis.Options{Addr: addr, ReadTimeout: impatience})
			tb.Cleanup(func() { client.Close() })
			return borrowRedis(tb, client, prefix)
		}
	}
	suite.Run(t)
}

func TestRedisCloseLeavesABorrowedClient(t *testing.T) {
	client := bareRedis(t, backend.Redis(t).Addr)
	store := borrowRedis(t, client, newRedisPrefix())
	if err := store.Close(); err != nil {
		t.Error(err)
	}
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Error("the client after Close:", err)
	}
}

// A server that stalls holds no call beyond its deadline, on either kind of client, and
// the writes of a call that ended have at most the effect that they would have had.
func TestRedisStalls(t *testing.T) {
	server := backend.KindRedis.Start(t)
	stores := map[string]*redis.Store{
		"opened":   openRedis(t, server.URL, newRedisPrefix()),
		"borrowed": borrowRedis(t, bareRedis(t, server.Addr), newRedisPrefix()),
	}
	for _, s := range stores {
		createRedis(t, s, "there", "owner", time.Hour) // so that connections are there
	}
	server.Pause(t)
	for name, s := range stores {
		for method, call := range redisCalls(s, "there", tokensession.Record{TTL: time.Hour, Owner: "owner"}) {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			begun := time.Now()
			err := call(ctx)
			took := time.Since(begun)
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) || took > 200*time.Millisecond {
				t.Errorf("%s %s: %v after %v", name, method, err, took)
			}
			wantUnknownRedis(t, name+" "+method, err)
		}
	}
	server.Resume(t)
}

// A cancellation ends a call at the latest at the I/O timeout.
func TestRedisCancel(t *testing.T) {
	server := backend.KindRedis.Start(t)
	s := openRedis(t, server.URL+"?read_timeout=300ms", newRedisPrefix())
	server.Pause(t)
	for method, call := range redisCalls(s, "id", tokensession.Record{TTL: time.Hour}) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		begun := time.Now()
		err := call(ctx)
		if took := time.Since(begun); !errors.Is(err, context.Canceled) || took > 700*time.Millisecond {
			t.Errorf("%s: %v after %v", method, err, took)
		}
	}
	server.Resume(t)
}

// Idle connections that the server closed, and scripts that it forgot, are not seen.
func TestRedisRestarts(t *testing.T) {
	server := backend.KindRedis.Start(t)
	s := openRedis(t, server.URL, newRedisPrefix())
	v := createRedis(t, s, "id", "owner", time.Hour)
	server.Restart(t)
	v, err := s.Update(t.Context(), "id", tokensession.Record{Version: v, Owner: "owner", TTL: time.Hour})
	if err != nil {
		t.Fatal("Update after a restart:", err)
	}
	if err := bareRedis(t, server.Addr).ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Update(t.Context(), "id", tokensession.Record{Version: v, TTL: time.Hour}); err != nil {
		t.Error("Update after SCRIPT FLUSH:", err)
	}
	server.Stop(t)
	for method, call := range redisCalls(s, "id", tokensession.Record{TTL: time.Hour}) {
		wantUnknownRedis(t, method, call(t.Context()))
	}
	server.Restart(t)
	// go-redis gives a server that refused it a second before it dials again.
	waitUntil(t, "the store reads again", func() bool {
		rec, err := s.Get(t.Context(), "id")
		if err != nil {
			wantUnknownRedis(t, "Get", err)
		}
		return err == nil && rec.Owner == ""
	})
}

// A server that refuses new connections, here for their password, says nothing about records.
func TestRedisPasswordChanges(t *testing.T) {
	server := backend.KindRedis.Start(t)
	admin := bareRedis(t, server.Addr).Conn() // stays signed in
	defer admin.Close()
	setPassword := func(password string) {
		t.Helper()
		if err := admin.ConfigSet(t.Context(), "requirepass", password).Err(); err != nil {
			t.Fatal(err)
		}
	}
	setPassword("first")
	url := "redis://:first@" + server.Addr
	opened := openRedis(t, url, newRedisPrefix())
	options, err := goredis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	client := goredis.NewClient(options)
	defer client.Close()
	for name, s := range map[string]*redis.Store{"opened": opened, "borrowed": borrowRedis(t, client, newRedisPrefix())} {
		rec := tokensession.Record{Data: largeRedis, Owner: "owner", TTL: time.Hour}
		rec.Version = createRedis(t, s, "id", "owner", time.Hour)
		setPassword("second")
		if err := admin.ClientKillByFilter(t.Context(), "TYPE", "normal", "SKIPME", "yes").Err(); err != nil {
			t.Fatal(err)
		}
		for method, call := range redisCalls(s, "id", rec) {
			err := call(t.Context())
			wantUnknownRedis(t, name+" "+method, err)
			if err != nil && (errors.Is(err, tokensession.ErrCorrupt) || strings.Contains(err.Error(), "first")) {
				t.Errorf("%s %s: %v", name, method, err)
			}
		}
		setPassword("first")
		wantRedis(t, s, "id", []byte("data of id"), [2]string{"", "owner"}, time.Hour)
	}
}

// largeRedis is Data that an Update sends ahead of its script.
var largeRedis = bytes.Repeat([]byte("large "), 1000)

// An Update of much data keeps the contract as one of little does, and leaves nothing
// behind, whatever it finds.
func TestRedisLarge(t *testing.T) {
	server := backend.Redis(t)
	client := bareRedis(t, server.Addr)
	for name, owners := range map[string][2]string{
		"anonymous": {"", ""}, "owned": {"old", "old"}, "joins": {"", "new"}, "leaves": {"old", ""}, "changes": {"old", "new"},
	} {
		t.Run(name, func(t *testing.T) {
			prefix := newRedisPrefix()
			s := openRedis(t, server.URL, prefix)
			old := createRedis(t, s, "id", owners[0], time.Hour)
			update := func(id string, v tokensession.Version, ttl time.Duration) (tokensession.Version, error) {
				return s.Update(t.Context(), id, tokensession.Record{Data: largeRedis, Owner: owners[1], Version: v, TTL: ttl})
			}
			if err := client.ScriptFlush(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			v, err := update("id", old, tokensession.Forever)
			if err != nil {
				t.Fatal(err)
			}
			wantRedis(t, s, "id", largeRedis, owners, tokensession.Forever)
			if _, err := update("id", old, time.Hour); err != tokensession.ErrConflict {
				t.Errorf("Update from an old version: %v", err)
			}
			if _, err := update("absent", old, time.Hour); err != tokensession.ErrNotFound {
				t.Errorf("Update of what is not there: %v", err)
			}
			wantRedis(t, s, "id", largeRedis, owners, tokensession.Forever)
			if _, err := update("id", v, time.Minute); err != nil {
				t.Error(err)
			}
			wantRedis(t, s, "id", largeRedis, owners, time.Minute)
			if staged := client.Keys(t.Context(), prefix+"{*}v:*").Val(); len(staged) != 0 {
				t.Errorf("left behind: %q", staged)
			}
		})
	}
}

// wantRedis checks what is stored, and that of two owners only the second has it.
func wantRedis(t *testing.T, s *redis.Store, id string, data []byte, owners [2]string, ttl time.Duration) {
	t.Helper()
	rec, err := s.Get(t.Context(), id)
	if err != nil || !bytes.Equal(rec.Data, data) || rec.Owner != owners[1] || rec.TTL-ttl > 2*time.Millisecond || ttl-rec.TTL > time.Minute/2 {
		t.Errorf("Get: %d bytes, owner %q, TTL %v, %v", len(rec.Data), rec.Owner, rec.TTL, err)
	}
	for _, owner := range owners {
		if owner == "" {
			continue
		}
		n := 0
		for _, err := range s.ByOwner(t.Context(), owner) {
			if n++; err != nil {
				t.Error(err)
			}
		}
		if has := owner == owners[1]; (n == 1) != has {
			t.Errorf("ByOwner(%q) shows %d", owner, n)
		}
	}
}

// What somebody else put under a key of ours is neither read nor replaced, but can be
// deleted.
func TestRedisForeignValues(t *testing.T) {
	server := backend.Redis(t)
	client := bareRedis(t, server.Addr)
	key := func(prefix string) string { return prefix + "{80}s:id" } // CRC-32 of "id", mod 256
	for name, put := range map[string]func(key string) error{
		"text": func(key string) error {
			return client.Set(t.Context(), key, "hello, this is not a record at all", 0).Err()
		},
		"empty":     func(key string) error { return client.Set(t.Context(), key, "", 0).Err() },
		"truncated": func(key string) error { return client.Set(t.Context(), key, "ts1 AAAABBBBCCCCDDDD", 0).Err() },
		"list":      func(key string) error { return client.LPush(t.Context(), key, "x").Err() },
	} {
		t.Run(name, func(t *testing.T) {
			prefix := newRedisPrefix()
			s := openRedis(t, server.URL, prefix)
			createRedis(t, s, "id", "", time.Hour)
			client.Del(t.Context(), key(prefix))
			if _, err := s.Get(t.Context(), "id"); !errors.Is(err, tokensession.ErrNotFound) {
				t.Fatalf("the key of id is not %q", key(prefix))
			}
			if err := put(key(prefix)); err != nil {
				t.Fatal(err)
			}
			for _, data := range [][]byte{nil, largeRedis} {
				calls := redisCalls(s, "id", tokensession.Record{Data: data, TTL: time.Hour})
				for _, method := range []string{"Get", "Create", "Update", "Touch", "All"} {
					err := calls[method](t.Context())
					wantUnknownRedis(t, method, err)
					if !errors.Is(err, tokensession.ErrCorrupt) {
						t.Errorf("%s: %v, want ErrCorrupt", method, err)
					}
				}
			}
			if err := s.Delete(t.Context(), "id"); err != nil {
				t.Error(err)
			}
			createRedis(t, s, "id", "", time.Hour)
		})
	}
}

// A full server refuses writes, and what is there stays.
func TestRedisFull(t *testing.T) {
	server := backend.KindRedis.Start(t)
	s := openRedis(t, server.URL, newRedisPrefix())
	v := createRedis(t, s, "id", "owner", time.Hour)
	if err := bareRedis(t, server.Addr).ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	for _, owner := range []string{"", "owner"} {
		for _, data := range [][]byte{[]byte("new"), largeRedis} {
			rec := tokensession.Record{Data: data, Owner: owner, TTL: time.Hour, Version: v}
			_, err := s.Create(t.Context(), "other"+owner, rec)
			wantUnknownRedis(t, "Create", err)
			_, err = s.Update(t.Context(), "id", rec)
			wantUnknownRedis(t, "Update", err)
		}
	}
	if rec, err := s.Get(t.Context(), "id"); err != nil || string(rec.Data) != "data of id" {
		t.Errorf("Get: %+v, %v", rec, err)
	}
	if n, err := s.DeleteOwner(t.Context(), "owner"); n != 1 || err != nil {
		t.Errorf("DeleteOwner: %d, %v", n, err)
	}
}

func TestRedisWarnings(t *testing.T) {
	server := backend.KindRedis.Start(t)
	client := bareRedis(t, server.Addr)
	warned := func() string {
		t.Helper()
		var log bytes.Buffer
		opts := &redis.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}
		openRedisWith(t, server.URL, opts)
		opened := log.String()
		log.Reset()
		if _, err := redis.New(client, opts); err != nil {
			t.Error(err)
		}
		if strings.Count(opened, "\n") != strings.Count(log.String(), "\n") {
			t.Errorf("Open warns %q, New %q", opened, log.String())
		}
		return opened
	}
	if log := warned(); log != "" {
		t.Errorf("a server that is as it should be: %s", log)
	}
	for _, policy := range []string{"allkeys-lru", "volatile-ttl"} {
		client.ConfigSet(t.Context(), "maxmemory-policy", policy)
		if log := warned(); !strings.Contains(log, policy) {
			t.Errorf("%s: warned %q", policy, log)
		}
	}
	client.ConfigSet(t.Context(), "maxmemory-policy", "noeviction")
	client.ReplicaOf(t.Context(), "127.0.0.1", "1")
	if log := warned(); !strings.Contains(log, "replica") {
		t.Errorf("a replica: warned %q", log)
	}
}

// A user with the rights that the package comment names, and one who may not even ask
// how the server is configured.
func TestRedisACL(t *testing.T) {
	server := backend.KindRedis.Start(t)
	client := bareRedis(t, server.Addr)
	for name, rights := range map[string]string{
		"named":   "~app:* +@connection +@read +@write +@scripting +time +info",
		"without": "~app:* +@connection +@read +@write +@scripting +time",
	} {
		args := []any{"acl", "setuser", name, "on", ">s3cret/#?"}
		for right := range strings.FieldsSeq(rights) {
			args = append(args, right)
		}
		if err := client.Do(t.Context(), args...).Err(); err != nil {
			t.Fatal(err)
		}
		s := openRedis(t, "redis://"+name+":s3cret%2F%23%3F@"+server.Addr, "app:")
		createRedis(t, s, "id", "owner", time.Hour)
		for method, call := range redisCalls(s, "other", tokensession.Record{Data: largeRedis, TTL: time.Hour, Owner: "owner"}) {
			// In whatever order they come, the server lets them through.
			if err := call(t.Context()); errors.As(err, new(*tokensession.OpError)) {
				t.Errorf("%s: %s: %v", name, method, err)
			}
		}
		s.Clear(t.Context())
	}
	other := openRedis(t, "redis://named:s3cret%2F%23%3F@"+server.Addr, "other:")
	for _, method := range []string{"Get", "Create", "Update", "Touch", "Delete"} {
		wantUnknownRedis(t, method, redisCalls(other, "id", tokensession.Record{TTL: time.Hour})[method](t.Context()))
	}
}

// Clear says that the server does not let it remove records.
func TestRedisClearForbidden(t *testing.T) {
	server := backend.KindRedis.Start(t)
	if err := bareRedis(t, server.Addr).Do(t.Context(), "acl", "setuser", "keeper", "on", "nopass", "~*", "+@all", "-unlink").Err(); err != nil {
		t.Fatal(err)
	}
	s := openRedis(t, "redis://keeper:any@"+server.Addr, "app:")
	createRedis(t, s, "id", "", time.Hour)
	if err := s.Clear(t.Context()); !goredis.HasErrorPrefix(err, "NOPERM") {
		t.Errorf("Clear: %v", err)
	}
}

// Bad input is a clear error from Open, in time, without the password.
func TestRedisOpenErrors(t *testing.T) {
	server := backend.KindRedis.Start(t)
	if err := bareRedis(t, server.Addr).ConfigSet(t.Context(), "requirepass", "right").Err(); err != nil {
		t.Fatal(err)
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() }) // after the parallel subtests
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for name, c := range map[string]struct{ url, want string }{
		"wrong password":      {"redis://:hunter2@" + server.Addr, "WRONGPASS"},
		"no password":         {"redis://" + server.Addr, "NOAUTH"},
		"unknown user":        {"redis://nobody:hunter2@" + server.Addr, "WRONGPASS"},
		"missing database":    {"redis://:right@" + server.Addr + "/9999", "out of range"},
		"refused":             {"redis://:hunter2@" + closed.Addr().String(), "refused"},
		"silent":              {"redis://:hunter2@" + silent.Addr().String(), "deadline"},
		"silent TLS":          {"rediss://:hunter2@" + silent.Addr().String(), "deadline"},
		"unknown host":        {"redis://:hunter2@no-such-host.invalid", "no-such-host.invalid"},
		"silent Sentinel":     {"redis://:hunter2@" + silent.Addr().String() + "?master_name=main", "deadline"},
		"silent Cluster":      {"redis://:hunter2@" + silent.Addr().String() + "?cluster=true", "deadline"},
		"Cluster that is one": {"redis://:right@" + server.Addr + "?cluster=true", "cluster"},
		"unknown option":      {"redis://:hunter2@" + server.Addr + "?colour=red", `"colour"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			begun := time.Now()
			store, err := tokensession.Open(ctx, c.url)
			if store != nil || err == nil {
				t.Fatal("it opened")
			}
			if took := time.Since(begun); took > 1200*time.Millisecond {
				t.Errorf("it took %v", took)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v\nwant something with %q", err, c.want)
			}
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "right") {
				t.Errorf("the password is in: %v", err)
			}
		})
	}
}

// A record is one string that a person can read, and has an expiry unless it is for ever.
func TestRedisLegible(t *testing.T) {
	server := backend.Redis(t)
	client := bareRedis(t, server.Addr)
	prefix := newRedisPrefix()
	s := openRedis(t, server.URL, prefix)
	for owner, want := range map[string]string{"": "\ndata of id", "al%ice\n": " al%25ice%0A\ndata of id"} {
		for _, ttl := range []time.Duration{1, time.Hour, tokensession.MaxTTL, tokensession.Forever} {
			s.Clear(t.Context())
			createRedis(t, s, "id", owner, ttl)
			if ttl == 1 {
				continue
			}
			keys := client.Keys(t.Context(), prefix+"{*}s:*").Val()
			if len(keys) != 1 {
				t.Fatalf("keys %q", keys)
			}
			if got := client.Get(t.Context(), keys[0]).Val(); len(got) != 20+len(want) || !strings.HasPrefix(got, "ts1 ") || !strings.HasSuffix(got, want) {
				t.Errorf("stored is %q", got)
			}
			if left := client.PTTL(t.Context(), keys[0]).Val(); (left == -1) != (ttl == tokensession.Forever) {
				t.Errorf("a TTL of %v is %v", ttl, left)
			}
		}
	}
}

// The indexes of an owner whose sessions expire unseen go with them, and those that
// outlive their members are swept.
func TestRedisIndexesEnd(t *testing.T) {
	server := backend.Redis(t)
	client := bareRedis(t, server.Addr)
	prefix := newRedisPrefix()
	s := openRedis(t, server.URL, prefix)
	indexes := func() []string { return client.Keys(t.Context(), prefix+"{*}o:*").Val() }
	for i := range 300 {
		createRedis(t, s, fmt.Sprint("id", i), "owner", 300*time.Millisecond)
	}
	if n := len(indexes()); n < 100 {
		t.Fatalf("%d indexes", n)
	}
	waitUntil(t, "the indexes expired", func() bool { return len(indexes()) == 0 })

	// In an index that stays, the dead are thrown out when another joins.
	createRedis(t, s, "stays", "owner", tokensession.Forever)
	index := indexes()[0]
	client.ZAdd(t.Context(), index, goredis.Z{Score: 1, Member: "dead"})
	if err := s.Touch(t.Context(), "stays", tokensession.Forever); err != nil {
		t.Fatal(err)
	}
	if got := client.ZRange(t.Context(), index, 0, -1).Val(); len(got) != 1 || got[0] != "stays" {
		t.Errorf("the index has %q", got)
	}
	if err := s.Touch(t.Context(), "stays", time.Hour); err != nil {
		t.Fatal(err)
	}
	if left := client.PTTL(t.Context(), index).Val(); left <= 0 || left > time.Hour {
		t.Errorf("the index ends in %v", left)
	}
	for i := range 300 {
		createRedis(t, s, fmt.Sprint("for ever", i)[4:], "owner", tokensession.Forever)
	}
	if err := s.Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	if keys := client.Keys(t.Context(), prefix+"*").Val(); len(keys) != 0 {
		t.Errorf("after Clear: %q", keys)
	}
}

// An owner with more sessions than an index shows at once.
func TestRedisBigOwner(t *testing.T) {
	server := backend.Redis(t)
	client := bareRedis(t, server.Addr)
	prefix := newRedisPrefix()
	s := openRedis(t, server.URL, prefix)
	const n = 60_000
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := w; i < n; i += 16 {
				if _, err := s.Create(t.Context(), fmt.Sprint("id", i), tokensession.Record{Owner: "owner", TTL: time.Hour}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	seen := make(map[string]bool)
	for e, err := range s.ByOwner(t.Context(), "owner") {
		if err != nil {
			t.Fatal(err)
		}
		seen[e.ID] = true
	}
	if len(seen) != n {
		t.Errorf("ByOwner shows %d of %d", len(seen), n)
	}
	if got, err := s.DeleteOwner(t.Context(), "owner"); got != n || err != nil {
		t.Errorf("DeleteOwner: %d of %d, %v", got, n, err)
	}
	if keys := client.Keys(t.Context(), prefix+"*").Val(); len(keys) != 0 {
		t.Errorf("%d keys are left", len(keys))
	}
}

// When an answer is lost, Create and Update know their own work; what they cannot know
// they say; and nothing is done twice.
func TestRedisLostAnswers(t *testing.T) {
	server := backend.Redis(t)
	for name, rec := range map[string]tokensession.Record{
		"anonymous": {Data: []byte("data"), TTL: time.Hour},
		"owned":     {Data: []byte("data"), TTL: time.Hour, Owner: "owner"},
		"large":     {Data: largeRedis, TTL: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			owner := rec.Owner
			prefix := newRedisPrefix()
			proxy := faultnet.New(t, server.Addr)
			s := openRedis(t, "redis://"+proxy.Addr(), prefix)
			direct := openRedis(t, server.URL, prefix)
			warm, err := s.Create(t.Context(), "warm", rec) // so that the scripts are known
			if err != nil {
				t.Fatal(err)
			}
			rec.Version = warm
			if _, err := s.Update(t.Context(), "warm", rec); err != nil {
				t.Fatal(err)
			}
			s.Touch(t.Context(), "warm", time.Hour)
			lose := func(meanwhile func()) { proxy.Next(faultnet.Fault{Meanwhile: meanwhile}) }

			lose(func() {})
			v, err := s.Create(t.Context(), "id", rec)
			if err != nil {
				t.Fatal("Create whose answer was lost:", err)
			}
			lose(func() {})
			rec.Version = v
			v2, err := s.Update(t.Context(), "id", rec)
			if err != nil {
				t.Fatal("Update whose answer was lost:", err)
			}
			if got, err := direct.Get(t.Context(), "id"); err != nil || got.Version != v2 {
				t.Fatalf("Get: %+v, %v", got, err)
			}

			// Somebody else's Update, or Delete, comes before the second look.
			lose(func() {
				got, _ := direct.Get(context.Background(), "id")
				got.TTL = time.Hour
				if _, err := direct.Update(context.Background(), "id", got); err != nil {
					t.Error(err)
				}
			})
			rec.Version = v2
			_, err = s.Update(t.Context(), "id", rec)
			wantUnknownRedis(t, "Update whose answer was lost, before another's", err)
			lose(func() { direct.Delete(context.Background(), "other") })
			_, err = s.Create(t.Context(), "other", rec)
			wantUnknownRedis(t, "Create whose answer was lost, before a Delete", err)
			if _, err := direct.Get(t.Context(), "other"); !errors.Is(err, tokensession.ErrNotFound) {
				t.Errorf("what was created and deleted is there again: %v", err)
			}

			// Touch and Delete cannot know their own, and are sent once.
			lose(func() { direct.Touch(context.Background(), "id", time.Minute) })
			err = s.Touch(t.Context(), "id", tokensession.Forever)
			if owner == "" {
				wantUnknownRedis(t, "Touch", err)
				if got, err := direct.Get(t.Context(), "id"); err != nil || got.TTL > time.Minute+time.Second {
					t.Errorf("after a Touch whose answer was lost and another: %v, %v", got.TTL, err)
				}
			}
			lose(func() {
				direct.Delete(context.Background(), "id")
				createRedis(t, direct, "id", owner, time.Hour)
			})
			wantUnknownRedis(t, "Delete", s.Delete(t.Context(), "id"))
			if _, err := direct.Get(t.Context(), "id"); err != nil {
				t.Errorf("a Delete was done twice: %v", err)
			}
		})
	}
}
