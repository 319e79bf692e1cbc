package storetest

import (
	"cmp"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/internal/history"
)

// essence is what is left of a history that is not linearizable when the calls are taken out that
// changed nothing and that it does not need for that.
func essence(events []history.Event) []history.Event {
	events = slices.Clone(events)
	for i := 0; i < len(events); {
		rest := slices.Delete(slices.Clone(events), i, i+1)
		if mayWrite(events[i]) || history.Linearizable(rest) {
			i++
			continue
		}
		events = rest
	}
	return events
}

// mayWrite reports whether a call may have changed the state.
func mayWrite(e history.Event) bool {
	return e.Op != "Get" && e.Op != "Touch" && (e.Err == nil || e.Unknown())
}

// historian lets goroutines work on one id, and writes down what they do.
type historian struct {
	p       *probe
	id      string
	stamp   atomic.Int64
	writes  atomic.Int64
	mu      sync.Mutex
	made    map[tokensession.Version]history.State // what made each Version that was seen
	latest  tokensession.Version
	history []history.Event
}

// step makes one random call.
func (h *historian) step(store tokensession.Store) {
	ctx, e := h.p.Context(), history.Event{Op: "Get", Begin: h.stamp.Add(1)}
	var v tokensession.Version
	switch rand.IntN(8) {
	case 0, 1:
		var rec tokensession.Record
		rec, e.Err = store.Get(ctx, h.id)
		n, _ := strconv.Atoi(string(rec.Data))
		v, e.To = rec.Version, history.State(n)
	case 2:
		e.Op, e.To = "Create", history.State(h.writes.Add(1))
		v, e.Err = store.Create(ctx, h.id, h.record(e.To, ""))
	case 3, 4, 5:
		var from tokensession.Version
		from, e.From = h.version()
		runtime.Gosched() // others may replace it meanwhile, on a machine with one processor too
		e.Op, e.To = "Update", history.State(h.writes.Add(1))
		v, e.Err = store.Update(ctx, h.id, h.record(e.To, from))
	case 6:
		e.Op, e.Err = "Touch", store.Touch(ctx, h.id, time.Hour)
	case 7:
		e.Op, e.Err = "Delete", store.Delete(ctx, h.id)
	}
	e.End = h.stamp.Add(1)
	h.add(e, v)
}

func (h *historian) record(n history.State, v tokensession.Version) tokensession.Record {
	return at(v, record(strconv.Itoa(int(n)), "", time.Hour))
}

func (h *historian) version() (tokensession.Version, history.State) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.latest, h.made[h.latest]
}

func (h *historian) add(e history.Event, v tokensession.Version) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.history = append(h.history, e)
	if e.Err == nil && v != "" {
		h.made[v], h.latest = e.To, v
	}
}

// linearHistories writes short histories and checks each.
func linearHistories(p *probe) {
	const goroutines, steps = 4, 6
	handles := p.handles()
	p.rounds(func() {
		h := &historian{p: p, id: newID(), made: make(map[tokensession.Version]history.State)}
		together(goroutines, func(i int) {
			for range steps {
				h.step(handles[i%len(handles)])
			}
		})
		if !history.Linearizable(h.history) {
			slices.SortFunc(h.history, func(a, b history.Event) int { return cmp.Compare(a.Begin, b.Begin) })
			var lines []string
			for _, e := range essence(h.history) {
				lines = append(lines, e.String())
			}
			p.failure(noCalls, "no order of these calls explains their outcomes (each ran from one count to the other):\n%s",
				indent(strings.Join(lines, "\n")))
			p.FailNow()
		}
		p.delete(h.id)
	})
}

// linearReads reads what was written, by another handle if there is one, as soon as the
// write has returned.
func linearReads(p *probe) {
	handles := p.handles()
	other := p.on(handles[len(handles)-1])
	p.rounds(func() {
		id := newID()
		v := p.mustCreate(id, record("created", "", time.Hour))
		other.wantRecord(id, record("created", "", 0))
		p.mustUpdate(id, at(v, record("updated", "owner", time.Hour)))
		other.wantRecord(id, record("updated", "owner", 0))
		p.mustDelete(id)
		other.wantGone(id)
	})
}
