package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/internal/history"
)

// model is what a store that keeps the contract holds, as far as that can be known from
// outside. Between the instants at which a life may have ended and at which it must have,
// the store is right either way, and the model learns from its answer.
type model struct {
	p     *probe
	lives map[string]*life
	seen  map[string][]seenVersion // by id, in the order in which they were first seen
	state int                      // the number of the latest state
	shown []shownData
}

// shownData is Data that the store gave, and what it was then.
type shownData struct {
	data []byte
	was  string
}

// life is a record that was not seen to be gone.
type life struct {
	data, owner string
	state       int
	forever     bool
	set         span          // the call that gave it
	ttl         time.Duration // this TTL
}

type seenVersion struct {
	tokensession.Version
	state int
}

// span is when a call was made: between two readings of the clock.
type span struct{ begin, end time.Time }

// presence is whether a record is there during a call.
type presence int

const (
	dead presence = iota
	perhaps
	present
)

func newModel(p *probe) *model {
	return &model{p: p, lives: make(map[string]*life), seen: make(map[string][]seenVersion)}
}

// drift is what the clocks may have drifted apart since the TTL of l was set.
func (m *model) drift(l *life, during span) time.Duration {
	return m.p.drift(during.end.Sub(l.set.begin))
}

func (m *model) presence(id string, during span) presence {
	l := m.lives[id]
	switch {
	case l == nil:
		return dead
	case l.forever:
		return present
	}
	drift := m.drift(l, during)
	if during.end.Sub(l.set.begin) < l.ttl-drift {
		return present
	}
	if during.begin.Sub(l.set.end) >= l.ttl+m.p.suite.Granularity+drift {
		return dead
	}
	return perhaps
}

// put begins a life that is in a new state.
func (m *model) put(id string, c instruction, ttl time.Duration, during span) {
	m.state++
	m.lives[id] = &life{data: c.args[paramData], owner: c.args[paramOwner], state: m.state}
	m.touch(id, ttl, during)
}

func (m *model) touch(id string, ttl time.Duration, during span) {
	l := m.lives[id]
	l.forever, l.ttl, l.set = ttl == tokensession.Forever, ttl, during
}

// remove ends a life: the record was deleted, or seen to be gone.
func (m *model) remove(id string) { delete(m.lives, id) }

// version returns what an Update of id comes from.
func (m *model) version(id, origin string) tokensession.Version {
	seen := m.seen[id]
	switch origin {
	case fromStale:
		for _, v := range slices.Backward(seen) {
			if v.state != seen[len(seen)-1].state {
				return v.Version
			}
		}
	case fromFirst:
		if len(seen) > 0 {
			return seen[0].Version
		}
	case fromLatest:
		if len(seen) > 0 {
			return seen[len(seen)-1].Version
		}
	case fromForeign:
		var latest seenVersion
		for other, seen := range m.seen {
			if v := seen[len(seen)-1]; other != id && v.state > latest.state {
				latest = v
			}
		}
		if latest.state > 0 {
			return latest.Version
		}
	case fromEmpty:
		return ""
	}
	return "\xff is no Version"
}

// valid reports whether v is a Version of the state that the record of id is in.
func (m *model) valid(id string, v tokensession.Version) bool {
	l := m.lives[id]
	return l != nil && slices.Contains(m.seen[id], seenVersion{v, l.state})
}

// learn takes in a Version that the store gave for the record of id, or says what is wrong
// with it.
func (m *model) learn(id string, v tokensession.Version) *difference {
	if v == "" {
		return differs("Rule05_Get", "an empty Version, want all fields set")
	}
	now := seenVersion{v, m.lives[id].state}
	for _, seen := range m.seen[id] {
		if seen.Version == v && seen.state != now.state {
			return differs("Rule08_Versions", "a Version that an earlier state of this id had, want a new one")
		}
	}
	if !slices.Contains(m.seen[id], now) {
		m.seen[id] = append(m.seen[id], now)
	}
	return nil
}

// compare takes in a record that the store showed, or says what is wrong with it.
func (m *model) compare(id string, rec tokensession.Record, during span) *difference {
	l := m.lives[id]
	switch {
	case l == nil || m.presence(id, during) == dead:
		return differs("Rule11_Expiry", "%s, want none: no live record is there", showContent(rec))
	case string(rec.Data) != l.data || rec.Owner != l.owner:
		return differs("Rule05_Get", "%s, want %s", showContent(rec),
			showContent(tokensession.Record{Data: []byte(l.data), Owner: l.owner, TTL: l.ttl}))
	case (rec.TTL == tokensession.Forever) != l.forever:
		return differs("Rule04_TTL", "the TTL %v, want %v", formatTime(rec.TTL), formatTime(l.ttl))
	}
	m.shown = append(m.shown, shownData{rec.Data, l.data})
	least := l.ttl - during.end.Sub(l.set.begin) - m.drift(l, during)
	// The end may be late by one granularity, and what is shown of it longer by another.
	most := l.ttl - during.begin.Sub(l.set.end) + m.drift(l, during) + 2*m.p.suite.Granularity
	if !l.forever && (rec.TTL <= 0 || rec.TTL < least || rec.TTL > most) {
		return differs("Rule04_TTL", "the TTL %v, want one from %v to %v, of %v that were set %v before",
			rec.TTL, max(1, least), most, formatTime(l.ttl), during.begin.Sub(l.set.end))
	}
	return m.learn(id, rec.Version)
}

// changed says whether Data that the store gave is no longer what it was.
func (m *model) changed() *difference {
	for _, s := range m.shown {
		if string(s.data) != s.was {
			return differs("Rule05_Get", "a change of Data that was returned before: %s, which was %s",
				quote(string(s.data)), quote(s.was))
		}
	}
	return nil
}

// showContent is show without the Version, which differs from run to run.
func showContent(rec tokensession.Record) string {
	return fmt.Sprintf("{Data: %s, Owner: %s, TTL: %s}", quote(string(rec.Data)), quote(rec.Owner), formatTime(rec.TTL))
}

// selected returns the ids of the records that are there during a call, or may be, of one
// owner or, if that is empty, of all.
func (m *model) selected(owner string, during span) (sure, unsure []string) {
	for id, l := range m.lives {
		if owner != "" && l.owner != owner {
			continue
		}
		switch m.presence(id, during) {
		case present:
			sure = append(sure, id)
		case perhaps:
			unsure = append(unsure, id)
		}
	}
	slices.Sort(sure)
	return sure, unsure
}

// The model knows by itself what arguments are valid (rules 1, 3 and 4).

func invalidID(id string) error {
	if len(id) < 1 || len(id) > 128 || strings.ContainsFunc(id, func(r rune) bool { return r < 0x21 || r > 0x7E }) {
		return tokensession.ErrInvalidID
	}
	return nil
}

func invalidOwner(owner string) error {
	if len(owner) > 256 || !utf8.ValidString(owner) || strings.Contains(owner, "\x00") {
		return tokensession.ErrInvalidOwner
	}
	return nil
}

func invalidTTL(ttl time.Duration) error {
	if ttl <= 0 || ttl > 36525*24*time.Hour && ttl != tokensession.Forever {
		return tokensession.ErrInvalidTTL
	}
	return nil
}

// difference is where a store and the model part.
type difference struct {
	line int    // of the program's calls, from 0
	rule string // the name of the one that is broken
	seen string

	// outcomes are those of the calls before.
	outcomes []string
}

func differs(rule, format string, args ...any) *difference {
	return &difference{rule: rule, seen: fmt.Sprintf(format, args...)}
}

// judge returns a difference unless err is one of want, where nil is success.
func judge(rule string, err error, want ...error) *difference {
	for _, target := range want {
		if errors.Is(err, target) {
			return nil
		}
	}
	var texts []string
	for _, target := range want {
		texts = append(texts, history.ErrorName(target))
	}
	return differs(rule, "%s, want %s", history.ErrorName(err), strings.Join(texts, " or "))
}
