package memory

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/tokensession/tokensession"
)

func init() {
	tokensession.Register("memory", func(ctx context.Context, rawURL string) (tokensession.Store, error) {
		s, err := Open(ctx, rawURL, nil)
		if err != nil {
			return nil, err // and no Store that holds a nil *Store
		}
		return s, nil
	})
}

// Open is [New] with a URL, for applications that take their store from their
// configuration. The URL is
//
//	memory:
//	memory:?max_records=1000
//
// where max_records stands for [Options.MaxRecords] and takes its place. There is no
// host and no path: every Open makes a store of its own.
func Open(ctx context.Context, rawURL string, options *Options) (*Store, error) {
	var o Options
	if options != nil {
		o = *options
	}
	if err := o.parse(rawURL); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return New(&o), nil
}

// parse sets the options that rawURL has.
func (o *Options) parse(rawURL string) error {
	scheme, rest, _ := strings.Cut(rawURL, ":")
	if !strings.EqualFold(scheme, "memory") {
		return badURL("another scheme")
	}
	address, query, _ := strings.Cut(rest, "?")
	if address != "" {
		return badURL("a host or a path")
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return badURL("a malformed query") // err quotes it
	}
	for name, value := range values {
		if name != "max_records" {
			return badURL("an unknown option")
		}
		n, err := strconv.Atoi(value[0])
		if err != nil || n < 0 || len(value) > 1 {
			return badURL("a max_records that is not one whole number")
		}
		o.MaxRecords = n
	}
	return nil
}

// badURL is about a URL that has what is not accepted. It does not show the URL,
// which may hold a password if it was meant for another driver.
func badURL(has string) error {
	return fmt.Errorf(`memory: open: the URL has %s; accepted are "memory:" and "memory:?max_records=N", `+
		`where N is 0 (no bound) or more`, has)
}
