package memcache

import (
	"context"
	"net"
	"syscall"
	"time"
)

// conn is a connection of a lane's client to one server. It is replaced under the
// client where the server has closed it.
type conn struct {
	net.Conn
	lane             *lane
	network, address string
	boot             boot
	deadline         time.Time // that is set
	turn             uint64    // of the lane, when the last command began
	raw              syscall.RawConn
}

// connect returns a new connection, for the command under way.
func (l *lane) connect(network, address string) (net.Conn, error) {
	c := &conn{lane: l, network: network, address: address, turn: l.turn}
	if err := c.connect(); err != nil {
		return nil, err
	}
	if err := c.ready(); err != nil {
		_ = c.Close() // nothing was sent on it
		return nil, err
	}
	return c, nil
}

func (c *conn) connect() error {
	dialer := net.Dialer{Deadline: c.lane.deadline}
	nc, err := dialer.DialContext(context.Background(), c.network, c.address)
	if err != nil {
		return err
	}
	if err := c.adopt(nc); err != nil {
		_ = nc.Close() // the first error matters
		return err
	}
	c.lane.pool.notice(c.address, c.boot)
	return nil
}

// adopt makes nc the connection and asks the server for its boot.
func (c *conn) adopt(nc net.Conn) (err error) {
	c.Conn, c.deadline = nc, c.lane.deadline
	if err := nc.SetDeadline(c.deadline); err != nil {
		return err
	}
	if c.raw, err = nc.(syscall.Conn).SyscallConn(); err != nil { // TCP has one
		return err
	}
	c.boot, err = askBoot(nc)
	return err
}

// SetDeadline sets the deadline of the call, whatever the client asks for.
func (c *conn) SetDeadline(time.Time) error {
	if c.deadline.Equal(c.lane.deadline) {
		return nil
	}
	c.deadline = c.lane.deadline
	return c.Conn.SetDeadline(c.deadline)
}

// Write looks at the connection before the first byte of a command.
func (c *conn) Write(p []byte) (int, error) {
	if c.turn != c.lane.turn {
		c.turn = c.lane.turn
		if err := c.prepare(); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(p)
}

// prepare replaces a connection that the server has closed: nothing was sent yet, so
// nothing is sent twice.
func (c *conn) prepare() error {
	if isQuiet(c.raw) {
		return c.ready()
	}
	_ = c.Close() // it is broken
	if err := c.connect(); err != nil {
		return err
	}
	return c.ready()
}

// ready reports whether the command may be sent to the process that is there.
func (c *conn) ready() error {
	c.lane.got = c.boot
	if want := c.lane.want; want != 0 && want != c.boot {
		return errRestarted
	}
	return nil
}
