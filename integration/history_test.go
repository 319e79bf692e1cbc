package integration

import (
	"context"
	"crypto/rand"
	"errors"
	"math"
	mathrand "math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/integration/backend"
	"github.com/tokensession/tokensession/internal/history"
	"github.com/tokensession/tokensession/memory"
)

var errUnknown = errors.New("the connection broke")

// judge is rule 16 as Porcupine sees it. A call of unknown outcome does not end, and may or
// may not have had its effect.
var judge = (&porcupine.NondeterministicModel{
	Init: func() []any { return []any{history.None} },
	Step: func(state, input, _ any) []any { return successors(state.(history.State), input.(history.Event)) },
}).ToModel()

func porcupineAccepts(h []history.Event) bool {
	operations := make([]porcupine.Operation, len(h))
	for i, e := range h {
		operations[i] = porcupine.Operation{Input: e, Call: e.Begin, Return: e.End}
		if e.Err == errUnknown {
			operations[i].Return = math.MaxInt64
		}
	}
	return porcupine.CheckOperations(judge, operations)
}

// successors returns the states in which a call can leave s; none if it cannot have ended as
// it did. That a Delete fails where nothing is to be deleted is no matter of rule 16.
func successors(s history.State, e history.Event) []any {
	next, err := outcome(s, e)
	switch {
	case e.Err == errUnknown && next != s:
		return []any{s, next}
	case e.Err == errUnknown, e.Op == "Delete" && s == history.None:
		return []any{s}
	case e.Err != err, e.Op == "Get" && e.Err == nil && e.To != s:
		return nil
	}
	return []any{next}
}

// outcome is what a store that has s under an id answers, and what it has then.
func outcome(s history.State, e history.Event) (history.State, error) {
	if e.Op == "Delete" {
		return history.None, nil
	}
	if s == history.None {
		if e.Op == "Create" {
			return e.To, nil
		}
		return s, tokensession.ErrNotFound
	}
	switch {
	case e.Op == "Create":
		return s, tokensession.ErrExists
	case e.Op == "Update" && e.From != s:
		return s, tokensession.ErrConflict
	case e.Op == "Update":
		return e.To, nil
	}
	return s, nil
}

// tally counts what both judges said.
type tally struct{ accepted, rejected, unknown int }

// compare lets both judge a history.
func (n *tally) compare(t *testing.T, h []history.Event) {
	t.Helper()
	ours := history.Linearizable(h)
	if theirs := porcupineAccepts(h); ours != theirs {
		var lines []string
		for _, e := range h {
			lines = append(lines, e.String())
		}
		t.Fatalf("the suite says %v, Porcupine %v:\n%s", ours, theirs, strings.Join(lines, "\n"))
	}
	if ours {
		n.accepted++
	} else {
		n.rejected++
	}
	for _, e := range h {
		if e.Unknown() {
			n.unknown++
			break
		}
	}
}

func (n *tally) report(t *testing.T) {
	t.Helper()
	t.Logf("%d histories, %d of them with unknown outcomes: both accepted %d and rejected %d",
		n.accepted+n.rejected, n.unknown, n.accepted, n.rejected)
}

var historyOps = []string{"Get", "Get", "Create", "Update", "Update", "Update", "Touch", "Delete"}

// simulate makes up a history of some clients on a store that is right. Each call takes
// effect at an instant of its own; one of unknown outcome then, later or never.
func simulate(r *mathrand.Rand) (h []history.Event) {
	type client struct {
		at      int // the index of its call, or -1
		working bool
	}
	clients := make([]client, 2+r.IntN(4))
	for i := range clients {
		clients[i].at = -1
	}
	var s, made history.State
	var late []int
	take := func(i int) {
		e := &h[i]
		next, err := outcome(s, *e)
		if e.Op == "Get" && err == nil {
			e.To = s
		}
		if e.Err == nil {
			e.Err = err
		}
		s = next
	}
	calls := 5 + r.IntN(20)
	for stamp := int64(1); stamp < int64(6*calls); stamp++ {
		c := &clients[r.IntN(len(clients))]
		switch {
		case c.at < 0 && len(h) < calls:
			e := history.Event{Op: historyOps[r.IntN(len(historyOps))], Begin: stamp, End: math.MaxInt64}
			if e.Op == "Update" {
				e.From = max(0, made-history.State(r.IntN(3)))
			}
			if e.Op == "Create" || e.Op == "Update" {
				made++
				e.To = made
			}
			c.at, c.working = len(h), true
			h = append(h, e)
		case c.at >= 0 && c.working && r.IntN(8) == 0: // no answer comes
			h[c.at].Err, h[c.at].End = errUnknown, stamp
			late = append(late, c.at)
			c.at = -1
		case c.at >= 0 && c.working:
			take(c.at)
			c.working = false
		case c.at >= 0:
			h[c.at].End = stamp
			c.at = -1
		case len(late) > 0 && r.IntN(4) == 0:
			take(late[0])
			late = late[1:]
		}
	}
	for _, c := range clients {
		if c.at >= 0 && c.working {
			h[c.at].Err = errUnknown
		}
	}
	return h
}

// corrupt changes one result of a history, or swaps two calls. What comes out may still
// have an explanation.
func corrupt(r *mathrand.Rand, valid []history.Event) []history.Event {
	h := append([]history.Event(nil), valid...)
	i, j := r.IntN(len(h)), r.IntN(len(h))
	a, b := &h[i], &h[j]
	switch r.IntN(4) {
	case 0:
		results := []error{nil, tokensession.ErrNotFound, tokensession.ErrExists, tokensession.ErrConflict, errUnknown}
		a.Err = results[r.IntN(len(results))]
	case 1:
		a.To = b.To
	case 2:
		a.From = b.From
	case 3:
		a.Begin, a.End, b.Begin, b.End = b.Begin, b.End, a.Begin, a.End
	}
	return h
}

// TestJudgesAgree compares the suite's checker of histories with Porcupine, on histories that
// are made up: valid ones, and each of them corrupted.
func TestJudgesAgree(t *testing.T) {
	seed := mathrand.Uint64()
	t.Logf("seed %d", seed)
	r := mathrand.New(mathrand.NewPCG(seed, 0))
	var valid, corrupted tally
	for range 3000 {
		h := simulate(r)
		valid.compare(t, h)
		corrupted.compare(t, corrupt(r, h))
	}
	if valid.rejected > 0 {
		t.Errorf("both rejected %d valid histories", valid.rejected)
	}
	if corrupted.rejected < 500 {
		t.Errorf("both rejected %d corrupted histories: too few to tell", corrupted.rejected)
	}
	valid.report(t)
	corrupted.report(t)
}

// TestJudgesAgreeOnStores compares them on what stores did: those of this repository, with a
// connection that breaks, and one that is wrong.
func TestJudgesAgreeOnStores(t *testing.T) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			backend.SkipExcluded(t, b.name)
			store := open(t, b.url(t))
			if n := recorded(t, store, 100); n.rejected > 0 {
				t.Errorf("both rejected %d histories", n.rejected)
			}
		})
	}
	t.Run("wrong", func(t *testing.T) {
		if n := recorded(t, hasty{memory.New(nil)}, 400); n.rejected == 0 {
			t.Error("both accepted all histories of a store that loses updates")
		}
	})
}

// recorded lets goroutines work on a store, one id after the other, and compares what the
// judges say.
func recorded(t *testing.T, store tokensession.Store, rounds int) (n tally) {
	for range rounds {
		breaking := &breaking{Store: store}
		c := &client{store: breaking, id: rand.Text(), made: map[tokensession.Version]history.State{}}
		var running sync.WaitGroup
		for range 4 {
			running.Go(func() {
				for range 6 {
					c.call(t.Context())
				}
			})
		}
		running.Wait()
		breaking.late.Wait()
		n.compare(t, c.history)
	}
	n.report(t)
	return n
}

// client makes calls on one id, and writes down what came of them.
type client struct {
	store         tokensession.Store
	id            string
	stamp, writes atomic.Int64

	mu      sync.Mutex
	made    map[tokensession.Version]history.State
	latest  tokensession.Version
	history []history.Event
}

func (c *client) call(ctx context.Context) {
	e := history.Event{Op: historyOps[mathrand.IntN(len(historyOps))]}
	c.mu.Lock()
	v := c.latest
	e.From = c.made[v]
	c.mu.Unlock()
	e.Begin = c.stamp.Add(1)
	switch e.Op {
	case "Get":
		var rec tokensession.Record
		rec, e.Err = c.store.Get(ctx, c.id)
		v = rec.Version
		n, _ := strconv.Atoi(string(rec.Data))
		e.To = history.State(n)
	case "Create":
		e.To = history.State(c.writes.Add(1))
		v, e.Err = c.store.Create(ctx, c.id, numbered(e.To, ""))
	case "Update":
		e.To = history.State(c.writes.Add(1))
		v, e.Err = c.store.Update(ctx, c.id, numbered(e.To, v))
	case "Touch":
		e.Err = c.store.Touch(ctx, c.id, time.Hour)
	case "Delete":
		e.Err = c.store.Delete(ctx, c.id)
	}
	e.End = c.stamp.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.history = append(c.history, e)
	if e.To != history.None && e.Err == nil {
		c.latest, c.made[v] = v, e.To
	}
}

func numbered(s history.State, from tokensession.Version) tokensession.Record {
	return tokensession.Record{Data: strconv.AppendInt(nil, int64(s), 10), Version: from, TTL: time.Hour}
}

// breaking is a store whose connection breaks now and then: before a write was sent, before
// its answer came, or so that the write arrives later.
type breaking struct {
	tokensession.Store
	late sync.WaitGroup
}

func (s *breaking) Create(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	return s.send(func() (tokensession.Version, error) { return s.Store.Create(ctx, id, rec) })
}

func (s *breaking) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	return s.send(func() (tokensession.Version, error) { return s.Store.Update(ctx, id, rec) })
}

func (s *breaking) Delete(ctx context.Context, id string) error {
	_, err := s.send(func() (tokensession.Version, error) { return "", s.Store.Delete(ctx, id) })
	return err
}

func (s *breaking) send(write func() (tokensession.Version, error)) (tokensession.Version, error) {
	switch mathrand.IntN(30) {
	case 0:
		return "", errUnknown
	case 1:
		write()
		return "", errUnknown
	case 2:
		s.late.Go(func() {
			runtime.Gosched()
			write()
		})
		return "", errUnknown
	}
	return write()
}

// hasty looks whether a Version is valid, and then updates from whichever is.
type hasty struct{ *memory.Store }

func (s hasty) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	if was, err := s.Get(ctx, id); err == nil && was.Version == rec.Version {
		runtime.Gosched()
		if is, err := s.Get(ctx, id); err == nil {
			rec.Version = is.Version
		}
	}
	return s.Store.Update(ctx, id, rec)
}
