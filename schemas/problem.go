package schemas

import (
	"slices"
	"strings"
)

// Problem is one broken rule. It is safe to show, to log and to send to another agency: it never holds the
// value that broke the rule, nor a member name that the schema does not know.
type Problem struct {
	Path string `json:"path"` // JSON pointer (RFC 6901) to the member; "" is the whole document
	Rule string `json:"rule"` // machine code, one of the Rule constants
	Hint string `json:"hint"` // what to do next, in plain words
}

// Rules of form: how the document is written.
const (
	RuleSyntax          = "syntax"
	RuleInvalidUTF8     = "invalid_utf8"
	RuleDuplicateMember = "duplicate_member"
	RuleUnknownMember   = "unknown_member"
	RuleMemberCase      = "member_case"
	RuleTrailingData    = "trailing_data"
	RuleTooDeep         = "too_deep"
	RuleTooLarge        = "too_large"
	RuleNull            = "null"
	RuleEmpty           = "empty"
	RuleType            = "type"
	RuleUnknownSchema   = "unknown_schema"
)

// Rules of content: what a member may hold.
const (
	RuleRequired  = "required"
	RuleOneOf     = "oneof"
	RuleMin       = "min"
	RuleMax       = "max"
	RuleUnique    = "unique"
	RuleLine      = "line"
	RuleProse     = "prose"
	RuleDate      = "date"
	RuleInternal  = "internal"
	RuleForbidden = "forbidden"
)

// InvalidError says that a document breaks rules, and which. A caller at a border may pass its Problems on as
// they are. It is never empty.
type InvalidError struct {
	Problems []Problem
}

// Error lists paths and rules only: member names of our schemas and words of this package.
func (e *InvalidError) Error() string {
	var b strings.Builder
	b.WriteString("invalid document: ")
	for i, p := range e.Problems {
		if i == 8 {
			b.WriteString(", …")
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		if p.Path == "" {
			b.WriteString("/")
		}
		b.WriteString(p.Path)
		b.WriteString(" ")
		b.WriteString(p.Rule)
	}
	return b.String()
}

// Has reports whether one of the problems breaks the rule.
func (e *InvalidError) Has(rule string) bool {
	return slices.ContainsFunc(e.Problems, func(p Problem) bool { return p.Rule == rule })
}

// maxProblems bounds what a hostile document can make us say about it.
const maxProblems = 100

// maxPaths bounds the paths, in bytes of the document's own names, that are made to say it: a name of a megabyte with a hundred
// faults behind it would cost a hundred megabytes.
const maxPaths = 64 << 10

// invalid returns an *InvalidError for the problems, sorted and without repeats, or nil when there are none.
func invalid(problems []Problem) error {
	if len(problems) == 0 {
		return nil
	}
	slices.SortStableFunc(problems, func(a, b Problem) int {
		if c := strings.Compare(a.Path, b.Path); c != 0 {
			return c
		}
		return strings.Compare(a.Rule, b.Rule)
	})
	problems = slices.CompactFunc(problems, func(a, b Problem) bool { return a.Path == b.Path && a.Rule == b.Rule })
	if len(problems) > maxProblems {
		problems = problems[:maxProblems:maxProblems]
	}
	return &InvalidError{Problems: problems}
}
