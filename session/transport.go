package session

import (
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"time"
)

// Transport is how a token comes with a request and goes out with a response:
// [Header], [Bearer], [Cookie], or the [First] of several.
type Transport interface {
	// token returns the token that r carries, and the transport that carried it;
	// "" if there is none.
	token(r *http.Request) (string, Transport)

	// setToken puts a token into a request, as a client does.
	setToken(r *http.Request, token string)

	// answer puts a token into a response, as good for maxAge.
	answer(h http.Header, token string, maxAge time.Duration)

	// clear tells the client to forget its token.
	clear(h http.Header)

	// check refuses a request with a token that the client's user may not have
	// meant to send.
	check(r *http.Request) error

	// carries reports whether an application's token can be sent unaltered.
	carries(token string) bool

	// vary names the request headers that the token is read from.
	vary() []string
}

// defaultHeader is what Header and Bearer answer in by default.
const defaultHeader = "X-Auth-Token"

// Header carries the token in a header of that name, in requests and in responses.
// The response that ends a session with Destroy has the header, empty. Browser code
// of another origin can read it only if the application names it in
// Access-Control-Expose-Headers. Header panics if name is not a field name by RFC
// 9110, section 5.1.
func Header(name string) Transport {
	if !isToken(name) {
		panic(fmt.Sprintf("session: Header: %q is not a header field name", name))
	}
	return &headerTransport{http.CanonicalHeaderKey(name)}
}

type headerTransport struct{ name string }

func (t *headerTransport) token(r *http.Request) (string, Transport) { return r.Header.Get(t.name), t }
func (t *headerTransport) setToken(r *http.Request, token string)    { r.Header.Set(t.name, token) }
func (t *headerTransport) clear(h http.Header)                       { h.Set(t.name, "") }
func (t *headerTransport) check(*http.Request) error                 { return nil }
func (t *headerTransport) carries(string) bool                       { return true }
func (t *headerTransport) vary() []string                            { return []string{t.name} }

func (t *headerTransport) answer(h http.Header, token string, _ time.Duration) { h.Set(t.name, token) }

// Bearer reads the token from "Authorization: Bearer …" (RFC 6750, section 2.1). No
// header is standard for the answer, so that is X-Auth-Token, as with
// Header("X-Auth-Token").
func Bearer() Transport { return &bearer{headerTransport{defaultHeader}} }

type bearer struct{ headerTransport }

func (t *bearer) token(r *http.Request) (string, Transport) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", t
	}
	return strings.TrimLeft(token, " "), t
}

func (t *bearer) setToken(r *http.Request, token string) {
	r.Header.Set("Authorization", "Bearer "+token)
}

func (t *bearer) vary() []string { return []string{"Authorization"} }

// CookieOptions are the attributes of the session cookie, as RFC 6265 has them. It
// is always HttpOnly. The zero value is the safest.
type CookieOptions struct {
	// Name is the cookie's name; "" is "__Host-session". The prefixes __Host-,
	// __Secure-, __Host-Http- and __Http- are promises that browsers hold the
	// cookie to: without TLS, or with a Domain or Path, another name is needed.
	Name string

	// Domain and Path widen or narrow where the client sends it. "" is this host
	// only, and "/".
	Domain, Path string

	// SameSite, if zero, is Lax.
	SameSite http.SameSite

	// Partitioned keeps a cookie apart for each site that embeds this one.
	Partitioned bool

	// Insecure leaves out Secure, so that the cookie also travels without TLS.
	Insecure bool

	// TrustedOrigins, such as "https://example.com", may send unsafe requests with
	// the cookie. From every other origin they are refused with 403, see
	// [http.CrossOriginProtection].
	TrustedOrigins []string
}

// maxCookieAge is the longest Max-Age that browsers keep to (RFC 6265bis, section
// 5.5).
const maxCookieAge = 400 * 24 * time.Hour

// maxCookieLen is how long name and value may be together (RFC 6265bis, section 5.6).
const maxCookieLen = 4096

// Cookie carries the token in a cookie. Its Max-Age is what is left of the session's
// Lifetime, and at most the 400 days that browsers keep one. It is sent with a token only,
// so where Lifetime is longer, or [tokensession.Forever], users log in again after 400
// days, however active they are, unless Renew gives them a new token before. A request that
// is not GET, HEAD or OPTIONS, comes from another origin and carries the cookie is answered
// with 403, unless the origin is trusted. One without the cookie is not: a form to log in
// is better put behind an [http.CrossOriginProtection] as well. Cookie panics if browsers
// would refuse the cookie, or an origin is malformed.
func Cookie(o CookieOptions) Transport {
	t := &cookie{
		attributes: http.Cookie{
			Name: o.Name, Domain: o.Domain, Path: o.Path,
			SameSite: o.SameSite, Partitioned: o.Partitioned, Secure: !o.Insecure, HttpOnly: true,
		},
		protection: http.NewCrossOriginProtection(),
	}
	if t.attributes.Name == "" {
		t.attributes.Name = "__Host-session"
	}
	if t.attributes.Path == "" {
		t.attributes.Path = "/"
	}
	if t.attributes.SameSite == 0 || t.attributes.SameSite == http.SameSiteDefaultMode {
		t.attributes.SameSite = http.SameSiteLaxMode
	}
	if err := checkCookie(t.attributes); err != nil {
		panic("session: Cookie: " + err.Error())
	}
	for _, origin := range o.TrustedOrigins {
		if err := t.protection.AddTrustedOrigin(origin); err != nil {
			panic("session: Cookie: " + err.Error())
		}
	}
	return t
}

// checkCookie finds what a browser would refuse. It compares prefixes without
// regard to case, as browsers do (RFC 6265bis, section 5.7).
func checkCookie(c http.Cookie) error {
	c.Value = "x"
	if err := c.Valid(); err != nil {
		return err
	}
	name := strings.ToLower(c.Name)
	host := strings.HasPrefix(name, "__host-")
	secure := host || strings.HasPrefix(name, "__secure-") || strings.HasPrefix(name, "__http-")
	switch {
	case secure && !c.Secure:
		return fmt.Errorf("the prefix of the name %q needs a Secure cookie; without TLS, set another Name", c.Name)
	case host && c.Domain != "":
		return fmt.Errorf("the prefix of the name %q allows no Domain; set another Name, such as __Secure-session", c.Name)
	case host && c.Path != "/":
		return fmt.Errorf("the prefix of the name %q allows no Path but /; set another Name, such as __Secure-session", c.Name)
	case len(c.Name)+maxTokenLen > maxCookieLen:
		return fmt.Errorf("the name has %d bytes; accepted are up to %d", len(c.Name), maxCookieLen-maxTokenLen)
	case c.SameSite == http.SameSiteNoneMode && !c.Secure:
		return errors.New("a cookie with SameSite=None needs to be Secure")
	case c.Partitioned && !c.Secure:
		return errors.New("a Partitioned cookie needs to be Secure")
	}
	return nil
}

type cookie struct {
	attributes http.Cookie
	protection *http.CrossOriginProtection
}

// token is r.Cookie without the allocations. Who asks checks each byte of the token.
// Of the name only ASCII space is trimmed: with other space before it, browsers do not
// hold it to the promise of its prefix, and another host could have set it.
func (t *cookie) token(r *http.Request) (string, Transport) {
	for _, rest := range r.Header["Cookie"] {
		for rest != "" {
			var pair string
			pair, rest, _ = strings.Cut(rest, ";")
			name, value, _ := strings.Cut(pair, "=")
			if textproto.TrimString(name) == t.attributes.Name {
				return unquoted(textproto.TrimString(value)), t
			}
		}
	}
	return "", t
}

// unquoted takes away the double quotes that RFC 6265, section 4.1.1, allows around a
// cookie's value.
func unquoted(value string) string {
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		return value[1 : len(value)-1]
	}
	return value
}

func (t *cookie) setToken(r *http.Request, token string) {
	others := slices.DeleteFunc(r.Cookies(), func(c *http.Cookie) bool { return c.Name == t.attributes.Name })
	r.Header.Del("Cookie")
	for _, c := range others {
		r.AddCookie(c)
	}
	r.AddCookie(&http.Cookie{Name: t.attributes.Name, Value: token})
}

func (t *cookie) answer(h http.Header, token string, maxAge time.Duration) {
	c := t.attributes
	c.Value = token
	c.MaxAge = max(int(min(maxAge, maxCookieAge)/time.Second), 1)
	h.Add("Set-Cookie", c.String())
}

func (t *cookie) clear(h http.Header) {
	c := t.attributes
	c.MaxAge = -1 // "Max-Age=0": delete it now
	h.Add("Set-Cookie", c.String())
}

func (t *cookie) check(r *http.Request) error { return t.protection.Check(r) }

// carries knows the cookie-octets of RFC 6265, section 4.1.1.
func (t *cookie) carries(token string) bool { return !strings.ContainsAny(token, " \",;\\") }

func (t *cookie) vary() []string { return []string{"Cookie"} }

// First reads the token from the first of the transports whose header or cookie is
// in the request, whether or not a session answers to it. The answer goes back the
// same way; to a request without a token it goes by the first transport of all.
// First panics if it is given none.
func First(transports ...Transport) Transport {
	if len(transports) == 0 {
		panic("session: First: no transport")
	}
	for _, t := range transports {
		if t == nil {
			panic("session: First: a transport is nil")
		}
	}
	return first(transports)
}

type first []Transport

func (ts first) token(r *http.Request) (string, Transport) {
	for _, t := range ts {
		if token, via := t.token(r); token != "" {
			return token, via
		}
	}
	_, via := ts[0].token(r)
	return "", via
}

func (ts first) setToken(r *http.Request, token string) { ts[0].setToken(r, token) }

func (ts first) answer(h http.Header, token string, maxAge time.Duration) {
	ts[0].answer(h, token, maxAge)
}

func (ts first) clear(h http.Header) { ts[0].clear(h) }

// check is asked of the transport that carried the token, which is never First.
func (ts first) check(*http.Request) error { return nil }

func (ts first) carries(token string) bool {
	for _, t := range ts {
		if !t.carries(token) {
			return false
		}
	}
	return true
}

func (ts first) vary() (names []string) {
	for _, t := range ts {
		names = append(names, t.vary()...)
	}
	return names
}

// isToken reports whether s is a token by RFC 9110, section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}
