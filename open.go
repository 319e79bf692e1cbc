package tokensession

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// An Opener opens the store that a URL names. It checks the whole URL and refuses
// options that it does not know. Its errors show no password, so they do not hold
// the URL, nor an error of [net/url.Parse], which quotes it.
type Opener func(ctx context.Context, url string) (Store, error)

var openers struct {
	sync.RWMutex
	byScheme map[string]Opener
}

// module is the path under which the drivers of this project are found.
const module = "github.com/tokensession/tokensession"

// drivers are the packages of this project that register a scheme when imported.
var drivers = map[string]string{
	"memory":     "memory",
	"bolt":       "bolt",
	"redis":      "redis",
	"rediss":     "redis",
	"postgres":   "postgres",
	"postgresql": "postgres",
	"memcache":   "memcache",
}

// Register makes open the Opener of URLs that begin with scheme and a colon. A
// driver calls it from an init function. Schemes are as RFC 3986, section 3.1, has
// them, in lower case. Register panics if scheme is not one, open is nil or the
// scheme is taken.
func Register(scheme string, open Opener) {
	if !isScheme(scheme) || scheme != strings.ToLower(scheme) {
		panic(fmt.Sprintf("tokensession: Register: %q is not a URL scheme in lower case", scheme))
	}
	if open == nil {
		panic(fmt.Sprintf("tokensession: Register: the Opener of %q is nil", scheme))
	}
	openers.Lock()
	defer openers.Unlock()
	if _, taken := openers.byScheme[scheme]; taken {
		panic(fmt.Sprintf("tokensession: Register: the scheme %q is registered twice", scheme))
	}
	if openers.byScheme == nil {
		openers.byScheme = make(map[string]Opener)
	}
	openers.byScheme[scheme] = open
}

// Open opens the store that a URL names, such as "memory:", "bolt:sessions.db" or
// "redis://localhost:6379/0". The drivers say what their URLs look like. A driver
// must have been imported for its scheme to be known:
//
//	import _ "github.com/tokensession/tokensession/bolt"
//
// Whoever opens a store closes it: the result is an [io.Closer] in every driver of
// this project.
func Open(ctx context.Context, url string) (Store, error) {
	scheme, _, ok := strings.Cut(url, ":")
	if !ok || !isScheme(scheme) {
		// What was given may hold a password; it is not shown.
		return nil, errors.New(`tokensession: the store's URL has no scheme; accepted are such as "memory:" or "bolt:sessions.db"`)
	}
	scheme = strings.ToLower(scheme)
	openers.RLock()
	open := openers.byScheme[scheme]
	known := slices.Sorted(maps.Keys(openers.byScheme))
	openers.RUnlock()
	if open == nil {
		return nil, unknownScheme(scheme, known)
	}
	return open(ctx, url)
}

func unknownScheme(scheme string, known []string) error {
	list := "none"
	if len(known) > 0 {
		list = strings.Join(known, ", ")
	}
	if pkg, ours := drivers[scheme]; ours {
		return fmt.Errorf("tokensession: the scheme %q is not registered (registered: %s); import _ %q adds it",
			scheme, list, module+"/"+pkg)
	}
	return fmt.Errorf("tokensession: unknown scheme %q (registered: %s); "+
		"importing a driver adds its scheme, such as import _ %q for bolt: (also in this project: %s)",
		scheme, list, module+"/bolt", strings.Join(slices.Sorted(maps.Keys(drivers)), ", "))
}

// isScheme reports whether s is a scheme by RFC 3986, section 3.1.
func isScheme(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		case i > 0 && ('0' <= c && c <= '9' || c == '+' || c == '-' || c == '.'):
		default:
			return false
		}
	}
	return s != ""
}
