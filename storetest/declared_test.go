package storetest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokensession/tokensession"
)

// TestCapabilities wants what is declared to be what is there.
func TestCapabilities(t *testing.T) {
	i := slices.IndexFunc(rules, func(r rule) bool { return r.name == "Capabilities" })
	tests := []struct {
		name     string
		declared Capability
		store    func(testing.TB) tokensession.Store
		seen     string
	}{
		{"all", AllCapabilities, suite(healthy).New, ""},
		{"none", 0, func(testing.TB) tokensession.Store { return bare{newReference(newServer(), "")} }, ""},
		{"one is not declared", AllCapabilities &^ Lister, suite(healthy).New,
			"Lister: seen: the store is a tokensession.Lister, which Suite.Capabilities does not say"},
		{"one is not there", Closer, func(testing.TB) tokensession.Store { return bare{newReference(newServer(), "")} },
			"Closer: seen: Suite.Capabilities has storetest.Closer, but tokensession.As finds no io.Closer"},
	}
	for _, test := range tests {
		s := Suite{New: test.store, Capabilities: test.declared}
		report := s.failures(t, &rules[i], new(finds))
		if !strings.HasPrefix(report, test.seen) || (report == "") != (test.seen == "") {
			t.Errorf("%s: %q, want %q", test.name, report, test.seen)
		}
	}
}

// TestLimit wants a store that refuses less than was declared to be found.
func TestLimit(t *testing.T) {
	for _, declared := range []int{0, 4 << 20} {
		s := suite(func(s *reference) tokensession.Store { s.limit = 600 << 10; return s })
		s.TooLarge = declared
		if rec := s.examineNamed(t, "Rule02_Data/declared"); !rec.failed {
			t.Errorf("TooLarge is %d: nothing found", declared)
		}
	}
}

// examineNamed examines the check of a name.
func (s Suite) examineNamed(t *testing.T, name string) *recorder {
	t.Helper()
	r, c := checkNamed(t, name)
	return s.examine(t, r, c)
}

func checkNamed(t *testing.T, name string) (*rule, check) {
	t.Helper()
	for i, r := range rules {
		for _, c := range r.checks {
			if r.name+"/"+c.name == name {
				return &rules[i], c
			}
		}
	}
	t.Fatalf("there is no check %s", name)
	panic("unreachable")
}

func TestMistakes(t *testing.T) {
	s := suite(healthy)
	s.Waive = map[string]string{"Rule07_Update": "a reason", "Rule07_Update/one_winner": "another"}
	if mistakes := s.mistakes(); len(mistakes) > 0 {
		t.Errorf("mistakes where there are none: %q", mistakes)
	}
	s = Suite{
		Capabilities: 1 << 20,
		Granularity:  -1,
		TooLarge:     1000,
		Shared:       true,
		Budget:       -1,
		IOTimeout:    time.Second,
		Secrets:      []string{""},
		Waive:        map[string]string{"Rule07_Updte": "a reason", "Rule08_Versions": " "},
	}
	mistakes := strings.Join(s.mistakes(), "\n")
	for _, want := range []string{"Capabilities", "Granularity", "TooLarge", "Shared", "Budget", "IOTimeout", "Secrets", "Rule07_Updte", "Rule08_Versions"} {
		if !strings.Contains(mistakes, want) {
			t.Errorf("%s is no mistake of these: %s", want, mistakes)
		}
	}
}

// TestWaiver wants a waived check to be skipped while the store does not pass it, and to fail
// once it does.
func TestWaiver(t *testing.T) {
	shortSighted := suite(undead("Len"))
	shortSighted.Waive = map[string]string{"Rule11_Expiry/Len": "counted once a minute", "Rule11_Expiry/All": "for fun"}
	tests := []struct {
		check           string
		failed, skipped bool
		says            string
	}{
		{"Rule11_Expiry/Len", false, true, "waived (counted once a minute): seen: Len = 4"},
		{"Rule11_Expiry/All", true, false, "waived (for fun), but passes"},
		{"Rule11_Expiry/Get", false, false, ""},
	}
	for _, test := range tests {
		r, c := checkNamed(t, test.check)
		rec := shortSighted.runCheck(t, r, c)
		said := strings.Join(rec.lines, "\n")
		if rec.failed != test.failed || rec.skipped != test.skipped || !strings.HasPrefix(said, test.says) {
			t.Errorf("%s: failed %v, skipped %v: %s", test.check, rec.failed, rec.skipped, said)
		}
	}
}

// TestWaivedRule wants the rest of a waived rule to be checked, what was waived in it to be
// listed, and a failure once nothing is left of it.
func TestWaivedRule(t *testing.T) {
	r, _ := checkNamed(t, "Rule11_Expiry/Len")
	waived := map[string]string{"Rule11_Expiry": "counted once a minute"}
	for _, test := range []struct {
		spoil   func(*reference) tokensession.Store
		skipped []skip
		idle    string
	}{
		{undead("Len"), []skip{
			{r.name, "Len", "waived (counted once a minute): seen: Len = 4"},
			{r.name, "agreed", "waived (counted once a minute): seen: a record that was gone is back"}}, ""},
		{healthy, nil, "waived (counted once a minute), but all its checks pass"},
	} {
		s := suite(test.spoil)
		s.Waive = waived
		var skipped []skip
		var idle string
		t.Run("rule", func(t *testing.T) { skipped, idle = s.runRule(t, r) })
		if !slices.EqualFunc(skipped, test.skipped, skip.begins) {
			t.Errorf("skipped: %q, want %q", skipped, test.skipped)
		}
		if !strings.HasPrefix(idle, test.idle) || (idle == "") != (test.idle == "") {
			t.Errorf("the waiver: %q, want %q", idle, test.idle)
		}
	}
}

// begins reports whether want is s with the beginning of its reason.
func (s skip) begins(want skip) bool {
	return s.rule == want.rule && s.check == want.check && strings.HasPrefix(s.reason, want.reason)
}

// TestSkipsAreListedByReason wants each reason once, with the checks that it is about.
func TestSkipsAreListedByReason(t *testing.T) {
	got := byReason([]skip{{"Rule04_TTL", "days", "no clock"}, {"Rule11_Expiry", "reaped", "no clock"},
		{"Rule12_Outages", "refused", "no network"}, {"Rule12_Outages", "late", "no network"},
		{"Rule14_Once", "lost_create", "no network"}, {"Pinger", "answers", "no clock"}})
	want := `no clock
    Rule04_TTL: days
    Rule11_Expiry: reaped
    Pinger
no network
    Rule12_Outages: refused, late
    Rule14_Once: lost_create`
	if got != want {
		t.Errorf("%s", got)
	}
}

// TestWaivedRace wants a race that a store loses only now and then to be waived for good.
func TestWaivedRace(t *testing.T) {
	s := suite(dropping("Update"))
	r, c := checkNamed(t, "Rule07_Update/one_winner")
	for s.Budget = time.Millisecond; s.Budget < time.Second; s.Budget *= 2 {
		if s.insist(t, r, c).failed {
			return
		}
	}
	t.Error("never lost")
}

// stuck is a store with a lock that one method forgets to give back.
type stuck struct{ *reference }

func (s stuck) Touch(ctx context.Context, id string, ttl time.Duration) error {
	s.mu.Lock()
	return tokensession.Check(ctx, id, &tokensession.Record{TTL: ttl})
}

// mad is a store that panics, in the goroutine of its caller.
type mad struct{ *reference }

func (mad) Touch(context.Context, string, time.Duration) error { panic("a map that is nil") }

// TestWaivedHang wants calls that never return, and calls that panic, to be failures like others,
// also where the clock is turned and where several goroutines make them.
func TestWaivedHang(t *testing.T) {
	for name, store := range map[string]func(*reference) tokensession.Store{
		"hangs":  func(s *reference) tokensession.Store { return stuck{s} },
		"panics": func(s *reference) tokensession.Store { return mad{s} },
	} {
		t.Run(name, func(t *testing.T) {
			for _, check := range []string{"Rule09_Touch/only_ttl", "Rule09_Touch/absent", "Rule09_Touch/beside_update",
				"Rule10_Delete/beside_touch"} {
				t.Run(check, func(t *testing.T) {
					t.Parallel()
					s := suite(store)
					s.hangs, s.Budget = 50*time.Millisecond, 10*time.Millisecond
					s.Waive = map[string]string{check: "known"}
					r, c := checkNamed(t, check)
					if rec := s.runCheck(t, r, c); rec.failed || !rec.skipped {
						t.Errorf("failed %v, skipped %v: %s", rec.failed, rec.skipped, rec.lines)
					}
				})
			}
		})
	}
}
