package integration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/integration/backend"
	"github.com/tokensession/tokensession/redis"
)

// A Cluster and Sentinels tell their clients the addresses of others, which in containers
// are not those that this process can reach. They are local processes, however
// the other servers run.

// localRedis starts a redis-server on a free port, which ends with the test.
func localRedis(t *testing.T, args ...string) (addr string) {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("a Cluster and Sentinels need redis-server; on Debian and Ubuntu, apt-get install redis-server: ", err)
	}
	for range 5 {
		if addr, err = tryRedis(t, program, args); err == nil {
			return addr
		}
	}
	t.Fatal(err)
	return ""
}

func tryRedis(t *testing.T, program string, args []string) (addr string, err error) {
	port := freeRedisPort(t)
	dir := t.TempDir()
	args = append(slices.Clone(args), "--port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--logfile", filepath.Join(dir, "log"))
	if err := tied(t, program, args...).Start(); err != nil {
		return "", err
	}
	addr = net.JoinHostPort("127.0.0.1", port)
	if err := awaitRedis(t, addr); err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		return "", fmt.Errorf("redis-server %s: %w\n%s", strings.Join(args, " "), err, log)
	}
	return addr, nil
}

// freeRedisPort returns a port that is free together with the one 10000 above it, which
// a node of a Cluster takes for the others.
func freeRedisPort(t *testing.T) string {
	t.Helper()
	for range 50 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := 10000 + l.Addr().(*net.TCPAddr).Port%15000
		l.Close()
		if bindable(port) && bindable(port+10000) {
			return fmt.Sprint(port)
		}
	}
	t.Fatal("no two ports are free")
	return ""
}

func bindable(port int) bool {
	l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port))
	if err != nil {
		return false
	}
	l.Close()
	return true
}

func awaitRedis(t *testing.T, addr string) error {
	client := goredis.NewClient(&goredis.Options{Addr: addr})
	defer client.Close()
	var err error
	for range 200 {
		if err = client.Ping(t.Context()).Err(); err == nil {
			return nil
		}
		time.Sleep(25 * time.Millisecond)
	}
	return err
}

// redisCluster starts a Cluster of three masters and returns its URL.
func redisCluster(t *testing.T) (url string, addrs []string) {
	t.Helper()
	backend.SkipExcluded(t, "redis")
	for range 3 {
		addrs = append(addrs, localRedis(t, "--cluster-enabled", "yes"))
	}
	redisCLI(t, append([]string{"--cluster", "create", "--cluster-yes"}, addrs...)...)
	for range 400 {
		if !slices.ContainsFunc(addrs, func(addr string) bool { return !clusterOK(t, addr) }) {
			return "redis://" + addrs[0] + "?cluster=true", addrs
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatal("the Cluster did not come up")
	return "", nil
}

func clusterOK(t *testing.T, addr string) bool {
	client := goredis.NewClient(&goredis.Options{Addr: addr})
	defer client.Close()
	return strings.Contains(client.ClusterInfo(t.Context()).Val(), "cluster_state:ok")
}

func redisCLI(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "redis-cli", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("redis-cli %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestRedisCluster(t *testing.T) {
	url, _ := redisCluster(t)
	redisSuite(url).Run(t)
}

// A Cluster of one node, whose address the clients learn from it, behind a network that breaks.
func TestRedisClusterOutages(t *testing.T) {
	backend.SkipExcluded(t, "redis")
	node := localRedis(t, "--cluster-enabled", "yes")
	host, port, _ := net.SplitHostPort(node)
	redisCLI(t, "-h", host, "-p", port, "cluster", "addslotsrange", "0", "16383")
	waitUntil(t, "the Cluster is up", func() bool { return clusterOK(t, node) })
	suite := redisSuite("redis://" + node + "?cluster=true")
	suite.Budget = 20 * time.Millisecond
	suite.IOTimeout = impatience
	suite.Network = func(tb testing.TB) (string, func(string) tokensession.Store) {
		prefix := newRedisPrefix()
		return node, func(addr string) tokensession.Store {
			var dialer net.Dialer
			client := &goredis.UniversalOptions{Dialer: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, addr)
			}}
			url := "redis://" + node + "?cluster=true"
			if addr != node {
				url += "&read_timeout=" + impatience.String()
			}
			return openRedisWith(tb, withPrefix(url, prefix), &redis.Options{Client: client})
		}
	}
	suite.Run(t)
}

// While slots move, to and fro, nothing is missed: records are found, by their ids and
// by their owners, are updated and touched, and go when they are deleted.
func TestRedisClusterReshard(t *testing.T) {
	url, addrs := redisCluster(t)
	store := openRedis(t, url, newRedisPrefix())
	const n, owners = 300, 7
	ids := make(map[string]string) // to owner
	for i := range n {
		id, owner := fmt.Sprint("id", i), fmt.Sprint("owner", i%owners)
		ids[id] = owner
		createRedis(t, store, id, owner, time.Hour)
	}

	var over sync.WaitGroup
	stop := make(chan struct{})
	over.Go(func() {
		defer close(stop)
		for round := range 3 {
			from, to := addrs[round%3], addrs[(round+1)%3]
			redisCLI(t, "--cluster", "reshard", from, "--cluster-from", nodeID(t, from), "--cluster-to", nodeID(t, to),
				"--cluster-slots", "2500", "--cluster-yes")
		}
	})
	defer over.Wait()
	checks, writes := 0, 0
	for done := false; !done; {
		select {
		case <-stop:
			done = true
		default:
		}
		for o := range owners {
			owner := fmt.Sprint("owner", o)
			seen := make(map[string]bool)
			for e, err := range store.ByOwner(t.Context(), owner) {
				if err != nil {
					t.Fatalf("ByOwner: %v", err)
				}
				seen[e.ID] = true
			}
			for id, is := range ids {
				if is == owner && !seen[id] {
					t.Fatalf("ByOwner missed %s of %s", id, owner)
				}
			}
			checks++
		}
		for id, owner := range ids {
			if writes++; writes%10 == 0 {
				break
			}
			rec, err := store.Get(t.Context(), id)
			if err != nil {
				t.Fatalf("Get: %v", err)
			}
			rec.Owner, rec.TTL = owner, time.Hour
			if rec.Data = nil; writes%2 == 0 {
				rec.Data = largeRedis
			}
			if _, err := store.Update(t.Context(), id, rec); err != nil {
				t.Fatalf("Update: %v", err)
			}
			if err := store.Touch(t.Context(), id, time.Hour); err != nil {
				t.Fatalf("Touch: %v", err)
			}
		}
	}
	t.Logf("%d ByOwner, %d Updates during the reshard", checks, writes)
	if got, err := store.DeleteOwner(t.Context(), "owner0"); err != nil || got != (n+owners-1)/owners {
		t.Errorf("DeleteOwner: %d, %v", got, err)
	}
}

func nodeID(t *testing.T, addr string) string {
	host, port, _ := net.SplitHostPort(addr)
	return strings.TrimSpace(redisCLI(t, "-h", host, "-p", port, "cluster", "myid"))
}

// A node of a Cluster that is opened as a single server would refuse most records.
func TestRedisClusterNodeAlone(t *testing.T) {
	_, addrs := redisCluster(t)
	if _, err := redis.Open(t.Context(), "redis://"+addrs[0], nil); err == nil || !strings.Contains(err.Error(), "cluster=true") {
		t.Errorf("Open of a node as a single server: %v", err)
	}
}

// Behind Sentinel, the store follows the master: after a failover it goes on with the
// records that were replicated.
func TestRedisSentinel(t *testing.T) {
	backend.SkipExcluded(t, "redis")
	master := localRedis(t)
	host, port, _ := net.SplitHostPort(master)
	replica := localRedis(t, "--replicaof", host, port)
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("sentinel monitor main %s %s 1\nsentinel down-after-milliseconds main 300\nsentinel failover-timeout main 3000\n", host, port)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	sentinel := localRedis(t, conf, "--sentinel")
	waitUntil(t, "the replica is linked and known", func() bool {
		c := goredis.NewClient(&goredis.Options{Addr: replica})
		defer c.Close()
		s := goredis.NewSentinelClient(&goredis.Options{Addr: sentinel})
		defer s.Close()
		known, err := s.Replicas(t.Context(), "main").Result()
		return err == nil && len(known) == 1 && strings.Contains(c.Info(t.Context(), "replication").Val(), "master_link_status:up")
	})

	store := openRedis(t, "redis://"+sentinel+"?master_name=main", newRedisPrefix())
	createRedis(t, store, "id", "owner", time.Hour)
	waitUntil(t, "the record is replicated", func() bool {
		c := goredis.NewClient(&goredis.Options{Addr: replica})
		defer c.Close()
		return c.DBSize(t.Context()).Val() == 2
	})
	s := goredis.NewSentinelClient(&goredis.Options{Addr: sentinel})
	defer s.Close()
	if err := s.Failover(t.Context(), "main").Err(); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the store writes to the new master", func() bool {
		rec, err := store.Get(t.Context(), "id")
		if err == nil {
			_, err = store.Update(t.Context(), "id", rec)
		}
		if errors.Is(err, tokensession.ErrNotFound) {
			t.Fatalf("during a failover: %v", err)
		}
		c := goredis.NewClient(&goredis.Options{Addr: replica})
		defer c.Close()
		return err == nil && strings.Contains(c.Info(t.Context(), "replication").Val(), "role:master")
	})
}

func waitUntil(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not after 30 s: %s", what)
		}
	}
}

func createRedis(t testing.TB, store tokensession.Store, id, owner string, ttl time.Duration) tokensession.Version {
	t.Helper()
	v, err := store.Create(t.Context(), id, tokensession.Record{Data: []byte("data of " + id), Owner: owner, TTL: ttl})
	if err != nil {
		t.Fatal(err)
	}
	return v
}
