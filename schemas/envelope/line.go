package envelope

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"

	"waypost/schemas"
)

// Line is the form of everything Waypost signs: manifests, consent
// certificates, directory entries and heads. It is a golang.org/x/mod/sumdb/note
// note that has exactly one line of text, a JSON object whose first member is
// "type", and exactly one signature:
//
//	{"type":"waypost.manifest.v1",…}⏎
//	⏎
//	— <signer> <base64(4 bytes key hash ‖ 64 bytes Ed25519 signature)>⏎
//
// note.Open accepts more than this (many texts, several signatures, base64 with
// line ends or loose trailing bits). Each of these would give a thief of the
// bytes a second spelling of the same message, with another digest, so Line
// refuses them all: a Line that parses is the only spelling of what it says.
//
// A Line is immutable after ParseLine and safe for concurrent use.
type Line struct {
	JSON    []byte // the document, without its line end; aliases the input
	Signer  string // who the signature line names: a claim until Verify
	KeyHash uint32 // which of the signer's keys: a hint, not signed

	text []byte // what is signed: JSON and its line end
	sig  []byte
}

const (
	sigSize    = 4 + 64    // key hash, Ed25519 signature
	sigPrefix  = "\u2014 " // em dash, space
	sigEncoded = (sigSize + 2) / 3 * 4
)

// ParseLine reads the Line that raw begins with, at most limit bytes long, and
// returns what follows it. It checks form only: nothing is trusted before
// Verify, and the JSON is not looked into before Decode.
func ParseLine(raw []byte, limit int) (line *Line, rest []byte, err error) {
	window := raw[:min(len(raw), limit)]
	tooShort := func(field string) *Error {
		if len(raw) > limit {
			return &Error{Code: CodeTooLarge, Field: field, Rule: "note_limit"}
		}
		return malformed(field, "truncated")
	}

	end := bytes.IndexByte(window, '\n')
	if end < 0 {
		return nil, nil, tooShort("note")
	}
	if end == 0 || window[0] != '{' {
		return nil, nil, malformed("note", "not_an_object")
	}
	sig := window[end+1:]
	if len(sig) == 0 {
		return nil, nil, tooShort("note")
	}
	if sig[0] != '\n' {
		return nil, nil, malformed("note", "one_line")
	}
	sig = sig[1:]
	sigEnd := bytes.IndexByte(sig, '\n')
	if sigEnd < 0 {
		return nil, nil, tooShort("signature")
	}
	size := end + 2 + sigEnd + 1

	name, b64, ok := bytes.Cut(sig[:sigEnd], []byte(" "))
	if !ok || string(name)+" " != sigPrefix {
		return nil, nil, malformed("signature", "prefix")
	}
	name, b64, ok = bytes.Cut(b64, []byte(" "))
	if !ok || !schemas.ValidAgencyID(string(name)) {
		return nil, nil, malformed("signature", "name")
	}
	if len(b64) != sigEncoded {
		return nil, nil, malformed("signature", "base64_length")
	}
	var buf [sigEncoded]byte
	// Go's decoder skips CR and LF and, unless strict, takes any spare bits.
	// Decoding to the full length and encoding back leaves one spelling only.
	n, derr := base64.StdEncoding.Decode(buf[:], b64)
	if derr != nil || n != sigSize || base64.StdEncoding.EncodeToString(buf[:n]) != string(b64) {
		return nil, nil, malformed("signature", "base64")
	}
	return &Line{
		JSON:    raw[:end:end],
		Signer:  string(name),
		KeyHash: binary.BigEndian.Uint32(buf[:4]),
		text:    raw[: end+1 : end+1],
		sig:     bytes.Clone(buf[4:sigSize]),
	}, raw[size:], nil
}

// Decode reads the document into v (a pointer to a struct whose first member is
// "type") and refuses it unless its type is typ and encoding v again gives the
// same bytes. The comparison is what makes unknown, duplicate or reordered
// members, spaces, other escapes, other spellings of numbers and explicit
// empty members impossible without a rule for each.
//
// On error v may be partly filled and must not be used.
func (l *Line) Decode(typ string, v any) error {
	// Looked at before anything else is: a key signs several kinds of document,
	// and none may ever be read as another.
	if !bytes.HasPrefix(l.JSON, []byte(`{"type":"`+typ+`",`)) {
		return malformed("/type", "type")
	}
	return DecodeCanonical(l.JSON, v)
}

// Verify reports whether one of verifiers made the signature. It returns the
// verifier that did, or an Error with [CodeBadSignature].
func (l *Line) Verify(verifiers ...note.Verifier) (note.Verifier, error) {
	known := false
	for _, v := range verifiers {
		if v == nil || v.Name() != l.Signer || v.KeyHash() != l.KeyHash {
			continue
		}
		// The key hash has 32 bits, so two keys may share it: try every match
		// instead of refusing, or one odd key would lock an agency out.
		known = true
		if v.Verify(l.text, l.sig) {
			return v, nil
		}
	}
	rule := "unknown_key"
	if known {
		rule = "signature"
	}
	return nil, &Error{Code: CodeBadSignature, Field: "signature", Rule: rule}
}

// SignLine encodes v canonically and signs it. v must encode to an object whose
// first member is "type". It does no other check: the packages that own the
// documents do.
func SignLine(v any, signer note.Signer) ([]byte, error) {
	doc, err := encode(v)
	if err != nil {
		return nil, fmt.Errorf("encode signed line: %w", err)
	}
	if !bytes.HasPrefix(doc, []byte(`{"type":"`)) {
		return nil, malformed("/type", "type")
	}
	out, err := signNote(append(doc, '\n'), signer)
	if err != nil {
		return nil, fmt.Errorf("sign line: %w", err)
	}
	// A signer of another algorithm or with a name we refuse would make a line
	// that nobody opens: better to learn it here than from every recipient.
	if _, rest, err := ParseLine(out, len(out)); err != nil {
		return nil, fmt.Errorf("check signed line: %w", err)
	} else if len(rest) != 0 {
		return nil, fmt.Errorf("check signed line: %w", malformed("signature", "trailing"))
	}
	return out, nil
}

// signNote is note.Sign for one signer, without its copies.
func signNote(text []byte, signer note.Signer) ([]byte, error) {
	name := signer.Name()
	if !schemas.ValidAgencyID(name) {
		return note.Sign(&note.Note{Text: string(text)}, signer) // which may refuse it
	}
	sig, err := signer.Sign(text)
	if err != nil {
		return nil, err
	}
	var buf [sigSize]byte
	signed := append(binary.BigEndian.AppendUint32(buf[:0], signer.KeyHash()), sig...)
	out := append(text, "\n"+sigPrefix...)
	out = append(out, name...)
	out = append(out, ' ')
	return append(base64.StdEncoding.AppendEncode(out, signed), '\n'), nil
}

// Timestamp is t as signed documents write it: UTC, whole milliseconds, no
// monotonic reading. Time below a millisecond is cut off, never rounded up, so
// a timestamp is not later than the clock it was read from.
func Timestamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// ValidTimestamp reports whether t is a time that a signed document may hold:
// set, in UTC, in whole milliseconds.
func ValidTimestamp(t time.Time) bool {
	_, offset := t.Zone()
	return !t.IsZero() && offset == 0 && t.Nanosecond()%int(time.Millisecond) == 0
}
