package storetest

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokensession/tokensession"
)

func TestParseProgram(t *testing.T) {
	text := `
# What follows a sharp is a comment.
Create "a" data="x y # z" owner="alice" ttl=1h # here too

	Update  "a"  ttl=90m  owner="\x00" data="x"*512 from=stale
Touch "\"" ttl=-1ns
Wait 100ms
ByOwner ""
DeleteOwner "é"*100
Get "x"*3#
Clear
`
	want := `Create "a" data="x y # z" owner="alice" ttl=1h
Update "a" from=stale data="x"*512 owner="\x00" ttl=1h30m
Touch "\"" ttl=-1ns
Wait 100ms
ByOwner ""
DeleteOwner "\u00e9"*100
Get "xxx"
Clear`
	prog, err := parseProgram(text)
	if err != nil {
		t.Fatal(err)
	}
	if got := prog.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestParseProgramErrors(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"Get \"a\"\n\nPut \"a\"", "line 3: unknown operation \"Put\"; accepted are All, ByOwner, Clear, Create, "},
		{`Get`, `line 1: Get: id is missing; accepted is Get "a"`},
		{`Get a`, `Get: a does not begin with a string; accepted are "text" and "x"*100`},
		{`Get "a`, `Get: "a does not begin with a string`},
		{`Get "a"b`, `Get: b follows on a string; accepted is a space`},
		{`Get "a" "b"`, `Get does not take "b"; accepted is Get "a"`},
		{`Len 1`, `Len does not take 1; accepted is Len`},
		{`Create "a" data="x"`, `Create: ttl is missing; accepted is Create "a" data="x" owner="alice" ttl=1h`},
		{`Create "a" ttl=1h ttl=2h`, `Create: ttl stands there twice`},
		{`Create "a" ttl=1`, `Create: "1" is no time; accepted are Go's durations, such as 1h30m or 50ms, and forever`},
		{`Create "a" data="xx"*262145 ttl=1h`, `Create: a string of 524290 bytes; accepted are up to 524288`},
		{`Create "a" data="x"*-1 ttl=1h`, `Create: a string is repeated "" times; accepted are 0 to 524288`},
		{`Update "a" ttl=1h`, `Update: from is missing; accepted is Update "a" from=latest data="x" owner="alice" ttl=1h`},
		{`Update "a" from=last ttl=1h`, `Update: unknown Version "last"; accepted are latest, stale, first, foreign, empty, malformed`},
		{`Wait forever`, `Wait: a time to wait of "forever"; accepted are 0 and more, but not forever`},
		{`Wait -1s`, `Wait: a time to wait of "-1s"; accepted are 0 and more, but not forever`},
	} {
		_, err := parseProgram(test.text)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s\ngot  %v\nwant %s", test.text, err, test.want)
		}
	}
}

// TestProgramsInComments reads the programs that stand in the documentation: each is one, and
// Replay's has every operation.
func TestProgramsInComments(t *testing.T) {
	for _, name := range []string{"suite.go", "programs.go"} {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		for line := range strings.Lines(string(source)) {
			first, _, _ := strings.Cut(strings.TrimPrefix(line, "//\t"), " ")
			if _, ok := operations[strings.TrimSpace(first)]; ok && strings.HasPrefix(line, "//\t") {
				text.WriteString(strings.TrimPrefix(line, "//"))
			}
		}
		prog, err := parseProgram(text.String())
		if err != nil {
			t.Errorf("%s: %v in\n%s", name, err, &text)
		}
		if name == "programs.go" && len(prog) != len(operations) || len(prog) < 3 {
			t.Errorf("%s: %d calls in\n%s", name, len(prog), &text)
		}
	}
}

// FuzzParseProgram wants what was read to be written so that it reads the same.
func FuzzParseProgram(f *testing.F) {
	for seed := range uint64(50) {
		f.Add(suite(healthy).choices().random(seed).String())
	}
	f.Fuzz(func(t *testing.T, text string) {
		prog, err := parseProgram(text)
		if err != nil {
			return
		}
		again, err := parseProgram(prog.String())
		if err != nil || !slices.Equal(prog, again) {
			t.Errorf("%q\nwas written\n%s\nand read as\n%s\n%v", text, prog, again, err)
		}
	})
}

// FuzzDecode wants any bytes to be a program, which can be written as bytes and as text.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("any bytes"))
	choices := suite(healthy).choices()
	f.Fuzz(func(t *testing.T, b []byte) {
		prog := choices.decode(b)
		if again := choices.decode(choices.encode(prog)); !slices.Equal(prog, again) {
			t.Errorf("%s\nwas written as bytes and read as\n%s", prog, again)
		}
		if again, err := parseProgram(prog.String()); err != nil || !slices.Equal(prog, again) {
			t.Errorf("%s\nwas written as text and read as\n%s\n%v", prog, again, err)
		}
	})
}

// TestChoices wants each operation and argument to be drawn, the latter valid and invalid.
func TestChoices(t *testing.T) {
	choices := suite(healthy).choices()
	var all program
	for seed := range uint64(500) {
		all = append(all, choices.random(seed)...)
	}
	text := all.String()
	for op := range operations {
		if !strings.Contains(text, op) {
			t.Errorf("no program has %s", op)
		}
	}
	for param, list := range choices.args {
		for _, arg := range list {
			if !slices.ContainsFunc(all, func(c instruction) bool { return c.args[param] == arg }) {
				t.Errorf("no program has %s %.40q", paramNames[param], arg)
			}
		}
	}
	for _, invalid := range []string{`"a b"`, `ttl=0s`, `ttl=-1ns`, `owner="a\x00b"`, `from=malformed`} {
		if !strings.Contains(text, invalid) {
			t.Errorf("no program has %s", invalid)
		}
	}
}

// TestTimes wants the text of a time to be short, and to be read as that time.
func TestTimes(t *testing.T) {
	for _, test := range []struct {
		d    time.Duration
		want string
	}{
		{0, "0s"}, {1, "1ns"}, {-1, "-1ns"}, {10 * time.Second, "10s"}, {time.Minute, "1m"}, {10 * time.Minute, "10m"},
		{time.Hour, "1h"}, {90 * time.Minute, "1h30m"}, {time.Hour + time.Second, "1h0m1s"}, {tokensession.MaxTTL, "876600h"},
		{tokensession.Forever, "forever"}, {-1 << 63, "-2562047h47m16.854775808s"},
	} {
		got := formatTime(test.d)
		if d, err := parseTime(got); got != test.want || d != test.d || err != nil {
			t.Errorf("%d: got %s, which is read as %v, %v; want %s", test.d, got, d, err, test.want)
		}
	}
}
