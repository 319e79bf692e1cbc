package storetest

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/internal/history"
)

// rounds calls f until the budget is spent or the check has failed.
func (p *probe) rounds(f func()) {
	for end := time.Now().Add(p.suite.budget()); ; {
		f()
		if p.Failed() || time.Now().After(end) {
			return
		}
	}
}

// together calls f n times at once and waits until all have returned. In f, only the
// methods of probe that do not end the check may be called. A panic in f is one of together.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	var panicked atomic.Value
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			defer func() {
				if reason := recover(); reason != nil {
					panicked.Store(fmt.Sprintf("%v\n%s", reason, debug.Stack()))
				}
			}()
			<-start
			f(i)
		})
	}
	close(start)
	wg.Wait()
	if reason := panicked.Load(); reason != nil {
		panic(reason)
	}
}

// handles returns the stores that a race is run on: two that share their records where
// the Suite can open them, else the one there is. The first is p's from now on.
func (p *probe) handles() []tokensession.Store {
	if !p.suite.Shared || p.suite.Reopen == nil {
		return []tokensession.Store{p.store}
	}
	open := p.suite.Reopen(p.recorder)
	first, second := p.open(open), p.open(open)
	p.store = first
	return []tokensession.Store{first, second}
}

// race calls f n times at once. What f repeats it repeats while going: until the budget is
// spent or the check has failed.
func (p *probe) race(n int, f func(i int, going func() bool)) {
	end := time.Now().Add(p.suite.budget())
	going := func() bool { return time.Now().Before(end) && !p.failing.Load() }
	together(n, func(i int) { f(i, going) })
}

// racers is how many goroutines compete. Eight find a lock that is dropped and retaken
// for a nanosecond in 9 to 26 ms.
const racers = 8

// outcomes counts how calls ended.
type outcomes struct{ won, lost, unknown atomic.Int64 }

// add counts a call that may only succeed, fail with loss or end unknown.
func (o *outcomes) add(p *probe, err, loss error) {
	switch {
	case err == nil:
		o.won.Add(1)
	case errors.Is(err, loss):
		o.lost.Add(1)
	case history.Known(err):
		p.errorf("a call that can succeed or fail with %s: got %s", history.ErrorName(loss), history.ErrorName(err))
	default:
		o.unknown.Add(1)
	}
}

// createRace lets all create ids that are new.
func createRace(p *probe) {
	handles := p.handles()
	prefix := newID() + "-"
	end := time.Now().Add(p.suite.budget())
	id := func(n int64) string { return fmt.Sprint(prefix, n) }
	for n := range p.compete(handles, id, func(int64) bool { return time.Now().Before(end) }) {
		p.store.Delete(p.Context(), id(n))
	}
}

// createRaceExpired lets all create ids whose records have expired.
func createRaceExpired(p *probe) {
	const ttl, several = time.Millisecond, 16
	handles := p.handles()
	p.rounds(func() {
		var ids []string
		for range several {
			ids = append(ids, newID())
			p.mustCreate(ids[len(ids)-1], record("old", "", ttl))
		}
		p.sleepPast(time.Now().Add(ttl))
		p.compete(handles, func(n int64) string { return ids[n%several] }, func(n int64) bool { return n < several })
		for _, id := range ids {
			p.store.Delete(p.Context(), id)
		}
	})
}

// compete lets all create one id after the other while there are more, and returns how many
// there were. The next one's turn comes when a Create of this one has returned, so there is always
// one that several want. Each is created once.
func (p *probe) compete(handles []tokensession.Store, id func(n int64) string, more func(n int64) bool) int64 {
	var turn atomic.Int64
	var o outcomes
	rec := record("data", "", time.Hour)
	var created sync.Map // by the numbers of the ids, the first win
	together(racers, func(i int) {
		q := p.racer(i, handles[i%len(handles)])
		for n := turn.Load(); more(n) && !p.failing.Load(); n = turn.Load() {
			_, err := q.create(id(n), rec)
			o.add(q, err, tokensession.ErrExists)
			if err == nil {
				if first, twice := created.LoadOrStore(n, q.calls.win(0)); twice {
					q.failure(made(id(n)).with(first.(*win).call("Create", id(n), rec)),
						"two of %d Creates of one id at once succeeded", racers)
				}
			}
			turn.CompareAndSwap(n, n+1)
		}
	})
	if p.Failed() {
		p.FailNow()
	}
	for n := range turn.Load() {
		if _, ok := created.Load(n); !ok && o.unknown.Load() == 0 {
			p.failAbout(id(n), "of %d Creates of one id at once, none succeeded", racers)
		}
	}
	return turn.Load()
}

// numbered is a state of a record. Its TTL is at least a minute from that of the million states
// before it: more would come to MaxTTL one day.
func numbered(n int64) tokensession.Record {
	return record(strconv.FormatInt(n, 10), "", time.Hour+time.Duration(n%1e6)*time.Minute)
}

// updateRace lets all update one record, each from the state that it has just read.
// The states are numbered.
func updateRace(p *probe) {
	handles := p.handles()
	id := newID()
	begun := time.Now()
	p.mustCreate(id, numbered(0))
	var number atomic.Int64
	var o outcomes
	var won sync.Map // by the state that the Update was from, the first win
	p.race(racers, func(i int, going func() bool) {
		q := p.racer(i, handles[i%len(handles)])
		for going() {
			was, err := q.get(id)
			if err != nil {
				continue
			}
			n := number.Add(1)
			_, err = q.update(id, at(was.Version, numbered(n)))
			o.add(q, err, tokensession.ErrConflict)
			if err != nil {
				continue
			}
			state := string(was.Data)
			if first, twice := won.LoadOrStore(state, q.calls.win(n)); twice {
				first := first.(*win)
				q.failure(replaced(id, state).with(first.call("Update", id, at(was.Version, numbered(first.number)))),
					"two of %d Updates at once from one Version, that of the Data %q, succeeded", racers, state)
			}
		}
	})
	if o.lost.Load() > 0 && o.won.Load() == 0 && o.unknown.Load() == 0 {
		p.failAbout(id, "%d Updates from Versions that Get had just given failed, and none succeeded", o.lost.Load())
	}
	if o.unknown.Load() > 0 || p.Failed() {
		return
	}
	is := p.mustGet(id)
	n, _ := strconv.ParseInt(string(is.Data), 10, 64)
	set := numbered(n)
	near := time.Minute/2 + time.Since(begun) + p.suite.Granularity // to be exact is a matter of rule 4
	if off := (is.TTL - set.TTL).Abs(); off > near {
		p.failAbout(id, "the TTL is %s after a race that left the Data %q, which came with %s: an Update that failed changed it",
			showTTL(is.TTL), is.Data, showTTL(set.TTL))
	}
}

// onceIncrements counts in a record with Get and Update, from several goroutines. What it
// shows in the end is how many Updates succeeded.
func onceIncrements(p *probe) {
	handles := p.handles()
	id := newID()
	p.mustCreate(id, record("0", "", time.Hour))
	var o outcomes
	p.race(4, func(i int, going func() bool) {
		q := p.racer(i, handles[i%len(handles)])
		for going() {
			rec, err := q.get(id)
			if err != nil {
				continue
			}
			n, err := strconv.Atoi(string(rec.Data))
			if err != nil {
				q.errorf("Get gave %s: no Update wrote this", show(rec))
				return
			}
			_, err = q.update(id, at(rec.Version, record(strconv.Itoa(n+1), "", time.Hour)))
			o.add(q, err, tokensession.ErrConflict)
		}
	})
	n, _ := strconv.Atoi(string(p.mustGet(id).Data))
	if won := int(o.won.Load()); n < won || n > won+int(o.unknown.Load()) {
		p.fatalf("%d Updates that each add 1 succeeded, %d ended unknown, and the sum is %d", won, o.unknown.Load(), n)
	}
}

// onceChain goes from one Version to the next without a Get. After each step the
// record is what the last one made of it, and the one before it is past.
func onceChain(p *probe) {
	id := newID()
	v := p.mustCreate(id, record("0", "", time.Hour))
	for i := 1; i <= 50; i++ {
		rec := record(strconv.Itoa(i), "", time.Hour)
		next := p.mustUpdate(id, at(v, rec))
		p.wantRecord(id, rec)
		_, err := p.update(id, at(v, record("again", "", time.Hour)))
		p.want(tokensession.ErrConflict, err, "the same Update again")
		p.wantRecord(id, rec)
		v = next
	}
}

// write is one write to the record of id, from Version v. It returns the Version to go on
// from.
type write func(p *probe, id string, v tokensession.Version) (tokensession.Version, error)

func rewrite(p *probe, id string, v tokensession.Version) (tokensession.Version, error) {
	return p.update(id, at(v, record("data", "owner", time.Hour)))
}

func prolong(p *probe, id string, v tokensession.Version) (tokensession.Version, error) {
	return v, p.touch(id, time.Hour)
}

// neverBack removes a record while it is written again and again, until that fails or was
// tried once more after the removal. In the end no record is there.
func (p *probe) neverBack(name string, write write, remove func(p *probe, id string) error) {
	handles := p.handles()
	p.rounds(func() {
		id := newID()
		v := p.mustCreate(id, record("data", "owner", time.Hour))
		var removed atomic.Bool
		var failed error
		together(2, func(i int) {
			if i == 0 {
				defer removed.Store(true)
				failed = remove(p.racer(0, p.store), id)
				return
			}
			q := p.racer(1, handles[len(handles)-1])
			for last, err := false, error(nil); err == nil && !last; {
				last = removed.Load()
				if v, err = write(q, id, v); errors.Is(err, tokensession.ErrConflict) {
					q.errorf("%s that nothing competes with but a removal: %v", name, err)
				}
			}
		})
		if history.Known(failed) {
			p.failure(about(id), "to remove a record while it is written: %v", failed)
			return
		}
		if _, err := p.get(id); err == nil && failed == nil {
			p.fatalf("%s in flight brought back a record that was removed", name)
		}
	})
}

func deleteBesideUpdate(p *probe) { p.neverBack("Update", rewrite, (*probe).delete) }

func deleteBesideTouch(p *probe) { p.neverBack("Touch", prolong, (*probe).delete) }

func clearBesideUpdate(p *probe) {
	capability[tokensession.Clearer](p)
	p.neverBack("Update", rewrite, func(p *probe, _ string) error { return p.clear() })
}

func deleteOwnerBesideUpdate(p *probe) {
	capability[tokensession.OwnerIndex](p)
	p.neverBack("Update", rewrite, func(p *probe, _ string) error {
		n, err := p.deleteOwner("owner")
		if err == nil && n != 1 {
			p.errorf("DeleteOwner = %d while the owner's only record was updated, want 1", n)
		}
		return err
	})
}

// touchBesideUpdate touches a record without a pause while it is updated. Touch takes
// back no Update, and makes none fail.
func touchBesideUpdate(p *probe) {
	handles := p.handles()
	id := newID()
	v := p.mustCreate(id, record("0", "", time.Hour))
	var over atomic.Bool
	var touchers sync.WaitGroup
	touchers.Go(func() {
		defer p.catch()
		q := p.racer(0, handles[len(handles)-1])
		for !over.Load() {
			if err := q.touch(id, time.Hour); history.Known(err) {
				q.errorf("Touch beside Updates: %v", err)
				return
			}
		}
	})
	defer touchers.Wait()
	defer over.Store(true)
	n := 0
	p.rounds(func() {
		n++
		rec := record(strconv.Itoa(n), "", time.Hour)
		v = p.mustUpdate(id, at(v, rec))
		p.wantRecord(id, rec)
	})
}
