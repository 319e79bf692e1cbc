package session

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
)

// A token that the manager makes is ID "." SECRET, both random and in base64url
// without padding: the id is public and the store's key, the secret is known to the
// client alone. A token of the application's choosing has any other shape.
const (
	idBytes     = 18 // 144 bits
	secretBytes = 32 // 256 bits

	idLen     = idBytes * 8 / 6         // 24 characters
	secretLen = (secretBytes*8 + 5) / 6 // 43 characters
	tokenLen  = idLen + 1 + secretLen

	minTokenLen = 32 // of an application's token, unless Options.MinTokenLength is set
	maxTokenLen = 128
)

var base64url = base64.RawURLEncoding

// digest is the SHA-256 that a record holds in place of the secret.
type digest [sha256.Size]byte

// compare returns 1 if they are equal, else 0.
func (d *digest) compare(other *digest) int {
	return subtle.ConstantTimeCompare(d[:], other[:])
}

// credential is a token taken apart.
type credential struct {
	token  string
	id     string
	secret digest
}

// hash separates its three parts by NUL, which stands in none of them.
func hash(purpose, name, text string) digest {
	var buf [256]byte
	b := append(buf[:0], purpose...)
	b = append(b, 0)
	b = append(b, name...)
	b = append(b, 0)
	b = append(b, text...)
	return sha256.Sum256(b)
}

// newCredential makes a new id and secret.
func newCredential(name string) credential {
	var id [idBytes]byte
	rand.Read(id[:]) // never fails
	return renewed(name, base64url.EncodeToString(id[:]))
}

// renewed makes a new secret for an id.
func renewed(name, id string) credential {
	var random [secretBytes]byte
	rand.Read(random[:])
	return serverCredential(name, id, random[:])
}

func serverCredential(name, id string, secret []byte) credential {
	text := base64url.EncodeToString(secret)
	return credential{token: id + "." + text, id: id, secret: hash("secret", name, text)}
}

// text is what only those who have the token know.
func (c *credential) text() string {
	if isServerToken(c.token) {
		return c.token[idLen+1:]
	}
	return c.token
}

// parseToken takes apart what a client sent. It reports false if no manager with
// these options can have given it away.
func parseToken(name, token string, minLen int) (credential, bool) {
	if isServerToken(token) {
		return credential{
			token:  token,
			id:     token[:idLen],
			secret: hash("secret", name, token[idLen+1:]),
		}, true
	}
	if checkAppToken(token, minLen) != nil {
		return credential{}, false
	}
	return appCredential(name, token), true
}

// appCredential derives id and secret from a token of the application's choosing.
func appCredential(name, token string) credential {
	id := hash("application id", name, token)
	return credential{
		token:  token,
		id:     base64url.EncodeToString(id[:idBytes]),
		secret: hash("application secret", name, token),
	}
}

// checkAppToken says what is wrong with an application's token, without showing it.
func checkAppToken(token string, minLen int) error {
	if len(token) < minLen || len(token) > maxTokenLen {
		return fmt.Errorf("%w: %d characters; accepted are %d to %d", ErrInvalidToken, len(token), minLen, maxTokenLen)
	}
	for i := range len(token) {
		if token[i] < 0x21 || token[i] > 0x7E {
			return fmt.Errorf("%w: byte %#02x at %d; accepted are 0x21 to 0x7e (visible ASCII)", ErrInvalidToken, token[i], i)
		}
	}
	if isServerToken(token) {
		return fmt.Errorf("%w: it has the shape of the manager's own, %d characters of base64url, a dot and %d more",
			ErrInvalidToken, idLen, secretLen)
	}
	return nil
}

func isServerToken(token string) bool {
	return len(token) == tokenLen && token[idLen] == '.' &&
		isBase64URL(token[:idLen]) && isBase64URL(token[idLen+1:])
}

func isBase64URL(s string) bool {
	for i := range len(s) {
		if !base64urlBytes[s[i]] {
			return false
		}
	}
	return true
}

// base64urlBytes has no branch for the random characters of a token to mispredict.
var base64urlBytes = func() (is [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") {
		is[c] = true
	}
	return is
}()
