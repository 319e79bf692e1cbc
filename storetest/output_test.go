package storetest

import (
	"os"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"github.com/tokensession/tokensession"
)

// outputVar names the suite that TestOutputOf is to run, in a process that output starts: a test
// that fails there must not fail here.
const outputVar = "TOKENSESSION_STORETEST_OUTPUT"

// outputs are suites that fail, or skip, and by what is to be shown.
var outputs = map[string]func() Suite{
	"counts the dead":       func() Suite { return suite(undead("Len")) },
	"waives in vain":        func() Suite { return waiving("Rule10_Delete/absent") },
	"waives a rule in vain": func() Suite { return waiving("Rule10_Delete") },
	"has no New":            func() Suite { return Suite{} },
	"has a typo":            func() Suite { s := suite(healthy); s.Granularity = -time.Second; return s },
	"is a bare store's":     func() Suite { return Suite{New: newBare} },
}

func waiving(name string) Suite {
	s := suite(healthy)
	s.Budget = time.Millisecond
	s.Waive = map[string]string{name: "for fun"}
	return s
}

func newBare(testing.TB) tokensession.Store { return bare{newReference(newServer(), "")} }

func TestOutputOf(t *testing.T) {
	if s, ok := outputs[os.Getenv(outputVar)]; ok {
		s().Run(t)
	}
}

// output returns what go test prints of a suite, of those of its checks that match run.
func output(t *testing.T, suite, run string, flags ...string) string {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, append(flags, "-test.run=^TestOutputOf$/"+run)...)
	cmd.Env = append(os.Environ(), outputVar+"="+suite)
	text, _ := cmd.CombinedOutput() // that it fails is what is wanted
	return string(text)
}

// ownLine is what the testing package puts before what is logged.
var ownLine = regexp.MustCompile(`\b(suite|waive|check)\.go:\d+: `)

// TestOutput wants what the suite says to come without a line of its own code, which tells its
// user nothing. What is wrong with the Suite comes with the line of the user's that runs it.
func TestOutput(t *testing.T) {
	for _, test := range []struct{ suite, run, want string }{
		{"counts the dead", "Rule11_Expiry/^Len$", `seen: Len = 4 `},
		{"counts the dead", "Rule11_Expiry/^Len$", `--- FAIL: TestOutputOf/Rule11_Expiry/Len `},
		{"is a bare store's", "Lister/empty", `the store is no tokensession.Lister`},
		{"is a bare store's", "Lister/empty", `--- SKIP: TestOutputOf/Lister/empty `},
		{"is a bare store's", "Lister/empty", `skipped:`},
		{"waives in vain", "Rule10_Delete/absent", `waived \(for fun\), but passes`},
		{"waives a rule in vain", "Rule10_Delete", `output_test.go:\d+: waived \(for fun\), but all its checks pass`},
		{"has no New", "", `output_test.go:\d+: storetest: Suite.New is nil`},
		{"has a typo", "Rule10_Delete/absent", `output_test.go:\d+: storetest: Suite.Granularity is -1s`},
	} {
		got := output(t, test.suite, test.run, "-test.v")
		if !regexp.MustCompile("(?m)^ *" + test.want).MatchString(got) {
			t.Errorf("%s: want %s in\n%s", test.suite, test.want, got)
		}
		if ownLine.MatchString(got) {
			t.Errorf("%s: shows %q in\n%s", test.suite, ownLine.FindString(got), got)
		}
	}
}
