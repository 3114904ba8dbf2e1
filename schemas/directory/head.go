package directory

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"waypost/schemas"
	"waypost/schemas/envelope"
)

// RootName is the name of the network root's key. No agency may have it.
const RootName = "waypost-network"

// Keys of the directory's bucket.
const (
	HeadKey         = "head"
	LogKey          = "log"
	agencyPrefix    = "agency."
	agreementPrefix = "agreement."
)

// AgencyKey is the key of an agency's entry.
func AgencyKey(id string) string { return agencyPrefix + id }

// AgreementKey is the key of an agreement's entry.
func AgreementKey(id string) string { return agreementPrefix + id }

// MaxHead is the size limit of the head's note: about 8,000 entries.
const MaxHead = 1 << 20

// MaxVersion is the highest version, the largest integer every JSON reader
// holds exactly.
const MaxVersion = 1<<53 - 1

// Head ties the entries together: which there are, which bytes each has, and
// how fresh all of it is. The order of the fields is the order of the members;
// the members of entries are sorted by their key.
type Head struct {
	Type    string            `json:"type"`
	Version uint64            `json:"version"` // 1, 2, 3…
	Issued  time.Time         `json:"issued"`
	Expires time.Time         `json:"expires"`
	Entries map[string]string `json:"entries"` // key → sha256:<hex of the entry's note>
}

var digestSyntax = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

func (h *Head) check() *Error {
	switch {
	case h.Type != HeadType:
		return malformed("/type", "type")
	case h.Version < 1 || h.Version > MaxVersion:
		return malformed("/version", "range")
	case !envelope.ValidTimestamp(h.Issued):
		return malformed("/issued", "timestamp")
	case !envelope.ValidTimestamp(h.Expires):
		return malformed("/expires", "timestamp")
	case !h.Expires.After(h.Issued):
		return malformed("/expires", "after_issued")
	}
	for _, key := range slices.Sorted(maps.Keys(h.Entries)) {
		if !validKey(key) {
			return malformed("/entries", "key")
		}
		if !digestSyntax.MatchString(h.Entries[key]) {
			return malformed("/entries/"+key, "digest")
		}
	}
	return nil
}

// validKey reports whether key can be the key of an entry. The head is not one.
func validKey(key string) bool {
	if key == LogKey {
		return true
	}
	if id, ok := strings.CutPrefix(key, agencyPrefix); ok {
		return schemas.ValidAgencyID(id)
	}
	id, ok := strings.CutPrefix(key, agreementPrefix)
	return ok && agreementID.MatchString(id)
}

// Digest is how the head names the bytes of an entry's note.
func Digest(note []byte) string {
	sum := sha256.Sum256(note)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// SignHead makes the head's note. It sets Type and writes times in UTC and
// whole milliseconds. The caller counts the version up.
func SignHead(h Head, signer note.Signer) ([]byte, error) {
	h.Type = HeadType
	h.Issued, h.Expires = envelope.Timestamp(h.Issued), envelope.Timestamp(h.Expires)
	if h.Entries == nil {
		h.Entries = map[string]string{}
	}
	if e := h.check(); e != nil {
		return nil, in(HeadKey, e)
	}
	return sign(HeadKey, &h, MaxHead, signer)
}

// OpenHead verifies a head against the root. It says nothing about entries,
// age or rollback. On error the head is nil.
func OpenHead(root note.Verifier, head []byte) (*Head, error) {
	h := new(Head)
	if err := open(root, head, MaxHead, HeadType, h); err != nil {
		return nil, in(HeadKey, err)
	}
	if e := h.check(); e != nil {
		return nil, in(HeadKey, e)
	}
	return h, nil
}

// open reads a note that only the root may have signed.
func open(root note.Verifier, raw []byte, limit int, typ string, v any) error {
	line, rest, err := envelope.ParseLine(raw, limit)
	if err != nil {
		return wrap(err)
	}
	if len(rest) != 0 {
		return malformed("", "trailing_data")
	}
	// The signature first: a directory that nobody signed is not worth a parser.
	if _, err := line.Verify(root); err != nil {
		return wrap(err)
	}
	if err := line.Decode(typ, v); err != nil {
		return wrap(err)
	}
	return nil
}

func sign(key string, v any, limit int, signer note.Signer) ([]byte, error) {
	out, err := envelope.SignLine(v, signer)
	if err != nil {
		return nil, in(key, wrap(err))
	}
	if len(out) > limit {
		return nil, &Error{Code: CodeTooLarge, Field: key}
	}
	return out, nil
}

func at(field string, i int) string { return field + "/" + strconv.Itoa(i) }

// SignedByRoot reports whether raw is one signed line that the root made, whatever it says.
func SignedByRoot(root note.Verifier, raw []byte) bool {
	line, rest, err := envelope.ParseLine(raw, MaxHead)
	if err != nil || len(rest) != 0 {
		return false
	}
	_, err = line.Verify(root)
	return err == nil
}
