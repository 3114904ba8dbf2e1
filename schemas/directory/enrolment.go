package directory

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/nats-io/nkeys"

	"waypost/schemas"
	"waypost/schemas/envelope"
)

// RequestType is the "type" of an enrolment request, and the first line of the
// message that its proofs sign.
const RequestType = "waypost.enrolment.v1"

// MaxRequest is the size limit of an enrolment request's file.
const MaxRequest = 16 << 10

// Request is what an agency that wants to join hands to the membership
// authority: its public keys, and the proof that it holds the private ones. The
// order of the fields is the order of the members.
type Request struct {
	Type       string    `json:"type"`
	Agency     string    `json:"agency"`
	Name       string    `json:"name,omitzero"`
	NATSKey    string    `json:"nats_key"`
	SigningKey string    `json:"signing_key"` // note verifier key
	Recipient  string    `json:"recipient"`   // age hybrid recipient
	Created    time.Time `json:"created"`
	Proofs     Proofs    `json:"proofs,omitzero"`
}

// Proofs are signatures over the same message by the two keys that can sign:
// base64 of 64 bytes each. The age identity cannot sign; a wrong recipient harms
// only its owner, who could not read what it is sent.
type Proofs struct {
	NATS    string `json:"nats"`
	Signing string `json:"signing"`
}

// NewRequest makes a request and has both private keys sign it. signNATS and
// signSigning get the message and return the raw 64 bytes of an Ed25519
// signature; they may be called once each and their errors are returned. created
// is cut to whole milliseconds UTC.
func NewRequest(agency, name, natsPub, signingVKey, recipient string, created time.Time,
	signNATS, signSigning func([]byte) ([]byte, error)) (*Request, error) {
	r := &Request{
		Type: RequestType, Agency: agency, Name: name, NATSKey: natsPub, SigningKey: signingVKey,
		Recipient: recipient, Created: envelope.Timestamp(created),
	}
	if e := r.check(); e != nil {
		return nil, e
	}
	msg, err := r.message()
	if err != nil {
		return nil, err
	}
	for _, p := range []struct {
		what string
		sign func([]byte) ([]byte, error)
		to   *string
	}{{"NATS", signNATS, &r.Proofs.NATS}, {"signing", signSigning, &r.Proofs.Signing}} {
		sig, err := p.sign(msg)
		if err != nil {
			return nil, fmt.Errorf("prove possession of %s key: %w", p.what, err)
		}
		*p.to = base64.StdEncoding.EncodeToString(sig)
	}
	// Catches a key pair whose halves do not belong together before the file
	// travels to the authority.
	if err := r.Verify(); err != nil {
		return nil, err
	}
	return r, nil
}

// Encode writes the request's file: the canonical JSON and a line end.
func (r *Request) Encode() ([]byte, error) {
	if e := r.check(); e != nil {
		return nil, e
	}
	return encodeFile(r)
}

// ParseRequest reads a request's file and verifies both proofs. Whether the
// request is the one the agency made, only [Request.Fingerprint], compared by
// two people over the telephone, can tell. On error it is nil.
func ParseRequest(b []byte) (*Request, error) {
	r := new(Request)
	if err := decodeFile(b, MaxRequest, RequestType, r); err != nil {
		return nil, err
	}
	if err := r.Verify(); err != nil {
		return nil, err
	}
	return r, nil
}

// Verify checks the request's form and that both keys signed it.
func (r *Request) Verify() error {
	if e := r.check(); e != nil {
		return e
	}
	msg, err := r.message()
	if err != nil {
		return err
	}
	sig, e := decodeProof("/proofs/nats", r.Proofs.NATS)
	if e != nil {
		return e
	}
	user, err := nkeys.FromPublicKey(r.NATSKey)
	if err != nil {
		return malformed("/nats_key", "nkey")
	}
	if user.Verify(msg, sig) != nil {
		return &Error{Code: CodeBadSignature, Field: "/proofs/nats"}
	}
	if sig, e = decodeProof("/proofs/signing", r.Proofs.Signing); e != nil {
		return e
	}
	_, pub, err := parseSigningKey(r.SigningKey, r.Agency)
	if err != nil {
		return malformed("/signing_key", err.Error())
	}
	if !ed25519.Verify(pub, msg, sig) {
		return &Error{Code: CodeBadSignature, Field: "/proofs/signing"}
	}
	return nil
}

// message is what the proofs sign: the type and a line end, then the canonical
// request without proofs. Everything that is a note, and so every manifest,
// certificate and directory document, begins with "{"; this begins with "w". A
// NATS server chooses what a NATS key signs at connect, so the NATS proof alone
// never admits anybody.
func (r *Request) message() ([]byte, error) {
	bare := *r
	bare.Proofs = Proofs{}
	doc, err := schemas.Encode(&bare)
	if err != nil {
		return nil, wrap(err)
	}
	return append([]byte(RequestType+"\n"), doc...), nil
}

// Fingerprint is what two people compare over the telephone before the request
// is granted: eight groups of five digits, made of everything in the request but
// the proofs.
//
// It is SHA-256 of the message the proofs sign, as a big-endian number modulo
// 10^40. Forty digits are 132 bits: whoever swaps the file on its way must find
// another request with the same digits. Digits and not letters, because B, D, P,
// T and V sound alike on a telephone, to speakers of other languages still more,
// and because everybody reads digits aloud in the same way.
func (r *Request) Fingerprint() string {
	msg, err := r.message()
	if err != nil {
		return "" // a request that does not encode never passes Verify
	}
	return fingerprint(msg)
}

func fingerprint(msg []byte) string {
	sum := sha256.Sum256(msg)
	n := new(big.Int).SetBytes(sum[:])
	n.Mod(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(40), nil))
	digits := fmt.Sprintf("%040s", n.String())
	groups := make([]string, 8)
	for i := range groups {
		groups[i] = digits[i*5 : i*5+5]
	}
	return strings.Join(groups, " ")
}

// check applies the rules that need no proof.
func (r *Request) check() *Error {
	switch {
	case r.Type != RequestType:
		return malformed("/type", "type")
	case !schemas.ValidAgencyID(r.Agency):
		return malformed("/agency", "agency_id")
	case r.Agency == RootName:
		return malformed("/agency", "reserved")
	case !validText(r.Name, 0, 200):
		return malformed("/name", "line")
	case !envelope.ValidTimestamp(r.Created):
		return malformed("/created", "timestamp")
	}
	return checkKeySet(r.Agency, r.NATSKey, r.SigningKey, r.Recipient)
}

// checkKeySet checks the three public keys of an agency.
func checkKeySet(agency, natsKey, signingKey, recipient string) *Error {
	nats, err := parseNATSKey(natsKey)
	if err != nil {
		return malformed("/nats_key", err.Error())
	}
	_, pub, err := parseSigningKey(signingKey, agency)
	if err != nil {
		return malformed("/signing_key", err.Error())
	}
	if pub.Equal(nats) {
		return malformed("/signing_key", "same_as_nats_key")
	}
	if err := checkRecipient(recipient); err != nil {
		return malformed("/recipient", err.Error())
	}
	return nil
}

func decodeProof(field, s string) ([]byte, *Error) {
	sig, err := base64.StdEncoding.Strict().DecodeString(s)
	// Encoding again refuses the line ends that the decoder ignores.
	if err != nil || len(sig) != ed25519.SignatureSize || base64.StdEncoding.EncodeToString(sig) != s {
		return nil, malformed(field, "base64")
	}
	return sig, nil
}

// encodeFile and decodeFile are the form of the two enrolment files: one line of
// canonical JSON and a line end.
func encodeFile(v any) ([]byte, error) {
	doc, err := schemas.Encode(v)
	if err != nil {
		return nil, wrap(err)
	}
	return append(doc, '\n'), nil
}

func decodeFile(b []byte, limit int, typ string, v any) error {
	if len(b) > limit {
		return &Error{Code: CodeTooLarge}
	}
	doc, ok := strings.CutSuffix(string(b), "\n")
	if !ok {
		return malformed("", "line_end")
	}
	if !strings.HasPrefix(doc, `{"type":"`+typ+`",`) {
		return malformed("/type", "type")
	}
	if err := envelope.DecodeCanonical([]byte(doc), v); err != nil {
		return wrap(err)
	}
	return nil
}
