package memcache

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/tokensession/tokensession"
)

func TestNewRefuses(t *testing.T) {
	client := memcache.New()
	for want, o := range map[string]Options{
		"0x20":     {Prefix: "a b"},
		"negative": {Timeout: -1},
		"is -2":    {MaxItemSize: -2},
		"Conns -3": {MaxIdleConns: -3},
	} {
		if _, err := New(client, &o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v; want %q", o, err, want)
		}
	}
	if _, err := New(nil, nil); err == nil {
		t.Error("a nil client is accepted")
	}
}

// TestNoServers: a client without servers is an outage.
func TestNoServers(t *testing.T) {
	store, err := New(memcache.New(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var unknown *tokensession.OpError
	if _, err := store.Get(t.Context(), "id"); !errors.As(err, &unknown) || !errors.Is(err, memcache.ErrNoServers) {
		t.Errorf("Get: %v", err)
	}
	if _, err := store.Create(t.Context(), "id", tokensession.Record{TTL: time.Hour}); !errors.Is(err, memcache.ErrNoServers) {
		t.Errorf("Create: %v", err)
	}
}

// TestServerList: New and Open find a record on the same server.
func TestServerList(t *testing.T) {
	addresses := []string{"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"}
	var ours serverList
	for _, a := range addresses {
		ours = append(ours, server(a))
	}
	var theirs memcache.ServerList
	if err := theirs.SetServers(addresses...); err != nil {
		t.Fatal(err)
	}
	for n := 1; n < maxKeyLen; n++ {
		key := strings.Repeat("k", n)
		a, err1 := ours.PickServer(key)
		b, err2 := theirs.PickServer(key)
		if err1 != nil || err2 != nil || a.String() != b.String() {
			t.Errorf("key of %d bytes: %v, %v; gomemcache has it on %v, %v", n, a, err1, b, err2)
		}
	}
}
