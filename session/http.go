package session

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tokensession/tokensession"
)

// visit is one request's dealing with its session. All of it is one allocation.
type visit[T any] struct {
	writer
	context  requestContext[T]
	session  Session[T]
	state    state[T]
	m        *Manager[T]
	r        *http.Request
	via      Transport // how the answer goes back
	cookies  []string  // the Set-Cookie headers that stay when the response is replaced
	err      error     // why the response was replaced
	sent     atomic.Bool
	carried  bool // the request had a token
	answered bool // OnError has returned
	returned bool // the handler has
	done     bool // nothing has panicked
}

func (v *visit[T]) init(m *Manager[T]) {
	v.m = m
	v.session.s = &v.state
	v.state.m = m
	v.state.session = &v.session
	v.state.base = m.zero
	v.state.readAt = time.Now()
	v.state.created = v.state.readAt.UnixMilli()
}

// Handler gives each request to next with its session, and saves the session before
// the first byte of the response and again after next. The session is read before
// next runs, if the request has a token; a request without one costs no store a
// thing until something is saved. A panic that leaves next saves nothing. A Handler
// of the same manager inside another does nothing.
//
// The package comment says how a response, and other middleware, go together with it.
// A hijacked connection gets no header from here: whoever hijacks with a new session
// writes w.Header, which has the token by then, or sends the Token in another way.
//
// A response that carries a token has "Cache-Control: no-store", and none of the fields
// that tell single caches otherwise, such as CDN-Cache-Control; one for which Get was
// called has a Vary of the request headers that the token comes in.
func (m *Manager[T]) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Context().Value(key[T]{m}) != nil {
			next.ServeHTTP(w, r)
			return
		}
		v := &visit[T]{r: r, cookies: slices.Clone(w.Header()["Set-Cookie"])}
		v.init(m)
		v.state.visit = v
		v.writer = writer{ResponseWriter: w, commit: v}
		if !v.enter() {
			return
		}
		v.context = requestContext[T]{r.Context(), &v.session}
		defer v.abandon()
		next.ServeHTTP(v.writer.offer(), r.WithContext(&v.context))
		v.leave()
		v.done = true
	})
}

// requestContext is what NewContext returns, as part of a visit.
type requestContext[T any] struct {
	context.Context
	session *Session[T]
}

func (c *requestContext[T]) Value(k any) any {
	switch k {
	case any(key[T]{c.session.s.m}):
		return c.session
	case any(outsideKey{}):
		return c.session.s.visit
	}
	return c.Context.Value(k)
}

// enter finds the request's session. It reports false if it has answered the
// request already.
func (v *visit[T]) enter() bool {
	token, via := v.m.opts.Transport.token(v.r)
	v.via, v.carried = via, token != ""
	if !v.carried {
		return true
	}
	if err := via.check(v.r); err != nil {
		v.m.opts.Logger.Warn("session: a request from another origin was refused", "error", err)
		http.Error(v.ResponseWriter, http.StatusText(http.StatusForbidden), http.StatusForbidden)
		return false
	}
	cred, ok := parseToken(v.m.opts.Name, token, v.m.opts.MinTokenLength)
	if !ok {
		v.m.rejected(v.r.Context(), &eventRejected, "", reasonMalformed)
		return true
	}
	err := v.state.load(v.r.Context(), cred)
	switch {
	case err == nil, errors.Is(err, ErrGone):
		return true
	case errors.Is(err, errRecord), errors.Is(err, tokensession.ErrCorrupt):
		v.m.opts.Logger.Error("session: a record cannot be read; the client gets a new session",
			"session", cred.id, "error", err)
		return true
	}
	err = wrap("load", cred.id, err)
	if v.m.opts.FailOpen {
		v.m.opts.Logger.Error("session: the store does not answer; the request goes on without a session", "error", err)
		v.state.end(err)
		return true
	}
	v.fail(err)
	return false
}

// leave does what is left to do when the handler has returned.
func (v *visit[T]) leave() {
	v.returned = true
	if !v.sent.Load() {
		v.save()
		return
	}
	if v.err != nil {
		return
	}
	v.state.op.Lock()
	defer v.state.op.Unlock()
	if err := v.autosave(); err != nil {
		v.m.opts.Logger.Error("session: a change made after the header was sent is not saved", "error", err)
	}
}

// abandon does what is left to do when the handler has panicked. A middleware outside
// may answer the request yet: if the handler had renewed or ended the session, the client
// has to know. If OnError has given the response, what the handler aborts is not that one.
func (v *visit[T]) abandon() {
	switch {
	case v.done:
	case !v.sent.Load():
		v.state.mu.Lock()
		defer v.state.mu.Unlock()
		v.addVary(v.Header())
		v.tell(v.Header())
		v.sent.Store(true) // what a goroutine of the handler renews now, nobody would be told
	case v.answered:
		if p := recover(); p != nil && p != http.ErrAbortHandler {
			panic(p)
		}
	}
}

// save stores the session and puts into the header what the client is to know. It
// runs once, before the header goes out; an error says that another response has
// gone out instead.
func (v *visit[T]) save() error {
	if v.sent.Load() {
		return v.err
	}
	h := v.Header()
	v.err = v.settle(h)
	v.addVary(h)
	if v.err != nil {
		v.fail(v.err)
	}
	return v.err
}

// addVary says that the response depends on the token, if the handler looked at what it opens.
func (v *visit[T]) addVary(h http.Header) {
	if v.state.used.Load() {
		for _, name := range v.m.vary {
			addVary(h, name)
		}
	}
}

// settle stores the session and puts its token into the header. While it does, no
// other goroutine of the handler can begin a session whose token would come too late.
func (v *visit[T]) settle(h http.Header) error {
	s := &v.state
	s.op.Lock()
	defer s.op.Unlock()
	s.settling.Store(true) // a Token that is asked for now may come too late
	err := v.autosave()
	if err != nil {
		v.takeBack(h)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v.sent.Store(true)
	v.tell(h)
	return err
}

// tell puts into the header what the client has to know of its token. The caller
// holds mu.
func (v *visit[T]) tell(h http.Header) {
	s := &v.state
	others := len(h["Set-Cookie"])
	switch {
	case s.sendToken && s.cred.token != "":
		v.via.answer(h, s.cred.token, s.m.timeLeft(s.created, time.Now()))
	case s.clearToken && v.carried: // else it could be a newer login's that is deleted
		v.via.clear(h)
	default:
		return
	}
	forbidStoring(h)
	v.state.told = true
	v.keepOutside(h["Set-Cookie"][others:])
}

// keepOutside lets cookies stay where a manager outside of this one replaces the response:
// what they say is in force.
func (v *visit[T]) keepOutside(cookies []string) {
	if outside, ok := v.r.Context().Value(outsideKey{}).(interface{ keep(cookies []string) }); ok {
		outside.keep(cookies)
	}
}

// keep adds to the cookies that stay when the response is replaced.
func (v *visit[T]) keep(cookies []string) {
	v.cookies = append(v.cookies, cookies...)
	v.state.told = true
	v.keepOutside(cookies)
}

// outsideKey is the context key of the innermost visit, whatever its manager.
type outsideKey struct{}

// autosave stores what changed. An error is one that the client has to know of. The
// caller holds op.
func (v *visit[T]) autosave() error {
	s := &v.state
	if s.over != nil {
		return nil
	}
	var w *write[T]
	var err error
	if s.used.Load() {
		w, err = s.prepare(v.r.Context(), change[T]{})
	}
	switch {
	case err != nil:
	case w != nil:
		err = s.detached(v.r.Context(), func(ctx context.Context) error { return s.land(ctx, change[T]{}, w) })
	default:
		v.liveOn()
	}
	if err == nil {
		return nil
	}
	err = wrap("save", s.id(), err)
	switch {
	case errors.Is(err, ErrGone):
		// Somebody logged out meanwhile. That is no fault, and must not undo it.
		v.m.opts.Logger.Info("session: a change is not saved", "error", err)
		return nil
	case v.m.opts.FailOpen && statusOf(err) == http.StatusServiceUnavailable:
		v.m.opts.Logger.Error("session: the store does not answer; the response goes out, the change is lost", "error", err)
		return nil
	}
	return err
}

// liveOn does what a session needs of which nothing is to be stored. Before the header goes
// out, no clock is looked at: few handlers take long until then, and there is a second look.
func (v *visit[T]) liveOn() {
	s := &v.state
	if s.unconfirmed && !v.sent.Load() {
		v.confirm()
	}
	now := s.readAt
	if v.returned {
		now = now.Add(time.Since(now)) // which costs half of time.Now
	}
	if s.over == nil && !s.silent && s.touchDue(now) {
		v.touch()
	}
}

// touch renews the idle timeout. It loses nothing if it fails: the next request tries
// again, and there is most of the timeout left for it. So that is no reason to refuse
// this one. What cannot be decoded is not kept alive by requests that do not look at it.
func (v *visit[T]) touch() {
	if !v.state.used.Load() {
		if _, err := v.m.decode(v.state.base); err != nil {
			v.state.silent = true
			v.m.opts.Logger.Error("session: a record cannot be decoded; it is left to expire",
				"session", v.state.id(), "error", err)
			return
		}
	}
	err := v.state.detached(v.r.Context(), v.state.touch)
	if err != nil && !errors.Is(err, ErrGone) {
		v.state.silent = true
		v.m.opts.Logger.Warn("session: the idle timeout is not renewed", "error", wrap("touch", v.state.id(), err))
	}
}

// confirm keeps the token of a session that has ended meanwhile from overwriting that of
// a newer login. If the store does not answer, the token is sent: for all that is known
// it is the right one.
func (v *visit[T]) confirm() {
	err := v.state.detached(v.r.Context(), v.state.confirm)
	if err != nil && !errors.Is(err, ErrGone) {
		v.state.silent = true
		v.m.opts.Logger.Warn("session: the new token is sent as it was known", "error", wrap("confirm", v.state.id(), err))
	}
}

// fail answers the request with an error in place of the handler's response.
func (v *visit[T]) fail(err error) {
	if v.r.Context().Err() != nil && errors.Is(err, context.Canceled) {
		v.m.opts.Logger.Debug("session: the client hung up", "error", err)
	} else {
		v.m.opts.Logger.Error("session: the request is answered with an error", "error", err)
	}
	r := v.r
	if v.context.Context != nil {
		r = r.WithContext(&v.context)
	}
	w := v.ResponseWriter
	if v.state.told {
		w = private{w}
		defer forbidStoring(w.Header()) // where OnError has written nothing
	}
	v.m.opts.OnError(w, r, err)
	v.answered = true
}

// takeBack removes the headers that belong to a response which does not go out, but for
// the cookies that stay.
func (v *visit[T]) takeBack(h http.Header) {
	for name := range h {
		if describesContent(name) || targetsCaches(name) {
			delete(h, name)
		}
	}
	delete(h, "Set-Cookie")
	if len(v.cookies) > 0 {
		h["Set-Cookie"] = v.cookies
	}
}

// describesContent reports whether a header is about the content of a response that
// now does not go out. A Content-Security-Policy is about every response.
func describesContent(name string) bool {
	switch name {
	case "Accept-Ranges", "Etag", "Last-Modified", "Location", "Refresh", "Cache-Control", "Expires", "Age":
		return true
	}
	return strings.HasPrefix(name, "Content-") && !strings.HasPrefix(name, "Content-Security-")
}

// statusOf is how the default OnError answers.
func statusOf(err error) int {
	if errors.Is(err, tokensession.ErrConflict) {
		return http.StatusConflict
	}
	for _, ours := range []error{
		ErrHeaderSent, errRecord, tokensession.ErrCorrupt,
		tokensession.ErrTooLarge, tokensession.ErrInvalidOwner, tokensession.ErrInvalidTTL,
	} {
		if errors.Is(err, ours) {
			return http.StatusInternalServerError
		}
	}
	if errors.As(err, new(*codecError)) || errors.As(err, new(mergeError)) {
		return http.StatusInternalServerError
	}
	return http.StatusServiceUnavailable
}

func answerError(w http.ResponseWriter, _ *http.Request, err error) {
	status := statusOf(err)
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, http.StatusText(status), status)
}

// forbidStoring keeps a response with a token out of every cache, those included that
// a field of their own tells what to do (RFC 9213).
func forbidStoring(h http.Header) {
	if !lists(h["Cache-Control"], "no-store") {
		h.Set("Cache-Control", "no-store")
	}
	for name := range h {
		if targetsCaches(name) {
			delete(h, name)
		}
	}
}

// targetsCaches reports whether a header tells some caches what to do in place of
// Cache-Control.
func targetsCaches(name string) bool {
	switch name {
	case "Surrogate-Control", "Edge-Control", "X-Accel-Expires":
		return true
	}
	return strings.HasSuffix(name, "-Cache-Control")
}

func addVary(h http.Header, name string) {
	if vary := h["Vary"]; !lists(vary, name) && !lists(vary, "*") {
		h["Vary"] = append(vary, name)
	}
}

// lists reports whether the lines of a header that is a comma-separated list have the member.
func lists(lines []string, member string) bool {
	for _, line := range lines {
		for field := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(field), member) {
				return true
			}
		}
	}
	return false
}
