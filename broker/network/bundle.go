package network

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/jwt/v2"
	"golang.org/x/mod/sumdb/note"
)

// bundleFile holds everything of a bundle but the broker's credentials. One file, so that it is replaced as a whole.
const bundleFile = "bundle.json"

const bundleType = "waypost.bundle.v1"

// Bundle is what a broker knows of its network: public claims, the root's public key, and the way to its own user.
type Bundle struct {
	Type     string   `json:"type"`
	Network  string   `json:"network"`
	Root     string   `json:"root"`     // verifier key of the network root
	Operator string   `json:"operator"` // operator JWT
	System   string   `json:"system"`   // public key of the system account
	Account  string   `json:"account"`  // public key of the network account
	Accounts []string `json:"accounts"` // account JWTs, the agencies' too

	// Credentials is the path of the broker's own NATS credentials.
	Credentials string `json:"-"`
	// Monitor is the path of credentials that may ask NATS about JetStream's settings.
	Monitor string `json:"-"`
	// Log signs the ledger's checkpoints. It prints as its name.
	Log note.Signer `json:"-"`
}

// refreshBundle writes <dir>/broker/. The lock is held.
func (a *Authority) refreshBundle() error {
	b := Bundle{Type: bundleType, Network: a.config.Name, Root: a.keys.rootPublic, System: a.keys.system, Account: publicKey(a.keys.network)}
	read := func(path string) (string, error) {
		t, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("make broker bundle: %w", err)
		}
		return strings.TrimSpace(string(t)), nil
	}
	var err error
	if b.Operator, err = read(a.keys.path("jwt", "operator.jwt")); err != nil {
		return err
	}
	files := []string{a.keys.path("jwt", "system.jwt"), a.keys.path("jwt", "network.jwt"), a.keys.path("jwt", "auditor.jwt")}
	for _, agency := range a.view.Agencies() {
		files = append(files, a.accountPath(agency.ID))
	}
	for _, f := range files {
		t, err := read(f)
		if err != nil {
			return err
		}
		b.Accounts = append(b.Accounts, t)
	}
	out, err := json.Marshal(b, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("make broker bundle: %w", err)
	}
	out = append(out, '\n')
	path := a.keys.path("broker", bundleFile)
	if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, out) {
		return nil
	}
	return WriteFile(path, out, 0o600)
}

// ReadBundle reads a bundle folder and checks that its parts belong together: every account is signed by the operator
// in it, and the system and network accounts are there. Who copied the folder to the broker is not proved by that;
// the broker operator could make a network of its own at any time, only nobody would have joined it.
func ReadBundle(dir string) (*Bundle, error) {
	text, err := os.ReadFile(filepath.Join(dir, bundleFile))
	if err != nil {
		return nil, hint(fmt.Errorf("read broker bundle: %w", err), "`bundle` names the broker/ folder that `waypost network init` made, or a copy of it")
	}
	var b Bundle
	if err := json.Unmarshal(text, &b, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("read broker bundle: %w", err)
	}
	if b.Type != bundleType {
		return nil, fmt.Errorf("read broker bundle: not a %s", bundleType)
	}
	if _, err := note.NewVerifier(b.Root); err != nil {
		return nil, fmt.Errorf("read broker bundle: root key: %w", err)
	}
	op, err := jwt.DecodeOperatorClaims(b.Operator)
	if err != nil {
		return nil, fmt.Errorf("read broker bundle: operator: %w", err)
	}
	if op.SystemAccount != b.System {
		return nil, fmt.Errorf("read broker bundle: the operator names another system account")
	}
	found := 0
	for _, t := range b.Accounts {
		c, err := jwt.DecodeAccountClaims(t)
		if err != nil {
			return nil, fmt.Errorf("read broker bundle: account: %w", err)
		}
		if !op.DidSign(c) {
			return nil, fmt.Errorf("read broker bundle: account %s is not signed by the operator", c.Name)
		}
		if c.Subject == b.System || c.Subject == b.Account {
			found++
		}
	}
	if found != 2 {
		return nil, fmt.Errorf("read broker bundle: the system or the network account is missing")
	}
	b.Credentials = filepath.Join(dir, "broker.creds")
	b.Monitor = filepath.Join(dir, "monitor.creds")
	for _, f := range []string{b.Credentials, b.Monitor} {
		if _, err := readSecret(f); err != nil {
			return nil, err
		}
	}
	if b.Log, err = readLogKey(filepath.Join(dir, logKeyFile), b.Root); err != nil {
		return nil, err
	}
	return &b, nil
}
