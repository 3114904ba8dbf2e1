package bench

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"waypost/deploy/examples"
	"waypost/schemas"
)

const (
	routineExample = "referral-routine.json"
	urgentExample  = "referral-urgent.json"
	summaryMost    = 8000 // characters, by the schema
)

// document is an example submission to an agency, with the consent that the example brings, so that every message goes the
// whole way: a certificate is signed, sealed with it, verified and judged. size is reached by a longer summary.
func document(example, to string, size int) ([]byte, error) {
	text, err := examples.Files.ReadFile(example)
	if err != nil {
		return nil, fmt.Errorf("read example: %w", err)
	}
	s, err := schemas.Decode[schemas.Submission](text)
	if err != nil {
		return nil, fmt.Errorf("read example %s: %w", example, err)
	}
	s.To = to
	s.Consent.Recipients = schemas.Recipients{Agencies: []string{to}}
	out, err := schemas.Encode(s)
	if err != nil || size <= len(out) {
		return out, err
	}
	const filler = "Invented text that makes the message longer. "
	missing := size - len(out)
	s.Referral.Summary += (" " + strings.Repeat(filler, missing/len(filler)+1))[:missing-1] + "."
	return schemas.Encode(s)
}

// longest is the longest id that this package gives an agency.
const longest = "bench-0000"

// sizes are the bytes that a submission may have: what both examples need, and what their summaries can take.
func sizes() (least, most int, err error) {
	for _, e := range []string{routineExample, urgentExample} {
		doc, err := document(e, longest, 0)
		if err != nil {
			return 0, 0, err
		}
		s, err := schemas.Decode[schemas.Submission](doc)
		if err != nil {
			return 0, 0, err
		}
		room := summaryMost - utf8.RuneCountInString(s.Referral.Summary)
		least = max(least, len(doc))
		if most == 0 || len(doc)+room < most {
			most = len(doc) + room
		}
	}
	return least, most, nil
}
