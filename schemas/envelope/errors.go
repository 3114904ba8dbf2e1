package envelope

import (
	"errors"
	"strings"

	"waypost/schemas"
)

// Codes of [Error]. They cross a border: a rejected message's receipt carries
// one of them, so their spelling never changes.
const (
	CodeMalformed      = "malformed"       // not an envelope, or not the one way to write it
	CodeTooLarge       = "too-large"       // over one of the limits
	CodeBadSignature   = "bad-signature"   // no listed key of the named sender signed it
	CodeBodyMismatch   = "body-mismatch"   // the body is not the one the manifest speaks of
	CodeHeaderMismatch = "header-mismatch" // the sealed header is not the manifest's
	CodeClockSkew      = "clock-skew"      // sent too far in the future
)

// Error says why bytes were refused. Code is for the sender and for counting,
// Field and Rule for the person who has to mend it. None of them ever holds a
// value out of a manifest or a body, so an Error may be logged and shown.
type Error struct {
	Code  string // one of the Code constants
	Field string // JSON pointer into the manifest or the body, or a part: note, signature, body
	Rule  string // machine code of the broken rule
	Err   error  // cause, if any; also free of values
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("envelope: ")
	b.WriteString(e.Code)
	if e.Field != "" {
		b.WriteString(": " + e.Field)
	}
	if e.Rule != "" {
		b.WriteString(": " + e.Rule)
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// CodeOf returns the code of the first [Error] in err's chain, or "".
func CodeOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}

// malformed is the commonest refusal.
func malformed(field, rule string) *Error {
	return &Error{Code: CodeMalformed, Field: field, Rule: rule}
}

// invalid turns the strict decoder's findings into an Error: the first finding
// names field and rule, all of them stay reachable through Err.
func invalid(err error) *Error {
	out := &Error{Code: CodeMalformed, Rule: "invalid", Err: err}
	if ie, ok := errors.AsType[*schemas.InvalidError](err); ok && len(ie.Problems) > 0 {
		out.Field, out.Rule = ie.Problems[0].Path, ie.Problems[0].Rule
		if out.Rule == "too_large" {
			out.Code = CodeTooLarge
		}
	}
	return out
}
