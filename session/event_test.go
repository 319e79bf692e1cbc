package session_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensession/tokensession/session"
)

// events are what an audit would find since the last call.
func (a *app) events() string {
	var events []string
	for line := range strings.Lines(a.log.take()) {
		if _, event, found := strings.Cut(line, " event="); found {
			level, _, _ := strings.Cut(line[strings.Index(line, "level=")+len("level="):], " ")
			events = append(events, level+" "+strings.TrimSpace(event))
		}
	}
	return strings.Join(events, "\n")
}

func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t, &session.Options[account]{IdleTimeout: time.Hour, Lifetime: 8 * time.Hour})
		ctx := t.Context()
		expect := func(want ...string) {
			t.Helper()
			if got := a.events(); got != strings.Join(want, "\n") {
				t.Errorf("logged\n%s\nwant\n%s", got, strings.Join(want, "\n"))
			}
		}
		token, id := a.login(t, "alice", "phone")
		expect("INFO started session=" + id)
		a.request(token, func(ctx context.Context, s *sess) { s.Data.Views++ })
		a.request("", looking)
		expect()

		next := a.given(token, renewing(t, time.Minute))
		expect("INFO renewed session=" + id + " grace=1m0s")
		a.request(token, renewing(t, time.Minute)) // that was done already
		expect()
		time.Sleep(time.Minute)
		a.request(token, looking)
		expect("INFO rejected session=" + id + ` reason="former secret"`)
		last := a.given(next, renewing(t, 0))
		expect("INFO renewed session=" + id + " grace=0s")
		a.request(next, looking)
		expect("INFO rejected session=" + id + ` reason="wrong secret"`)
		if _, err := a.Load(ctx, next); !errors.Is(err, session.ErrInvalidToken) {
			t.Error(err)
		}
		expect("INFO rejected session=" + id + ` reason="wrong secret"`)

		var resetID string
		reset := a.given(last, func(ctx context.Context, s *sess) { s.Reset(ctx); resetID = s.ID() })
		expect("INFO destroyed session="+id, "INFO started session="+resetID)
		a.request(last, looking)
		expect("DEBUG rejected session=" + id + " reason=unknown")
		a.request("malformed", looking)
		a.Load(ctx, "malformed")
		expect("DEBUG rejected reason=malformed", "DEBUG rejected reason=malformed")
		a.request(reset, func(ctx context.Context, s *sess) { s.Destroy(ctx) })
		expect("INFO destroyed session=" + resetID)
		a.request("", func(ctx context.Context, s *sess) { s.Destroy(ctx) }) // of nothing
		expect()

		var chosenID string
		a.request("", func(ctx context.Context, s *sess) {
			s.ResetToken(ctx, strings.Repeat("k", 40))
			chosenID = s.ID()
		})
		expect("INFO started session=" + chosenID)

		_, one := a.login(t, "alice", "1")
		_, two := a.login(t, "alice", "2")
		_, three := a.login(t, "alice", "3")
		_, four := a.login(t, "alice", "4")
		a.events()
		if err := errors.Join(a.End(ctx, "alice", one), a.EndOwner(ctx, "alice", two, three), a.EndOwner(ctx, "alice"), a.EndOwner(ctx, "alice")); err != nil {
			t.Error(err)
		}
		expect("INFO revoked session="+one, "INFO revoked count=1", "INFO revoked count=2")
		if err := a.End(ctx, "alice", four); err == nil {
			t.Error("ended twice")
		}
		expect()

		// A session that was not used for too long is only unknown.
		idle, idleID := a.login(t, "alice", "idle")
		time.Sleep(time.Hour)
		a.events()
		a.request(idle, looking)
		expect("DEBUG rejected session=" + idleID + " reason=unknown")

		long, longID := a.login(t, "alice", "long")
		inFlight, looked := a.load(t, long), a.load(t, long)
		shorter := newAppOn(t, a.store, &session.Options[account]{Lifetime: time.Minute})
		time.Sleep(time.Minute)
		shorter.request(long, looking)
		if got := shorter.events(); got != "INFO expired session="+longID {
			t.Errorf("logged %s", got)
		}
		for range 8 {
			time.Sleep(50 * time.Minute)
			a.request(long, looking)
		}
		a.events()
		time.Sleep(80 * time.Minute)
		inFlight.Data.Views++
		inFlight.Save(ctx)
		inFlight.Save(ctx)
		looked.Touch(ctx)
		expect("INFO expired session="+longID, "INFO expired session="+longID)
	})
}

func TestAnswerLostIsStartedOnce(t *testing.T) {
	a := newApp(t, nil)
	s := a.Start()
	a.store.set(nil, map[string]error{"Create": errDown})
	s.Save(t.Context())
	if got := a.events(); got != "" {
		t.Errorf("logged %s before it is known", got)
	}
	a.store.set(nil, nil)
	if err := s.Save(t.Context()); err != nil {
		t.Error(err)
	}
	if got := a.events(); got != "INFO started session="+s.ID() {
		t.Errorf("logged %s", got)
	}
}

func TestEventsHaveTheContextOfTheRequest(t *testing.T) {
	type key struct{}
	a := newApp(t, nil)
	var seen []any
	m := session.New(a.store, &session.Options[account]{Logger: slog.New(handlerFunc(func(ctx context.Context, r slog.Record) {
		seen = append(seen, ctx.Value(key{}))
	}))})
	r := a.newRequest("malformed").WithContext(context.WithValue(t.Context(), key{}, "request 1"))
	m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.Get(r.Context()).Data.Views++
	})).ServeHTTP(httptest.NewRecorder(), r)
	if len(seen) != 2 || seen[0] != "request 1" || seen[1] != "request 1" {
		t.Errorf("%v", seen)
	}
}

type handlerFunc func(context.Context, slog.Record)

func (f handlerFunc) Enabled(context.Context, slog.Level) bool { return true }
func (f handlerFunc) WithAttrs([]slog.Attr) slog.Handler       { return f }
func (f handlerFunc) WithGroup(string) slog.Handler            { return f }

func (f handlerFunc) Handle(ctx context.Context, r slog.Record) error {
	f(ctx, r)
	return nil
}
