package memcache

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
)

const maxStats = 64 << 10 // many times what a server says of itself

// askBoot asks the server at the other end which process it is. The answer is 0 if it
// does not say, as a proxy.
func askBoot(nc net.Conn) (boot, error) {
	stats, err := askStats(nc, "stats")
	if err != nil {
		return 0, err
	}
	pid, err1 := strconv.ParseUint(stats["pid"], 10, 31)
	now, err2 := strconv.ParseUint(stats["time"], 10, 63)
	uptime, err3 := strconv.ParseUint(stats["uptime"], 10, 63)
	if err1 != nil || err2 != nil || err3 != nil || uptime > now {
		return 0, nil
	}
	// Both grow by the same ticks, so that the difference stays. It fits in 33 bits
	// for as long as anybody cares.
	return boot((now-uptime)<<31 | pid), nil
}

// askStats sends a stats command on a connection on which nothing else is going on.
func askStats(nc net.Conn, cmd string) (map[string]string, error) {
	if _, err := io.WriteString(nc, cmd+"\r\n"); err != nil {
		return nil, err
	}
	stats := make(map[string]string)
	lines := bufio.NewScanner(io.LimitReader(nc, maxStats))
	for lines.Scan() {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		switch {
		case word == "STAT":
			name, value, _ := strings.Cut(rest, " ")
			stats[name] = value
		case word == "END", strings.HasSuffix(word, "ERROR"):
			return stats, nil
		default:
			return nil, fmt.Errorf("the server does not speak as memcached: it replies %.40q", lines.Text())
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	return nil, io.ErrUnexpectedEOF
}
