package network

import (
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"waypost/schemas/directory"
)

// logKeyFile is the ledger's private key, in the broker's bundle: the broker signs checkpoints with it. Whoever has it can
// sign another history, and is found out by the first agency that has seen this one.
const logKeyFile = "log.key"

// newLog makes the ledger's key and returns the directory's entry that names it.
func (k *keyring) newLog(now time.Time) ([]byte, error) {
	origin := directory.LogOrigin(k.rootPublic)
	skey, vkey, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return nil, fmt.Errorf("make ledger key: %w", err)
	}
	if err := WriteFile(k.path("broker", logKeyFile), []byte(skey+"\n"), 0o600); err != nil {
		return nil, err
	}
	now = inForce(now.UTC().Truncate(time.Second))
	entry, err := directory.SignLog(directory.Log{Origin: origin, Keys: []directory.Key{{Key: vkey, From: now}}}, k.root)
	if err != nil {
		return nil, fmt.Errorf("sign ledger entry: %w", err)
	}
	return entry, nil
}

// logSigner prints as its name.
type logSigner struct{ note.Signer }

func (s logSigner) String() string   { return s.Name() }
func (s logSigner) GoString() string { return s.Name() }

func readLogKey(path, root string) (note.Signer, error) {
	skey, err := readSecret(path)
	if err != nil {
		return nil, err
	}
	signer, err := note.NewSigner(strings.TrimSpace(string(skey)))
	if err != nil {
		return nil, fmt.Errorf("read broker bundle: %s is damaged", logKeyFile) // the library's error could quote the key
	}
	if signer.Name() != directory.LogOrigin(root) {
		return nil, hint(fmt.Errorf("read broker bundle: %s belongs to another network", logKeyFile), "copy the whole broker/ folder")
	}
	return logSigner{signer}, nil
}
