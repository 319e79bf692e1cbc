package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tokensession/tokensession"
)

// The suite runs on real servers, in the module integration. Here is what needs none.

func TestOptions(t *testing.T) {
	for why, opts := range map[string]Options{
		"ReapInterval is -1s":  {ReapInterval: -time.Second},
		"Table has 64 bytes":   {Table: strings.Repeat("x", 64)},
		`Table is "a\x00b"`:    {Table: "a\x00b"},
		`Schema is "\xff"`:     {Schema: "\xff"},
		"Schema has 100 bytes": {Schema: strings.Repeat("é", 50)},
	} {
		if _, err := New(nil, &opts); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%v; want %q in it", err, why)
		}
		if _, err := SQL(&opts); err == nil {
			t.Errorf("SQL accepts what is refused because %q", why)
		}
	}
	if _, err := New(nil, nil); err == nil || !strings.Contains(err.Error(), "the pool is nil") {
		t.Errorf("got %v", err)
	}
}

func TestURLIsRefused(t *testing.T) {
	for url, why := range map[string]string{
		"mysql://u:hidden@h/d":                                      "neither postgres nor postgresql",
		"postgres://u:hid den@h/d":                                  "malformed",
		"postgres://u:hidden%@h/d":                                  "malformed",
		"postgres://u:hidden@h:port/d":                              "malformed",
		"postgres://u:hidden@h:99999/d":                             "a value that pgx does not understand",
		"postgres:u:hidden@h/d":                                     "no //",
		"postgres://u:hidden@h/d#x":                                 "a #",
		"postgres://u:hidden@h/d?table=":                            "table is empty",
		"postgres://u:hidden@h/d?table=a&table=b":                   "twice",
		"postgres://u:hidden@h/d?table=%zz":                         "%",
		"postgres://u:hidden@h/d?unlogged=perhaps":                  "unlogged is",
		"postgres://u:hidden@h/d?no_create=2":                       "no_create is",
		"postgres://u:hidden@h/d?reap_interval=0":                   "reap_interval is",
		"postgres://u:hidden@h/d?reap_interval=daily":               "reap_interval is",
		"postgres://u:hidden@h/d?sslmode=hidden":                    "pgx does not understand",
		"postgres://u:hidden@h/d?pool_max_conns=hidden":             "pgx does not understand",
		"postgres://u@h/d?password=hidden&pool_max_conns=many":      "pgx does not understand",
		"postgres://u:hidden@h/d?default_query_exec_mode=no":        "pgx does not understand",
		"postgres://u:hidden@h/d?schema=" + strings.Repeat("x", 64): "Schema has 64 bytes",
	} {
		_, err := Open(t.Context(), url, nil)
		if err == nil || !strings.HasPrefix(err.Error(), "postgres: ") || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v; want %q in it", url, err, why)
		}
		if err != nil && strings.Contains(err.Error(), "hid") {
			t.Errorf("the password is in %q", err)
		}
	}
}

func TestURL(t *testing.T) {
	var opts Options
	config, err := parseURL("postgresql://u:p%40ss@h:1234/d?table=a%22%26b&schema=s+t&unlogged=true"+
		"&statement_timeout=5s&no_create=1&reap_interval=90s&pool_max_conns=7&search_path=a+b", &opts)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Options{Table: `a"&b`, Schema: "s+t", Unlogged: true, NoCreate: true, ReapInterval: 90 * time.Second}); opts != want {
		t.Errorf("got %+v, want %+v", opts, want)
	}
	conn := config.ConnConfig
	if conn.Host != "h" || conn.Port != 1234 || conn.Password != "p@ss" || config.MaxConns != 7 {
		t.Errorf("pgx was given %s:%d, %q, %d connections", conn.Host, conn.Port, conn.Password, config.MaxConns)
	}
	for name, want := range map[string]string{"statement_timeout": "5s", "search_path": "a+b", "application_name": "tokensession"} {
		if got := conn.RuntimeParams[name]; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestOpenWithDoneContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, "postgres://u:p@h/d", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestRegistered(t *testing.T) {
	for _, scheme := range []string{"postgres", "postgresql"} {
		store, err := tokensession.Open(t.Context(), scheme+"://u:p@h/d?reap_interval=x")
		if store != nil || err == nil || !strings.Contains(err.Error(), "reap_interval") {
			t.Errorf("%s: %v, %v", scheme, store, err)
		}
	}
}

func TestSQL(t *testing.T) {
	for want, opts := range map[string]*Options{
		`CREATE TABLE "public"."tokensession" (`:  nil,
		`CREATE UNLOGGED TABLE "public"."T" (`:    {Table: "T", Unlogged: true},
		`CREATE SCHEMA IF NOT EXISTS "a""b";`:     {Schema: `a"b`},
		`COMMENT ON TABLE "a"."it's" IS 'tokense`: {Schema: "a", Table: "it's"},
	} {
		if got, err := SQL(opts); err != nil || !strings.Contains(got, want) {
			t.Errorf("%v in\n%s\nwant %s", err, got, want)
		}
	}
	if got, _ := SQL(nil); strings.Contains(got, "SCHEMA") {
		t.Errorf("it creates the schema public, which takes a right, though it is always there:\n%s", got)
	}
}

// A TTL is never rounded down, although the clock that it is added to is.
func TestInterval(t *testing.T) {
	for ttl, want := range map[time.Duration]int64{
		1:                                2,
		time.Microsecond:                 2,
		time.Microsecond + 1:             3,
		time.Hour:                        3_600_000_001,
		tokensession.MaxTTL:              tokensession.MaxTTL.Microseconds() + 1,
		tokensession.MaxTTL - 1:          tokensession.MaxTTL.Microseconds() + 1,
		tokensession.MaxTTL - 1000 - 999: tokensession.MaxTTL.Microseconds(),
	} {
		if got := interval(ttl); !got.Valid || got.Microseconds != want || got.Days != 0 || got.Months != 0 {
			t.Errorf("%d ns: %+v, want %d µs", ttl, got, want)
		}
	}
	if interval(tokensession.Forever).Valid {
		t.Error("Forever has an end")
	}
}

func TestColumns(t *testing.T) {
	for data, legible := range map[string]bool{
		"": true, `{"name":"Jürgen"}`: true, "\x01\n": true,
		"\x00": false, "a\x00": false, "\xff": false, "\xed\xa0\x80": false,
	} {
		text, raw := columns([]byte(data))
		if (text != nil) != legible || (raw != nil) == legible {
			t.Errorf("%q: %v, %v", data, text, raw)
		}
	}
	if text, raw := columns(nil); text == nil || raw != nil {
		t.Error("nil is not stored as empty text")
	}
}

func TestVersions(t *testing.T) {
	v := newVersion()
	if got := parseVersion(tokensession.Version(v.Bytes[:])); got != v {
		t.Errorf("%v became %v", v, got)
	}
	for _, foreign := range []string{"", "x", strings.Repeat("x", 15), strings.Repeat("x", 17)} {
		if parseVersion(tokensession.Version(foreign)).Valid {
			t.Errorf("%q is taken for a Version", foreign)
		}
	}
}

// call sends again what had no effect, and nothing else.
func TestCall(t *testing.T) {
	unsent := &unsentError{}
	sqlErr := func(code string) error { return fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: code}) }
	for _, c := range []struct {
		name   string
		errs   []error
		calls  int
		target error
	}{
		{"success", []error{nil}, 1, nil},
		{"sentinel", []error{tokensession.ErrConflict}, 1, tokensession.ErrConflict},
		{"serialization failure", []error{sqlErr("40001"), sqlErr("40001"), sqlErr("40P01"), nil}, 4, nil},
		{"dead connection", []error{unsent, nil}, 2, nil},
		{"two dead connections", []error{unsent, unsent, nil}, 2, unsent},
		{"unknown", []error{errors.ErrUnsupported, nil}, 1, errors.ErrUnsupported},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := 0
			err := new(Store).call(t.Context(), "update", "0123456789", func() error { n++; return c.errs[n-1] })
			if n != c.calls || !errors.Is(err, c.target) {
				t.Errorf("%d calls, %v; want %d, %v", n, err, c.calls, c.target)
			}
			if err != nil && strings.Contains(err.Error(), "89") {
				t.Errorf("too much of the id is in it: %v", err)
			}
		})
	}
}

// A server that fails every try does not keep a call beyond its context.
func TestCallEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	err := new(Store).call(ctx, "touch", "id", func() error { return &pgconn.PgError{Code: "40001"} })
	if opErr, ok := errors.AsType[*tokensession.OpError](err); !ok || opErr.Driver != "postgres" || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

type unsentError struct{}

func (*unsentError) Error() string     { return "conn closed" }
func (*unsentError) SafeToRetry() bool { return true }
