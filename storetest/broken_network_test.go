package storetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/internal/history"
)

// brokenClient is a way for a client to get its network wrong, and the checks that find it.
type brokenClient struct {
	name  string
	spoil func(*client) tokensession.Store
	fails string
}

var brokenClients = []brokenClient{
	{"an outage reads as an absence", func(s *client) tokensession.Store {
		s.outage = func(_ context.Context, m message, err error) (message, error) {
			if m.Op == "Get" {
				return m, tokensession.ErrNotFound
			}
			return m, err
		}
		return s
	}, "12/refused 12/connections 12/reads 13/deadline 13/canceled 18/stalled"},

	{"an outage reads as an empty list", func(s *client) tokensession.Store {
		good := s.outage
		s.outage = func(ctx context.Context, m message, err error) (message, error) {
			if m.Op == "All" {
				return m, nil
			}
			return good(ctx, m, err)
		}
		return s
	}, "12/refused 12/reads 13/deadline 13/canceled 18/stalled"},

	{"a Delete that is not answered succeeds", func(s *client) tokensession.Store {
		good := s.outage
		s.outage = func(ctx context.Context, m message, err error) (message, error) {
			if m.Op == "Delete" {
				return m, nil
			}
			return good(ctx, m, err)
		}
		return s
	}, "12/refused 12/late 13/deadline 13/canceled 18/stalled"},

	{"half an answer is a corrupt record", func(s *client) tokensession.Store {
		good := s.outage
		s.outage = func(ctx context.Context, m message, err error) (message, error) {
			if strings.Contains(err.Error(), "unexpected EOF") {
				return m, tokensession.ErrCorrupt
			}
			return good(ctx, m, err)
		}
		return s
	}, "12/reads 14/lost_create 14/lost_update 14/lost_touch 14/lost_delete"},

	{"deadlines are ignored", func(s *client) tokensession.Store {
		s.deadline = func(_ context.Context, now time.Time) time.Time { return now.Add(6 * ioTimeout) }
		return s
	}, "13/deadline 13/canceled"},

	{"a deadline is an error of its own", func(s *client) tokensession.Store {
		s.outage = func(_ context.Context, m message, err error) (message, error) { return m, err }
		return s
	}, "13/deadline"},

	{"an outage shows the password", func(s *client) tokensession.Store {
		good := s.outage
		s.outage = func(ctx context.Context, m message, err error) (message, error) {
			m, err = good(ctx, m, err)
			return m, fmt.Errorf("net://user:%s@host: %w", password, err)
		}
		return s
	}, "Errors/secrets_in_outages"},

	{"a write is sent again, and what is found is the answer", resendingWrites("Create", "Update", "Touch"),
		"14/lost_create 14/lost_update 14/lost_touch"},

	{"a Create is sent again", resendingWrites("Create"), "14/lost_create"},

	{"an Update is sent again, and finds out if it is there", func(s *client) tokensession.Store {
		return recognising{s}
	}, "14/lost_update"},

	{"a Touch is sent again", resendingWrites("Touch"), "14/lost_touch"},

	{"a Delete is sent again, and takes what is new", resendingWrites("Delete"), "14/lost_delete"},

	{"an Update reads, and then creates", func(s *client) tokensession.Store { return overwriting{s} }, "12/late"},

	{"connections are never given up", func(s *client) tokensession.Store {
		s.dead = func() bool { return false }
		return s
	}, "12/refused 12/connections 12/reads 12/late 13/deadline 14/lost_create 14/lost_update 14/lost_touch 14/lost_delete"},

	{"Close waits for calls", func(s *client) tokensession.Store {
		s.waits = true
		s.deadline = impatiently(time.Minute)
		return s
	}, "13/canceled 18/stalled"},

	{"a goroutine waits for the answer", func(s *client) tokensession.Store {
		s.leaves = true
		s.deadline = impatiently(time.Minute)
		return s
	}, "18/stalled"},
}

// resendingWrites sends some writes once more, and believes the second answer.
func resendingWrites(ops ...string) func(*client) tokensession.Store {
	return func(s *client) tokensession.Store {
		s.resends = func(m message) int {
			if slices.Contains(ops, m.Op) {
				return 1
			}
			return 0
		}
		return s
	}
}

// recognising knows its own first try by what it reads, and takes all else for an answer.
type recognising struct{ *client }

func (s recognising) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	v, err := s.client.Update(ctx, id, rec)
	if err == nil || history.Answered(err) || ctx.Err() != nil {
		return v, err
	}
	got, readErr := s.client.Get(ctx, id)
	if readErr == nil && sameContent(got, rec) {
		return got.Version, nil
	}
	if again, err := s.client.Update(ctx, id, rec); err == nil || history.Answered(err) {
		return again, err
	}
	return "", err
}

// overwriting looks at the Version itself, and then writes without a look.
type overwriting struct{ *client }

func (s overwriting) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	got, err := s.client.Get(ctx, id)
	if err != nil {
		return "", err
	}
	if got.Version != rec.Version {
		return "", tokensession.ErrConflict
	}
	m, err := s.ask(ctx, message{Op: "Replace", ID: id}, &rec)
	return m.Record.Version, err
}

// networkChecks are those that break the network, by the short names of their rules.
func networkChecks(t *testing.T) map[string]func(Suite) *recorder {
	list := make(map[string]func(Suite) *recorder)
	for i := range rules {
		for _, c := range rules[i].checks {
			run := func(s Suite) *recorder { return s.examine(t, &rules[i], c) }
			without := networked(t, healthyClient)
			without.Network = nil
			if rec := run(without); rec.skipped && strings.Contains(rec.lines[0], "Suite.Network") {
				list[shortName(rules[i].name)+"/"+c.name] = run
			}
		}
	}
	return list
}

// TestBrokenNetwork wants the suite to find each broken client by just the checks that
// are named.
func TestBrokenNetwork(t *testing.T) {
	checks := networkChecks(t)
	for _, b := range brokenClients {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			s := networked(t, b.spoil)
			s.hangs = 2 * time.Second
			for name, run := range checks {
				rec := run(s)
				want := slices.Contains(strings.Fields(b.fails), name)
				for try := 1; want && !rec.failed && try < 5; try++ {
					rec = run(s) // this machine has other work
				}
				if rec.failed != want {
					t.Errorf("%s: failed: %v, want %v\n%s", name, rec.failed, want, strings.Join(rec.lines, "\n"))
				}
			}
		})
	}
}

// findsClients reports whether TestBrokenNetwork wants c to find a broken client.
func findsClients(r *rule, c check) bool {
	return slices.ContainsFunc(brokenClients, func(b brokenClient) bool {
		return slices.Contains(strings.Fields(b.fails), shortName(r.name)+"/"+c.name)
	})
}
