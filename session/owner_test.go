package session_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
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

// login begins a session of the owner, and returns its token and ID.
func (a *app) login(t *testing.T, owner, note string) (token, id string) {
	t.Helper()
	token = a.begin(t, func(ctx context.Context, s *sess) { s.SetOwner(owner); s.Data.Note = note })
	return token, token[:24]
}

// notes are those of the owner's sessions.
func (a *app) notes(t *testing.T, owner string) (notes []string) {
	t.Helper()
	for info, err := range a.Sessions(t.Context(), owner) {
		if err != nil {
			t.Error(err)
		}
		notes = append(notes, info.Data.Note)
	}
	slices.Sort(notes)
	return notes
}

func (a *app) expectNotes(t *testing.T, owner string, want ...string) {
	t.Helper()
	if got := a.notes(t, owner); !slices.Equal(got, want) {
		t.Errorf("%s has the sessions %q, want %q", owner, got, want)
	}
}

func TestSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		a := newApp(t, &session.Options[account]{IdleTimeout: 8 * time.Hour, Lifetime: 24 * time.Hour})
		token, id := a.login(t, "alice", "phone")
		a.login(t, "bob", "laptop")
		expect := func(touched, expires time.Duration) {
			t.Helper()
			n := 0
			for info, err := range a.Sessions(t.Context(), "alice") {
				n++
				want := session.Info[account]{ID: id, Created: begun, Touched: begun.Add(touched), Expires: begun.Add(expires), Data: info.Data}
				if err != nil || fmt.Sprint(info) != fmt.Sprint(want) || info.Data.Note != "phone" {
					t.Errorf("%v\ngot  %+v\nwant %+v", err, info, want)
				}
			}
			if n != 1 {
				t.Errorf("%d sessions", n)
			}
		}
		expect(0, 8*time.Hour)
		time.Sleep(30 * time.Minute) // less than an eighth: not touched
		a.request(token, looking)
		expect(0, 8*time.Hour)
		time.Sleep(90 * time.Minute)
		a.request(token, looking)
		expect(2*time.Hour, 10*time.Hour)
		for range 3 {
			time.Sleep(6 * time.Hour)
			a.request(token, looking)
		}
		expect(16*time.Hour, 24*time.Hour) // it was 20: Lifetime ends sooner than the idle timeout

		shorter := newAppOn(t, a.store, &session.Options[account]{Lifetime: 20 * time.Hour})
		shorter.expectNotes(t, "alice")
	})
}

func TestSessionsThatNeverExpire(t *testing.T) {
	a := newApp(t, &session.Options[account]{IdleTimeout: tokensession.Forever, Lifetime: tokensession.Forever})
	a.login(t, "alice", "phone")
	for info, err := range a.Sessions(t.Context(), "alice") {
		if err != nil || !info.Expires.IsZero() || info.Touched != info.Created || time.Since(info.Created) > time.Hour {
			t.Errorf("%v, %+v", err, info)
		}
	}
}

func TestLifetimeShorterThanTheIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t, &session.Options[account]{IdleTimeout: 8 * time.Hour, Lifetime: time.Hour})
		a.login(t, "alice", "phone")
		for info, err := range a.Sessions(t.Context(), "alice") {
			if err != nil || info.Touched != info.Created || info.Expires != info.Created.Add(time.Hour) {
				t.Errorf("%v, %+v", err, info)
			}
		}
	})
}

func TestSessionsLeftEarly(t *testing.T) {
	a := newApp(t, nil)
	for i := range 3 {
		a.login(t, "alice", fmt.Sprint(i))
	}
	n := 0
	for info, err := range a.Sessions(t.Context(), "alice") {
		if n++; err != nil || a.End(t.Context(), "alice", info.ID) != nil {
			t.Error(err)
		}
		if n == 2 {
			break
		}
	}
	if left := a.notes(t, "alice"); n != 2 || len(left) != 1 {
		t.Errorf("%d shown, %q left", n, left)
	}
}

func TestEnd(t *testing.T) {
	a := newApp(t, nil)
	ctx := t.Context()
	alice, aliceID := a.login(t, "alice", "phone")
	bob, bobID := a.login(t, "bob", "laptop")
	nobody := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Note = "nobody's" })

	var texts []string
	for what, id := range map[string]string{
		"another's":   bobID,
		"nobody's":    nobody[:24],
		"none":        a.Start().ID(),
		"a token":     alice,
		"short":       "x",
		"empty":       "",
		"not base64":  strings.Repeat("é", 12),
		"a long text": strings.Repeat("x", 1000),
	} {
		err := a.End(ctx, "alice", id)
		if !errors.Is(err, tokensession.ErrNotFound) || strings.Contains(err.Error(), alice[25:]) {
			t.Errorf("%s: %v", what, err)
		}
		if len(id) == 24 && what != "not base64" {
			texts = append(texts, strings.Replace(err.Error(), id[:8], "", 1))
		}
	}
	if slices.Sort(texts); len(slices.Compact(texts)) != 1 {
		t.Errorf("what is another's can be told from what is not there: %q", texts)
	}
	for _, token := range []string{alice, bob, nobody} {
		if _, _, ok := a.stored(t, token); !ok {
			t.Fatal("End ended a stranger's session")
		}
	}
	for _, id := range []string{nobody[:24], aliceID} {
		if err := a.End(ctx, "", id); !errors.Is(err, tokensession.ErrInvalidOwner) || !strings.Contains(err.Error(), "empty") {
			t.Errorf("an empty owner: %v", err)
		}
	}
	other := newAppOn(t, a.store, &session.Options[account]{Name: "other"})
	if err := other.End(ctx, "alice", aliceID); !errors.Is(err, tokensession.ErrNotFound) {
		t.Errorf("another manager's: %v", err)
	}

	inFlight := a.load(t, alice)
	hungUp, cancel := context.WithCancel(ctx)
	cancel()
	if err := a.End(hungUp, "alice", aliceID); err != nil {
		t.Fatal(err)
	}
	inFlight.Data.Views++
	if err := inFlight.Save(ctx); !errors.Is(err, session.ErrGone) {
		t.Errorf("a save in flight: %v", err)
	}
	if _, _, ok := a.stored(t, alice); ok {
		t.Error("the session is still there")
	}
	if err := a.End(ctx, "alice", aliceID); !errors.Is(err, tokensession.ErrNotFound) {
		t.Errorf("again: %v", err)
	}

	a.store.set(map[string]error{"Get": errDown}, nil)
	if err := a.End(ctx, "bob", bobID); !errors.Is(err, errDown) || errors.Is(err, tokensession.ErrNotFound) {
		t.Errorf("without the store: %v", err)
	}
	a.store.set(map[string]error{"Delete": errDown}, nil)
	if err := a.End(ctx, "bob", bobID); !errors.Is(err, errDown) {
		t.Errorf("without the store: %v", err)
	}
	if strings.Contains(a.log.String(), "event=revoked session="+bobID) {
		t.Error("what did not happen is logged")
	}
}

func TestEndOwner(t *testing.T) {
	a := newApp(t, &session.Options[account]{Name: "customers"})
	staff := newAppOn(t, a.store, &session.Options[account]{Name: "staff"})
	ctx := t.Context()
	login := func() (here, id string) {
		a.login(t, "alice", "phone")
		a.login(t, "alice", "laptop")
		return a.login(t, "alice", "here")
	}
	a.login(t, "bob", "bob's")
	a.login(t, "alice:x", "of another name")
	staff.login(t, "alice", "staff's")
	unharmed := func(t *testing.T) {
		t.Helper()
		a.expectNotes(t, "bob", "bob's")
		a.expectNotes(t, "alice:x", "of another name")
		staff.expectNotes(t, "alice", "staff's")
	}

	t.Run("everywhere", func(t *testing.T) {
		login()
		if err := a.EndOwner(ctx, "alice"); err != nil {
			t.Error(err)
		}
		a.expectNotes(t, "alice")
		unharmed(t)
	})
	t.Run("everywhere but here", func(t *testing.T) {
		here, id := login()
		inFlight := a.load(t, here)
		hungUp, cancel := context.WithCancel(ctx)
		cancel()
		if err := a.EndOwner(hungUp, "alice", id, "", "of no session"); err != nil {
			t.Error(err)
		}
		a.expectNotes(t, "alice", "here")
		unharmed(t)
		inFlight.Data.Views++
		if err := inFlight.Save(ctx); err != nil {
			t.Errorf("what the excepted session has not saved is lost: %v", err)
		}
		if data, _, ok := a.stored(t, here); !ok || data.Views != 1 || data.Note != "here" {
			t.Errorf("%v %+v", ok, data)
		}
	})
	t.Run("nobody", func(t *testing.T) {
		nobody := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Note = "x" })
		for _, except := range [][]string{nil, {nobody[:24]}} {
			if err := a.EndOwner(ctx, "", except...); !errors.Is(err, tokensession.ErrInvalidOwner) || !strings.Contains(err.Error(), "empty") {
				t.Errorf("%v", err)
			}
		}
		for _, err := range a.Sessions(ctx, "") {
			if !errors.Is(err, tokensession.ErrInvalidOwner) || !strings.Contains(err.Error(), "empty") {
				t.Errorf("%v", err)
			}
		}
		if _, _, ok := a.stored(t, nobody); !ok {
			t.Error("nobody's session is ended")
		}
	})
	t.Run("no owner by the contract", func(t *testing.T) {
		if err := a.EndOwner(ctx, "\xff"); !errors.Is(err, tokensession.ErrInvalidOwner) {
			t.Errorf("%v", err)
		}
	})
	t.Run("a store that does not answer", func(t *testing.T) {
		_, id := login()
		a.store.set(map[string]error{"Delete": errDown}, nil)
		if err := a.EndOwner(ctx, "alice", id); !errors.Is(err, errDown) {
			t.Errorf("%v", err)
		}
		a.store.set(nil, nil)
		if err := a.EndOwner(ctx, "alice", id); err != nil {
			t.Error(err)
		}
		a.expectNotes(t, "alice", "here")
	})
}

func TestStoreWithoutOwnerIndex(t *testing.T) {
	a := newApp(t, nil)
	token, id := a.login(t, "alice", "phone")
	m := session.New(struct{ tokensession.Store }{a.store}, &session.Options[account]{})
	check := func(err error) {
		t.Helper()
		if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "OwnerIndex") {
			t.Errorf("%v", err)
		}
	}
	check(m.EndOwner(t.Context(), "alice"))
	check(m.EndOwner(t.Context(), "alice", id))
	n := 0
	for info, err := range m.Sessions(t.Context(), "alice") {
		n++
		if check(err); info.ID != "" {
			t.Errorf("%+v", info)
		}
	}
	if n != 1 {
		t.Errorf("%d entries", n)
	}
	if err := m.End(t.Context(), "alice", id); err != nil {
		t.Error(err)
	}
	if _, _, ok := a.stored(t, token); ok {
		t.Error("End did nothing")
	}
}

func TestUnreadableSessionsOfAnOwner(t *testing.T) {
	unreadable := func(t *testing.T) (a *app, id string) {
		a = newApp(t, nil)
		a.login(t, "alice", "1")
		_, noJSON := a.login(t, "alice", "2")
		_, noHeader := a.login(t, "alice", "3")
		a.login(t, "alice", "4")
		for id, spoil := range map[string]func(string) string{
			noJSON:   func(data string) string { return data[:len(data)-1] },
			noHeader: func(data string) string { return "?" + data },
		} {
			rec, err := a.store.Get(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			rec.Data = []byte(spoil(string(rec.Data)))
			if _, err := a.store.Update(t.Context(), id, rec); err != nil {
				t.Fatal(err)
			}
		}
		return a, noJSON
	}
	a, id := unreadable(t)
	shown, failed := 0, 0
	for info, err := range a.Sessions(t.Context(), "alice") {
		if shown++; err != nil {
			failed++
			if info.ID == "" || info.Data.Note != "" || !strings.Contains(err.Error(), info.ID[:8]) {
				t.Errorf("%v, %+v", err, info)
			}
		}
	}
	if shown != 4 || failed != 2 {
		t.Errorf("%d shown, %d of them with an error", shown, failed)
	}
	if err := a.End(t.Context(), "alice", id); err != nil {
		t.Error(err)
	}
	for _, except := range [][]string{nil, {"of no session"}} {
		a, _ := unreadable(t)
		if err := a.EndOwner(t.Context(), "alice", except...); err != nil {
			t.Error(err)
		}
		if n, err := recordsLeft(a); n != 0 || err != nil {
			t.Errorf("%d are left, %v", n, err)
		}
	}
}

func recordsLeft(a *app) (int, error) {
	counter, _ := tokensession.As[tokensession.Counter](a.store)
	return counter.Len(context.Background())
}

// What the store itself cannot read ends too, as far as it says so; about what it did not
// answer for, nothing is known.
func TestEntriesThatTheStoreCannotRead(t *testing.T) {
	a := newApp(t, nil)
	corrupt, corruptID := a.login(t, "alice", "1")
	unknown, unknownID := a.login(t, "alice", "2")
	here, hereID := a.login(t, "alice", "3")
	bad := map[string]error{corruptID: fmt.Errorf("%w: it has no header", tokensession.ErrCorrupt), unknownID: errDown}
	m := session.New(&failingIndex{a.store, bad}, &session.Options[account]{})
	if err := m.EndOwner(t.Context(), "alice", hereID); !errors.Is(err, errDown) || errors.Is(err, tokensession.ErrCorrupt) {
		t.Errorf("%v", err)
	}
	for token, want := range map[string]bool{corrupt: false, unknown: true, here: true} {
		if _, _, ok := a.stored(t, token); ok != want {
			t.Errorf("%s: there %v, want %v", token[:24], ok, want)
		}
	}
	failed := 0
	for info, err := range session.New(&failingIndex{a.store, bad}, &session.Options[account]{}).Sessions(t.Context(), "alice") {
		if err != nil && info.ID == unknownID {
			failed++
		}
	}
	if failed != 1 {
		t.Errorf("%d errors", failed)
	}
}

func TestEndOfASessionThatTheStoreCannotRead(t *testing.T) {
	corrupt := fmt.Errorf("%w: it has no header", tokensession.ErrCorrupt)
	ctx := t.Context()
	a := newApp(t, nil)
	token, id := a.login(t, "alice", "1")
	bad := map[string]error{id: corrupt}
	withIndex := session.New(&failingIndex{a.store, bad}, &session.Options[account]{})
	withoutIndex := session.New(struct{ tokensession.Store }{a.store}, &session.Options[account]{})
	a.store.set(map[string]error{"Get": corrupt}, nil)
	if err := withoutIndex.End(ctx, "alice", id); !errors.Is(err, tokensession.ErrCorrupt) {
		t.Errorf("without an index: %v", err)
	}
	if err := withIndex.End(ctx, "bob", id); !errors.Is(err, tokensession.ErrNotFound) {
		t.Errorf("another's: %v", err)
	}
	bad[id] = errDown
	if err := withIndex.End(ctx, "alice", id); !errors.Is(err, errDown) {
		t.Errorf("an index that does not answer: %v", err)
	}
	a.store.set(nil, nil)
	if _, _, ok := a.stored(t, token); !ok {
		t.Fatal("the session has ended")
	}
	a.store.set(map[string]error{"Get": corrupt}, nil)
	bad[id] = corrupt
	if err := withIndex.End(ctx, "alice", id); err != nil {
		t.Error(err)
	}
	a.store.set(nil, nil)
	if _, _, ok := a.stored(t, token); ok {
		t.Error("the session has not ended")
	}
}

// failingIndex is a store whose owner index fails for some records.
type failingIndex struct {
	*flaky
	bad map[string]error
}

func (f *failingIndex) ByOwner(ctx context.Context, owner string) iter.Seq2[tokensession.Entry, error] {
	index, _ := tokensession.As[tokensession.OwnerIndex](f.flaky)
	return func(yield func(tokensession.Entry, error) bool) {
		for e, err := range index.ByOwner(ctx, owner) {
			if failure := f.bad[e.ID]; failure != nil {
				e, err = tokensession.Entry{ID: e.ID}, failure
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

func (f *failingIndex) DeleteOwner(ctx context.Context, owner string) (int, error) {
	return 0, errDown
}

// Requests in flight save, count, renew and change hands within alice's devices while she
// logs out everywhere but here. What was there before is dead, what is excepted is whole.
func TestEndOwnerWithRequestsInFlight(t *testing.T) {
	actions := map[string]func(context.Context, *sess) error{
		"save": func(ctx context.Context, s *sess) error { s.Data.Name = "late"; return s.Save(ctx) },
		"update": func(ctx context.Context, s *sess) error {
			return s.Update(ctx, func(d *account) error { d.Views++; return nil })
		},
		"renew":            func(ctx context.Context, s *sess) error { return s.Renew(ctx, 0) },
		"renew with grace": func(ctx context.Context, s *sess) error { return s.Renew(ctx, time.Minute) },
		"touch":            func(ctx context.Context, s *sess) error { return s.Touch(ctx) },
		"the same owner": func(ctx context.Context, s *sess) error {
			s.SetOwner("alice")
			s.Data.Name = "late"
			return s.Save(ctx)
		},
	}
	for _, except := range []bool{false, true} {
		for name, act := range actions {
			t.Run(fmt.Sprintf("%s, except %v", name, except), func(t *testing.T) {
				a := newApp(t, nil)
				var exceptIDs []string
				here, id := a.login(t, "alice", "here")
				if except {
					exceptIDs = []string{id}
				}
				var running sync.WaitGroup
				begin := make(chan struct{})
				var inFlight []*sess
				for i := range 40 {
					token := here
					if i%2 == 0 {
						token, _ = a.login(t, "alice", "other")
					}
					s := a.load(t, token)
					inFlight = append(inFlight, s)
					running.Go(func() {
						<-begin
						if i%4 < 2 { // the others come when all is over
							if err := act(t.Context(), s); err != nil && !errors.Is(err, session.ErrGone) {
								t.Error(err)
							}
						}
					})
				}
				running.Go(func() {
					<-begin
					if err := a.EndOwner(t.Context(), "alice", exceptIDs...); err != nil {
						t.Error(err)
					}
				})
				close(begin)
				running.Wait()
				gone := func(s *sess) {
					if _, err := a.store.Get(t.Context(), s.ID()); (s.ID() != id || !except) && !errors.Is(err, tokensession.ErrNotFound) {
						t.Errorf("%v: %v", s, err)
					}
				}
				for _, s := range inFlight {
					gone(s)
					act(t.Context(), s)
					gone(s)
				}
				if except {
					a.expectNotes(t, "alice", "here")
				} else {
					a.expectNotes(t, "alice")
				}
			})
		}
	}
}

// A session that becomes another's during the call may stay or go, but if it goes it is
// gone, and if it stays it is the other's, whole.
func TestEndOwnerWhileTheOwnerChanges(t *testing.T) {
	for _, except := range [][]string{nil, {"of no session"}} {
		a := newApp(t, nil)
		for range 100 {
			token, _ := a.login(t, "alice", "hers")
			s := a.load(t, token)
			s.SetOwner("bob")
			s.Data.Note = "his"
			var running sync.WaitGroup
			running.Go(func() {
				if err := s.Save(t.Context()); err != nil && !errors.Is(err, session.ErrGone) {
					t.Error(err)
				}
			})
			running.Go(func() {
				if err := a.EndOwner(t.Context(), "alice", except...); err != nil {
					t.Error(err)
				}
			})
			running.Wait()
			if data, owner, ok := a.stored(t, token); ok && (owner != "bob" || data.Note != "his") {
				t.Fatalf("%q, %+v", owner, data)
			}
			a.expectNotes(t, "alice")
		}
	}
}

// repeating is a store whose server may show a record twice, as the contract lets it.
type repeating struct{ *memory.Store }

func (s repeating) ByOwner(ctx context.Context, owner string) iter.Seq2[tokensession.Entry, error] {
	return func(yield func(tokensession.Entry, error) bool) {
		for range 2 {
			for e, err := range s.Store.ByOwner(ctx, owner) {
				if !yield(e, err) {
					return
				}
			}
		}
	}
}

func TestEndedSessionsAreCountedOnce(t *testing.T) {
	store := memory.New(nil)
	defer store.Close()
	a := newAppOn(t, &flaky{Store: repeating{store}}, nil)
	for range 2 {
		a.login(t, "alice", "")
	}
	a.log.take()
	if err := a.EndOwner(t.Context(), "alice", "none"); err != nil {
		t.Fatal(err)
	}
	if log := a.log.take(); !strings.Contains(log, "count=2") {
		t.Error(log)
	}
}

// What is no ID may be anything, and does not stand in an error.
func TestEndDoesNotShowWhatIsNoID(t *testing.T) {
	a := newApp(t, nil)
	err := a.End(t.Context(), "alice", "x\nlevel=ERROR")
	if !errors.Is(err, tokensession.ErrNotFound) || strings.Contains(err.Error(), "x\n") {
		t.Errorf("%q", err)
	}
}
