// Package vault is the only code that holds an agency's private keys: it seals, opens and signs, and gives none of them away.
//
// An agency has three key pairs, and they are three on purpose. The NATS user key signs nonces that the server chooses; the
// Ed25519 signing key signs manifests and certificates; the age hybrid identity (ML-KEM-768 + X25519) opens what is sealed
// to the agency. Were one key used for both signatures, a malicious server could obtain one over a manifest by offering
// it as a nonce. Beside them lies an at-rest key, which never leaves this machine in any form.
//
// A Vault is safe for concurrent use. It prints as its agency's id, whatever verb, logger or encoder is tried.
package vault

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"filippo.io/age"
	"github.com/nats-io/nkeys"
	"golang.org/x/mod/sumdb/note"
)

var (
	// ErrMissing: there are no keys in the folder.
	ErrMissing = errors.New("no keys in this folder")
	// ErrIncomplete: some of the key files are there and some are not. They are never silently made anew: a new key
	// beside old ones would open nothing that was sealed to the old.
	ErrIncomplete = errors.New("some key files are missing; restore the folder from its backup")
	// ErrPassphrase: the passphrase is wrong, or one is needed, or none is.
	ErrPassphrase = errors.New("wrong passphrase")
	// ErrPermissions: others can read the keys, or get at the folder they lie in.
	ErrPermissions = errors.New("others have access to the keys")
	// ErrExists: there are keys already.
	ErrExists = errors.New("there are keys in this folder already")
	// ErrNotForMe: the body is sealed to a key that this agency does not hold.
	ErrNotForMe = errors.New("sealed to another key")
	// ErrCorrupt: the body is not a whole age file.
	ErrCorrupt = errors.New("sealed body is damaged")
)

// Vault holds one agency's keys.
type Vault struct {
	agency   string
	identity *age.HybridIdentity
	signing  ed25519.PrivateKey
	signer   note.Signer
	verifier string
	nats     nkeys.KeyPair
	natsPub  string
	local    *localKeys
	parsed   *recipients
}

// Public is what the rest of the network may know.
type Public struct {
	NATSKey    string // U…
	SigningKey string // note verifier key
	Recipient  string // age1pq1…
}

// Agency is whose keys these are.
func (v *Vault) Agency() string { return v.agency }

// Public returns the public halves.
func (v *Vault) Public() Public {
	return Public{NATSKey: v.natsPub, SigningKey: v.verifier, Recipient: v.identity.Recipient().String()}
}

// Signer signs notes (manifests, certificates) in the agency's name. It holds no way back to the key.
func (v *Vault) Signer() note.Signer { return v.signer }

// SignNATS signs the nonce of a NATS server at connect.
func (v *Vault) SignNATS(nonce []byte) ([]byte, error) {
	sig, err := v.nats.Sign(nonce)
	if err != nil {
		return nil, fmt.Errorf("sign nonce: %w", err)
	}
	return sig, nil
}

// SignRaw signs an enrolment request with the signing key. The caller's message begins with a domain of its own, which no
// note can begin with.
func (v *Vault) SignRaw(message []byte) ([]byte, error) {
	return ed25519.Sign(v.signing, message), nil
}

// Cosign signs a checkpoint of the ledger as a witness (C2SP tlog-cosignature): only what begins as such a message does, which
// no note and no signed line can.
func (v *Vault) Cosign(message []byte) ([]byte, error) {
	if !bytes.HasPrefix(message, []byte("cosignature/v1\ntime ")) {
		return nil, errors.New("cosign checkpoint: not a cosignature's message")
	}
	return ed25519.Sign(v.signing, message), nil
}

// FileKey gives out the file key of one kept message, for a disclosure: with it, that message can be read, and no other.
func (v *Vault) FileKey(id string, wrapped []byte) ([]byte, error) {
	key, err := v.local.open(purposeFileKey, id, wrapped)
	if err != nil {
		return nil, fmt.Errorf("disclose message %s: %w", id, ErrCorrupt)
	}
	return key, nil
}

// OpenDisclosed opens a sealed body with the file key that was disclosed with it. It needs no vault.
func OpenDisclosed(id string, ciphertext, fileKey []byte) ([]byte, error) {
	return decrypt(id, ciphertext, age.NewInjectedFileKeyIdentity(fileKey))
}

func assemble(f keyFiles) (*Vault, error) {
	identity, err := age.ParseHybridIdentity(f.identityLine())
	if err != nil {
		return nil, fmt.Errorf("read %s: not an age identity", identityFile)
	}
	signer, err := note.NewSigner(strings.TrimSpace(string(f[signingFile])))
	if err != nil {
		return nil, fmt.Errorf("read %s: not a signing key", signingFile)
	}
	// PRIVATE+KEY+<name>+<hash>+<base64 of algorithm and seed>, as sumdb/note writes it.
	parts := strings.SplitN(strings.TrimSpace(string(f[signingFile])), "+", 5)
	seed, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil || len(seed) != 1+ed25519.SeedSize {
		return nil, fmt.Errorf("read %s: not a signing key", signingFile)
	}
	private := ed25519.NewKeyFromSeed(seed[1:])
	verifier, err := note.NewEd25519VerifierKey(signer.Name(), private.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", signingFile, err)
	}
	user, err := nkeys.FromSeed([]byte(strings.TrimSpace(string(f[natsFile]))))
	if err != nil {
		return nil, fmt.Errorf("read %s: not an nkey seed", natsFile)
	}
	public, err := user.PublicKey()
	if err != nil || !nkeys.IsValidPublicUserKey(public) {
		return nil, fmt.Errorf("read %s: not a user key", natsFile)
	}
	local, err := parseLocal(string(f[localFile]))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", localFile, err)
	}
	return &Vault{agency: signer.Name(), identity: identity, signing: private, signer: signer, verifier: verifier,
		nats: user, natsPub: public, local: local, parsed: newRecipients()}, nil
}
