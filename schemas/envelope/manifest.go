package envelope

import (
	"strings"
	"time"

	"waypost/schemas"
)

// ManifestType is the "type" of a manifest. It is what keeps a signature on a
// manifest from being a signature on anything else.
const ManifestType = "waypost.manifest.v1"

// MaxSeq is the highest sequence number: the largest integer that every JSON
// reader holds exactly.
const MaxSeq = 1<<53 - 1

// Manifest is all that the middle sees of a message: who, to whom, when, what
// kind, under which basis, how big. The order of the fields is the order of the
// members in the signed line; optional members are left out when empty.
type Manifest struct {
	Type      string          `json:"type"`
	ID        string          `json:"id"`                  // UUIDv7
	Thread    string          `json:"thread"`              // UUIDv4
	ReplyTo   string          `json:"reply_to,omitzero"`   // id of the message it answers
	From      string          `json:"from"`                // agency id; also the name on the signature
	To        string          `json:"to"`                  // agency id
	Kind      schemas.Kind    `json:"kind"`                // e.g. referral
	Schema    string          `json:"schema"`              // kind and version, e.g. referral.v1
	Lane      schemas.Lane    `json:"lane"`                // urgent, routine, receipt
	Seq       uint64          `json:"seq"`                 // 1, 2, 3… per (from, to, lane)
	Sent      time.Time       `json:"sent"`                // UTC, milliseconds
	RespondBy *time.Time      `json:"respond_by,omitzero"` // UTC, milliseconds; after sent
	Basis     string          `json:"basis,omitzero"`      // consent:<certificate id> or a basis code
	Outcome   schemas.Outcome `json:"outcome,omitzero"`    // receipts, and void
	Code      string          `json:"code,omitzero"`       // why, from a code list, never words
	Body      string          `json:"body,omitzero"`       // sha256:<hex> of the ciphertext
	Size      int             `json:"size,omitzero"`       // its length
}

// ConsentPrefix begins a basis that points at a consent certificate.
const ConsentPrefix = "consent:"

// Subject is the NATS subject the message travels on: mail.<lane>.<to>.<from>.
// It is derived from signed fields only; a message met on another subject was
// moved. Call it on a manifest that passed Check: the fields are then subject
// tokens.
func (m *Manifest) Subject() string {
	return "mail." + string(m.Lane) + "." + m.To + "." + m.From
}

// Void reports whether the message was taken back before it was published: its
// manifest travels so that no number is missing, its body never does.
func (m *Manifest) Void() bool { return m.Outcome == schemas.OutcomeVoid }

// Check applies every rule that needs no key, no clock and no body. Kinds that
// this program does not know pass, if they are written like a kind: a broker or
// a ledger older than the sender must still carry and record the message.
func (m *Manifest) Check() error {
	for _, rule := range []func() *Error{m.checkIDs, m.checkKind, m.checkTimes, m.checkBasis, m.checkOutcome, m.checkBody} {
		if e := rule(); e != nil {
			return e
		}
	}
	return nil
}

func (m *Manifest) checkIDs() *Error {
	switch {
	case m.Type != ManifestType:
		return malformed("/type", "type")
	case !schemas.ValidMessageID(m.ID):
		return malformed("/id", "message_id")
	case !schemas.ValidThreadID(m.Thread):
		return malformed("/thread", "thread_id")
	case m.ReplyTo != "" && !schemas.ValidMessageID(m.ReplyTo):
		return malformed("/reply_to", "message_id")
	case m.ReplyTo == m.ID:
		return malformed("/reply_to", "self")
	case !schemas.ValidAgencyID(m.From):
		return malformed("/from", "agency_id")
	case !schemas.ValidAgencyID(m.To):
		return malformed("/to", "agency_id")
	case m.From == m.To:
		return malformed("/to", "self")
	case m.Seq < 1 || m.Seq > MaxSeq:
		return malformed("/seq", "range")
	}
	return nil
}

func (m *Manifest) checkKind() *Error {
	v, ok := strings.CutPrefix(m.Schema, string(m.Kind)+".v")
	switch {
	case !validKind(string(m.Kind)):
		return malformed("/kind", "syntax")
	case !ok || !validVersion(v):
		return malformed("/schema", "kind_and_version")
	}
	switch m.Lane {
	case schemas.LaneReceipt:
		// Were other kinds allowed on this lane, they would arrive without
		// agreement: receipts always flow.
		if m.Kind != schemas.KindReceipt {
			return malformed("/lane", "receipts_only")
		}
	case schemas.LaneUrgent, schemas.LaneRoutine:
		if m.Kind == schemas.KindReceipt {
			return malformed("/lane", "receipt_lane")
		}
	default:
		return malformed("/lane", "oneof")
	}
	if m.Kind == schemas.KindReferralResponse && m.ReplyTo == "" {
		return malformed("/reply_to", "required")
	}
	return nil
}

func (m *Manifest) checkTimes() *Error {
	switch {
	case !ValidTimestamp(m.Sent):
		return malformed("/sent", "timestamp")
	case m.RespondBy == nil:
		return nil
	case !ValidTimestamp(*m.RespondBy):
		return malformed("/respond_by", "timestamp")
	case !m.RespondBy.After(m.Sent):
		return malformed("/respond_by", "after_sent")
	}
	return nil
}

// checkBasis looks at the spelling. Whether a basis code is known, and whether
// the certificate covers the message, is consent.Evaluate's business: the law
// adds bases, and an old broker must carry them.
func (m *Manifest) checkBasis() *Error {
	id, consent := strings.CutPrefix(m.Basis, ConsentPrefix)
	switch {
	case m.Basis == "":
		if m.Kind == schemas.KindReferral && !m.Void() {
			return malformed("/basis", "required")
		}
	case consent:
		if !schemas.ValidThreadID(id) {
			return malformed("/basis", "certificate_id")
		}
	case !schemas.ValidCode(m.Basis), m.Basis == string(schemas.BasisConsent):
		return malformed("/basis", "syntax")
	}
	return nil
}

func (m *Manifest) checkOutcome() *Error {
	if m.Code != "" && !schemas.ValidCode(m.Code) {
		return malformed("/code", "syntax")
	}
	if m.Kind != schemas.KindReceipt {
		switch {
		case m.Outcome != "" && m.Outcome != schemas.OutcomeVoid:
			return malformed("/outcome", "receipts_only")
		case m.Code != "" && !m.Void():
			return malformed("/code", "receipts_only")
		}
		return nil
	}
	switch m.Outcome {
	case schemas.OutcomeDelivered:
	case schemas.OutcomeQuarantined, schemas.OutcomeRejected:
		// A refusal nobody can act on is not an honest receipt.
		if m.Code == "" {
			return malformed("/code", "required")
		}
	default:
		return malformed("/outcome", "oneof")
	}
	switch {
	case m.ReplyTo == "":
		return malformed("/reply_to", "required")
	case m.Basis != "":
		return malformed("/basis", "not_on_receipts")
	case m.RespondBy != nil:
		return malformed("/respond_by", "not_on_receipts")
	}
	return nil
}

func (m *Manifest) checkBody() *Error {
	if m.Kind == schemas.KindReceipt || m.Void() {
		switch {
		case m.Body != "":
			return malformed("/body", "no_body")
		case m.Size != 0:
			return malformed("/size", "no_body")
		}
		return nil
	}
	switch {
	case m.Body == "":
		return malformed("/body", "required")
	case !validDigest(m.Body):
		return malformed("/body", "digest")
	case m.Size < 1:
		return malformed("/size", "range")
	case m.Size > MaxBody:
		return &Error{Code: CodeTooLarge, Field: "/size", Rule: "body_limit"}
	}
	return nil
}

// MaxSkew is how far a sender's clock may be ahead of ours. An old message is
// normal (store and forward); one from the future would let a sender outlive
// the end of its own key or consent.
const MaxSkew = 5 * time.Minute

// CheckSent refuses a manifest sent more than [MaxSkew] after now.
func CheckSent(m *Manifest, now time.Time) error {
	if m.Sent.After(now.Add(MaxSkew)) {
		return &Error{Code: CodeClockSkew, Field: "/sent", Rule: "future"}
	}
	return nil
}
