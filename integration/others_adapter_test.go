package integration

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"time"

	"github.com/tokensession/tokensession"
)

// keyValue is what the stores of other libraries have in common. All loads everything, as
// theirs do.
type keyValue interface {
	find(ctx context.Context, key string) (value []byte, found bool, err error)
	commit(ctx context.Context, key string, value []byte, ttl time.Duration) error
	remove(ctx context.Context, key string) error
	all(ctx context.Context) (map[string][]byte, error)
}

// adapter is a tokensession.Store on a keyValue, as an application would make one. It checks
// arguments and contexts, keeps in front of the data what the keyValue has no place for, and
// reads before it writes, because the keyValue cannot write on a condition. Whether a record
// is there, and when its time is up, it leaves to the keyValue alone.
type adapter struct {
	kv keyValue
}

// header stands in front of the data, in a line of its own.
type header struct {
	Version tokensession.Version
	Owner   string
	End     time.Time // zero: never
}

func (a adapter) Get(ctx context.Context, id string) (tokensession.Record, error) {
	if err := tokensession.Check(ctx, id, nil); err != nil {
		return tokensession.Record{}, err
	}
	return a.read(ctx, "get", id)
}

func (a adapter) Create(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	if err := tokensession.Check(ctx, id, &rec); err != nil {
		return "", err
	}
	if _, err := a.read(ctx, "create", id); !errors.Is(err, tokensession.ErrNotFound) {
		return "", cmp.Or(err, tokensession.ErrExists)
	}
	rec.Version = tokensession.Version(rand.Text())
	return a.write(ctx, "create", id, rec)
}

func (a adapter) Update(ctx context.Context, id string, rec tokensession.Record) (tokensession.Version, error) {
	if err := tokensession.Check(ctx, id, &rec); err != nil {
		return "", err
	}
	was, err := a.read(ctx, "update", id)
	if err != nil {
		return "", err
	}
	if was.Version != rec.Version {
		return "", tokensession.ErrConflict
	}
	rec.Version = tokensession.Version(rand.Text())
	return a.write(ctx, "update", id, rec)
}

func (a adapter) Touch(ctx context.Context, id string, ttl time.Duration) error {
	if err := tokensession.Check(ctx, id, &tokensession.Record{TTL: ttl}); err != nil {
		return err
	}
	rec, err := a.read(ctx, "touch", id)
	if err != nil {
		return err
	}
	rec.TTL = ttl
	_, err = a.write(ctx, "touch", id, rec)
	return err
}

func (a adapter) Delete(ctx context.Context, id string) error {
	if err := tokensession.Check(ctx, id, nil); err != nil {
		return err
	}
	return failed("delete", id, a.kv.remove(ctx, id))
}

func (a adapter) All(ctx context.Context) iter.Seq2[tokensession.Entry, error] {
	return func(yield func(tokensession.Entry, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(tokensession.Entry{}, err)
			return
		}
		values, err := a.kv.all(ctx)
		if err != nil {
			yield(tokensession.Entry{}, failed("all", "", err))
			return
		}
		for id, value := range values {
			rec, err := decode(value)
			if !yield(tokensession.Entry{ID: id, Record: rec}, failed("all", id, err)) {
				return
			}
		}
	}
}

func (a adapter) read(ctx context.Context, op, id string) (tokensession.Record, error) {
	value, found, err := a.kv.find(ctx, id)
	if err != nil {
		return tokensession.Record{}, failed(op, id, err)
	}
	if !found {
		return tokensession.Record{}, tokensession.ErrNotFound
	}
	rec, err := decode(value)
	return rec, failed(op, id, err)
}

// write comes after a read. In between it lets others run, as every request does.
func (a adapter) write(ctx context.Context, op, id string, rec tokensession.Record) (tokensession.Version, error) {
	runtime.Gosched()
	h := header{Version: rec.Version, Owner: rec.Owner}
	if rec.TTL != tokensession.Forever {
		h.End = time.Now().Add(rec.TTL)
	}
	line, err := json.Marshal(h)
	if err == nil {
		err = a.kv.commit(ctx, id, slices.Concat(line, []byte("\n"), rec.Data), rec.TTL)
	}
	if err != nil {
		return "", failed(op, id, err)
	}
	return rec.Version, nil
}

func decode(value []byte) (tokensession.Record, error) {
	line, data, found := bytes.Cut(value, []byte("\n"))
	var h header
	if err := json.Unmarshal(line, &h); err != nil || !found {
		return tokensession.Record{}, fmt.Errorf("%w: no header", tokensession.ErrCorrupt)
	}
	rec := tokensession.Record{Data: data, Owner: h.Owner, Version: h.Version, TTL: tokensession.Forever}
	if !h.End.IsZero() {
		rec.TTL = max(time.Until(h.End), 1) // the store says that it lives
	}
	return rec, nil
}

// failed says of an error, if there is one, what was tried.
func failed(op, id string, err error) error {
	if err == nil {
		return nil
	}
	return &tokensession.OpError{Driver: "other", Op: op, ID: id, Err: err}
}
