package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
)

const (
	keySize   = 32
	saltSize  = 12 // the first half of XAES's nonce; GCM's is the second
	nonceSize = saltSize + 12
	tagSize   = 16
)

// xaes is XAES-256-GCM, as https://c2sp.org/XAES-256-GCM has it: each message is sealed by
// AES-256-GCM with a key of its own, which is derived from the key and the first half of
// a nonce of 24 bytes. With 12 bytes alone, as in GCM itself, NIST SP 800-38D, section
// 8.3, allows a key no more than 2^32 messages with random nonces.
type xaes struct {
	block  cipher.Block
	subkey [aes.BlockSize]byte // K1 of NIST SP 800-38B, section 6.1
}

func newXAES(key []byte) *xaes {
	x := &xaes{block: must(aes.NewCipher(key))}
	x.block.Encrypt(x.subkey[:], x.subkey[:])
	var carry byte
	for i := len(x.subkey) - 1; i >= 0; i-- {
		b := x.subkey[i]
		x.subkey[i] = b<<1 | carry
		carry = b >> 7
	}
	x.subkey[len(x.subkey)-1] ^= carry * 0b10000111
	return x
}

// aead returns the AEAD of the message whose nonce begins with salt. It adds the rest of
// the nonce in Seal, at random, and takes it off in Open: in FIPS 140 mode, GCM takes
// no nonce from outside.
func (x *xaes) aead(salt []byte) cipher.AEAD {
	// The KDF of NIST SP 800-108r1, section 4.1, whose PRF is CMAC over one block.
	key := make([]byte, keySize)
	for i, half := range [][]byte{key[:aes.BlockSize], key[aes.BlockSize:]} {
		half[1], half[2] = byte(i+1), 'X'
		copy(half[4:], salt)
		subtle.XORBytes(half, half, x.subkey[:])
		x.block.Encrypt(half, half)
	}
	return must(cipher.NewGCMWithRandomNonce(must(aes.NewCipher(key))))
}

// must is for functions that only fail if the length of a key or a hash is wrong.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
