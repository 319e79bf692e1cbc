package storetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokensession/tokensession"
)

// server is what the stores of several namespaces keep their records in.
type server struct {
	mu      sync.Mutex
	records map[string]*row
	made    int // how many Versions were made

	client atomic.Bool // open; of use to a broken store only
}

// row is a record on the server.
type row struct {
	space, id string
	data      []byte
	owner     string
	indexed   string // the owner it is found by
	version   tokensession.Version
	until     time.Time // the zero Time: for ever
	damaged   bool
}

// habits are what a store decides on its way. Broken stores have bad ones.
type habits struct {
	check    func(context.Context, string, *tokensession.Record) error
	key      func(space, id string) string
	inSpace  func(r *row, space string) bool
	until    func(now time.Time, ttl time.Duration) time.Time
	dead     func(op string, until, now time.Time) bool
	take     func(op string, held, data []byte) []byte // what is kept of Data
	give     func([]byte) []byte                       // what is shown of it
	version  func(s *reference, r *row, rec tokensession.Record) tokensession.Version
	pause    func()                          // before a call looks at anything, so that calls meet
	window   func(op string, mu *sync.Mutex) // between a look and what depends on it
	index    func(r *row, created bool) string
	notFound func(id string) error
	corrupt  error // of a row that is damaged
	limit    int
}

func goodHabits() habits {
	return habits{
		check:   tokensession.Check,
		key:     func(space, id string) string { return space + "\x00" + id },
		inSpace: func(r *row, space string) bool { return r.space == space },
		until: func(now time.Time, ttl time.Duration) time.Time {
			if ttl == tokensession.Forever {
				return time.Time{}
			}
			return now.Add(ttl)
		},
		dead: func(_ string, until, now time.Time) bool { return !until.IsZero() && !now.Before(until) },
		take: func(_ string, _, data []byte) []byte { return bytes.Clone(data) },
		give: bytes.Clone,
		version: func(s *reference, _ *row, _ tokensession.Record) tokensession.Version {
			return tokensession.Version(fmt.Sprintf("v%d", s.made))
		},
		pause:    runtime.Gosched,
		window:   func(string, *sync.Mutex) {},
		index:    func(r *row, _ bool) string { return r.owner },
		notFound: func(string) error { return tokensession.ErrNotFound },
		corrupt:  tokensession.ErrCorrupt,
		limit:    4 << 20,
	}
}

// reference is a Store that keeps all the rules, with all the capabilities, written to
// be broken.
type reference struct {
	*server
	habits
	space  string
	closed atomic.Bool
}

func newReference(srv *server, space string) *reference {
	return &reference{server: srv, habits: goodHabits(), space: space}
}

func newServer() *server { return &server{records: make(map[string]*row)} }

// damage makes the record of an id one that nobody can read.
func (s *server) damage(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.records {
		r.damaged = r.damaged || r.id == id
	}
}

// begin is what every method does first. It locks the server unless it fails.
func (s *reference) begin(ctx context.Context, id string, rec *tokensession.Record) error {
	if err := s.check(ctx, id, rec); err != nil {
		return err
	}
	if s.closed.Load() {
		return tokensession.ErrClosed
	}
	s.pause()
	s.mu.Lock()
	return nil
}

// find returns the live row of id, or nil.
func (s *reference) find(op, id string) *row {
	r := s.records[s.key(s.space, id)]
	if r == nil || s.dead(op, r.until, time.Now()) {
		return nil
	}
	return r
}

// put makes r what rec says.
func (s *reference) put(op string, r *row, rec tokensession.Record) tokensession.Version {
	s.made++
	r.version = s.version(s, r, rec)
	r.data, r.owner, r.until = s.take(op, r.data, rec.Data), rec.Owner, s.habits.until(time.Now(), rec.TTL)
	r.indexed = s.index(r, op == "Create")
	s.records[s.key(s.space, r.id)] = r
	return r.version
}

func (s *reference) record(r *row) tokensession.Record {
	ttl := tokensession.Forever
	if !r.until.IsZero() {
		ttl = max(1, time.Until(r.until))
	}
	return tokensession.Record{Data: s.give(r.data), Owner: r.owner, Version: r.version, TTL: ttl}
}

func (s *reference) Get(ctx context.Context, id string) (tokensession.Record, error) {
	if err := s.begin(ctx, id, nil); err != nil {
		return tokensession.Record{}, err
	}
	defer s.mu.Unlock()
	r := s.find("Get", id)
	if r == nil {
		return tokensession.Record{}, s.notFound(id)
	}
	if r.damaged {
		return tokensession.Record{}, s.corrupt
	}
	return s.record(r), nil
}

func (s *reference) Create(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	if err := s.begin(ctx, id, &rec); err != nil {
		return "", err
	}
	defer s.mu.Unlock()
	if len(rec.Data) > s.limit {
		return "", tokensession.ErrTooLarge
	}
	if r := s.find("Create", id); r != nil && r.damaged {
		return "", s.corrupt
	} else if r != nil {
		return "", tokensession.ErrExists
	}
	s.window("Create", &s.mu)
	return s.put("Create", &row{space: s.space, id: id}, rec), nil
}

func (s *reference) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	if err := s.begin(ctx, id, &rec); err != nil {
		return "", err
	}
	defer s.mu.Unlock()
	if len(rec.Data) > s.limit {
		return "", tokensession.ErrTooLarge
	}
	r := s.find("Update", id)
	if r == nil {
		return "", s.notFound(id)
	}
	if r.damaged {
		return "", s.corrupt
	}
	if r.version != rec.Version {
		return "", tokensession.ErrConflict
	}
	s.window("Update", &s.mu)
	return s.put("Update", r, rec), nil
}

func (s *reference) Touch(ctx context.Context, id string, ttl time.Duration) error {
	rec := tokensession.Record{TTL: ttl}
	if err := s.begin(ctx, id, &rec); err != nil {
		return err
	}
	defer s.mu.Unlock()
	r := s.find("Touch", id)
	if r == nil {
		return s.notFound(id)
	}
	if r.damaged {
		return s.corrupt
	}
	r.until = s.habits.until(time.Now(), rec.TTL)
	return nil
}

func (s *reference) Delete(ctx context.Context, id string) error {
	if err := s.begin(ctx, id, nil); err != nil {
		return err
	}
	defer s.mu.Unlock()
	delete(s.records, s.key(s.space, id))
	return nil
}

// anyID stands in where a method is about no record.
const anyID = "any"

// selected returns what is shown to op of the live rows that want accepts.
func (s *reference) selected(op string, want func(*row) bool) (list []tokensession.Entry) {
	for _, r := range s.records {
		if s.inSpace(r, s.space) && want(r) && !s.dead(op, r.until, time.Now()) {
			e := tokensession.Entry{ID: r.id}
			if !r.damaged {
				e.Record = s.record(r)
			}
			list = append(list, e)
		}
	}
	return list
}

func everyone(*row) bool { return true }

func (s *reference) of(owner string) func(*row) bool {
	return func(r *row) bool { return r.indexed == owner }
}

func (s *reference) Len(ctx context.Context) (int, error) {
	if err := s.begin(ctx, anyID, nil); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	return len(s.selected("Len", everyone)), nil
}

func (s *reference) Clear(ctx context.Context) error {
	if err := s.begin(ctx, anyID, nil); err != nil {
		return err
	}
	defer s.mu.Unlock()
	for key, r := range s.records {
		if s.inSpace(r, s.space) {
			delete(s.records, key)
		}
	}
	return nil
}

func (s *reference) All(ctx context.Context) iter.Seq2[tokensession.Entry, error] {
	return s.walk(func() ([]tokensession.Entry, error) {
		if err := s.begin(ctx, anyID, nil); err != nil {
			return nil, err
		}
		defer s.mu.Unlock()
		return s.selected("All", everyone), nil
	})
}

func (s *reference) ByOwner(ctx context.Context, owner string) iter.Seq2[tokensession.Entry, error] {
	return s.walk(func() ([]tokensession.Entry, error) {
		if err := tokensession.CheckOwner(ctx, owner); err != nil {
			return nil, err
		}
		if err := s.begin(ctx, anyID, nil); err != nil {
			return nil, err
		}
		defer s.mu.Unlock()
		return s.selected("ByOwner", s.of(owner)), nil
	})
}

func (s *reference) walk(list func() ([]tokensession.Entry, error)) iter.Seq2[tokensession.Entry, error] {
	return func(yield func(tokensession.Entry, error) bool) {
		entries, err := list()
		if err != nil {
			yield(tokensession.Entry{}, err)
		}
		for _, e := range entries {
			var err error
			if e.TTL == 0 {
				err = s.corrupt
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

func (s *reference) DeleteOwner(ctx context.Context, owner string) (int, error) {
	if err := tokensession.CheckOwner(ctx, owner); err != nil {
		return 0, err
	}
	if err := s.begin(ctx, anyID, nil); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	list := s.selected("DeleteOwner", s.of(owner))
	for _, e := range list {
		delete(s.records, s.key(s.space, e.ID))
	}
	return len(list), nil
}

func (s *reference) Ping(ctx context.Context) error {
	if err := s.begin(ctx, anyID, nil); err != nil {
		return err
	}
	s.mu.Unlock()
	return nil
}

func (s *reference) Close() error {
	s.closed.Store(true)
	return nil
}

// suite is a Suite for references that have been through spoil.
func suite(spoil func(*reference) tokensession.Store) Suite {
	fresh := func(srv *server, space string) tokensession.Store { return spoil(newReference(srv, space)) }
	return Suite{
		New: func(testing.TB) tokensession.Store { return fresh(newServer(), "") },
		Namespaces: func(_ testing.TB, a, b string) (tokensession.Store, tokensession.Store) {
			srv := newServer()
			return fresh(srv, a), fresh(srv, b)
		},
		Reopen: func(testing.TB) func() tokensession.Store {
			srv := newServer()
			return func() tokensession.Store { return fresh(srv, "") }
		},
		Corrupt: func(tb testing.TB) (tokensession.Store, func(string)) {
			srv := newServer()
			return fresh(srv, ""), srv.damage
		},
		Capabilities: AllCapabilities,
		InProcess:    true,
		TooLarge:     4<<20 + 1,
		Secrets:      []string{password},
	}
}

// password is one that broken stores show. What is quoted or in a URL has it in another form.
const password = `hunter"2`

func healthy(s *reference) tokensession.Store { return s }

func TestReference(t *testing.T) {
	suite(healthy).Run(t)
}

// TestReferenceShared uses two handles, and the clock on the wall.
func TestReferenceShared(t *testing.T) {
	s := suite(healthy)
	s.InProcess, s.Shared, s.Budget = false, true, 50*time.Millisecond
	s.Run(t)
}

// bare has no capability.
type bare struct{ tokensession.Store }

// TestSkips wants what a store cannot do to be skipped, and said.
func TestSkips(t *testing.T) {
	s := Suite{
		New:    func(testing.TB) tokensession.Store { return bare{newReference(newServer(), "")} },
		Budget: time.Millisecond,
	}
	skipped := make(map[string]bool)
	for i := range rules {
		for _, c := range rules[i].checks {
			rec := s.examine(t, &rules[i], c)
			if rec.failed {
				t.Errorf("%s/%s failed: %s", rules[i].name, c.name, rec.lines)
			}
			if rec.skipped {
				skipped[rules[i].name] = true
			}
			if rec.skipped && strings.TrimSpace(strings.Join(rec.lines, "")) == "" {
				t.Errorf("%s/%s does not say why it is skipped", rules[i].name, c.name)
			}
		}
	}
	for _, name := range []string{"Rule02_Data", "Rule04_TTL", "Rule08_Versions", "Rule17_Namespaces", "Rule18_Close",
		"Counter", "Clearer", "Lister", "OwnerIndex", "Pinger"} {
		if !skipped[name] {
			t.Errorf("nothing of %s is skipped", name)
		}
	}
}

// TestIteratorsOfEach wants a store that has All or ByOwner, not both, to be asked about the one
// it has.
func TestIteratorsOfEach(t *testing.T) {
	type lister struct {
		tokensession.Store
		tokensession.Lister
		io.Closer
	}
	for name, spoil := range map[string]func(*reference) tokensession.Store{
		"All":     func(s *reference) tokensession.Store { return lister{s, s, s} },
		"ByOwner": func(s *reference) tokensession.Store { return ofOwners{s, s, s} },
	} {
		for _, check := range []string{"Rule13_Contexts/iterators", "Rule18_Close/iterators", "Rule18_Close/inside"} {
			if rec := suite(spoil).examineNamed(t, check); rec.failed || rec.skipped {
				t.Errorf("%s of a store with %s alone: failed: %v, skipped: %v: %s", check, name, rec.failed, rec.skipped, rec.lines)
			}
		}
	}
}
