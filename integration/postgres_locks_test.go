package integration

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/integration/backend"
	"github.com/tokensession/tokensession/postgres"
)

// TestPostgresIsolation runs the suite where the default isolation level is one under which
// the server fails what it would let wait.
func TestPostgresIsolation(t *testing.T) {
	server := backend.Postgres(t)
	for _, level := range []string{"repeatable read", "serializable"} {
		t.Run(level, func(t *testing.T) {
			suite := postgresSuite(func(tb testing.TB, table string) tokensession.Store {
				return openPostgres(tb, server.URL, "table", table, "default_transaction_isolation", level)
			})
			suite.Budget = 30 * time.Millisecond
			suite.Run(t)
		})
	}
}

// TestPostgresIsolationOfRole borrows a pool whose role has such a level.
func TestPostgresIsolationOfRole(t *testing.T) {
	admin := postgresPool(t, backend.Postgres(t).URL)
	url := newRole(t, admin, backend.Postgres(t).URL)
	role := roleOf(t, url)
	mustExec(t, admin, "ALTER ROLE "+role+" SET default_transaction_isolation = 'serializable'")
	mustExec(t, admin, "GRANT CREATE ON SCHEMA public TO "+role)
	store := newPostgres(t, postgresPool(t, url), &postgres.Options{Table: newTable()})

	const clients, increments = 8, 25
	if _, err := store.Create(t.Context(), "counter", tokensession.Record{Data: []byte{0}, TTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	for range clients {
		go func() { done <- increment(t.Context(), store, increments) }()
	}
	for range clients {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if rec, err := store.Get(t.Context(), "counter"); err != nil || int(rec.Data[0]) != clients*increments {
		t.Errorf("%v, %v; want %d increments", rec.Data, err, clients*increments)
	}
}

// increment adds n to the first byte of the record "counter", one by one.
func increment(ctx context.Context, store tokensession.Store, n int) error {
	for n > 0 {
		rec, err := store.Get(ctx, "counter")
		if err != nil {
			return err
		}
		_, err = store.Update(ctx, "counter", tokensession.Record{Data: []byte{rec.Data[0] + 1}, TTL: time.Hour, Version: rec.Version})
		if errors.Is(err, tokensession.ErrConflict) {
			continue
		}
		if err != nil {
			return err
		}
		n--
	}
	return nil
}

// TestPostgresWaitedForLock lets writes wait for a lock until the record's time is up. None
// revives it.
func TestPostgresWaitedForLock(t *testing.T) {
	server := backend.Postgres(t)
	pool := postgresPool(t, server.URL)
	for _, level := range []string{"read committed", "repeatable read"} {
		table := newTable()
		store := openPostgres(t, server.URL, "table", table, "default_transaction_isolation", level)
		for _, end := range []string{"ROLLBACK", "COMMIT"} {
			for name, write := range writes(store) {
				t.Run(level+"/"+end+"/"+name, func(t *testing.T) {
					const ttl = 500 * time.Millisecond
					v, err := store.Create(t.Context(), name, tokensession.Record{TTL: ttl})
					if err != nil {
						t.Fatal(err)
					}
					release := lockRow(t, pool, table, name, end)
					result := make(chan error)
					go func() { result <- write(t.Context(), name, v) }()
					time.Sleep(ttl + 100*time.Millisecond)
					release()
					if err := <-result; !errors.Is(err, tokensession.ErrNotFound) {
						t.Errorf("got %v, want %v", err, tokensession.ErrNotFound)
					}
					if _, err := store.Get(t.Context(), name); !errors.Is(err, tokensession.ErrNotFound) {
						t.Errorf("Get: %v", err)
					}
				})
			}
		}
	}
}

func writes(store tokensession.Store) map[string]func(context.Context, string, tokensession.Version) error {
	return map[string]func(context.Context, string, tokensession.Version) error{
		"Touch": func(ctx context.Context, id string, _ tokensession.Version) error {
			return store.Touch(ctx, id, time.Hour)
		},
		"Update": func(ctx context.Context, id string, v tokensession.Version) error {
			_, err := store.Update(ctx, id, tokensession.Record{TTL: time.Hour, Version: v})
			return err
		},
	}
}

// TestPostgresWaitedAndLives lets them wait while the record lives: they succeed.
func TestPostgresWaitedAndLives(t *testing.T) {
	server := backend.Postgres(t)
	pool := postgresPool(t, server.URL)
	table := newTable()
	store := openPostgres(t, server.URL, "table", table)
	for name, write := range writes(store) {
		v, err := store.Create(t.Context(), name, tokensession.Record{TTL: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		release := lockRow(t, pool, table, name, "COMMIT")
		time.AfterFunc(300*time.Millisecond, release)
		if err := write(t.Context(), name, v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if rec, err := store.Get(t.Context(), name); err != nil || rec.TTL < 30*time.Minute {
			t.Errorf("%s: %v, %v", name, rec.TTL, err)
		}
	}
}

// TestPostgresUpdateBesideDelete lets an Update, which nobody else contradicts, race with a
// Delete. It finds the record or finds it gone; to look for the reason in the same statement
// finds the row that the Delete has removed meanwhile.
func TestPostgresUpdateBesideDelete(t *testing.T) {
	store := openPostgres(t, backend.Postgres(t).URL, "table", newTable())
	for round := range 500 {
		id := fmt.Sprint(round)
		v, err := store.Create(t.Context(), id, tokensession.Record{TTL: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		deleted := make(chan error)
		go func() { deleted <- store.Delete(t.Context(), id) }()
		_, err = store.Update(t.Context(), id, tokensession.Record{TTL: time.Hour, Version: v})
		if err != nil && !errors.Is(err, tokensession.ErrNotFound) {
			t.Errorf("round %d: %v", round, err)
		}
		if err := <-deleted; err != nil {
			t.Error(err)
		}
		if _, err := store.Get(t.Context(), id); !errors.Is(err, tokensession.ErrNotFound) {
			t.Errorf("round %d: it is there after its Delete: %v", round, err)
		}
	}
}

// TestPostgresGetWaitsForTouch has a Touch in flight that found the record alive, when
// others find that its time is up. They wait for what becomes of the Touch.
func TestPostgresGetWaitsForTouch(t *testing.T) {
	server := backend.Postgres(t)
	pool := postgresPool(t, server.URL)
	table := newTable()
	store := openPostgres(t, server.URL, "table", table)
	looks := map[string]func(id string) bool{
		"Get": func(id string) bool {
			_, err := store.Get(t.Context(), id)
			return err == nil
		},
		"Touch": func(id string) bool { return store.Touch(t.Context(), id, time.Hour) == nil },
		"ByOwner": func(id string) bool {
			for e, err := range store.ByOwner(t.Context(), id) {
				return err == nil && e.ID == id
			}
			return false
		},
	}
	for _, end := range []string{"COMMIT", "ROLLBACK"} {
		for name, look := range looks {
			t.Run(end+"/"+name, func(t *testing.T) {
				const ttl = 300 * time.Millisecond
				if _, err := store.Create(t.Context(), name, tokensession.Record{Owner: name, TTL: ttl}); err != nil {
					t.Fatal(err)
				}
				release := lockRow(t, pool, table, name, end, "UPDATE "+pgx.Identifier{table}.Sanitize()+
					" SET expires = clock_timestamp() + interval '1 hour' WHERE id = $1")
				time.Sleep(ttl)
				time.AfterFunc(200*time.Millisecond, release)
				if got, want := look(name), end == "COMMIT"; got != want {
					t.Errorf("found alive: %v, want %v", got, want)
				}
				if err := store.Delete(t.Context(), name); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// lockRow locks a record in a transaction, by a statement if there is one, until release
// is called.
func lockRow(t *testing.T, pool interface {
	Begin(context.Context) (pgx.Tx, error)
}, table, id, end string, by ...string) (release func()) {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sql := "SELECT FROM " + pgx.Identifier{table}.Sanitize() + " WHERE id = $1 FOR UPDATE"
	if len(by) > 0 {
		sql = by[0]
	}
	if tag, err := tx.Exec(t.Context(), sql, id); err != nil || tag.RowsAffected() != 1 {
		t.Fatal(tag, err)
	}
	return func() {
		if end == "COMMIT" {
			err = tx.Commit(context.Background())
		} else {
			err = tx.Rollback(context.Background())
		}
		if err != nil {
			t.Error(err)
		}
	}
}
