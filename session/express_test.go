package session_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestTableOfExpressSessionNamesRealTests keeps docs/express-session.md from rotting.
func TestTableOfExpressSessionNamesRealTests(t *testing.T) {
	const cases = 142
	text, err := os.ReadFile(filepath.FromSlash("../docs/express-session.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests := testsHere(t)
	row := regexp.MustCompile(`^\| (\d+) \| (.+) \| (.+) \|$`)
	name := regexp.MustCompile("`(Test\\w*)`")
	n := 0
	for line := range strings.Lines(string(text)) {
		cells := row.FindStringSubmatch(strings.TrimSpace(line))
		if cells == nil {
			continue
		}
		if n++; cells[1] != strconv.Itoa(n) {
			t.Errorf("case %d has the number %s", n, cells[1])
		}
		for _, test := range name.FindAllStringSubmatch(cells[3], -1) {
			if !tests[test[1]] {
				t.Errorf("case %d names %s, which does not exist", n, test[1])
			}
		}
	}
	if n != cases {
		t.Errorf("the table has %d cases; there are %d", n, cases)
	}
}

// testsHere returns the names of the tests of this package.
func testsHere(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Test") {
				names[fn.Name.Name] = true
			}
		}
	}
	return names
}
