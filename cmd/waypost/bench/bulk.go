package bench

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
	"golang.org/x/mod/sumdb/note"

	"waypost/agents"
	"waypost/broker/network"
	"waypost/schemas"
	"waypost/schemas/directory"
)

// bulk admits many agencies at once. The authority's own Enrol reads and verifies the whole folder for each, rightly for an
// act of an administrator, but a thousand of them take a quarter of an hour. So entries, accounts and the head are written
// into the folder with its own keys, and then the folder is opened, which verifies every entry against the root and renews
// every account's claims: nothing here is believed that an authority would not believe.
type bulk struct {
	dir      string // of the network
	root     note.Signer
	operator nkeys.KeyPair
	agency   nkeys.KeyPair
	entries  map[string][]byte
	accounts map[string]string // agency → public key of its account
}

func openBulk(dir string) (*bulk, error) {
	b := &bulk{dir: dir, entries: map[string][]byte{}, accounts: map[string]string{}}
	skey, err := os.ReadFile(filepath.Join(dir, "keys", "root.key"))
	if err != nil {
		return nil, fmt.Errorf("read root key: %w", err)
	}
	if b.root, err = note.NewSigner(strings.TrimSpace(string(skey))); err != nil {
		return nil, fmt.Errorf("read root key: not a signing key")
	}
	for file, to := range map[string]*nkeys.KeyPair{"operator.nk": &b.operator, "agency.nk": &b.agency} {
		seed, err := os.ReadFile(filepath.Join(dir, "keys", file))
		if err != nil {
			return nil, fmt.Errorf("read key: %w", err)
		}
		if *to, err = nkeys.FromSeed([]byte(strings.TrimSpace(string(seed)))); err != nil {
			return nil, fmt.Errorf("read key: %s is damaged", file)
		}
	}
	return b, nil
}

// enrol adds an agency's entry and account.
func (b *bulk) enrol(req *directory.Request, role schemas.Role) error {
	now := time.Now().UTC().Truncate(time.Second)
	signed, err := directory.SignAgency(directory.Agency{
		Type: directory.AgencyType, ID: req.Agency, Name: req.Name, Role: role, State: directory.StateActive, NATSKey: req.NATSKey,
		Recipients:  []directory.Key{{Key: req.Recipient, From: now}},
		SigningKeys: []directory.Key{{Key: req.SigningKey, From: now}},
		Schemas:     schemas.KnownSchemas(), Since: now,
	}, b.root)
	if err != nil {
		return fmt.Errorf("sign agency %s: %w", req.Agency, err)
	}
	b.entries[directory.AgencyKey(req.Agency)] = signed
	account, err := nkeys.CreateAccount()
	if err != nil {
		return fmt.Errorf("make account: %w", err)
	}
	public, err := account.PublicKey()
	if err != nil {
		return fmt.Errorf("make account: %w", err)
	}
	claims := jwt.NewAccountClaims(public)
	claims.Name = req.Agency
	token, err := claims.Encode(b.operator)
	if err != nil {
		return fmt.Errorf("sign account: %w", err)
	}
	b.accounts[req.Agency] = public
	return os.WriteFile(filepath.Join(b.dir, "jwt", "agencies", req.Agency+".jwt"), []byte(token+"\n"), 0o600)
}

// agree lets one agency send referrals to another.
func (b *bulk) agree(from, to string) error {
	g := directory.Agreement{Type: directory.AgreementType, ID: "bench-" + from + "-" + to, From: from, To: to, Kinds: []schemas.Kind{schemas.KindReferral},
		Purposes: schemas.Purposes(), Categories: schemas.AllCategories(), Starts: time.Now().Add(-time.Hour).UTC().Truncate(time.Second), Document: "bench"}
	signed, err := directory.SignAgreement(g, b.root)
	if err != nil {
		return fmt.Errorf("sign agreement: %w", err)
	}
	b.entries[directory.AgreementKey(g.ID)] = signed
	return nil
}

// commit writes the entries and a head that lists them beside what Init wrote, and opens the folder.
func (b *bulk) commit() (*network.Authority, error) {
	path := func(key string) string { return filepath.Join(b.dir, "directory", key) }
	log, err := os.ReadFile(path(directory.LogKey))
	if err != nil {
		return nil, fmt.Errorf("read directory: %w", err)
	}
	b.entries[directory.LogKey] = log
	now := time.Now().UTC().Truncate(time.Second)
	head := directory.Head{Type: directory.HeadType, Version: 2, Issued: now, Expires: now.Add(network.DefaultHeadTTL), Entries: map[string]string{}}
	for key, note := range b.entries {
		head.Entries[key] = directory.Digest(note)
		if err := os.WriteFile(path(key), note, 0o600); err != nil {
			return nil, fmt.Errorf("write directory entry: %w", err)
		}
	}
	signed, err := directory.SignHead(head, b.root)
	if err != nil {
		return nil, fmt.Errorf("sign directory: %w", err)
	}
	if err := os.WriteFile(path(directory.HeadKey), signed, 0o600); err != nil {
		return nil, fmt.Errorf("write directory head: %w", err)
	}
	a, err := network.Open(b.dir)
	if err != nil {
		return nil, err
	}
	b.entries[directory.HeadKey] = signed // from here on it is what a broker serves
	return a, nil
}

// user admits an agency's NATS key.
func (b *bulk) user(id, natsKey string) (string, error) {
	u := jwt.NewUserClaims(natsKey)
	u.Name, u.IssuerAccount = id, b.accounts[id]
	u.SetScoped(true)
	token, err := u.Encode(b.agency)
	if err != nil {
		return "", fmt.Errorf("sign user of %s: %w", id, err)
	}
	return token, nil
}

// join gives an agency's folder its grant.
func (b *bulk) join(a *network.Authority, dir, url string, req *directory.Request) error {
	token, err := b.user(req.Agency, req.NATSKey)
	if err != nil {
		return err
	}
	g := &directory.Grant{Type: directory.GrantType, Agency: req.Agency, NATSKey: req.NATSKey, SigningKey: req.SigningKey, Recipient: req.Recipient,
		UserJWT: token, Root: a.RootKey(), Network: a.Config().Name, URLs: []string{url}, Issued: time.Now().UTC().Truncate(time.Second)}
	text, err := g.Encode()
	if err != nil {
		return fmt.Errorf("write grant: %w", err)
	}
	_, err = agents.Join(dir, text, nil)
	return err
}

// bystander is a member without an agent: keys in memory, a connection, and nothing to do but wait for mail.
type bystander struct {
	id   string
	user nkeys.KeyPair
	req  *directory.Request
}

func newBystander(id string) (*bystander, error) {
	user, err := nkeys.CreateUser()
	if err != nil {
		return nil, fmt.Errorf("make keys: %w", err)
	}
	natsKey, err := user.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("make keys: %w", err)
	}
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed)
	_, verifier, err := note.GenerateKey(strings.NewReader(string(seed)), id)
	if err != nil {
		return nil, fmt.Errorf("make keys: %w", err)
	}
	identity, err := age.GenerateHybridIdentity()
	if err != nil {
		return nil, fmt.Errorf("make keys: %w", err)
	}
	req, err := directory.NewRequest(id, id, natsKey, verifier, identity.Recipient().String(), time.Now().UTC().Truncate(time.Second), user.Sign,
		func(m []byte) ([]byte, error) { return ed25519.Sign(ed25519.NewKeyFromSeed(seed), m), nil })
	if err != nil {
		return nil, fmt.Errorf("make keys: %w", err)
	}
	return &bystander{id, user, req}, nil
}
