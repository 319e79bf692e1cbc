// Report reads "go test -json" and prints what a person wants to know: a line for
// each package, the output of tests that failed, and what was skipped, with the
// reason.
//
//	go test -json work | go run .ci/report/main.go memory bolt
//
// The arguments are the packages that must have been tested. It fails if one was
// not, if a test failed, and if a whole test was skipped: subtests may be, because
// a suite has some that do not apply to every store, and tests of a backend that the
// caller excluded.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
)

const module = "github.com/tokensession/tokensession"

// excluded begins the reason of a test of a backend that the caller excluded. Package
// integration/backend says it.
const excluded = "excluded by the caller: "

// event is what "go doc test2json" describes.
type event struct {
	Action, Package, Test, ImportPath, Output string

	Elapsed float64 // seconds
}

// name is the test, or the package where the event is not about a test.
func (e *event) name() string {
	pkg := strings.TrimPrefix(strings.TrimPrefix(e.Package, module), "/")
	if pkg == "" {
		pkg = "tokensession"
	}
	if e.Test == "" {
		return pkg
	}
	return pkg + ": " + e.Test
}

type report struct {
	output  map[string]map[string][]string // of what has not ended yet, by package and test
	tests   map[string]int                 // how many ran, by package
	tested  map[string]bool                // packages that passed, with tests
	failed  int
	skipped []string
	wrong   []string
}

func main() {
	r := report{output: map[string]map[string][]string{}, tests: map[string]int{}, tested: map[string]bool{}}
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 16<<20) // the longest line that a test may print
	for in.Scan() {
		var e event
		if err := json.Unmarshal(in.Bytes(), &e); err != nil {
			fmt.Println(in.Text()) // not from a test
			continue
		}
		r.add(&e)
	}
	if err := in.Err(); err != nil {
		r.wrong = append(r.wrong, err.Error())
	}
	r.finish(os.Args[1:])
}

func (r *report) add(e *event) {
	switch e.Action {
	case "build-output":
		fmt.Print(e.Output)
	case "output":
		r.keep(e)
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.endPackage(e)
		} else {
			r.endTest(e)
		}
	}
}

func (r *report) keep(e *event) {
	if strings.HasPrefix(e.Output, "=== ") {
		return // that a test was started, paused or continued
	}
	if r.output[e.Package] == nil {
		r.output[e.Package] = map[string][]string{}
	}
	r.output[e.Package][e.Test] = append(r.output[e.Package][e.Test], e.Output)
}

func (r *report) endTest(e *event) {
	lines := r.output[e.Package][e.Test]
	delete(r.output[e.Package], e.Test)
	switch e.Action {
	case "pass":
		r.tests[e.Package]++
	case "fail":
		fmt.Print(strings.Join(lines, ""))
		r.failed++
		r.wrong = append(r.wrong, e.name()+" failed")
	case "skip":
		why := reason(lines)
		r.skipped = append(r.skipped, e.name()+"\n      "+why)
		if !strings.Contains(e.Test, "/") && !strings.HasPrefix(why, excluded) {
			r.wrong = append(r.wrong, e.name()+" was skipped")
		}
	}
}

// place is where in the source a test said something, if the testing package tells.
var place = regexp.MustCompile(`^\s*\S+\.go:\d+: `)

// reason is what a test said when it was skipped, without the place in the source.
func reason(lines []string) string {
	var said string
	for _, line := range lines {
		if strings.HasPrefix(strings.TrimSpace(line), "--- SKIP") {
			continue
		}
		said += " " + strings.TrimSpace(place.ReplaceAllString(line, ""))
	}
	return strings.TrimSpace(said)
}

func (r *report) endPackage(e *event) {
	switch {
	case e.Action == "fail":
		// A test that was running when the process died has not failed by itself.
		for _, lines := range r.output[e.Package] {
			fmt.Print(strings.Join(lines, ""))
		}
		r.wrong = append(r.wrong, e.name()+" failed")
	case r.tests[e.Package] > 0:
		r.tested[e.name()] = true
		fmt.Printf("ok    %-40s %6.1f s  %4d tests\n", e.name(), e.Elapsed, r.tests[e.Package])
	default:
		fmt.Printf("      %-40s            no tests\n", e.name())
	}
	delete(r.output, e.Package)
}

func (r *report) finish(required []string) {
	passed := 0
	for _, tests := range r.tests {
		passed += tests
	}
	if len(r.skipped) > 0 {
		fmt.Printf("\nskipped:\n  %s\n", strings.Join(r.skipped, "\n  "))
	}
	fmt.Printf("\n%d passed, %d failed, %d skipped\n", passed, r.failed, len(r.skipped))
	for _, name := range required {
		if !r.tested[name] {
			r.wrong = append(r.wrong, name+" was not tested")
		}
	}
	if len(r.wrong) > 0 {
		fmt.Printf("\nwrong:\n  %s\n", strings.Join(r.wrong, "\n  "))
		os.Exit(1)
	}
}
