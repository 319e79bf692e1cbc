package storetest

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/tokensession/tokensession"
)

// Capability is a set of the optional interfaces of a Store: those of package
// tokensession, under their names there, and [io.Closer].
type Capability uint

const (
	Counter Capability = 1 << iota
	Clearer
	Lister
	OwnerIndex
	Pinger
	Closer

	AllCapabilities = Counter | Clearer | Lister | OwnerIndex | Pinger | Closer
)

// capabilities say how each is called, and whether a store has it.
var capabilities = []struct {
	bit  Capability
	name string // of the constant here and of its check
	of   string // the interface
	has  func(tokensession.Store) bool
}{
	{Counter, "Counter", "tokensession.Counter", has[tokensession.Counter]},
	{Clearer, "Clearer", "tokensession.Clearer", has[tokensession.Clearer]},
	{Lister, "Lister", "tokensession.Lister", has[tokensession.Lister]},
	{OwnerIndex, "OwnerIndex", "tokensession.OwnerIndex", has[tokensession.OwnerIndex]},
	{Pinger, "Pinger", "tokensession.Pinger", has[tokensession.Pinger]},
	{Closer, "Closer", "io.Closer", has[io.Closer]},
}

func has[T any](store tokensession.Store) bool {
	_, ok := tokensession.As[T](store)
	return ok
}

// capabilityChecks compare what is declared with what is there, each for one capability.
func capabilityChecks() (list []check) {
	for _, c := range capabilities {
		list = append(list, check{c.name, still, func(p *probe) {
			found, declared := c.has(p.store), p.suite.Capabilities&c.bit != 0
			switch {
			case found && !declared:
				p.fatalf("the store is a %s, which Suite.Capabilities does not say: add storetest.%s, "+
					"or take the methods away if the backend cannot do it honestly", c.of, c.name)
			case declared && !found:
				p.fatalf("Suite.Capabilities has storetest.%s, but tokensession.As finds no %s in the store", c.name, c.of)
			}
		}})
	}
	return list
}

// mistakes are those that the Suite itself shows, without a store.
func (s Suite) mistakes() (list []string) {
	mistake := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if unknown := s.Capabilities &^ AllCapabilities; unknown != 0 {
		mistake("Suite.Capabilities has the bits %#x, which stand for nothing", uint(unknown))
	}
	if s.Granularity < 0 {
		mistake("Suite.Granularity is %v; accepted are 0 (exact) and more", s.Granularity)
	}
	if s.TooLarge < 0 || s.TooLarge > 0 && s.TooLarge <= atLeast {
		mistake("Suite.TooLarge is %d; every store holds %d bytes (rule 2)", s.TooLarge, atLeast)
	}
	if s.Budget < 0 {
		mistake("Suite.Budget is %v; accepted are 0 (%v) and more", s.Budget, defaultBudget)
	}
	if s.IOTimeout < 0 || s.IOTimeout > 0 && s.Network == nil {
		mistake("Suite.IOTimeout is %v; it is for the stores that Suite.Network opens, and 0 or more", s.IOTimeout)
	}
	if slices.Contains(s.Secrets, "") {
		mistake("Suite.Secrets has an empty string, which every error shows")
	}
	if s.Shared && s.Reopen == nil {
		mistake("Suite.Shared is set, but Reopen, which opens what is shared, is nil")
	}
	names := checkNames()
	for name, reason := range s.Waive {
		if !slices.Contains(names, name) {
			mistake("Suite.Waive[%q] names no rule and no check, such as %q or %q", name, "Rule07_Update",
				"Rule07_Update/one_winner")
		}
		if strings.TrimSpace(reason) == "" {
			mistake("Suite.Waive[%q] gives no reason", name)
		}
	}
	slices.Sort(list)
	return list
}

// checkNames are those of all rules and all checks.
func checkNames() (names []string) {
	for _, r := range rules {
		names = append(names, r.name)
		for _, c := range r.checks {
			names = append(names, r.name+"/"+c.name)
		}
	}
	return names
}
