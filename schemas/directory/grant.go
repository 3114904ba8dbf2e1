package directory

import (
	"crypto/x509"
	"encoding/pem"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"waypost/schemas"
	"waypost/schemas/envelope"
)

// GrantType is the "type" of a grant.
const GrantType = "waypost.grant.v1"

// MaxGrant is the size limit of a grant's file.
const MaxGrant = 256 << 10

// Grant is what the membership authority hands back to an agency it admitted.
// It holds no secret: the user JWT is of no use without the NATS key. It does
// say whom the agency will trust (Root, CA), so the two people compare
// [Grant.Fingerprint] too. The order of the fields is the order of the members.
type Grant struct {
	Type       string    `json:"type"`
	Agency     string    `json:"agency"`
	NATSKey    string    `json:"nats_key"` // the three keys it was made for
	SigningKey string    `json:"signing_key"`
	Recipient  string    `json:"recipient"`
	UserJWT    string    `json:"user_jwt"` // not looked into here
	Root       string    `json:"root"`     // the network root's note verifier key
	Network    string    `json:"network"`  // the network's name
	URLs       []string  `json:"urls"`     // of brokers: nats, tls, ws, wss
	CA         string    `json:"ca,omitzero"`
	Issued     time.Time `json:"issued"`
}

var jwtSyntax = regexp.MustCompile(`^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$`)

// Encode writes the grant's file: the canonical JSON and a line end. It sets
// Type, writes Issued in whole milliseconds UTC, and refuses what ParseGrant
// would refuse.
func (g *Grant) Encode() ([]byte, error) {
	c := *g
	c.Type = GrantType
	c.Issued = envelope.Timestamp(c.Issued)
	if e := c.check(); e != nil {
		return nil, e
	}
	out, err := encodeFile(&c)
	if err != nil {
		return nil, err
	}
	if len(out) > MaxGrant {
		return nil, &Error{Code: CodeTooLarge}
	}
	return out, nil
}

// ParseGrant reads a grant's file. A grant is not signed: who joins under it
// trusts who handed it over. Call [Grant.Match] before anything in it is used.
func ParseGrant(b []byte) (*Grant, error) {
	g := new(Grant)
	if err := decodeFile(b, MaxGrant, GrantType, g); err != nil {
		return nil, err
	}
	if e := g.check(); e != nil {
		return nil, e
	}
	return g, nil
}

// Match refuses a grant that was made for another agency or for other keys,
// with [CodeOtherKeys].
func (g *Grant) Match(agency, natsKey, signingKey, recipient string) error {
	for _, f := range []struct{ field, got, want string }{
		{"/agency", g.Agency, agency}, {"/nats_key", g.NATSKey, natsKey},
		{"/signing_key", g.SigningKey, signingKey}, {"/recipient", g.Recipient, recipient},
	} {
		if f.got != f.want {
			return &Error{Code: CodeOtherKeys, Field: f.field}
		}
	}
	return nil
}

// RootVerifier returns the verifier of the network root.
func (g *Grant) RootVerifier() (note.Verifier, error) {
	v, _, err := parseSigningKey(g.Root, RootName)
	if err != nil {
		return nil, malformed("/root", err.Error())
	}
	return v, nil
}

// Fingerprint is the network root's fingerprint, see [RootFingerprint].
func (g *Grant) Fingerprint() string { return RootFingerprint(g.Root) }

// RootFingerprint is what two people compare over the telephone before an
// agency joins, in the form of [Request.Fingerprint], made of the line
// "waypost.root.v1" and the root's verifier key. It is the same for all members.
func RootFingerprint(vkey string) string { return fingerprint([]byte("waypost.root.v1\n" + vkey)) }

func (g *Grant) check() *Error {
	switch {
	case g.Type != GrantType:
		return malformed("/type", "type")
	case !schemas.ValidAgencyID(g.Agency):
		return malformed("/agency", "agency_id")
	case g.Agency == RootName:
		return malformed("/agency", "reserved")
	case !jwtSyntax.MatchString(g.UserJWT):
		return malformed("/user_jwt", "jwt")
	case !validText(g.Network, 1, 200):
		return malformed("/network", "line")
	case len(g.URLs) == 0:
		return malformed("/urls", "required")
	case len(g.URLs) > 32:
		return malformed("/urls", "max")
	case !envelope.ValidTimestamp(g.Issued):
		return malformed("/issued", "timestamp")
	}
	if e := checkKeySet(g.Agency, g.NATSKey, g.SigningKey, g.Recipient); e != nil {
		return e
	}
	if _, _, err := parseSigningKey(g.Root, RootName); err != nil {
		return malformed("/root", err.Error())
	}
	for i, s := range g.URLs {
		if !validURL(s) {
			return malformed(at("/urls", i), "url")
		}
	}
	if g.CA != "" && !validCA(g.CA) {
		return malformed("/ca", "certificates")
	}
	return nil
}

// validURL accepts the address of a broker and nothing that carries more: a
// password in a URL would end in logs.
func validURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && len(s) <= 512 && u.Host != "" && u.Hostname() != "" && u.User == nil &&
		u.RawQuery == "" && u.Fragment == "" && !u.ForceQuery &&
		slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme)
}

// validCA accepts PEM that is certificates from end to end, so that a private
// key that was pasted along is noticed here and goes no further.
func validCA(s string) bool {
	rest, n := []byte(s), 0
	for len(strings.TrimSpace(string(rest))) > 0 {
		block, after := pem.Decode(rest)
		if block == nil || block.Type != "CERTIFICATE" || !strings.HasPrefix(string(rest), "-----BEGIN ") {
			return false
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return false
		}
		rest = after
		n++
	}
	return n > 0
}
