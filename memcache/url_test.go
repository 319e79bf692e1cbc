package memcache

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestParseURL(t *testing.T) {
	for url, want := range map[string]string{
		"memcache://h":                        "[h:11211]",
		"memcache://h1:1,h2:65535":            "[h1:1 h2:65535]",
		"MEMCACHE://h/?":                      "[h:11211]",
		"memcache://[::1]:11212,[fe80::1],h3": "[[::1]:11212 [fe80::1]:11211 h3:11211]",
	} {
		servers, err := parseURL(url, new(Options))
		if got := fmt.Sprint(servers); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", url, got, err, want)
		}
	}
}

func TestParseURLOptions(t *testing.T) {
	var o Options
	_, err := parseURL("memcache://h?prefix=a%3Ab&timeout=2s&max_idle_conns=3&max_item_size=4096", &o)
	if want := (Options{Prefix: "a:b", Timeout: 2 * time.Second, MaxIdleConns: 3, MaxItemSize: 4096}); err != nil || o != want {
		t.Errorf("got %+v, %v; want %+v", o, err, want)
	}
}

func TestParseURLRefuses(t *testing.T) {
	const secret = "hunter2"
	for url, want := range map[string]string{
		"":                                 "does not begin with memcache://",
		"memcache:h":                       "does not begin with memcache://",
		"redis://:" + secret + "@h":        "does not begin with memcache://",
		"memcache://":                      "without a name",
		"memcache://h1,,h2":                "without a name",
		"memcache://h 1":                   "without a name",
		"memcache://:11211":                "without a name",
		"memcache://h:0":                   "port",
		"memcache://h:65536":               "port",
		"memcache://h:" + secret:           "port",
		"memcache://h:":                    "port",
		"memcache://::1":                   "not host:port",
		"memcache://user:" + secret + "@h": "user",
		"memcache://h/" + secret:           "path",
		"memcache://h#" + secret:           "fragment",
		"memcache://h?prefix=%zz" + secret: "malformed",
		"memcache://h?prefix=":             "empty",
		"memcache://h?prefix=a&prefix=b":   "twice",
		"memcache://h?ttl=" + secret:       `unknown option "ttl"; `,
		"memcache://h?timeout=0":           "timeout",
		"memcache://h?timeout=fast":        "timeout",
		"memcache://h?max_idle_conns=-1":   "max_idle_conns",
		"memcache://h?max_item_size=1MiB":  "max_item_size",
		"memcache://h?Prefix=" + secret:    "unknown option",
	} {
		_, err := parseURL(url, new(Options))
		if err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), " in the URL", ""), want) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v; want %q", url, err, want)
		}
	}
}
