package storetest

import (
	"errors"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/internal/history"
)

// execution is a program at work on a store and on the model.
type execution struct {
	*model
	store  tokensession.Store
	reopen func() tokensession.Store // nil: the records would be lost
}

// execute runs prog on a new store and returns where it first differs from the model, or nil.
// What the store cannot do is left out.
func (p *probe) execute(prog program) *difference {
	x := &execution{model: newModel(p), store: p.store}
	if p.suite.Reopen != nil && slices.ContainsFunc(prog, func(c instruction) bool { return c.op == "Reopen" }) {
		open := p.suite.Reopen(p.recorder)
		x.reopen = func() tokensession.Store { return p.open(open) }
		x.store = x.reopen()
	}
	var outcomes []string
	for i, c := range prog {
		outcome, diff := x.do(c)
		if diff == nil {
			diff = x.changed()
		}
		if diff != nil {
			diff.line, diff.outcomes = i, outcomes
			return diff
		}
		outcomes = append(outcomes, outcome)
	}
	return nil
}

// do makes a call. It returns the outcome in words, if that is right.
func (x *execution) do(c instruction) (string, *difference) {
	switch c.op {
	case "Get":
		return x.get(c)
	case "Create":
		return x.create(c)
	case "Update":
		return x.update(c)
	case "Touch":
		return x.doTouch(c)
	case "Delete":
		return x.delete(c)
	case "Len":
		return x.len()
	case "Clear":
		return x.clear()
	case "All":
		return x.all()
	case "ByOwner":
		return x.byOwner(c)
	case "DeleteOwner":
		return x.deleteOwner(c)
	case "Reopen":
		return x.doReopen()
	default:
		d, _ := parseTime(c.args[paramTime])
		time.Sleep(d)
		return "ok", nil
	}
}

const lacking = "left out: the store cannot do that"

// timed returns when f was called.
func timed(f func()) span {
	begin := time.Now()
	f()
	return span{begin, time.Now()}
}

// answers returns the right outcomes of a call on id, of which one is for a record that is there
// and one for none.
func (x *execution) answers(id string, during span, there, none error) []error {
	switch x.presence(id, during) {
	case present:
		return []error{there}
	case dead:
		return []error{none}
	}
	return []error{there, none}
}

func (x *execution) get(c instruction) (string, *difference) {
	id := c.args[paramID]
	var rec tokensession.Record
	var err error
	during := timed(func() { rec, err = x.store.Get(x.p.Context(), id) })
	if invalid := invalidID(id); invalid != nil {
		return history.ErrorName(err), judge("Rule01_IDs", err, invalid)
	}
	if err == nil {
		return showContent(rec), x.compare(id, rec, during)
	}
	diff := judge("Rule05_Get", err, x.answers(id, during, nil, tokensession.ErrNotFound)...)
	x.remove(id)
	return history.ErrorName(err), diff
}

// invalid returns the rule that the arguments break, and the error that they deserve.
func invalid(c instruction, ttl time.Duration) (string, error) {
	if err := invalidID(c.args[paramID]); err != nil {
		return "Rule01_IDs", err
	}
	if err := invalidOwner(c.args[paramOwner]); err != nil {
		return "Rule03_Owner", err
	}
	return "Rule04_TTL", invalidTTL(ttl)
}

func (x *execution) create(c instruction) (string, *difference) {
	id := c.args[paramID]
	ttl, _ := parseTime(c.args[paramTTL])
	var v tokensession.Version
	var err error
	rec := record(c.args[paramData], c.args[paramOwner], ttl)
	during := timed(func() { v, err = x.store.Create(x.p.Context(), id, rec) })
	scribble(rec.Data)
	if rule, invalid := invalid(c, ttl); invalid != nil {
		return history.ErrorName(err), judge(rule, err, invalid)
	}
	if diff := judge("Rule06_Create", err, x.answers(id, during, tokensession.ErrExists, nil)...); diff != nil || err != nil {
		return history.ErrorName(err), diff
	}
	x.put(id, c, ttl, during)
	return history.ErrorName(nil), x.learn(id, v)
}

func (x *execution) update(c instruction) (string, *difference) {
	id := c.args[paramID]
	ttl, _ := parseTime(c.args[paramTTL])
	from := x.version(id, c.args[paramFrom])
	var v tokensession.Version
	var err error
	rec := at(from, record(c.args[paramData], c.args[paramOwner], ttl))
	during := timed(func() { v, err = x.store.Update(x.p.Context(), id, rec) })
	scribble(rec.Data)
	if rule, invalid := invalid(c, ttl); invalid != nil {
		return history.ErrorName(err), judge(rule, err, invalid)
	}
	there := tokensession.ErrConflict
	if x.valid(id, from) {
		there = nil
	}
	diff := judge("Rule07_Update", err, x.answers(id, during, there, tokensession.ErrNotFound)...)
	switch {
	case diff != nil:
	case err == nil:
		x.put(id, c, ttl, during)
		diff = x.learn(id, v)
	case errors.Is(err, tokensession.ErrNotFound):
		x.remove(id)
	}
	return history.ErrorName(err), diff
}

func (x *execution) doTouch(c instruction) (string, *difference) {
	id := c.args[paramID]
	ttl, _ := parseTime(c.args[paramTTL])
	var err error
	during := timed(func() { err = x.store.Touch(x.p.Context(), id, ttl) })
	if rule, invalid := invalid(c, ttl); invalid != nil {
		return history.ErrorName(err), judge(rule, err, invalid)
	}
	diff := judge("Rule09_Touch", err, x.answers(id, during, nil, tokensession.ErrNotFound)...)
	switch {
	case diff != nil:
	case err == nil:
		x.touch(id, ttl, during)
	default:
		x.remove(id)
	}
	return history.ErrorName(err), diff
}

func (x *execution) delete(c instruction) (string, *difference) {
	id := c.args[paramID]
	err := x.store.Delete(x.p.Context(), id)
	if invalid := invalidID(id); invalid != nil {
		return history.ErrorName(err), judge("Rule01_IDs", err, invalid)
	}
	x.remove(id)
	return history.ErrorName(err), judge("Rule10_Delete", err, nil)
}

func (x *execution) len() (string, *difference) {
	counter, ok := tokensession.As[tokensession.Counter](x.store)
	if !ok {
		return lacking, nil
	}
	var n int
	var err error
	during := timed(func() { n, err = counter.Len(x.p.Context()) })
	if diff := judge("Counter", err, nil); diff != nil {
		return history.ErrorName(err), diff
	}
	return strconv.Itoa(n), x.count("Counter", n, "", during)
}

// count compares a number of records of an owner with those there are.
func (x *execution) count(rule string, n int, owner string, during span) *difference {
	sure, unsure := x.selected(owner, during)
	switch least, most := len(sure), len(sure)+len(unsure); {
	case n >= least && n <= most:
		return nil
	case least == most:
		return differs(rule, "%d, want %d", n, most)
	default:
		return differs(rule, "%d, want %d to %d", n, least, most)
	}
}

func (x *execution) clear() (string, *difference) {
	clearer, ok := tokensession.As[tokensession.Clearer](x.store)
	if !ok {
		return lacking, nil
	}
	err := clearer.Clear(x.p.Context())
	clear(x.lives)
	return history.ErrorName(err), judge("Clearer", err, nil)
}

func (x *execution) all() (string, *difference) {
	lister, ok := tokensession.As[tokensession.Lister](x.store)
	if !ok {
		return lacking, nil
	}
	return x.walk("Lister", lister.All(x.p.Context()), "")
}

func (x *execution) byOwner(c instruction) (string, *difference) {
	index, ok := tokensession.As[tokensession.OwnerIndex](x.store)
	if !ok {
		return lacking, nil
	}
	owner := c.args[paramOwner]
	seq := index.ByOwner(x.p.Context(), owner)
	if !indexable(owner) {
		err := firstError(seq)
		return history.ErrorName(err), judge("OwnerIndex", err, tokensession.ErrInvalidOwner)
	}
	return x.walk("OwnerIndex", seq, owner)
}

// indexable reports whether records can be found by owner.
func indexable(owner string) bool { return owner != "" && invalidOwner(owner) == nil }

// walk compares what seq shows with the records of an owner, or with all.
func (x *execution) walk(rule string, seq entries, owner string) (string, *difference) {
	shown := make(map[string]tokensession.Record)
	var diff *difference
	during := timed(func() {
		for e, err := range seq {
			if diff = judge(rule, err, nil); diff != nil {
				return
			}
			if _, again := shown[e.ID]; again && !x.p.suite.Repeats {
				diff = differs(rule, "%s twice", quote(e.ID))
				return
			}
			shown[e.ID] = e.Record
		}
	})
	for _, id := range slices.Sorted(maps.Keys(shown)) {
		if diff == nil {
			diff = x.entry(rule, id, shown[id], owner, during)
		}
	}
	if diff != nil {
		return "", diff
	}
	sure, unsure := x.selected(owner, during)
	for _, id := range sure {
		if _, ok := shown[id]; !ok {
			return "", differs(rule, "%d records, want %s among them", len(shown), quote(id))
		}
	}
	for _, id := range unsure {
		if _, ok := shown[id]; !ok {
			x.remove(id)
		}
	}
	return strconv.Itoa(len(shown)) + " records", nil
}

// entry compares one that was shown with the record.
func (x *execution) entry(rule, id string, rec tokensession.Record, owner string, during span) *difference {
	if owner != "" && rec.Owner != owner {
		return differs(rule, "%s of the owner %s", quote(id), quote(rec.Owner))
	}
	diff := x.compare(id, rec, during)
	if diff != nil {
		diff.seen = quote(id) + " with " + diff.seen
	}
	return diff
}

func (x *execution) deleteOwner(c instruction) (string, *difference) {
	index, ok := tokensession.As[tokensession.OwnerIndex](x.store)
	if !ok {
		return lacking, nil
	}
	owner := c.args[paramOwner]
	var n int
	var err error
	during := timed(func() { n, err = index.DeleteOwner(x.p.Context(), owner) })
	if !indexable(owner) {
		return history.ErrorName(err), judge("OwnerIndex", err, tokensession.ErrInvalidOwner)
	}
	if diff := judge("OwnerIndex", err, nil); diff != nil {
		return history.ErrorName(err), diff
	}
	diff := x.count("OwnerIndex", n, owner, during)
	sure, unsure := x.selected(owner, during)
	for _, id := range slices.Concat(sure, unsure) {
		x.remove(id)
	}
	return strconv.Itoa(n), diff
}

func (x *execution) doReopen() (string, *difference) {
	if x.reopen == nil {
		return lacking, nil
	}
	var err error
	if closer, ok := tokensession.As[io.Closer](x.store); ok {
		err = closer.Close()
	}
	x.store = x.reopen()
	return history.ErrorName(err), judge("Rule18_Close", err, nil)
}
