package integration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/integration/backend"
	"github.com/tokensession/tokensession/postgres"
)

// postgresMethods are calls of every method on the record "id".
func postgresMethods(store *postgres.Store) map[string]func(context.Context) error {
	rec := tokensession.Record{TTL: time.Hour}
	return map[string]func(context.Context) error{
		"Get":    func(ctx context.Context) error { _, err := store.Get(ctx, "id"); return err },
		"Create": func(ctx context.Context) error { _, err := store.Create(ctx, "new", rec); return err },
		"Update": func(ctx context.Context) error { _, err := store.Update(ctx, "id", rec); return err },
		"Touch":  func(ctx context.Context) error { return store.Touch(ctx, "id", time.Hour) },
		"Delete": func(ctx context.Context) error { return store.Delete(ctx, "id") },
		"Len":    func(ctx context.Context) error { _, err := store.Len(ctx); return err },
		"Clear":  store.Clear,
		"All": func(ctx context.Context) error {
			for _, err := range store.All(ctx) {
				if err != nil {
					return err
				}
			}
			return nil
		},
		"ByOwner": func(ctx context.Context) error {
			for _, err := range store.ByOwner(ctx, "owner") {
				return err
			}
			return nil
		},
		"DeleteOwner": func(ctx context.Context) error { _, err := store.DeleteOwner(ctx, "owner"); return err },
		"Ping":        store.Ping,
	}
}

// TestPostgresStalled calls every method of a server that has stopped to answer. The pool has
// room for two connections, so some wait for one.
func TestPostgresStalled(t *testing.T) {
	server := backend.KindPostgres.Start(t)
	store := openPostgres(t, server.URL, "pool_max_conns", "2")
	server.Pause(t)
	for name, call := range postgresMethods(store) {
		for _, busy := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/busy=%v", name, busy), func(t *testing.T) {
				// Once in time shows that the driver does not wait for the server; a
				// machine that is busy may be late.
				for try := 1; ; try++ {
					late := stalledCall(t, store, call, busy)
					if late <= 100*time.Millisecond {
						break
					}
					if try == 3 {
						t.Fatalf("it returned %v after its deadline, three times", late)
					}
				}
			})
		}
	}
	t.Run("canceled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		if _, err := store.Get(ctx, "id"); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
	server.Resume(t)
	if _, err := store.Get(t.Context(), "id"); !errors.Is(err, tokensession.ErrNotFound) {
		t.Errorf("Get after it: %v", err)
	}
}

// stalledCall makes a call that has a deadline, and returns how long after that it
// returned. If the pool is to be busy, others wait for the server too.
func stalledCall(t *testing.T, store *postgres.Store, call func(context.Context) error, busy bool) (late time.Duration) {
	t.Helper()
	deadline := time.Now().Add(150 * time.Millisecond)
	ctx, cancel := context.WithDeadline(t.Context(), deadline)
	defer cancel()
	if busy {
		for range 3 {
			go store.Ping(ctx)
		}
	}
	err := call(ctx)
	late = time.Since(deadline)
	if _, ok := errors.AsType[*tokensession.OpError](err); !ok || !errors.Is(err, context.DeadlineExceeded) || late < 0 {
		t.Errorf("%v after the deadline: %v", late, err)
	}
	return late
}

// TestPostgresRestart restarts the server under a store. While it is down, every call says that
// it does not know; then the records are there, and a pool that was idle has no dead connection
// to offer.
func TestPostgresRestart(t *testing.T) {
	server := backend.KindPostgres.Start(t)
	store := openPostgres(t, server.URL)
	if _, err := store.Create(t.Context(), "id", tokensession.Record{Data: []byte("kept"), TTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
	server.Stop(t)
	for name, call := range postgresMethods(store) {
		if _, ok := errors.AsType[*tokensession.OpError](call(t.Context())); !ok {
			t.Errorf("%s while the server is down: it is no OpError", name)
		}
	}
	server.Restart(t)
	if rec, err := store.Get(t.Context(), "id"); err != nil || string(rec.Data) != "kept" {
		t.Errorf("Get after the restart: %q, %v", rec.Data, err)
	}

	time.Sleep(1100 * time.Millisecond) // from when on pgxpool looks whether a connection lives
	server.Restart(t)
	if err := store.Touch(t.Context(), "id", time.Hour); err != nil {
		t.Errorf("Touch after another one: %v", err)
	}
}

// TestPostgresPgBouncer runs the suite through PgBouncer in transaction mode, where each
// statement may meet another connection of the server.
func TestPostgresPgBouncer(t *testing.T) {
	server := backend.Postgres(t)
	bouncer := startPgBouncer(t, server)
	suite := postgresSuite(func(tb testing.TB, table string) tokensession.Store {
		return openPostgres(tb, bouncer, "table", table, "default_query_exec_mode", "exec")
	})
	suite.Budget = 30 * time.Millisecond
	suite.Run(t)
}

// TestPostgresQueryModes uses every way of pgx to send a statement.
func TestPostgresQueryModes(t *testing.T) {
	server := backend.Postgres(t)
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			store := openPostgres(t, server.URL, "table", newTable(), "default_query_exec_mode", mode)
			for _, data := range []string{"", "text", "\x00\xff"} {
				id := "id" + strconv.Itoa(len(data))
				rec := tokensession.Record{Data: []byte(data), Owner: "owner", TTL: tokensession.Forever}
				v, err := store.Create(t.Context(), id, rec)
				if err != nil {
					t.Fatal(err)
				}
				rec.Version, rec.TTL = v, time.Hour
				if _, err := store.Update(t.Context(), id, rec); err != nil {
					t.Fatal(err)
				}
				got, err := store.Get(t.Context(), id)
				if err != nil || string(got.Data) != data || got.Owner != "owner" || got.TTL > time.Hour+2*time.Microsecond {
					t.Errorf("%+v, %v", got, err)
				}
			}
			for name, call := range postgresMethods(store) {
				if _, unknown := errors.AsType[*tokensession.OpError](call(t.Context())); unknown {
					t.Errorf("%s: %v", name, call(t.Context()))
				}
			}
		})
	}
}

// startPgBouncer starts one in front of a server, and returns a URL for it.
func startPgBouncer(t *testing.T, server *backend.Server) string {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		t.Fatalf("%v; please install it (on Debian and Ubuntu: apt-get install pgbouncer)", err)
	}
	config, err := pgxpool.ParseConfig(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().(*net.TCPAddr)
	listener.Close()

	dir, err := os.MkdirTemp("", "pgbouncer") // not t.TempDir, whose parents only root may enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	c := config.ConnConfig
	users := filepath.Join(dir, "users")
	ini := filepath.Join(dir, "pgbouncer.ini")
	err = errors.Join(
		os.WriteFile(users, fmt.Appendf(nil, "%q %q\n", c.User, c.Password), 0o600),
		os.WriteFile(ini, fmt.Appendf(nil, "[databases]\n* = host=%s port=%d\n[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port=%d\n"+
			"unix_socket_dir=\nauth_type=plain\nauth_file=%s\npool_mode=transaction\ndefault_pool_size=4\n", c.Host, c.Port, addr.Port, users), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(log.String())
		}
	})
	cmd := tied(t, program, ini)
	cmd.Stderr = &log
	if os.Getuid() == 0 { // as whom it refuses to run
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: nobody(t, dir, users, ini)}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		conn, err := net.Dial("tcp", addr.String())
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
	return strings.Replace(server.URL, server.Addr, addr.String(), 1)
}

// nobody gives files to the user nobody, and returns who that is.
func nobody(t *testing.T, files ...string) *syscall.Credential {
	t.Helper()
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if err := os.Chown(name, int(uid), int(gid)); err != nil {
			t.Fatal(err)
		}
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}
