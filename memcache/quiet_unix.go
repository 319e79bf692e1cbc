//go:build unix

package memcache

import "syscall"

// isQuiet reports whether nothing has come in on an idle connection: neither its
// end, nor bytes that nobody asked for.
func isQuiet(c syscall.RawConn) bool {
	quiet := false
	err := c.Read(func(fd uintptr) bool {
		var b [1]byte
		_, err := syscall.Read(int(fd), b[:])
		quiet = err == syscall.EAGAIN || err == syscall.EWOULDBLOCK
		return true // do not wait
	})
	return err == nil && quiet
}
