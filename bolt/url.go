package bolt

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

const acceptedOptions = "accepted are lock_timeout and bucket"

// parseURL returns the path in rawURL and sets in opts what its options say. It
// never repeats the URL, because somebody may have put a password into it.
func parseURL(rawURL string, opts *Options) (path string, err error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "", errors.New("bolt: the URL is malformed; an example of a good one is bolt:sessions.db")
	}
	if u.Scheme != "bolt" {
		return "", errors.New("bolt: the URL's scheme is not bolt; an example of a good one is bolt:sessions.db")
	}
	if u.User != nil {
		return "", errors.New("bolt: the URL has a user; a file needs none: bolt:sessions.db")
	}
	if u.Host != "" {
		return "", fmt.Errorf("bolt: the URL names the host %q; for a relative path, write bolt:%s", u.Host, u.Host+u.EscapedPath())
	}
	if u.Fragment != "" {
		return "", errors.New("bolt: the URL has a fragment; a # in a path is written %23")
	}
	if path, err = urlPath(u); err != nil {
		return "", err
	}
	return path, parseOptions(u.RawQuery, opts)
}

func urlPath(u *url.URL) (string, error) {
	path := u.Path
	if u.Opaque != "" { // bolt:sessions.db, which net/url leaves encoded
		var err error
		if path, err = url.PathUnescape(u.Opaque); err != nil {
			return "", errors.New("bolt: the URL's path has a % that is not followed by two hexadecimal digits; write it %25")
		}
	}
	if path == "" {
		return "", errors.New("bolt: the URL has no path; an example of a good one is bolt:sessions.db")
	}
	if strings.ContainsRune(path, 0) {
		return "", errors.New("bolt: the URL's path has a NUL")
	}
	return path, nil
}

func parseOptions(query string, opts *Options) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("bolt: the URL's options are malformed; " + acceptedOptions)
	}
	for name, all := range values {
		if len(all) > 1 {
			return fmt.Errorf("bolt: the URL has the option %q twice", name)
		}
		if err := parseOption(name, all[0], opts); err != nil {
			return err
		}
	}
	return nil
}

func parseOption(name, value string, opts *Options) error {
	switch name {
	case "lock_timeout":
		d, err := time.ParseDuration(value)
		if err != nil || d <= 0 {
			return fmt.Errorf("bolt: lock_timeout is %q; it must be a time above zero, such as 2s", value)
		}
		opts.LockTimeout = d
	case "bucket":
		if value == "" {
			return errors.New("bolt: the URL's option bucket is empty")
		}
		opts.Bucket = value
	default:
		return fmt.Errorf("bolt: unknown option %q in the URL; %s", name, acceptedOptions)
	}
	return nil
}
