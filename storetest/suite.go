// Package storetest proves that a [tokensession.Store] keeps its contract.
//
// # Start
//
// The author of a driver writes one test:
//
//	func TestStore(t *testing.T) {
//		storetest.Suite{
//			New:          func(tb testing.TB) tokensession.Store { return mystore.New(nil) },
//			Capabilities: storetest.Lister | storetest.Closer,
//			InProcess:    true,
//		}.Run(t)
//	}
//
// New makes an empty store; that is all that the suite must have. Set InProcess for a
// store in memory or on a local disk, and leave it out for one on a server, where New
// gives each store a namespace of its own: the example shows such a test.
//
// Run has a subtest for each rule that stands on [tokensession.Store], under its number,
// and for each capability: Rule07_Update, Lister. Below these are the checks, each one way
// to break the rule: Rule07_Update/one_winner. Use go test -race, so that data races in
// the store show, and while you work on one check
//
//	go test -race -run TestStore/Rule07/one_winner
//
// Races have a budget of time and not a number of rounds: a fast store is tried more
// often. With -short they have a third of it; before a release, Budget: 10*time.Second
// looks further.
//
// # Read a failure
//
// A failure says what was seen, which calls led to it, and what the rule is:
//
//	seen: Update of an expired record: got nil, want ErrNotFound
//	calls:
//	       +0s  Create("id1", {Data: "old", Owner: "owner", TTL: 100ms}) = v1
//	    +100ms  Update("id1", {Data: "new", Owner: "owner", Version: v1, TTL: 1h0m0s}) = v2
//	rule:
//	    11. Expiry. A record is gone for every method and capability the moment its
//	    …
//
// Only the calls on the record in question are listed. Ids that the suite made up are
// called id1, id2, and Versions that the store made v1, v2, whatever they are; what is in
// quotes was passed as it stands. In front is the time since the first call shown. Of
// races it is the goroutine, #0 being the check's own, and the numbers of a counter
// between which the call ran: two calls whose spans overlap ran at the same time.
//
// # Declare
//
// The fields of [Suite] say what the store has and how exact it is, and the suite compares
// that with what it finds. A capability that the store has and Capabilities has not, or
// the other way round, is a failure. So is Data of length TooLarge that is stored, or half
// of it that is refused as too large, and a record that is seen later than Granularity
// after its end.
//
// What cannot be checked, because the store lacks a capability or a field of the Suite is
// not set, is skipped and says why. All that was skipped is listed once more, by reason, at
// the end of Run, which go test shows with -v or when something failed.
//
// # Waive
//
// A store that cannot keep a rule, and says so to its users, waives it by its name or that
// of a check:
//
//	Waive: map[string]string{
//		"Rule08_Versions/reopened": "Versions are counted from 1 after a restart; issue 12",
//	},
//
// The check runs all the same, and is shown as skipped, with the reason and what was seen.
// When it passes, that is a failure: the waiver has had its day. A call that hangs or
// panics is a failure like others, and can be waived; a panic in a goroutine of the store
// itself cannot.
//
// # What it assumes
//
// Every check has a store of its own, which New makes. Checks run one after the other.
// Where stores share a server, New gives each a namespace of its own, which nothing else
// uses. The clocks of server and machine run at the same rate; they need not show the same
// time. A call that has nothing to wait for returns within 10 seconds.
//
// Time is judged by readings around the calls. A slow machine therefore makes the suite
// see less and never makes it fail. Where the store runs in this process (InProcess), the
// checks that wait turn its clock with [testing/synctest], and take no time at all.
//
// # Programs
//
// What no single rule shows, a sequence of calls may. The subtest Programs makes up such
// sequences, runs each on a new store and compares every outcome with what the contract
// says. One that fails is made as short and simple as it can be, and shown as text, one call a
// line:
//
//	Create "a" owner="alice" ttl=1h
//	Touch "a" ttl=forever
//	ByOwner "alice"
//
// To see that it does not come back, put it into a file testdata/storetest/NAME.txt of the
// package under test: Programs/kept runs them all. [Suite.Replay] runs one, and [Suite.Fuzz]
// looks for more of them for as long as go test -fuzz may.
//
// # What it cannot see
//
// To pass means that no counterexample was found. A server that dies or fails over is not
// tried here: of rule 8 the suite sees what a restart of the application does. Of rules 12
// to 14 it sees what a context that ends in the middle of a call brings to light, and, where
// the author sets Network, what a network does that refuses, stalls, delays and loses answers.
// It does not see how much memory an iteration takes, what goes wrong with more than 1100
// records, and whether what was granted within a granularity was needed.
package storetest

import (
	"cmp"
	"testing"
	"time"

	"github.com/tokensession/tokensession"
)

// Suite describes a store to the checks. New is required, and Capabilities unless the store
// has none.
type Suite struct {
	// New returns a new and empty store. The suite closes it if it is an
	// [io.Closer]; for what else is to be cleaned up, New calls tb.Cleanup, and the
	// suite runs that after each check. New may call tb.Skip and tb.Fatal. Goroutines that
	// are left then count as the store's (rule 18), those of connections included that a
	// client keeps open, such as a shared [net/http.Client]: New makes each store a client of
	// its own, and closes it.
	New func(tb testing.TB) tokensession.Store

	// Capabilities are those that the store has. The suite compares them with what
	// [tokensession.As] finds, so that none gets lost unnoticed, and none comes in that
	// nobody meant to promise.
	Capabilities Capability

	// InProcess says that the store runs in this process alone, in memory or on
	// a local disk, and that its clock is [time.Now]. It must be able to live in a
	// bubble of [testing/synctest]: New makes all that it waits for, goroutines,
	// channels and timers.
	InProcess bool

	// Granularity is how long after the end of its TTL a record may still be seen
	// (rule 11), and by how much the TTL that Get returns may be longer than what is
	// then left. 0 is exact.
	Granularity time.Duration

	// TooLarge is a length of Data that the store refuses (rule 2), and half of it one that
	// it holds, which is tried up to 4 MiB; 0 if there is none that a test can afford.
	TooLarge int

	// Repeats says that All and ByOwner may show a record twice.
	Repeats bool

	// Namespaces returns two empty stores on one server, in the namespaces called a
	// and b: prefixes, tables, buckets (rule 17). The suite chooses names that a
	// careless encoding mixes up. They come again in every check: where the server stays,
	// what tells one call from the next is put in front of both names. A name that
	// the driver refuses by its documentation is a reason for tb.Skip. Nil: no other
	// store can reach this one's backend.
	Namespaces func(tb testing.TB, a, b string) (tokensession.Store, tokensession.Store)

	// Reopen returns a function that opens one and the same store each time it is
	// called, and finds it empty at first. The suite closes one before it
	// opens the next, as a restart of the application does (rule 8), unless Shared is
	// set. Nil: the records do not outlive the store.
	Reopen func(tb testing.TB) (open func() tokensession.Store)

	// Shared says that what Reopen opens can be open several times, as by
	// several processes. The races then use two handles.
	Shared bool

	// Network returns the address of a server, "host:port", and a function that opens
	// one and the same store, which is empty at first, by that address or by the one of a
	// proxy before it. The suite opens it both ways and breaks the network between proxy and
	// server, as in package faultnet (rules 12, 13, 14 and 18). Nil: no network is between
	// the store and its records.
	Network func(tb testing.TB) (upstream string, open func(addr string) tokensession.Store)

	// IOTimeout is how long after its context was canceled a call may wait for a server that
	// stalls (rule 13), in the stores that Network opens by the address of a proxy. The suite
	// waits as long, so let it be some tenths of a second there. 0: it does not wait.
	IOTimeout time.Duration

	// Corrupt returns a new and empty store, and a function that damages the record of an id in
	// its backend, so that the store cannot read it ([tokensession.ErrCorrupt]). Nil: nothing
	// can stand there that the store cannot read.
	Corrupt func(tb testing.TB) (store tokensession.Store, damage func(id string))

	// Secrets are what no error may show, as it stands, quoted or encoded in a URL: the password
	// that Network puts into one, say. Reports of failures do not show them either.
	Secrets []string

	// Budget is the time that each race takes; 0 is 100 ms. With -short it is a third.
	Budget time.Duration

	// Waive says which rules or checks the store does not keep, and why: it maps the name of a
	// subtest, "Rule08_Versions" or "Rule08_Versions/reopened", to a reason. They run all
	// the same, and are shown as skipped, with the reason and what was seen. A waived check
	// that passes is a failure, and so is a waived rule of which all checks pass: then the
	// waiver has had its day. A race that is lost only now and then is tried again for
	// up to fourteen times the Budget before it counts as passed.
	Waive map[string]string

	// Seed is that of the first random program; 0 is a new one in each run. A failure says
	// with which Seed it comes again at once.
	Seed uint64

	// hangs is what patience returns, where a test of the suite wants it shorter.
	hangs time.Duration
}

// Run checks every rule and every capability, each in a subtest of t. It ends with a list of
// what was skipped.
func (s Suite) Run(t *testing.T) {
	t.Helper() // what is wrong with the Suite is wrong where it stands
	if s.New == nil {
		t.Fatal("storetest: Suite.New is nil")
	}
	for _, mistake := range s.mistakes() {
		t.Error("storetest: " + mistake)
	}
	var skipped []skip
	for i := range rules {
		t.Run(rules[i].name, func(t *testing.T) {
			t.Helper()
			list, idle := s.runRule(t, &rules[i])
			skipped = append(skipped, list...)
			if idle != "" {
				t.Error(idle)
			}
		})
	}
	if len(skipped) > 0 {
		say(t, "skipped:\n"+indent(byReason(skipped)))
	}
}

// defaultBudget is what the documentation of Budget says.
const defaultBudget = 100 * time.Millisecond

func (s Suite) budget() time.Duration {
	budget := cmp.Or(s.Budget, defaultBudget)
	if testing.Short() {
		return budget / 3
	}
	return budget
}

// patience is how long a call that has nothing to wait for may take until the suite says
// that it hangs.
func (s Suite) patience() time.Duration {
	if s.hangs > 0 {
		return s.hangs
	}
	return 10 * time.Second
}
