package redis

import (
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const goodURL = "an example of a good one is redis://user:password@localhost:6379/0"

// parseURL sets what rawURL says in o and prefix. It never repeats more of the URL than
// the name of an option, because what looks like a host or a path may be a password that
// is not encoded.
func parseURL(rawURL string, o *redis.UniversalOptions, prefix *string) error {
	u, err := url.Parse(rawURL)
	if err != nil {
		return errors.New("redis: the URL is malformed; what is special in a password is percent-encoded; " + goodURL)
	}
	if u.Scheme != "redis" && u.Scheme != "rediss" {
		return errors.New("redis: the URL's scheme is neither redis nor rediss; " + goodURL)
	}
	if u.Opaque != "" || u.Fragment != "" {
		return errors.New("redis: the URL has no // or has a #, which in a password is written %23; " + goodURL)
	}
	o.Addrs = []string{address(u)}
	if u.User != nil {
		o.Username = u.User.Username()
		o.Password, _ = u.User.Password()
	}
	if err := parsePath(u.Path, o); err != nil {
		return err
	}
	if u.Scheme == "rediss" {
		o.TLSConfig = withTLS(o.TLSConfig)
	}
	if err := parseOptions(u.RawQuery, o, prefix); err != nil {
		return err
	}
	return checkMode(o)
}

func address(u *url.URL) string {
	host, port := u.Hostname(), u.Port()
	if host == "" {
		host = "localhost"
	}
	if port == "" {
		port = "6379"
	}
	return net.JoinHostPort(host, port)
}

func parsePath(path string, o *redis.UniversalOptions) error {
	path = strings.Trim(path, "/")
	if path == "" {
		return nil
	}
	db, err := strconv.Atoi(path)
	if err != nil || db < 0 {
		return errors.New("redis: the URL's path is not the number of a database; " + goodURL)
	}
	o.DB = db
	return nil
}

// withTLS returns a copy of c, or a new configuration. The name that a certificate
// must have is that of the server dialed, which is not always that of the URL.
func withTLS(c *tls.Config) *tls.Config {
	if c == nil {
		return &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return c.Clone()
}

// checkMode refuses options that have no meaning together.
func checkMode(o *redis.UniversalOptions) error {
	cluster := o.MasterName == "" && (o.IsClusterMode || len(o.Addrs) > 1)
	switch {
	case cluster && o.DB != 0:
		return fmt.Errorf("redis: a Cluster has no database but 0; the URL says %d", o.DB)
	case o.ReadOnly || o.RouteByLatency || o.RouteRandomly:
		return errors.New("redis: Options.Client reads from replicas, which may not know the latest state yet")
	case o.MasterName == "" && (o.SentinelUsername != "" || o.SentinelPassword != ""):
		return errors.New("redis: the URL has a user of Sentinels but no master_name")
	}
	return nil
}

// setter sets an option to a value; false is a value that is none.
type setter func(o *redis.UniversalOptions, value string) bool

// settings are the options of a URL that go-redis knows too, but master_name,
// which makes what is listed first an address of Sentinels.
var settings = map[string]setter{
	"addr":                 addAddress,
	"cluster":              boolean(func(o *redis.UniversalOptions, v bool) { o.IsClusterMode = v }),
	"master_name":          text(func(o *redis.UniversalOptions) *string { return &o.MasterName }),
	"sentinel_username":    text(func(o *redis.UniversalOptions) *string { return &o.SentinelUsername }),
	"sentinel_password":    text(func(o *redis.UniversalOptions) *string { return &o.SentinelPassword }),
	"client_name":          text(func(o *redis.UniversalOptions) *string { return &o.ClientName }),
	"skip_verify":          boolean(skipVerify),
	"db":                   number(0, func(o *redis.UniversalOptions) *int { return &o.DB }),
	"protocol":             number(2, func(o *redis.UniversalOptions) *int { return &o.Protocol }),
	"pool_size":            number(1, func(o *redis.UniversalOptions) *int { return &o.PoolSize }),
	"min_idle_conns":       number(0, func(o *redis.UniversalOptions) *int { return &o.MinIdleConns }),
	"max_idle_conns":       number(0, func(o *redis.UniversalOptions) *int { return &o.MaxIdleConns }),
	"max_active_conns":     number(0, func(o *redis.UniversalOptions) *int { return &o.MaxActiveConns }),
	"max_retries":          number(-1, func(o *redis.UniversalOptions) *int { return &o.MaxRetries }),
	"max_redirects":        number(-1, func(o *redis.UniversalOptions) *int { return &o.MaxRedirects }),
	"dialer_retries":       number(1, func(o *redis.UniversalOptions) *int { return &o.DialerRetries }),
	"dial_timeout":         duration(func(o *redis.UniversalOptions) *time.Duration { return &o.DialTimeout }),
	"read_timeout":         duration(func(o *redis.UniversalOptions) *time.Duration { return &o.ReadTimeout }),
	"write_timeout":        duration(func(o *redis.UniversalOptions) *time.Duration { return &o.WriteTimeout }),
	"pool_timeout":         duration(func(o *redis.UniversalOptions) *time.Duration { return &o.PoolTimeout }),
	"conn_max_idle_time":   duration(func(o *redis.UniversalOptions) *time.Duration { return &o.ConnMaxIdleTime }),
	"conn_max_lifetime":    duration(func(o *redis.UniversalOptions) *time.Duration { return &o.ConnMaxLifetime }),
	"min_retry_backoff":    duration(func(o *redis.UniversalOptions) *time.Duration { return &o.MinRetryBackoff }),
	"max_retry_backoff":    duration(func(o *redis.UniversalOptions) *time.Duration { return &o.MaxRetryBackoff }),
	"dialer_retry_timeout": duration(func(o *redis.UniversalOptions) *time.Duration { return &o.DialerRetryTimeout }),
}

func parseOptions(query string, o *redis.UniversalOptions, prefix *string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("redis: the URL's options are malformed; " + acceptedOptions())
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if len(values[name]) > 1 && name != "addr" {
			return fmt.Errorf("redis: the URL has the option %q twice", name)
		}
		for _, value := range values[name] {
			if err := parseOption(name, value, o, prefix); err != nil {
				return err
			}
		}
	}
	return nil
}

func parseOption(name, value string, o *redis.UniversalOptions, prefix *string) error {
	if name == "prefix" && value != "" {
		*prefix = value
		return nil
	}
	set, known := settings[name]
	if !known && name != "prefix" {
		return fmt.Errorf("redis: unknown option %q in the URL; %s", name, acceptedOptions())
	}
	if name == "prefix" || !set(o, value) {
		return fmt.Errorf("redis: the URL's option %s has a value that cannot be used", name)
	}
	return nil
}

func acceptedOptions() string {
	names := slices.AppendSeq([]string{"prefix"}, maps.Keys(settings))
	slices.Sort(names)
	return "accepted are " + strings.Join(names, ", ")
}

func addAddress(o *redis.UniversalOptions, value string) bool {
	host, port, err := net.SplitHostPort(value)
	o.Addrs = append(o.Addrs, value)
	return err == nil && host != "" && port != ""
}

func skipVerify(o *redis.UniversalOptions, v bool) {
	if o.TLSConfig != nil {
		o.TLSConfig.InsecureSkipVerify = v
	}
}

func text(field func(*redis.UniversalOptions) *string) setter {
	return func(o *redis.UniversalOptions, value string) bool {
		*field(o) = value
		return value != ""
	}
}

func boolean(set func(*redis.UniversalOptions, bool)) setter {
	return func(o *redis.UniversalOptions, value string) bool {
		v, err := strconv.ParseBool(value)
		set(o, v)
		return err == nil
	}
}

func number(least int, field func(*redis.UniversalOptions) *int) setter {
	return func(o *redis.UniversalOptions, value string) bool {
		n, err := strconv.Atoi(value)
		*field(o) = n
		return err == nil && n >= least
	}
}

// duration accepts what go-redis does, seconds without a unit included, but none that
// switches a timeout off.
func duration(field func(*redis.UniversalOptions) *time.Duration) setter {
	return func(o *redis.UniversalOptions, value string) bool {
		if _, err := strconv.Atoi(value); err == nil {
			value += "s"
		}
		d, err := time.ParseDuration(value)
		*field(o) = d
		return err == nil && d > 0
	}
}
