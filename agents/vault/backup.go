package vault

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
)

// ErrMixed: classic and post-quantum recipients cannot open the same file; age refuses it, because the classic one would
// undo what the other is for.
var ErrMixed = errors.New("classic (age1…) and post-quantum (age1pq1…) recipients cannot be mixed")

// BackupTo says who can open a backup: whoever knows the passphrase, or holds the identity of one of the recipients. Exactly
// one of the two.
type BackupTo struct {
	Passphrase []byte
	Recipients []string // age1… or age1pq1…, as age-keygen prints them
}

func (to *BackupTo) recipients() ([]age.Recipient, error) {
	switch {
	case len(to.Passphrase) > 0 && len(to.Recipients) > 0:
		return nil, errors.New("seal backup: either to a passphrase or to recipients, not to both")
	case len(to.Passphrase) > 0:
		r, err := age.NewScryptRecipient(string(to.Passphrase))
		if err != nil {
			return nil, fmt.Errorf("seal backup: %w", err)
		}
		r.SetWorkFactor(workFactor)
		return []age.Recipient{r}, nil
	case len(to.Recipients) == 0:
		return nil, errors.New("seal backup: to nobody")
	}
	var out []age.Recipient
	kinds := map[bool]bool{}
	for _, text := range to.Recipients {
		r, err := age.ParseRecipients(strings.NewReader(text))
		if err != nil || len(r) != 1 {
			return nil, errors.New("seal backup: a recipient is not an age recipient (age1… or age1pq1…)")
		}
		kinds[strings.HasPrefix(strings.TrimSpace(text), "age1pq1")] = true
		out = append(out, r...)
	}
	if len(kinds) > 1 {
		return nil, fmt.Errorf("seal backup: %w", ErrMixed)
	}
	return out, nil
}

// SealBackup begins an age file. What is written to the result is in it once Close returned nil.
func SealBackup(w io.Writer, to BackupTo) (io.WriteCloser, error) {
	r, err := to.recipients()
	if err != nil {
		return nil, err
	}
	out, err := age.Encrypt(w, r...)
	if err != nil {
		return nil, fmt.Errorf("seal backup: %w", err)
	}
	return out, nil
}

// BackupFrom opens a backup: the passphrase, or a file of age identities, as it is.
type BackupFrom struct {
	Passphrase []byte
	Identities []byte
}

// OpenBackup opens what SealBackup made. ErrPassphrase or ErrNotForMe when this is not the key to it; a reader that meets a
// damaged or shortened file fails, it never ends early. What was read before that is not to be used.
func OpenBackup(r io.Reader, from BackupFrom) (io.Reader, error) {
	var ids []age.Identity
	refused := ErrNotForMe
	if len(from.Passphrase) > 0 {
		id, err := age.NewScryptIdentity(string(from.Passphrase))
		if err != nil {
			return nil, fmt.Errorf("open backup: %w", ErrPassphrase)
		}
		id.SetMaxWorkFactor(maxWorkFactor)
		ids, refused = append(ids, id), ErrPassphrase
	}
	if len(from.Identities) > 0 {
		more, err := age.ParseIdentities(bytes.NewReader(from.Identities))
		if err != nil {
			return nil, errors.New("open backup: the identity file holds no age identity (AGE-SECRET-KEY-…)") // age's error could show a line of it
		}
		ids = append(ids, more...)
	}
	if len(ids) == 0 {
		return nil, errors.New("open backup: neither a passphrase nor an identity is given")
	}
	out, err := age.Decrypt(r, ids...)
	var none *age.NoIdentityMatchError
	if errors.As(err, &none) {
		return nil, fmt.Errorf("open backup: %w", refused)
	}
	if err != nil {
		return nil, fmt.Errorf("open backup: %w", ErrCorrupt)
	}
	return &whole{out}, nil
}

// whole gives every failure of a sealed file one name.
type whole struct{ r io.Reader }

func (w *whole) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("read backup: %w", ErrCorrupt)
	}
	return n, err
}

// Names of the files in a key folder, for a backup of it.
func Names() []string { return append([]string(nil), fileNames...) }
