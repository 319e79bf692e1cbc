package integration

import (
	"context"
	"fmt"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/integration/backend"
	"github.com/tokensession/tokensession/redis"
)

// BenchmarkRedis compares each method with the bare client that sends the same commands,
// and with the least that any store could send: GET, SET, PEXPIRE or DEL. The three take
// turns, so that what else the machine does befalls them alike. What is reported is the
// median of each in microseconds, and the ratios.
func BenchmarkRedis(b *testing.B) {
	url := backend.Redis(b).URL
	for _, owner := range []string{"", "alice"} {
		for _, size := range []int{200, 4096} {
			for _, m := range redisMethods {
				b.Run(fmt.Sprintf("%s/bytes=%d/owner=%s", m.name, size, owner), func(b *testing.B) {
					f := newRedisBench(b, url, owner, size)
					var took [3][]time.Duration
					for b.Loop() {
						for i, d := range f.round(m) {
							took[i] = append(took[i], d)
						}
					}
					reportRatios(b, took)
				})
			}
		}
	}
}

// redisMethod is one that is measured: what is called, whether the record is there
// before, and the least for its key and value.
type redisMethod struct {
	name   string
	stored bool
	call   func(ctx context.Context, s *redis.Store, id string, rec tokensession.Record) error
	least  func(ctx context.Context, c *goredis.Client, key string, value []byte) error
}

var redisMethods = []redisMethod{
	{"Get", true, func(ctx context.Context, s *redis.Store, id string, _ tokensession.Record) error {
		_, err := s.Get(ctx, id)
		return err
	}, func(ctx context.Context, c *goredis.Client, key string, _ []byte) error {
		return c.Get(ctx, key).Err()
	}},
	{"Create", false, func(ctx context.Context, s *redis.Store, id string, rec tokensession.Record) error {
		_, err := s.Create(ctx, id, rec)
		return err
	}, setRedis},
	{"Update", true, func(ctx context.Context, s *redis.Store, id string, rec tokensession.Record) error {
		_, err := s.Update(ctx, id, rec)
		return err
	}, setRedis},
	{"Touch", true, func(ctx context.Context, s *redis.Store, id string, _ tokensession.Record) error {
		return s.Touch(ctx, id, time.Hour)
	}, func(ctx context.Context, c *goredis.Client, key string, _ []byte) error {
		return c.PExpire(ctx, key, time.Hour).Err()
	}},
	{"Delete", true, func(ctx context.Context, s *redis.Store, id string, _ tokensession.Record) error {
		return s.Delete(ctx, id)
	}, func(ctx context.Context, c *goredis.Client, key string, _ []byte) error {
		return c.Del(ctx, key).Err()
	}},
}

func setRedis(ctx context.Context, c *goredis.Client, key string, value []byte) error {
	return c.Set(ctx, key, value, time.Hour).Err()
}

// redisBench has a store that Open made, a bare client with the same settings, and a
// store whose client shows what it sends.
type redisBench struct {
	*testing.B
	store, shown *redis.Store
	client       *goredis.Client
	sent         *sent
	rec          tokensession.Record
	value        []byte
	prefix       string // of shown
	next         int
}

func newRedisBench(b *testing.B, url, owner string, size int) *redisBench {
	const header = 21
	options, err := goredis.ParseURL(url)
	if err != nil {
		b.Fatal(err)
	}
	options.ContextTimeoutEnabled = true
	options.PipelinePoolSize = -1
	client, spied := goredis.NewClient(options), goredis.NewClient(options)
	b.Cleanup(func() { client.Close(); spied.Close() })
	f := &redisBench{B: b, client: client, sent: new(sent),
		store: openRedis(b, url, newRedisPrefix()),
		rec:   tokensession.Record{Data: make([]byte, size), Owner: owner, TTL: time.Hour},
		value: make([]byte, size+header),
	}
	spied.AddHook(f.sent)
	f.prefix = newRedisPrefix()
	if f.shown, err = redis.New(spied, &redis.Options{Prefix: f.prefix}); err != nil {
		b.Fatal(err)
	}
	return f
}

// round measures the store, the bare client and the least.
func (b *redisBench) round(m redisMethod) (took [3]time.Duration) {
	b.next++
	id := fmt.Sprintf("%024d", b.next%1000)
	ctx := b.Context()

	rec := b.prepare(b.store, id, m)
	took[0] = b.timed(b.store.Ping, func() error { return m.call(ctx, b.store, id, rec) })

	rec = b.prepare(b.shown, id, m)
	before := b.keys()
	b.sent.units = nil
	if err := m.call(ctx, b.shown, id, rec); err != nil {
		b.Fatal(err)
	}
	units := b.sent.units
	b.restore(before)
	took[1] = b.timed(b.ping, func() error { return b.resend(units) })
	b.restore(nil)

	key := "least:" + id
	if err := setRedis(ctx, b.client, key, b.value); err != nil {
		b.Fatal(err)
	}
	took[2] = b.timed(b.ping, func() error { return m.least(ctx, b.client, key, b.value) })
	return took
}

// prepare returns the record to call m with, of which id is stored or absent.
func (b *redisBench) prepare(s *redis.Store, id string, m redisMethod) tokensession.Record {
	if err := s.Delete(b.Context(), id); err != nil {
		b.Fatal(err)
	}
	rec := b.rec
	if m.stored {
		v, err := s.Create(b.Context(), id, rec)
		if err != nil {
			b.Fatal(err)
		}
		rec.Version = v
	}
	return rec
}

// keys returns what stands under the keys of the store that shows what it sends.
func (b *redisBench) keys() map[string]string {
	dumps := make(map[string]string)
	for _, key := range b.client.Keys(b.Context(), b.prefix+"*").Val() {
		dumps[key] = b.client.Dump(b.Context(), key).Val()
	}
	return dumps
}

// restore puts back what keys returned, and removes what else is there.
func (b *redisBench) restore(dumps map[string]string) {
	for key := range b.keys() {
		b.client.Del(b.Context(), key)
	}
	for key, dump := range dumps {
		if err := b.client.Restore(b.Context(), key, time.Hour, dump).Err(); err != nil {
			b.Fatal(err)
		}
	}
}

// resend sends the commands as the bare client would.
func (b *redisBench) resend(units [][]goredis.Cmder) error {
	for _, unit := range units {
		if len(unit) == 1 {
			if err := b.client.Do(b.Context(), unit[0].Args()...).Err(); err != nil && err != goredis.Nil {
				return err
			}
			continue
		}
		pipe := b.client.Pipeline()
		for _, cmd := range unit {
			pipe.Do(b.Context(), cmd.Args()...)
		}
		if _, err := pipe.Exec(b.Context()); err != nil {
			return err
		}
	}
	return nil
}

func (b *redisBench) ping(ctx context.Context) error { return b.client.Ping(ctx).Err() }

// timed returns how long f took, which must succeed. A ping comes first, so that server
// and connection are in the same state whatever was done before.
func (b *redisBench) timed(ping func(context.Context) error, f func() error) time.Duration {
	if err := ping(b.Context()); err != nil {
		b.Fatal(err)
	}
	begun := time.Now()
	err := f()
	took := time.Since(begun)
	if err != nil {
		b.Fatal(err)
	}
	return took
}

// sent is a hook that keeps what a client sends, by round trips.
type sent struct{ units [][]goredis.Cmder }

func (s *sent) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (s *sent) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		s.units = append(s.units, []goredis.Cmder{cmd})
		return next(ctx, cmd)
	}
}

func (s *sent) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		s.units = append(s.units, cmds)
		return next(ctx, cmds)
	}
}
