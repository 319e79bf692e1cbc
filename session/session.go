package session

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// Session is one client's session. Its methods may be called by several goroutines;
// Data is theirs to share out, except within Update. Whatever prints a Session, fmt or
// slog, prints its ID and nothing else, as does encoding/json, which slog.JSONHandler uses
// for what a Session is part of: to encode what it holds, encode Data.
//
// Save, Update, Renew, Reset, ResetToken and Destroy go on when the context is
// cancelled, because the client's hanging up must not leave work half done; each
// ends after StoreTimeout, and one waits for the other. Whatever they return other than
// the errors they name means that the store did not answer: what was asked may have
// happened or not. Save of a new session, tried again after that, begins the session again,
// even where another request has ended it meanwhile.
//
// A copy of a Session is none: what is changed in its Data nobody saves.
type Session[T any] struct {
	// Data is the application's. It is saved before the first byte of the response
	// if it changed, and again after the handler if it changed later.
	//
	// Where two requests change it at the same time, the later save merges: fields
	// and map entries that one of them changed are kept from both (see
	// Options.Merge). A field that both set has the later value. So a counter, or an
	// append to a slice, needs [Session.Update], which no concurrent request undoes;
	// and fields that only make sense together belong in one nested struct.
	//
	// A save that merges, and every Update, puts a new value here: do not hold on to
	// a map or a slice of the old one, or to what the codec leaves out.
	Data T

	handle[T]
}

// handle makes fmt, slog and encoding/json print the ID of a session, or of a copy of one,
// without touching Data, which Update may be changing in another goroutine.
type handle[T any] struct{ s *state[T] }

// Format writes the ID, whatever the verb.
func (h handle[T]) Format(f fmt.State, _ rune) { io.WriteString(f, h.name()) }

// LogValue is the ID.
func (h handle[T]) LogValue() slog.Value { return slog.StringValue(h.name()) }

// MarshalJSON writes the ID.
func (h handle[T]) MarshalJSON() ([]byte, error) { return json.Marshal(h.name()) }

func (h handle[T]) name() string {
	if h.s == nil {
		return ""
	}
	return h.s.session.ID()
}

// ID is the public name of the session: random, the same for as long as the session
// lives, of no use to whoever does not know the secret too. It is fit for logs. Reset
// and ResetToken begin another session, with another ID.
func (s *Session[T]) ID() string {
	s.s.mu.Lock()
	defer s.s.mu.Unlock()
	return s.s.credential().id
}

// Token is what the client sends to open this session: a secret. It begins a new
// session, which then is stored even if Data stays empty. Where the session was loaded
// with a former token, in the grace of a Renew, it is the new one. It is "" where the
// session is over, or new after the header of the response was sent, or where others
// renewed it so long ago or so often that the token this one was loaded with is dead.
func (s *Session[T]) Token() string {
	s.s.mu.Lock()
	defer s.s.mu.Unlock()
	s.s.asked.Store(true) // before the look at settling, so that either sees the other
	tooLate := s.s.headerSent() || s.s.settling.Load() && !s.s.begun
	if s.s.over != nil || !s.s.stored && tooLate {
		return ""
	}
	s.s.setBegun()
	return s.s.credential().token
}

// IsNew reports whether the session is not in the store yet.
func (s *Session[T]) IsNew() bool {
	s.s.mu.Lock()
	defer s.s.mu.Unlock()
	return !s.s.stored
}

// Owner is whose session it is, "" if nobody's.
func (s *Session[T]) Owner() string {
	s.s.mu.Lock()
	defer s.s.mu.Unlock()
	return s.s.owner
}

// SetOwner makes the session that user's, with the next save; "" makes it nobody's.
// An owner is valid UTF-8 without NUL, of up to 256 bytes less the manager's Name
// and one more; the save refuses another with [tokensession.ErrInvalidOwner].
//
// At a login call Reset first. A request that changes the owner saves its Data whole,
// without merging, and Update runs its function on that; requests that run at the same
// time and loaded the session before get ErrGone.
func (s *Session[T]) SetOwner(owner string) {
	s.s.mu.Lock()
	defer s.s.mu.Unlock()
	s.s.owner, s.s.ownerSet = owner, owner != s.s.storedOwner
	s.s.asked.Store(true)
}

// Save stores the session now: a new one in any case, another if it changed.
// Otherwise it lets it live on, as Touch does, if an eighth of IdleTimeout has gone
// by. In a request there is seldom need for it, since the end of the handler saves.
//
// It is ErrGone if the session is over, ErrHeaderSent if it is new and its token
// cannot be sent any more, [tokensession.ErrTooLarge] beyond MaxBytes, and what
// Merge returns.
func (s *Session[T]) Save(ctx context.Context) error {
	return s.s.exclusive(ctx, "save", func(ctx context.Context) error {
		s.s.begin()
		written, err := s.s.put(ctx, change[T]{})
		if err != nil || written || !s.s.touchDue(time.Now()) {
			return err
		}
		return s.s.touch(ctx)
	})
}

// Update changes Data by fn and stores it, together with what else was changed. If
// another request was faster, fn runs again on what that one stored, until it lands,
// changes nothing there or returns an error: so counters count and appends append. fn
// gets a copy of Data and does nothing but change it: methods of the session that use the
// store, and writing to the response, which saves the session, would wait for it for ever.
// If it returns an error, Update returns that, and nothing is stored.
//
// The other errors are Save's.
func (s *Session[T]) Update(ctx context.Context, fn func(*T) error) error {
	return s.s.exclusive(ctx, "update", func(ctx context.Context) error {
		_, err := s.s.put(ctx, change[T]{apply: fn})
		return err
	})
}

// Reload replaces Data and Owner by what is stored and forgets changes that were
// not saved. It is ErrGone if the session is over. The Data of a new session becomes
// empty.
func (s *Session[T]) Reload(ctx context.Context) error {
	st := s.s
	st.op.Lock()
	defer st.op.Unlock()
	return wrap("reload", st.id(), st.reload(ctx))
}

// Touch lets the session live for another IdleTimeout, though not beyond its
// Lifetime. Requests do that by themselves when an eighth of it has gone by. A new
// session it leaves alone. It is ErrGone if the session is over.
func (s *Session[T]) Touch(ctx context.Context) error {
	st := s.s
	st.op.Lock()
	defer st.op.Unlock()
	if st.over != nil || !st.stored {
		return wrap("touch", st.id(), st.over)
	}
	var d deadline
	d.start(ctx, time.Now(), st.m.opts.StoreTimeout)
	defer d.release()
	return wrap("touch", st.id(), st.touch(&d))
}

// Reset is for a login: it ends this session and begins another, empty one with a
// new ID and token, so that a token that somebody planted or knew before opens
// nothing. If the old session cannot be deleted, nothing changes. It is
// ErrHeaderSent where the new token could not be sent.
func (s *Session[T]) Reset(ctx context.Context) error {
	return s.s.exclusive(ctx, "reset", func(ctx context.Context) error {
		if s.s.headerSent() {
			return ErrHeaderSent
		}
		if err := s.s.deleteStored(ctx); err != nil {
			return err
		}
		s.s.restart(newCredential(s.s.m.opts.Name))
		s.s.begin()
		return nil
	})
}

// ResetToken is Reset with a token of the application's choosing, and stores the
// new session at once. The token has 32 to 128 characters (see MinTokenLength) of
// visible ASCII that the Transport can carry, in another shape than the manager's
// own; anything else is ErrInvalidToken. If a session has it already, it is
// [tokensession.ErrExists]. After any error the old session is as it was; if the store
// did not answer, the token may be taken by the new one, and trying it again in this
// request goes on with that. Where a token is given out again after its session has
// ended, a request of that session which is still under way can end the new one.
func (s *Session[T]) ResetToken(ctx context.Context, token string) error {
	return s.s.exclusive(ctx, "reset token", func(ctx context.Context) error {
		return s.s.resetToken(ctx, token)
	})
}

// Renew gives the session a new token; its ID stays. What else was changed is stored with
// it. A new session is only stored: nobody knows its token. It is ErrHeaderSent where the
// new token could not be sent.
//
// With a grace of 0 every former token is dead at once, and requests that came with one
// and are not done get ErrGone when they save, though their Destroy and Reset still end the
// session. It is meant for a change of privileges within a session.
//
// With a grace, of up to 5 minutes, the former token opens the session for so long yet.
// Whoever comes with it, also because the answer was lost, is given the new one, always the
// same; if he calls Renew with a grace himself, that is all it does. So renewals in parallel
// end with one token, nobody is logged out, and no write is lost. It is meant for changing
// tokens regularly. Nothing makes a grace longer. Of former tokens the last 8 are kept. The
// price is that a stolen token, too, is exchanged for the new one within its grace; Renew
// with a grace of 0, Reset and Destroy end it. Take a grace that is longer than the slowest
// request, because a response carries the token that it knew of last.
func (s *Session[T]) Renew(ctx context.Context, grace time.Duration) error {
	return s.s.exclusive(ctx, "renew", func(ctx context.Context) error {
		if grace < 0 || grace > maxGrace {
			return fmt.Errorf("a grace of %v; accepted are 0 to %v", grace, maxGrace)
		}
		if s.s.headerSent() {
			return ErrHeaderSent
		}
		s.s.begin()
		_, err := s.s.put(ctx, change[T]{renew: s.s.stored, grace: grace})
		if err == nil {
			s.s.followed = false
		}
		return err
	})
}

// Destroy ends the session, for every request that has it: a save that comes later,
// here or elsewhere, is ErrGone and brings nothing back. Data becomes empty. If the
// response is not on its way, it tells the client to forget the token. On an error
// the session is as it was.
func (s *Session[T]) Destroy(ctx context.Context) error {
	return s.s.exclusive(ctx, "destroy", func(ctx context.Context) error {
		if err := s.s.deleteStored(ctx); err != nil {
			return err
		}
		s.s.destroyed()
		return nil
	})
}
