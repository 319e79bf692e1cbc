package postgres

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	acceptedOptions = "its own are table, schema, unlogged, no_create and reap_interval"
	example         = "an example of a good one is postgres://user:password@host:5432/database"
)

// parseURL returns the pool that rawURL describes and sets in opts what its options say.
// It shows neither the URL nor an error of pgx, in which the password may be.
func parseURL(rawURL string, opts *Options) (*pgxpool.Config, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("postgres: the URL is malformed, or a character in its password is not percent-encoded; " + example)
	}
	if u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return nil, errors.New("postgres: the URL's scheme is neither postgres nor postgresql; " + example)
	}
	if u.Opaque != "" || u.Fragment != "" {
		return nil, errors.New("postgres: the URL has no // or a #, which is written %23; " + example)
	}
	if u.RawQuery, err = takeOptions(u.RawQuery, opts); err != nil {
		return nil, err
	}
	config, err := pgxpool.ParseConfig(u.String())
	if err != nil {
		return nil, errors.New("postgres: the URL's host, port or an option has a value that pgx does not understand, " +
			"or a file that it names cannot be read; " + example)
	}
	if params := config.ConnConfig.RuntimeParams; params["application_name"] == "" {
		params["application_name"] = "tokensession"
	}
	return config, nil
}

// takeOptions sets in opts what the options of this package say, and returns the query
// without them, which is pgx's. As there, a plus sign is one.
func takeOptions(query string, opts *Options) (rest string, err error) {
	var others []string
	seen := make(map[string]bool)
	for option := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(option, "=")
		if value, err = url.PathUnescape(value); err != nil {
			return "", fmt.Errorf("postgres: the URL's option %q has a %% that is not followed by two hexadecimal digits; write it %%25", name)
		}
		taken, err := takeOption(name, value, opts)
		if err != nil {
			return "", err
		}
		if !taken {
			others = append(others, option)
			continue
		}
		if seen[name] {
			return "", fmt.Errorf("postgres: the URL has the option %q twice", name)
		}
		seen[name] = true
	}
	return strings.Join(others, "&"), nil
}

// takeOption sets an option if it is this package's.
func takeOption(name, value string, opts *Options) (taken bool, err error) {
	switch name {
	case "table":
		err = setName(&opts.Table, name, value)
	case "schema":
		err = setName(&opts.Schema, name, value)
	case "unlogged":
		err = setBool(&opts.Unlogged, name, value)
	case "no_create":
		err = setBool(&opts.NoCreate, name, value)
	case "reap_interval":
		opts.ReapInterval, err = time.ParseDuration(value)
		if err != nil || opts.ReapInterval <= 0 {
			err = fmt.Errorf("postgres: reap_interval is %q; it must be a time above zero, such as 5m", value)
		}
	default:
		return false, nil
	}
	return true, err
}

func setName(field *string, name, value string) error {
	if value == "" {
		return fmt.Errorf("postgres: the URL's option %s is empty", name)
	}
	*field = value
	return nil
}

func setBool(field *bool, name, value string) (err error) {
	if *field, err = strconv.ParseBool(value); err != nil {
		return fmt.Errorf("postgres: %s is %q; it must be true or false", name, value)
	}
	return nil
}
