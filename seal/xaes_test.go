package seal

import (
	"encoding/hex"
	"testing"
)

// The vectors of https://c2sp.org/XAES-256-GCM, one for each way to make the subkey.
func TestXAES(t *testing.T) {
	for _, v := range []struct {
		key                byte
		additional, sealed string
	}{
		{1, "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"},
		{3, "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"},
	} {
		key := make([]byte, keySize)
		for i := range key {
			key[i] = v.key
		}
		nonce := []byte("ABCDEFGHIJKLMNOPQRSTUVWX")
		sealed, err := hex.DecodeString(v.sealed)
		if err != nil {
			t.Fatal(err)
		}
		aead := newXAES(key).aead(nonce[:saltSize])
		text, err := aead.Open(nil, nil, append(nonce[saltSize:], sealed...), []byte(v.additional))
		if string(text) != "XAES-256-GCM" || err != nil {
			t.Errorf("key %d: opened %q, %v", v.key, text, err)
		}
	}
}
