package storetest

import (
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/tokensession/tokensession"
)

// choices are what programs are made of where nobody wrote them: at random, or from the bytes of
// a fuzzer. What comes several times is chosen more often. The simplest comes first.
type choices struct {
	most int // calls in a random program
	ops  []string
	args [parameters][]string
}

// shortTTL is a TTL that a program waits for where the clock cannot be turned.
const shortTTL = 20 * time.Millisecond

// choices returns those for the store. Where its clock cannot be turned, a program does not wait
// for long.
func (s Suite) choices() choices {
	// To open a store on a server takes longer than many calls.
	most, waits := 100, []time.Duration{shortTTL, time.Millisecond, shortTTL / 2}
	if s.InProcess {
		most, waits = 25, []time.Duration{time.Hour, time.Hour - 1, 1, time.Millisecond, shortTTL, time.Minute, 31 * 24 * time.Hour}
	}
	return choices{
		most: most,
		ops: slices.Concat(
			repeated(5, "Get"), repeated(6, "Create"), repeated(7, "Update"), repeated(4, "Touch"), repeated(3, "Delete"),
			[]string{"Wait", "Wait", "Len", "All", "ByOwner", "ByOwner", "DeleteOwner", "Clear", "Reopen"}),
		args: [parameters][]string{
			paramID: slices.Concat(repeated(14, "a"), repeated(6, "b"), repeated(3, "c"),
				[]string{"A", "..", strings.Repeat("x", 128), "", "a b", strings.Repeat("x", 129)}),
			paramFrom: append(repeated(8, fromLatest), origins[1:]...),
			paramData: {"", "", "x", "x", "x", "y", "y", "longer than the others", "\x00\xff\r\n", strings.Repeat("x", 4096),
				strings.Repeat("x", 64<<10)},
			paramOwner: slices.Concat(repeated(4, ""), repeated(10, "alice"), repeated(5, "bob"),
				[]string{"Alice", strings.Repeat("é", 128), "a\x00b", "\xff", strings.Repeat("x", 257)}),
			paramTTL: slices.Concat(repeated(8, formatTime(time.Hour)), repeated(6, formatTime(shortTTL)), repeated(4, forever),
				times(time.Minute, time.Millisecond, 1, 31*24*time.Hour, tokensession.MaxTTL,
					0, -1, tokensession.MaxTTL+1, tokensession.Forever-1)),
			paramTime: times(waits...),
		},
	}
}

func repeated(n int, text string) []string { return slices.Repeat([]string{text}, n) }

func times(list ...time.Duration) []string {
	texts := make([]string, len(list))
	for i, d := range list {
		texts[i] = formatTime(d)
	}
	return texts
}

// decode makes a program of any bytes: one for each operation, and one for each of its
// arguments.
func (ch choices) decode(b []byte) (prog program) {
	for len(b) > 0 {
		c := instruction{op: pick(ch.ops, b[0])}
		params := operations[c.op]
		if b = b[1:]; len(b) < len(params) {
			break
		}
		for i, param := range params {
			c.args[param] = pick(ch.args[param], b[i])
		}
		prog, b = append(prog, c), b[len(params):]
	}
	return prog
}

func pick(from []string, b byte) string { return from[int(b)%len(from)] }

// encode returns bytes that decode makes prog of, as far as it is made of choices.
func (ch choices) encode(prog program) (b []byte) {
	for _, c := range prog {
		b = append(b, byte(max(0, slices.Index(ch.ops, c.op))))
		for _, param := range operations[c.op] {
			b = append(b, byte(max(0, slices.Index(ch.args[param], c.args[param]))))
		}
	}
	return b
}

// random returns the program of a seed.
func (ch choices) random(seed uint64) program {
	r := rand.New(rand.NewPCG(seed, 0))
	b := make([]byte, 3*(1+r.IntN(ch.most))) // three are about a call
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return ch.decode(b)
}

// simpler returns the choices that are simpler than arg, the simplest first.
func (ch choices) simpler(param parameter, arg string) []string {
	list := ch.args[param]
	if i := slices.Index(list, arg); i >= 0 {
		list = list[:i]
	}
	return slices.Compact(slices.Clone(list))
}
