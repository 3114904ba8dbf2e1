package vault

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
)

// localPrefix marks the at-rest key's file, so that no other 32 bytes are taken for it.
const localPrefix = "waypost-at-rest-v1:"

type purpose string

// What the at-rest key is used for; each has a key of its own (HKDF-SHA-256, RFC 5869).
const (
	purposeFileKey purpose = "file-key"
	purposeLocked  purpose = "locked"
	purposeMAC     purpose = "mac"
)

// localKeys protect what lies in the store: XChaCha20-Poly1305 with random nonces, 192 bits of them, so that no counter has
// to survive a restored backup.
type localKeys struct {
	aead map[purpose]cipher.AEAD
	mac  []byte
}

func newLocalKey() (string, error) {
	key := make([]byte, chacha20poly1305.KeySize)
	if _, err := rand.Read(key); err != nil {
		return "", fmt.Errorf("make at-rest key: %w", err)
	}
	return localPrefix + base64.StdEncoding.EncodeToString(key) + "\n", nil
}

func parseLocal(text string) (*localKeys, error) {
	encoded, ok := strings.CutPrefix(strings.TrimSpace(text), localPrefix)
	key, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if !ok || err != nil || len(key) != chacha20poly1305.KeySize {
		return nil, errors.New("not an at-rest key")
	}
	l := &localKeys{aead: map[purpose]cipher.AEAD{}}
	for _, p := range []purpose{purposeFileKey, purposeLocked, purposeMAC} {
		sub, err := hkdf.Key(sha256.New, key, nil, "waypost at rest "+string(p), chacha20poly1305.KeySize)
		if err != nil {
			return nil, fmt.Errorf("derive at-rest key: %w", err)
		}
		if p == purposeMAC {
			l.mac = sub
			continue
		}
		if l.aead[p], err = chacha20poly1305.NewX(sub); err != nil {
			return nil, fmt.Errorf("derive at-rest key: %w", err)
		}
	}
	return l, nil
}

// seal binds a value to its id: moved to another row of the store, it does not open.
func (l *localKeys) seal(p purpose, id string, value []byte) []byte {
	nonce := make([]byte, chacha20poly1305.NonceSizeX, chacha20poly1305.NonceSizeX+len(value)+chacha20poly1305.Overhead)
	rand.Read(nonce) // never fails since Go 1.24; it ends the process instead
	return l.aead[p].Seal(nonce, nonce, value, []byte(id))
}

func (l *localKeys) open(p purpose, id string, sealed []byte) ([]byte, error) {
	if len(sealed) < chacha20poly1305.NonceSizeX {
		return nil, ErrCorrupt
	}
	value, err := l.aead[p].Open(nil, sealed[:chacha20poly1305.NonceSizeX], sealed[chacha20poly1305.NonceSizeX:], []byte(id))
	if err != nil {
		return nil, ErrCorrupt
	}
	return value, nil
}

// Lock protects a small value for the store, bound to an id.
func (v *Vault) Lock(id string, value []byte) ([]byte, error) {
	return v.local.seal(purposeLocked, id, value), nil
}

// Unlock reads what Lock wrote for the same id.
func (v *Vault) Unlock(id string, locked []byte) ([]byte, error) {
	value, err := v.local.open(purposeLocked, id, locked)
	if err != nil {
		return nil, fmt.Errorf("unlock value: %w", err)
	}
	return value, nil
}

// MAC is a keyed hash (HMAC-SHA-256) of data under a domain. Unlike a plain hash it cannot be tested against guesses by a
// thief of the store, who lacks the key.
func (v *Vault) MAC(domain string, data []byte) []byte {
	h := hmac.New(sha256.New, v.local.mac)
	h.Write([]byte(domain))
	h.Write([]byte{0})
	h.Write(data)
	return h.Sum(nil)
}
