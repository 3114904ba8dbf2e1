package agents

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"waypost/agents/vault"
	"waypost/schemas"
	"waypost/schemas/directory"
)

// InitOptions is who an agency is.
type InitOptions struct {
	Agency     string
	Name       string
	Passphrase []byte // empty: the key files are protected by their permissions only
	Now        time.Time
}

// Initialised is what `agent init` leaves behind.
type Initialised struct {
	RequestFile string
	ConfigFile  string
	Fingerprint string // to read out over the telephone
}

const (
	requestFile = "request.json"
	grantFile   = "grant.json"
	configFile  = "agent.yaml"
)

const configTemplate = `# An agency's agent. Every key is explained in deploy/examples/agent.yaml.
agency: %s
api:
  listen: 127.0.0.1:8420
# What arrives is handed to your own systems. A message counts as delivered once every sink that its rule names has it.
sinks:
  - name: intake
    folder: {dir: systems/intake}
routes:
  - sinks: [intake]
`

// Init makes an agency's three key pairs in dir and writes an enrolment request. The private halves never leave dir. A
// second Init changes nothing: it writes the same keys' request again, so that a lost request can be sent again.
func Init(dir string, o InitOptions) (*Initialised, error) {
	if !schemas.ValidAgencyID(o.Agency) { // before keys are made that no network would take
		return nil, &ConfigError{File: "agency", Text: "not an agency's id", Advice: "small letters, digits and hyphens, like harbour-ngo"}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make agent folder: %w", err)
	}
	keys := filepath.Join(dir, "keys")
	v, err := vault.Open(keys, o.Passphrase)
	if errors.Is(err, vault.ErrMissing) {
		v, err = vault.Create(keys, o.Agency, o.Passphrase)
	}
	if err != nil {
		return nil, err
	}
	if v.Agency() != o.Agency {
		return nil, fmt.Errorf("init agency %s: this folder holds the keys of another agency, %s", o.Agency, v.Agency())
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	req, err := request(dir, v, o)
	if err != nil {
		return nil, fmt.Errorf("make enrolment request: %w", err)
	}
	text, err := req.Encode()
	if err != nil {
		return nil, fmt.Errorf("encode enrolment request: %w", err)
	}
	out := &Initialised{RequestFile: filepath.Join(dir, requestFile), ConfigFile: filepath.Join(dir, configFile), Fingerprint: req.Fingerprint()}
	if err := replace(out.RequestFile, text, 0o644); err != nil {
		return nil, fmt.Errorf("write enrolment request: %w", err)
	}
	if _, err := os.Stat(out.ConfigFile); errors.Is(err, os.ErrNotExist) {
		if err := replace(out.ConfigFile, fmt.Appendf(nil, configTemplate, o.Agency), 0o600); err != nil {
			return nil, fmt.Errorf("write agent config: %w", err)
		}
		for _, d := range []string{"data", "systems/intake"} {
			if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
				return nil, fmt.Errorf("make agent folder: %w", err)
			}
		}
	}
	return out, nil
}

// request takes up the request that is there, so that the fingerprint somebody has just read out stays the same; it makes
// one if there is none, or if it was for another name or other keys.
func request(dir string, v *vault.Vault, o InitOptions) (*directory.Request, error) {
	pub := v.Public()
	if text, err := os.ReadFile(filepath.Join(dir, requestFile)); err == nil {
		old, err := directory.ParseRequest(text)
		if err == nil && old.Agency == o.Agency && old.Name == o.Name && old.NATSKey == pub.NATSKey && old.SigningKey == pub.SigningKey && old.Recipient == pub.Recipient {
			return old, nil
		}
	}
	return directory.NewRequest(o.Agency, o.Name, pub.NATSKey, pub.SigningKey, pub.Recipient, o.Now.UTC().Truncate(time.Second), v.SignNATS, v.SignRaw)
}

// Joined says which network an agency has joined.
type Joined struct {
	Agency, Network string
	Fingerprint     string // of the network root's key, to compare over the telephone
}

// Join checks a grant against this agency's own keys and keeps it. A grant for other keys is refused: it would make the
// agent speak as somebody it is not, or trust a root it was not admitted by.
func Join(dir string, text []byte, passphrase []byte) (*Joined, error) {
	g, err := directory.ParseGrant(text)
	if err != nil {
		return nil, fmt.Errorf("read grant: %w", err)
	}
	v, err := vault.Open(filepath.Join(dir, "keys"), passphrase)
	if err != nil {
		return nil, err
	}
	if err := ours(g, v); err != nil {
		return nil, err
	}
	old, err := os.ReadFile(filepath.Join(dir, grantFile))
	if err == nil {
		if before, err := directory.ParseGrant(old); err == nil && before.Root != g.Root {
			return nil, fmt.Errorf("join network: this agent trusts another network root already; a new root needs a new agent folder")
		}
	}
	if err := replace(filepath.Join(dir, grantFile), text, 0o600); err != nil {
		return nil, fmt.Errorf("keep grant: %w", err)
	}
	return &Joined{Agency: g.Agency, Network: g.Network, Fingerprint: g.Fingerprint()}, nil
}

// ours refuses a grant for other keys than this agency holds.
func ours(g *directory.Grant, v *vault.Vault) error {
	pub := v.Public()
	if err := g.Match(v.Agency(), pub.NATSKey, pub.SigningKey, pub.Recipient); err != nil {
		return &ConfigError{File: "grant", Text: "was made for other keys than the ones in this folder",
			Advice: "it may be another agency's; ask the network's administrators for the grant of " + v.Agency()}
	}
	return nil
}
