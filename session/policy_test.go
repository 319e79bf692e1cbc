package session_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/session"
)

func TestTooLargeIsRefusedBeforeTheStore(t *testing.T) {
	large := func(s *sess) { s.Data.Note = strings.Repeat("x", 1000) }
	for name, tt := range map[string]struct {
		new bool // the session is
		do  func(context.Context, *sess) error
	}{
		"a new session": {true, func(ctx context.Context, s *sess) error { large(s); return s.Save(ctx) }},
		"Save":          {false, func(ctx context.Context, s *sess) error { large(s); return s.Save(ctx) }},
		"Renew":         {false, func(ctx context.Context, s *sess) error { large(s); return s.Renew(ctx, 0) }},
		"Update": {false, func(ctx context.Context, s *sess) error {
			return s.Update(ctx, func(d *account) error { d.Note = strings.Repeat("x", 1000); return nil })
		}},
	} {
		for _, open := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, FailOpen %v", name, open), func(t *testing.T) {
				var answered error
				a := newApp(t, &session.Options[account]{MaxBytes: 1000, FailOpen: open, OnError: func(w http.ResponseWriter, r *http.Request, err error) {
					answered = err
					w.WriteHeader(599)
				}})
				token, calls := "", "map[]"
				if !tt.new {
					token = a.begin(t, func(ctx context.Context, s *sess) { s.Data.Views = 1 })
					calls = "map[Create:1 Get:1]"
				}
				w := a.request(token, func(ctx context.Context, s *sess) {
					err := tt.do(ctx, s)
					if !errors.Is(err, tokensession.ErrTooLarge) || !strings.Contains(err.Error(), "MaxBytes is 1000") {
						t.Errorf("%v", err)
					}
					large(s) // which the end of the handler saves
				})
				if w.Code != 599 || !errors.Is(answered, tokensession.ErrTooLarge) || w.Header().Get("X-Auth-Token") != "" {
					t.Errorf("status %d, OnError got %v, %v", w.Code, answered, w.Header())
				}
				if got := a.store.calls(); got != calls {
					t.Errorf("calls %s, want %s", got, calls)
				}
				if data, _, ok := a.stored(t, token); ok == tt.new || data.Note != "" {
					t.Errorf("stored: %v, %d bytes", ok, len(data.Note))
				}
			})
		}
	}

	t.Run("by default answers 500", func(t *testing.T) {
		a := newApp(t, &session.Options[account]{MaxBytes: 1000})
		if w := a.request("", func(ctx context.Context, s *sess) { large(s) }); w.Code != 500 {
			t.Errorf("status %d", w.Code)
		}
	})
	t.Run("what is made smaller is saved", func(t *testing.T) {
		a := newApp(t, &session.Options[account]{MaxBytes: 1000})
		token := a.begin(t, func(ctx context.Context, s *sess) {
			large(s)
			if err := s.Save(ctx); !errors.Is(err, tokensession.ErrTooLarge) {
				t.Errorf("%v", err)
			}
			s.Data.Note = "short"
		})
		if data, _, _ := a.stored(t, token); data.Note != "short" {
			t.Errorf("%+v", data)
		}
	})
	t.Run("what only the merge makes too large", func(t *testing.T) {
		a := newApp(t, &session.Options[account]{MaxBytes: 1000})
		token := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Views = 1 })
		half := strings.Repeat("x", 500)
		w := a.request(token, a.during(token,
			func(ctx context.Context, s *sess) { s.Data.Note = half },
			func(ctx context.Context, s *sess) { s.Data.Name = half }))
		if data, _, _ := a.stored(t, token); w.Code != 500 || data.Name != half || data.Note != "" {
			t.Errorf("status %d, %d and %d bytes", w.Code, len(data.Name), len(data.Note))
		}
	})
}

func TestMaxBytesIsTheRecord(t *testing.T) {
	a := newApp(t, nil)
	s := a.Start()
	s.Data.Note = strings.Repeat("x", 500)
	if err := s.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	rec, err := a.store.Get(t.Context(), s.ID())
	if err != nil {
		t.Fatal(err)
	}
	for limit, want := range map[int]error{len(rec.Data): nil, len(rec.Data) - 1: tokensession.ErrTooLarge} {
		s := newApp(t, &session.Options[account]{MaxBytes: limit}).Start()
		s.Data.Note = strings.Repeat("x", 500)
		if err := s.Save(t.Context()); !errors.Is(err, want) {
			t.Errorf("%d bytes with a MaxBytes of %d: %v", len(rec.Data), limit, err)
		}
	}
}

// slow is a store that answers after a while, or when the context is done, as rule 13
// has it: then without having done anything.
type slow struct {
	*flaky
	takes map[string]time.Duration // by method
}

func (s *slow) wait(ctx context.Context, method string) error {
	select {
	case <-time.After(s.takes[method]):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *slow) Get(ctx context.Context, id string) (tokensession.Record, error) {
	if err := s.wait(ctx, "Get"); err != nil {
		return tokensession.Record{}, err
	}
	return s.flaky.Get(ctx, id)
}

func (s *slow) Create(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	if err := s.wait(ctx, "Create"); err != nil {
		return "", err
	}
	return s.flaky.Create(ctx, id, rec)
}

func (s *slow) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	if err := s.wait(ctx, "Update"); err != nil {
		return "", err
	}
	return s.flaky.Update(ctx, id, rec)
}

func (s *slow) Touch(ctx context.Context, id string, ttl time.Duration) error {
	if err := s.wait(ctx, "Touch"); err != nil {
		return err
	}
	return s.flaky.Touch(ctx, id, ttl)
}

func (s *slow) Delete(ctx context.Context, id string) error {
	if err := s.wait(ctx, "Delete"); err != nil {
		return err
	}
	return s.flaky.Delete(ctx, id)
}

// TestStoreSlowerThanStoreTimeout has one call of a request take longer than
// StoreTimeout, and all others nearly as long.
func TestStoreSlowerThanStoreTimeout(t *testing.T) {
	const timeout, nearly = 3 * time.Second, 2 * time.Second
	count := func(ctx context.Context, s *sess) { s.Data.Views++ }
	look := func(ctx context.Context, s *sess) {}
	for _, tt := range []struct {
		slow    string // the method
		new     bool   // the request has no token
		do      step
		took    time.Duration
		refused bool // with OnError, unless FailOpen
		log     string
		openLog string
	}{
		{slow: "", do: count, took: 2 * nearly},
		{slow: "Get", do: count, took: timeout, refused: true, log: "answered with an error", openLog: "goes on without a session"},
		{slow: "Create", new: true, do: count, took: timeout, refused: true, log: "answered with an error", openLog: "the change is lost"},
		{slow: "Update", do: count, took: nearly + timeout, refused: true, log: "answered with an error", openLog: "the change is lost"},
		{slow: "Touch", do: look, took: nearly + timeout, log: "not renewed", openLog: "not renewed"},
		{slow: "Delete", took: nearly + timeout, do: func(ctx context.Context, s *sess) {
			if err := s.Destroy(ctx); !errors.Is(err, context.DeadlineExceeded) || s.Data.Views != 1 {
				t.Errorf("Destroy: %v, and then %+v", err, s.Data)
			}
		}},
	} {
		for _, open := range []bool{false, true} {
			t.Run(fmt.Sprintf("%q, FailOpen %v", tt.slow, open), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var answered error
					a := newApp(t, nil)
					token := a.begin(t, count)
					if tt.slow == "Touch" {
						time.Sleep(4 * time.Hour) // so that one is due
					}
					takes := map[string]time.Duration{"Get": nearly, "Create": nearly, "Update": nearly, "Touch": nearly, "Delete": nearly}
					if tt.slow != "" {
						takes[tt.slow] = timeout + time.Second
					}
					log := new(safeBuffer)
					m := session.New(&slow{a.store, takes}, &session.Options[account]{
						StoreTimeout: timeout, FailOpen: open, Logger: slog.New(slog.NewTextHandler(log, nil)),
						OnError: func(w http.ResponseWriter, r *http.Request, err error) {
							answered = err
							w.WriteHeader(599)
						},
					})
					b := &app{Manager: m, store: a.store, log: log}
					if tt.new {
						token = ""
					}
					ran, start := false, time.Now()
					w := b.request(token, func(ctx context.Context, s *sess) { ran = true; tt.do(ctx, s) })

					took := tt.took
					if tt.slow == "Get" && open {
						took = timeout // nothing is saved
					}
					if time.Since(start) != took {
						t.Errorf("it took %v, want %v", time.Since(start), took)
					}
					wantCode, wantLog := 200, tt.log
					if open {
						wantLog = tt.openLog
					} else if tt.refused {
						wantCode = 599
					}
					if w.Code != wantCode || ran != (wantCode == 200 || tt.slow != "Get") || errors.Is(answered, context.DeadlineExceeded) != (wantCode == 599) {
						t.Errorf("status %d, want %d; the handler ran: %v; OnError got %v", w.Code, wantCode, ran, answered)
					}
					if !strings.Contains(log.String(), wantLog) {
						t.Errorf("log without %q:\n%s", wantLog, log)
					}
					want := account{Views: 1}
					if tt.slow == "" {
						want.Views = 2
					}
					if data, _, ok := a.stored(t, token); ok == tt.new || ok && data.Views != want.Views {
						t.Errorf("the session, afterwards: %v %+v", ok, data)
					}
				})
			})
		}
	}
}

// TestCorruptRecord has something else stand where the session was. It is logged and
// left to expire, and the client gets a new session.
func TestCorruptRecord(t *testing.T) {
	replace := func(old, new string) func(*tokensession.Record) {
		return func(rec *tokensession.Record) {
			if !strings.Contains(string(rec.Data), old) {
				panic("the record has no " + old)
			}
			rec.Data = []byte(strings.Replace(string(rec.Data), old, new, 1))
		}
	}
	// cut keeps what is before the end of the header line, and some bytes more.
	cut := func(more int) func(*tokensession.Record) {
		return func(rec *tokensession.Record) { rec.Data = rec.Data[:strings.IndexByte(string(rec.Data), '\n')+more] }
	}
	hash := func(change func(string) string) func(*tokensession.Record) {
		return func(rec *tokensession.Record) {
			_, after, _ := strings.Cut(string(rec.Data), "secret=")
			replace(after[:43], change(after[:43]))(rec)
		}
	}
	for name, spoil := range map[string]func(*tokensession.Record){
		"empty":                     func(rec *tokensession.Record) { rec.Data = nil },
		"of another program":        func(rec *tokensession.Record) { rec.Data = []byte(`{"Views":1}`) },
		"of a newer format":         replace("ts1 ", "ts9 "),
		"cut in the header":         cut(-20),
		"cut after the header":      cut(0),
		"a time before time":        replace("created=", "created=-"),
		"a time after 2200":         replace("created=", "created=9"),
		"a number with a zero":      replace("created=", "created=0"),
		"a hash that is too long":   hash(func(h string) string { return h + "A" }),
		"a hash that is no base64":  hash(func(h string) string { return "!" + h[1:] }),
		"a hash that is too short":  hash(func(h string) string { return h[1:] }),
		"a line break in the hash":  hash(func(h string) string { return h[:20] + "\r\r\r\r" + h[24:] }),
		"a space after the hash":    replace("\n", " \n"),
		"a field that is unknown":   replace("\n", " new=1\n"),
		"another manager's owner":   func(rec *tokensession.Record) { rec.Owner = "staff:bob" },
		"no payload":                cut(1),
		"cut in the payload":        cut(10),
		"a payload of another type": replace(`"Views":1`, `"Views":"one"`),
		"a payload of garbage":      replace(`"Views"`, "\xff\xfe\x00"),
		"more after the payload":    func(rec *tokensession.Record) { rec.Data = append(rec.Data[:len(rec.Data):len(rec.Data)], '}') },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newApp(t, nil)
				token := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Views, s.Data.Note = 1, "private" })
				id := token[:24]
				rec, err := a.store.Get(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				spoil(&rec)
				if _, err := a.store.Update(t.Context(), id, rec); err != nil {
					t.Fatal(err)
				}
				time.Sleep(23 * time.Hour) // so that a touch would be due

				w := a.request(token, func(ctx context.Context, s *sess) {
					if !s.IsNew() || s.Data.Views != 0 || s.Owner() != "" || s.ID() == id {
						t.Errorf("got %v %+v", s, s.Data)
					}
					s.Data.Views = 100
				})
				fresh := w.Header().Get("X-Auth-Token")
				if data, _, ok := a.stored(t, fresh); w.Code != 200 || !ok || data.Views != 100 || fresh[:24] == id {
					t.Errorf("status %d, a session of its own: %v %+v", w.Code, ok, data)
				}
				if log := a.log.String(); !strings.Contains(log, "level=ERROR") || !strings.Contains(log, id) || strings.Contains(log, "private") {
					t.Errorf("log:\n%s", log)
				}
				if left, err := a.store.Get(t.Context(), id); err != nil || string(left.Data) != string(rec.Data) || left.TTL > time.Hour {
					t.Errorf("the record was not left alone: %v, %v to live", err, left.TTL)
				}
				if _, err := a.Load(t.Context(), token); err == nil || errors.Is(err, session.ErrInvalidToken) {
					t.Errorf("Load: %v", err)
				}
				time.Sleep(time.Hour)
				if _, err := a.store.Get(t.Context(), id); !errors.Is(err, tokensession.ErrNotFound) {
					t.Errorf("the record has not expired: %v", err)
				}
			})
		})
	}
}

func TestRecordThatCannotBeDecodedExpiresThoughRequestsCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t, &session.Options[account]{IdleTimeout: time.Hour})
		good := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Name = "x" })
		bad := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Name = "private" })
		rec, err := a.store.Get(t.Context(), bad[:24])
		if err != nil {
			t.Fatal(err)
		}
		rec.Data = rec.Data[:len(rec.Data)-1]
		if _, err := a.store.Update(t.Context(), bad[:24], rec); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			time.Sleep(30 * time.Minute)
			for _, token := range []string{good, bad} {
				a.serve(a.newRequest(token), func(http.ResponseWriter, *http.Request) {})
			}
		}
		if _, err := a.store.Get(t.Context(), bad[:24]); !errors.Is(err, tokensession.ErrNotFound) {
			t.Errorf("the record has not expired: %v", err)
		}
		if _, _, ok := a.stored(t, good); !ok {
			t.Error("the session that can be decoded has expired")
		}
		if log := a.log.String(); !strings.Contains(log, "left to expire") || strings.Contains(log, "private") {
			t.Errorf("log:\n%s", log)
		}
	})
}

// A record that turns corrupt while a request has the session is not overwritten either.
func TestRecordThatTurnsCorrupt(t *testing.T) {
	for _, open := range []bool{false, true} {
		a := newApp(t, &session.Options[account]{FailOpen: open})
		token := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Views = 1 })
		w := a.request(token, func(ctx context.Context, s *sess) {
			rec, err := a.store.Get(ctx, s.ID())
			if err != nil {
				t.Fatal(err)
			}
			rec.Data = []byte("garbage")
			if _, err := a.store.Update(ctx, s.ID(), rec); err != nil {
				t.Fatal(err)
			}
			s.Data.Views = 2
		})
		if rec, err := a.store.Get(t.Context(), token[:24]); w.Code != 500 || err != nil || string(rec.Data) != "garbage" {
			t.Errorf("FailOpen %v: status %d, %v, %q", open, w.Code, err, rec.Data)
		}
	}
}

func TestRecordThatTheStoreCannotRead(t *testing.T) {
	a := newApp(t, nil)
	token := a.begin(t, func(ctx context.Context, s *sess) { s.Data.Views = 1 })
	a.store.set(map[string]error{"Get": &tokensession.OpError{Driver: "x", Op: "get", ID: token[:24], Err: tokensession.ErrCorrupt}}, nil)
	w := a.request(token, func(ctx context.Context, s *sess) {
		if !s.IsNew() {
			t.Errorf("got %+v", s.Data)
		}
		s.Data.Views = 5
	})
	if got := w.Header().Get("X-Auth-Token"); w.Code != 200 || got == "" || got == token || !strings.Contains(a.log.String(), "corrupt") {
		t.Errorf("status %d, log:\n%s", w.Code, a.log)
	}
}

func TestNewRefusesAMaxBytesThatNoSessionFits(t *testing.T) {
	store := newApp(t, nil).store
	defer func() {
		if msg := fmt.Sprint(recover()); !strings.Contains(msg, "MaxBytes") {
			t.Errorf("panic %q", msg)
		}
	}()
	session.New(store, &session.Options[account]{MaxBytes: 100})
}
