package redis

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// inspectTimeout is how long New waits for what the servers say of themselves.
const inspectTimeout = time.Second

// inspect warns of servers that lose sessions by their configuration. A server that does
// not answer, or does not allow INFO, is no reason to fail.
func (s *Store) inspect(ctx context.Context) error {
	masters, err := s.masters(ctx)
	if err != nil {
		return nil
	}
	_, cluster := s.client.(*redis.ClusterClient)
	for _, master := range masters {
		info, err := s.info(ctx, master)
		if err != nil {
			continue
		}
		if !cluster && info["redis_mode"] == "cluster" {
			return errors.New("redis: the server is a node of a Cluster; " +
				"the URL of a Cluster has the option cluster=true, and its client is a *redis.ClusterClient")
		}
		s.warn(ctx, master.Options().Addr, info)
	}
	return nil
}

func (s *Store) warn(ctx context.Context, addr string, info map[string]string) {
	if policy := info["maxmemory_policy"]; policy != "" && policy != "noeviction" {
		s.log.WarnContext(ctx, "redis: the server may remove sessions that have not expired: set maxmemory-policy to noeviction",
			"addr", addr, "maxmemory_policy", policy, "maxmemory", info["maxmemory"])
	}
	if info["role"] == "slave" {
		s.log.WarnContext(ctx, "redis: the server is a replica: sessions cannot be written to it",
			"addr", addr, "master", info["master_host"]+":"+info["master_port"])
	}
}

// info returns what a server says of itself, by the names of INFO.
func (s *Store) info(ctx context.Context, server *redis.Client) (map[string]string, error) {
	var cmd *redis.StringCmd
	if err := s.wait(ctx, func() { cmd = server.Info(ctx, "server", "memory", "replication") }); err != nil {
		return nil, err
	}
	info := make(map[string]string)
	for line := range strings.SplitSeq(cmd.Val(), "\r\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			info[name] = value
		}
	}
	return info, cmd.Err()
}
