package storetest

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokensession/tokensession"
)

// TestBroken wants the suite to find each broken store, by the rules that it breaks and by
// no others.
func TestBroken(t *testing.T) {
	for _, b := range brokenStores {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			s := suite(b.spoil)
			s.Budget, s.hangs = 5*time.Millisecond, 300*time.Millisecond
			breaks, perhaps := strings.Fields(b.breaks), strings.Fields(b.perhaps)
			for i := range rules {
				name := shortName(rules[i].name)
				report := s.firstFailure(t, &rules[i])
				for more := s; report == "" && slices.Contains(breaks, name) && more.Budget < 2*time.Second; {
					more.Budget *= 3 // this machine has other work
					report = more.firstFailure(t, &rules[i])
				}
				switch {
				case report == "" && slices.Contains(breaks, name):
					t.Errorf("%s found nothing", rules[i].name)
				case report != "" && !slices.Contains(breaks, name) && !slices.Contains(perhaps, name):
					t.Errorf("%s failed: %s", rules[i].name, report)
				case report != "" && !strings.Contains(report, indent(rules[i].text)):
					t.Errorf("%s does not show its text: %s", rules[i].name, report)
				}
			}
		})
	}
}

// TestStale wants two handles to find what one cannot: that each has a cache.
func TestStale(t *testing.T) {
	s := suite(func(s *reference) tokensession.Store {
		c := &caching{reference: s}
		s.check = func(ctx context.Context, id string, rec *tokensession.Record) error {
			c.last.Store(nil)
			return tokensession.Check(ctx, id, rec)
		}
		return c
	})
	i := slices.IndexFunc(rules, func(r rule) bool { return r.name == "Rule16_Linearizability" })
	s.Shared = true
	if report := s.firstFailure(t, &rules[i]); !strings.HasPrefix(report, "reads:") {
		t.Errorf("%s found nothing by reading: %s", rules[i].name, report)
	}
}

// caching does not ask the server again for what it was told last, unless it was called
// otherwise since.
type caching struct {
	*reference
	last atomic.Pointer[tokensession.Entry]
}

func (s *caching) Get(ctx context.Context, id string) (tokensession.Record, error) {
	if last := s.last.Load(); last != nil && last.ID == id {
		return last.Record, nil
	}
	rec, err := s.reference.Get(ctx, id)
	if err == nil {
		s.last.Store(&tokensession.Entry{ID: id, Record: rec})
	}
	return rec, err
}

// firstFailure returns the report of the first check of r that fails, or "".
func (s Suite) firstFailure(t *testing.T, r *rule) string {
	for _, c := range r.checks {
		if rec := s.examine(t, r, c); rec.failed {
			return c.name + ": " + strings.Join(rec.lines, "\n")
		}
	}
	return ""
}

// shortName is the number of a rule that has one, else its name.
func shortName(name string) string {
	if number, ok := strings.CutPrefix(name, "Rule"); ok {
		return strings.TrimLeft(number[:2], "0")
	}
	return name
}

// TestEveryRuleKills wants each rule to be broken by some store.
func TestEveryRuleKills(t *testing.T) {
	var broken []string
	for _, b := range brokenStores {
		broken = append(broken, strings.Fields(b.breaks)...)
	}
	for _, r := range rules {
		if !slices.Contains(broken, shortName(r.name)) {
			t.Errorf("no broken store breaks %s", r.name)
		}
	}
}

// TestRulesAreTheContract compares the texts with the comments on package tokensession.
func TestRulesAreTheContract(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../store.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var comments []string
	ast.Inspect(file, func(n ast.Node) bool {
		if group, ok := n.(*ast.CommentGroup); ok {
			comments = append(comments, plain(group.Text()))
		}
		return true
	})
	contract := strings.Join(comments, " ")
	for _, r := range rules {
		for paragraph := range strings.SplitSeq(r.text, "\n\n") {
			if !strings.Contains(contract, plain(paragraph)) {
				t.Errorf("%s: its text is not in store.go: %s", r.name, paragraph)
			}
		}
	}
}

// plain is a comment without the marks of its links and the breaks of its lines.
func plain(comment string) string {
	return strings.Join(strings.Fields(strings.NewReplacer("[", "", "]", "").Replace(comment)), " ")
}
