package integration

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/integration/backend"
	"github.com/tokensession/tokensession/postgres"
)

// TestPostgresTouchesStayHOT touches every row of a table a hundred times, which is a dozen
// lifetimes if touches are an eighth of a lifetime apart, while the reaper is at work.
func TestPostgresTouchesStayHOT(t *testing.T) {
	touchMany(t, 5000, 12, 300)
}

// BenchmarkPostgresTouches does so with the number of rows that the promise is about.
func BenchmarkPostgresTouches(b *testing.B) {
	for b.Loop() {
		touchMany(b, 10_000, 100, 300)
	}
}

// touchMany touches rows a number of times each. The space of the table's versions is looked
// at by the server itself, so autovacuum, which could hide what is lost, is off.
func touchMany(tb testing.TB, rows, times, size int) {
	server := backend.Postgres(tb)
	pool := postgresPool(tb, server.URL)
	opts := &postgres.Options{Table: newTable(), ReapInterval: 100 * time.Millisecond}
	store := newPostgres(tb, pool, opts)
	table := pgx.Identifier{opts.Table}.Sanitize()
	mustExec(tb, pool, "ALTER TABLE "+table+" SET (autovacuum_enabled = false)")

	const clients = 2
	ids := make([]string, rows)
	inParallel(tb, clients, rows, func(i int) error {
		ids[i] = fmt.Sprintf("%024d", i*7919)
		_, err := store.Create(context.Background(), ids[i], tokensession.Record{
			Data: make([]byte, size), Owner: fmt.Sprint("user", i/2), TTL: time.Hour})
		return err
	})
	before := tableSize(tb, pool, table)
	// The lifetimes grow, so that each touch moves the expiry past what it was. Neighbours
	// in the table are not touched together, as sessions are not.
	inParallel(tb, clients, rows*times, func(i int) error {
		return store.Touch(context.Background(), ids[i*7919%rows], time.Hour+time.Duration(i/rows)*time.Hour/8)
	})
	after := tableSize(tb, pool, table)

	var updates, hot int64
	// A connection reports what it did when it has been idle for a second, or ends.
	for deadline := time.Now().Add(20 * time.Second); updates < int64(rows*times) && time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		pool.Reset()
		if err := pool.QueryRow(context.Background(),
			"SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = $1", opts.Table).Scan(&updates, &hot); err != nil {
			tb.Fatal(err)
		}
	}
	share := float64(hot) / float64(updates)
	growth := float64(after) / float64(before)
	tb.Logf("%d updates, %.2f %% HOT, table × %.3f", updates, 100*share, growth)
	if updates < int64(rows*times) || share < 0.99 || growth > 1.2 {
		tb.Errorf("want %d updates, at least 99 %% HOT, and a table of at most × 1.2", rows*times)
	}
}

// inParallel calls fn for 0 to n-1, the same residues in the same goroutine.
func inParallel(tb testing.TB, clients, n int, fn func(i int) error) {
	tb.Helper()
	done := make(chan error)
	for c := range clients {
		go func() {
			for i := c; i < n; i += clients {
				if err := fn(i); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range clients {
		if err := <-done; err != nil {
			tb.Error(err)
		}
	}
}

// tableSize is that of the table with its indexes.
func tableSize(tb testing.TB, pool *pgxpool.Pool, table string) (size int64) {
	tb.Helper()
	if err := pool.QueryRow(context.Background(), "SELECT pg_total_relation_size($1::text::regclass)", table).Scan(&size); err != nil {
		tb.Fatal(err)
	}
	return size
}

// TestPostgresReaper has three stores reap one table: what has expired goes, and the rest
// stays.
func TestPostgresReaper(t *testing.T) {
	pool := postgresPool(t, backend.Postgres(t).URL)
	opts := &postgres.Options{Table: newTable(), ReapInterval: 50 * time.Millisecond}
	table := pgx.Identifier{opts.Table}.Sanitize()
	store := newPostgres(t, pool, opts)
	newPostgres(t, pool, opts)
	newPostgres(t, pool, opts)

	inParallel(t, 4, 2000, func(i int) error {
		_, err := store.Create(t.Context(), fmt.Sprint("dead", i), tokensession.Record{Owner: "o", TTL: 100 * time.Millisecond})
		return err
	})
	for id, ttl := range map[string]time.Duration{"hour": time.Hour, "forever": tokensession.Forever} {
		if _, err := store.Create(t.Context(), id, tokensession.Record{TTL: ttl}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() bool { return rowCount(t, pool, table) == 3 }) // the third is the reaper's
	for _, id := range []string{"hour", "forever"} {
		if _, err := store.Get(t.Context(), id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	if n, err := store.Len(t.Context()); n != 2 || err != nil {
		t.Errorf("Len = %d, %v", n, err)
	}
}

// TestPostgresReaperSkipsLocked has a row locked that has expired. The others go meanwhile.
func TestPostgresReaperSkipsLocked(t *testing.T) {
	pool := postgresPool(t, backend.Postgres(t).URL)
	opts := &postgres.Options{Table: newTable(), ReapInterval: 50 * time.Millisecond}
	store := newPostgres(t, pool, opts)
	for i := range 10 {
		if _, err := store.Create(t.Context(), fmt.Sprint(i), tokensession.Record{TTL: 500 * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
	}
	table := pgx.Identifier{opts.Table}.Sanitize()
	release := lockRow(t, pool, opts.Table, "5", "COMMIT")
	eventually(t, func() bool { return rowCount(t, pool, table) == 2 })
	release()
	eventually(t, func() bool { return rowCount(t, pool, table) == 1 })
}

// TestPostgresReaperEnds closes a store: nothing is removed any more.
func TestPostgresReaperEnds(t *testing.T) {
	pool := postgresPool(t, backend.Postgres(t).URL)
	opts := &postgres.Options{Table: newTable(), ReapInterval: 20 * time.Millisecond}
	store := newPostgres(t, pool, opts)
	if _, err := store.Create(t.Context(), "id", tokensession.Record{TTL: time.Microsecond}); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	table := pgx.Identifier{opts.Table}.Sanitize()
	before := rowCount(t, pool, table)
	time.Sleep(100 * time.Millisecond)
	if after := rowCount(t, pool, table); after != before {
		t.Errorf("%d rows, were %d", after, before)
	}
}

func rowCount(tb testing.TB, pool *pgxpool.Pool, table string) (n int) {
	tb.Helper()
	if err := pool.QueryRow(context.Background(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		tb.Fatal(err)
	}
	return n
}

// eventually waits up to 20 s until something is true.
func eventually(tb testing.TB, is func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatal("it did not become true in 20 s")
		}
	}
}

// TestPostgresWalksLargeRecords lists records that are too large to be held at once.
func TestPostgresWalksLargeRecords(t *testing.T) {
	store := openPostgres(t, backend.Postgres(t).URL, "table", newTable())
	const records = 12
	for i := range records {
		data := make([]byte, 700<<10)
		if _, err := store.Create(t.Context(), fmt.Sprint(i), tokensession.Record{Data: data, TTL: time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	seen := 0
	for e, err := range store.All(t.Context()) {
		if err != nil || len(e.Data) != 700<<10 {
			t.Fatal(e.ID, len(e.Data), err)
		}
		seen++
	}
	if seen != records {
		t.Errorf("All showed %d of %d", seen, records)
	}
}

// TestPostgresVersionsAreNotGuessed gives Update what no store has made.
func TestPostgresVersionsAreNotGuessed(t *testing.T) {
	store := openPostgres(t, backend.Postgres(t).URL, "table", newTable())
	v, err := store.Create(t.Context(), "id", tokensession.Record{TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []tokensession.Version{"", v[:15], v + "x", "0000000000000000"} {
		_, err := store.Update(t.Context(), "id", tokensession.Record{TTL: time.Hour, Version: wrong})
		if !errors.Is(err, tokensession.ErrConflict) {
			t.Errorf("Update from the Version %q: %v", wrong, err)
		}
	}
}
