package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tokensession/tokensession"
)

// state is what a session is beside its Data.
type state[T any] struct {
	m       *Manager[T]
	session *Session[T] // whose Data this is about
	visit   *visit[T]   // the request; nil without HTTP

	used atomic.Bool // the application has asked for the session, so Data is decoded

	// op is held for the length of every operation, and guards version, epoch,
	// created, base, storedOwner, ttl, readAt and tried.
	op sync.Mutex

	// mu guards what follows, and is held for instants only, so that accessors can
	// be called while an operation waits for the store.
	mu       sync.Mutex
	cred     credential // made when first asked for
	owner    string
	ownerSet bool  // by this request
	begun    bool  // to be stored even if empty
	stored   bool  // in the store, as far as this request knows
	over     error // not nil: why nothing can be saved any more

	// What the store has, as this request last saw it.
	created     int64 // as in header
	epoch       uint64
	version     tokensession.Version
	base        []byte // the payload
	value       T      // what base decodes to, if a T is flat
	storedOwner string
	ttl         time.Duration // what was left at readAt
	readAt      time.Time
	tried       bool // a Create ended unknown

	// The contexts of what most requests do at most once: a place for them here
	// spares the allocation.
	reading, writing deadline

	// What the response tells the client.
	sendToken, clearToken bool
}

// change is what put does beside saving Data as it is.
type change[T any] struct {
	apply func(*T) error // changes a copy of Data; may be nil
	renew bool           // a new secret, and the next epoch
}

// credential makes a new session's id and secret when they are first needed. The
// caller holds mu.
func (s *state[T]) credential() *credential {
	if s.cred.id == "" {
		s.cred = newCredential(s.m.opts.Name)
	}
	return &s.cred
}

func (s *state[T]) id() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cred.id
}

func (s *state[T]) headerSent() bool { return s.visit != nil && s.visit.sent.Load() }

func (s *state[T]) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun = true
}

func (s *state[T]) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = err
}

// exclusive runs an operation that the client's hanging up does not end.
func (s *state[T]) exclusive(ctx context.Context, name string, op func(context.Context) error) error {
	s.op.Lock()
	defer s.op.Unlock()
	err := s.detached(ctx, op)
	if own, ok := errors.AsType[applyError](err); ok {
		return own.error
	}
	return wrapUnlessNil(name, s.id(), err)
}

// detached runs op with a context that only StoreTimeout ends.
func (s *state[T]) detached(ctx context.Context, op func(context.Context) error) error {
	d := &s.writing
	if d.Context != nil { // it was used
		d = new(deadline)
	}
	d.startDetached(ctx, time.Now(), s.m.opts.StoreTimeout)
	defer d.release()
	return op(d)
}

// applyError carries an error of Update's function, which is returned as it is.
type applyError struct{ error }

func wrapUnlessNil(op, id string, err error) error {
	if err == nil {
		return nil
	}
	return wrap(op, id, err)
}

// load reads the session that cred opens, without decoding it.
func (s *state[T]) load(ctx context.Context, cred credential) error {
	s.reading.start(ctx, s.readAt, s.m.opts.StoreTimeout)
	defer s.reading.release()
	st, err := s.m.read(&s.reading, &cred, s.readAt)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cred, s.stored = cred, true
	s.owner = st.owner
	s.adopt(&st)
	return nil
}

// adopt takes what was read as the state that changes are made from.
func (s *state[T]) adopt(st *stored) {
	s.created, s.epoch = st.created, st.epoch
	s.version, s.base, s.storedOwner = st.version, st.payload, st.owner
	s.ttl, s.readAt = st.ttl, st.readAt
}

// decode fills Data from what was loaded.
func (s *state[T]) decode() error {
	if err := s.m.opts.Codec.Decode(s.base, &s.session.Data); err != nil {
		s.session.Data = *new(T)
		return fmt.Errorf("%w: cannot decode Data: %w", errCodec, err)
	}
	s.remember(&s.session.Data)
	return nil
}

// remember keeps what base decodes to where that is cheap: it spares most requests
// the encoding.
func (s *state[T]) remember(v *T) {
	if s.m.flat {
		s.value = *v
	}
}

// use decodes Data when the application first asks for the session. A record that
// cannot be decoded is left to expire, and the session is a new one: a type that
// changed on one instance must not end everybody's sessions.
func (s *state[T]) use() {
	if s.used.Load() {
		return
	}
	s.op.Lock()
	defer s.op.Unlock()
	if s.used.Load() {
		return
	}
	if s.stored {
		if err := s.decode(); err != nil {
			s.m.opts.Logger.Error("session: a record cannot be decoded; the client gets a new session",
				"session", s.id(), "error", err)
			s.restart(credential{})
		}
	}
	s.used.Store(true)
}

// restart makes this an empty session that was not begun yet.
func (s *state[T]) restart(cred credential) {
	s.session.Data = *new(T)
	s.remember(&s.session.Data)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cred, s.owner, s.ownerSet, s.begun, s.stored, s.over = cred, "", false, false, false, nil
	s.created, s.epoch, s.version, s.base, s.storedOwner = time.Now().UnixMilli(), 0, "", s.m.zero, ""
	s.tried, s.sendToken, s.clearToken = false, false, false
}

func (s *state[T]) destroyed() {
	s.session.Data = *new(T)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owner, s.ownerSet, s.over = "", false, ErrGone
	s.sendToken, s.clearToken = false, true
}

// write is one attempt to store the session.
type write[T any] struct {
	data    *T // what payload encodes: Data itself or a copy
	value   T  // of data when it was encoded, if a T is flat
	payload []byte
	cred    credential
	epoch   uint64
	owner   string
	record  tokensession.Record
}

// put stores the session if there is anything to store.
func (s *state[T]) put(ctx context.Context, ch change[T]) (written bool, err error) {
	w, err := s.prepare(ch)
	if w == nil {
		return false, err
	}
	return true, s.land(ctx, ch, w)
}

// land sends w until it lands: what it meets of other requests' writes it merges, and
// tries again.
func (s *state[T]) land(ctx context.Context, ch change[T], w *write[T]) error {
	for attempt := 0; w != nil; attempt++ {
		version, err := s.send(ctx, w)
		if err == nil {
			s.landed(w, version)
			return nil
		}
		if !errors.Is(err, tokensession.ErrConflict) && !errors.Is(err, tokensession.ErrExists) {
			return err
		}
		if err := s.rebase(ctx, err); err != nil {
			return err
		}
		if err := pause(ctx, attempt); err != nil {
			return err
		}
		if w, err = s.prepare(ch); err != nil {
			return err
		}
	}
	return nil // another request has stored the same
}

// prepare encodes what is to be stored; nil if that is nothing new.
func (s *state[T]) prepare(ch change[T]) (*write[T], error) {
	if s.over != nil {
		return nil, s.over
	}
	data, err := &s.session.Data, error(nil)
	if ch.apply != nil {
		if data, err = s.m.clone(data); err != nil {
			return nil, err
		}
		if err := ch.apply(data); err != nil {
			return nil, applyError{err}
		}
	}
	needed := ch.renew || s.mustStore()
	if !needed && s.m.flat && any(*data) == any(s.value) {
		return nil, nil
	}
	payload, err := s.m.encode(data)
	if err != nil {
		return nil, err
	}
	if !needed {
		if needed, err = s.differs(payload); err != nil || !needed {
			return nil, err
		}
	}
	if !s.stored && s.headerSent() {
		return nil, ErrHeaderSent
	}
	w := &write[T]{data: data, payload: payload, epoch: s.epoch}
	if s.m.flat {
		w.value = *data
	}
	s.mu.Lock()
	w.owner, w.cred = s.owner, *s.credential()
	s.mu.Unlock()
	if ch.renew {
		w.cred, w.epoch = renewed(s.m.opts.Name, w.cred.id), s.epoch+1
	}
	if err := s.fill(w); err != nil {
		return nil, err
	}
	return w, nil
}

// differs reports whether payload holds another value than base.
func (s *state[T]) differs(payload []byte) (bool, error) {
	if string(payload) == string(s.base) {
		return false, nil
	}
	if s.m.flat && s.m.json { // then equal values have equal encodings
		same, err := s.m.encode(&s.value)
		return string(payload) != string(same), err
	}
	value, err := s.m.decode(payload)
	if err != nil {
		return false, err
	}
	base, err := s.m.decode(s.base)
	if err != nil {
		return false, err
	}
	return !equalValues(value, base), nil
}

// mustStore reports whether there is something to store whatever Data is.
func (s *state[T]) mustStore() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.begun && !s.stored || s.owner != s.storedOwner
}

// fill makes the record.
func (s *state[T]) fill(w *write[T]) error {
	h := header{created: s.created, epoch: w.epoch, secret: w.cred.secret}
	data := append(h.appendTo(make([]byte, 0, maxHeaderLen+len(w.payload))), w.payload...)
	if len(data) > s.m.opts.MaxBytes {
		return fmt.Errorf("%w: %d bytes; MaxBytes is %d", tokensession.ErrTooLarge, len(data), s.m.opts.MaxBytes)
	}
	ttl := s.m.ttl(s.created, time.Now())
	if ttl <= 0 { // Lifetime ended while the request ran
		s.end(ErrGone)
		return ErrGone
	}
	w.record = tokensession.Record{Data: data, Owner: s.m.scoped(w.owner), Version: s.version, TTL: ttl}
	return nil
}

func (s *state[T]) send(ctx context.Context, w *write[T]) (tokensession.Version, error) {
	if !s.stored {
		version, err := s.m.store.Create(ctx, w.cred.id, w.record)
		s.tried = s.tried || err != nil
		return version, err
	}
	version, err := s.m.store.Update(ctx, w.cred.id, w.record)
	if errors.Is(err, tokensession.ErrNotFound) {
		s.end(ErrGone)
		return "", ErrGone
	}
	return version, err
}

// landed notes that w is what the store has.
func (s *state[T]) landed(w *write[T], version tokensession.Version) {
	if w.data != &s.session.Data {
		s.session.Data = *w.data
	}
	s.remember(&w.value)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stored || w.epoch != s.epoch {
		s.sendToken = true
	}
	s.cred, s.epoch, s.stored = w.cred, w.epoch, true
	s.version, s.base, s.storedOwner = version, w.payload, w.owner
	s.ttl, s.readAt = w.record.TTL, time.Now()
	if s.owner == w.owner { // else it was set again meanwhile
		s.ownerSet = false
	}
}

// rebase makes the changes of this request changes to what the store has now. The
// cause is ErrConflict, or ErrExists from a Create.
func (s *state[T]) rebase(ctx context.Context, cause error) error {
	s.mu.Lock()
	setsOwner := s.ownerSet
	s.mu.Unlock()
	theirs, err := s.m.read(ctx, &s.cred, time.Now())
	if errors.Is(err, ErrGone) && errors.Is(cause, tokensession.ErrExists) {
		return cause // another's record, or none any more
	}
	if err == nil && s.stored && (theirs.epoch != s.epoch || theirs.owner != s.storedOwner && !setsOwner) {
		err = ErrGone
	}
	if errors.Is(err, ErrGone) {
		s.end(ErrGone)
		return ErrGone
	}
	if err != nil {
		return err
	}
	// What this session's own Create left, whose answer was lost, is not merged
	// with, nor is a session whose owner this request sets: alice's login and bob's
	// must not become bob with alice's rights.
	other, err := s.m.decode(theirs.payload)
	if err != nil {
		return err
	}
	s.remember(other)
	if s.stored && !setsOwner {
		if err := s.merge(other); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stored {
		s.stored, s.sendToken = true, true
	}
	s.adopt(&theirs)
	return nil
}

func (s *state[T]) merge(theirs *T) error {
	base, err := s.m.decode(s.base)
	if err != nil {
		return err
	}
	mine, err := s.m.clone(&s.session.Data)
	if err != nil {
		return err
	}
	if s.m.opts.Merge != nil {
		if err := s.m.opts.Merge(base, mine, theirs); err != nil {
			return err
		}
	} else if both := mergeFields(reflect.ValueOf(base).Elem(), reflect.ValueOf(mine).Elem(),
		reflect.ValueOf(theirs).Elem(), "Data"); both != nil {
		s.m.opts.Logger.Info("session: two requests changed the same fields; the later save stands",
			"session", s.id(), "fields", both)
	}
	s.session.Data = *mine
	return nil
}

// pause waits a little, more each time, once a write has lost several times, so
// that no request starves.
func pause(ctx context.Context, attempt int) error {
	if attempt < 3 {
		return ctx.Err()
	}
	limit := time.Millisecond << min(attempt-3, 5)
	select {
	case <-time.After(rand.N(limit)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// touchDue reports whether an eighth of the idle timeout has gone by, or
// IdleTimeout or Lifetime was changed.
func (s *state[T]) touchDue() bool {
	if !s.stored {
		return false
	}
	off := s.m.ttl(s.created, s.readAt) - s.ttl
	return max(off, -off) >= min(s.m.opts.IdleTimeout, s.m.opts.Lifetime)/8
}

func (s *state[T]) touch(ctx context.Context) error {
	now := time.Now()
	ttl := s.m.ttl(s.created, now)
	if ttl <= 0 {
		s.end(ErrGone)
		return ErrGone
	}
	err := s.m.store.Touch(ctx, s.id(), ttl)
	if errors.Is(err, tokensession.ErrNotFound) {
		s.end(ErrGone)
		return ErrGone
	}
	if err == nil {
		s.ttl, s.readAt = ttl, now
	}
	return err
}

func (s *state[T]) reload(ctx context.Context) error {
	if s.over != nil {
		return s.over
	}
	if !s.stored {
		s.session.Data = *new(T)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.owner, s.ownerSet = "", false
		return nil
	}
	var d deadline
	now := time.Now()
	d.start(ctx, now, s.m.opts.StoreTimeout)
	defer d.release()
	theirs, err := s.m.read(&d, &s.cred, now)
	if errors.Is(err, ErrGone) {
		s.end(ErrGone)
	}
	if err != nil {
		return err
	}
	data, err := s.m.decode(theirs.payload)
	if err != nil {
		return err
	}
	s.session.Data = *data
	s.remember(data)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owner, s.ownerSet = theirs.owner, false
	s.adopt(&theirs)
	return nil
}

// deleteStored deletes what the store may have of this session. A session that the
// store did not answer for stays as it is.
func (s *state[T]) deleteStored(ctx context.Context) error {
	if s.over != nil && !errors.Is(s.over, ErrGone) {
		return s.over
	}
	if !s.stored && !s.tried {
		return nil
	}
	return s.m.store.Delete(ctx, s.id())
}

func (s *state[T]) resetToken(ctx context.Context, token string) error {
	if s.headerSent() {
		return ErrHeaderSent
	}
	if err := checkAppToken(token, s.m.opts.MinTokenLength); err != nil {
		return err
	}
	if !s.m.opts.Transport.carries(token) {
		return fmt.Errorf(`%w: a cookie cannot carry '"', ',', ';' and '\'`, ErrInvalidToken)
	}
	if s.over != nil && !errors.Is(s.over, ErrGone) {
		return s.over
	}
	next := &write[T]{data: new(T), payload: s.m.zero, cred: appCredential(s.m.opts.Name, token)}
	now := time.Now()
	h := header{created: now.UnixMilli(), secret: next.cred.secret}
	next.record = tokensession.Record{
		Data: append(h.appendTo(nil), next.payload...),
		TTL:  s.m.ttl(h.created, now),
	}
	version, err := s.m.store.Create(ctx, next.cred.id, next.record)
	if err != nil {
		return err
	}
	if err := s.deleteStored(ctx); err != nil {
		if undo := s.m.store.Delete(ctx, next.cred.id); undo != nil {
			s.m.opts.Logger.Error("session: a session that nobody has the token of is left to expire",
				slog.String("session", next.cred.id), slog.Any("error", undo))
		}
		return err
	}
	s.restart(next.cred)
	s.created = h.created
	s.landed(next, version)
	return nil
}
