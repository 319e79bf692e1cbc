package integration

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/tokensession/tokensession/storetest"
)

// otherStore is a store of another library.
type otherStore struct {
	suite  storetest.Suite
	direct map[string]func(*testing.T) // pass if the store does what an adapter would hide
}

var otherStores = []struct {
	name string
	open func(*testing.T) otherStore
}{
	{"memstore", scsMemstore},
	{"goredisstore", scsGoredisstore},
	{"pgxstore", scsPgxstore},
	{"fiber-redis", fiberRedis},
}

// TestOtherStores proves docs/other-stores.md. The suite is given what stands there as waived,
// and fails where a store does otherwise.
func TestOtherStores(t *testing.T) {
	findings := readFindings(t)
	for _, other := range otherStores {
		t.Run(other.name, func(t *testing.T) {
			store, waive := other.open(t), findings[other.name]
			for check, run := range store.direct {
				if waive[check] == "" {
					t.Errorf("%s does not say of %s: %s", otherStoresDoc, other.name, check)
				}
				delete(waive, check)
				t.Run(check, run)
			}
			store.suite.Waive = waive
			store.suite.Run(t)
		})
	}
}

const otherStoresDoc = "../docs/other-stores.md"

// otherStoresRows returns the cells of those rows of the document's tables that match.
func otherStoresRows(t *testing.T, row string) [][]string {
	t.Helper()
	doc, err := os.ReadFile(otherStoresDoc)
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\| `+row+` \|$`).FindAllStringSubmatch(string(doc), -1)
	if len(rows) == 0 {
		t.Fatalf("%s has no rows like %s", otherStoresDoc, row)
	}
	return rows
}

// readFindings returns what was seen, by store and check.
func readFindings(t *testing.T) map[string]map[string]string {
	findings := make(map[string]map[string]string)
	for _, other := range otherStores {
		findings[other.name] = make(map[string]string)
	}
	for _, row := range otherStoresRows(t, "`([^`]*)` \\| ([^|]*) \\| ([^|]*)") {
		check, stores, seen := row[1], row[2], row[3]
		for name := range strings.SplitSeq(stores, ", ") {
			if findings[name] == nil {
				t.Fatalf("%s: %s is of no store that is tested: %s", otherStoresDoc, check, name)
			}
			findings[name][check] = seen
		}
	}
	return findings
}

// TestOtherStoresVersions compares the versions that the document names with those that the
// tests are built with.
func TestOtherStoresVersions(t *testing.T) {
	for _, row := range otherStoresRows(t, "[^|]* \\| `([^`]*)` \\| (v[^|]*)") {
		path, version := row[1], row[2]
		built, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", path).Output()
		if got := strings.TrimSpace(string(built)); got != version || err != nil {
			t.Errorf("%s was seen at %s, says %s; the tests are built with %q, %v", path, version, otherStoresDoc, got, err)
		}
	}
}
