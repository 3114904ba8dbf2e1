package ledger

import (
	"encoding/base64"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"waypost/schemas"
	"waypost/schemas/directory"
	"waypost/schemas/envelope"
)

// Types of the two files that can be handed to somebody outside the network.
const (
	ProofType      = "waypost.proof.v1"
	DisclosureType = "waypost.disclosure.v1"
)

// MaxProof and MaxDisclosure bound the files.
const (
	MaxProof      = 8 << 20
	MaxDisclosure = MaxProof + 2*envelope.MaxEnvelope
)

// Proof is everything needed to show one record to somebody who has the network root's public key and nothing else.
type Proof struct {
	Type       string            `json:"type"`
	Record     string            `json:"record"`     // the record's bytes, base64
	Index      int64             `json:"index"`      // its number, from 0
	Hashes     []string          `json:"hashes"`     // inclusion proof (RFC 6962, section 2.1.1), base64 each
	Checkpoint string            `json:"checkpoint"` // a checkpoint over at least index+1 records, with its signatures
	Head       string            `json:"head"`       // a directory head
	Entries    map[string]string `json:"entries"`    // entries that it lists: the log, the sender, the witnesses
}

// Sender is whose signature the record bears, unverified: whose directory entry the proof needs.
func (p *Proof) Sender() (string, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(p.Record)
	if err != nil {
		return "", malformed("record", nil)
	}
	r, err := ParseRecord(raw)
	if err != nil {
		return "", err
	}
	line, _, err := envelope.ParseLine(r.Note, directory.MaxHead)
	if err != nil {
		return "", malformed("record", err)
	}
	return line.Signer, nil
}

// Evidence is what a checked proof shows.
type Evidence struct {
	Record     *Record
	Index      int64
	Checkpoint *Checkpoint
	Witnesses  []Witness
	Manifest   *envelope.Manifest // of a mail record; its signature holds
	Act        *Act               // of an act; its signature holds
	Directory  *directory.View    // what of the directory the proof carries
}

// EncodeProof writes a proof file.
func EncodeProof(p *Proof) ([]byte, error) {
	p.Type = ProofType
	out, err := schemas.Encode(p)
	if err != nil {
		return nil, fmt.Errorf("write proof: %w", err)
	}
	return append(out, '\n'), nil
}

// ParseProof reads a proof file, strictly: one spelling only.
func ParseProof(raw []byte) (*Proof, error) {
	p := new(Proof)
	if err := readFile(raw, MaxProof, ProofType, p); err != nil {
		return nil, err
	}
	return p, nil
}

func readFile(raw []byte, limit int, typ string, v any) error {
	if len(raw) > limit {
		return &Error{Code: CodeTooLarge, Rule: "file_limit"}
	}
	if len(raw) < 2 || raw[len(raw)-1] != '\n' {
		return malformed("file", nil)
	}
	prefix := `{"type":"` + typ + `",`
	if len(raw) < len(prefix) || string(raw[:len(prefix)]) != prefix {
		return malformed("file_type", nil)
	}
	// Not schemas.Strict, which ends at 1 MiB: a disclosure holds a whole envelope. Encoding again gives one spelling.
	if err := json.Unmarshal(raw, v, json.RejectUnknownMembers(true)); err != nil {
		return malformed("file", nil)
	}
	again, err := schemas.Encode(v)
	if err != nil || string(again) != string(raw[:len(raw)-1]) {
		return malformed("file_spelling", nil)
	}
	return nil
}

// Check verifies a proof with the root's key alone: directory entries under a head that the root signed, the checkpoint by
// the log's key, the record under the checkpoint, the sender's signature, and at least quorum cosignatures. Every byte of
// a proof file counts: an entry that the check did not need is refused too.
func (p *Proof) Check(root note.Verifier, quorum int) (*Evidence, error) {
	entries := map[string][]byte{}
	for k, v := range p.Entries {
		entries[k] = []byte(v)
	}
	view, err := directory.OpenPart(root, []byte(p.Head), entries)
	if err != nil {
		return nil, err
	}
	c, err := ParseCheckpoint([]byte(p.Checkpoint))
	if err != nil {
		return nil, err
	}
	if err := c.Verify(view, time.Time{}); err != nil {
		return nil, err
	}
	if c.Unknown(view) > 0 {
		return nil, &Error{Code: CodeBadSignature, Rule: "cosignature"}
	}
	e := &Evidence{Index: p.Index, Checkpoint: c, Witnesses: c.Witnesses(view), Directory: view}
	if len(e.Witnesses) < quorum {
		return nil, &Error{Code: CodeUnwitnessed}
	}
	raw, err := decodeBase64(p.Record)
	if err != nil {
		return nil, malformed("record", nil)
	}
	if err := CheckInclusion(c, p.Index, raw, p.Hashes); err != nil {
		return nil, err
	}
	if e.Record, err = ParseRecord(raw); err != nil {
		return nil, err
	}
	needed := map[string]bool{directory.LogKey: true}
	for _, w := range e.Witnesses {
		needed[directory.AgencyKey(w.Agency)] = true
	}
	switch e.Record.Kind {
	case KindMail:
		m, line, err := e.Record.Manifest()
		if err != nil {
			return nil, err
		}
		if m, err = e.Record.VerifyManifest(view.Verifiers(line.Signer, m.Sent)); err != nil {
			return nil, err
		}
		e.Manifest = m
		needed[directory.AgencyKey(m.From)] = true
	case KindAct:
		if e.Act, err = VerifyAct(e.Record.Note, root, view); err != nil {
			return nil, err
		}
		needed[directory.AgencyKey(e.Act.By)] = true
	}
	for k := range entries {
		if !needed[k] {
			return nil, &Error{Code: CodeOtherMessage, Rule: "entries"}
		}
	}
	return e, nil
}

// CheckInclusion verifies that a record stands at index under a checkpoint.
func CheckInclusion(c *Checkpoint, index int64, record []byte, hashes []string) error {
	proof := make(tlog.RecordProof, len(hashes))
	for i, s := range hashes {
		h, err := parseHash(s)
		if err != nil {
			return err
		}
		proof[i] = h
	}
	if index < 0 || index >= c.Size {
		return &Error{Code: CodeNotProved, Rule: "index"}
	}
	if err := tlog.CheckRecord(proof, c.Size, c.Root, index, Leaf(record)); err != nil {
		return &Error{Code: CodeNotProved, Rule: "inclusion"}
	}
	return nil
}

// CheckConsistency verifies that the log of the newer checkpoint begins with the log of the older one.
func CheckConsistency(older, newer *Checkpoint, hashes []string) error {
	switch {
	case older.Origin != newer.Origin:
		return &Error{Code: CodeOtherLog}
	case older.Size > newer.Size:
		return &Error{Code: CodeNotProved, Rule: "shrinks"}
	case older.Size == newer.Size && older.Root != newer.Root:
		return &Error{Code: CodeNotProved, Rule: "forks"}
	case older.Size == 0 && older.Root != emptyRoot:
		return &Error{Code: CodeNotProved, Rule: "empty"}
	case older.Size == newer.Size || older.Size == 0:
		if len(hashes) > 0 {
			return &Error{Code: CodeNotProved, Rule: "consistency"}
		}
		return nil
	}
	proof := make(tlog.TreeProof, len(hashes))
	for i, s := range hashes {
		h, err := parseHash(s)
		if err != nil {
			return err
		}
		proof[i] = h
	}
	if err := tlog.CheckTree(proof, newer.Size, newer.Root, older.Size, older.Root); err != nil {
		return &Error{Code: CodeNotProved, Rule: "consistency"}
	}
	return nil
}

// decodeBase64 reads one spelling only: Go's decoder skips CR and LF, which a JSON string can hold.
func decodeBase64(s string) ([]byte, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(s)
	if err == nil && base64.StdEncoding.EncodeToString(raw) != s {
		return nil, base64.CorruptInputError(0)
	}
	return raw, err
}

func parseHash(s string) (tlog.Hash, error) {
	raw, err := decodeBase64(s)
	if err != nil || len(raw) != tlog.HashSize {
		return tlog.Hash{}, malformed("hash", nil)
	}
	return tlog.Hash(raw), nil
}

// FormatHashes writes hashes as proofs hold them.
func FormatHashes(hashes []tlog.Hash) []string {
	out := make([]string, len(hashes))
	for i, h := range hashes {
		out[i] = h.String()
	}
	return out
}

// Disclosure is one message with its age file key, for a court: whoever holds the file can read this one message, and
// check by whom and when it was sent. It opens no other message: every message has a file key of its own.
type Disclosure struct {
	Type     string `json:"type"`
	FileKey  string `json:"file_key"` // 16 bytes, base64
	Envelope string `json:"envelope"` // as it travelled, base64
	Proof    Proof  `json:"proof"`
}

// EncodeDisclosure writes a disclosure file. It holds a secret: write it 0600.
func EncodeDisclosure(d *Disclosure) ([]byte, error) {
	d.Type, d.Proof.Type = DisclosureType, ProofType
	out, err := schemas.Encode(d)
	if err != nil {
		return nil, fmt.Errorf("write disclosure: %w", err)
	}
	return append(out, '\n'), nil
}

// ParseDisclosure reads a disclosure file, strictly.
func ParseDisclosure(raw []byte) (*Disclosure, error) {
	d := new(Disclosure)
	if err := readFile(raw, MaxDisclosure, DisclosureType, d); err != nil {
		return nil, err
	}
	if d.Proof.Type != ProofType {
		return nil, malformed("file_type", nil)
	}
	return d, nil
}

// String keeps the file key out of logs.
func (d *Disclosure) String() string { return "disclosure" }

// GoString is String.
func (d *Disclosure) GoString() string { return d.String() }

// Check verifies the proof and that the envelope is the recorded one, and returns both; the body is not opened here.
func (d *Disclosure) Check(root note.Verifier, quorum int) (*Evidence, *envelope.Envelope, []byte, error) {
	ev, err := d.Proof.Check(root, quorum)
	if err != nil {
		return nil, nil, nil, err
	}
	raw, err := decodeBase64(d.Envelope)
	if err != nil {
		return nil, nil, nil, malformed("envelope", nil)
	}
	env, err := envelope.Parse(raw)
	if err != nil {
		return nil, nil, nil, err
	}
	if ev.Manifest == nil || string(env.Note) != string(ev.Record.Note) {
		return nil, nil, nil, &Error{Code: CodeOtherMessage, Rule: "envelope"}
	}
	key, err := decodeBase64(d.FileKey)
	if err != nil || len(key) != 16 {
		return nil, nil, nil, malformed("file_key", nil)
	}
	return ev, env, key, nil
}
