package consent

import (
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"

	"waypost/schemas"
	"waypost/schemas/envelope"
)

// StatementType is the "type" of a statement; see CertificateType.
const StatementType = "waypost.consent-statement.v1"

// MaxStatement is the size limit of a statement's text.
const MaxStatement = 4 << 10

// Act is what a statement says of a certificate.
type Act string

// The acts.
const (
	ActWithdrawn   Act = "withdrawn"            // by the issuer: the survivor has withdrawn, from everyone or from To; for ever
	ActRequested   Act = "withdrawal-requested" // by another holder: the survivor told us; stop until the issuer decides
	ActStands      Act = "stands"               // by the issuer: the request Answers names was a mistake
	ActReconfirmed Act = "reconfirmed"          // by a holder: the survivor was asked again before passing on to To
)

// Statement is what an agency signs about a certificate after it was issued. It can be verified without the broker and
// without whoever passed it on. The order of the fields is the order of the members.
type Statement struct {
	Type        string    `json:"type"`
	ID          string    `json:"id"` // UUIDv4
	Act         Act       `json:"act"`
	Certificate string    `json:"certificate"`
	Issuer      string    `json:"issuer"`           // of the certificate
	By          string    `json:"by"`               // agency id; also the name on the signature
	At          time.Time `json:"at"`               // UTC, milliseconds
	To          string    `json:"to,omitzero"`      // with reconfirmed: to whom it goes; with withdrawn: from whom alone it is withdrawn
	Answers     string    `json:"answers,omitzero"` // with stands: id of the request
}

// SignStatement makes the signed text of a statement. It sets Type, writes the time in UTC and whole milliseconds. The
// signer must carry the name s.By.
func SignStatement(s Statement, signer note.Signer) (string, error) {
	s.Type, s.At = StatementType, envelope.Timestamp(s.At)
	if err := s.check(); err != nil {
		return "", err
	}
	if signer.Name() != s.By {
		return "", &Error{Code: envelope.CodeBadSignature, Field: "/by", Rule: "signer_name"}
	}
	text, err := envelope.SignLine(&s, signer)
	if err != nil {
		return "", wrap(err)
	}
	if len(text) > MaxStatement {
		return "", &Error{Code: envelope.CodeTooLarge, Field: "note", Rule: "note_limit"}
	}
	return string(text), nil
}

// ReadStatement parses a statement without checking who signed it: nothing in it may be relied on. It accepts one spelling
// of each statement only.
func ReadStatement(text string) (*Statement, error) {
	s, _, err := readStatement(text)
	return s, err
}

// OpenStatement parses a statement and verifies that the agency it says it is by signed it, with one of verifiers: give it
// the keys that the directory lists for that agency at the statement's time. On error it is nil.
func OpenStatement(text string, verifiers ...note.Verifier) (*Statement, error) {
	s, line, err := readStatement(text)
	if err != nil {
		return nil, err
	}
	if line.Signer != s.By {
		return nil, &Error{Code: envelope.CodeBadSignature, Field: "/by", Rule: "signer_name"}
	}
	if _, err := line.Verify(verifiers...); err != nil {
		return nil, wrap(err)
	}
	return s, nil
}

func readStatement(text string) (*Statement, *envelope.Line, error) {
	line, rest, err := envelope.ParseLine([]byte(text), MaxStatement)
	if err != nil {
		return nil, nil, wrap(err)
	}
	if len(rest) != 0 {
		return nil, nil, malformed("note", "trailing_data")
	}
	s := new(Statement)
	if err := line.Decode(StatementType, s); err != nil {
		return nil, nil, wrap(err)
	}
	if err := s.check(); err != nil {
		return nil, nil, err
	}
	return s, line, nil
}

// check applies the rules that need no key and no clock.
func (s *Statement) check() error {
	byIssuer := s.By == s.Issuer
	switch {
	case s.Type != StatementType:
		return malformed("/type", "type")
	case !schemas.ValidThreadID(s.ID):
		return malformed("/id", "statement_id")
	case !slices.Contains([]Act{ActWithdrawn, ActRequested, ActStands, ActReconfirmed}, s.Act):
		return malformed("/act", "oneof")
	case !schemas.ValidThreadID(s.Certificate):
		return malformed("/certificate", "certificate_id")
	case !schemas.ValidAgencyID(s.Issuer):
		return malformed("/issuer", "agency_id")
	case !schemas.ValidAgencyID(s.By):
		return malformed("/by", "agency_id")
	case !envelope.ValidTimestamp(s.At):
		return malformed("/at", "timestamp")
	// Only the agency that took a consent ends it, and only another one has to ask.
	case (s.Act == ActWithdrawn || s.Act == ActStands) && !byIssuer, s.Act == ActRequested && byIssuer:
		return malformed("/by", "issuer")
	case s.Act == ActReconfirmed && s.To == "", s.To != "" && s.Act != ActReconfirmed && s.Act != ActWithdrawn, s.To != "" && (!schemas.ValidAgencyID(s.To) || s.To == s.By):
		return malformed("/to", "agency_id")
	case (s.Act == ActStands) != (s.Answers != ""), s.Answers != "" && !schemas.ValidThreadID(s.Answers):
		return malformed("/answers", "statement_id")
	}
	return nil
}

// Ends reports whether the statement ends the consent for an agency.
func (s *Statement) Ends(agency string) bool {
	return s.Act == ActWithdrawn && s.By == s.Issuer && (s.To == "" || s.To == agency)
}
