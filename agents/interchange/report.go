package interchange

import "strconv"

// Refusal is one reason why one row was refused. It never holds a value of the file.
type Refusal struct {
	Row    int    `json:"row"`  // as a spreadsheet counts: the first row of names is 1
	Line   int    `json:"line"` // of the file: a cell may hold several
	Column string `json:"column,omitempty"`
	Rule   string `json:"rule"`
	Hint   string `json:"hint"`
}

// Report is what was found in a file.
type Report struct {
	Rows     int       `json:"rows"`     // rows with anything in them
	Accepted int       `json:"accepted"` // rows that break no rule
	Refused  int       `json:"refused"`
	Empty    int       `json:"empty"` // rows of empty cells, passed over
	Refusals []Refusal `json:"refusals,omitempty"`
}

// FileError says why a file could not be read as a table at all. It never holds a value of the file.
type FileError struct {
	Line   int // 0: the whole file
	Rule   string
	Advice string
}

func (e *FileError) Error() string {
	s := "read table: " + e.Rule
	if e.Line > 0 {
		s += " in line " + strconv.Itoa(e.Line)
	}
	return s
}

// Hint says what to do next.
func (e *FileError) Hint() string { return e.Advice }

// Rules of a table, beside those of package schemas.
const (
	RuleEncoding      = "encoding"
	RuleDelimiter     = "delimiter"
	RuleHeader        = "header"
	RuleUnknownColumn = "unknown_column"
	RuleDoubleColumn  = "duplicate_column"
	RuleMissingColumn = "missing_column"
	RuleCells         = "cells"
	RuleQuotes        = "quotes"
	RuleTooLarge      = "too_large"
	RuleTooManyRows   = "too_many_rows"
	RuleDoubleRow     = "duplicate_row"
	RuleYesNo         = "yes_no"
	RuleNumber        = "number"
	RuleNoRows        = "no_rows"
)
