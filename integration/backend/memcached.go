package backend

import (
	"strings"
	"syscall"

	"github.com/testcontainers/testcontainers-go"
)

// KindMemcached is empty after a restart.
var KindMemcached = &Kind{
	name: "memcache",

	image: "memcached:1.6",
	port:  "11211/tcp",
	run:   module(testcontainers.Run),

	program: "memcached",
	debian:  "memcached",
	args: func(_, port string) []string {
		return []string{"-l", loopback, "-p", port}
	},
	signals: signals{stop: syscall.SIGTERM, kill: syscall.SIGKILL},

	url: func(addr string) string { return "memcache://" + addr },
	version: func(url string) (string, error) {
		return askVersion(strings.TrimPrefix(url, "memcache://"), "version\r\n", "VERSION ")
	},
}
