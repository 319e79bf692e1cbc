package storetest

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/internal/history"
)

// calls remembers the latest calls that one goroutine of a check has made, for the report of a
// failure. What it keeps of them is little, and it is put into words only if it is needed, so
// that races are not slowed down.
type calls struct {
	stamps *atomic.Int64 // counts the beginnings and the ends of all calls of a check
	racer  int           // which goroutine of a race; 0 is the check's own

	mu     sync.Mutex
	latest []call // a ring, once it is full
	next   int
	racers map[int]*calls // of those that run beside the check's own
}

// keptCalls is how many are remembered of each goroutine.
const keptCalls = 512

// call is one call and its outcome.
type call struct {
	racer      int
	begin, end int64
	at         time.Time // when it began, if not in a race

	name  string
	id    string // "" where it is about no record
	takes bool   // it was given rec
	gives bool   // it returned rec
	rec   digest
	ttl   time.Duration
	made  tokensession.Version
	err   error
	shown string // what it returned, if that is none of these
	text  string // instead of all that; such a call may have changed any record
}

// digest is what a report shows of a record. It holds no part of it, for that may change.
type digest struct {
	data    [24]byte // its beginning
	length  int
	owner   string
	version tokensession.Version
	ttl     time.Duration
}

func (d *digest) of(rec *tokensession.Record) {
	copy(d.data[:], rec.Data)
	d.length, d.owner, d.version, d.ttl = len(rec.Data), rec.Owner, rec.Version, rec.TTL
}

// beginning is that of the Data.
func (d *digest) beginning() string { return string(d.data[:min(d.length, len(d.data))]) }

func newCalls(stamps *atomic.Int64) *calls {
	return &calls{stamps: stamps, racers: make(map[int]*calls)}
}

// of returns the calls of a goroutine that runs beside the check's own.
func (c *calls) of(racer int) *calls {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.racers[racer] == nil {
		c.racers[racer] = &calls{stamps: c.stamps, racer: racer}
	}
	return c.racers[racer]
}

func (c *calls) begin(name, id string) call {
	one := call{racer: c.racer, begin: c.stamps.Add(1), name: name, id: id}
	if c.racer == 0 {
		one.at = time.Now()
	}
	return one
}

func (c *calls) ended(one *call) {
	one.end = c.stamps.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.latest) < keptCalls {
		c.latest = append(c.latest, *one)
		return
	}
	c.latest[c.next] = *one
	c.next = (c.next + 1) % keptCalls
}

// add remembers a call of another kind.
func (c *calls) add(result any, format string, args ...any) {
	one := c.begin("", "")
	one.text = fmt.Sprintf(format, args...) + fmt.Sprintf(" = %v", result)
	c.ended(&one)
}

// looked remembers a call that is about no record and changes none.
func (c *calls) looked(name, shown string) {
	one := c.begin(name, "")
	one.shown = shown
	c.ended(&one)
}

// last is the call that ended last.
func (c *calls) last() (last call, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.latest) == 0 {
		return call{}, false
	}
	return c.latest[(c.next+len(c.latest)-1)%len(c.latest)], true
}

// win is what is kept of a call of a race that succeeded, for as long as the race goes. The
// call itself may be forgotten when another turns out to have succeeded too.
type win struct {
	racer      int
	begin, end int64
	made       tokensession.Version
	number     int64 // of the state that it made, where they are numbered
}

// win is the call that this goroutine has made last.
func (c *calls) win(number int64) *win {
	last, _ := c.last()
	return &win{last.racer, last.begin, last.end, last.made, number}
}

// call is the call that w is kept of.
func (w *win) call(name, id string, rec tokensession.Record) call {
	c := call{racer: w.racer, begin: w.begin, end: w.end, name: name, id: id, takes: true, made: w.made}
	c.rec.of(&rec)
	return c
}

// list returns the calls of all goroutines in the order in which they began.
func (c *calls) list() []call {
	c.mu.Lock()
	list := slices.Clone(c.latest)
	var racers []*calls
	for _, r := range c.racers {
		racers = append(racers, r)
	}
	c.mu.Unlock()
	for _, r := range racers {
		list = append(list, r.list()...)
	}
	return inOrder(list)
}

// inOrder sorts calls by their beginnings.
func inOrder(list []call) []call {
	slices.SortFunc(list, func(a, b call) int { return cmp.Compare(a.begin, b.begin) })
	return list
}

// extract is a choice of calls that a report shows.
type extract func([]call) []call

// about chooses the calls about one record, those that may have changed it since the first of
// them, and the last.
func about(id string) extract {
	return func(list []call) []call {
		first := slices.IndexFunc(list, func(c call) bool { return c.id == id })
		if first < 0 {
			return list
		}
		begin, last := list[first].begin, list[len(list)-1].begin
		return slices.DeleteFunc(list, func(c call) bool {
			return c.id != id && c.begin != last && (c.text == "" || c.end < begin)
		})
	}
}

// with adds one call, which may be forgotten, to those that are chosen.
func (which extract) with(one call) extract {
	return func(list []call) []call {
		list = slices.DeleteFunc(which(list), func(c call) bool { return c.begin == one.begin })
		return inOrder(append(list, one))
	}
}

// noCalls is for reports that show what was called in their own way.
func noCalls([]call) []call { return nil }

// made chooses the calls that have made the record of id.
func made(id string) extract {
	return func(list []call) []call {
		return slices.DeleteFunc(list, func(c call) bool { return c.id != id || c.err != nil || c.made == "" })
	}
}

// replaced chooses the calls that made a state of one record, saw it, and replaced it. The state
// is known by its Data.
func replaced(id, state string) extract {
	return func(list []call) []call {
		versions := make(map[tokensession.Version]bool)
		for _, c := range list {
			if c.id == id && c.err == nil && c.gives && c.rec.beginning() == state {
				versions[c.rec.version] = true
			}
		}
		return slices.DeleteFunc(list, func(c call) bool {
			return c.id != id || c.err != nil || !versions[c.rec.version] && !versions[c.made]
		})
	}
}

// How many calls a report shows of those that were chosen.
const shownFirst, shownLast = 3, 10

// inWords puts calls into words, a line each. Versions that the store made are called v1, v2 in the
// order in which they come, as the ids that the suite made are by shorten.
func inWords(all []call, which extract) string {
	list := withoutRereads(which(slices.Clone(all)))
	names := versionsOf(slices.Concat(all, list))
	if len(list) == 0 {
		return ""
	}
	beside := slices.ContainsFunc(list, func(c call) bool { return c.racer > 0 })
	heading := "calls:"
	if beside {
		heading = "calls (by goroutine; each ran from one count to the other):"
	}
	lines := []string{heading}
	omitted := len(list) - shownFirst - shownLast
	for i, c := range list {
		switch {
		case omitted <= 1 || i < shownFirst || i >= shownFirst+omitted:
			lines = append(lines, "    "+c.margin(list[0].at, beside)+c.words(names))
		case i == shownFirst:
			lines = append(lines, fmt.Sprintf("    … %d more", omitted))
		}
	}
	return strings.Join(lines, "\n")
}

// withoutRereads takes out each Get that is followed by one that gave the same.
func withoutRereads(list []call) []call {
	var rest []call
	for i, c := range list {
		if i+1 < len(list) && c.gives && c.err == nil && list[i+1].repeats(c) {
			continue
		}
		rest = append(rest, c)
	}
	return rest
}

func (c call) repeats(other call) bool {
	if !c.gives || c.err != nil || c.name != other.name || c.id != other.id || c.racer != other.racer {
		return false
	}
	a, b := c.rec, other.rec
	a.ttl, b.ttl = 0, 0
	return a == b
}

// margin says when the call was made, and in a race by which goroutine and, in counts, from when
// to when.
func (c call) margin(start time.Time, beside bool) string {
	if beside {
		return fmt.Sprintf("#%d %6d to %6d  ", c.racer, c.begin, c.end)
	}
	return fmt.Sprintf("%7s  ", "+"+brief(c.at.Sub(start)))
}

// brief is d as exact as a reader wants it.
func brief(d time.Duration) string {
	for _, unit := range []time.Duration{time.Second, 10 * time.Millisecond, 100 * time.Microsecond} {
		if d >= 100*unit {
			return d.Round(unit).String()
		}
	}
	return d.Round(10 * time.Microsecond).String()
}

func (c call) words(names *versionNames) string {
	if c.text != "" {
		return c.text
	}
	var args []string
	if c.id != "" {
		args = append(args, fmt.Sprintf("%.40q", c.id))
	}
	if c.takes {
		args = append(args, c.rec.words(names))
	}
	if c.ttl != 0 {
		args = append(args, showTTL(c.ttl))
	}
	outcome := history.ErrorName(c.err)
	switch {
	case c.shown != "":
		outcome = c.shown
	case c.err == nil && c.gives:
		outcome = c.rec.words(names)
	case c.err == nil && c.made != "":
		outcome = names.of(c.made)
	}
	if strings.HasSuffix(c.name, ")") { // it has its arguments
		return c.name + " = " + outcome
	}
	return fmt.Sprintf("%s(%s) = %s", c.name, strings.Join(args, ", "), outcome)
}

// versionNames are what a report calls Versions.
type versionNames struct {
	made  map[tokensession.Version]string // by the store; "" until it is shown
	shown int
}

func versionsOf(list []call) *versionNames {
	names := &versionNames{made: make(map[tokensession.Version]string)}
	for _, c := range list {
		names.made[c.made] = ""
		if c.gives {
			names.made[c.rec.version] = ""
		}
	}
	return names
}

func (n *versionNames) of(v tokensession.Version) string {
	name, made := n.made[v]
	if !made {
		return fmt.Sprintf("%.40q", v)
	}
	if name == "" {
		n.shown++
		name = fmt.Sprintf("v%d", n.shown)
		n.made[v] = name
	}
	return name
}

func (d *digest) words(names *versionNames) string {
	text := fmt.Sprintf("{Data: %q", d.beginning())
	if d.length > len(d.data) {
		text += fmt.Sprintf("… (%d bytes)", d.length)
	}
	if d.owner != "" {
		text += fmt.Sprintf(", Owner: %.40q", d.owner)
	}
	if d.version != "" {
		text += ", Version: " + names.of(d.version)
	}
	return text + ", TTL: " + showTTL(d.ttl) + "}"
}

func showTTL(ttl time.Duration) string {
	if ttl == tokensession.Forever {
		return "Forever"
	}
	return ttl.String()
}

// show is rec in words, without its Version, which tells a reader nothing.
func show(rec tokensession.Record) string {
	var d digest
	d.of(&rec)
	d.version = ""
	return d.words(nil)
}

// generated matches what newID returns.
var generated = regexp.MustCompile(`[A-Z2-7]{26}`)

// shorten calls the ids of calls that newID has made id1, id2 in the order in which they come.
func shorten(text string, list []call) string {
	made := make(map[string]bool)
	for _, c := range list {
		made[generated.FindString(c.id)] = true
	}
	names := make(map[string]string)
	return generated.ReplaceAllStringFunc(text, func(id string) string {
		if !made[id] {
			return id
		}
		if names[id] == "" {
			names[id] = fmt.Sprintf("id%d", len(names)+1)
		}
		return names[id]
	})
}
