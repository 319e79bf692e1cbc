package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"reflect"
	"time"

	"github.com/tokensession/tokensession"
)

var (
	// ErrGone says that the session is over: somebody ended or renewed it, its owner
	// changed, or it has expired. What this request changed since its last save is not
	// stored.
	ErrGone = errors.New("the session is gone")

	// ErrHeaderSent says that a token can no longer reach the client, because the
	// header of the response is on its way. Nothing has changed.
	ErrHeaderSent = errors.New("the header of the response is already sent")

	// ErrInvalidToken says that a token is malformed, or that no live session
	// answers to it.
	ErrInvalidToken = errors.New("invalid token")
)

// Options are how a Manager works; the zero value of a field is its default.
type Options[T any] struct {
	// Name keeps managers on one store apart, such as customers and staff: the
	// tokens and owners of one mean nothing to another. It is up to 32 letters,
	// digits, '-', '_' and '.'. Changing it ends all sessions. Two managers that handle
	// the same request need different header or cookie names too.
	Name string

	// Transport is how tokens travel: Header("X-Auth-Token") if nil.
	Transport Transport

	// IdleTimeout ends a session that was not used for so long: 24 hours if 0,
	// never if [tokensession.Forever]. It is renewed when an eighth has gone by, so
	// that most requests write nothing; a session may so end after seven eighths.
	IdleTimeout time.Duration

	// Lifetime ends a session so long after its beginning, used or not: 30 days if
	// 0, never if [tokensession.Forever]. It applies to sessions that exist already.
	Lifetime time.Duration

	// StoreTimeout is how long the store may take for reading a session, and for
	// each operation on it: 5 seconds if 0.
	StoreTimeout time.Duration

	// MaxBytes is how large a session may be, encoded, with about 100 bytes that the
	// manager adds, and 90 more for each former token in its grace: 512 KiB if 0. A
	// larger one is [tokensession.ErrTooLarge].
	MaxBytes int

	// MinTokenLength is how many characters ResetToken takes at the least: 32 if 0.
	// Whoever lowers it answers for the tokens being hard to guess.
	MinTokenLength int

	// Codec encodes Data: encoding/json if nil.
	Codec Codec[T]

	// Merge is called by a save that finds the session changed since this request
	// loaded it as base. It takes what theirs, the state that is stored, has changed
	// over into mine, which then is saved; an error ends the save. It may run again.
	// All three are copies that nobody else uses.
	//
	// If nil, fields of T, those of embedded structs, and entries of maps that are
	// fields of T or T itself, are merged singly. Everything else is one value:
	// nested structs, slices, what a pointer points to, types with their own codec.
	// What one request alone changed is taken; of what both changed, mine, and that
	// is logged. To delete is to change; nil and empty are equal. To empty Data is to
	// change all of it.
	Merge func(base, mine, theirs *T) error

	// OnError answers a request whose session cannot be read, or cannot be saved
	// before the first byte of the response. The error is logged already. Nothing of
	// the handler's response goes out: its headers Content-* (but Content-Security-*),
	// Accept-Ranges, ETag, Last-Modified, Location, Refresh, Set-Cookie, Age, Expires and
	// Cache-Control, with all that replace that for single caches, are removed. A token that
	// is in force already is sent all the same. Where a save has failed, Get finds the
	// session in the request's context, and what is changed of it is not saved; where it
	// could not be read, there is none. If nil, the answer is 503 where the
	// store did not answer, 409 where Merge was [Reject] and 500 otherwise.
	OnError func(http.ResponseWriter, *http.Request, error)

	// FailOpen lets requests go on when the store does not answer: with an empty
	// session that is never saved, or, if the store fails later, with the response
	// but without the change. Both are logged. The client keeps its token.
	FailOpen bool

	// Logger gets what goes wrong, and the events that the package comment lists. If nil,
	// what goes wrong is given to slog.Default(), as it is when New is called, and the
	// events to nobody. Sessions are logged by ID; no token, secret, owner or Data is.
	Logger *slog.Logger
}

// Manager keeps sessions that hold a T on a store. It is safe for concurrent use.
type Manager[T any] struct {
	opts   Options[T]
	store  tokensession.Store
	events *slog.Logger // nil: nobody wants them
	vary   []string     // the headers that tokens come in
	zero   []byte       // the encoding of a zero T
	flat   bool         // assigning a T copies all of it
	json   bool         // the codec is the default
}

// New makes a manager of sessions on a store, with the defaults if o is nil. It
// panics if the options cannot work or the codec cannot encode a T.
func New[T any](store tokensession.Store, o *Options[T]) *Manager[T] {
	if store == nil {
		panic("session: New: the store is nil")
	}
	if o == nil {
		o = new(Options[T])
	}
	m := &Manager[T]{opts: withDefaults(*o), store: store, events: o.Logger, flat: isFlat(reflect.TypeFor[T]())}
	m.vary = m.opts.Transport.vary()
	if err := m.check(); err != nil {
		panic("session: New: " + err.Error())
	}
	return m
}

func withDefaults[T any](o Options[T]) Options[T] {
	o.IdleTimeout = cmp.Or(o.IdleTimeout, 24*time.Hour)
	o.Lifetime = cmp.Or(o.Lifetime, 30*24*time.Hour)
	o.StoreTimeout = cmp.Or(o.StoreTimeout, 5*time.Second)
	o.MaxBytes = cmp.Or(o.MaxBytes, 512<<10)
	o.MinTokenLength = cmp.Or(o.MinTokenLength, minTokenLen)
	o.Logger = cmp.Or(o.Logger, slog.Default())
	if o.Transport == nil {
		o.Transport = Header(defaultHeader)
	}
	if o.Codec == nil {
		o.Codec = jsonCodec[T]{}
	}
	if o.OnError == nil {
		o.OnError = answerError
	}
	return o
}

const maxNameLen = 32

// check finds what cannot work, and encodes the zero T.
func (m *Manager[T]) check() error {
	o := &m.opts
	if len(o.Name) > maxNameLen {
		return fmt.Errorf("the Name has %d characters; accepted are up to %d", len(o.Name), maxNameLen)
	}
	for _, c := range []byte(o.Name) {
		if !isBase64URL(string(c)) && c != '.' {
			return fmt.Errorf("the Name %q has characters other than letters, digits, '-', '_' and '.'", o.Name)
		}
	}
	for _, d := range []struct {
		name string
		time.Duration
	}{{"IdleTimeout", o.IdleTimeout}, {"Lifetime", o.Lifetime}} {
		if d.Duration < 0 || d.Duration > tokensession.MaxTTL && d.Duration != tokensession.Forever {
			return fmt.Errorf("%s is %v; accepted are up to 100 years, and tokensession.Forever", d.name, d.Duration)
		}
	}
	switch {
	case o.StoreTimeout < 0:
		return fmt.Errorf("StoreTimeout is %v, which is negative", o.StoreTimeout)
	case o.MaxBytes < 0:
		return fmt.Errorf("MaxBytes is %d, which is negative", o.MaxBytes)
	case o.MinTokenLength < 1 || o.MinTokenLength > maxTokenLen:
		return fmt.Errorf("MinTokenLength is %d; accepted are 1 to %d", o.MinTokenLength, maxTokenLen)
	}
	return m.checkCodec()
}

func (m *Manager[T]) checkCodec() error {
	if _, m.json = m.opts.Codec.(jsonCodec[T]); m.json {
		if err := checkJSON(reflect.TypeFor[T]()); err != nil {
			return err
		}
	}
	zero, err := m.opts.Codec.Encode(new(T))
	if err != nil {
		return fmt.Errorf("the codec cannot encode a zero %v: %w", reflect.TypeFor[T](), err)
	}
	m.zero = zero
	if _, err := m.decode(zero); err != nil {
		return fmt.Errorf("the codec cannot decode a zero %v: %w", reflect.TypeFor[T](), err)
	}
	longest := header{created: maxMillis, epoch: math.MaxUint64}
	if least := len(longest.appendTo(nil)) + len(zero); m.opts.MaxBytes < least {
		return fmt.Errorf("MaxBytes is %d; an empty session alone may have %d", m.opts.MaxBytes, least)
	}
	return nil
}

// key is the context key under which the manager's session stands.
type key[T any] struct{ m *Manager[T] }

// Get returns the session of the request whose context this is, or the one that
// [Manager.NewContext] put there. In one request it is the same each time. Get
// panics where there is none, because the Handler is missing.
func (m *Manager[T]) Get(ctx context.Context) *Session[T] {
	s, ok := ctx.Value(key[T]{m}).(*Session[T])
	if !ok {
		panic("session: Get: there is no session in this context; wrap the handler with this manager's Handler")
	}
	s.s.use()
	return s
}

// NewContext returns a context in which Get finds s: for tests, gRPC and whatever
// else is not an HTTP request. Nothing saves s but its own methods.
func (m *Manager[T]) NewContext(ctx context.Context, s *Session[T]) context.Context {
	return context.WithValue(ctx, key[T]{m}, s)
}

// SetToken puts a token into a request the way the manager's Transport reads it,
// as a client would.
func (m *Manager[T]) SetToken(r *http.Request, token string) {
	m.opts.Transport.setToken(r, token)
}

// Start begins a session without HTTP. Save stores it; Token is what opens it.
func (m *Manager[T]) Start() *Session[T] {
	v := &visit[T]{}
	v.init(m)
	v.state.used.Store(true)
	v.state.setBegun()
	return &v.session
}

// Load returns the session that token opens, without HTTP. If there is none, it is
// [ErrInvalidToken]; any other error says that the store could not tell, or that
// the record cannot be decoded. Save, also of an unchanged session, keeps it from
// expiring.
func (m *Manager[T]) Load(ctx context.Context, token string) (*Session[T], error) {
	cred, ok := parseToken(m.opts.Name, token, m.opts.MinTokenLength)
	if !ok {
		m.rejected(ctx, &eventRejected, "", reasonMalformed)
		return nil, fmt.Errorf("session: load: %w", ErrInvalidToken)
	}
	v := &visit[T]{}
	v.init(m)
	err := v.state.load(ctx, cred)
	if err == nil {
		err = v.state.decode()
	}
	if errors.Is(err, ErrGone) {
		err = ErrInvalidToken
	}
	if err != nil {
		return nil, wrap("load", cred.id, err)
	}
	v.state.used.Store(true)
	return &v.session, nil
}

// stored is a record, taken apart.
type stored struct {
	header
	payload []byte
	owner   string
	version tokensession.Version
	ttl     time.Duration
	readAt  time.Time

	followed bool // it was read with a former token
}

// read fills st with the session that cred opens, and makes cred the present one where
// it is in the grace of a Renew. It is ErrGone if no live session answers to it, and errRecord or
// ErrCorrupt if what stands there cannot be read.
func (m *Manager[T]) read(ctx context.Context, cred *credential, now time.Time, st *stored) error {
	err := m.get(ctx, cred.id, now, st)
	if errors.Is(err, ErrGone) {
		m.rejected(ctx, &eventRejected, cred.id, reasonUnknown)
	}
	if err != nil {
		return err
	}
	followed, refused := st.open(m.opts.Name, cred, now)
	if refused != "" {
		m.rejected(ctx, &eventRejectedForLive, cred.id, refused)
		return ErrGone
	}
	st.followed = followed
	return m.accept(ctx, cred.id, st)
}

// get fills st with a session, for whoever has to show yet, or has shown before, that it
// is his.
func (m *Manager[T]) get(ctx context.Context, id string, now time.Time, st *stored) error {
	rec, err := m.store.Get(ctx, id)
	if errors.Is(err, tokensession.ErrNotFound) {
		return ErrGone
	}
	if err != nil {
		return err
	}
	st.header, st.payload, err = parseRecord(rec.Data)
	st.owner, st.version, st.ttl, st.readAt = rec.Owner, rec.Version, rec.TTL, now
	return err
}

// accept checks what get has read, and makes of the store's owner the application's.
func (m *Manager[T]) accept(ctx context.Context, id string, st *stored) error {
	if m.timeLeft(st.created, st.readAt) <= 0 {
		m.audit(ctx, &eventExpired, id, slog.Attr{})
		return ErrGone
	}
	owner, ok := m.unscoped(st.owner)
	if !ok {
		return fmt.Errorf("%w: its owner is another manager's", errRecord)
	}
	st.owner = owner
	return nil
}

// timeLeft is how long a session may live at most, used or not.
func (m *Manager[T]) timeLeft(created int64, now time.Time) time.Duration {
	if m.opts.Lifetime == tokensession.Forever {
		return tokensession.Forever
	}
	used := time.Duration(now.UnixNano() - created*int64(time.Millisecond))
	return m.opts.Lifetime - max(used, 0) // another machine's clock may be ahead
}

// ttl is how long a session lives from now if it is not used again.
func (m *Manager[T]) ttl(created int64, now time.Time) time.Duration {
	return min(m.opts.IdleTimeout, m.timeLeft(created, now))
}

// scoped is the owner as the store knows it: with the manager's Name, in which
// there is no colon. Nobody stays nobody.
func (m *Manager[T]) scoped(owner string) string {
	if owner == "" {
		return ""
	}
	return m.opts.Name + ":" + owner
}

func (m *Manager[T]) unscoped(owner string) (string, bool) {
	if owner == "" {
		return "", true
	}
	n := len(m.opts.Name)
	if len(owner) < n+2 || owner[:n] != m.opts.Name || owner[n] != ':' {
		return "", false
	}
	return owner[n+1:], true
}

func (m *Manager[T]) encode(v *T) ([]byte, error) {
	b, err := m.opts.Codec.Encode(v)
	if err != nil {
		return nil, &codecError{"encode", err}
	}
	return b, nil
}

// decode makes a T of its own from a payload.
func (m *Manager[T]) decode(payload []byte) (*T, error) {
	v := new(T)
	if err := m.opts.Codec.Decode(payload, v); err != nil {
		return nil, &codecError{"decode", err}
	}
	return v, nil
}

// clone copies a value so that nothing is shared.
func (m *Manager[T]) clone(v *T) (*T, error) {
	if m.flat {
		c := *v
		return &c, nil
	}
	b, err := m.encode(v)
	if err != nil {
		return nil, err
	}
	return m.decode(b)
}

// wrap says what was tried on which session; it leaves nil as it is.
func wrap(op, id string, err error) error {
	if err == nil {
		return nil
	}
	if id == "" {
		return fmt.Errorf("session: %s: %w", op, err)
	}
	return fmt.Errorf("session: %s %s…: %w", op, id[:min(8, len(id))], err)
}
