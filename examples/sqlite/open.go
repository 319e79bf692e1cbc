package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"

	_ "modernc.org/sqlite" // the driver of database/sql

	"github.com/tokensession/tokensession"
)

func init() {
	tokensession.Register("sqlite", func(ctx context.Context, url string) (tokensession.Store, error) {
		s, err := Open(ctx, url, nil)
		if err != nil {
			return nil, err
		}
		return s, nil
	})
}

// maxConns is how many calls read at the same time. Each connection keeps a file open.
const maxConns = 8

// Open opens the file that a URL names, and creates it where there is none:
//
//	sqlite:sessions.db
//	sqlite:/var/lib/app/sessions.db?namespace=web
//
// A namespace in the URL comes before that of opts.
func Open(ctx context.Context, rawURL string, opts *Options) (*Store, error) {
	var full Options
	if opts != nil {
		full = *opts
	}
	path, err := parseURL(rawURL, &full)
	if err != nil {
		return nil, err
	}
	// SQLite would let everybody read the file, and gives its log the mode of the file.
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, outcome(ctx, "open", "", err)
	}
	file.Close()
	db, err := sql.Open("sqlite", dsn(path))
	if err != nil {
		return nil, outcome(ctx, "open", "", err)
	}
	db.SetMaxOpenConns(maxConns)
	db.SetMaxIdleConns(maxConns)
	s, err := newStore(ctx, db, &full)
	if err != nil {
		db.Close()
		return nil, err
	}
	s.owned = true
	return s, nil
}

// dsn names the file at path as modernc.org/sqlite wants it. busy_timeout comes first,
// because the change to WAL takes a lock.
func dsn(path string) string {
	u := url.URL{Scheme: "file", OmitHost: true, Path: path}
	u.RawQuery = "_busy_timeout=5000&_journal_mode=WAL&_synchronous=FULL"
	return u.String()
}

// parseURL returns the path in rawURL and sets in opts what its options say. It never
// repeats the URL, because somebody may have put a password into it.
func parseURL(rawURL string, opts *Options) (path string, err error) {
	const example = "; a good one is sqlite:sessions.db or sqlite:/var/lib/app/sessions.db?namespace=web"
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "sqlite" {
		return "", errors.New("sqlite: the URL is malformed, or its scheme is not sqlite" + example)
	}
	path = u.Path
	if u.Opaque != "" { // sqlite:sessions.db, which net/url leaves encoded
		if path, err = url.PathUnescape(u.Opaque); err != nil {
			return "", errors.New("sqlite: in the URL's path, a % is not followed by two hexadecimal digits" + example)
		}
	}
	if path == "" || u.Host != "" || u.User != nil || u.Fragment != "" {
		return "", errors.New("sqlite: the URL must be of a path, and has a host, a user, a fragment or no path" + example)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return "", errors.New("sqlite: the URL's options are malformed" + example)
	}
	for name, values := range query {
		if name != "namespace" || len(values) > 1 {
			return "", fmt.Errorf("sqlite: the URL has the option %q, %d times; accepted is namespace, once", name, len(values))
		}
		opts.Namespace = values[0]
	}
	return path, nil
}
