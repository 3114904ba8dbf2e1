package envelope

import (
	"bytes"
	"fmt"
	"math/bits"

	"github.com/go-json-experiment/json/jsontext"

	"waypost/schemas"
)

// Limits of the plaintext. MaxPlain leaves room for what sealing adds, so that
// a body EncodeBody accepts always fits MaxBody.
const (
	MinPlain        = 4 << 10
	MaxPlain        = MaxBody - 16<<10
	MaxCertificates = 16 // and as many statements
	MaxSeen         = 1 << 10
)

// Header is repeated inside the sealed body. age authenticates nobody, and a
// manifest can be signed over any ciphertext: the header is what keeps a member
// from passing on another's sealed body as its own, or as sent to somebody else.
type Header struct {
	ID     string       `json:"id"`
	Thread string       `json:"thread"`
	From   string       `json:"from"`
	To     string       `json:"to"`
	Kind   schemas.Kind `json:"kind"`
	Schema string       `json:"schema"`
}

// Header returns the header that the sealed body of this message must hold.
func (m *Manifest) Header() Header {
	return Header{ID: m.ID, Thread: m.Thread, From: m.From, To: m.To, Kind: m.Kind, Schema: m.Schema}
}

// Body is what is sealed: the header, the consent certificates that go with the
// message and the statements about them (signed notes, unverified here), what the
// sender has seen of the ledger (a note, unverified too: sealed, so that whoever
// keeps the ledger cannot show the two agencies different ones unnoticed), and
// the payload, whose schema the header names.
type Body struct {
	Header       Header         `json:"header"`
	Certificates []string       `json:"certificates,omitempty"`
	Statements   []string       `json:"statements,omitempty"`
	Seen         string         `json:"seen,omitzero"` // checkpoint of the ledger that the sender last found consistent
	Payload      jsontext.Value `json:"payload"`
}

// EncodeBody frames a payload for sealing: canonical JSON, then spaces up to
// the Padmé bucket of its length, 4 KiB at least. The payload must be a JSON
// object; it is written compactly, its members in the order they have.
func EncodeBody(h Header, certificates, statements []string, seen string, payload []byte) ([]byte, error) {
	if jsontext.Value(payload).Kind() != '{' {
		return nil, malformed("/payload", "object")
	}
	if e := checkNotes("certificates", certificates); e != nil {
		return nil, e
	}
	if e := checkNotes("statements", statements); e != nil {
		return nil, e
	}
	if len(seen) > MaxSeen {
		return nil, &Error{Code: CodeTooLarge, Field: "/seen", Rule: "note_limit"}
	}
	out := make([]byte, 0, PaddedSize(roomFor(certificates, statements, len(seen)+len(payload))))
	out, err := (&Body{Header: h, Certificates: certificates, Statements: statements, Seen: seen, Payload: payload}).append(out)
	if err != nil {
		// The encoder's own error may quote the payload.
		return nil, malformed("/payload", "json")
	}
	// The reader's limits (depth, size) are the writer's too: learn it before
	// the message has a number.
	if !schemas.Within(out) {
		if err := schemas.Readable(out); err != nil {
			return nil, fmt.Errorf("check body: %w", invalid(err))
		}
	}
	size := PaddedSize(len(out))
	if size > MaxPlain {
		return nil, &Error{Code: CodeTooLarge, Field: "body", Rule: "plain_limit"}
	}
	for len(out) < size {
		out = append(out, ' ')
	}
	return out, nil
}

// DecodeBody reads a decrypted body, which came from nobody knows whom: it must
// hold the header want (the verified manifest's), be in canonical form and be
// padded as EncodeBody pads. The payload is checked as JSON only; its schema is
// schemas.DecodePayload's business. No error holds anything from the body.
func DecodeBody(plain []byte, want Header) (*Body, error) {
	if len(plain) > MaxPlain {
		return nil, &Error{Code: CodeTooLarge, Field: "body", Rule: "plain_limit"}
	}
	doc := bytes.TrimRight(plain, " ")
	if len(doc) == 0 || PaddedSize(len(doc)) != len(plain) {
		return nil, malformed("body", "padding")
	}
	var b Body
	if !b.read(doc) {
		if err := DecodeCanonical(doc, &b); err != nil {
			return nil, err
		}
	}
	if b.Payload.Kind() != '{' {
		return nil, malformed("/payload", "object")
	}
	if e := checkNotes("certificates", b.Certificates); e != nil {
		return nil, e
	}
	if e := checkNotes("statements", b.Statements); e != nil {
		return nil, e
	}
	if len(b.Seen) > MaxSeen {
		return nil, &Error{Code: CodeTooLarge, Field: "/seen", Rule: "note_limit"}
	}
	if b.Header != want {
		return nil, &Error{Code: CodeHeaderMismatch, Field: "/header", Rule: differs(b.Header, want)}
	}
	return &b, nil
}

func checkNotes(member string, list []string) *Error {
	if len(list) > MaxCertificates {
		return &Error{Code: CodeTooLarge, Field: "/" + member, Rule: "note_count"}
	}
	for i, c := range list {
		if c == "" {
			return malformed(fmt.Sprintf("/%s/%d", member, i), "required")
		}
	}
	return nil
}

// differs names the first member that differs, never its value.
func differs(got, want Header) string {
	for _, f := range []struct {
		name string
		same bool
	}{
		{"id", got.ID == want.ID}, {"thread", got.Thread == want.Thread},
		{"from", got.From == want.From}, {"to", got.To == want.To},
		{"kind", got.Kind == want.Kind}, {"schema", got.Schema == want.Schema},
	} {
		if !f.same {
			return f.name
		}
	}
	return ""
}

// PaddedSize is the length a document of n bytes is padded to: 4 KiB at least,
// then the Padmé bucket (Nikitin and others, "Reducing Metadata Leakage from
// Encrypted Files and Communication with PURBs", PoPETs 2019, section 4). A
// size tells O(log log n) bits, for at most 12 % of padding.
func PaddedSize(n int) int {
	if n <= MinPlain {
		return MinPlain
	}
	e := bits.Len(uint(n)) - 1 // floor(log2 n)
	s := bits.Len(uint(e))     // floor(log2 e) + 1
	mask := 1<<(e-s) - 1       // the low bits that must be zero
	return (n + mask) &^ mask
}
