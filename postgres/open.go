package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tokensession/tokensession"
)

func init() {
	open := func(ctx context.Context, url string) (tokensession.Store, error) {
		s, err := Open(ctx, url, nil)
		if err != nil {
			return nil, err // not s: a nil *Store is not a nil Store
		}
		return s, nil
	}
	tokensession.Register("postgres", open)
	tokensession.Register("postgresql", open)
}

// Open connects to the database that a URL such as "postgres://app:secret@host/app" names,
// and creates the table if it is not there. ctx bounds only that.
func Open(ctx context.Context, url string, opts *Options) (*Store, error) {
	full, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	config, err := parseURL(url, &full)
	if err != nil {
		return nil, err
	}
	if err := full.check(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	connections := &connections{open: make(map[*connection]bool)}
	connections.watch(config)
	// The pool keeps its context for as long as it makes connections.
	pool, err := pgxpool.NewWithConfig(context.WithoutCancel(ctx), config)
	if err != nil {
		return nil, explain(ctx, err)
	}
	s, err := newStore(ctx, pool, full)
	if err != nil {
		connections.sever() // or the pool would wait for a server that does not answer
		pool.Close()
		return nil, err
	}
	s.connections = connections
	return s, nil
}

// SQLSTATEs, from appendix A of PostgreSQL's manual.
const (
	divisionByZero         = "22012"
	invalidAuthorization   = "28000"
	invalidPassword        = "28P01"
	invalidCatalogName     = "3D000" // of a database
	serializationFailure   = "40001"
	deadlockDetected       = "40P01"
	insufficientPrivilege  = "42501"
	undefinedObject        = "42704" // of a configuration parameter, when connecting
	protocolViolation      = "08P01" // of the same, by PgBouncer
	undefinedTable         = "42P01"
	readOnlySQLTransaction = "25006"
)

// sqlState returns the SQLSTATE that the server gave for err, "" if it gave none.
func sqlState(err error) string {
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pgErr.Code
	}
	return ""
}

// explain says in words of this package why the store did not open.
func explain(ctx context.Context, err error) error {
	err = withCause(ctx, err)
	switch sqlState(err) {
	case invalidPassword, invalidAuthorization:
		return fmt.Errorf("postgres: the server refuses the user or the password: %w", err)
	case invalidCatalogName:
		return fmt.Errorf("postgres: there is no such database: %w", err)
	case insufficientPrivilege:
		return fmt.Errorf("postgres: the role may not create the table; "+
			"one that may can run what postgres.SQL returns: %w", err)
	case undefinedObject, protocolViolation:
		return fmt.Errorf("postgres: the URL may have an option that neither this package (%s) nor pgx nor the server knows: %w",
			acceptedOptions, err)
	}
	return fmt.Errorf("postgres: %w", err)
}
