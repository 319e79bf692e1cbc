package session_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/memory"
	"github.com/tokensession/tokensession/session"
)

func TestConcurrentUpdatesAllCount(t *testing.T) {
	a := newApp(t, nil)
	token := a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.Data.Name = "x" })
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for range 50 {
				a.request(token, func(ctx context.Context, s *session.Session[account]) {
					if err := s.Update(ctx, func(d *account) error { d.Views++; return nil }); err != nil {
						t.Error(err)
					}
				})
			}
		})
	}
	clients.Wait()
	if data, _, _ := a.stored(t, token); data.Views != 400 {
		t.Errorf("%d of 400", data.Views)
	}
}

// A write that others overtake pauses before it reads again. If it paused after that, what
// it read would be old, and under constant writing it would go on losing.
func TestLosingWriteReadsAfterItsPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t, nil)
		store := &contended{flaky: a.store, writes: 10}
		m := session.New(store, &session.Options[account]{Logger: slog.New(slog.DiscardHandler)})
		token := a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.Data.Name = "x" })
		s, err := m.Load(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := s.Update(t.Context(), func(d *account) error { d.Views++; return nil }); err != nil {
			t.Fatal(err)
		}
		if store.longest != 0 || store.writes != 0 || time.Since(start) == 0 {
			t.Errorf("a write came %v after its read; %d writes are left, %v have passed", store.longest, store.writes, time.Since(start))
		}
	})
}

// contended is a store with another client that is faster a number of times.
type contended struct {
	*flaky
	writes  int
	read    time.Time
	longest time.Duration // from a Get to an Update
}

func (c *contended) Get(ctx context.Context, id string) (tokensession.Record, error) {
	c.read = time.Now()
	return c.flaky.Get(ctx, id)
}

func (c *contended) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	c.longest = max(c.longest, time.Since(c.read))
	if c.writes > 0 {
		c.writes--
		theirs, err := c.flaky.Get(ctx, id)
		if err != nil {
			return "", err
		}
		if _, err := c.flaky.Update(ctx, id, theirs); err != nil {
			return "", err
		}
	}
	return c.flaky.Update(ctx, id, rec)
}

func TestUpdate(t *testing.T) {
	a := newApp(t, nil)
	token := a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.Data.Tags = []string{"a"} })

	t.Run("runs again on what another request stored", func(t *testing.T) {
		runs := 0
		a.request(token, a.during(token, func(ctx context.Context, s *session.Session[account]) {
			s.Data.Name = "set before"
			a.request(token, func(ctx context.Context, s *session.Session[account]) { s.Data.Tags = append(s.Data.Tags, "b") })
			err := s.Update(ctx, func(d *account) error {
				runs++
				d.Tags = append(d.Tags, "c")
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}, func(ctx context.Context, s *session.Session[account]) {}))
		data, _, _ := a.stored(t, token)
		if want := []string{"a", "b", "c"}; !slices.Equal(data.Tags, want) || data.Name != "set before" || runs != 2 {
			t.Errorf("%d runs, stored %+v", runs, data)
		}
	})
	t.Run("an error of the function stores nothing", func(t *testing.T) {
		refused := errors.New("refused")
		a.request(token, func(ctx context.Context, s *session.Session[account]) {
			err := s.Update(ctx, func(d *account) error { d.Tags[0] = "changed"; return refused })
			if err != refused || s.Data.Tags[0] != "a" {
				t.Errorf("error %v, data %+v", err, s.Data)
			}
		})
	})
	t.Run("of a new session", func(t *testing.T) {
		token := a.begin(t, func(ctx context.Context, s *session.Session[account]) {
			if err := s.Update(ctx, func(d *account) error { d.Views = 5; return nil }); err != nil || s.IsNew() {
				t.Error(err)
			}
		})
		if data, _, _ := a.stored(t, token); data.Views != 5 {
			t.Errorf("%+v", data)
		}
	})
	t.Run("accessors may be called within", func(t *testing.T) {
		a.request(token, func(ctx context.Context, s *session.Session[account]) {
			s.Update(ctx, func(d *account) error {
				d.Note = fmt.Sprint(s.ID(), s.IsNew(), s.Owner(), s.Token() == token)
				return nil
			})
		})
	})
}

// TestMergedAsInSomeOrder lets two requests overlap in either way and demands a
// state that one after the other gives too, or, where one was told that the session
// is gone, the other alone.
func TestMergedAsInSomeOrder(t *testing.T) {
	begin := func(ctx context.Context, s *session.Session[account]) {
		s.Data = account{Views: 1, Name: "n", Role: "admin", Note: "old", Cart: map[string]int{"a": 1, "b": 1}, Tags: []string{"t"}}
	}
	type action struct {
		name    string
		do      step
		barrier bool // a login, which may leave out what others write
	}
	actions := []action{
		{"name", func(ctx context.Context, s *session.Session[account]) { s.Data.Name = "m" }, false},
		{"note", func(ctx context.Context, s *session.Session[account]) { s.Data.Note = "new" }, false},
		{"demotion", func(ctx context.Context, s *session.Session[account]) { s.Data.Role = "user" }, false},
		{"wipe", func(ctx context.Context, s *session.Session[account]) { s.Data = account{} }, false},
		{"entry set", func(ctx context.Context, s *session.Session[account]) { s.Data.Cart["a"] = 2 }, false},
		{"entry added", func(ctx context.Context, s *session.Session[account]) {
			if s.Data.Cart == nil {
				s.Data.Cart = map[string]int{}
			}
			s.Data.Cart["c"] = 3
		}, false},
		{"entry deleted", func(ctx context.Context, s *session.Session[account]) { delete(s.Data.Cart, "b") }, false},
		{"map emptied", func(ctx context.Context, s *session.Session[account]) { clear(s.Data.Cart) }, false},
		{"two fields", func(ctx context.Context, s *session.Session[account]) { s.Data.Name, s.Data.Role = "root", "owner" }, false},
		{"slice", func(ctx context.Context, s *session.Session[account]) { s.Data.Tags = []string{"u"} }, false},
		{"count", func(ctx context.Context, s *session.Session[account]) {
			s.Update(ctx, func(d *account) error { d.Views++; return nil })
		}, false},
		{"alice in place", func(ctx context.Context, s *session.Session[account]) {
			s.SetOwner("alice")
			s.Data.Role, s.Data.Note = "admin", "alice's"
		}, true},
		{"bob in place", func(ctx context.Context, s *session.Session[account]) {
			s.SetOwner("bob")
			s.Data.Role, s.Data.Note = "user", "bob's"
		}, true},
	}
	// The entry deletion and the additions need a map that is not nil.
	state := func(data account, owner string) string {
		if len(data.Cart) == 0 {
			data.Cart = nil
		}
		b, _ := json.Marshal(data)
		return owner + " " + string(b)
	}
	serial := func(t *testing.T, do ...step) string {
		a := newApp(t, nil)
		token := a.begin(t, begin)
		for _, d := range do {
			a.request(token, func(ctx context.Context, s *session.Session[account]) {
				if s.Data.Cart == nil {
					s.Data.Cart = map[string]int{}
				}
				d(ctx, s)
			})
		}
		data, owner, _ := a.stored(t, token)
		return state(data, owner)
	}
	for _, slow := range actions {
		for _, fast := range actions {
			t.Run(slow.name+" around "+fast.name, func(t *testing.T) {
				a := newApp(t, nil)
				token := a.begin(t, begin)
				a.request(token, a.during(token, slow.do, fast.do))
				data, owner, _ := a.stored(t, token)
				allowed := []string{serial(t, slow.do, fast.do), serial(t, fast.do, slow.do)}
				if slow.barrier {
					allowed = append(allowed, serial(t, slow.do))
				}
				if strings.Contains(a.log.String(), session.ErrGone.Error()) {
					allowed = append(allowed, serial(t, fast.do))
				}
				if got := state(data, owner); !slices.Contains(allowed, got) {
					t.Errorf("got  %s\nwant one of\n%s", got, strings.Join(allowed, "\n"))
				}
			})
		}
	}
}

func TestOneUsersLoginRacingAnothers(t *testing.T) {
	login := func(owner, role string) step {
		return func(ctx context.Context, s *session.Session[account]) {
			if err := s.Reset(ctx); err != nil {
				t.Error(err)
			}
			s.SetOwner(owner)
			s.Data.Role = role
		}
	}
	a := newApp(t, nil)
	anonymous := a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.Data.Note = "anonymous" })
	var bob string
	alice := a.request(anonymous, func(ctx context.Context, s *session.Session[account]) {
		login("alice", "admin")(ctx, s)
		bob = a.request(anonymous, login("bob", "user")).Header().Get("X-Auth-Token")
	}).Header().Get("X-Auth-Token")

	for token, want := range map[string]string{alice: "alice admin", bob: "bob user"} {
		data, owner, _ := a.stored(t, token)
		if got := owner + " " + data.Role; got != want || data.Note != "" {
			t.Errorf("got %s, want %s, data %+v", got, want, data)
		}
	}
	if _, _, ok := a.stored(t, anonymous); ok {
		t.Error("the anonymous session is still there")
	}
}

func TestOwnerChangedByAnotherRequestIsABarrier(t *testing.T) {
	a := newApp(t, nil)
	token := a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.SetOwner("bob") })
	a.request(token, a.during(token,
		func(ctx context.Context, s *session.Session[account]) { s.Data.Note = "bob's" },
		func(ctx context.Context, s *session.Session[account]) { s.SetOwner("alice") }))
	if data, owner, _ := a.stored(t, token); owner != "alice" || data.Note != "" {
		t.Errorf("owner %q, %+v", owner, data)
	}
}

func TestOwnerThatTwoRequestsSetAlikeIsABarrierAfterwards(t *testing.T) {
	for name, change := range map[string]func(*account){
		"with the same data":   func(*account) {},
		"with data of its own": func(d *account) { d.Views = 2 },
	} {
		t.Run(name, func(t *testing.T) {
			a := newApp(t, nil)
			token := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Name = "x" })
			long, twin := a.load(t, token), a.load(t, token)
			for _, s := range []*sess{twin, long} {
				s.SetOwner("bob")
				if s == long {
					change(&s.Data)
				}
				if err := s.Save(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			other := a.load(t, token)
			other.SetOwner("carol")
			other.Data.Role = "admin"
			if err := other.Save(t.Context()); err != nil {
				t.Fatal(err)
			}
			long.Data.Note = "late"
			if err := long.Save(t.Context()); !errors.Is(err, session.ErrGone) {
				t.Errorf("Save: %v", err)
			}
			if data, owner, _ := a.stored(t, token); owner != "carol" || data.Note != "" {
				t.Errorf("owner %q, %+v", owner, data)
			}
		})
	}
}

// older and newer are one type before and after a release.
type (
	older struct{ Views int }
	newer struct {
		Views int
		Admin bool
		Since time.Time
	}
)

func TestOlderBinaryThatReadsErasesNothing(t *testing.T) {
	store := memory.New(nil)
	defer store.Close()
	now, before := session.New[newer](store, nil), session.New[older](store, nil)
	s := now.Start()
	s.Data = newer{1, true, time.Now()}
	if err := s.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	old, err := before.Load(t.Context(), s.Token())
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(t.Context()); err != nil || !s.Data.Admin || s.Data.Since.IsZero() {
		t.Errorf("after the older binary read it: %+v, %v", s.Data, err)
	}
}

func TestMergeOption(t *testing.T) {
	change := func(views int) step {
		return func(ctx context.Context, s *session.Session[account]) { s.Data.Views = views }
	}
	t.Run("its own", func(t *testing.T) {
		a := newApp(t, &session.Options[account]{Merge: func(base, mine, theirs *account) error {
			mine.Views += theirs.Views - base.Views
			return nil
		}})
		token := a.begin(t, change(1))
		a.request(token, a.during(token, change(11), change(101)))
		if data, _, _ := a.stored(t, token); data.Views != 111 {
			t.Errorf("views %d, want 111", data.Views)
		}
	})
	t.Run("Reject", func(t *testing.T) {
		a := newApp(t, &session.Options[account]{Merge: session.Reject[account]})
		token := a.begin(t, change(1))
		w := a.request(token, a.during(token, change(11), change(101)))
		if data, _, _ := a.stored(t, token); data.Views != 101 || w.Code != http.StatusConflict {
			t.Errorf("views %d, status %d", data.Views, w.Code)
		}
		a.request(token, func(ctx context.Context, s *session.Session[account]) {
			a.request(token, change(102))
			s.Data.Views = 12
			if err := s.Save(ctx); !errors.Is(err, tokensession.ErrConflict) {
				t.Errorf("Save: %v", err)
			}
			if err := s.Reload(ctx); err != nil || s.Data.Views != 102 {
				t.Errorf("Reload: %v, %+v", err, s.Data)
			}
		})
	})
	t.Run("fields that both changed are logged by name", func(t *testing.T) {
		a := newApp(t, nil)
		token := a.begin(t, change(1))
		a.request(token, a.during(token, change(11), change(101)))
		if data, _, _ := a.stored(t, token); data.Views != 11 || !strings.Contains(a.log.String(), "fields=[Views]") {
			t.Errorf("views %d, log:\n%s", data.Views, a.log)
		}
	})
}

func TestInvalidOwnerIsRefused(t *testing.T) {
	a := newApp(t, nil)
	w := a.request("", func(ctx context.Context, s *session.Session[account]) {
		s.SetOwner("a\x00b")
		if err := s.Save(ctx); !errors.Is(err, tokensession.ErrInvalidOwner) {
			t.Errorf("Save: %v", err)
		}
	})
	if w.Code != 500 || w.Header().Get("X-Auth-Token") != "" {
		t.Errorf("status %d, %v", w.Code, w.Header())
	}
}

func TestDataIsTheSessionsOwn(t *testing.T) {
	a := newApp(t, nil)
	token := a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.Data.Cart = map[string]int{"a": 1} })
	one, two := a.load(t, token), a.load(t, token)
	one.Data.Cart["a"] = 2
	if !reflect.DeepEqual(two.Data.Cart, map[string]int{"a": 1}) {
		t.Errorf("two sessions share a map: %v", two.Data.Cart)
	}
}

func TestUpdateFromSeveralGoroutinesOfOneRequest(t *testing.T) {
	a := newApp(t, nil)
	token := a.begin(t, func(ctx context.Context, s *session.Session[account]) { s.Data.Name = "x" })
	a.serve(a.newRequest(token), func(w http.ResponseWriter, r *http.Request) {
		s := a.Get(r.Context())
		var running sync.WaitGroup
		for range 4 {
			running.Go(func() {
				for range 25 {
					if err := s.Update(r.Context(), func(d *account) error { d.Views++; return nil }); err != nil {
						t.Error(err)
					}
					_ = fmt.Sprint(s, s.Owner(), s.IsNew(), s.Token())
				}
			})
		}
		running.Go(func() { // another request, so that Data is replaced meanwhile
			for range 5 {
				a.request(token, func(ctx context.Context, s *session.Session[account]) {
					s.Update(ctx, func(d *account) error { d.Views++; return nil })
					renewing(t, time.Minute)(ctx, s)
				})
			}
		})
		w.Write([]byte("sent in the middle of it"))
		running.Wait()
	})
	if data, _, _ := a.stored(t, token); data.Views != 105 {
		t.Errorf("%d of 105", data.Views)
	}
}

// What Update's function decides, it decides on what is stored, also where that means that there
// is nothing to do.
func TestUpdateDecidesOnWhatIsStored(t *testing.T) {
	a := newApp(t, nil)
	token := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Role = "user" })
	a.request(token, func(ctx context.Context, s *sess) {
		a.request(token, func(ctx context.Context, s *sess) { s.Data.Role, s.Data.Views = "admin", 1 })
		if err := s.Update(ctx, func(d *account) error { d.Role = "user"; return nil }); err != nil {
			t.Error(err)
		}
		if data, _, _ := a.stored(t, token); data.Role != "user" || s.Data.Role != "user" || s.Data.Views != 1 {
			t.Errorf("stored %+v, here %+v", data, s.Data)
		}
		a.request(token, func(ctx context.Context, s *sess) { s.Data.Views = 2 })
		errNone := errors.New("none left")
		use := func(d *account) error {
			if d.Views < 2 {
				return errNone
			}
			d.Views -= 2
			return nil
		}
		if err := s.Update(ctx, use); err != nil {
			t.Errorf("%v, though another request has stored two", err)
		}
		if err := s.Update(ctx, use); err != errNone {
			t.Errorf("%v, want the function's own error", err)
		}
		if err := a.load(t, token).Destroy(ctx); err != nil {
			t.Error(err)
		}
		if err := s.Update(ctx, func(*account) error { return nil }); !errors.Is(err, session.ErrGone) {
			t.Errorf("after a logout: %v", err)
		}
	})
}
