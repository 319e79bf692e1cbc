package memcache

import (
	"fmt"
	"strings"
)

const (
	maxKeyLen = 250 // memcached's
	maxIDLen  = 128 // rule 1

	separator = ":"
)

// keyEscaper takes the separator out of prefixes, so that the first one in a key is
// where the id begins.
var keyEscaper = strings.NewReplacer("%", "%25", separator, "%3A")

// keyPrefix returns what stands before the id in every key of a namespace.
func keyPrefix(prefix string) string {
	return keyEscaper.Replace(prefix) + separator
}

// checkPrefix says what is wrong with prefix.
func checkPrefix(prefix string) error {
	for i := range len(prefix) {
		if c := prefix[i]; c < 0x21 || c > 0x7E {
			return fmt.Errorf("memcache: the prefix has the byte %#02x at %d; "+
				"accepted are 0x21 to 0x7e (printable ASCII without space)", c, i)
		}
	}
	if n, most := len(keyPrefix(prefix)), maxKeyLen-maxIDLen; n > most {
		return fmt.Errorf("memcache: the prefix takes %d bytes of a key; accepted are up to %d, where : and %% count three times",
			n-len(separator), most-len(separator))
	}
	return nil
}
