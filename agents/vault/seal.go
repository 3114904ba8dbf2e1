package vault

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"filippo.io/age"
)

// maxPlain bounds what a hostile sealed body can make us hold: a body on the wire is at most 1 MiB.
const maxPlain = 1 << 20

// witness is the second reader of a sealing: it adds no stanza and keeps the file key. It carries the label that hybrid
// recipients demand of everyone beside them, rightly: the key it keeps is wrapped with a 256-bit symmetric key.
type witness struct{ fileKey []byte }

func (w *witness) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	w.fileKey = bytes.Clone(fileKey)
	return nil, nil
}

func (w *witness) WrapWithLabels(fileKey []byte) ([]*age.Stanza, []string, error) {
	s, err := w.Wrap(fileKey)
	return s, []string{"postquantum"}, err
}

// Seal encrypts a body to a recipient (age1pq1…). wrapped is the file key under the at-rest key, bound to the message id:
// with it and the ciphertext this agency can read its own copy, and nobody without this vault can.
func (v *Vault) Seal(recipient, id string, plain []byte) (ciphertext, wrapped []byte, err error) {
	r, err := v.parsed.get(recipient)
	if err != nil {
		return nil, nil, fmt.Errorf("seal message %s: %w", id, err)
	}
	var w witness
	var out bytes.Buffer
	out.Grow(len(plain) + 4096)
	enc, err := age.Encrypt(&out, r, &w)
	if err != nil {
		return nil, nil, fmt.Errorf("seal message %s: %w", id, err)
	}
	if _, err := enc.Write(plain); err != nil {
		return nil, nil, fmt.Errorf("seal message %s: %w", id, err)
	}
	if err := enc.Close(); err != nil {
		return nil, nil, fmt.Errorf("seal message %s: %w", id, err)
	}
	return out.Bytes(), v.local.seal(purposeFileKey, id, w.fileKey), nil
}

// keeper keeps the file key that the identity finds, so that the header is read once.
type keeper struct {
	age.Identity
	fileKey []byte
}

func (k *keeper) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	key, err := k.Identity.Unwrap(stanzas)
	k.fileKey = bytes.Clone(key)
	return key, err
}

// Open decrypts a body that was sealed to this agency. It proves nothing about the sender: age authenticates nobody. On
// error every result is nil; ErrNotForMe and ErrCorrupt say which.
func (v *Vault) Open(id string, ciphertext []byte) (plain, wrapped []byte, err error) {
	k := &keeper{Identity: v.identity}
	if plain, err = decrypt(id, ciphertext, k); err != nil {
		return nil, nil, err
	}
	return plain, v.local.seal(purposeFileKey, id, k.fileKey), nil
}

// Reopen reads a kept copy with its own wrapped file key, three times as fast as Open and without the identity.
func (v *Vault) Reopen(id string, ciphertext, wrapped []byte) ([]byte, error) {
	fileKey, err := v.local.open(purposeFileKey, id, wrapped)
	if err != nil {
		return nil, fmt.Errorf("reopen message %s: %w", id, ErrCorrupt)
	}
	return decrypt(id, ciphertext, age.NewInjectedFileKeyIdentity(fileKey))
}

// decrypt reads by offset: the reader for streams takes and clears two buffers of 64 KiB for each message, however short.
func decrypt(id string, ciphertext []byte, identity age.Identity) ([]byte, error) {
	r, size, err := age.DecryptReaderAt(bytes.NewReader(ciphertext), int64(len(ciphertext)), identity)
	var none *age.NoIdentityMatchError
	switch {
	case errors.As(err, &none):
		return nil, fmt.Errorf("open message %s: %w", id, ErrNotForMe)
	case err != nil, size > maxPlain:
		return nil, fmt.Errorf("open message %s: %w", id, ErrCorrupt)
	}
	plain := make([]byte, size)
	if n, err := r.ReadAt(plain, 0); int64(n) != size || err != nil && err != io.EOF {
		return nil, fmt.Errorf("open message %s: %w", id, ErrCorrupt)
	}
	return plain, nil
}

// recipients remembers parsed recipient keys: parsing one costs as much as using it.
type recipients struct {
	mu   sync.Mutex
	keys map[string]*age.HybridRecipient
}

const recipientsMax = 4096

func newRecipients() *recipients { return &recipients{keys: map[string]*age.HybridRecipient{}} }

func (c *recipients) get(s string) (*age.HybridRecipient, error) {
	c.mu.Lock()
	r, ok := c.keys[s]
	c.mu.Unlock()
	if ok {
		return r, nil
	}
	r, err := age.ParseHybridRecipient(s)
	if err != nil {
		return nil, errors.New("recipient is not a post-quantum hybrid key")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.keys) >= recipientsMax {
		clear(c.keys)
	}
	c.keys[s] = r
	return r, nil
}
