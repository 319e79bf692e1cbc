package storetest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"path"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tokensession/tokensession"
)

// broken is a way to get the contract wrong.
type broken struct {
	name  string
	spoil func(*reference) tokensession.Store

	// breaks are the rules that it breaks; perhaps those that it breaks too, if two
	// calls meet in a window so narrow that they may as well not.
	breaks, perhaps string
}

// anyRace are the rules that have checks in which writes compete.
const anyRace = "6 7 9 10 12 14 16 Clearer Lister OwnerIndex"

// brokenStores have what was found in other libraries or in prototypes of this one, and what
// somebody will get wrong next.
var brokenStores = []broken{
	{"an id of more than 128 bytes is accepted", func(s *reference) tokensession.Store {
		s.check = func(ctx context.Context, id string, rec *tokensession.Record) error {
			if len(id) > 128 {
				id = anyID
			}
			return tokensession.Check(ctx, id, rec)
		}
		return s
	}, "1", ""},

	{"case does not count", func(s *reference) tokensession.Store {
		s.key = func(space, id string) string { return space + "\x00" + strings.ToLower(id) }
		return s
	}, "1", ""},

	{"text, not bytes", func(s *reference) tokensession.Store {
		s.take = func(_ string, _, data []byte) []byte { return bytes.ToValidUTF8(data, []byte("\ufffd")) }
		return s
	}, "2", ""},

	{"64 KiB and no more", func(s *reference) tokensession.Store {
		s.take = func(_ string, _, data []byte) []byte { return bytes.Clone(data[:min(len(data), 64<<10)]) }
		return s
	}, "2", ""},

	{"what is too large evicts the old value", func(s *reference) tokensession.Store { return evicting{s} }, "2", ""},

	{"owners of any length", func(s *reference) tokensession.Store {
		s.check = func(ctx context.Context, id string, rec *tokensession.Record) error {
			if rec != nil && len(rec.Owner) > 256 {
				rec = &tokensession.Record{TTL: rec.TTL}
			}
			return tokensession.Check(ctx, id, rec)
		}
		return s
	}, "3", ""},

	{"a negative TTL is for ever", func(s *reference) tokensession.Store {
		s.check = func(ctx context.Context, id string, rec *tokensession.Record) error {
			if rec != nil && rec.TTL < 0 {
				rec.TTL = tokensession.Forever
			}
			return tokensession.Check(ctx, id, rec)
		}
		return s
	}, "4", ""},

	{"the TTL is rounded down to seconds", rounding(time.Second), "4 11 OwnerIndex", ""},

	{"the TTL is rounded down to milliseconds", rounding(time.Millisecond), "4", ""},

	{"more than 30 days is a date, and past", func(s *reference) tokensession.Store {
		return lasting(s, func(now time.Time, ttl time.Duration) time.Time {
			if ttl > 30*24*time.Hour && ttl != tokensession.Forever {
				return now
			}
			return now.Add(ttl)
		})
	}, "4", ""},

	{"for ever is a year", func(s *reference) tokensession.Store {
		s.habits.until = func(now time.Time, ttl time.Duration) time.Time { return now.Add(min(ttl, 365*24*time.Hour)) }
		return s
	}, "4 7 9", ""},

	{"the TTL is ignored", func(s *reference) tokensession.Store {
		s.dead = func(string, time.Time, time.Time) bool { return false }
		return s
	}, "4 6 8 11", ""},

	{"Get shows the store's own memory", func(s *reference) tokensession.Store {
		s.give = func(data []byte) []byte { return data }
		s.take = func(_ string, held, data []byte) []byte {
			if len(data) < 128 {
				return bytes.Clone(data) // or the race detector finds it before the suite
			}
			return append(held[:0], data...)
		}
		return s
	}, "5", ""},

	{"Create overwrites", func(s *reference) tokensession.Store {
		s.dead = func(op string, until, now time.Time) bool { return op == "Create" || past(until, now) }
		return s
	}, "6 16", ""},

	{"Create looks, and then writes", leaving("Create", runtime.Gosched), "6 16", ""},

	{"Create looks, and then writes where a record has expired", func(s *reference) tokensession.Store {
		return replacing{s}
	}, "6", ""},

	{"Create refuses where a record has expired", undead("Create"), "6 8 11", ""},

	{"a Create that is refused prolongs", func(s *reference) tokensession.Store { return prolonging{s} }, "6", ""},

	{"Update creates", func(s *reference) tokensession.Store { return upserting{s} }, "7 10 11 16 17 Clearer OwnerIndex", ""},

	{"Update drops its lock for a nanosecond", dropping("Update"), "7", anyRace},

	{"a lost Update prolongs", func(s *reference) tokensession.Store {
		return settling{s, tokensession.ErrConflict}
	}, "7", ""},

	{"an Update that is lost to one beside it prolongs", func(s *reference) tokensession.Store { return outrun{s} }, "7", ""},

	{"an Update that is lost to an equal one prolongs", func(s *reference) tokensession.Store { return equalled{s} }, "7", ""},

	{"an Update that is too large prolongs", func(s *reference) tokensession.Store {
		return settling{s, tokensession.ErrTooLarge}
	}, "2", ""},

	{"an Update with an invalid owner prolongs", func(s *reference) tokensession.Store {
		return settling{s, tokensession.ErrInvalidOwner}
	}, "3", ""},

	{"an Update with an invalid TTL makes it for ever", func(s *reference) tokensession.Store {
		return settling{s, tokensession.ErrInvalidTTL}
	}, "4", ""},

	{"an Update that changes nothing makes no Version", func(s *reference) tokensession.Store {
		fresh := s.habits.version
		s.habits.version = func(s *reference, r *row, rec tokensession.Record) tokensession.Version {
			if r.version != "" && sameContent(rec, tokensession.Record{Data: r.data, Owner: r.owner}) {
				return r.version
			}
			return fresh(s, r, rec)
		}
		return s
	}, "7", ""},

	{"the empty Version is any", func(s *reference) tokensession.Store { return trusting{s} }, "7 16", ""},

	{"each record counts its Versions", counting(func(*row) string { return "" }), "8 16", ""},

	{"each record counts its Versions, under its id", counting(func(r *row) string { return r.id }), "8 16", ""},

	{"each process counts its Versions", func(s *reference) tokensession.Store {
		made := 0
		s.habits.version = func(*reference, *row, tokensession.Record) tokensession.Version {
			made++
			return tokensession.Version(fmt.Sprint(made))
		}
		return s
	}, "8", ""},

	{"Touch makes Versions invalid", func(s *reference) tokensession.Store { return reversioning{s} }, "9 16", ""},

	{"Touch only prolongs", func(s *reference) tokensession.Store { return extending{s} }, "4 9 11", ""},

	{"Touch writes back what it read", func(s *reference) tokensession.Store { return rewriting{s} }, "9 16", ""},

	{"Touch revives", undead("Touch"), "9 11", ""},

	{"Delete of nothing is an error", func(s *reference) tokensession.Store { return finicky{s} }, "10 11 Errors", ""},

	{"Update revives", undead("Update"), "11", ""},

	{"Len counts the expired", undead("Len"), "11", ""},

	{"All shows the expired", undead("All"), "11", ""},

	{"ByOwner shows the expired", undead("ByOwner"), "11", ""},

	{"DeleteOwner counts the expired", undead("DeleteOwner"), "11", ""},

	{"the reaper remembers when a record was to expire at first", func(s *reference) tokensession.Store {
		return reaping{s}
	}, "11", ""},

	{"Get and All disagree for an instant", func(s *reference) tokensession.Store {
		s.dead = func(op string, until, now time.Time) bool {
			return past(until, now) && (op != "All" || now.After(until))
		}
		return s
	}, "11", ""},

	{"a context that ends reads as an absence", func(s *reference) tokensession.Store { return impatient{s} }, "12", ""},

	{"a context that is done reads as an absence", func(s *reference) tokensession.Store {
		s.check = func(ctx context.Context, id string, rec *tokensession.Record) error {
			err := tokensession.Check(ctx, id, rec)
			if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
				return tokensession.ErrNotFound
			}
			return err
		}
		return s
	}, "12 13 18", ""},

	{"a context that is done stops nothing", func(s *reference) tokensession.Store { return late{s} }, "13", ""},

	{"a write is sent again, and answered by its own first try", func(s *reference) tokensession.Store {
		return &resending{reference: s}
	}, "9 14 16", ""},

	{"Create keeps the caller's memory", keeping("Create"), "15", ""},

	{"Update keeps the caller's memory", keeping("Update"), "15", ""},

	{"names and ids are strung together", func(s *reference) tokensession.Store {
		s.key = func(space, id string) string { return space + ":" + id }
		return s
	}, "17", ""},

	{"names are patterns", func(s *reference) tokensession.Store {
		s.inSpace = func(r *row, space string) bool {
			matched, _ := path.Match(space+"\x00*", strings.ReplaceAll(s.key(r.space, r.id), "/", "|"))
			return matched
		}
		return s
	}, "17", ""},

	{"Clear empties the server", func(s *reference) tokensession.Store { return flushing{s} }, "17", ""},

	{"Close a second time is an error", func(s *reference) tokensession.Store { return oneClose{s} }, "18", ""},

	{"Close leaves a goroutine", func(s *reference) tokensession.Store {
		go func() { <-make(chan int) }()
		return s
	}, "18", ""},

	{"after Close, there are no records", func(s *reference) tokensession.Store { return forgetful{s} }, "18", ""},

	{"Close comes before the arguments", func(s *reference) tokensession.Store {
		s.check = func(ctx context.Context, id string, rec *tokensession.Record) error {
			if s.closed.Load() {
				return tokensession.ErrClosed
			}
			return tokensession.Check(ctx, id, rec)
		}
		return s
	}, "18", ""},

	{"errors show the id", func(s *reference) tokensession.Store {
		s.notFound = func(id string) error { return fmt.Errorf("%w: %s", tokensession.ErrNotFound, id) }
		return s
	}, "Errors", ""},

	{"errors show the end of the id", func(s *reference) tokensession.Store {
		s.notFound = func(id string) error {
			return fmt.Errorf("%w: …%s", tokensession.ErrNotFound, id[max(0, len(id)-10):])
		}
		return s
	}, "Errors", ""},

	{"the error of an argument shows the id", func(s *reference) tokensession.Store {
		s.check = func(ctx context.Context, id string, rec *tokensession.Record) error {
			err := tokensession.Check(ctx, id, rec)
			if errors.Is(err, tokensession.ErrInvalidTTL) {
				return fmt.Errorf("%s: %w", id, err)
			}
			return err
		}
		return s
	}, "Errors", ""},

	{"an error quotes a URL with the password", func(s *reference) tokensession.Store {
		s.notFound = func(string) error {
			return fmt.Errorf("%q: %w", "net://user:"+password+"@host", tokensession.ErrNotFound)
		}
		return s
	}, "Errors", ""},

	{"Len counts up to 1000", func(s *reference) tokensession.Store { return thousand{s, "Len"} }, "Counter", ""},

	{"Clear removes 1000", func(s *reference) tokensession.Store { return thousand{s, "Clear"} }, "Clearer", ""},

	{"All shows 1000", func(s *reference) tokensession.Store { return listing{s, paged(page)} }, "Lister", ""},

	{"ByOwner shows 1000", func(s *reference) tokensession.Store { return walking{s, paged(page)} }, "OwnerIndex", ""},

	{"DeleteOwner removes 1000", func(s *reference) tokensession.Store { return thousand{s, "DeleteOwner"} }, "OwnerIndex", ""},

	{"an error shows the password", func(s *reference) tokensession.Store {
		s.notFound = func(string) error { return fmt.Errorf("net://user:%s@host: %w", password, tokensession.ErrNotFound) }
		return s
	}, "Errors", ""},

	{"what cannot be read is no record", func(s *reference) tokensession.Store {
		s.corrupt = tokensession.ErrNotFound
		return s
	}, "Errors Lister OwnerIndex", ""},

	{"what cannot be read cannot be deleted", func(s *reference) tokensession.Store { return unreadable{s} }, "Errors", ""},

	{"All ends at what cannot be read", func(s *reference) tokensession.Store { return listing{s, discouraged} }, "Lister", ""},

	{"ByOwner ends at what cannot be read", func(s *reference) tokensession.Store { return walking{s, discouraged} }, "OwnerIndex", ""},

	{"empty Data is no record", func(s *reference) tokensession.Store { return emptyless{s} }, "2 7", ""},

	{"1 MiB, where 4 are declared", func(s *reference) tokensession.Store { s.limit = 1 << 20; return s }, "2", ""},

	{"owners have 255 bytes", func(s *reference) tokensession.Store {
		return owning{s, func(owner string) string { return owner[:min(len(owner), 255)] }}
	}, "3 OwnerIndex", ""},

	{"the end of a life is 32 bits of seconds", func(s *reference) tokensession.Store {
		return lasting(s, func(now time.Time, ttl time.Duration) time.Time {
			return time.Unix(int64(int32(now.Add(ttl).Unix())), 0)
		})
	}, "4 11 OwnerIndex", ""},

	{"the application's clock is a minute ahead of the server's", func(s *reference) tokensession.Store {
		return lasting(s, func(now time.Time, ttl time.Duration) time.Time { return now.Add(ttl + time.Minute) })
	}, "4 6 7 8 9 11", ""},

	{"the reaper lives in another time zone", func(s *reference) tokensession.Store { return zoned{s} }, "4", ""},

	{"Touch makes 100 years of Forever", func(s *reference) tokensession.Store { return mortal{s} }, "4 9", ""},

	{"Get of nothing is an empty record", func(s *reference) tokensession.Store { return generous{s} }, "1 2 3 4 5 7 9 10 11 12 13 16 17 Clearer OwnerIndex", ""},

	{"Get does not know the TTL", func(s *reference) tokensession.Store { return timeless{s} }, "2 3 4 5 6 7 9 11 13 Lister OwnerIndex", ""},

	{"Get prolongs", func(s *reference) tokensession.Store { return &sliding{reference: s} }, "4 5 7 9 11", ""},

	{"Create makes no Version", func(s *reference) tokensession.Store { return versionless{s} }, "1 2 3 4 6 7 8 9 10 11 12 13 14 15 16 Counter Clearer OwnerIndex", ""},

	{"Create wants no Version", func(s *reference) tokensession.Store { return strict{s} }, "6", ""},

	{"an id that was deleted stays taken", func(s *reference) tokensession.Store { return &grudging{reference: s} }, "5 6 8 10 16 17 Counter OwnerIndex", ""},

	{"Update makes it for ever", func(s *reference) tokensession.Store { return resetting{s, tokensession.Forever} }, "4 7 11", ""},

	{"Update keeps the old TTL", func(s *reference) tokensession.Store { return resetting{s, 0} }, "4 7 11 OwnerIndex", ""},

	{"Update returns the Version that it replaced", func(s *reference) tokensession.Store { return backward{s} }, "2 3 5 7 8 9 10 12 14 15 16 Clearer OwnerIndex", ""},

	{"Update of nothing is no error", func(s *reference) tokensession.Store {
		return excusing{s, tokensession.ErrNotFound, nil}
	}, "7 11 16 17", ""},

	{"a lost Update is no error", func(s *reference) tokensession.Store {
		return excusing{s, tokensession.ErrConflict, nil}
	}, "7 8 9 14 16", ""},

	{"Update of nothing is a conflict", func(s *reference) tokensession.Store {
		return excusing{s, tokensession.ErrNotFound, tokensession.ErrConflict}
	}, "7 10 11 16 17 Clearer OwnerIndex", ""},

	{"Touch of nothing is no error", func(s *reference) tokensession.Store { return lax{s} }, "9 11 16 17", ""},

	{"Touch writes back what it read, and creates", func(s *reference) tokensession.Store { return reviving{s} }, "9 10 16", ""},

	{"Delete takes along what else the owner has", func(s *reference) tokensession.Store { return greedy{s} }, "8 10 17 Lister OwnerIndex", ""},

	{"a context that ends leaves half a write", func(s *reference) tokensession.Store { return halving{s} }, "12", ""},

	{"a context that ends leaves half a record, for ever", func(s *reference) tokensession.Store { return stumbling{s} }, "12", ""},

	{"a context that ends leaves the new lifetime to the old Data", func(s *reference) tokensession.Store {
		return hesitating{s}
	}, "12", ""},

	{"a record lives as long as the context of its write", func(s *reference) tokensession.Store {
		return &lazy{reference: s}
	}, "12 13", ""},

	{"the caller's memory is the store's and everybody's", func(s *reference) tokensession.Store {
		s.take = func(_ string, _, data []byte) []byte { return data }
		s.give = func(data []byte) []byte { return data }
		return s
	}, "15", ""},

	{"a checksum is appended to the caller's buffer", func(s *reference) tokensession.Store {
		s.take = func(_ string, _, data []byte) []byte { return bytes.Clone(append(data, '#')[:len(data)]) }
		return s
	}, "15", ""},

	{"Close a second time hangs", func(s *reference) tokensession.Store { return hanging{s} }, "8 18", ""},

	{"Close closes what it borrowed", func(s *reference) tokensession.Store {
		s.client.Store(true)
		check := s.check
		s.check = func(ctx context.Context, id string, rec *tokensession.Record) error {
			if err := check(ctx, id, rec); err != nil || s.closed.Load() || s.client.Load() {
				return err
			}
			return errors.New("client is closed")
		}
		return thorough{s}
	}, "18", ""},

	{"Close comes before the owner", func(s *reference) tokensession.Store { return hasty{s} }, "18", ""},

	{"after Close, iterators are empty", func(s *reference) tokensession.Store { return quiet{s} }, "18", ""},

	{"Clear spares what is for ever", func(s *reference) tokensession.Store { return sparing{s} }, "Clearer", ""},

	{"All of nothing is an error", func(s *reference) tokensession.Store {
		return listing{s, complaining}
	}, "11 17 Clearer Lister", ""},

	{"All shows keys, not ids", func(s *reference) tokensession.Store { return hashing{s} }, "11 Lister", ""},

	{"iterators show the store's own memory", func(s *reference) tokensession.Store { return exposing{s} }, "Lister OwnerIndex", ""},

	{"an index keeps who had an id before", func(s *reference) tokensession.Store {
		return &haunted{reference: s, former: make(map[string]string)}
	}, "OwnerIndex", ""},

	{"an index keeps who had a record that expired", func(s *reference) tokensession.Store { return inheriting{s} }, "OwnerIndex", ""},

	{"nobody is an owner", func(s *reference) tokensession.Store { return nobodys{s} }, "18 OwnerIndex", ""},

	{"ByOwner of nothing is an error", func(s *reference) tokensession.Store { return walking{s, complaining} }, "11 17 Clearer OwnerIndex", ""},

	{"ByOwner shows one page", func(s *reference) tokensession.Store { return walking{s, paged(100)} }, "18 OwnerIndex", ""},

	{"ByOwner can be walked once", func(s *reference) tokensession.Store { return walking{s, once} }, "OwnerIndex", ""},

	{"there is ByOwner alone, and it goes on after its context's error", func(s *reference) tokensession.Store {
		return ofOwners{s, walking{s, undeterred(context.Canceled)}, s}
	}, "13 Capabilities", ""},

	{"there is ByOwner alone, and it goes on after ErrClosed", func(s *reference) tokensession.Store {
		return ofOwners{s, walking{s, undeterred(tokensession.ErrClosed)}, s}
	}, "18 Capabilities", ""},

	{"there is ByOwner alone, and Close cuts it short", func(s *reference) tokensession.Store {
		return ofOwners{s, walking{s, curtailed}, s}
	}, "18 Capabilities", ""},

	{"ByOwner holds a lock", func(s *reference) tokensession.Store { return walking{s, locked} }, "18 OwnerIndex", ""},

	{"ByOwner misses what changes meanwhile", func(s *reference) tokensession.Store { return walking{s, shifted} }, "OwnerIndex", ""},

	{"ByOwner shows what is another's by then", func(s *reference) tokensession.Store { return walking{s, rereading} }, "18 OwnerIndex", ""},

	{"a wrapper hides what it wraps", func(s *reference) tokensession.Store { return bare{s} }, "Capabilities", ""},

	{"Len counts what is written", func(s *reference) tokensession.Store { return &adding{reference: s} }, "Counter", ""},

	{"Clear spares what changes meanwhile", func(s *reference) tokensession.Store { return polite{s} }, "Clearer", ""},

	{"Len fails after Clear", func(s *reference) tokensession.Store { return &exhausted{reference: s} }, "Clearer", ""},

	{"All shows one record twice", func(s *reference) tokensession.Store { return stuttering{s} }, "Lister", ""},

	{"All misses what changes meanwhile", func(s *reference) tokensession.Store { return listing{s, shifted} }, "Lister", ""},

	{"All holds a lock", func(s *reference) tokensession.Store { return listing{s, locked} }, "18 Lister", ""},

	{"ByOwner knows the first owner only", func(s *reference) tokensession.Store {
		s.index = func(r *row, created bool) string {
			if created {
				return r.owner
			}
			return r.indexed
		}
		return s
	}, "OwnerIndex", ""},

	{"the owner's index expires when the record first would have", func(s *reference) tokensession.Store {
		return expiring{s}
	}, "OwnerIndex", ""},

	{"DeleteOwner stops after two", func(s *reference) tokensession.Store { return tiring{s} }, "OwnerIndex", ""},

	{"DeleteOwner spares what changes meanwhile", func(s *reference) tokensession.Store { return lenient{s} }, "OwnerIndex", ""},

	{"Ping does not work", func(s *reference) tokensession.Store { return mute{s} }, "Pinger", ""},
}

func past(until, now time.Time) bool { return !until.IsZero() && !now.Before(until) }

// lasting gives records that are not for ever the end that until says.
func lasting(s *reference, until func(time.Time, time.Duration) time.Time) tokensession.Store {
	good := s.habits.until
	s.habits.until = func(now time.Time, ttl time.Duration) time.Time {
		if ttl == tokensession.Forever {
			return good(now, ttl)
		}
		return until(now, ttl)
	}
	return s
}

func rounding(unit time.Duration) func(*reference) tokensession.Store {
	return func(s *reference) tokensession.Store {
		return lasting(s, func(now time.Time, ttl time.Duration) time.Time { return now.Add(ttl.Truncate(unit)) })
	}
}

// undead lets one method see the expired.
func undead(blind string) func(*reference) tokensession.Store {
	return func(s *reference) tokensession.Store {
		s.dead = func(op string, until, now time.Time) bool { return op != blind && past(until, now) }
		return s
	}
}

// dropping has a window that is open for a nanosecond.
func dropping(careless string) func(*reference) tokensession.Store {
	return func(s *reference) tokensession.Store {
		s.pause = func() {} // calls that pause are seldom stopped elsewhere
		return leaving(careless, func() {})(s)
	}
}

// leaving lets others in, while it waits, between what one method looks at and what it does.
func leaving(careless string, wait func()) func(*reference) tokensession.Store {
	return func(s *reference) tokensession.Store {
		s.window = func(op string, mu *sync.Mutex) {
			if op == careless {
				mu.Unlock()
				wait()
				mu.Lock()
			}
		}
		return s
	}
}

func keeping(careless string) func(*reference) tokensession.Store {
	return func(s *reference) tokensession.Store {
		s.take = func(op string, _, data []byte) []byte {
			if op == careless {
				return data
			}
			return bytes.Clone(data)
		}
		return s
	}
}

// counting numbers the states of a record from 1.
func counting(prefix func(*row) string) func(*reference) tokensession.Store {
	return func(s *reference) tokensession.Store {
		s.habits.version = func(_ *reference, r *row, _ tokensession.Record) tokensession.Version {
			var n int
			fmt.Sscanf(strings.TrimPrefix(string(r.version), prefix(r)), "%d", &n)
			return tokensession.Version(fmt.Sprint(prefix(r), n+1))
		}
		return s
	}
}

// evicting is memcached's set.
type evicting struct{ *reference }

func (s evicting) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	v, err := s.reference.Update(ctx, id, rec)
	if errors.Is(err, tokensession.ErrTooLarge) {
		s.reference.Delete(ctx, id)
	}
	return v, err
}

type reaping struct{ *reference }

func (s reaping) Create(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	v, err := s.reference.Create(ctx, id, rec)
	if err == nil && rec.TTL < time.Second {
		time.AfterFunc(time.Hour, func() { s.reference.Delete(context.Background(), id) })
	}
	return v, err
}

type prolonging struct{ *reference }

func (s prolonging) Create(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	v, err := s.reference.Create(ctx, id, rec)
	if errors.Is(err, tokensession.ErrExists) {
		s.reference.Touch(ctx, id, rec.TTL)
	}
	return v, err
}

type upserting struct{ *reference }

func (s upserting) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	v, err := s.reference.Update(ctx, id, rec)
	if errors.Is(err, tokensession.ErrNotFound) {
		return s.reference.Create(ctx, id, rec)
	}
	return v, err
}

// settling sets the TTL before it finds out that it must not Update.
type settling struct {
	*reference
	outcome error
}

func (s settling) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	v, err := s.reference.Update(ctx, id, rec)
	if errors.Is(err, s.outcome) {
		if errors.Is(err, tokensession.ErrInvalidTTL) {
			rec.TTL = tokensession.Forever
		}
		s.reference.Touch(ctx, id, rec.TTL)
	}
	return v, err
}

// outrun is settling where the Version was the right one when it looked.
type outrun struct{ *reference }

func (s outrun) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	if was, err := s.reference.Get(ctx, id); err != nil || was.Version != rec.Version {
		return s.reference.Update(ctx, id, rec)
	}
	return settling{s.reference, tokensession.ErrConflict}.Update(ctx, id, rec)
}

// equalled is settling where the record has the Data already.
type equalled struct{ *reference }

func (s equalled) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	if was, err := s.reference.Get(ctx, id); err != nil || !sameContent(was, rec) {
		return s.reference.Update(ctx, id, rec)
	}
	return settling{s.reference, tokensession.ErrConflict}.Update(ctx, id, rec)
}

type trusting struct{ *reference }

func (s trusting) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	if old, err := s.reference.Get(ctx, id); err == nil && rec.Version == "" && len(rec.Data) > 0 {
		rec.Version = old.Version
	}
	return s.reference.Update(ctx, id, rec)
}

type reversioning struct{ *reference }

func (s reversioning) Touch(ctx context.Context, id string, ttl time.Duration) error {
	err := s.reference.Touch(ctx, id, ttl)
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.find("Touch", id); r != nil && err == nil {
		s.made++
		r.version = tokensession.Version(fmt.Sprintf("v%d", s.made))
	}
	return err
}

type extending struct{ *reference }

func (s extending) Touch(ctx context.Context, id string, ttl time.Duration) error {
	if old, err := s.reference.Get(ctx, id); err == nil && ttl > 0 && ttl < old.TTL {
		return nil
	}
	return s.reference.Touch(ctx, id, ttl)
}

type rewriting struct{ *reference }

func (s rewriting) Touch(ctx context.Context, id string, ttl time.Duration) error {
	old, _ := s.reference.Get(ctx, id)
	err := s.reference.Touch(ctx, id, ttl)
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.find("Touch", id); r != nil && err == nil {
		r.data, r.version = bytes.Clone(old.Data), old.Version
	}
	return err
}

type finicky struct{ *reference }

func (s finicky) Delete(ctx context.Context, id string) error {
	if _, err := s.reference.Get(ctx, id); err != nil {
		return err
	}
	return s.reference.Delete(ctx, id)
}

type impatient struct{ *reference }

func (s impatient) Get(ctx context.Context, id string) (tokensession.Record, error) {
	rec, err := s.reference.Get(ctx, id)
	if err == nil && ctx.Err() != nil {
		return tokensession.Record{}, tokensession.ErrNotFound
	}
	return rec, err
}

// late does what it is told and then finds that it should not have.
type late struct{ *reference }

func (s late) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	v, err := s.reference.Update(context.WithoutCancel(ctx), id, rec)
	if ctx.Err() != nil && !errors.Is(err, tokensession.ErrInvalidID) {
		return "", ctx.Err()
	}
	return v, err
}

// resending sends one Update in forty twice, of those that count: few checks make so many.
type resending struct {
	*reference
	updates atomic.Int64
}

func (s *resending) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	v, err := s.reference.Update(ctx, id, rec)
	if err == nil && strings.Trim(string(rec.Data), "0123456789") == "" && s.updates.Add(1)%40 == 0 {
		return s.reference.Update(ctx, id, rec)
	}
	return v, err
}

type flushing struct{ *reference }

func (s flushing) Clear(ctx context.Context) error {
	if err := s.begin(ctx, anyID, nil); err != nil {
		return err
	}
	defer s.mu.Unlock()
	clear(s.records)
	return nil
}

type oneClose struct{ *reference }

func (s oneClose) Close() error {
	if s.closed.Load() {
		return tokensession.ErrClosed
	}
	return s.reference.Close()
}

type forgetful struct{ *reference }

func (s forgetful) Get(ctx context.Context, id string) (tokensession.Record, error) {
	rec, err := s.reference.Get(ctx, id)
	if errors.Is(err, tokensession.ErrClosed) {
		err = tokensession.ErrNotFound
	}
	return rec, err
}

// adding keeps the number of records as one that goes up with Create and down with Delete.
type adding struct {
	*reference
	n atomic.Int64
}

func (s *adding) Delete(ctx context.Context, id string) error {
	s.mu.Lock()
	if s.find("Delete", id) == nil {
		s.n.Add(-1)
	}
	s.mu.Unlock()
	return s.reference.Delete(ctx, id)
}

func (s *adding) Len(ctx context.Context) (int, error) {
	n, err := s.reference.Len(ctx)
	if n > 0 {
		n += int(s.n.Load())
	}
	return n, err
}

type polite struct{ *reference }

func (s polite) Clear(ctx context.Context) error {
	return s.removeUnchanged(ctx, "Clear", everyone)
}

type lenient struct{ *reference }

func (s lenient) DeleteOwner(ctx context.Context, owner string) (int, error) {
	if err := tokensession.CheckOwner(ctx, owner); err != nil {
		return 0, err
	}
	n, err := s.reference.Len(ctx)
	if err == nil {
		err = s.removeUnchanged(ctx, "DeleteOwner", s.of(owner))
	}
	after, _ := s.reference.Len(ctx)
	return n - after, err
}

// removeUnchanged removes the rows that want accepts, but only those which nobody
// has updated since it looked.
func (s *reference) removeUnchanged(ctx context.Context, op string, want func(*row) bool) error {
	if err := s.begin(ctx, anyID, nil); err != nil {
		return err
	}
	defer s.mu.Unlock()
	list := s.selected(op, want)
	s.mu.Unlock()
	runtime.Gosched()
	s.mu.Lock()
	for _, e := range list {
		if r := s.find(op, e.ID); r != nil && r.version == e.Version {
			delete(s.records, s.key(s.space, e.ID))
		}
	}
	return nil
}

type stuttering struct{ *reference }

func (s stuttering) All(ctx context.Context) iter.Seq2[tokensession.Entry, error] {
	return func(yield func(tokensession.Entry, error) bool) {
		n := 0
		for e, err := range s.reference.All(ctx) {
			if !yield(e, err) {
				return
			}
			if n++; n == 100 && !yield(e, err) {
				return
			}
		}
	}
}

// expiring leaves the index as it is when Touch prolongs a short life.
type expiring struct{ *reference }

func (s expiring) Touch(ctx context.Context, id string, ttl time.Duration) error {
	old, _ := s.reference.Get(ctx, id)
	if old.TTL < time.Second && ttl > old.TTL && ttl <= time.Hour {
		time.AfterFunc(old.TTL, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if r := s.find("index", id); r != nil {
				r.indexed = ""
			}
		})
	}
	return s.reference.Touch(ctx, id, ttl)
}

type tiring struct{ *reference }

func (s tiring) DeleteOwner(ctx context.Context, owner string) (int, error) {
	n := 0
	for e, err := range s.reference.ByOwner(ctx, owner) {
		if err != nil {
			return n, err
		}
		if n++; n <= 2 {
			s.reference.Delete(ctx, e.ID)
		}
	}
	return n, nil
}

type mute struct{ *reference }

func (s mute) Ping(ctx context.Context) error {
	if err := s.reference.Ping(ctx); err != nil {
		return err
	}
	return errors.New("nobody there")
}

type emptyless struct{ *reference }

func (s emptyless) Get(ctx context.Context, id string) (tokensession.Record, error) {
	rec, err := s.reference.Get(ctx, id)
	if err == nil && len(rec.Data) == 0 {
		return tokensession.Record{}, tokensession.ErrNotFound
	}
	return rec, err
}

// owning writes owners down in its own way.
type owning struct {
	*reference
	spell func(string) string
}

func (s owning) Create(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	if err := tokensession.Check(ctx, id, &rec); err != nil {
		return "", err
	}
	rec.Owner = s.spell(rec.Owner)
	return s.reference.Create(ctx, id, rec)
}

// zoned removes records of more than an hour an hour too early.
type zoned struct{ *reference }

func (s zoned) Create(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	v, err := s.reference.Create(ctx, id, rec)
	if err == nil && rec.TTL > time.Hour && rec.TTL <= tokensession.MaxTTL {
		time.AfterFunc(rec.TTL-time.Hour, func() { s.reference.Delete(context.Background(), id) })
	}
	return v, err
}

type mortal struct{ *reference }

func (s mortal) Touch(ctx context.Context, id string, ttl time.Duration) error {
	if ttl == tokensession.Forever {
		ttl = tokensession.MaxTTL
	}
	return s.reference.Touch(ctx, id, ttl)
}

type generous struct{ *reference }

func (s generous) Get(ctx context.Context, id string) (tokensession.Record, error) {
	rec, err := s.reference.Get(ctx, id)
	if errors.Is(err, tokensession.ErrNotFound) {
		err = nil
	}
	return rec, err
}

type timeless struct{ *reference }

func (s timeless) Get(ctx context.Context, id string) (tokensession.Record, error) {
	rec, err := s.reference.Get(ctx, id)
	rec.TTL = 0
	return rec, err
}

// sliding gives a record the lifetime that it had been given anew, each time it is read where the clock
// is turned: elsewhere it is chance whether time goes by that can be seen.
type sliding struct {
	*reference
	ttls sync.Map
}

func (s *sliding) Create(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	s.ttls.Store(id, rec.TTL)
	return s.reference.Create(ctx, id, rec)
}

func (s *sliding) Get(ctx context.Context, id string) (tokensession.Record, error) {
	rec, err := s.reference.Get(ctx, id)
	turned := time.Now().Year() == 2000 // as synctest has it
	if ttl, ok := s.ttls.Load(id); ok && err == nil && turned && rec.TTL <= ttl.(time.Duration) {
		s.reference.Touch(ctx, id, ttl.(time.Duration))
	}
	return rec, err
}

type versionless struct{ *reference }

func (s versionless) Create(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	_, err := s.reference.Create(ctx, id, rec)
	return "", err
}

type strict struct{ *reference }

func (s strict) Create(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	v, err := s.reference.Create(ctx, id, rec)
	if err == nil && rec.Version != "" {
		s.reference.Delete(ctx, id)
		return "", tokensession.ErrConflict
	}
	return v, err
}

type grudging struct {
	*reference
	deleted sync.Map
}

func (s *grudging) Create(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	v, err := s.reference.Create(ctx, id, rec)
	if _, was := s.deleted.Load(id); was && err == nil {
		s.reference.Delete(ctx, id)
		return "", tokensession.ErrExists
	}
	return v, err
}

func (s *grudging) Delete(ctx context.Context, id string) error {
	err := s.reference.Delete(ctx, id)
	if err == nil {
		s.deleted.Store(id, true)
	}
	return err
}

// resetting gives each record that is updated one TTL, or the one it had.
type resetting struct {
	*reference
	ttl time.Duration
}

func (s resetting) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	if err := tokensession.Check(ctx, id, &rec); err != nil {
		return "", err
	}
	old, err := s.reference.Get(ctx, id)
	if err != nil {
		return "", err
	}
	rec.TTL = cmp.Or(s.ttl, old.TTL)
	return s.reference.Update(ctx, id, rec)
}

type backward struct{ *reference }

func (s backward) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	_, err := s.reference.Update(ctx, id, rec)
	if err != nil {
		return "", err
	}
	return rec.Version, nil
}

// excusing reports one outcome of Update as another.
type excusing struct {
	*reference
	outcome, instead error
}

func (s excusing) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	v, err := s.reference.Update(ctx, id, rec)
	if errors.Is(err, s.outcome) {
		err = s.instead
	}
	return v, err
}

type lax struct{ *reference }

func (s lax) Touch(ctx context.Context, id string, ttl time.Duration) error {
	err := s.reference.Touch(ctx, id, ttl)
	if errors.Is(err, tokensession.ErrNotFound) {
		return nil
	}
	return err
}

// reviving is a Touch that is a Get and a Create or Update.
type reviving struct{ *reference }

func (s reviving) Touch(ctx context.Context, id string, ttl time.Duration) error {
	if err := tokensession.Check(ctx, id, &tokensession.Record{TTL: ttl}); err != nil {
		return err
	}
	old, err := s.reference.Get(ctx, id)
	if err != nil {
		return err
	}
	if err := s.reference.Touch(ctx, id, ttl); !errors.Is(err, tokensession.ErrNotFound) {
		return err
	}
	old.TTL = ttl
	_, err = s.reference.Create(ctx, id, old)
	return err
}

type greedy struct{ *reference }

func (s greedy) Delete(ctx context.Context, id string) error {
	old, err := s.reference.Get(ctx, id)
	if err == nil && old.Owner != "" {
		_, err = s.reference.DeleteOwner(ctx, old.Owner)
		return err
	}
	return s.reference.Delete(ctx, id)
}

type halving struct{ *reference }

func (s halving) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	old, _ := s.reference.Get(context.WithoutCancel(ctx), id)
	v, err := s.reference.Update(ctx, id, rec)
	if err == nil && ctx.Err() != nil {
		old.Version, old.Data = v, rec.Data
		s.reference.Update(context.WithoutCancel(ctx), id, old)
		return "", ctx.Err()
	}
	return v, err
}

// stumbling creates in steps, and stops between them when the context ends.
type stumbling struct{ *reference }

func (s stumbling) Create(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	if err := tokensession.Check(ctx, id, &rec); err != nil || ctx.Err() == nil {
		return s.reference.Create(ctx, id, rec)
	}
	half := tokensession.Record{Data: rec.Data[:len(rec.Data)/2], TTL: tokensession.Forever}
	s.reference.Create(context.WithoutCancel(ctx), id, half)
	return "", ctx.Err()
}

// hesitating updates in steps, the TTL first, and stops between them when the context ends.
type hesitating struct{ *reference }

func (s hesitating) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	if err := tokensession.Check(ctx, id, &rec); err != nil || ctx.Err() == nil {
		return s.reference.Update(ctx, id, rec)
	}
	s.reference.Touch(context.WithoutCancel(ctx), id, rec.TTL)
	return "", ctx.Err()
}

// lazy finishes its writes when they are read.
type lazy struct {
	*reference
	contexts sync.Map
}

func (s *lazy) Create(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	v, err := s.reference.Create(ctx, id, rec)
	if err == nil {
		s.contexts.Store(id, ctx)
	}
	return v, err
}

func (s *lazy) Get(ctx context.Context, id string) (tokensession.Record, error) {
	if written, ok := s.contexts.Load(id); ok && written.(context.Context).Err() != nil {
		return tokensession.Record{}, written.(context.Context).Err()
	}
	return s.reference.Get(ctx, id)
}

type hanging struct{ *reference }

func (s hanging) Close() error {
	if s.closed.Load() {
		<-make(chan int)
	}
	return s.reference.Close()
}

type quiet struct{ *reference }

func (s quiet) All(ctx context.Context) iter.Seq2[tokensession.Entry, error] {
	if s.closed.Load() && ctx.Err() == nil {
		return func(func(tokensession.Entry, error) bool) {}
	}
	return s.reference.All(ctx)
}

type sparing struct{ *reference }

func (s sparing) Clear(ctx context.Context) error {
	if err := s.begin(ctx, anyID, nil); err != nil {
		return err
	}
	defer s.mu.Unlock()
	for key, r := range s.records {
		if s.inSpace(r, s.space) && !r.until.IsZero() {
			delete(s.records, key)
		}
	}
	return nil
}

// exhausted cannot count any more once it was emptied.
type exhausted struct {
	*reference
	cleared atomic.Bool
}

func (s *exhausted) Clear(ctx context.Context) error {
	err := s.reference.Clear(ctx)
	if err == nil {
		s.cleared.Store(true)
	}
	return err
}

func (s *exhausted) Len(ctx context.Context) (int, error) {
	if s.cleared.Load() {
		return 0, errors.New("connection refused")
	}
	return s.reference.Len(ctx)
}

// walk is how an iterator goes wrong.
type walk func(*reference, context.Context, entries) entries

// listing is All with a walk of its own.
type listing struct {
	*reference
	walk walk
}

func (s listing) All(ctx context.Context) iter.Seq2[tokensession.Entry, error] {
	return s.walk(s.reference, ctx, s.reference.All(ctx))
}

// ofOwners has no capabilities but these.
type ofOwners struct {
	tokensession.Store
	tokensession.OwnerIndex
	io.Closer
}

// walking is ByOwner with a walk of its own.
type walking struct {
	*reference
	walk walk
}

func (s walking) ByOwner(ctx context.Context, owner string) iter.Seq2[tokensession.Entry, error] {
	return s.walk(s.reference, ctx, s.reference.ByOwner(ctx, owner))
}

func complaining(_ *reference, _ context.Context, seq entries) entries {
	return func(yield func(tokensession.Entry, error) bool) {
		n := 0
		for e, err := range seq {
			n++
			if !yield(e, err) {
				return
			}
		}
		if n == 0 {
			yield(tokensession.Entry{}, errors.New("no rows"))
		}
	}
}

// paged takes the first page of what there is for all of it.
func paged(size int) walk {
	return func(_ *reference, _ context.Context, seq entries) entries {
		return func(yield func(tokensession.Entry, error) bool) {
			n := 0
			for e, err := range seq {
				if n++; n > size || !yield(e, err) {
					return
				}
			}
		}
	}
}

func once(_ *reference, _ context.Context, seq entries) entries {
	var walked atomic.Bool
	return func(yield func(tokensession.Entry, error) bool) {
		if walked.Swap(true) {
			return
		}
		seq(yield)
	}
}

// undeterred shows an error that has to end it twice.
func undeterred(by error) walk {
	return func(_ *reference, _ context.Context, seq entries) entries {
		return func(yield func(tokensession.Entry, error) bool) {
			for e, err := range seq {
				if !yield(e, err) || errors.Is(err, by) && !yield(e, err) {
					return
				}
			}
		}
	}
}

// curtailed ends without an error when the store is closed.
func curtailed(s *reference, _ context.Context, seq entries) entries {
	return func(yield func(tokensession.Entry, error) bool) {
		for e, err := range seq {
			if !yield(e, err) || s.closed.Load() {
				return
			}
		}
	}
}

func locked(s *reference, _ context.Context, seq entries) entries {
	return func(yield func(tokensession.Entry, error) bool) {
		for e, err := range seq {
			if err == nil {
				s.mu.Lock()
				defer s.mu.Unlock()
			}
			if !yield(e, err) || err == nil {
				return
			}
		}
	}
}

func shifted(s *reference, ctx context.Context, seq entries) entries {
	return func(yield func(tokensession.Entry, error) bool) {
		for e, err := range seq {
			if now, gone := s.Get(ctx, e.ID); gone == nil && now.Version != e.Version {
				continue
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// rereading has ids from an index, and reads the records after that.
func rereading(s *reference, ctx context.Context, seq entries) entries {
	return func(yield func(tokensession.Entry, error) bool) {
		for e, err := range seq {
			if err == nil {
				e.Record, err = s.Get(ctx, e.ID)
			}
			if errors.Is(err, tokensession.ErrNotFound) {
				continue
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

type hashing struct{ *reference }

func (s hashing) All(ctx context.Context) iter.Seq2[tokensession.Entry, error] {
	return func(yield func(tokensession.Entry, error) bool) {
		for e, err := range s.reference.All(ctx) {
			if err == nil {
				e.ID = fmt.Sprintf("%x", sha256.Sum256([]byte(e.ID)))
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// exposing lets iterators show memory that the next Update uses again.
type exposing struct{ *reference }

func (s exposing) All(ctx context.Context) iter.Seq2[tokensession.Entry, error] {
	return s.exposed(s.reference.All(ctx))
}

func (s exposing) ByOwner(ctx context.Context, owner string) iter.Seq2[tokensession.Entry, error] {
	return s.exposed(s.reference.ByOwner(ctx, owner))
}

func (s exposing) exposed(seq entries) entries {
	return func(yield func(tokensession.Entry, error) bool) {
		for e, err := range seq {
			if err == nil && len(e.Data) > 10 { // or the race detector finds it before the suite
				s.mu.Lock()
				if r := s.records[s.key(s.space, e.ID)]; r != nil {
					e.Data = r.data
				}
				s.mu.Unlock()
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

func (s exposing) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	s.mu.Lock()
	var held []byte
	if r := s.records[s.key(s.space, id)]; r != nil {
		held = r.data
	}
	s.mu.Unlock()
	v, err := s.reference.Update(ctx, id, rec)
	if err == nil && len(held) > 10 && len(rec.Data) == len(held) {
		copy(held, rec.Data)
	}
	return v, err
}

// haunted finds a record by whoever had its id when it was deleted, too.
type haunted struct {
	*reference
	former map[string]string
}

func (s *haunted) Delete(ctx context.Context, id string) error {
	if old, err := s.reference.Get(ctx, id); err == nil {
		s.mu.Lock()
		s.former[id] = old.Owner
		s.mu.Unlock()
	}
	return s.reference.Delete(ctx, id)
}

func (s *haunted) ByOwner(ctx context.Context, owner string) iter.Seq2[tokensession.Entry, error] {
	return func(yield func(tokensession.Entry, error) bool) {
		for e, err := range s.reference.ByOwner(ctx, owner) {
			if !yield(e, err) || err != nil {
				return
			}
		}
		s.mu.Lock()
		former := maps.Clone(s.former)
		s.mu.Unlock()
		for id, was := range former {
			rec, err := s.reference.Get(ctx, id)
			if was == owner && err == nil && rec.Owner != owner && !yield(tokensession.Entry{ID: id, Record: rec}, nil) {
				return
			}
		}
	}
}

// nobodys finds the records that have no owner.
type nobodys struct{ *reference }

func (s nobodys) ByOwner(ctx context.Context, owner string) iter.Seq2[tokensession.Entry, error] {
	if owner == "" {
		return s.reference.All(ctx)
	}
	return s.reference.ByOwner(ctx, owner)
}

// replacing deletes what has expired before it creates, in two steps.
type replacing struct{ *reference }

func (s replacing) Create(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	s.mu.Lock()
	old := s.records[s.key(s.space, id)]
	expired := old != nil && past(old.until, time.Now())
	s.mu.Unlock()
	if expired && tokensession.Check(ctx, id, &rec) == nil {
		s.reference.Delete(ctx, id)
	}
	return s.reference.Create(ctx, id, rec)
}

// thorough closes the client, too.
type thorough struct{ *reference }

func (s thorough) Close() error {
	s.client.Store(false)
	return s.reference.Close()
}

type hasty struct{ *reference }

func (s hasty) DeleteOwner(ctx context.Context, owner string) (int, error) {
	if s.closed.Load() && ctx.Err() == nil {
		return 0, tokensession.ErrClosed
	}
	return s.reference.DeleteOwner(ctx, owner)
}

// inheriting leaves the index as it is where a Create replaces what has expired.
type inheriting struct{ *reference }

func (s inheriting) Create(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	s.mu.Lock()
	former := s.records[s.key(s.space, id)]
	s.mu.Unlock()
	v, err := s.reference.Create(ctx, id, rec)
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.records[s.key(s.space, id)]; err == nil && former != nil && r != nil {
		r.indexed = former.indexed
	}
	return v, err
}

// unreadable reads what it is to delete.
type unreadable struct{ *reference }

func (s unreadable) Delete(ctx context.Context, id string) error {
	if _, err := s.reference.Get(ctx, id); errors.Is(err, tokensession.ErrCorrupt) {
		return err
	}
	return s.reference.Delete(ctx, id)
}

// discouraged ends at the first error, as if nothing came after it.
func discouraged(_ *reference, _ context.Context, seq entries) entries {
	return func(yield func(tokensession.Entry, error) bool) {
		for e, err := range seq {
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// thousand has a method that takes the first page of what there is for all of it.
type thousand struct {
	*reference
	careless string
}

const page = 1000

func (s thousand) Len(ctx context.Context) (int, error) {
	n, err := s.reference.Len(ctx)
	if s.careless == "Len" {
		n = min(n, page)
	}
	return n, err
}

func (s thousand) Clear(ctx context.Context) error {
	if s.careless != "Clear" {
		return s.reference.Clear(ctx)
	}
	_, err := s.deleteFirst(ctx, s.reference.All(ctx))
	return err
}

func (s thousand) DeleteOwner(ctx context.Context, owner string) (int, error) {
	if s.careless != "DeleteOwner" {
		return s.reference.DeleteOwner(ctx, owner)
	}
	return s.deleteFirst(ctx, s.reference.ByOwner(ctx, owner))
}

func (s thousand) deleteFirst(ctx context.Context, seq entries) (n int, err error) {
	for e, err := range paged(page)(s.reference, ctx, seq) {
		if err != nil {
			return n, err
		}
		if err := s.reference.Delete(ctx, e.ID); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}
