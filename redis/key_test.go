package redis

import (
	"fmt"
	"path"
	"testing"
)

// No two of prefix, owner and id give the same key, and each key leads back.
func TestKeysAreInjective(t *testing.T) {
	names := []string{"a", "a:", "a:b", "ab", "s:", "}s:", "{1}s:a", "}o:a", "1", "b:1", "s:s:1"}
	seen := make(map[string]string)
	note := func(key, what string) {
		t.Helper()
		if was, ok := seen[key]; ok {
			t.Errorf("%s and %s have the key %q", was, what, key)
		}
		seen[key] = what
	}
	for _, prefix := range []string{"a", "a:", "a:b", "ab", "s:", "a b", "*"} {
		k := newKeys(prefix)
		for _, name := range names {
			record := k.ofRecord(name)
			note(record, fmt.Sprintf("prefix %q id %q", prefix, name))
			if id, ok := k.id(record); !ok || id != name {
				t.Errorf("%q leads to the id %q, %v", record, id, ok)
			}
			if _, _, ok := k.owner(record); ok {
				t.Errorf("%q is taken for an index", record)
			}
			for b := range buckets {
				index := k.index[b] + name
				note(index, fmt.Sprintf("prefix %q owner %q bucket %d", prefix, name, b))
				if owner, bucket, ok := k.owner(index); !ok || owner != name || bucket != b {
					t.Errorf("%q leads to the owner %q in %d, %v", index, owner, bucket, ok)
				}
				if id, ok := k.id(index); ok {
					t.Errorf("%q is taken for the record of %q", index, id)
				}
			}
		}
	}
}

// The hash is part of the format: with another one, nothing that is stored is found.
func TestKeysStay(t *testing.T) {
	k := newKeys("tokensession:")
	if got, want := k.ofRecord("id"), "tokensession:{80}s:id"; got != want {
		t.Errorf("key %q, want %q", got, want)
	}
	if got, want := k.ofIndex("id", "alice"), "tokensession:{80}o:alice"; got != want {
		t.Errorf("key %q, want %q", got, want)
	}
}

func TestForeignKeys(t *testing.T) {
	k := newKeys("p:")
	for _, key := range []string{"", "p:", "p:{80}s:", "p:{81}s:id", "p:{080}s:id", "p:{80}id", "p:{x}s:id", "p:{256}o:a",
		"p:{-1}o:a", "p:{01}o:a", "q:{80}s:id", "P:{80}s:id"} {
		if id, ok := k.id(key); ok {
			t.Errorf("%q is taken for the record of %q", key, id)
		}
		if owner, _, ok := k.owner(key); ok {
			t.Errorf("%q is taken for an index of %q", key, owner)
		}
	}
}

// Patterns match the store's own keys and no other store's. The globs of path are those
// of Redis, where there is no slash.
func TestPatternsAreEscaped(t *testing.T) {
	prefixes := []string{"sess[1]:", "sess1:", "a*", "ab", "a?", `a\b`, "a[^b]", "a-b", " "}
	for _, a := range prefixes {
		k := newKeys(a)
		for _, b := range prefixes {
			other := newKeys(b)
			for pattern, key := range map[string]string{k.records(): other.ofRecord("id"), k.indexes(): other.ofIndex("id", "owner")} {
				if matched, err := path.Match(pattern, key); err != nil || matched != (a == b) {
					t.Errorf("the pattern %q matches %q: %v, %v", pattern, key, matched, err)
				}
			}
		}
	}
}
