package memcache

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	defaultPort = "11211"

	goodURL         = "an example of a good one is memcache://localhost:11211"
	acceptedOptions = "accepted are prefix, timeout, max_idle_conns and max_item_size"
)

// parseURL returns the servers in rawURL and sets in opts what its options say. It
// never repeats the URL, because somebody may have put a password into it. It does not
// use url.Parse, which accepts no list of servers.
func parseURL(rawURL string, opts *Options) (serverList, error) {
	scheme, rest, ok := strings.Cut(rawURL, "://")
	if !ok || !strings.EqualFold(scheme, "memcache") {
		return nil, errors.New("memcache: the URL does not begin with memcache://; " + goodURL)
	}
	if strings.Contains(rest, "#") {
		return nil, errors.New("memcache: the URL has a fragment; a # in a prefix is written %23")
	}
	hosts, query, _ := strings.Cut(rest, "?")
	servers, err := parseServers(strings.TrimSuffix(hosts, "/"))
	if err != nil {
		return nil, err
	}
	return servers, parseOptions(query, opts)
}

func parseServers(list string) (serverList, error) {
	if strings.Contains(list, "@") {
		return nil, errors.New("memcache: the URL has a user, which the protocol has not; " + goodURL)
	}
	if strings.Contains(list, "/") {
		return nil, errors.New("memcache: the URL has a path; " + goodURL)
	}
	var servers serverList
	for s := range strings.SplitSeq(list, ",") {
		host, port, err := splitHostPort(s)
		if err != nil {
			return nil, err
		}
		servers = append(servers, server(net.JoinHostPort(host, port)))
	}
	return servers, nil
}

func splitHostPort(s string) (host, port string, err error) {
	host, port = s, defaultPort
	if !strings.Contains(s, ":") || strings.HasSuffix(s, "]") {
		host = strings.Trim(s, "[]")
	} else if host, port, err = net.SplitHostPort(s); err != nil {
		return "", "", errors.New("memcache: the URL has a server that is not host:port; " + goodURL)
	}
	if host == "" || strings.ContainsAny(host, " %") {
		return "", "", errors.New("memcache: the URL has a server without a name, or with one that no host has; " + goodURL)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", "", errors.New("memcache: the URL has a port that is not a number from 1 to 65535; " + goodURL)
	}
	return host, port, nil
}

func parseOptions(query string, opts *Options) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("memcache: the URL's options are malformed; " + acceptedOptions)
	}
	for name, all := range values {
		if len(all) > 1 {
			return fmt.Errorf("memcache: the URL has the option %q twice", name)
		}
		if err := parseOption(name, all[0], opts); err != nil {
			return err
		}
	}
	return nil
}

func parseOption(name, value string, opts *Options) (err error) {
	switch name {
	case "prefix":
		if value == "" {
			return errors.New("memcache: the URL's option prefix is empty")
		}
		opts.Prefix = value
	case "timeout":
		opts.Timeout, err = time.ParseDuration(value)
		if err != nil || opts.Timeout <= 0 {
			return fmt.Errorf("memcache: timeout is %q; it must be a time above zero, such as 2s", value)
		}
	case "max_idle_conns":
		opts.MaxIdleConns, err = parseCount(name, value)
	case "max_item_size":
		opts.MaxItemSize, err = parseCount(name, value)
	default:
		return fmt.Errorf("memcache: unknown option %q in the URL; %s", name, acceptedOptions)
	}
	return err
}

func parseCount(name, value string) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("memcache: %s is %q; it must be a whole number above zero", name, value)
	}
	return n, nil
}
