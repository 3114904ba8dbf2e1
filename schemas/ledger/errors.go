package ledger

// Codes of [Error]. They cross a border, so their spelling never changes.
const (
	CodeMalformed    = "malformed"     // not a document of the ledger, or not the one way to write it
	CodeTooLarge     = "too-large"     // over a limit
	CodeBadSignature = "bad-signature" // not signed by the key that had to
	CodeOtherLog     = "other-log"     // a checkpoint of another network's log
	CodeNotProved    = "not-proved"    // hashes that do not lead to the checkpoint's root
	CodeUnwitnessed  = "unwitnessed"   // fewer cosignatures than asked for
	CodeNoLog        = "no-log"        // the directory names no ledger
	CodeOtherMessage = "other-message" // a proof of something else than it says
)

// Error says why something was refused. No part of it is taken out of a document.
type Error struct {
	Code string
	Rule string
	Err  error
}

func (e *Error) Error() string {
	s := "ledger: " + e.Code
	if e.Rule != "" {
		s += ": " + e.Rule
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

func malformed(rule string, cause error) error {
	return &Error{Code: CodeMalformed, Rule: rule, Err: cause}
}
