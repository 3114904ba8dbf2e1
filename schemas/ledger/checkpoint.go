package ledger

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/transparency-dev/formats/log"
	cosignature "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"waypost/schemas/directory"
)

// MaxCheckpoint bounds a checkpoint with its signatures.
const MaxCheckpoint = 64 << 10

// Checkpoint is one signed state of the log (C2SP tlog-checkpoint), with the cosignatures that came with it. A Checkpoint
// from ParseCheckpoint is well formed and nobody's word; Verify says whether the log signed it, Witnesses who cosigned.
type Checkpoint struct {
	Origin           string
	Size             int64
	Root             tlog.Hash
	DirectoryVersion uint64 // of the newest head among the records
	DirectoryDigest  string // its digest, sha256:<hex>

	text string // what is signed
	sigs []signature
}

type signature struct {
	name string
	hash uint32
	raw  []byte // without the key hash
}

// Text is what log and witnesses sign.
func (c *Checkpoint) Text() string { return c.text }

// Same reports whether two checkpoints say the same, whoever signed them.
func (c *Checkpoint) Same(o *Checkpoint) bool { return c.text == o.text }

// text formats the signed part.
func checkpointText(origin string, size int64, root tlog.Hash, version uint64, digest string) string {
	body := log.Checkpoint{Origin: origin, Size: uint64(size), Hash: root[:]}.Marshal() //nolint:gosec // sizes are not negative
	return string(body) + "directory " + strconv.FormatUint(version, 10) + " " + digest + "\n"
}

// SignCheckpoint makes a checkpoint. The signer's name is the origin.
func SignCheckpoint(size int64, root tlog.Hash, directoryVersion uint64, directoryDigest string, signer note.Signer) ([]byte, error) {
	text := checkpointText(signer.Name(), size, root, directoryVersion, directoryDigest)
	out, err := note.Sign(&note.Note{Text: text}, signer)
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint: %w", err)
	}
	if _, err := ParseCheckpoint(out); err != nil {
		return nil, fmt.Errorf("check signed checkpoint: %w", err)
	}
	return out, nil
}

// ParseCheckpoint reads a checkpoint: one spelling only, at most 1,000 signatures.
func ParseCheckpoint(raw []byte) (*Checkpoint, error) {
	if len(raw) > MaxCheckpoint {
		return nil, &Error{Code: CodeTooLarge, Rule: "checkpoint_limit"}
	}
	text, sigs, ok := strings.Cut(string(raw), "\n\n")
	if !ok || !strings.HasSuffix(sigs, "\n") {
		return nil, malformed("checkpoint", nil)
	}
	text += "\n"
	var body log.Checkpoint
	rest, err := body.Unmarshal([]byte(text))
	if err != nil || len(body.Hash) != tlog.HashSize || body.Size > 1<<62 {
		return nil, malformed("checkpoint", nil)
	}
	c := &Checkpoint{Origin: body.Origin, Size: int64(body.Size), Root: tlog.Hash(body.Hash), text: text} //nolint:gosec // bounded above
	if _, err := fmt.Sscanf(string(rest), "directory %d %s\n", &c.DirectoryVersion, &c.DirectoryDigest); err != nil || !digestSyntax.MatchString(c.DirectoryDigest) {
		return nil, malformed("checkpoint_directory", nil)
	}
	if checkpointText(c.Origin, c.Size, c.Root, c.DirectoryVersion, c.DirectoryDigest) != text {
		return nil, malformed("checkpoint_spelling", nil)
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(sigs, "\n"), "\n") {
		s, err := parseSignature(line)
		if err != nil {
			return nil, err
		}
		c.sigs = append(c.sigs, s)
	}
	if !slices.Equal(c.Raw(), raw) {
		return nil, malformed("signature_spelling", nil)
	}
	return c, nil
}

func parseSignature(line string) (signature, error) {
	line, ok := strings.CutPrefix(line, "\u2014 ")
	name, b64, ok2 := strings.Cut(line, " ")
	raw, err := base64.StdEncoding.Strict().DecodeString(b64)
	if !ok || !ok2 || name == "" || len(name) > 100 || err != nil || len(raw) < 5 || len(raw) > 200 {
		return signature{}, malformed("signature", nil)
	}
	return signature{name: name, hash: binary.BigEndian.Uint32(raw), raw: raw[4:]}, nil
}

func (s signature) line() string {
	return "\u2014 " + s.name + " " + base64.StdEncoding.EncodeToString(append(binary.BigEndian.AppendUint32(nil, s.hash), s.raw...)) + "\n"
}

// Raw writes the checkpoint with its signatures, as ParseCheckpoint reads it.
func (c *Checkpoint) Raw() []byte {
	var b bytes.Buffer
	b.WriteString(c.text + "\n")
	for _, s := range c.sigs {
		b.WriteString(s.line())
	}
	return b.Bytes()
}

// Verify reports whether the log of this network signed it: the origin is the directory's, and one of the log's keys made
// the first signature. What else is signed is of no weight here. at says when the key must have been in force; the zero time
// asks for any key of the entry, since an old checkpoint stays the log's word after its key was replaced.
func (c *Checkpoint) Verify(view *directory.View, at time.Time) error {
	l, ok := view.Log()
	if !ok {
		return &Error{Code: CodeNoLog}
	}
	if c.Origin != l.Origin {
		return &Error{Code: CodeOtherLog}
	}
	s := c.sigs[0]
	keys := view.AllLogVerifiers()
	if !at.IsZero() {
		keys = view.LogVerifiers(at)
	}
	for _, key := range keys {
		if s.name == key.Name() && s.hash == key.KeyHash() && key.Verify([]byte(c.text), s.raw) {
			return nil
		}
	}
	return &Error{Code: CodeBadSignature, Rule: "checkpoint"}
}

// Witness is an agency that cosigned a checkpoint.
type Witness struct {
	Agency string
	At     time.Time
}

// Witnesses lists the agencies whose cosignatures hold, each once, with the latest time, in the order of their names: made
// with a key that the directory has in force for the agency at the time the cosignature names.
func (c *Checkpoint) Witnesses(view *directory.View) []Witness {
	latest := map[string]time.Time{}
	for _, s := range c.sigs[1:] {
		at, ok := s.cosigned(c.text, view)
		if ok && at.After(latest[s.name]) {
			latest[s.name] = at
		}
	}
	var out []Witness
	for name, at := range latest {
		out = append(out, Witness{name, at})
	}
	slices.SortFunc(out, func(a, b Witness) int { return strings.Compare(a.Agency, b.Agency) })
	return out
}

// Unknown counts the signatures beside the log's that do not hold: a forgery, damage, or a witness the directory does not
// list.
func (c *Checkpoint) Unknown(view *directory.View) int {
	n := 0
	for _, s := range c.sigs[1:] {
		if _, ok := s.cosigned(c.text, view); !ok {
			n++
		}
	}
	return n
}

const cosignatureSize = 8 + ed25519.SignatureSize

func (s signature) cosigned(text string, view *directory.View) (time.Time, bool) {
	if len(s.raw) != cosignatureSize {
		return time.Time{}, false
	}
	a, ok := view.Agency(s.name)
	if !ok {
		return time.Time{}, false
	}
	secs := binary.BigEndian.Uint64(s.raw)
	if secs > 1<<40 {
		return time.Time{}, false
	}
	at := time.Unix(int64(secs), 0).UTC() //nolint:gosec // bounded above
	for _, k := range a.SigningKeys {
		// The time has whole seconds: a key that came into force within this one counts.
		if !k.ValidAt(at) && !k.ValidAt(at.Add(time.Second-time.Millisecond)) {
			continue
		}
		v, err := cosignature.NewVerifierForCosignatureV1(k.Key)
		if err == nil && v.KeyHash() == s.hash && v.Verify([]byte(text), s.raw) {
			return at, true
		}
	}
	return time.Time{}, false
}

// CosignedText is what a witness signs (C2SP tlog-cosignature, cosignature/v1).
func CosignedText(text string, at time.Time) []byte {
	return fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at.Unix(), text)
}

// Cosign adds a witness's signature. sign makes a raw Ed25519 signature with the key whose note verifier key is vkey.
func (c *Checkpoint) Cosign(vkey string, at time.Time, sign func([]byte) ([]byte, error)) (*Checkpoint, error) {
	v, err := cosignature.NewVerifierForCosignatureV1(vkey)
	if err != nil {
		return nil, fmt.Errorf("cosign checkpoint: %w", err)
	}
	sig, err := sign(CosignedText(c.text, at))
	if err != nil {
		return nil, fmt.Errorf("cosign checkpoint: %w", err)
	}
	s := signature{name: v.Name(), hash: v.KeyHash(), raw: append(binary.BigEndian.AppendUint64(nil, uint64(at.Unix())), sig...)} //nolint:gosec // after 1970
	if !v.Verify([]byte(c.text), s.raw) {
		return nil, &Error{Code: CodeBadSignature, Rule: "cosignature"}
	}
	out := *c
	out.sigs = append(slices.Clone(c.sigs), s)
	return &out, nil
}

// Merge returns c with the signatures of o that it lacks; both must say the same. One signature is kept for each key: a
// witness that signs every second does not make checkpoints longer.
func (c *Checkpoint) Merge(o *Checkpoint) *Checkpoint {
	if !c.Same(o) {
		return c
	}
	out := *c
	out.sigs = slices.Clone(c.sigs)
	for _, s := range o.sigs {
		if !slices.ContainsFunc(out.sigs, func(h signature) bool { return h.name == s.name && h.hash == s.hash }) {
			out.sigs = append(out.sigs, s)
		}
	}
	return &out
}

// Only returns c with the log's signature and those of the named witness.
func (c *Checkpoint) Only(witness string) *Checkpoint {
	out := *c
	out.sigs = out.sigs[:1:1]
	for _, s := range c.sigs[1:] {
		if s.name == witness {
			out.sigs = append(out.sigs, s)
		}
	}
	return &out
}

// Known returns c without cosignatures that do not hold under a directory: a proof carries none that its reader could not
// check.
func (c *Checkpoint) Known(view *directory.View) *Checkpoint {
	out := *c
	out.sigs = out.sigs[:1:1]
	for _, s := range c.sigs[1:] {
		if _, ok := s.cosigned(c.text, view); ok {
			out.sigs = append(out.sigs, s)
		}
	}
	return &out
}

// Prefix is the same log at an earlier size, with a root that somebody vouches for otherwise: nothing of it is signed. It
// serves CheckConsistency.
func (c *Checkpoint) Prefix(size int64, root string) (*Checkpoint, error) {
	h, err := tlog.ParseHash(root)
	if err != nil || size < 1 {
		return nil, malformed("checkpoint_root", nil)
	}
	return &Checkpoint{Origin: c.Origin, Size: size, Root: h}, nil
}
