package floor

import (
	"bytes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
	"golang.org/x/crypto/chacha20poly1305"
)

// Sizes are the bytes of one message, in the clear.
type Sizes struct {
	Plain       int `json:"plain"`       // padded body before it is sealed
	Note        int `json:"note"`        // manifest with its signature
	Certificate int `json:"certificate"` // consent certificate; 0: none
	Receipt     int `json:"receipt"`     // receipt with its signature
}

// keys are one agency's.
type keys struct {
	identity *age.HybridIdentity
	private  ed25519.PrivateKey
	public   ed25519.PublicKey
	local    cipher.AEAD
}

func newKeys() (*keys, error) {
	k := &keys{}
	var err error
	if k.identity, err = age.GenerateHybridIdentity(); err != nil {
		return nil, fmt.Errorf("make keys: %w", err)
	}
	if k.public, k.private, err = ed25519.GenerateKey(rand.Reader); err != nil {
		return nil, fmt.Errorf("make keys: %w", err)
	}
	local := make([]byte, chacha20poly1305.KeySize)
	rand.Read(local)
	k.local, err = chacha20poly1305.NewX(local)
	return k, err
}

// keeper is the second reader of a sealing: no stanza, it keeps the file key.
type keeper struct{ key []byte }

func (k *keeper) Wrap(key []byte) ([]*age.Stanza, error) {
	k.key = bytes.Clone(key)
	return nil, nil
}

func (k *keeper) WrapWithLabels(key []byte) ([]*age.Stanza, []string, error) {
	s, err := k.Wrap(key)
	return s, []string{"postquantum"}, err
}

func (k *keys) wrap(id string, key []byte) []byte {
	nonce := make([]byte, chacha20poly1305.NonceSizeX, chacha20poly1305.NonceSizeX+len(key)+chacha20poly1305.Overhead)
	rand.Read(nonce)
	return k.local.Seal(nonce, nonce, key, []byte(id))
}

const idSize = 32

var errBroken = errors.New("floor: a message did not verify")

// seal makes what travels: note, signature, ciphertext. The note holds the id and the digest of the ciphertext.
func (k *keys) seal(to *age.HybridRecipient, id string, plain, certificate []byte, noteSize int) (message, wrapped []byte, err error) {
	if len(certificate) > 0 {
		ed25519.Sign(k.private, certificate)
	}
	var kept keeper
	var out bytes.Buffer
	out.Grow(noteSize + len(plain) + 4096)
	out.Write(make([]byte, noteSize))
	enc, err := age.Encrypt(&out, to, &kept)
	if err == nil {
		_, err = enc.Write(plain)
	}
	if err == nil {
		err = enc.Close()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("seal: %w", err)
	}
	message = out.Bytes()
	sum := sha256.Sum256(message[noteSize:])
	signed := message[:noteSize-ed25519.SignatureSize]
	copy(signed, id)
	copy(signed[idSize:], sum[:])
	copy(message[len(signed):], ed25519.Sign(k.private, signed))
	return message, k.wrap(id, kept.key), nil
}

// open verifies and decrypts.
func (k *keys) open(from ed25519.PublicKey, message, certificate, certificateSig []byte, noteSize int) (id string, wrapped []byte, err error) {
	if len(message) < noteSize || noteSize < idSize+sha256.Size+ed25519.SignatureSize {
		return "", nil, errBroken
	}
	signed, sig, body := message[:noteSize-ed25519.SignatureSize], message[noteSize-ed25519.SignatureSize:noteSize], message[noteSize:]
	if !ed25519.Verify(from, signed, sig) || len(certificate) > 0 && !ed25519.Verify(from, certificate, certificateSig) {
		return "", nil, errBroken
	}
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], signed[idSize:idSize+len(sum)]) {
		return "", nil, errBroken
	}
	id = string(signed[:idSize])
	header, err := age.ExtractHeader(bytes.NewReader(body))
	if err != nil {
		return "", nil, fmt.Errorf("open: %w", err)
	}
	key, err := age.DecryptHeader(header, k.identity)
	if err != nil {
		return "", nil, fmt.Errorf("open: %w", err)
	}
	if err := decrypt(body, key); err != nil {
		return "", nil, err
	}
	return id, k.wrap(id, key), nil
}

// reopen is the hand-over: the kept key, the kept ciphertext.
func (k *keys) reopen(id string, body, wrapped []byte) error {
	key, err := k.local.Open(nil, wrapped[:chacha20poly1305.NonceSizeX], wrapped[chacha20poly1305.NonceSizeX:], []byte(id))
	if err != nil {
		return fmt.Errorf("unwrap: %w", err)
	}
	return decrypt(body, key)
}

func decrypt(body, key []byte) error {
	r, err := age.Decrypt(bytes.NewReader(body), age.NewInjectedFileKeyIdentity(key))
	if err == nil {
		_, err = io.ReadAll(r)
	}
	if err != nil {
		return fmt.Errorf("decrypt: %w", err)
	}
	return nil
}

func (k *keys) receipt(id string, size int) []byte {
	out := make([]byte, size)
	copy(out, id)
	copy(out[size-ed25519.SignatureSize:], ed25519.Sign(k.private, out[:size-ed25519.SignatureSize]))
	return out
}

func verifyReceipt(from ed25519.PublicKey, r []byte) error {
	at := len(r) - ed25519.SignatureSize
	if at < idSize || !ed25519.Verify(from, r[:at], r[at:]) {
		return errBroken
	}
	return nil
}
