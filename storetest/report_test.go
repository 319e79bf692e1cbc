package storetest

import (
	"context"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokensession/tokensession"
)

// report is what the check says of the store that spoil makes.
func report(t *testing.T, spoil func(*reference) tokensession.Store, check string) string {
	t.Helper()
	s := suite(spoil)
	s.Budget = 10 * time.Second // which a check that fails does not use up
	rec := s.examineNamed(t, check)
	if !rec.failed {
		t.Fatalf("%s found nothing", check)
	}
	return strings.Join(rec.lines, "\n")
}

// TestOwnersAreNamed wants a report to say whose records were asked for, in one way.
func TestOwnersAreNamed(t *testing.T) {
	indexed := func(owner string) func(*reference) tokensession.Store {
		return func(s *reference) tokensession.Store {
			s.index = func(*row, bool) string { return owner }
			return s
		}
	}
	for _, c := range []struct {
		check string
		spoil func(*reference) tokensession.Store
		want  string
	}{
		{"Rule11_Expiry/ByOwner", undead("ByOwner"), `seen: ByOwner("owner") showed "id1": {`},
		{"OwnerIndex/outlive", indexed(""), `seen: ByOwner("owner") did not show the live record "id1"`},
		{"OwnerIndex/by_owner_stops", indexed(""), `seen: ByOwner("owner") did not show the live record "id1"`},
		{"OwnerIndex/change", indexed("alice"), `ByOwner("alice") = 1 records`},
	} {
		if got := report(t, c.spoil, c.check); !strings.Contains(got, c.want) {
			t.Errorf("%s: want %s in\n%s", c.check, c.want, got)
		}
	}
}

// TestReportsKeepSecrets wants a report of an error that shows a password not to show it.
func TestReportsKeepSecrets(t *testing.T) {
	got := report(t, func(s *reference) tokensession.Store {
		s.notFound = func(string) error { return errors.New("net://user:" + password + "@host: no such record") }
		return s
	}, "Errors/secrets")
	if strings.Contains(got, password) || !strings.Contains(got, "seen: Get reports: net://user:(a secret)@host") {
		t.Error(strings.ReplaceAll(got, password, "PASSWORD"))
	}
	err := suite(func(s *reference) tokensession.Store {
		s.notFound = func(string) error { return errors.New("net://user:" + password + "@host: no such record") }
		return s
	}).Replay(t, `Get "a"`)
	if err == nil || strings.Contains(err.Error(), password) || !strings.Contains(err.Error(), "(a secret)") {
		t.Errorf("a program that is replayed shows the password, or nothing")
	}
}

// lagging is a store on which the first Create or Update that loses succeeds all the same, once the
// goroutine that won has made more calls than are remembered of it.
type lagging struct {
	*reference
	calls, lost atomic.Int64
}

func lagsBehind(s *reference) tokensession.Store { return &lagging{reference: s} }

func (s *lagging) Get(ctx context.Context, id string) (tokensession.Record, error) {
	s.calls.Add(1)
	return s.reference.Get(ctx, id)
}

func (s *lagging) Create(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	v, err := s.reference.Create(ctx, id, rec)
	return s.won(ctx, v, err, tokensession.ErrExists)
}

func (s *lagging) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	v, err := s.reference.Update(ctx, id, rec)
	return s.won(ctx, v, err, tokensession.ErrConflict)
}

func (s *lagging) won(_ context.Context, v tokensession.Version, err, loss error) (tokensession.Version, error) {
	s.calls.Add(1)
	if !errors.Is(err, loss) || s.lost.Add(1) > 1 {
		return v, err
	}
	for until := s.calls.Load() + 4*racers*keptCalls; s.calls.Load() < until; {
		time.Sleep(time.Millisecond)
	}
	return "late", nil
}

// TestBothWinnersAreShown wants the report of a race to show the two calls that should not both
// have succeeded, however long ago the first was, and the race to be reported once.
func TestBothWinnersAreShown(t *testing.T) {
	for check, winner := range map[string]string{
		"Rule06_Create/one_winner": `Create\("(id1-\d+)", \{Data: "data", TTL: 1h0m0s\}\) = v\d`,
		"Rule07_Update/one_winner": `Update\("id1", \{Data: "\d+", Version: (v\d), TTL: \d+h\d+m0s\}\) = v\d`,
	} {
		got := report(t, lagsBehind, check)
		won := make(map[string]int)
		for _, match := range regexp.MustCompile(winner).FindAllStringSubmatch(got, -1) {
			won[match[1]]++
		}
		if most := slices.Max(append(slices.Collect(maps.Values(won)), 0)); most != 2 {
			t.Errorf("%s shows %d winners:\n%s", check, most, got)
		}
	}
	for check, spoil := range map[string]func(*reference) tokensession.Store{
		"Rule06_Create/one_winner": dropping("Create"),
		"Rule07_Update/one_winner": dropping("Update"),
	} {
		if got := report(t, spoil, check); strings.Count(got, "seen: ") != 1 {
			t.Errorf("%s reports one race several times:\n%s", check, got)
		}
	}
}
