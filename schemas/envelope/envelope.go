package envelope

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"

	"golang.org/x/mod/sumdb/note"
)

// Limits. The broker's streams are sized by MaxEnvelope.
const (
	MaxManifest = 8 << 10 // the signed note: manifest, blank line, signature
	MaxBody     = 1 << 20 // the ciphertext
	MaxEnvelope = MaxManifest + MaxBody
)

// bodyMagic is how an age file begins. Insisting on it keeps a plaintext that
// was handed over by mistake from ever leaving, and keeps a second signature
// line from hiding at the head of the body.
const bodyMagic = "age-encryption.org/v1\n"

// Envelope is one message as it travels. An Envelope from Parse is well formed
// and its body is the one the manifest speaks of; who sent it is unknown until
// Verify. It is not changed after Parse and is then safe for concurrent use.
type Envelope struct {
	Manifest Manifest
	Note     []byte // the signed bytes exactly as they travelled
	Body     []byte // the age file, empty for receipts and void messages

	line *Line
}

// Sign makes the NATS payload of a message: it fills in Type, Body and Size,
// cuts the times to whole milliseconds UTC, applies every rule of
// [Manifest.Check], and signs. body is the sealed body, nil for receipts and
// void messages. The signer must carry the name m.From. What Sign returns,
// Parse accepts.
func Sign(m Manifest, body []byte, signer note.Signer) ([]byte, error) {
	m.Type = ManifestType
	m.Body, m.Size = "", len(body)
	m.Sent = Timestamp(m.Sent)
	if m.RespondBy != nil {
		by := Timestamp(*m.RespondBy)
		m.RespondBy = &by
	}
	if len(body) > 0 {
		if e := checkMagic(body); e != nil {
			return nil, e
		}
		m.Body = digest(body)
	}
	if err := m.Check(); err != nil {
		return nil, err
	}
	if signer.Name() != m.From {
		return nil, &Error{Code: CodeBadSignature, Field: "/from", Rule: "signer_name"}
	}
	out, err := SignLine(&m, signer)
	if err != nil {
		return nil, err
	}
	if len(out) > MaxManifest {
		return nil, &Error{Code: CodeTooLarge, Field: "note", Rule: "note_limit"}
	}
	return append(out, body...), nil
}

// Parse reads what travelled. It checks everything that needs no key and no
// clock: form, limits, the manifest's rules, length and digest of the body. It
// accepts one spelling of each message only, so accepted bytes encode again to
// themselves ([Envelope.Raw]). The result aliases raw. On error it is nil.
func Parse(raw []byte) (*Envelope, error) {
	if len(raw) > MaxEnvelope {
		return nil, &Error{Code: CodeTooLarge, Rule: "envelope_limit"}
	}
	line, body, err := ParseLine(raw, MaxManifest)
	if err != nil {
		return nil, err
	}
	e := &Envelope{line: line, Body: body, Note: raw[: len(raw)-len(body) : len(raw)-len(body)]}
	if err := line.Decode(ManifestType, &e.Manifest); err != nil {
		return nil, err
	}
	if err := e.Manifest.Check(); err != nil {
		return nil, err
	}
	if err := e.checkBody(); err != nil {
		return nil, err
	}
	return e, nil
}

func (e *Envelope) checkBody() error {
	m := &e.Manifest
	switch {
	case len(e.Body) > MaxBody:
		return &Error{Code: CodeTooLarge, Field: "body", Rule: "body_limit"}
	case len(e.Body) != m.Size:
		return &Error{Code: CodeBodyMismatch, Field: "body", Rule: "size"}
	case m.Body == "":
		return nil // size is 0 too, by Check
	case digest(e.Body) != m.Body:
		return &Error{Code: CodeBodyMismatch, Field: "body", Rule: "digest"}
	}
	if e := checkMagic(e.Body); e != nil {
		return e
	}
	return nil
}

// Verify reports whether one of verifiers signed the manifest and carries the
// name of the agency it says it is from. Give it the keys that the directory
// lists for that agency at the time the message was sent; a verifier of another
// agency never makes it pass.
func (e *Envelope) Verify(verifiers ...note.Verifier) error {
	if e.line == nil {
		// Not from Parse: nothing was ever signed.
		return &Error{Code: CodeBadSignature, Field: "signature", Rule: "unparsed"}
	}
	// The name stands outside the signed text: without this, agency B could
	// put its own signature under a manifest that says it is from A.
	if e.line.Signer != e.Manifest.From {
		return &Error{Code: CodeBadSignature, Field: "signature", Rule: "signer_name"}
	}
	_, err := e.line.Verify(verifiers...)
	return err
}

// Raw is the envelope as it travelled: the note, then the body.
func (e *Envelope) Raw() []byte {
	out := make([]byte, 0, len(e.Note)+len(e.Body))
	return append(append(out, e.Note...), e.Body...)
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func checkMagic(body []byte) *Error {
	if !bytes.HasPrefix(body, []byte(bodyMagic)) {
		return malformed("body", "not_sealed")
	}
	return nil
}
