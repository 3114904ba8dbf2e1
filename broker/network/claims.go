package network

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// The account layout.
//
// The streams live in one account, the network account. Each agency has an account of its own, without JetStream, that
// imports from the network account exactly the subjects that bear its id. An agency's user is made by one scoped
// signing key whose template names the same subjects with {{name()}}.
//
// Why an account each, when permissions seem to say the same: JetStream answers to whatever reply subject a request
// names, with the server's rights and not the sender's. With all agencies in one account, an agency could let the
// server publish for it, for example a pull request with the reply `mail.urgent.<victim>.<somebody>` or
// `$KV.DIRECTORY.head`; both were tried and worked. In its own account a reply subject reaches nothing but itself.
// The second gain: an agency cannot hear another's inbox even if a permission were wrong.

// writeClaims writes the operator's and the network account's claims and the users of the broker, the administrator and the restorer.
func (k *keyring) writeClaims() error {
	op := jwt.NewOperatorClaims(publicKey(k.operator))
	op.Name = k.name
	op.SystemAccount = k.system
	token, err := op.Encode(k.operator)
	if err != nil {
		return fmt.Errorf("sign operator: %w", err)
	}
	if err := WriteFile(k.path("jwt", "operator.jwt"), []byte(token+"\n"), 0o644); err != nil {
		return err
	}
	if err := k.writeAccount(k.path("jwt", "network.jwt"), k.networkAccount(1)); err != nil {
		return err
	}
	account := publicKey(k.network)
	for file, user := range map[string]struct {
		name string
		perm jwt.Permissions
	}{
		"keys/admin.creds":    {"administrator", adminPermissions()},
		"keys/restorer.creds": {"restorer", restorerPermissions()},
		"broker/broker.creds": {"broker", brokerPermissions()},
	} {
		creds, err := issueUser(k.network, account, user.name, user.perm)
		if err != nil {
			return err
		}
		if err := WriteFile(k.path(filepath.FromSlash(file)), creds, 0o600); err != nil {
			return err
		}
	}
	return k.newAuditor()
}

func (k *keyring) networkAccount(version uint64) *jwt.AccountClaims {
	account := publicKey(k.network)
	c := jwt.NewAccountClaims(account)
	c.Name = "NETWORK"
	c.Limits.LeafNodeConn = 0
	c.Limits.DisallowBearer = true
	// How much disk there is, the broker's machine knows (its quotas.disk); a limit here would be reserved from it. What is
	// sure here is that no stream is without a bound.
	c.Limits.JetStreamLimits = jwt.JetStreamLimits{DiskStorage: jwt.NoLimit, MaxBytesRequired: true, Streams: 32, Consumer: jwt.NoLimit}
	service := func(subject string, response jwt.ResponseType) {
		e := &jwt.Export{Name: subject, Subject: jwt.Subject(subject), Type: jwt.Service, ResponseType: response}
		if response == jwt.ResponseTypeStream {
			e.ResponseThreshold = responseThreshold
		}
		c.Exports.Add(e)
	}
	service("mail.*.*.*", jwt.ResponseTypeSingleton)
	service("log.*.*", jwt.ResponseTypeSingleton)
	// A read of many records is answered with as many messages.
	service(ledgerGet, jwt.ResponseTypeStream)
	service(checkpointGet, jwt.ResponseTypeStream)
	service(directoryGet, jwt.ResponseTypeSingleton)
	for _, stream := range mailStreams {
		// A pull request is answered with many messages.
		service("$JS.API.CONSUMER.MSG.NEXT."+stream+".*", jwt.ResponseTypeStream)
		service("$JS.API.CONSUMER.INFO."+stream+".*", jwt.ResponseTypeSingleton)
		service("$JS.API.CONSUMER.UNPIN."+stream+".*", jwt.ResponseTypeSingleton)
		service("$JS.ACK."+stream+".*.>", jwt.ResponseTypeSingleton)
		service(ackV2(account)+stream+".*.>", jwt.ResponseTypeSingleton)
	}
	c.Exports.Add(&jwt.Export{Name: "directory", Subject: directoryPrefix + ">", Type: jwt.Stream})
	setVersion(c, version)
	return c
}

// agencyAccount makes or renews the claims of one agency's account. The account has no key of its own that anybody
// keeps: its claims are signed by the operator, its users by the scoped signing key.
func (k *keyring) agencyAccount(id, account string, suspended bool, version uint64) (*jwt.AccountClaims, error) {
	if account == "" {
		kp, err := nkeys.CreateAccount()
		if err != nil {
			return nil, fmt.Errorf("make account of %s: %w", id, err)
		}
		account = publicKey(kp)
		kp.Wipe()
	}
	network := publicKey(k.network)
	c := jwt.NewAccountClaims(account)
	c.Name = id
	c.Limits.NatsLimits = jwt.NatsLimits{Subs: 1024, Data: jwt.NoLimit, Payload: MaxPayload}
	c.Limits.AccountLimits = jwt.AccountLimits{Imports: jwt.NoLimit, Exports: 0, DisallowBearer: true, Conn: 16}
	for _, subject := range agencySubjects(network, id) {
		i := &jwt.Import{Name: subject, Subject: jwt.Subject(subject), Account: network, Type: jwt.Service}
		if rest, ok := strings.CutPrefix(subject, apiPrefix); ok {
			i.LocalSubject, i.Subject = jwt.RenamingSubject(subject), jwt.Subject("$JS.API."+rest)
			c.AddMapping(i.Subject, jwt.WeightedMapping{Subject: jwt.Subject(subject)})
		}
		c.Imports.Add(i)
	}
	c.Imports.Add(&jwt.Import{Name: "directory", Subject: directoryPrefix + ">", Account: network, Type: jwt.Stream})
	c.SigningKeys.AddScopedSigner(agencyScope(network, publicKey(k.agency)))
	if suspended {
		// All users, whenever issued: until the account's claims say otherwise, nobody connects to it.
		c.Revocations = jwt.RevocationList{}
		c.Revocations.Revoke(jwt.All, never)
	}
	setVersion(c, version)
	return c, nil
}

// auditorAccount makes or renews the claims of the auditors' account: like an agency's, for the same reason, it imports what
// it may ask and nothing else.
func (k *keyring) auditorAccount(account string, version uint64) *jwt.AccountClaims {
	network := publicKey(k.network)
	c := jwt.NewAccountClaims(account)
	c.Name = "AUDIT"
	c.Limits.NatsLimits = jwt.NatsLimits{Subs: 1024, Data: jwt.NoLimit, Payload: MaxPayload}
	c.Limits.AccountLimits = jwt.AccountLimits{Imports: jwt.NoLimit, Exports: 0, DisallowBearer: true, Conn: 16}
	for _, subject := range auditorSubjects {
		c.Imports.Add(&jwt.Import{Name: subject, Subject: jwt.Subject(subject), Account: network, Type: jwt.Service})
	}
	setVersion(c, version)
	return c
}

// newAuditor makes the auditors' account and its one user. Its key is not kept, so that there can be no other.
func (k *keyring) newAuditor() error {
	kp, err := nkeys.CreateAccount()
	if err != nil {
		return fmt.Errorf("make auditor account: %w", err)
	}
	defer kp.Wipe()
	if err := k.writeAccount(k.path("jwt", "auditor.jwt"), k.auditorAccount(publicKey(kp), 1)); err != nil {
		return err
	}
	creds, err := issueUser(kp, publicKey(kp), "auditor", auditorPermissions())
	if err != nil {
		return err
	}
	return WriteFile(k.path("keys", "auditor.creds"), creds, 0o600)
}

func (k *keyring) writeAccount(path string, c *jwt.AccountClaims) error {
	var r jwt.ValidationResults
	c.Validate(&r)
	if r.IsBlocking(true) {
		return fmt.Errorf("sign account %s: %w", c.Name, errors.Join(r.Errors()...))
	}
	token, err := c.Encode(k.operator)
	if err != nil {
		return fmt.Errorf("sign account %s: %w", c.Name, err)
	}
	return WriteFile(path, []byte(token+"\n"), 0o644)
}

// userJWT admits one agency's NATS key. It never expires: suspension is by revocation, which also ends live connections.
func (k *keyring) userJWT(id, natsKey, account string) (string, error) {
	u := jwt.NewUserClaims(natsKey)
	u.Name = id
	u.IssuerAccount = account
	u.SetScoped(true)
	token, err := u.Encode(k.agency)
	if err != nil {
		return "", fmt.Errorf("sign user of %s: %w", id, err)
	}
	return token, nil
}

// versionTag orders account claims. Their own issue time has a resolution of a second, too coarse to decide which of
// two copies, the broker's and the bundle's, is newer.
const versionTag = "waypost-version:"

func setVersion(c *jwt.AccountClaims, version uint64) {
	c.Tags.Add(versionTag + strconv.FormatUint(version, 10))
}

// AccountVersion is the order of account claims as the authority numbered them; 0 if it did not.
func AccountVersion(c *jwt.AccountClaims) uint64 {
	for _, t := range c.Tags {
		if n, ok := strings.CutPrefix(t, versionTag); ok {
			v, err := strconv.ParseUint(n, 10, 64)
			if err == nil {
				return v
			}
		}
	}
	return 0
}

func readAccount(path string) (*jwt.AccountClaims, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c, err := jwt.DecodeAccountClaims(strings.TrimSpace(string(b)))
	if err != nil {
		return nil, fmt.Errorf("read account claims %s: %w", filepath.Base(path), err)
	}
	return c, nil
}

func issueUser(signer nkeys.KeyPair, account, name string, p jwt.Permissions) ([]byte, error) {
	kp, err := nkeys.CreateUser()
	if err != nil {
		return nil, fmt.Errorf("make user %s: %w", name, err)
	}
	defer kp.Wipe()
	u := jwt.NewUserClaims(publicKey(kp))
	u.Name = name
	u.Permissions = p
	if publicKey(signer) != account {
		u.IssuerAccount = account
	}
	token, err := u.Encode(signer)
	if err != nil {
		return nil, fmt.Errorf("sign user %s: %w", name, err)
	}
	seed, err := kp.Seed()
	if err != nil {
		return nil, fmt.Errorf("make user %s: %w", name, err)
	}
	return jwt.FormatUserConfig(token, seed)
}

// IssueAdministrator makes credentials with every right in the network account: for repair by hand with the `nats`
// tool, and for tests. They are not stored.
func (a *Authority) IssueAdministrator(name string) (creds []byte, err error) {
	return issueUser(a.keys.network, publicKey(a.keys.network), name, jwt.Permissions{})
}

// never is the issue time up to which all users of a suspended agency are revoked. It is fixed, so that claims that
// mean the same are the same.
var never = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
