package memcache

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/tokensession/tokensession"
)

// leastItemSize holds as much as a Store should hold by rule 2.
const leastItemSize = 512<<10 + 1<<10

func init() {
	tokensession.Register("memcache", func(ctx context.Context, url string) (tokensession.Store, error) {
		s, err := Open(ctx, url, nil)
		if err != nil {
			return nil, err // not s: a nil *Store is not a nil Store
		}
		return s, nil
	})
}

// Open connects to the servers that a URL such as "memcache://localhost:11211" names.
// It fails if one of them does not answer.
func Open(ctx context.Context, url string, opts *Options) (*Store, error) {
	var own Options
	if opts != nil {
		own = *opts
	}
	servers, err := parseURL(url, &own)
	if err != nil {
		return nil, err
	}
	full, err := own.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	most, err := askItemSizes(ctx, servers, full.Timeout)
	if err != nil {
		return nil, err
	}
	full.MaxItemSize = lesser(full.MaxItemSize, most)
	if full.MaxItemSize == 0 {
		full.MaxItemSize = defaultMaxItemSize
	}
	if full.MaxItemSize < leastItemSize {
		full.Logger.Warn("memcache: the server accepts only small sessions; start memcached with a larger -I",
			"bytes", full.MaxItemSize)
	}
	return newStore(newPool(servers, full), full), nil
}

// lesser returns the lesser of two sizes, of which 0 is an unknown one.
func lesser(a, b int) int {
	if a == 0 || b == 0 {
		return a + b
	}
	return min(a, b)
}

// askItemSizes returns the largest item that all servers accept, 0 if none says, or why
// one did not answer.
func askItemSizes(ctx context.Context, servers serverList, timeout time.Duration) (int, error) {
	least := 0
	for _, s := range servers {
		size, err := askItemSize(ctx, s, timeout)
		if err != nil {
			c := call{ctx: ctx, op: "open"}
			return 0, c.outcome(fmt.Errorf("server %s: %w", s, err))
		}
		least = lesser(least, size)
	}
	return least, nil
}

func askItemSize(ctx context.Context, s net.Addr, timeout time.Duration) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var dialer net.Dialer
	nc, err := dialer.DialContext(ctx, s.Network(), s.String())
	if err != nil {
		return 0, err
	}
	defer nc.Close()
	stop := context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	stats, err := askStats(nc, "stats settings")
	if err != nil {
		return 0, err
	}
	size, err := strconv.Atoi(stats["item_size_max"])
	if err != nil || size <= 0 {
		return 0, nil // a proxy, which does not say
	}
	return size, nil
}
