package directory

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nkeys"
	"golang.org/x/mod/sumdb/note"
)

const natsKeyLength = 56 // base32 of prefix, 32 bytes, check sum: no spare bits

// parseNATSKey returns the Ed25519 key inside a public user nkey. nkeys itself
// also takes line ends between the letters; the length leaves no room for them.
func parseNATSKey(s string) (ed25519.PublicKey, error) {
	if len(s) != natsKeyLength || !nkeys.IsValidPublicUserKey(s) {
		return nil, rule("nkey")
	}
	raw, err := nkeys.Decode(nkeys.PrefixByteUser, []byte(s))
	if err != nil || len(raw) != ed25519.PublicKeySize {
		return nil, rule("nkey")
	}
	if weak(raw) {
		return nil, rule("weak_key")
	}
	return raw, nil
}

// parseSigningKey parses an agency's note verifier key. It refuses a key of
// another name, and any spelling but the one that note itself writes: two
// spellings of a key would be two entries for one key.
func parseSigningKey(vkey, agency string) (note.Verifier, ed25519.PublicKey, error) {
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, nil, rule("verifier_key")
	}
	if v.Name() != agency {
		return nil, nil, rule("key_name")
	}
	_, b64, _ := strings.Cut(strings.TrimPrefix(vkey, agency+"+"), "+")
	raw, err := base64.StdEncoding.Strict().DecodeString(b64)
	if err != nil || len(raw) != 1+ed25519.PublicKeySize {
		return nil, nil, rule("verifier_key")
	}
	pub := ed25519.PublicKey(raw[1:])
	if again, err := note.NewEd25519VerifierKey(agency, pub); err != nil || again != vkey {
		return nil, nil, rule("verifier_key")
	}
	if weak(pub) {
		return nil, nil, rule("weak_key")
	}
	return v, pub, nil
}

// ParseRoot parses the file with the network root's public key, root.pub: one line, in the one spelling that note writes. With
// two spellings a file could be altered and still be taken for the same.
func ParseRoot(text string) (note.Verifier, error) {
	line, windows := strings.CutSuffix(text, "\r\n")
	if !windows {
		line = strings.TrimSuffix(text, "\n")
	}
	v, _, err := parseSigningKey(line, RootName)
	if err != nil {
		return nil, fmt.Errorf("parse root key: %w", err)
	}
	return v, nil
}

// weakPoints are the encodings of the points of small order on edwards25519
// (the sign bit left out), canonical and not. A signature by such a "key"
// verifies for messages that nobody signed, so its owner could disown all that
// it ever sent. Source: libsodium, ge25519_has_small_order; the test forges with
// each of them.
var weakPoints = [][32]byte{
	{},
	{0: 1},
	{0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05},
	{0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a},
	fieldPrime(0xec), // p-1
	fieldPrime(0xed), // p, which is 0
	fieldPrime(0xee), // p+1, which is 1
}

func fieldPrime(low byte) (b [32]byte) {
	for i := range b {
		b[i] = 0xff
	}
	b[0], b[31] = low, 0x7f
	return b
}

func weak(pub ed25519.PublicKey) bool {
	y := [32]byte(pub)
	y[31] &= 0x7f
	return slices.Contains(weakPoints, y)
}

const (
	recipientPrefix = "age1pq"
	recipientBytes  = 1184 + 32 // ML-KEM-768 encapsulation key, X25519 public key
	bech32Charset   = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
)

// checkRecipient checks the spelling of an age hybrid recipient: Bech32 (BIP
// 173, without its length limit) of 1,216 bytes under the prefix age1pq. This
// package must not import age, and the check sum is enough: it catches a key
// that was cut off or mistyped before every message to the agency is sealed in vain.
func checkRecipient(s string) error {
	data, ok := strings.CutPrefix(s, recipientPrefix+"1")
	if !ok {
		return rule("recipient_prefix")
	}
	if len(data) != (recipientBytes*8+4)/5+6 {
		return rule("recipient_length")
	}
	check := uint32(1)
	step := func(v byte) {
		top := check >> 25
		check = (check&0x1ffffff)<<5 ^ uint32(v)
		for i, g := range [5]uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3} {
			if top>>i&1 == 1 {
				check ^= g
			}
		}
	}
	for i := range len(recipientPrefix) {
		step(recipientPrefix[i] >> 5)
	}
	step(0)
	for i := range len(recipientPrefix) {
		step(recipientPrefix[i] & 31)
	}
	last := byte(0)
	for i := range len(data) {
		v := strings.IndexByte(bech32Charset, data[i])
		if v < 0 {
			return rule("recipient_alphabet")
		}
		if i == len(data)-7 {
			last = byte(v)
		}
		step(byte(v))
	}
	if check != 1 {
		return rule("recipient_checksum")
	}
	// 1,216 bytes leave two spare bits in the last group of five: they are zero,
	// or one recipient would have four spellings.
	if spare := (len(data)-6)*5 - recipientBytes*8; last&(1<<spare-1) != 0 {
		return rule("recipient_spare_bits")
	}
	return nil
}
