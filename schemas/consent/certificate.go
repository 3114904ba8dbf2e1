package consent

import (
	"errors"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"waypost/schemas"
	"waypost/schemas/envelope"
)

// CertificateType is the "type" of a certificate. An agency signs manifests and
// certificates with one key; the types keep one from ever being read as the other.
const CertificateType = "waypost.consent.v1"

// MaxCertificate is the size limit of a certificate's text.
const MaxCertificate = 32 << 10

// Certificate is a consent that the agency which took it has signed. It travels
// inside the sealed body of every message that relies on it. The order of the
// fields is the order of the members.
type Certificate struct {
	Type   string    `json:"type"`
	ID     string    `json:"id"`     // UUIDv4; a manifest's basis is "consent:" and this id
	Issuer string    `json:"issuer"` // agency id; also the name on the signature
	Issued time.Time `json:"issued"` // UTC, milliseconds
	// Supersedes is the certificate that this one renews or narrows. What was sent
	// under the old one keeps it; nothing new is.
	Supersedes string          `json:"supersedes,omitzero"`
	Consent    schemas.Consent `json:"consent"`
}

// Basis is what a manifest that relies on the certificate says.
func (c *Certificate) Basis() string { return envelope.ConsentPrefix + c.ID }

// NewID returns an id for a new certificate. It is random and says nothing
// about the survivor.
func NewID() string { return schemas.NewThreadID() }

// Error says why a certificate was refused. Like every error that crosses a
// border it has a code, a place and a rule, and never a value.
type Error struct {
	Code  string // one of envelope's codes: malformed, too-large, bad-signature
	Field string // JSON pointer, or a part: note, signature
	Rule  string
	Err   error
}

func (e *Error) Error() string {
	return strings.TrimRight("certificate: "+e.Code+": "+e.Field+": "+e.Rule, ": ")
}

func (e *Error) Unwrap() error { return e.Err }

func malformed(field, rule string) *Error {
	return &Error{Code: envelope.CodeMalformed, Field: field, Rule: rule}
}

// wrap keeps code, field and rule of what the line layer found.
func wrap(err error) error {
	if ee, ok := errors.AsType[*envelope.Error](err); ok {
		return &Error{Code: ee.Code, Field: ee.Field, Rule: ee.Rule, Err: err}
	}
	return &Error{Code: envelope.CodeMalformed, Rule: "invalid", Err: err}
}

// Sign makes the signed text of a certificate. It sets Type, writes all times in
// UTC and whole milliseconds, and refuses a consent that does not validate or
// has no end. The signer must carry the name c.Issuer. What Sign returns, Read
// and Open accept.
func Sign(c Certificate, signer note.Signer) (string, error) {
	_, text, err := Issue(c, signer)
	return text, err
}

// Issue is Sign that also returns the certificate as every reader of the text will see it.
func Issue(c Certificate, signer note.Signer) (*Certificate, string, error) {
	c.Type = CertificateType
	c.Issued = envelope.Timestamp(c.Issued)
	for _, t := range []*time.Time{&c.Consent.Given, &c.Consent.Expires, &c.Consent.Review} {
		if !t.IsZero() {
			*t = envelope.Timestamp(*t)
		}
	}
	if signer.Name() != c.Issuer {
		return nil, "", &Error{Code: envelope.CodeBadSignature, Field: "/issuer", Rule: "signer_name"}
	}
	text, err := envelope.SignLine(&c, signer)
	if err != nil {
		return nil, "", wrap(err)
	}
	if len(text) > MaxCertificate {
		return nil, "", &Error{Code: envelope.CodeTooLarge, Field: "note", Rule: "note_limit"}
	}
	// The strict reader applies every rule, also those of form that the caller
	// may have broken, such as an empty list: what every recipient would refuse
	// is refused here, and its signature is thrown away.
	signed, err := Read(string(text))
	if err != nil {
		return nil, "", err
	}
	return signed, string(text), nil
}

// Read parses a certificate without checking who signed it: for showing one's
// own, and for learning the issuer whose keys Open needs. Nothing in it may be
// relied on. It accepts one spelling of each certificate only.
func Read(text string) (*Certificate, error) {
	c, _, err := read(text)
	return c, err
}

// Open parses a certificate and verifies that the agency it names as issuer
// signed it, with one of verifiers: give it the keys that the directory lists
// for that agency at the time the certificate was issued. On error it is nil.
func Open(text string, verifiers ...note.Verifier) (*Certificate, error) {
	return OpenWith(text, func(string, time.Time) []note.Verifier { return verifiers })
}

// OpenWith is Open for a text of which the issuer is not known yet: keys is asked for the verifiers of the issuer that it
// names, at the time at which it says that it was issued.
func OpenWith(text string, keys func(issuer string, at time.Time) []note.Verifier) (*Certificate, error) {
	c, line, err := read(text)
	if err != nil {
		return nil, err
	}
	// The name on the signature line is not signed; the issuer is.
	if line.Signer != c.Issuer {
		return nil, &Error{Code: envelope.CodeBadSignature, Field: "/issuer", Rule: "signer_name"}
	}
	if _, err := line.Verify(keys(c.Issuer, c.Issued)...); err != nil {
		return nil, wrap(err)
	}
	return c, nil
}

func read(text string) (*Certificate, *envelope.Line, error) {
	line, rest, err := envelope.ParseLine([]byte(text), MaxCertificate)
	if err != nil {
		return nil, nil, wrap(err)
	}
	if len(rest) != 0 {
		return nil, nil, malformed("note", "trailing_data")
	}
	c := new(Certificate)
	if err := line.Decode(CertificateType, c); err != nil {
		return nil, nil, wrap(err)
	}
	if err := c.check(); err != nil {
		return nil, nil, err
	}
	return c, line, nil
}

// check applies the rules that need no key and no clock.
func (c *Certificate) check() error {
	k := &c.Consent
	switch {
	case c.Type != CertificateType:
		return malformed("/type", "type")
	case !schemas.ValidThreadID(c.ID):
		return malformed("/id", "certificate_id")
	case !schemas.ValidAgencyID(c.Issuer):
		return malformed("/issuer", "agency_id")
	case !envelope.ValidTimestamp(c.Issued):
		return malformed("/issued", "timestamp")
	case c.Supersedes != "" && (!schemas.ValidThreadID(c.Supersedes) || c.Supersedes == c.ID):
		return malformed("/supersedes", "certificate_id")
	case !envelope.ValidTimestamp(k.Given):
		return malformed("/consent/given", "timestamp")
	case k.Given.After(c.Issued):
		return malformed("/consent/given", "after_issued")
	case !envelope.ValidTimestamp(k.Expires):
		return malformed("/consent/expires", "timestamp")
	case !k.Expires.After(k.Given):
		return malformed("/consent/expires", "after_given")
	case !k.Review.IsZero() && !envelope.ValidTimestamp(k.Review):
		return malformed("/consent/review", "timestamp")
	case k.ValidForDays != 0:
		// Two ways to say when it ends would be two ends.
		return malformed("/consent/valid_for_days", "forbidden")
	}
	if err := schemas.ValidateAt(k, c.Issued); err != nil {
		e := malformed("/consent", "invalid")
		e.Err = err
		if ie, ok := errors.AsType[*schemas.InvalidError](err); ok && len(ie.Problems) > 0 {
			e.Field, e.Rule = "/consent"+ie.Problems[0].Path, ie.Problems[0].Rule
		}
		return e
	}
	return nil
}
