package memcache

import (
	"strings"
	"testing"
)

// TestKeys: no two pairs of a prefix and an id have one key.
func TestKeys(t *testing.T) {
	parts := []string{"a", "b", "a:", ":a", ":", "::", "a:b", "%", "%3A", "%253A", "a%3Ab", "%25"}
	seen := make(map[string][2]string)
	for _, prefix := range parts {
		for _, id := range parts {
			key := keyPrefix(prefix) + id
			if other, taken := seen[key]; taken {
				t.Errorf("%q is the key of %q and of %q", key, other, [2]string{prefix, id})
			}
			seen[key] = [2]string{prefix, id}
		}
	}
}

func TestCheckPrefix(t *testing.T) {
	for prefix, ok := range map[string]bool{
		"a":                      true,
		"sess[1]*?:%":            true,
		strings.Repeat("x", 121): true,
		strings.Repeat("x", 122): false,
		strings.Repeat(":", 40):  true,
		strings.Repeat(":", 41):  false,
		"a b":                    false,
		"a\n":                    false,
		"a\x00":                  false,
		"\x7f":                   false,
		"é":                      false,
	} {
		if err := checkPrefix(prefix); (err == nil) != ok {
			t.Errorf("%q: %v", prefix, err)
		}
		if ok && len(keyPrefix(prefix))+maxIDLen > maxKeyLen {
			t.Errorf("%q is accepted, but too long", prefix)
		}
	}
}
