package tokensession_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/tokensession/tokensession"
)

func TestCheck(t *testing.T) {
	done, cancel := context.WithCancel(t.Context())
	cancel()
	valid := tokensession.Record{TTL: time.Hour}
	with := func(change func(*tokensession.Record)) *tokensession.Record {
		rec := valid
		change(&rec)
		return &rec
	}
	owner := func(owner string) *tokensession.Record {
		return with(func(r *tokensession.Record) { r.Owner = owner })
	}
	ttl := func(ttl time.Duration) *tokensession.Record {
		return with(func(r *tokensession.Record) { r.TTL = ttl })
	}
	for _, tt := range []struct {
		name string
		ctx  context.Context
		id   string
		rec  *tokensession.Record
		want error
	}{
		{"no record", t.Context(), "id", nil, nil},
		{"shortest and longest id", t.Context(), strings.Repeat("!", 128), &valid, nil},
		{"the ends of the range", t.Context(), "!~", nil, nil},
		{"empty id", t.Context(), "", nil, tokensession.ErrInvalidID},
		{"long id", t.Context(), strings.Repeat("x", 129), nil, tokensession.ErrInvalidID},
		{"space", t.Context(), "a b", nil, tokensession.ErrInvalidID},
		{"DEL", t.Context(), "a\x7f", nil, tokensession.ErrInvalidID},
		{"not ASCII", t.Context(), "é", nil, tokensession.ErrInvalidID},
		{"longest owner", t.Context(), "id", owner(strings.Repeat("x", 256)), nil},
		{"long owner", t.Context(), "id", owner(strings.Repeat("x", 257)), tokensession.ErrInvalidOwner},
		{"NUL in owner", t.Context(), "id", owner("a\x00"), tokensession.ErrInvalidOwner},
		{"owner not UTF-8", t.Context(), "id", owner("a\xff"), tokensession.ErrInvalidOwner},
		{"shortest TTL", t.Context(), "id", ttl(1), nil},
		{"longest TTL", t.Context(), "id", ttl(tokensession.MaxTTL), nil},
		{"Forever", t.Context(), "id", ttl(tokensession.Forever), nil},
		{"zero TTL", t.Context(), "id", ttl(0), tokensession.ErrInvalidTTL},
		{"negative TTL", t.Context(), "id", ttl(-1), tokensession.ErrInvalidTTL},
		{"most negative TTL", t.Context(), "id", ttl(math.MinInt64), tokensession.ErrInvalidTTL},
		{"TTL too long", t.Context(), "id", ttl(tokensession.MaxTTL + 1), tokensession.ErrInvalidTTL},
		{"nearly Forever", t.Context(), "id", ttl(tokensession.Forever - 1), tokensession.ErrInvalidTTL},
		{"done context", done, "id", &valid, context.Canceled},
		{"id before owner", done, "", owner("\x00"), tokensession.ErrInvalidID},
		{"owner before TTL", done, "id", &tokensession.Record{Owner: "\x00"}, tokensession.ErrInvalidOwner},
		{"TTL before context", done, "id", ttl(0), tokensession.ErrInvalidTTL},
	} {
		if err := tokensession.Check(tt.ctx, tt.id, tt.rec); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	for name, want := range map[string]error{"": tokensession.ErrInvalidOwner, "\x00": tokensession.ErrInvalidOwner, "bob": context.Canceled} {
		if err := tokensession.CheckOwner(done, name); !errors.Is(err, want) {
			t.Errorf("CheckOwner(%q): %v, want %v", name, err, want)
		}
	}
	for at := range 20 {
		for c := range 256 {
			id := []byte(strings.Repeat("x", 20))
			id[at] = byte(c)
			if err := tokensession.Check(t.Context(), string(id), nil); (err == nil) != (0x21 <= c && c <= 0x7E) ||
				err != nil && !strings.Contains(err.Error(), fmt.Sprintf("byte %#02x at %d;", c, at)) {
				t.Fatalf("byte %#02x at %d: %v", c, at, err)
			}
		}
	}
	secret := strings.Repeat("secret", 30)
	if err := tokensession.Check(t.Context(), secret, nil); strings.Contains(err.Error(), "secret") {
		t.Errorf("an id that may be a token is shown: %v", err)
	}
	if n := testing.AllocsPerRun(100, func() { tokensession.Check(t.Context(), "id", &valid) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestOpErrorShowsTheStartOfTheID(t *testing.T) {
	cause := errors.New("disk full")
	for id, want := range map[string]string{
		"":            "bolt: update: disk full",
		"short":       "bolt: update short: disk full",
		"12345678":    "bolt: update 12345678: disk full",
		"123456789ab": "bolt: update 12345678…: disk full",
	} {
		err := error(&tokensession.OpError{Driver: "bolt", Op: "update", ID: id, Err: cause})
		if err.Error() != want || !errors.Is(err, cause) {
			t.Errorf("got %q, want %q", err, want)
		}
	}
}

// counting is a store that has Len; wrapped is one that has not, around another.
type (
	counting struct{ tokensession.Store }
	wrapped  struct{ inner tokensession.Store }
)

func (counting) Len(context.Context) (int, error) { return 7, nil }

func (w wrapped) Unwrap() tokensession.Store { return w.inner }

func (w wrapped) Get(context.Context, string) (tokensession.Record, error) {
	return tokensession.Record{}, tokensession.ErrNotFound
}
func (w wrapped) Create(context.Context, string, tokensession.Record) (tokensession.Version, error) {
	return "", nil
}
func (w wrapped) Update(context.Context, string, tokensession.Record) (tokensession.Version, error) {
	return "", nil
}
func (w wrapped) Touch(context.Context, string, time.Duration) error { return nil }
func (w wrapped) Delete(context.Context, string) error               { return nil }

func TestAs(t *testing.T) {
	for name, tt := range map[string]struct {
		store tokensession.Store
		want  bool
	}{
		"itself":        {counting{}, true},
		"wrapped twice": {wrapped{wrapped{counting{}}}, true},
		"no one has it": {wrapped{wrapped{nil}}, false},
		"nil":           {nil, false},
	} {
		counter, ok := tokensession.As[tokensession.Counter](tt.store)
		if ok != tt.want || ok && fmt.Sprint(counter.Len(t.Context())) != "7 <nil>" {
			t.Errorf("%s: %v, want %v", name, ok, tt.want)
		}
	}
	if _, ok := tokensession.As[tokensession.Clearer](wrapped{counting{}}); ok {
		t.Error("found a capability that nobody has")
	}
}

func TestOpen(t *testing.T) {
	var opened string
	tokensession.Register("test+x", func(_ context.Context, url string) (tokensession.Store, error) {
		opened = url
		return counting{}, nil
	})
	if _, err := tokensession.Open(t.Context(), "TEST+X://host/path?a=b"); err != nil || opened != "TEST+X://host/path?a=b" {
		t.Errorf("%v, opened %q", err, opened)
	}
	for url, want := range map[string]string{
		"redis://:hunter2@localhost":               `import _ "github.com/tokensession/tokensession/redis"`,
		"postgres://u:hunter2@localhost":           `import _ "github.com/tokensession/tokensession/postgres"`,
		"mysql://u:hunter2@localhost":              `unknown scheme "mysql" (registered: test+x)`,
		"host=localhost password=hunter2":          "no scheme",
		"host=localhost password=hunter2 a:b":      "no scheme",
		"://hunter2":                               "no scheme",
		"":                                         "no scheme",
		"1a:hunter2":                               "no scheme",
		"postgres://u:hunter2%zz@localhost:notint": `import _`,
	} {
		_, err := tokensession.Open(t.Context(), url)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Open(%q): %v, want %q", url, err, want)
		}
	}
}

func TestRegisterPanics(t *testing.T) {
	open := func(context.Context, string) (tokensession.Store, error) { return nil, nil }
	tokensession.Register("twice", open)
	for name, f := range map[string]func(){
		"twice":       func() { tokensession.Register("twice", open) },
		"upper case":  func() { tokensession.Register("Upper", open) },
		"not a URL's": func() { tokensession.Register("a b", open) },
		"empty":       func() { tokensession.Register("", open) },
		"nil":         func() { tokensession.Register("nil", nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}
