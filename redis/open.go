package redis

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/tokensession/tokensession"
)

func init() {
	for _, scheme := range []string{"redis", "rediss"} {
		tokensession.Register(scheme, func(ctx context.Context, url string) (tokensession.Store, error) {
			s, err := Open(ctx, url, nil)
			if err != nil {
				return nil, err // not s: a nil *Store is not a nil Store
			}
			return s, nil
		})
	}
}

// Open connects to the server that a URL such as "redis://localhost:6379/0" names.
func Open(ctx context.Context, url string, opts *Options) (*Store, error) {
	var settings redis.UniversalOptions
	if opts != nil && opts.Client != nil {
		settings = *opts.Client
	}
	var prefix string
	if opts != nil {
		prefix = opts.Prefix
	}
	if err := parseURL(url, &settings, &prefix); err != nil {
		return nil, err
	}
	full := Options{Prefix: prefix}
	if opts != nil {
		full.Logger = opts.Logger
	}
	full, err := full.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return connect(ctx, settings, full)
}

// connect makes a client and a Store that owns it.
func connect(ctx context.Context, settings redis.UniversalOptions, opts Options) (*Store, error) {
	settings.ContextTimeoutEnabled = true
	if settings.PipelinePoolSize == 0 {
		// A second pool, of connections with large buffers, is no use for the
		// two short commands of a Get.
		settings.PipelinePoolSize = -1
	}
	client := redis.NewUniversalClient(&settings)
	s, err := newStore(client, opts)
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	s.owned = true
	s.secrets = []string{settings.Password, settings.SentinelPassword}
	if err := s.Ping(ctx); err != nil {
		// A client of Sentinels does not close while it dials them, and ctx does not
		// end that.
		go s.Close()
		return nil, fmt.Errorf("redis: the server cannot be used: %w", err)
	}
	if err := s.inspect(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}
