package storetest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tokensession/tokensession"
)

// program is a sequence of calls on one store, made one after the other. Its text is described
// on Suite.Replay.
type program []instruction

// instruction is a call of a method of the store or of a capability, or another thing that a program
// does: Wait lets time pass, Reopen closes the store and opens it again.
type instruction struct {
	op   string
	args [parameters]string // "" where op has no such parameter
}

// parameter is what an argument is for. Arguments are texts, so that they can be read,
// written and made simpler all in one way.
type parameter int

const (
	paramID parameter = iota
	paramFrom
	paramData
	paramOwner
	paramTTL
	paramTime
	parameters
)

// paramNames stand before the arguments that are not the first of their operation.
var paramNames = [parameters]string{"id", "from", "data", "owner", "ttl", "time"}

// operations are what a program can do, each with its parameters. The first of them stands
// without a name.
var operations = map[string][]parameter{
	"Get":         {paramID},
	"Create":      {paramID, paramData, paramOwner, paramTTL},
	"Update":      {paramID, paramFrom, paramData, paramOwner, paramTTL},
	"Touch":       {paramID, paramTTL},
	"Delete":      {paramID},
	"Len":         {},
	"Clear":       {},
	"All":         {},
	"ByOwner":     {paramOwner},
	"DeleteOwner": {paramOwner},
	"Reopen":      {},
	"Wait":        {paramTime},
}

// The Versions that an Update may come from.
const (
	fromLatest    = "latest"    // the last one that was seen of the id
	fromStale     = "stale"     // the last one of the state before
	fromFirst     = "first"     // the first one that was seen of the id
	fromForeign   = "foreign"   // the last one of another id
	fromEmpty     = "empty"     // ""
	fromMalformed = "malformed" // what no store makes
)

var origins = []string{fromLatest, fromStale, fromFirst, fromForeign, fromEmpty, fromMalformed}

const forever = "forever"

// maxString is the longest string in a program: every store holds as much Data (rule 2).
const maxString = 512 << 10

// String returns the text of the program, which parseProgram reads.
func (prog program) String() string {
	lines := make([]string, len(prog))
	for i, c := range prog {
		lines[i] = c.String()
	}
	return strings.Join(lines, "\n")
}

func (c instruction) String() string {
	words := []string{c.op}
	for i, param := range operations[c.op] {
		arg := c.args[param]
		switch param {
		case paramID, paramData, paramOwner:
			if arg == "" && i > 0 {
				continue
			}
			arg = quote(arg)
		}
		if i > 0 {
			arg = paramNames[param] + "=" + arg
		}
		words = append(words, arg)
	}
	return strings.Join(words, " ")
}

// quote returns s in quotes, and what is one character again and again as that.
func quote(s string) string {
	_, size := utf8.DecodeRuneInString(s)
	if n := len(s) / max(size, 1); n > 16 && s == strings.Repeat(s[:size], n) {
		return fmt.Sprintf("%s*%d", strconv.QuoteToASCII(s[:size]), n)
	}
	return strconv.QuoteToASCII(s)
}

// parseProgram reads the text of a program. Its error names the line, and what is accepted.
func parseProgram(text string) (program, error) {
	var prog program
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		c, err := parseCall(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		prog = append(prog, c)
	}
	return prog, nil
}

func parseCall(line string) (instruction, error) {
	op, rest, _ := strings.Cut(line, " ")
	params, ok := operations[op]
	if !ok {
		return instruction{}, fmt.Errorf("unknown operation %q; accepted are %s", op,
			strings.Join(slices.Sorted(maps.Keys(operations)), ", "))
	}
	c := instruction{op: op}
	given := make(map[parameter]bool)
	for i := 0; ; i++ {
		rest = strings.TrimLeft(rest, " \t")
		if rest == "" || rest[0] == '#' {
			break
		}
		param, value, err := named(op, params, rest, i == 0)
		if err != nil {
			return instruction{}, err
		}
		if given[param] {
			return instruction{}, fmt.Errorf("%s: %s stands there twice", op, paramNames[param])
		}
		given[param] = true
		if c.args[param], rest, err = param.parse(value); err != nil {
			return instruction{}, fmt.Errorf("%s: %w", op, err)
		}
	}
	for i, param := range params {
		if optional := i > 0 && (param == paramData || param == paramOwner); !given[param] && !optional {
			return instruction{}, fmt.Errorf("%s: %s is missing; accepted is %s", op, paramNames[param], usage(op))
		}
	}
	return c, nil
}

// named returns the parameter at the start of text, and what follows its name.
func named(op string, params []parameter, text string, first bool) (parameter, string, error) {
	if first && len(params) > 0 {
		return params[0], text, nil
	}
	name, value, _ := strings.Cut(text, "=")
	for i, param := range params {
		if i > 0 && name == paramNames[param] {
			return param, value, nil
		}
	}
	return 0, "", fmt.Errorf("%s does not take %.40s; accepted is %s", op, text, usage(op))
}

// usage shows how op is written.
func usage(op string) string {
	example := instruction{op: op, args: [parameters]string{"a", fromLatest, "x", "alice", "1h", "1h"}}
	return example.String()
}

// parse reads one argument at the start of text and returns what follows it.
func (param parameter) parse(text string) (arg, rest string, err error) {
	switch param {
	case paramID, paramData, paramOwner:
		return unquote(text)
	}
	arg, rest = text, ""
	if end := strings.IndexAny(text, " \t#"); end >= 0 {
		arg, rest = text[:end], text[end:]
	}
	if param == paramFrom {
		if !slices.Contains(origins, arg) {
			err = fmt.Errorf("unknown Version %q; accepted are %s", arg, strings.Join(origins, ", "))
		}
		return arg, rest, err
	}
	d, err := parseTime(arg)
	if err != nil {
		return "", "", err
	}
	if param == paramTime && (d < 0 || d == tokensession.Forever) {
		return "", "", fmt.Errorf("a time to wait of %q; accepted are 0 and more, but not %s", arg, forever)
	}
	return formatTime(d), rest, nil
}

// unquote is the inverse of quote for the string that text begins with.
func unquote(text string) (s, rest string, err error) {
	quoted, err := strconv.QuotedPrefix(text)
	if err == nil {
		s, err = strconv.Unquote(quoted)
	}
	if err != nil {
		return "", "", fmt.Errorf(`%.40s does not begin with a string; accepted are "text" and "x"*100, quoted as in Go`, text)
	}
	rest = text[len(quoted):]
	if after, repeated := strings.CutPrefix(rest, "*"); repeated {
		digits := after[:len(after)-len(strings.TrimLeft(after, "0123456789"))]
		n, err := strconv.Atoi(digits)
		if err != nil || n > maxString {
			return "", "", fmt.Errorf("a string is repeated %q times; accepted are 0 to %d", digits, maxString)
		}
		if n*len(s) > maxString {
			return "", "", fmt.Errorf("a string of %d bytes; accepted are up to %d", n*len(s), maxString)
		}
		s, rest = strings.Repeat(s, n), after[len(digits):]
	}
	if len(s) > maxString {
		return "", "", fmt.Errorf("a string of %d bytes; accepted are up to %d", len(s), maxString)
	}
	if rest != "" && !strings.ContainsAny(rest[:1], " \t#") {
		return "", "", fmt.Errorf("%.40s follows on a string; accepted is a space", rest)
	}
	return s, rest, nil
}

var errTime = errors.New(`accepted are Go's durations, such as 1h30m or 50ms, and ` + forever)

func parseTime(text string) (time.Duration, error) {
	if text == forever {
		return tokensession.Forever, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is no time; %w", text, errTime)
	}
	return d, nil
}

// formatTime returns the shortest text that parseTime reads as d.
func formatTime(d time.Duration) string {
	if d == tokensession.Forever {
		return forever
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
