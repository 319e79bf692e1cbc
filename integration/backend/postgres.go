package backend

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
	postgresmodule "github.com/testcontainers/testcontainers-go/modules/postgres"
)

// postgresPassword is that of the superuser, on every server of this process.
var postgresPassword = rand.Text()

// KindPostgres keeps its data over a restart.
var KindPostgres = &Kind{
	name: "postgres",

	image: "postgres:18",
	port:  "5432/tcp",
	env:   map[string]string{"POSTGRES_PASSWORD": postgresPassword},
	run:   module(postgresmodule.Run),

	program: "postgres",
	debian:  "postgresql",
	dirs:    "/usr/lib/postgresql/*/bin", // Debian puts no server's programs into PATH
	prepare: initdb,
	args: func(dir, port string) []string {
		// As the module of testcontainers has it, nothing has to outlive the machine.
		return []string{
			"-D", filepath.Join(dir, "data"), "-p", port,
			"-c", "listen_addresses=" + loopback, "-c", "unix_socket_directories=", "-c", "fsync=off",
		}
	},
	// SIGTERM would wait for the clients to leave. SIGQUIT ends the server's children
	// too, and frees its shared memory.
	signals: signals{stop: syscall.SIGINT, kill: syscall.SIGQUIT},

	url: func(addr string) string {
		return fmt.Sprintf("postgres://postgres:%s@%s/postgres?sslmode=disable", postgresPassword, addr)
	},
	version: func(url string) (string, error) {
		ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
		defer cancel()
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			return "", err
		}
		defer conn.Close(ctx)
		// Debian adds the package's version: "15.14 (Debian 15.14-0+deb12u1)".
		version, _, _ := strings.Cut(conn.PgConn().ParameterStatus("server_version"), " ")
		return version, nil
	},
}

// initdb makes the server's files, with a superuser who needs the password.
func initdb(postgres, dir string) error {
	secret := filepath.Join(dir, "password")
	if err := errors.Join(os.WriteFile(secret, []byte(postgresPassword), 0o600), giveAway(secret)); err != nil {
		return err
	}
	cmd := command(filepath.Join(filepath.Dir(postgres), "initdb"), dir, "-D", filepath.Join(dir, "data"),
		"--username=postgres", "--pwfile="+secret, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return os.Remove(secret)
}
