package storetest

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tokensession/tokensession"
)

// sequences are stores of which every call is right by itself, and the shortest programs that
// show that they are wrong: their operations, of which some could as well be others.
var sequences = []struct {
	name  string
	spoil func(*reference) tokensession.Store
	want  string
}{
	{"the owner's index misses a change of owner after a Touch", func(s *reference) tokensession.Store {
		touched := make(map[string]bool)
		s.index = func(r *row, created bool) string {
			if created {
				touched[r.id] = false
			}
			if touched[r.id] {
				return r.indexed
			}
			return r.owner
		}
		return marking{s, touched}
	}, "Create Touch Update ByOwner|DeleteOwner"},

	{"Versions begin anew", counting(func(*row) string { return "" }), "Create Delete|Wait|Clear|DeleteOwner Create"},

	{"Touch shortens Forever", func(s *reference) tokensession.Store { return curtailing{s} }, "Create Touch Get|All|ByOwner"},

	{"Update revives", undead("Update"), "Create Wait Update"},

	{"Touch revives", undead("Touch"), "Create Wait Touch"},

	{"the index is that of the process", func(s *reference) tokensession.Store {
		return remembering{s, make(map[string]bool)}
	}, "Create Reopen ByOwner"},

	{"an id has two lives", func(s *reference) tokensession.Store { return twice{s, make(map[string]int)} },
		"Create Delete|Clear|Wait|DeleteOwner Create Delete|Clear|Wait|DeleteOwner Create"},
}

type marking struct {
	*reference
	touched map[string]bool
}

func (s marking) Touch(ctx context.Context, id string, ttl time.Duration) error {
	err := s.reference.Touch(ctx, id, ttl)
	s.touched[id] = err == nil
	return err
}

type curtailing struct{ *reference }

func (s curtailing) Touch(ctx context.Context, id string, ttl time.Duration) error {
	was, err := s.reference.Get(ctx, id)
	if err == nil && was.TTL == tokensession.Forever && ttl == tokensession.Forever {
		ttl = tokensession.MaxTTL
	}
	return s.reference.Touch(ctx, id, ttl)
}

// remembering finds by their owners only the records that it has written itself.
type remembering struct {
	*reference
	written map[string]bool
}

func (s remembering) Create(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	s.written[id] = true
	return s.reference.Create(ctx, id, rec)
}

func (s remembering) ByOwner(ctx context.Context, owner string) iter.Seq2[tokensession.Entry, error] {
	return func(yield func(tokensession.Entry, error) bool) {
		for e, err := range s.reference.ByOwner(ctx, owner) {
			if (err != nil || s.written[e.ID]) && !yield(e, err) {
				return
			}
		}
	}
}

type twice struct {
	*reference
	lives map[string]int
}

func (s twice) Create(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	if s.lives[id] == 2 {
		if err := tokensession.Check(ctx, id, &rec); err != nil {
			return "", err
		}
		return "", tokensession.ErrExists
	}
	v, err := s.reference.Create(ctx, id, rec)
	if err == nil {
		s.lives[id]++
	}
	return v, err
}

// programChecks runs a check of programs.
func (s Suite) programChecks(t *testing.T, name string) *recorder {
	i := slices.IndexFunc(rules, func(r rule) bool { return r.name == programs.name })
	j := slices.IndexFunc(rules[i].checks, func(c check) bool { return c.name == name })
	return s.examine(t, &rules[i], rules[i].checks[j])
}

var (
	shownProgram = regexp.MustCompile(`(?s)\nprogram:\n(.*?)rule:\n`)
	shownSeed    = regexp.MustCompile(`Suite.Seed = (0x[0-9a-f]+)`)
)

// TestProgramsFind wants random programs to find each store, and to be shrunk to the
// shortest. With the seed that is shown, the report is the same; and the program that is
// shown fails too.
func TestProgramsFind(t *testing.T) {
	for _, test := range sequences {
		t.Run(test.name, func(t *testing.T) {
			s := suite(test.spoil)
			s.Budget = 20 * time.Second
			report := strings.Join(s.programChecks(t, "random").lines, "\n")
			shown, seed := shownProgram.FindStringSubmatch(report), shownSeed.FindStringSubmatch(report)
			if shown == nil || seed == nil {
				t.Fatalf("nothing was found: %s", report)
			}
			prog, err := parseProgram(shown[1])
			if err != nil {
				t.Fatalf("%v: %s", err, report)
			}
			var ops []string
			for _, c := range prog {
				ops = append(ops, c.op)
			}
			if !oneOf(ops, strings.Fields(test.want)) {
				t.Errorf("want the operations %s: %s", test.want, report)
			}
			if !strings.Contains(report, "rule:\n    ") {
				t.Errorf("the report does not show the rule: %s", report)
			}
			if s.Seed, err = strconv.ParseUint(seed[1], 0, 64); err != nil {
				t.Fatal(err)
			}
			if again := strings.Join(s.programChecks(t, "random").lines, "\n"); again != report {
				t.Errorf("with the same seed, there was another report: %s\nwas: %s", again, report)
			}
			if err := s.Replay(t, shown[1]); err == nil {
				t.Errorf("the program that was shown does not fail: %s", report)
			}
			if err := suite(healthy).Replay(t, shown[1]); err != nil {
				t.Errorf("the program that was shown fails on a store that is right: %v", err)
			}
		})
	}
}

// TestProgramsCannotBegin wants what New reports to be shown, and no program.
func TestProgramsCannotBegin(t *testing.T) {
	s := suite(healthy)
	s.New = func(tb testing.TB) tokensession.Store {
		tb.Fatal("the server does not answer")
		return nil
	}
	err := s.Replay(t, `Get "a"`)
	if err == nil || !strings.Contains(err.Error(), "the server does not answer") {
		t.Errorf("Replay: %v", err)
	}
	report := s.shortest(t, program{{op: "Len"}}, &difference{rule: programs.name, seen: "nothing"})
	if !strings.Contains(report, "seen with no call at all: the server does not answer") {
		t.Errorf("the report is %s", report)
	}
}

func oneOf(ops, want []string) bool {
	return slices.EqualFunc(ops, want, func(op, want string) bool { return slices.Contains(strings.Split(want, "|"), op) })
}

// TestShrinkTogether wants what belongs together to become simpler together.
func TestShrinkTogether(t *testing.T) {
	s := suite(func(s *reference) tokensession.Store { return marking{s, make(map[string]bool)} })
	s.New = suite(sequences[0].spoil).New
	prog, err := parseProgram(`
		Len
		Create "b" data="y" owner="bob" ttl=forever
		Create "c" ttl=1m
		Touch "b" ttl=1m
		Wait 20ms
		Update "b" from=latest data="y" owner="Alice" ttl=1m
		All
		ByOwner "Alice"
		Get "b"`)
	if err != nil {
		t.Fatal(err)
	}
	diff := s.run(t, prog)
	if diff == nil {
		t.Fatal("the program does not fail")
	}
	want := `
    Create "a" ttl=1h                                  # nil
    Touch "a" ttl=1h                                   # nil
    Update "a" from=latest owner="alice" ttl=1h        # nil
    ByOwner "alice"                                    # here
`
	if report := s.shortest(t, prog, diff); !strings.Contains(report, want) {
		t.Errorf("want%sgot %s", want, report)
	}
}

// TestProgramsPass runs thousands of programs on stores that are right.
func TestProgramsPass(t *testing.T) {
	rounded := func(s *reference) tokensession.Store {
		return lasting(s, func(now time.Time, ttl time.Duration) time.Time {
			return now.Add(ttl).Truncate(time.Second).Add(time.Second)
		})
	}
	for _, test := range []struct {
		name  string
		suite Suite
		n     uint64
		set   func(*Suite)
	}{
		{"exact", suite(healthy), 3000, func(*Suite) {}},
		{"coarse", suite(rounded), 1000, func(s *Suite) { s.Granularity = time.Second }},
		{"slow", suite(func(s *reference) tokensession.Store { return slow{s} }), 1000, func(*Suite) {}},
		{"on the wall's clock", suite(healthy), 30, func(s *Suite) { s.InProcess = false }},
		{"bare", suite(func(s *reference) tokensession.Store { return bare{s} }), 300, func(*Suite) {}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.set(&test.suite)
			choices := test.suite.choices()
			first := rand.Uint64()
			for seed := first; seed < first+test.n; seed++ {
				prog := choices.random(seed)
				if diff := test.suite.run(t, prog); diff != nil {
					t.Fatalf("seed %d: %s", seed, test.suite.shortest(t, prog, diff))
				}
			}
		})
	}
}

// slow is a store whose calls take their time, so that lives end during them.
type slow struct{ *reference }

func dawdle() { time.Sleep(rand.N(shortTTL / 2)) }

func (s slow) Get(ctx context.Context, id string) (tokensession.Record, error) {
	dawdle()
	defer dawdle()
	return s.reference.Get(ctx, id)
}

func (s slow) Create(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	dawdle()
	defer dawdle()
	return s.reference.Create(ctx, id, rec)
}

func (s slow) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	dawdle()
	defer dawdle()
	return s.reference.Update(ctx, id, rec)
}

func (s slow) Touch(ctx context.Context, id string, ttl time.Duration) error {
	dawdle()
	defer dawdle()
	return s.reference.Touch(ctx, id, ttl)
}

func (s slow) Len(ctx context.Context) (int, error) {
	dawdle()
	defer dawdle()
	return s.reference.Len(ctx)
}

func (s slow) DeleteOwner(ctx context.Context, owner string) (int, error) {
	dawdle()
	defer dawdle()
	return s.reference.DeleteOwner(ctx, owner)
}

func (s slow) All(ctx context.Context) iter.Seq2[tokensession.Entry, error] {
	return func(yield func(tokensession.Entry, error) bool) {
		dawdle()
		defer dawdle()
		s.reference.All(ctx)(yield)
	}
}

// TestProgramsKept runs programs from files.
func TestProgramsKept(t *testing.T) {
	t.Chdir(t.TempDir())
	revives, right := suite(undead("Update")), suite(healthy)
	if rec := right.programChecks(t, "kept"); !rec.skipped || rec.failed {
		t.Errorf("without files: %s", rec.lines)
	}
	if err := os.MkdirAll("testdata/storetest", 0o700); err != nil {
		t.Fatal(err)
	}
	keep := func(name, text string) {
		if err := os.WriteFile("testdata/storetest/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	keep("fine.txt", "Create \"a\" ttl=1h\nGet \"a\"\n")
	if rec := revives.programChecks(t, "kept"); rec.failed || rec.skipped {
		t.Errorf("a program that passes: %s", rec.lines)
	}
	keep("revived.txt", "# seen once\nCreate \"a\" ttl=1h\nWait 1h\nUpdate \"a\" from=latest ttl=1h\n")
	if rec := right.programChecks(t, "kept"); rec.failed {
		t.Errorf("on a store that is right: %s", rec.lines)
	}
	rec := revives.programChecks(t, "kept")
	if report := strings.Join(rec.lines, "\n"); !rec.failed || !strings.Contains(report, "testdata/storetest/revived.txt\nseen: Update") {
		t.Errorf("on a store that is wrong: %s", report)
	}
	right.InProcess = false
	rec = right.programChecks(t, "kept")
	if report := strings.Join(rec.lines, "\n"); rec.failed || !strings.Contains(report, "revived.txt is left out: the program waits longer") {
		t.Errorf("a program that waits for an hour: %s", report)
	}
	keep("wrong.txt", "Clear\nClean\n")
	rec = right.programChecks(t, "kept")
	if report := strings.Join(rec.lines, "\n"); !rec.failed || !strings.Contains(report, "wrong.txt: line 2: unknown operation") {
		t.Errorf("a file with a mistake: %s", report)
	}
}

// Files that wait, one after the other, are no call that hangs.
func TestManyProgramsKept(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.MkdirAll("testdata/storetest", 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		if err := os.WriteFile(fmt.Sprintf("testdata/storetest/%d.txt", i), []byte("Wait 200ms\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := suite(healthy)
	s.InProcess, s.Budget, s.hangs = false, time.Millisecond, 100*time.Millisecond
	if rec := s.programChecks(t, "kept"); rec.failed {
		t.Errorf("%s", rec.lines)
	}
}

func TestReplayErrors(t *testing.T) {
	s := suite(healthy)
	if err := s.Replay(t, "Put"); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("a program with a mistake: %v", err)
	}
	s.InProcess = false
	if err := s.Replay(t, "Wait 4s\nWait 2s"); err == nil || !strings.Contains(err.Error(), "longer than 5s") {
		t.Errorf("a program that waits for long: %v", err)
	}
}

// FuzzReference is what the author of a driver writes.
func FuzzReference(f *testing.F) { suite(healthy).Fuzz(f) }
