package backend

import (
	"strings"
	"syscall"

	redismodule "github.com/testcontainers/testcontainers-go/modules/redis"
)

// KindRedis keeps its data over a restart: Redis saves when it is told to stop.
var KindRedis = &Kind{
	name: "redis",

	image: "redis:8",
	port:  "6379/tcp",
	run:   module(redismodule.Run),

	program: "redis-server",
	debian:  "redis-server",
	args: func(dir, port string) []string {
		return []string{"--bind", loopback, "--port", port, "--dir", dir}
	},
	signals: signals{stop: syscall.SIGTERM, kill: syscall.SIGKILL},

	url: func(addr string) string { return "redis://" + addr },
	version: func(url string) (string, error) {
		// While Redis loads its data, it answers INFO, but not PING.
		return askVersion(strings.TrimPrefix(url, "redis://"), "PING\r\nINFO server\r\n", "redis_version:")
	},
}
