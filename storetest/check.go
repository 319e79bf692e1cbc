package storetest

import (
	"fmt"
	"net/url"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// check is one way to break a rule, tried on a store of its own.
type check struct {
	name  string
	clock clock
	run   func(*probe)
}

// clock says what a check does with time.
type clock int

const (
	// still: it does not wait for time to pass.
	still clock = iota
	// aging: it waits for some tenths of a second, or turns the clock.
	aging
	// days: it waits for longer than anybody wants to, so the clock must be turned.
	days
)

// examine runs c on a new store and returns what it found.
func (s Suite) examine(t *testing.T, r *rule, c check) *recorder {
	exact := s.InProcess && c.clock != still
	if c.clock == days && !exact {
		return &recorder{
			skipped: true,
			lines:   []string{"the store's clock cannot be turned (Suite.InProcess), and to wait takes too long"},
		}
	}
	rec := &recorder{rule: r, secrets: s.Secrets}
	run := func(t *testing.T) {
		rec.TB = t
		rec.within(func() { c.run(s.newProbe(rec, r, exact)) })
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if exact {
			rec.bubble(t, run)
		} else {
			run(t)
		}
	}()
	return s.await(rec, ended)
}

// await waits until rec's check has ended, and returns rec. If no call has returned for a
// long time, it leaves the check to itself and returns a report of that.
func (s Suite) await(rec *recorder, ended <-chan struct{}) *recorder {
	const looks = 6
	quiet, calls := 0, rec.calls.Load()
	ticker := time.NewTicker(s.patience() + s.budget()/looks)
	defer ticker.Stop()
	for quiet < looks {
		select {
		case <-ended:
			return rec
		case <-ticker.C:
			quiet++
			if now := rec.calls.Load(); now != calls {
				quiet, calls = 0, now
			}
		}
	}
	hung := &recorder{rule: rec.rule, secrets: rec.secrets}
	hung.Errorf("seen: a call of the store did not return in %v\n%s\nrule:\n%s", looks*s.patience(), allGoroutines(),
		indent(rec.rule.text))
	return hung
}

// bubble runs f, a check, in a bubble of synctest. Goroutines that a store has
// left behind make synctest panic once f has returned: that is rule 18, which has a
// check of its own, and so a recorder that is done stays as it is.
func (r *recorder) bubble(t *testing.T, f func(*testing.T)) {
	defer func() {
		if reason := recover(); reason != nil && !r.done.Load() {
			r.Errorf("seen: calls that wait for each other for ever: %v\nrule:\n%s", reason, indent(r.rule.text))
		}
	}()
	synctest.Test(t, f)
}

// recorder is the testing.TB that checks and the Suite's functions are given. It
// keeps what they report until they are done, because a test in a bubble cannot
// say to the one outside that it was skipped; and it cleans up by itself, because
// what is left after that is what rule 18 is about.
type recorder struct {
	testing.TB
	rule    *rule
	secrets []string     // which no report shows
	calls   atomic.Int64 // how many calls of the store have returned
	done    atomic.Bool
	// failing is failed, for races, which cannot wait for a lock.
	failing atomic.Bool

	mu       sync.Mutex
	lines    []string
	failed   bool
	skipped  bool
	waived   bool // failed, and was to
	cleanups []func()
}

// within calls f and cleans up, in a goroutine that FailNow and SkipNow can end.
func (r *recorder) within(f func()) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer r.done.Store(true)
		defer r.cleanUp()
		defer r.catch()
		f()
	}()
	<-ended
}

// catch, deferred, reports a panic of the store as what the check has found.
func (r *recorder) catch() {
	if reason := recover(); reason != nil {
		r.Errorf("seen: a panic: %v\n%s\nrule:\n%s", reason, debug.Stack(), indent(r.rule.text))
	}
}

// replay tells t what was recorded.
func (r *recorder) replay(t *testing.T) {
	for _, line := range r.lines {
		say(t, line)
	}
	if r.failed {
		t.Fail()
	} else if r.skipped {
		t.SkipNow()
	}
}

// say adds to the output of t. The line of the suite that says it, which Log would put in
// front, tells a reader nothing.
func say(t *testing.T, text string) { fmt.Fprintln(t.Output(), text) }

// without returns text without the secrets, as they stand, quoted, or encoded in a URL.
func without(secrets []string, text string) string {
	for _, secret := range secrets {
		forms := []string{
			secret, unquoted(strconv.Quote(secret)), unquoted(strconv.QuoteToASCII(secret)),
			url.QueryEscape(secret), url.PathEscape(secret), url.User(secret).String(),
		}
		slices.SortFunc(forms, func(a, b string) int { return len(b) - len(a) })
		for _, form := range forms {
			text = strings.ReplaceAll(text, form, "(a secret)")
		}
	}
	return text
}

func unquoted(text string) string { return text[1 : len(text)-1] }

func (r *recorder) note(failed bool, line string) {
	line = without(r.secrets, line)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, line)
	if failed {
		r.fail()
	}
}

func (r *recorder) cleanUp() {
	r.mu.Lock()
	n := len(r.cleanups)
	if n == 0 {
		r.mu.Unlock()
		return
	}
	last := r.cleanups[n-1]
	r.cleanups = r.cleanups[:n-1]
	r.mu.Unlock()
	defer r.cleanUp() // also when last calls FailNow
	last()
}

func (r *recorder) Cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, f)
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

func (r *recorder) Skipped() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.skipped
}

func (r *recorder) Fail() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail()
}

func (r *recorder) fail() {
	r.failed = true
	r.failing.Store(true)
}

func (r *recorder) FailNow() {
	r.Fail()
	runtime.Goexit()
}

func (r *recorder) SkipNow() {
	r.mu.Lock()
	r.skipped = true
	r.mu.Unlock()
	runtime.Goexit()
}

func (r *recorder) Helper() {}

func (r *recorder) Log(args ...any) { r.note(false, line(args)) }

func (r *recorder) Logf(format string, args ...any) { r.note(false, fmt.Sprintf(format, args...)) }

func (r *recorder) Error(args ...any) { r.note(true, line(args)) }

func (r *recorder) Errorf(format string, args ...any) { r.note(true, fmt.Sprintf(format, args...)) }

func line(args []any) string { return strings.TrimSuffix(fmt.Sprintln(args...), "\n") }

func (r *recorder) Fatal(args ...any) {
	r.Error(args...)
	r.FailNow()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	r.FailNow()
}

func (r *recorder) Skip(args ...any) {
	r.Log(args...)
	r.SkipNow()
}

func (r *recorder) Skipf(format string, args ...any) {
	r.Logf(format, args...)
	r.SkipNow()
}
