package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// regressions is where the package of the store keeps programs that failed once.
const regressions = "testdata/storetest/*.txt"

// Replay runs a program, in the text that a failure shows, on a new store. It returns an
// error if the store does not do what the contract says, or if the text is no program. It
// is for looking into a failure, and for generators of programs other than the suite's
// own.
//
// A program has one call a line; what follows # is a comment. These are the calls, with all
// that they take:
//
//	Get "id"
//	Create "id" data="text" owner="name" ttl=1h
//	Update "id" from=latest data="text" owner="name" ttl=1h
//	Touch "id" ttl=1h
//	Delete "id"
//	Len
//	Clear
//	All
//	ByOwner "name"
//	DeleteOwner "name"
//	Reopen
//	Wait 1h
//
// A string is quoted as in Go, and "x"*100 is a long one. Data and owner may be left out. A
// time is written as in Go, or is forever. An Update comes from the latest Version that was seen of
// the id, from the one of the state before (stale), the first one, the latest of another id
// (foreign), an empty one, or one that no store makes (malformed). Reopen closes the store
// and opens it again. What the store cannot do is left out.
func (s Suite) Replay(t *testing.T, program string) error {
	t.Helper()
	prog, err := parseProgram(program)
	if err != nil {
		return fmt.Errorf("storetest: %w", err)
	}
	if err := s.tooLong(prog); err != nil {
		return fmt.Errorf("storetest: %w", err)
	}
	if diff := s.run(t, prog); diff != nil {
		return errors.New(without(s.Secrets, diff.report(prog)))
	}
	return nil
}

// tooLong returns an error if prog would wait longer than a test can.
func (s Suite) tooLong(prog program) error {
	const most = 5 * time.Second
	var sum time.Duration
	for _, c := range prog {
		if c.op == "Wait" && !s.InProcess {
			d, _ := parseTime(c.args[paramTime])
			if sum += min(d, most+1); sum > most {
				return fmt.Errorf("the program waits longer than %v, and the store's clock cannot be turned (Suite.InProcess)", most)
			}
		}
	}
	return nil
}

// run runs prog on a new store and returns where it differs from the contract, or nil. It
// skips the test if New did.
func (s Suite) run(t *testing.T, prog program) *difference {
	var diff *difference
	rec := s.examine(t, &programs, check{"program", aging, func(p *probe) { diff = p.execute(prog) }})
	if rec.skipped {
		t.Skip(strings.Join(rec.lines, "\n"))
	}
	if diff == nil && rec.failed {
		diff = differs(programs.name, "%s", strings.Join(rec.lines, "\n"))
		diff.line = len(prog) - 1
	}
	return diff
}

// programs stands for the rules that calls break together.
var programs = rule{
	name: "Programs",
	text: `These are the rules that every Store keeps.`,
}

// ruleTexts are those of the rules, by name. It is not made where it is declared, because the
// rules have checks, which come to use it.
var ruleTexts = make(map[string]string)

func init() {
	for _, r := range rules {
		ruleTexts[r.name] = r.text
	}
}

// shortest returns the report of the shortest program that fails as prog does.
func (s Suite) shortest(t *testing.T, prog program, diff *difference) string {
	const patience = 5 * time.Second
	shrinker := shrinker{
		choices: s.choices(),
		fails:   func(prog program) *difference { return s.run(t, prog) },
		end:     time.Now().Add(patience),
		prog:    prog,
		diff:    diff,
	}
	prog, diff = shrinker.shrink()
	return diff.report(prog) + "\nto keep it, put the program into testdata/storetest, in a file NAME.txt"
}

// report shows a program that fails, as text that can be run again.
func (d *difference) report(prog program) string {
	var b strings.Builder
	if len(prog) == 0 {
		return "seen with no call at all: " + d.seen
	}
	fmt.Fprintf(&b, "seen: %s = %s\nprogram:\n", prog[d.line], d.seen)
	for i, c := range prog[:d.line+1] {
		outcome := "here"
		if i < len(d.outcomes) {
			outcome = d.outcomes[i]
		}
		fmt.Fprintf(&b, "    %-50s # %s\n", c, outcome)
	}
	fmt.Fprintf(&b, "rule:\n%s", indent(ruleTexts[d.rule]))
	return b.String()
}

// programsRandom runs programs until the budget is spent. Each has a seed, which is one more
// than that of the one before.
func programsRandom(p *probe) {
	t := p.TB.(*testing.T)
	seed := p.suite.Seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	choices := p.suite.choices()
	p.rounds(func() {
		prog := choices.random(seed)
		if diff := p.suite.run(t, prog); diff != nil {
			p.Fatalf("%s\nthe program comes first with Suite.Seed = %#x", p.suite.shortest(t, prog, diff), seed)
		}
		seed++
	})
}

type regressionFile struct {
	name    string
	program program
}

func regressionFiles() (files []regressionFile, err error) {
	names, err := filepath.Glob(regressions)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		prog, err := parseProgram(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		files = append(files, regressionFile{name, prog})
	}
	return files, nil
}

// programsKept runs those of the regression files.
func programsKept(p *probe) {
	files, err := regressionFiles()
	if err != nil {
		p.Fatal(err)
	}
	if len(files) == 0 {
		p.Skipf("the package has no %s", regressions)
	}
	for _, file := range files {
		if err := p.suite.tooLong(file.program); err != nil {
			p.Logf("%s is left out: %v", file.name, err)
			continue
		}
		if diff := p.suite.run(p.TB.(*testing.T), file.program); diff != nil {
			p.Errorf("%s\n%s", file.name, diff.report(file.program))
		}
		p.recorder.calls.Add(1) // each file may take its time
	}
}
