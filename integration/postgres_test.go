package integration

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/integration/backend"
	"github.com/tokensession/tokensession/postgres"
	"github.com/tokensession/tokensession/storetest"
)

// TestPostgres runs the suite on stores that Open made, and so in the default mode of pgx.
func TestPostgres(t *testing.T) {
	server := backend.Postgres(t)
	suite := postgresSuite(func(tb testing.TB, table string) tokensession.Store {
		return openPostgres(tb, server.URL, "table", table)
	})
	suite.Network = func(tb testing.TB) (string, func(string) tokensession.Store) {
		table := newTable()
		return server.Addr, func(addr string) tokensession.Store {
			return openPostgres(tb, strings.Replace(server.URL, server.Addr, addr, 1), "table", table)
		}
	}
	suite.Secrets = []string{passwordOf(t, server.URL)}
	suite.Run(t)
}

func passwordOf(tb testing.TB, rawURL string) string {
	tb.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		tb.Fatal(err)
	}
	password, ok := u.User.Password()
	if !ok {
		tb.Fatal("the URL has no password")
	}
	return password
}

// TestPostgresBorrowed runs it on stores that share one pool.
func TestPostgresBorrowed(t *testing.T) {
	pool := postgresPool(t, backend.Postgres(t).URL)
	suite := postgresSuite(func(tb testing.TB, table string) tokensession.Store {
		return newPostgres(tb, pool, &postgres.Options{Schema: `a "quoted" Schema`, Table: table})
	})
	suite.Budget = 50 * time.Millisecond
	suite.Run(t)
	if err := pool.Ping(t.Context()); err != nil {
		t.Errorf("the pool that was borrowed: %v", err)
	}
}

// postgresSuite describes the stores that open makes.
func postgresSuite(open func(tb testing.TB, table string) tokensession.Store) storetest.Suite {
	return storetest.Suite{
		New:          func(tb testing.TB) tokensession.Store { return open(tb, newTable()) },
		Capabilities: storetest.AllCapabilities,
		Reopen: func(tb testing.TB) func() tokensession.Store {
			table := newTable()
			return func() tokensession.Store { return open(tb, table) }
		},
		Namespaces: func(tb testing.TB, a, b string) (tokensession.Store, tokensession.Store) {
			unique := newTable()
			return open(tb, unique+a), open(tb, unique+b)
		},
		Shared:      true,
		Granularity: 2 * time.Microsecond,
		TooLarge:    64<<20 + 1,
	}
}

var tables atomic.Int64

// newTable returns a name that no other test has, on a server that they share. It is one that
// must be quoted.
func newTable() string { return fmt.Sprintf(`T"%d'`, tables.Add(1)) }

// withParams adds parameters, name and value in turn, to a URL.
func withParams(tb testing.TB, rawURL string, params ...string) string {
	tb.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		tb.Fatal(err)
	}
	for i := 0; i < len(params); i += 2 {
		// To pgx, as to libpq, a plus sign is no space.
		u.RawQuery += "&" + params[i] + "=" + strings.ReplaceAll(url.QueryEscape(params[i+1]), "+", "%20")
	}
	return u.String()
}

// openPostgres opens a store by a URL with more parameters.
func openPostgres(tb testing.TB, rawURL string, params ...string) *postgres.Store {
	tb.Helper()
	store, err := postgres.Open(tb.Context(), withParams(tb, rawURL, params...), nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { store.Close() })
	return store
}

func newPostgres(tb testing.TB, pool *pgxpool.Pool, opts *postgres.Options) *postgres.Store {
	tb.Helper()
	store, err := postgres.New(pool, opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { store.Close() })
	return store
}

func postgresPool(tb testing.TB, url string) *pgxpool.Pool {
	tb.Helper()
	pool, err := pgxpool.New(context.Background(), url)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(pool.Close)
	return pool
}
