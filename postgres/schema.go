package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// format is the version of the table's shape. formatMark and the number are the table's
	// comment, which pg_dump keeps and every role can read.
	format     = 1
	formatMark = "tokensession format "

	minServer = 14_00_00 // the first that scans a range of pages, which the reaper does
)

// createTable has a fillfactor that leaves room in each page for the new versions of its
// rows, so that a Touch stays in the page and in no index (HOT, heap-only tuples). Rows of a
// kilobyte need that much: with 70, 97.5 % of 200,000 touches on a busy machine were HOT,
// with 50, 99.7 %. For the same reason there is no index on expires: see reap.go.
//
// The index serves ByOwner, page by page. A touch does not change what is in it.
const createTable = `CREATE %[1]sTABLE %[2]s (
	id      text COLLATE "C" PRIMARY KEY,
	owner   text COLLATE "C" NOT NULL, -- '' is nobody
	expires timestamptz NOT NULL,
	version uuid NOT NULL,             -- new with every update
	data    text,                      -- if it is UTF-8 without NUL,
	raw     bytea                      -- else here
) WITH (fillfactor = 50);
CREATE INDEX ON %[2]s (owner, id) WHERE owner <> '';
COMMENT ON TABLE %[2]s IS '%[3]s';
`

// SQL returns the statements that create the schema and the table that opts describe, for
// those who do so themselves.
func SQL(opts *Options) (string, error) {
	full, err := opts.withDefaults()
	if err != nil {
		return "", err
	}
	if full.Schema == defaultSchema {
		return tableSQL(full), nil
	}
	return schemaSQL(full) + ";\n" + tableSQL(full), nil
}

func schemaSQL(opts Options) string {
	return "CREATE SCHEMA IF NOT EXISTS " + pgx.Identifier{opts.Schema}.Sanitize()
}

func tableSQL(opts Options) string {
	unlogged := ""
	if opts.Unlogged {
		unlogged = "UNLOGGED "
	}
	return fmt.Sprintf(createTable, unlogged, tableName(opts), formatMark+strconv.Itoa(format))
}

// tableName is that of the table as SQL has it.
func tableName(opts Options) string {
	return pgx.Identifier{opts.Schema, opts.Table}.Sanitize()
}

// setUp makes sure that the table is there and usable.
func setUp(ctx context.Context, pool *pgxpool.Pool, opts Options) error {
	db, err := look(ctx, pool, opts)
	if err != nil {
		return err
	}
	if !db.hasTable {
		if db, err = create(ctx, pool, opts); err != nil {
			return err
		}
	}
	return db.check(opts)
}

// create creates the table, and its schema, unless somebody did so meanwhile. It returns
// what is there then.
func create(ctx context.Context, pool *pgxpool.Pool, opts Options) (db database, err error) {
	if opts.NoCreate {
		return db, fmt.Errorf("there is no table %s, and NoCreate is set; postgres.SQL returns what creates it", tableName(opts))
	}
	err = pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		// IF NOT EXISTS does not keep two who create the same from failing.
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", tableName(opts)); err != nil {
			return err
		}
		if db, err = look(ctx, tx, opts); err != nil || db.hasTable {
			return err
		}
		if !db.hasSchema {
			if _, err := tx.Exec(ctx, schemaSQL(opts)); err != nil {
				return err
			}
		}
		// The simple protocol takes several statements at once.
		if _, err := tx.Exec(ctx, tableSQL(opts), pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
		db, err = look(ctx, tx, opts)
		return err
	})
	return db, err
}

// database is what is there.
type database struct {
	encoding  string
	version   int // 150018 is 15.18
	standby   bool
	hasSchema bool
	hasTable  bool
	comment   string
	unlogged  bool
	denied    string // what the role may not do with the table
}

// look reads a database.
func look(ctx context.Context, db interface {
	QueryRow(context.Context, string, ...any) pgx.Row
}, opts Options) (found database, err error) {
	err = db.QueryRow(ctx, `
		SELECT current_setting('server_encoding'), current_setting('server_version_num')::int, pg_is_in_recovery(),
			n.oid IS NOT NULL, c.oid IS NOT NULL,
			coalesce(obj_description(c.oid, 'pg_class'), ''), coalesce(c.relpersistence = 'u', false),
			(SELECT coalesce(string_agg(p, ', '), '')
				FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS p
				WHERE NOT has_table_privilege(c.oid, p))
		FROM (SELECT $1::text AS schema, $2::text AS name) AS t
		LEFT JOIN pg_namespace AS n ON n.nspname = t.schema
		LEFT JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = t.name`,
		opts.Schema, opts.Table).Scan(&found.encoding, &found.version, &found.standby,
		&found.hasSchema, &found.hasTable, &found.comment, &found.unlogged, &found.denied)
	return found, err
}

// check says why the store cannot work on a database, which has the table.
func (db database) check(opts Options) error {
	if db.version < minServer {
		return fmt.Errorf("the server's version is %d; 14 is the oldest that this package works with", db.version/1_00_00)
	}
	if db.encoding != "UTF8" && db.encoding != "SQL_ASCII" {
		return fmt.Errorf("the database's encoding is %s; it must be UTF8, or some owners could not be stored", db.encoding)
	}
	if db.standby {
		return errors.New("the server is a standby, which takes no writes; target_session_attrs=read-write in the URL finds the primary of several hosts")
	}
	if err := db.checkFormat(opts); err != nil {
		return err
	}
	if db.denied != "" {
		return fmt.Errorf("the role lacks the right to %s on the table %s", db.denied, tableName(opts))
	}
	if opts.Unlogged && !db.unlogged {
		opts.Logger.Warn("postgres: the table was created without Unlogged and stays so", "table", tableName(opts))
	}
	return nil
}

func (db database) checkFormat(opts Options) error {
	number, ours := strings.CutPrefix(db.comment, formatMark)
	if !ours {
		return fmt.Errorf("the table %s is not this package's: its comment is not %q; choose another Table",
			tableName(opts), formatMark+strconv.Itoa(format))
	}
	if number != strconv.Itoa(format) {
		return fmt.Errorf("the table %s has format %s; this version of the package knows format %d", tableName(opts), number, format)
	}
	return nil
}
