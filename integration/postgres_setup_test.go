package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/integration/backend"
	"github.com/tokensession/tokensession/postgres"
)

func mustExec(tb testing.TB, pool *pgxpool.Pool, sql string, args ...any) {
	tb.Helper()
	if len(args) == 0 {
		args = []any{pgx.QueryExecModeSimpleProtocol}
	}
	if _, err := pool.Exec(context.Background(), sql, args...); err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
}

// newRole creates a role without rights, and returns a URL for it.
func newRole(tb testing.TB, admin *pgxpool.Pool, rawURL string) string {
	tb.Helper()
	name := fmt.Sprintf("role%d", tables.Add(1))
	mustExec(tb, admin, "CREATE ROLE "+name+" LOGIN PASSWORD 'roles-secret'")
	u, err := url.Parse(rawURL)
	if err != nil {
		tb.Fatal(err)
	}
	u.User = url.UserPassword(name, "roles-secret")
	return u.String()
}

func roleOf(tb testing.TB, rawURL string) string {
	tb.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		tb.Fatal(err)
	}
	return u.User.Username()
}

// mustRefuse checks that Open fails, says why, and keeps the password to itself.
func mustRefuse(t *testing.T, rawURL, why string) {
	t.Helper()
	store, err := postgres.Open(t.Context(), rawURL, nil)
	if err == nil {
		store.Close()
		t.Fatal("it was opened")
	}
	if !strings.HasPrefix(err.Error(), "postgres: ") || !strings.Contains(err.Error(), why) {
		t.Errorf("%v; want %q in it", err, why)
	}
	if u, _ := url.Parse(rawURL); u != nil && u.User != nil {
		if password, _ := u.User.Password(); strings.Contains(err.Error(), password) {
			t.Errorf("the password is in it: %v", err)
		}
	}
}

func TestPostgresBadInput(t *testing.T) {
	server := backend.Postgres(t)
	good, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	wrong := *good
	wrong.User = url.UserPassword("postgres", "not-the-password")
	none := *good
	none.Path = "/nowhere"
	t.Run("password", func(t *testing.T) { mustRefuse(t, wrong.String(), "refuses the user or the password") })
	t.Run("database", func(t *testing.T) { mustRefuse(t, none.String(), `there is no such database`) })
	t.Run("option", func(t *testing.T) {
		mustRefuse(t, withParams(t, server.URL, "tabel", "x"), `unrecognized configuration parameter "tabel"`)
	})
	t.Run("closed port", func(t *testing.T) {
		mustRefuse(t, "postgres://u:hidden@127.0.0.1:1/x?sslmode=disable", "connection refused")
	})
	t.Run("silent server", func(t *testing.T) {
		silent, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		began := time.Now()
		_, err = postgres.Open(ctx, "postgres://u:hidden@"+silent.Addr().String()+"/x?sslmode=disable", nil)
		if !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took > 300*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
	t.Run("encoding", func(t *testing.T) {
		admin := postgresPool(t, server.URL)
		mustExec(t, admin, "CREATE DATABASE latin1 ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
		other := *good
		other.Path = "/latin1"
		mustRefuse(t, other.String(), "encoding is LATIN1")
	})
}

// TestPostgresConcurrentOpens opens a store in a schema that is not there, from all sides.
func TestPostgresConcurrentOpens(t *testing.T) {
	server := backend.Postgres(t)
	schema, table := newTable(), newTable()
	var opening sync.WaitGroup
	for range 12 {
		opening.Go(func() {
			store, err := postgres.Open(t.Context(), withParams(t, server.URL, "schema", schema, "table", table), nil)
			if err != nil {
				t.Error(err)
				return
			}
			store.Close()
		})
	}
	opening.Wait()
}

// TestPostgresWithoutDDL runs what SQL returns as an administrator. A role that may do no
// more than use the table then can.
func TestPostgresWithoutDDL(t *testing.T) {
	server := backend.Postgres(t)
	admin := postgresPool(t, server.URL)
	opts := &postgres.Options{Schema: newTable(), Table: newTable(), NoCreate: true}
	appURL := newRole(t, admin, server.URL)
	app := postgresPool(t, appURL)
	refused := func(why string) {
		t.Helper()
		if _, err := postgres.New(app, opts); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%v; want %q in it", err, why)
		}
	}
	refused("NoCreate is set")
	opts.NoCreate = false
	refused("the role may not create the table")

	sql, err := postgres.SQL(opts)
	if err != nil {
		t.Fatal(err)
	}
	mustExec(t, admin, sql)
	refused("lacks the right to SELECT, INSERT, UPDATE, DELETE")
	name := pgx.Identifier{opts.Schema, opts.Table}.Sanitize()
	schema := pgx.Identifier{opts.Schema}.Sanitize()
	mustExec(t, admin, "GRANT USAGE ON SCHEMA "+schema+" TO "+roleOf(t, appURL)+
		"; GRANT SELECT, INSERT, UPDATE, DELETE ON "+name+" TO "+roleOf(t, appURL))

	store := newPostgres(t, app, opts)
	if _, err := store.Create(t.Context(), "id", tokensession.Record{Owner: "o", TTL: time.Hour}); err != nil {
		t.Error(err)
	}
	if n, err := store.DeleteOwner(t.Context(), "o"); n != 1 || err != nil {
		t.Errorf("DeleteOwner = %d, %v", n, err)
	}
	if err := store.Clear(t.Context()); err != nil {
		t.Error(err)
	}

	mustExec(t, admin, "REVOKE UPDATE ON "+name+" FROM "+roleOf(t, appURL))
	err = store.Touch(t.Context(), "id", time.Hour)
	if opErr, ok := errors.AsType[*tokensession.OpError](err); !ok || opErr.Op != "touch" || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("Touch without the right to: %v", err)
	}
	mustExec(t, admin, "DROP TABLE "+name)
	if err := store.Delete(t.Context(), "id"); err == nil || !strings.Contains(err.Error(), "the table was removed") {
		t.Errorf("Delete without a table: %v", err)
	}
}

// TestPostgresFormats opens tables that are a later version's or somebody else's, and finds
// them as they were.
func TestPostgresFormats(t *testing.T) {
	server := backend.Postgres(t)
	admin := postgresPool(t, server.URL)
	for comment, why := range map[string]string{
		"tokensession format 2": "has format 2; this version of the package knows format 1",
		"customers":             "is not this package's",
	} {
		table := newTable()
		name := pgx.Identifier{table}.Sanitize()
		mustExec(t, admin, "CREATE TABLE "+name+" (precious text); INSERT INTO "+name+" VALUES ('kept'); COMMENT ON TABLE "+name+" IS '"+comment+"'")
		mustRefuse(t, withParams(t, server.URL, "table", table), why)
		var kept string
		if err := admin.QueryRow(t.Context(), "SELECT precious FROM "+name).Scan(&kept); err != nil || kept != "kept" {
			t.Errorf("%q, %v", kept, err)
		}
	}
}

func TestPostgresUnlogged(t *testing.T) {
	server := backend.Postgres(t)
	table := newTable()
	openPostgres(t, server.URL, "table", table, "unlogged", "true")
	persistence := func(table string) (p string) {
		err := postgresPool(t, server.URL).QueryRow(t.Context(),
			"SELECT relpersistence::text FROM pg_class WHERE relname = $1", table).Scan(&p)
		if err != nil {
			t.Error(err)
		}
		return p
	}
	if got := persistence(table); got != "u" {
		t.Errorf("the table is %q, want u", got)
	}

	logged := newTable()
	openPostgres(t, server.URL, "table", logged)
	var log bytes.Buffer
	newPostgres(t, postgresPool(t, server.URL), &postgres.Options{Table: logged, Unlogged: true,
		Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if got := persistence(logged); got != "p" || !strings.Contains(log.String(), "without Unlogged") {
		t.Errorf("the table is %q, want p; logged %q", got, &log)
	}
}

// TestPostgresLegible reads the table as a person does.
func TestPostgresLegible(t *testing.T) {
	server := backend.Postgres(t)
	table := newTable()
	store := openPostgres(t, server.URL, "table", table)
	const data = `{"name":"Jürgen","cart":[1,2]}`
	for id, data := range map[string]string{"json": data, "binary": "\x00\xff"} {
		if _, err := store.Create(t.Context(), id, tokensession.Record{Data: []byte(data), Owner: "alice", TTL: time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	// In the simple protocol, as psql does: everything is text.
	conn, err := pgx.Connect(t.Context(), withParams(t, server.URL, "default_query_exec_mode", "simple_protocol"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), "SELECT data FROM "+pgx.Identifier{table}.Sanitize()+" WHERE id = 'json'")
	if err != nil || !rows.Next() {
		t.Fatal(err, rows.Err())
	}
	if got := string(rows.RawValues()[0]); got != data {
		t.Errorf("it reads %s", got)
	}
}

// TestPostgresTimeZones shares a table among clients in different time zones.
func TestPostgresTimeZones(t *testing.T) {
	server := backend.Postgres(t)
	table := newTable()
	zones := []string{"America/New_York", "UTC", "Asia/Kolkata"}
	for i, zone := range zones {
		store := openPostgres(t, server.URL, "table", table, "timezone", zone)
		for _, other := range zones[:i] {
			if rec, err := store.Get(t.Context(), other); err != nil || rec.TTL > time.Hour+time.Millisecond || rec.TTL < 59*time.Minute {
				t.Errorf("from %s, seen in %s: %v, %v", other, zone, rec.TTL, err)
			}
		}
		if _, err := store.Create(t.Context(), zone, tokensession.Record{TTL: time.Hour}); err != nil {
			t.Error(err)
		}
	}
}
