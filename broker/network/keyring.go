package network

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
	"golang.org/x/mod/sumdb/note"

	"waypost/schemas/directory"
)

// keyring is every private key of the network. It is not exported, has no exported field, and prints nothing.
type keyring struct {
	dir          string
	name         string
	root         note.Signer
	rootVerifier note.Verifier
	rootPublic   string
	operator     nkeys.KeyPair // signs accounts
	network      nkeys.KeyPair // the network account: owns the streams; signs the broker's and the administrators' users
	agency       nkeys.KeyPair // scoped signing key, role "agency": can only make users with the agency's permissions
	system       string        // public key of the system account
}

// String and GoString keep keys out of logs and test failures, whatever verb prints the authority.
func (k *keyring) String() string   { return "keyring(" + k.rootPublic + ")" }
func (k *keyring) GoString() string { return k.String() }

func (k *keyring) path(parts ...string) string {
	return filepath.Join(append([]string{k.dir}, parts...)...)
}

func newKeyring(dir, name string) (*keyring, error) {
	k := &keyring{dir: dir, name: name}
	skey, vkey, err := note.GenerateKey(rand.Reader, directory.RootName)
	if err != nil {
		return nil, fmt.Errorf("make root key: %w", err)
	}
	if err := WriteFile(k.path("keys", "root.key"), []byte(skey+"\n"), 0o600); err != nil {
		return nil, err
	}
	if err := WriteFile(k.path("directory", "root.pub"), []byte(vkey+"\n"), 0o644); err != nil {
		return nil, err
	}
	if err := k.setRoot(skey, vkey); err != nil {
		return nil, err
	}
	for _, n := range []struct {
		file string
		make func() (nkeys.KeyPair, error)
		to   *nkeys.KeyPair
	}{
		{"operator.nk", nkeys.CreateOperator, &k.operator},
		{"network.nk", nkeys.CreateAccount, &k.network},
		{"agency.nk", nkeys.CreateAccount, &k.agency},
	} {
		kp, err := n.make()
		if err != nil {
			return nil, fmt.Errorf("make %s: %w", n.file, err)
		}
		seed, err := kp.Seed()
		if err != nil {
			return nil, fmt.Errorf("make %s: %w", n.file, err)
		}
		if err := WriteFile(k.path("keys", n.file), append(seed, '\n'), 0o600); err != nil {
			return nil, err
		}
		*n.to = kp
	}
	return k, k.newSystemAccount()
}

// newSystemAccount makes the NATS system account and its two users: one pushes account claims, the other lets a broker
// ask an external NATS whether it syncs. The account's key is not kept, so that there can be no third.
func (k *keyring) newSystemAccount() error {
	account, err := nkeys.CreateAccount()
	if err != nil {
		return fmt.Errorf("make system account: %w", err)
	}
	if k.system, err = account.PublicKey(); err != nil {
		return fmt.Errorf("make system account: %w", err)
	}
	claims := jwt.NewAccountClaims(k.system)
	claims.Name = "SYS"
	claims.Limits.LeafNodeConn = 0
	token, err := claims.Encode(k.operator)
	if err != nil {
		return fmt.Errorf("sign system account: %w", err)
	}
	if err := WriteFile(k.path("jwt", "system.jwt"), []byte(token+"\n"), 0o644); err != nil {
		return err
	}
	for file, user := range map[string]struct {
		name string
		perm jwt.Permissions
	}{
		"keys/system.creds":    {"publisher", systemPermissions()},
		"broker/monitor.creds": {"monitor", monitorPermissions()},
	} {
		creds, err := issueUser(account, k.system, user.name, user.perm)
		if err != nil {
			return err
		}
		if err := WriteFile(k.path(filepath.FromSlash(file)), creds, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func readKeyring(dir, name string) (*keyring, error) {
	k := &keyring{dir: dir, name: name}
	skey, err := readSecret(k.path("keys", "root.key"))
	if err != nil {
		return nil, err
	}
	vkey, err := os.ReadFile(k.path("directory", "root.pub"))
	if err != nil {
		return nil, fmt.Errorf("read root public key: %w", err)
	}
	if err := k.setRoot(strings.TrimSpace(string(skey)), strings.TrimSpace(string(vkey))); err != nil {
		return nil, err
	}
	for _, n := range []struct {
		file   string
		prefix nkeys.PrefixByte
		to     *nkeys.KeyPair
	}{
		{"operator.nk", nkeys.PrefixByteOperator, &k.operator},
		{"network.nk", nkeys.PrefixByteAccount, &k.network},
		{"agency.nk", nkeys.PrefixByteAccount, &k.agency},
	} {
		seed, err := readSecret(k.path("keys", n.file))
		if err != nil {
			return nil, err
		}
		seed = []byte(strings.TrimSpace(string(seed)))
		if prefix, _, err := nkeys.DecodeSeed(seed); err != nil || prefix != n.prefix {
			return nil, fmt.Errorf("read key: %s is not a key of the right kind", n.file)
		}
		if *n.to, err = nkeys.FromSeed(seed); err != nil {
			return nil, fmt.Errorf("read key: %s is damaged", n.file) // the library's error could quote the seed
		}
	}
	token, err := os.ReadFile(k.path("jwt", "system.jwt"))
	if err != nil {
		return nil, fmt.Errorf("read system account: %w", err)
	}
	claims, err := jwt.DecodeAccountClaims(strings.TrimSpace(string(token)))
	if err != nil {
		return nil, fmt.Errorf("read system account: %w", err)
	}
	k.system = claims.Subject
	return k, nil
}

func (k *keyring) setRoot(skey, vkey string) (err error) {
	if k.root, err = note.NewSigner(skey); err != nil {
		return fmt.Errorf("read root key: keys/root.key is damaged") //nolint:err113 // the library's error could quote the key
	}
	if k.rootVerifier, err = note.NewVerifier(vkey); err != nil {
		return fmt.Errorf("read root public key: %w", err)
	}
	if k.root.Name() != directory.RootName || k.root.KeyHash() != k.rootVerifier.KeyHash() || k.rootVerifier.Name() != directory.RootName {
		return fmt.Errorf("read root key: keys/root.key and directory/root.pub do not belong together")
	}
	k.rootPublic = vkey
	return nil
}

func publicKey(kp nkeys.KeyPair) string {
	p, err := kp.PublicKey()
	if err != nil {
		// Only a wiped pair has no public key, and nothing here wipes one.
		panic("network: key pair without public key")
	}
	return p
}
