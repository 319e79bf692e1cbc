package storetest

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokensession/tokensession"
)

// TestBroken wants the suite to find each broken store, by the rules that it breaks and by
// no others, and each check to find one.
func TestBroken(t *testing.T) {
	var found finds
	t.Run("stores", func(t *testing.T) {
		for _, b := range brokenStores {
			t.Run(b.name, func(t *testing.T) {
				t.Parallel()
				b.examineAll(t, &found)
			})
		}
	})
	if found.stores.Load() < int64(len(brokenStores)) {
		t.Skip("what each check finds is known only where -run chooses all stores")
	}
	for i := range rules {
		for _, c := range rules[i].checks {
			name := rules[i].name + "/" + c.name
			if !found.by(name) && elsewhere[name] == "" && !findsClients(&rules[i], c) && !insisted(t, &rules[i], c) {
				t.Errorf("%s finds no broken store", name)
			}
		}
	}
}

// elsewhere are the checks whose broken stores are in tests of their own.
var elsewhere = map[string]string{
	"Rule16_Linearizability/reads": "TestStale: it takes two handles",
	"Programs/random":              "TestProgramsFind",
	"Programs/kept":                "TestProgramsKept",
}

// finds are what the checks found.
type finds struct {
	stores atomic.Int64 // how many were looked at
	checks sync.Map     // the names of those that found something
}

func (f *finds) by(check string) bool {
	_, ok := f.checks.Load(check)
	return ok
}

// suite is the Suite that b is examined with, by a rule that it breaks or not: if it does, it may
// do so by hanging, and that shall not take long.
func (b broken) suite(breaks bool) Suite {
	s := suite(b.spoil)
	s.Budget = 5 * time.Millisecond
	if breaks {
		s.hangs = 300 * time.Millisecond
	}
	return s
}

func (b broken) examineAll(t *testing.T, found *finds) {
	found.stores.Add(1)
	for i := range rules {
		if rules[i].name != programs.name { // what is random has tests of its own
			b.examine(t, &rules[i], found)
		}
	}
}

// examine wants b to be found by r if it breaks it, and not to be if it does not.
func (b broken) examine(t *testing.T, r *rule, found *finds) {
	name := shortName(r.name)
	breaks := slices.Contains(strings.Fields(b.breaks), name)
	s := b.suite(breaks)
	report := s.failures(t, r, found)
	for more := s; report == "" && breaks && more.Budget < 2*time.Second; {
		more.Budget *= 3 // this machine has other work
		report = more.failures(t, r, found)
	}
	switch {
	case report == "" && breaks:
		t.Errorf("%s found nothing", r.name)
	case report != "" && !breaks && !slices.Contains(strings.Fields(b.perhaps), name):
		t.Errorf("%s failed: %s", r.name, report)
	case report != "" && !strings.Contains(report, indent(r.text)):
		t.Errorf("%s does not show its text: %s", r.name, report)
	}
}

// insisted reports whether c, which has found nothing, does so with more time, where its rule
// is broken.
func insisted(t *testing.T, r *rule, c check) bool {
	for budget := 15 * time.Millisecond; budget < 2*time.Second; budget *= 3 {
		for _, b := range brokenStores {
			if !slices.Contains(strings.Fields(b.breaks), shortName(r.name)) {
				continue
			}
			s := b.suite(true)
			s.Budget = budget
			if s.examine(t, r, c).failed {
				return true
			}
		}
	}
	return false
}

// failures returns the reports of the checks of r that fail, or "", and adds these to found.
func (s Suite) failures(t *testing.T, r *rule, found *finds) string {
	var reports []string
	for _, c := range r.checks {
		if rec := s.examine(t, r, c); rec.failed {
			found.checks.Store(r.name+"/"+c.name, true)
			reports = append(reports, c.name+": "+strings.Join(rec.lines, "\n"))
		}
	}
	return strings.Join(reports, "\n")
}

// TestHealthy wants a store that keeps all the rules to pass, again and again, under the same
// harness.
func TestHealthy(t *testing.T) {
	runs := 100
	if testing.Short() {
		runs = 10
	}
	for n := range runs {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			t.Parallel()
			broken{name: "healthy", spoil: healthy}.examineAll(t, new(finds))
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
	if report := s.failures(t, &rules[i], new(finds)); !strings.HasPrefix(report, "reads:") {
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

// shortName is the number of a rule that has one, else its name.
func shortName(name string) string {
	if number, ok := strings.CutPrefix(name, "Rule"); ok {
		return strings.TrimLeft(number[:2], "0")
	}
	return name
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
