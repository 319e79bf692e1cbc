package session

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"slices"
	"time"
)

const (
	maxGrace   = 5 * time.Minute
	maxFormers = 8
	nonceBytes = 16
)

// former is a token that was renewed with a grace. Whoever has its secret makes the
// next one of that and the nonce, so that all who come with the one are given the same
// other, and the store need not know either.
type former struct {
	end    int64 // Unix time in milliseconds, from when on it opens nothing
	secret digest
	nonce  [nonceBytes]byte
}

// open makes cred the credential that opens the session now, and reports whether it
// was a former one. If it is neither that nor, at now, one in its grace, refused says why.
func (h *header) open(name string, cred *credential, now time.Time) (followed bool, refused string) {
	i := h.find(&cred.secret)
	switch {
	case i < 0:
		return false, reasonSecret
	case i == len(h.formers):
		return false, ""
	case now.UnixMilli() >= h.formers[i].end:
		return false, reasonFormer
	}
	for ; i < len(h.formers); i++ {
		*cred = cred.successor(name, &h.formers[i].nonce)
	}
	return true, ""
}

// find returns which of the former secrets it is, their number if it is the present
// one, or -1. How long it takes does not depend on which it is.
func (h *header) find(secret *digest) int {
	found := subtle.ConstantTimeSelect(h.secret.compare(secret), len(h.formers), -1)
	for i := range h.formers {
		found = subtle.ConstantTimeSelect(h.formers[i].secret.compare(secret), i, found)
	}
	return found
}

// renew makes the header that of the session with a new token, and returns that.
func (h *header) renew(name string, cred *credential, grace time.Duration, now time.Time) credential {
	f := former{end: now.Add(grace).UnixMilli(), secret: h.secret}
	rand.Read(f.nonce[:]) // never fails
	next := cred.successor(name, &f.nonce)
	h.formers = append(slices.Clone(h.formers[max(0, len(h.formers)-maxFormers+1):]), f)
	h.secret = next.secret
	return next
}

// prune drops what no living token needs. One that is dead stays while an older one
// lives, whose way to the present token it is part of.
func (h *header) prune(now time.Time) {
	for len(h.formers) > 0 && now.UnixMilli() >= h.formers[0].end {
		h.formers = h.formers[1:]
	}
}

// successor is the credential that a renewal of this one with a grace has made.
func (c *credential) successor(name string, nonce *[nonceBytes]byte) credential {
	mac := hmac.New(sha256.New, []byte(c.text()))
	mac.Write([]byte("renewed\x00" + name + "\x00" + c.id + "\x00"))
	mac.Write(nonce[:])
	return serverCredential(name, c.id, mac.Sum(nil))
}
