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

	used     atomic.Bool // the application has asked for the session, so Data is decoded
	settling atomic.Bool // what the header will say is being decided, by a look at asked

	// op is held for the length of every operation, and guards what the store has,
	// and what follows that up to silent.
	op sync.Mutex

	// mu guards what follows, and is held for instants only, so that accessors can
	// be called while an operation waits for the store.
	mu       sync.Mutex
	cred     credential // made when first asked for; its token is "" if that is not known
	owner    string
	ownerSet bool        // by this request
	begun    bool        // to be stored even if empty
	stored   bool        // in the store, as far as this request knows
	asked    atomic.Bool // begun or owner was set; else mustStore does not wait for mu
	over     error       // not nil: why nothing can be saved any more

	// What the store has, as this request last saw it.
	header
	version     tokensession.Version
	base        []byte // the payload
	value       T      // what base decodes to, if a T is flat
	storedOwner string
	ttl         time.Duration // what was left at readAt
	readAt      time.Time
	renewal     *credential // of a Renew without grace that ended unknown
	unsure      *write[T]   // a ResetToken that ended unknown
	tried       bool        // a Create ended unknown
	deleted     bool        // by a Destroy of this request
	followed    bool        // cred is the successor of what this request had, and no Renew has said so
	unconfirmed bool        // the token is new since the store was asked last, or may be
	silent      bool        // the idle timeout is not to be tried again: the store does not answer

	// The contexts of what most requests do at most once: a place for them here
	// spares the allocation.
	reading, writing deadline

	// What the response tells the client, and whether its header does.
	sendToken, clearToken, told bool
}

// change is what put does beside saving Data as it is.
type change[T any] struct {
	apply func(*T) error // changes a copy of Data; may be nil
	renew bool           // a new secret
	grace time.Duration  // of the former one; if 0, the next epoch
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
	s.setBegun()
}

// setBegun is begin for callers that hold mu.
func (s *state[T]) setBegun() {
	s.begun = true
	s.asked.Store(true)
}

// unanswered is the error of a session that the store did not answer for when the
// request began; nil for every other, one that is gone included.
func (s *state[T]) unanswered() error {
	if errors.Is(s.over, ErrGone) {
		return nil
	}
	return s.over
}

// end makes an end of the session for this request. Its token is of no use any more, and
// would overwrite that of a newer login.
func (s *state[T]) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over, s.sendToken = err, false
}

// expire is end for a session whose Lifetime has ended.
func (s *state[T]) expire(ctx context.Context) error {
	s.m.audit(ctx, &eventExpired, s.id(), slog.Attr{})
	s.end(ErrGone)
	return ErrGone
}

// exclusive runs an operation that the client's hanging up does not end.
func (s *state[T]) exclusive(ctx context.Context, name string, op func(context.Context) error) error {
	s.op.Lock()
	defer s.op.Unlock()
	err := s.detached(ctx, op)
	if own, ok := errors.AsType[applyError](err); ok {
		return own.error
	}
	return wrap(name, s.id(), err)
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

// load reads the session that cred opens, without decoding it.
func (s *state[T]) load(ctx context.Context, cred credential) error {
	s.reading.start(ctx, s.readAt, s.m.opts.StoreTimeout)
	defer s.reading.release()
	var st stored
	if err := s.m.read(&s.reading, &cred, s.readAt, &st); err != nil {
		return err
	}
	s.cred, s.stored = cred, true // mu can wait: nobody else has s yet
	s.followed, s.sendToken = st.followed, st.followed
	s.owner = st.owner
	s.adopt(&st)
	s.unconfirmed = st.followed
	return nil
}

// confirm looks whether the session whose token is to be sent has ended meanwhile.
func (s *state[T]) confirm(ctx context.Context) error {
	s.unconfirmed = false
	var st stored
	err := s.readOwn(ctx, time.Now(), &st)
	switch {
	case err == nil:
		s.header = st.header // whose epoch a Renew that ended unknown may have made
	case errors.Is(err, ErrGone):
		s.end(ErrGone)
	}
	return err
}

// adopt takes what was read as the state that changes are made from.
func (s *state[T]) adopt(st *stored) {
	s.header = st.header
	s.version, s.base, s.storedOwner = st.version, st.payload, st.owner
	s.ttl, s.readAt = st.ttl, st.readAt
	s.unconfirmed = false
}

// decode fills Data from what was loaded.
func (s *state[T]) decode() error {
	if err := s.m.opts.Codec.Decode(s.base, &s.session.Data); err != nil {
		s.session.Data = *new(T)
		return &codecError{"decode", err}
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
	s.header = header{created: time.Now().UnixMilli()}
	s.version, s.base, s.storedOwner = "", s.m.zero, ""
	s.tried, s.deleted, s.followed, s.unconfirmed, s.sendToken, s.clearToken = false, false, false, false, false, false
	s.renewal, s.unsure = nil, nil
}

func (s *state[T]) destroyed() {
	s.session.Data = *new(T)
	s.deleted = true
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
	cred    *credential // the session's own, or a new one
	header  header
	renewed bool // cred is new
	grace   time.Duration
	owner   string
	record  tokensession.Record
}

// put stores the session if there is anything to store.
func (s *state[T]) put(ctx context.Context, ch change[T]) (written bool, err error) {
	w, err := s.prepare(ctx, ch)
	if ch.apply != nil && s.stored && w == nil && decided(err) {
		// That was about what this request has loaded, and there may be something else now.
		if err := s.rebase(ctx, tokensession.ErrConflict); err != nil {
			return false, err
		}
		w, err = s.prepare(ctx, ch)
	}
	if w == nil {
		return false, err
	}
	return true, s.land(ctx, ch, w)
}

// decided reports whether apply has left Data as it is, or failed.
func decided(err error) bool {
	_, failed := errors.AsType[applyError](err)
	return err == nil || failed
}

// land sends w until it lands: what it meets of other requests' writes it merges, and
// tries again.
func (s *state[T]) land(ctx context.Context, ch change[T], w *write[T]) error {
	for attempt := 0; w != nil; attempt++ {
		version, err := s.send(ctx, w)
		if err == nil {
			s.landed(ctx, w, version)
			return nil
		}
		if !errors.Is(err, tokensession.ErrConflict) && !errors.Is(err, tokensession.ErrExists) {
			return err
		}
		// The pause comes before the reading: what was read before it would be old.
		if err := pause(ctx, attempt); err != nil {
			return err
		}
		if err := s.rebase(ctx, err); err != nil {
			return err
		}
		if w, err = s.prepare(ctx, ch); err != nil {
			return err
		}
	}
	return nil // another request has stored the same
}

// prepare encodes what is to be stored; nil if that is nothing new.
func (s *state[T]) prepare(ctx context.Context, ch change[T]) (*write[T], error) {
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
	renew := ch.renew && !(s.followed && ch.grace > 0) // else another request has done it
	must, setsOwner := s.mustStore()
	needed := renew || must
	if !needed && s.m.flat && any(*data) == any(s.value) {
		s.unchanged(data, setsOwner)
		return nil, nil
	}
	payload, err := s.m.encode(data)
	if err != nil {
		return nil, err
	}
	if !needed {
		if needed, err = s.differs(payload); err != nil {
			return nil, err
		}
		if !needed {
			s.unchanged(data, setsOwner)
			return nil, nil
		}
	}
	if !s.stored && s.headerSent() {
		return nil, ErrHeaderSent
	}
	w := &write[T]{data: data, payload: payload, header: s.header, renewed: renew, grace: ch.grace}
	if s.m.flat {
		w.value = *data
	}
	s.mu.Lock()
	w.owner, w.cred = s.owner, s.credential()
	s.mu.Unlock()
	if !s.stored {
		w.header.secret = w.cred.secret
	}
	now := time.Now()
	w.header.prune(now)
	if renew {
		if err := s.renew(w, now); err != nil {
			return nil, err
		}
	}
	if err := s.fill(ctx, w, now); err != nil {
		return nil, err
	}
	return w, nil
}

// unchanged notes that the store has what this request would save: data, which apply
// may have made by undoing what was not saved yet, and the owner, whom another request
// may have set too. From then on an owner that others set is a barrier again.
func (s *state[T]) unchanged(data *T, setsOwner bool) {
	s.session.Data = *data
	if !setsOwner {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owner == s.storedOwner { // else it was set again meanwhile
		s.ownerSet = false
	}
}

// renew gives w a new token.
func (s *state[T]) renew(w *write[T], now time.Time) error {
	switch {
	case w.grace > 0 && w.cred.token == "":
		return ErrGone // others have renewed it, too long ago or too often to follow
	case w.grace > 0:
		next := w.header.renew(s.m.opts.Name, w.cred, w.grace, now)
		w.cred = &next
		return nil
	}
	next := s.renewal
	if next == nil {
		cred := renewed(s.m.opts.Name, w.cred.id)
		next = &cred
	}
	w.cred = next
	w.header = header{created: s.created, epoch: s.epoch + 1, secret: w.cred.secret}
	return nil
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

// mustStore reports whether there is something to store whatever Data is, and whether
// this request has set the owner.
func (s *state[T]) mustStore() (must, setsOwner bool) {
	if !s.asked.Load() {
		return false, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.begun && !s.stored || s.owner != s.storedOwner, s.ownerSet
}

// fill makes the record.
func (s *state[T]) fill(ctx context.Context, w *write[T], now time.Time) error {
	size := maxPlainLen + len(w.header.formers)*maxFormerLen + len(w.payload)
	data := append(w.header.appendTo(make([]byte, 0, size)), w.payload...)
	if len(data) > s.m.opts.MaxBytes {
		return fmt.Errorf("%w: %d bytes; MaxBytes is %d", tokensession.ErrTooLarge, len(data), s.m.opts.MaxBytes)
	}
	ttl := s.m.ttl(s.created, now)
	if ttl <= 0 { // Lifetime ended while the request ran
		return s.expire(ctx)
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
	if err != nil && !errors.Is(err, tokensession.ErrConflict) && w.renewed {
		s.unconfirmed = true
		if w.header.epoch != s.epoch {
			s.renewal = w.cred
		}
	}
	return version, err
}

// landed notes that w is what the store has.
func (s *state[T]) landed(ctx context.Context, w *write[T], version tokensession.Version) {
	switch {
	case !s.stored:
		s.m.audit(ctx, &eventStarted, w.cred.id, slog.Attr{})
	case w.renewed:
		s.m.audit(ctx, &eventRenewed, w.cred.id, slog.Duration("grace", w.grace))
	}
	if w.data != &s.session.Data {
		s.session.Data = *w.data
	}
	s.remember(&w.value)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stored || w.renewed {
		s.sendToken = true
	}
	s.cred, s.header, s.stored, s.renewal = *w.cred, w.header, true, nil
	s.version, s.base, s.storedOwner = version, w.payload, w.owner
	s.ttl, s.readAt = w.record.TTL, time.Now()
	s.unconfirmed = w.renewed
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
	var theirs stored
	err := s.readOwn(ctx, time.Now(), &theirs)
	if errors.Is(err, ErrGone) && errors.Is(cause, tokensession.ErrExists) {
		return cause // another's record, or none any more
	}
	if err == nil && s.stored && theirs.owner != s.storedOwner && !setsOwner {
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
	if s.stored && !setsOwner {
		if err := s.merge(other); err != nil {
			return err
		}
	}
	s.remember(other)
	if !s.stored {
		s.m.audit(ctx, &eventStarted, s.id(), slog.Attr{})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stored {
		s.stored, s.sendToken = true, true
	}
	s.adopt(&theirs)
	return nil
}

// readOwn fills st with the session as it is now. Where others have renewed its token with a
// grace, this request follows them; if it has come too late for that, it goes on without
// a token, because it has shown one in time. It is ErrGone if every former token was ended
// at once, unless that was a Renew of this request whose answer was lost.
func (s *state[T]) readOwn(ctx context.Context, now time.Time, st *stored) error {
	if !s.stored {
		cred := s.cred
		err := s.m.read(ctx, &cred, now, st)
		if err == nil {
			s.setCredential(cred)
		}
		return err
	}
	err := s.m.get(ctx, s.id(), now, st)
	if err == nil {
		err = s.recognize(ctx, st, now)
	}
	if err == nil {
		err = s.m.accept(ctx, s.id(), st)
	}
	return err
}

// recognize reports ErrGone if another request has ended all former tokens at once.
func (s *state[T]) recognize(ctx context.Context, st *stored, now time.Time) error {
	if st.epoch == s.epoch {
		s.follow(&st.header, now)
		return nil
	}
	if s.renewal == nil {
		return ErrGone
	}
	if _, refused := st.open(s.m.opts.Name, s.renewal, now); refused != "" {
		return ErrGone
	}
	s.m.audit(ctx, &eventRenewed, s.id(), slog.Duration("grace", 0))
	s.setCredential(*s.renewal)
	s.renewal = nil
	return nil
}

// follow takes over the token that a renewal by another request has made.
func (s *state[T]) follow(h *header, now time.Time) {
	cred := s.cred
	followed, refused := h.open(s.m.opts.Name, &cred, now)
	switch {
	case followed:
		s.followed = true
		s.setCredential(cred)
	case refused != "":
		s.setCredential(credential{id: cred.id})
	}
}

// setCredential makes cred what opens the session, of which the client is told.
func (s *state[T]) setCredential(cred credential) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cred, s.sendToken = cred, true
}

// merge makes Data what it is to be now that another request has stored theirs.
func (s *state[T]) merge(theirs *T) error {
	base, err := s.m.decode(s.base)
	if err != nil {
		return err
	}
	mine, err := s.m.clone(&s.session.Data)
	if err != nil {
		return err
	}
	switch {
	case equalValues(theirs, mine): // perhaps a write of this request, whose answer was lost
		return nil
	case s.m.opts.Merge != nil:
		if err := s.m.opts.Merge(base, mine, theirs); err != nil {
			return mergeError{err}
		}
	case equalValues(mine, new(T)) && !equalValues(base, new(T)): // emptied, of what others have set too
	default:
		s.mergeFields(base, mine, theirs)
	}
	s.session.Data = *mine
	return nil
}

// mergeError marks what a Merge returned.
type mergeError struct{ error }

func (e mergeError) Unwrap() error { return e.error }

func (s *state[T]) mergeFields(base, mine, theirs *T) {
	if both := mergeFields(reflect.ValueOf(base).Elem(), reflect.ValueOf(mine).Elem(),
		reflect.ValueOf(theirs).Elem(), "Data"); both != nil {
		s.m.opts.Logger.Info("session: two requests changed the same fields; the later save stands",
			"session", s.id(), "fields", both)
	}
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

// touchDue reports whether, at now, an eighth of the idle timeout has gone by, or
// IdleTimeout or Lifetime was changed.
func (s *state[T]) touchDue(now time.Time) bool {
	if !s.stored {
		return false
	}
	left := s.ttl
	if left != tokensession.Forever {
		left -= now.Sub(s.readAt)
	}
	off := s.m.ttl(s.created, now) - left
	return max(off, -off) >= min(s.m.opts.IdleTimeout, s.m.opts.Lifetime)/8
}

func (s *state[T]) touch(ctx context.Context) error {
	now := time.Now()
	ttl := s.m.ttl(s.created, now)
	if ttl <= 0 {
		return s.expire(ctx)
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
	var theirs stored
	err := s.readOwn(&d, now, &theirs)
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

// deleteStored deletes what the store may have of this session, once: with an
// application's token, what stands there later is another session. One that the store
// did not answer for stays as it is.
func (s *state[T]) deleteStored(ctx context.Context) error {
	if err := s.unanswered(); err != nil {
		return err
	}
	if s.deleted || !s.stored && !s.tried {
		return nil
	}
	if err := s.m.store.Delete(ctx, s.id()); err != nil {
		return err
	}
	s.m.audit(ctx, &eventDestroyed, s.id(), slog.Attr{})
	return nil
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
	if err := s.unanswered(); err != nil {
		return err
	}
	next, version, err := s.createWith(ctx, appCredential(s.m.opts.Name, token))
	if err != nil {
		return err
	}
	// Where the old session had the same token, it was gone already.
	if next.cred.id != s.id() {
		if err := s.deleteStored(ctx); err != nil {
			// The deletion may have used up the time.
			if undo := s.m.delete(ctx, next.cred.id); undo != nil {
				s.unsure = next
				s.m.opts.Logger.Error("session: an empty session with a token of the application's is left to expire",
					slog.String("session", next.cred.id), slog.Any("error", undo))
			}
			return err
		}
	}
	s.restart(*next.cred)
	s.landed(ctx, next, version)
	return nil
}

// createWith stores an empty session that cred opens. If an earlier try ended unknown
// and has stored it, that is the answer, unless others have used it since.
//
// The same token makes the same id each time. The epoch is random, so that what a
// request holds of an earlier session with this token is not taken for this one.
func (s *state[T]) createWith(ctx context.Context, cred credential) (*write[T], tokensession.Version, error) {
	w := s.unsure
	if w == nil || w.cred.id != cred.id {
		now := time.Now()
		w = &write[T]{data: new(T), payload: s.m.zero, cred: &cred}
		w.header = header{created: now.UnixMilli(), epoch: rand.Uint64() >> 1, secret: cred.secret}
		w.record = tokensession.Record{Data: append(w.header.appendTo(nil), w.payload...), TTL: s.m.ttl(w.header.created, now)}
	}
	version, err := s.m.store.Create(ctx, cred.id, w.record)
	if errors.Is(err, tokensession.ErrExists) && w == s.unsure {
		rec, readErr := s.m.store.Get(ctx, cred.id)
		switch {
		case readErr == nil && rec.Owner == "" && string(rec.Data) == string(w.record.Data):
			return w, rec.Version, nil
		case readErr != nil && !errors.Is(readErr, tokensession.ErrNotFound):
			return w, "", readErr // whose it is stays unknown
		}
	}
	s.unsure = nil
	if err != nil && !errors.Is(err, tokensession.ErrExists) {
		s.unsure = w
	}
	return w, version, err
}
