package integration

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/session"
)

// owned stores a session of the owner and returns its token.
func owned(t *testing.T, sessions *manager, owner string) string {
	t.Helper()
	s := sessions.Start()
	s.SetOwner(owner)
	if err := s.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s.Token()
}

func idsOf(t *testing.T, sessions *manager, owner string) map[string]session.Info[profile] {
	t.Helper()
	found := make(map[string]session.Info[profile])
	for info, err := range sessions.Sessions(t.Context(), owner) {
		if err != nil {
			t.Error(err)
		}
		found[info.ID] = info
	}
	return found
}

// withoutIndex reports whether the backend under test has no owner index; then the
// manager has to say so.
func withoutIndex(t *testing.T, sessions *manager) bool {
	t.Helper()
	want := strings.Contains(t.Name(), "memcache")
	errs := []error{sessions.EndOwner(t.Context(), "alice"), sessions.EndOwner(t.Context(), "alice", "some-id")}
	if want {
		for _, err := range sessions.Sessions(t.Context(), "alice") {
			errs = append(errs, err)
		}
	}
	for _, err := range errs {
		if errors.Is(err, errors.ErrUnsupported) != want || !want && err != nil {
			t.Fatal(err)
		}
	}
	return want
}

func TestSessionsOfAnOwner(t *testing.T) {
	everywhere(t, func(t *testing.T, store tokensession.Store, o *session.Options[profile]) {
		sessions := session.New(store, o)
		ctx := t.Context()
		hasIndex := !withoutIndex(t, sessions)
		before := time.Now().Add(-time.Second)
		phone, laptop, other := owned(t, sessions, "alice"), owned(t, sessions, "alice"), owned(t, sessions, "bob")
		if err := sessions.End(ctx, "alice", other[:24]); !errors.Is(err, tokensession.ErrNotFound) {
			t.Errorf("a stranger's session: %v", err)
		}
		load(t, sessions, other)
		if hasIndex {
			found := idsOf(t, sessions, "alice")
			if len(found) != 2 {
				t.Errorf("%d sessions", len(found))
			}
			info := found[phone[:24]]
			after := time.Now().Add(time.Second)
			for what, at := range map[string]time.Time{"created": info.Created, "touched": info.Touched, "expires": info.Expires.Add(-24 * time.Hour)} {
				if at.Before(before) || at.After(after) {
					t.Errorf("%s at %v, not between %v and %v", what, at, before, after)
				}
			}
		}
		if err := sessions.End(ctx, "alice", phone[:24]); err != nil {
			t.Error(err)
		}
		if _, err := sessions.Load(ctx, phone); !errors.Is(err, session.ErrInvalidToken) {
			t.Errorf("the session that was ended: %v", err)
		}
		load(t, sessions, laptop)
	})
}

// TestNoSessionOutlivesEndOwner has requests in flight, in all processes, that save, count
// and renew while their owner logs out everywhere, or everywhere but here.
func TestNoSessionOutlivesEndOwner(t *testing.T) {
	onEverySite(t, func(t *testing.T, sessions *manager, sites []*site) {
		if withoutIndex(t, sessions) {
			return
		}
		for _, except := range []bool{false, true} {
			here := owned(t, sessions, "alice")
			var exceptIDs []string
			if except {
				exceptIDs = append(exceptIDs, here[:24])
			}
			tokens := []string{here, owned(t, sessions, "alice"), owned(t, sessions, "alice"), owned(t, sessions, "alice")}
			stranger := owned(t, sessions, "bob")
			const requests = 6
			all, over := newCrowd(int32(len(tokens)*requests)), make(chan struct{})
			late, around := all.gate(t, over), all.gate(t, all.loaded)
			var running sync.WaitGroup
			for i, token := range tokens {
				for j, path := range [requests]string{
					"/left" + late, "/right" + around, "/renew" + late + "&grace=1m", "/renew" + around + "&grace=1m",
					"/renew" + late + "&grace=0s", "/renew" + around + "&grace=0s",
				} {
					if i == 0 { // other tokens of it should stay alive
						path = strings.Replace(path, "grace=0s", "grace=2m", 1)
					}
					get := sites[(i+j)%len(sites)].user(t, token)
					running.Go(func() {
						if _, err := get(path); err != nil {
							t.Error(err)
						}
					})
				}
			}
			if err := await(all.loaded); err != nil {
				t.Error(err)
			}
			if err := sessions.EndOwner(t.Context(), "alice", exceptIDs...); err != nil {
				t.Error(err)
			}
			close(over)
			running.Wait()
			found := idsOf(t, sessions, "alice")
			if len(found) != len(exceptIDs) {
				t.Errorf("except %v: %d sessions are left", except, len(found))
			}
			for i, token := range tokens {
				s, err := sessions.Load(t.Context(), token)
				switch {
				case !(except && i == 0):
					if !errors.Is(err, session.ErrInvalidToken) {
						t.Errorf("except %v: session %d: %v", except, i, err)
					}
				case err != nil || s.Data.Left != 1 || s.Data.Right != 1 || s.Owner() != "alice":
					t.Errorf("the excepted session: %v", err)
				}
			}
			load(t, sessions, stranger)
		}
	})
}

// TestEveryIncrementCountsWhileTheTokenIsRenewed waits for the users after every fourth
// renewal, so that none of them sends a token that is more than eight renewals old.
func TestEveryIncrementCountsWhileTheTokenIsRenewed(t *testing.T) {
	onEverySite(t, func(t *testing.T, sessions *manager, sites []*site) {
		const users, renewals = 8, 20
		token := begin(t, sessions)
		answers := newPace(users)
		var stop atomic.Bool
		var running sync.WaitGroup
		for i := range users {
			get := sites[i%len(sites)].user(t, token)
			running.Go(func() {
				for !stop.Load() {
					if _, err := get("/count"); err != nil {
						t.Error(err)
					}
					answers.count(i)
				}
			})
		}
		renew := sites[0].user(t, token)
		for i := range renewals {
			resp, err := renew("/renew?grace=5m")
			if err != nil {
				t.Error(err)
				break
			}
			if token = tokenIn(resp); i%4 == 3 {
				answers.await()
			}
		}
		stop.Store(true)
		running.Wait()
		if got := load(t, sessions, token).Views; got != answers.sum() {
			t.Errorf("%d of %d increments", got, answers.sum())
		}
	})
}

// pace counts the answers that each client has had, so that one can wait for all.
type pace struct {
	mu      sync.Mutex
	changed *sync.Cond
	counted []int
}

func newPace(clients int) *pace {
	p := &pace{counted: make([]int, clients)}
	p.changed = sync.NewCond(&p.mu)
	return p
}

func (p *pace) count(client int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counted[client]++
	p.changed.Broadcast()
}

// await waits until each client has had two more answers: the first may be to a request
// from before.
func (p *pace) await() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for client, before := range slices.Clone(p.counted) {
		for p.counted[client] < before+2 {
			p.changed.Wait()
		}
	}
}

func (p *pace) sum() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, counted := range p.counted {
		n += counted
	}
	return n
}

// tokenIn is what an answer gives the client.
func tokenIn(resp *http.Response) string {
	for _, c := range resp.Cookies() {
		return c.Value
	}
	return resp.Header.Get("X-Auth-Token")
}

func TestDestroyRacingRenew(t *testing.T) {
	everywhere(t, func(t *testing.T, store tokensession.Store, o *session.Options[profile]) {
		sessions := session.New(store, o)
		for i := range 50 {
			grace := time.Duration(i%2) * time.Minute
			old := begin(t, sessions)
			one, err1 := sessions.Load(t.Context(), old)
			two, err2 := sessions.Load(t.Context(), old)
			if err := errors.Join(err1, err2); err != nil {
				t.Fatal(err)
			}
			var running sync.WaitGroup
			running.Go(func() {
				if err := one.Renew(t.Context(), grace); err != nil && !errors.Is(err, session.ErrGone) {
					t.Error(err)
				}
			})
			running.Go(func() {
				if err := two.Destroy(t.Context()); err != nil {
					t.Error(err)
				}
			})
			running.Wait()
			for _, token := range []string{old, one.Token()} {
				if _, err := sessions.Load(t.Context(), token); !errors.Is(err, session.ErrInvalidToken) {
					t.Fatalf("grace %v: a token is alive: %v", grace, err)
				}
			}
		}
	})
}
