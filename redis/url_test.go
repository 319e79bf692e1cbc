package redis

import (
	"context"
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tokensession/tokensession"
)

func TestParseURL(t *testing.T) {
	for _, c := range []struct {
		url  string
		want func(o redis.UniversalOptions, prefix string) bool
	}{
		{"redis://", func(o redis.UniversalOptions, _ string) bool {
			return o.Addrs[0] == "localhost:6379" && o.TLSConfig == nil && o.DB == 0
		}},
		{"redis://u:p%40%2Fw@[::1]:7000/3", func(o redis.UniversalOptions, _ string) bool {
			return o.Addrs[0] == "[::1]:7000" && o.Username == "u" && o.Password == "p@/w" && o.DB == 3
		}},
		{"rediss://h?skip_verify=true", func(o redis.UniversalOptions, _ string) bool {
			return o.TLSConfig.InsecureSkipVerify && o.TLSConfig.MinVersion == tls.VersionTLS12
		}},
		{"redis://a:1?addr=b:2&addr=c:3", func(o redis.UniversalOptions, _ string) bool {
			return slices.Equal(o.Addrs, []string{"a:1", "b:2", "c:3"}) && o.MasterName == ""
		}},
		{"redis://:p@a?master_name=m&sentinel_password=s&db=2&sentinel_username=t", func(o redis.UniversalOptions, _ string) bool {
			return o.MasterName == "m" && o.Password == "p" && o.SentinelUsername == "t" && o.SentinelPassword == "s" && o.DB == 2
		}},
		{"redis://a?cluster=true", func(o redis.UniversalOptions, _ string) bool { return o.IsClusterMode }},
		{"redis://a?prefix=x%20*:&pool_size=7&read_timeout=3&dial_timeout=200ms", func(o redis.UniversalOptions, prefix string) bool {
			return prefix == "x *:" && o.PoolSize == 7 && o.ReadTimeout == 3*time.Second && o.DialTimeout == 200*time.Millisecond
		}},
	} {
		var o redis.UniversalOptions
		var prefix string
		if err := parseURL(c.url, &o, &prefix); err != nil || !c.want(o, prefix) {
			t.Errorf("%s: %+v, prefix %q, %v", c.url, o, prefix, err)
		}
	}
}

// What is wrong with a URL is said without the secret in it, wherever that stands.
func TestParseURLErrors(t *testing.T) {
	for url, want := range map[string]string{
		"redis://:s3cret@h:x":                             "malformed",
		"redis://:s3/cret@h":                              "malformed",
		"redis://user:12/s3cret@h":                        "database",
		"redis://h/0#s3cret":                              "#",
		"redis:s3cret":                                    "//",
		"http://:s3cret@h":                                "scheme",
		"redis://:s3cret@h/x":                             "database",
		"redis://:s3cret@h/-1":                            "database",
		"redis://:s3cret@h?colour=red":                    `"colour" in the URL; accepted are addr, client_name, cluster,`,
		"redis://:s3cret@h?pool_size=s3cret":              "pool_size",
		"redis://:s3cret@h?pool_size=0":                   "pool_size",
		"redis://:s3cret@h?read_timeout=0":                "read_timeout",
		"redis://:s3cret@h?read_timeout=-1":               "read_timeout",
		"redis://:s3cret@h?addr=s3cret":                   "addr",
		"redis://:s3cret@h?cluster=s3cret":                "cluster",
		"redis://:s3cret@h?prefix=":                       "prefix",
		"redis://:s3cret@h?prefix=a&prefix=b":             "twice",
		"redis://:s3cret@h?%zz":                           "malformed",
		"redis://:s3cret@h/1?cluster=true":                "database",
		"redis://:s3cret@h?sentinel_password=s3cret":      "master_name",
		"redis://:s3cret@h?prefix=a%7Bb":                  "{",
		"redis://:s3cret@h?username=s3cret":               "username",
		"redis://:s3cret@h?route_by_latency=true":         "route_by_latency",
		"redis://:s3cret@h?master_name=m&master_name=m":   "twice",
		"redis://:s3cret@h?db=x":                          "db",
		"redis://:s3cret@h?skip_verify=perhaps":           "skip_verify",
		"rediss://:s3cret@h?context_timeout_enabled=true": "context_timeout_enabled",
	} {
		store, err := tokensession.Open(context.Background(), url)
		if store != nil || err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") && !strings.HasPrefix(url, "http") {
			t.Errorf("%s: %v, want something with %q", url, err, want)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(canceled, "redis://localhost:1", nil); err != context.Canceled {
		t.Errorf("a context that is done: %v", err)
	}
	replicas := &Options{Client: &redis.UniversalOptions{RouteRandomly: true}}
	if _, err := Open(t.Context(), "redis://localhost:1", replicas); err == nil || !strings.Contains(err.Error(), "replicas") {
		t.Errorf("a client that reads from replicas: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	ring := redis.NewRing(&redis.RingOptions{})
	defer ring.Close()
	replicas := redis.NewClusterClient(&redis.ClusterOptions{ReadOnly: true})
	defer replicas.Close()
	client := redis.NewClient(&redis.Options{})
	defer client.Close()
	for want, refused := range map[string]func() (*Store, error){
		"is nil":         func() (*Store, error) { return New(nil, nil) },
		"client is nil":  func() (*Store, error) { return New((*redis.Client)(nil), nil) },
		"*redis.Ring":    func() (*Store, error) { return New(ring, nil) },
		"replicas":       func() (*Store, error) { return New(replicas, nil) },
		`"a{b" contains`: func() (*Store, error) { return New(client, &Options{Prefix: "a{b"}) },
	} {
		if s, err := refused(); s != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want something with %q", err, want)
		}
	}
}

// Redis quotes what it does not know, and that may be a password or an id.
func TestErrorsAreDiscreet(t *testing.T) {
	s := &Store{secrets: []string{"", "hunter2"}}
	err := s.outcome(t.Context(), "get", "0123456789abcdef",
		fmt.Errorf("ERR unknown command 'x', with args beginning with: 'hunter2' 'tokensession:{1}s:0123456789abcdef'"))
	if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "012345678") {
		t.Error(err)
	}
}
