package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"waypost/schemas"
	"waypost/schemas/directory"
	"waypost/schemas/envelope"
)

// RecordType is the "type" of every record's first line.
const RecordType = "waypost.record.v1"

// MaxRecord bounds a record: a directory head, and room for the first line.
const MaxRecord = directory.MaxHead + 4<<10

// Kind says what a record holds.
type Kind string

// The kinds of records; the package documentation says what each is for.
const (
	KindMail      Kind = "mail"
	KindOpaque    Kind = "opaque"
	KindDirectory Kind = "directory"
	KindAct       Kind = "act"
	KindGap       Kind = "gap"
	KindExpired   Kind = "expired"
)

// The streams whose messages are recorded.
const (
	StreamUrgent    = "MAIL_URGENT"
	StreamRoutine   = "MAIL_ROUTINE"
	StreamReceipt   = "MAIL_RECEIPT"
	StreamDirectory = "KV_DIRECTORY"
)

// Streams lists them in the order that the notary prefers when two messages bear the same time: the directory first.
func Streams() []string {
	return []string{StreamDirectory, StreamUrgent, StreamRoutine, StreamReceipt}
}

// Record is one entry of the ledger. Which fields a kind has, the package documentation says; a field that a kind does not
// have is zero.
type Record struct {
	Type    string    `json:"type"`
	Kind    Kind      `json:"kind"`
	Time    time.Time `json:"time"`             // when the broker stored it; acts: when the notary took it
	Stream  string    `json:"stream,omitzero"`  // where it was stored
	Seq     uint64    `json:"seq,omitzero"`     // its number there
	Last    uint64    `json:"last,omitzero"`    // gap: the last number that is missing
	Subject string    `json:"subject,omitzero"` // directory, opaque
	Digest  string    `json:"digest,omitzero"`  // opaque: sha256:<hex> of all its bytes
	Size    int       `json:"size,omitzero"`    // opaque: how many

	Note []byte `json:"-"` // what follows the first line: a manifest note, a directory note, an act
}

var (
	subjectSyntax = regexp.MustCompile(`^[A-Za-z0-9$_.-]{1,255}$`)
	digestSyntax  = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

// Encode writes the record as it is hashed and stored. The result is what [ParseRecord] accepts, or there is an error.
func (r *Record) Encode() ([]byte, error) {
	r.Type = RecordType
	r.Time = envelope.Timestamp(r.Time)
	head, err := schemas.Encode(r)
	if err != nil {
		return nil, malformed("encoding", err)
	}
	out := append(append(head, '\n'), r.Note...)
	if len(out) > MaxRecord {
		return nil, &Error{Code: CodeTooLarge, Rule: "record_limit"}
	}
	if _, err := ParseRecord(out); err != nil {
		return nil, err
	}
	return out, nil
}

// ParseRecord reads a record. It accepts one spelling only, and checks form: signatures are [Audit]'s business. The result
// aliases raw.
func ParseRecord(raw []byte) (*Record, error) {
	if len(raw) > MaxRecord {
		return nil, &Error{Code: CodeTooLarge, Rule: "record_limit"}
	}
	head, rest, ok := bytes.Cut(raw, []byte("\n"))
	if !ok || !bytes.HasPrefix(head, []byte(`{"type":"`+RecordType+`",`)) {
		return nil, malformed("record_type", nil)
	}
	var r Record
	if err := envelope.DecodeCanonical(head, &r); err != nil {
		return nil, malformed("record_line", err)
	}
	if len(rest) > 0 {
		r.Note = rest
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	return &r, nil
}

func (r *Record) check() error {
	none := func(wrong ...bool) bool { return !slices.Contains(wrong, true) }
	stored := slices.Contains(Streams(), r.Stream) && r.Seq >= 1 && r.Seq <= envelope.MaxSeq
	mail := stored && r.Stream != StreamDirectory
	opaque := r.Digest != "" || r.Size != 0
	good := false
	switch r.Kind {
	case KindMail:
		good = mail && none(r.Last != 0, r.Subject != "", opaque) && len(r.Note) > 0 && len(r.Note) <= envelope.MaxManifest
	case KindDirectory:
		good = stored && !mail && strings.HasPrefix(r.Subject, DirectoryPrefix) && subjectSyntax.MatchString(r.Subject) && none(r.Last != 0, opaque) && len(r.Note) > 0
	case KindOpaque:
		good = stored && subjectSyntax.MatchString(r.Subject) && digestSyntax.MatchString(r.Digest) && none(r.Last != 0, len(r.Note) > 0, r.Size < 0)
	case KindGap:
		good = stored && r.Last >= r.Seq && r.Last <= envelope.MaxSeq && none(r.Subject != "", opaque, len(r.Note) > 0)
	case KindExpired:
		good = mail && none(r.Last != 0, r.Subject != "", opaque, len(r.Note) > 0)
	case KindAct:
		good = none(r.Stream != "", r.Seq != 0, r.Last != 0, r.Subject != "", opaque) && len(r.Note) > 0 && len(r.Note) <= envelope.MaxManifest
	}
	if !good || !envelope.ValidTimestamp(r.Time) {
		return malformed("record_fields", nil)
	}
	return nil
}

// DirectoryPrefix begins the subjects of the directory's bucket; the entry's key follows.
const DirectoryPrefix = "$KV.DIRECTORY."

// Key is the directory key of a directory record.
func (r *Record) Key() string { return strings.TrimPrefix(r.Subject, DirectoryPrefix) }

// Manifest reads the manifest of a mail record without verifying its signature.
func (r *Record) Manifest() (*envelope.Manifest, *envelope.Line, error) {
	line, rest, err := envelope.ParseLine(r.Note, envelope.MaxManifest)
	if err != nil {
		return nil, nil, err
	}
	if len(rest) > 0 {
		return nil, nil, malformed("trailing", nil)
	}
	m := new(envelope.Manifest)
	if err := line.Decode(envelope.ManifestType, m); err != nil {
		return nil, nil, err
	}
	if err := m.Check(); err != nil {
		return nil, nil, err
	}
	return m, line, nil
}

// VerifyManifest reads the manifest of a mail record and verifies that its sender signed it with one of keys. With a bad
// signature the manifest is returned beside the error.
func (r *Record) VerifyManifest(keys []note.Verifier) (*envelope.Manifest, error) {
	m, line, err := r.Manifest()
	if err != nil {
		return nil, err
	}
	if line.Signer != m.From {
		return m, &Error{Code: CodeBadSignature, Rule: "signer_name"}
	}
	if _, err := line.Verify(keys...); err != nil {
		return m, &Error{Code: CodeBadSignature, Rule: "signature", Err: err}
	}
	return m, nil
}

// Message makes the record of one stored message, whatever its bytes: an envelope becomes mail, a directory note becomes
// directory, and everything else becomes opaque, so that nothing can be hidden by being malformed.
func Message(stream string, seq uint64, stored time.Time, subject string, data []byte) *Record {
	r := &Record{Stream: stream, Seq: seq, Time: stored}
	switch {
	case stream == StreamDirectory && len(data) > 0 && len(data) <= directory.MaxHead && strings.HasPrefix(subject, DirectoryPrefix) && subjectSyntax.MatchString(subject):
		if _, rest, err := envelope.ParseLine(data, directory.MaxHead); err == nil && len(rest) == 0 {
			r.Kind, r.Subject, r.Note = KindDirectory, subject, data
			return r
		}
	case stream != StreamDirectory:
		// A message that lies on another subject than its manifest says was put there by somebody.
		if e, err := envelope.Parse(data); err == nil && e.Manifest.Subject() == subject {
			r.Kind, r.Note = KindMail, e.Note
			return r
		}
	}
	if !subjectSyntax.MatchString(subject) {
		subject = "unprintable"
	}
	sum := sha256.Sum256(data)
	r.Kind, r.Subject, r.Digest, r.Size = KindOpaque, subject, "sha256:"+hex.EncodeToString(sum[:]), len(data)
	return r
}

// Leaf is the hash of an encoded record in the tree (RFC 6962, section 2.1: SHA-256 of 0x00 and the bytes).
func Leaf(raw []byte) tlog.Hash { return tlog.RecordHash(raw) }
