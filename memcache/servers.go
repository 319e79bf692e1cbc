package memcache

import (
	"hash/crc32"
	"net"
)

// serverList finds the server of a key as [memcache.ServerList] does, so that New and
// Open agree. Unlike that, it leaves names to be looked up for each connection, in the
// time of the call.
type serverList []net.Addr

// server is the host and port of a server.
type server string

func (server) Network() string  { return "tcp" }
func (s server) String() string { return string(s) }

// PickServer returns the server that has key.
func (l serverList) PickServer(key string) (net.Addr, error) {
	if len(l) == 1 {
		return l[0], nil
	}
	return l[crc32.ChecksumIEEE([]byte(key))%uint32(len(l))], nil
}

// Each calls f with each server until it fails.
func (l serverList) Each(f func(net.Addr) error) error {
	for _, addr := range l {
		if err := f(addr); err != nil {
			return err
		}
	}
	return nil
}
