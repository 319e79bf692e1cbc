package storetest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// runRule runs the checks of r, each in a subtest of t. It returns those that were skipped,
// and what is wrong with the rule's waiver, or "".
func (s Suite) runRule(t *testing.T, r *rule) (skipped []skip, idle string) {
	var passed []check
	left := len(r.checks) // those that may have failed, or were not asked for by -run
	for _, c := range r.checks {
		t.Run(c.name, func(t *testing.T) {
			rec := s.runCheck(t, r, c)
			switch {
			case rec.skipped:
				skipped = append(skipped, skip{r.name, c.name, strings.Join(rec.lines, "; ")})
			case !rec.failed:
				passed = append(passed, c)
			}
			if !rec.failed && !rec.waived {
				left--
			}
			rec.replay(t)
		})
	}
	reason, waived := s.Waive[r.name]
	if !waived || left > 0 || len(passed) == 0 {
		return skipped, ""
	}
	for _, c := range passed {
		if s.insist(t, r, c).failed {
			return skipped, ""
		}
	}
	return skipped, fmt.Sprintf("waived (%s), but all its checks pass: take %q out of Suite.Waive", reason, r.name)
}

// runCheck examines c and lets a waiver, if there is one, turn what was found.
func (s Suite) runCheck(t *testing.T, r *rule, c check) *recorder {
	rec := s.examine(t, r, c)
	name := r.name + "/" + c.name
	reason, waived := s.Waive[name]
	if waived && !rec.failed && !rec.skipped {
		if rec = s.insist(t, r, c); !rec.failed {
			rec.Errorf("waived (%s), but passes: take %q out of Suite.Waive", reason, name)
			return rec
		}
	}
	if !waived {
		reason, waived = s.Waive[r.name]
	}
	if waived && rec.failed {
		rec.waive(reason)
	}
	return rec
}

// insist examines c, which has passed though it is waived, until it fails: a race may need
// more than one try. It gives up after fourteen times the budget.
func (s Suite) insist(t *testing.T, r *rule, c check) (rec *recorder) {
	s.Budget = cmp.Or(s.Budget, defaultBudget)
	for range 3 {
		s.Budget *= 2
		if rec = s.examine(t, r, c); rec.failed {
			break
		}
	}
	return rec
}

// waive turns a failure into a skip, of which it leaves the first line.
func (r *recorder) waive(reason string) {
	seen, _, _ := strings.Cut(strings.Join(r.lines, "\n"), "\n")
	r.failed, r.skipped, r.waived = false, true, true
	r.lines = []string{"waived (" + reason + "): " + seen}
}

// skip is a check that was skipped.
type skip struct{ rule, check, reason string }

// byReason lists each reason and, below it, the checks that were skipped for it, a line a rule.
// A rule stands alone if all its checks were.
func byReason(skips []skip) string {
	var lines []string
	for len(skips) > 0 {
		reason := skips[0].reason
		lines = append(lines, reason)
		checks := make(map[string][]string)
		skips = slices.DeleteFunc(skips, func(s skip) bool {
			if s.reason == reason {
				checks[s.rule] = append(checks[s.rule], s.check)
			}
			return s.reason == reason
		})
		for i := range rules {
			switch list := checks[rules[i].name]; len(list) {
			case 0:
			case len(rules[i].checks):
				lines = append(lines, "    "+rules[i].name)
			default:
				lines = append(lines, "    "+rules[i].name+": "+strings.Join(list, ", "))
			}
		}
	}
	return strings.Join(lines, "\n")
}
