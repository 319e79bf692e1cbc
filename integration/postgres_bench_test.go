package integration

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/integration/backend"
	"github.com/tokensession/tokensession/postgres"
)

// BenchmarkPostgres compares each method with pgx itself: sending the very statement that the
// method sends, and sending the least that any store could, which is SELECT, INSERT, UPDATE
// or DELETE by primary key. The three take turns, and the ratios are those of the medians.
func BenchmarkPostgres(b *testing.B) {
	for _, size := range []int{200, 4096} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			for _, c := range postgresCalls {
				b.Run(c.name, func(b *testing.B) { comparePostgres(b, size, c) })
			}
		})
	}
}

// postgresBench is a store that Open made, and a pool for the same table. Their records come
// from another store, so that neither's connection is the warmer one.
type postgresBench struct {
	store tokensession.Store
	maker tokensession.Store
	pool  *pgxpool.Pool
	table string
	data  []byte
	sent  sentStatement
}

// sentStatement is a tracer of pgx that keeps the last statement.
type sentStatement struct {
	sql  string
	args []any
}

func (s *sentStatement) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	s.sql, s.args = data.SQL, data.Args
	return ctx
}

func (*sentStatement) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// postgresCall is a method, called on the record of an id, whose Version is given.
type postgresCall struct {
	name   string
	method func(p *postgresBench, store tokensession.Store, id string, v tokensession.Version) error
	least  func(p *postgresBench, id string) error
}

var postgresCalls = []postgresCall{
	{"Get",
		func(p *postgresBench, store tokensession.Store, id string, _ tokensession.Version) error {
			_, err := store.Get(context.Background(), id)
			return err
		},
		func(p *postgresBench, id string) error {
			var data []byte
			return p.pool.QueryRow(context.Background(), "SELECT data FROM "+p.table+" WHERE id = $1", id).Scan(&data)
		}},
	{"Create",
		func(p *postgresBench, store tokensession.Store, id string, _ tokensession.Version) error {
			_, err := store.Create(context.Background(), id, tokensession.Record{Data: p.data, TTL: time.Hour})
			return err
		},
		func(p *postgresBench, id string) error {
			return p.exec("INSERT INTO "+p.table+" (id, owner, expires, version, data) VALUES ($1, '', 'infinity', $2, $3)",
				id, pgtype.UUID{Valid: true}, string(p.data))
		}},
	{"Update",
		func(p *postgresBench, store tokensession.Store, id string, v tokensession.Version) error {
			_, err := store.Update(context.Background(), id, tokensession.Record{Data: p.data, TTL: time.Hour, Version: v})
			return err
		},
		func(p *postgresBench, id string) error {
			return p.exec("UPDATE "+p.table+" SET data = $2 WHERE id = $1", id, string(p.data))
		}},
	{"Touch",
		func(p *postgresBench, store tokensession.Store, id string, _ tokensession.Version) error {
			return store.Touch(context.Background(), id, time.Hour)
		},
		func(p *postgresBench, id string) error {
			return p.exec("UPDATE "+p.table+" SET expires = now() + $2 WHERE id = $1", id,
				pgtype.Interval{Microseconds: time.Hour.Microseconds(), Valid: true})
		}},
	{"Delete",
		func(p *postgresBench, store tokensession.Store, id string, _ tokensession.Version) error {
			return store.Delete(context.Background(), id)
		},
		func(p *postgresBench, id string) error {
			return p.exec("DELETE FROM "+p.table+" WHERE id = $1", id)
		}},
}

func (p *postgresBench) exec(sql string, args ...any) error {
	tag, err := p.pool.Exec(context.Background(), sql, args...)
	if err == nil && tag.RowsAffected() != 1 {
		return fmt.Errorf("%s: %s", sql, tag)
	}
	return err
}

// same sends what the store has sent, for another record.
func (p *postgresBench) same(name, id string, v tokensession.Version) error {
	args := slices.Clone(p.sent.args)
	args[0] = id
	if name == "Get" {
		var (
			data, raw    []byte
			owner        string
			version      pgtype.UUID
			expires, now pgtype.Timestamptz
		)
		return p.pool.QueryRow(context.Background(), p.sent.sql, args...).Scan(&data, &raw, &owner, &version, &expires, &now)
	}
	if name == "Update" {
		from := pgtype.UUID{Valid: true}
		copy(from.Bytes[:], v)
		args[len(args)-1] = from
	}
	return p.exec(p.sent.sql, args...)
}

// newPostgresBench looks what a method sends.
func newPostgresBench(b *testing.B, size int, c postgresCall) *postgresBench {
	server := backend.Postgres(b)
	table := newTable()
	p := &postgresBench{
		store: openPostgres(b, server.URL, "table", table),
		maker: openPostgres(b, server.URL, "table", table),
		pool:  postgresPool(b, server.URL),
		table: pgx.Identifier{table}.Sanitize(),
		data:  slices.Repeat([]byte("x"), size),
	}
	config := p.pool.Config()
	config.ConnConfig.Tracer = &p.sent
	traced, err := pgxpool.NewWithConfig(b.Context(), config)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(traced.Close)
	store := newPostgres(b, traced, &postgres.Options{Table: table})
	v := p.prepare(b, c, "traced")
	if err := c.method(p, store, "traced", v); err != nil {
		b.Fatal(err)
	}
	return p
}

// prepare creates the record that a call is about.
func (p *postgresBench) prepare(b *testing.B, c postgresCall, id string) tokensession.Version {
	if c.name == "Create" {
		return ""
	}
	v, err := p.maker.Create(context.Background(), id, tokensession.Record{Data: p.data, TTL: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	return v
}

func comparePostgres(b *testing.B, size int, c postgresCall) {
	p := newPostgresBench(b, size, c)
	ways := []func(id string, v tokensession.Version) error{
		func(id string, v tokensession.Version) error { return c.method(p, p.store, id, v) },
		func(id string, v tokensession.Version) error { return p.same(c.name, id, v) },
		func(id string, v tokensession.Version) error { return c.least(p, id) },
	}
	took := make([][]time.Duration, len(ways))
	for n := 0; b.Loop(); n++ {
		// Each time another one is the first, which finds the caches as they are.
		for i := range ways {
			way := (n + i) % len(ways)
			id := fmt.Sprintf("%020d-%03d", n, way)
			v := p.prepare(b, c, id)
			began := time.Now()
			err := ways[way](id, v)
			took[way] = append(took[way], time.Since(began))
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	method, same, least := median(took[0]), median(took[1]), median(took[2])
	b.ReportMetric(float64(method.Nanoseconds())/1e3, "µs-method")
	b.ReportMetric(float64((method-same).Nanoseconds())/1e3, "µs-over-same")
	b.ReportMetric(float64(method)/float64(same), "×same")
	b.ReportMetric(float64(method)/float64(least), "×least")
}

func median(took []time.Duration) time.Duration {
	slices.Sort(took)
	return took[len(took)/2]
}
