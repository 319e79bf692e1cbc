package postgres

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// farewell is how long a connection that is closed may take to end in order. pgx allows
	// 15 s, in which it has its place in the pool: where as many as the pool may have
	// went silent, no call got through for that time.
	farewell = 250 * time.Millisecond

	// closeTimeout is how long Close waits for calls.
	closeTimeout = time.Second
)

// connections are those of a pool that Open made, so that they can be ended.
type connections struct {
	mu      sync.Mutex
	open    map[*connection]bool
	severed bool
}

// connection tells when it is closed.
type connection struct {
	net.Conn
	of *connections
}

// watch lets a pool of this configuration, which pgx made from a URL, have connections of c.
func (c *connections) watch(config *pgxpool.Config) {
	dial := config.ConnConfig.DialFunc
	config.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return c.add(conn)
	}
	config.BeforeClose = hasten
}

// hasten ends a connection that pgx is about to close once its time is up.
func hasten(conn *pgx.Conn) {
	go func() {
		timer := time.NewTimer(farewell)
		defer timer.Stop()
		select {
		case <-conn.PgConn().CleanupDone():
		case <-timer.C:
			_ = conn.PgConn().Conn().Close() // it is given up
		}
	}()
}

func (c *connections) add(conn net.Conn) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.severed {
		_ = conn.Close() // it has not been used
		return nil, net.ErrClosed
	}
	added := &connection{conn, c}
	c.open[added] = true
	return added, nil
}

func (c *connection) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// sever ends all connections, and lets there be no new ones.
func (c *connections) sever() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.severed = true
	for conn := range c.open {
		_ = conn.Conn.Close() // who uses it is told
	}
}
