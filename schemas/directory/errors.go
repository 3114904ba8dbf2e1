package directory

import (
	"errors"
	"strings"

	"waypost/schemas"
	"waypost/schemas/envelope"
)

// Codes of [Error]. They cross a border (receipts, the agent's API), so their
// spelling never changes.
const (
	CodeMalformed    = envelope.CodeMalformed    // not a directory document, or not the one way to write it
	CodeTooLarge     = envelope.CodeTooLarge     // over a limit
	CodeBadSignature = envelope.CodeBadSignature // not signed by the root, or proof of possession wrong

	CodeRollback     = "directory-rollback" // a head older than one already seen
	CodeEntryMissing = "entry-missing"      // the head lists an entry that is not there
	CodeEntryExtra   = "entry-extra"        // an entry that the head does not list
	CodeEntryAltered = "entry-altered"      // an entry that is not the one the head lists

	CodeUnknownAgency     = "unknown-agency"
	CodeSuspendedAgency   = "suspended-agency"
	CodeNoAgreement       = "no-agreement"
	CodeRoleKind          = "role-kind" // an agency of this role does not send or receive this kind
	CodeAgreementPurpose  = "agreement-purpose"
	CodeAgreementCategory = "agreement-category"

	CodeOtherKeys = "grant-other-keys" // a grant that was made for other keys
)

// Error says why a document was refused or a flow is not permitted. Field is a
// JSON pointer, an entry's key, an agency id or words of code lists; it never
// holds anything else out of a document.
type Error struct {
	Code  string
	Field string
	Err   error
}

func (e *Error) Error() string {
	s := "directory: " + e.Code
	if e.Field != "" {
		s += ": " + e.Field
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// Is makes errors.Is(err, ErrRollback) work: a target without field and cause
// stands for its code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && t.Field == "" && t.Err == nil
}

// ErrRollback is what Open returns for a head older than one already seen.
// Somebody serves an old directory, perhaps to bring back a suspended agency or
// a retired key: keep what you have, and say so loudly.
var ErrRollback error = &Error{Code: CodeRollback}

// rule is a cause that is only a machine code.
type rule string

func (r rule) Error() string { return string(r) }

func malformed(field, why string) *Error {
	return &Error{Code: CodeMalformed, Field: field, Err: rule(why)}
}

// wrap keeps code and field of what the line layer found.
func wrap(err error) *Error {
	if ee, ok := errors.AsType[*envelope.Error](err); ok {
		return &Error{Code: ee.Code, Field: ee.Field, Err: err}
	}
	if ie, ok := errors.AsType[*schemas.InvalidError](err); ok && len(ie.Problems) > 0 {
		return &Error{Code: CodeMalformed, Field: ie.Problems[0].Path, Err: err}
	}
	return &Error{Code: CodeMalformed, Err: err}
}

// in puts the key of an entry before the field.
func in(key string, err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		return &Error{Code: e.Code, Field: strings.TrimSuffix(key+e.Field, "/"), Err: e.Err}
	}
	return err
}
