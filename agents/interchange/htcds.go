package interchange

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"waypost/schemas"
)

// Record is a referral and what is known about it beyond its own words.
type Record struct {
	Thread   string
	Referral *schemas.Referral
	Incoming bool // it came to the agency that exports; otherwise it was sent by it
	Sent     time.Time
	From, To string       // agencies
	FromRole schemas.Role // "" when not known
	Consent  bool         // sent under a survivor's consent
}

// Options of an export.
type Options struct {
	// Pseudonym gives a thread its record_id. It must be keyed, so that nobody who knows a thread's id can find its row.
	Pseudonym func(thread string) string
	// Identified also writes what identifies survivors and workers.
	Identified bool
}

// RecordID is the column that HTCDS does not have.
const RecordID = "record_id"

// Header returns the names of the columns.
func Header() ([]string, error) {
	all, err := fields()
	if err != nil {
		return nil, err
	}
	out := []string{RecordID}
	for _, f := range all {
		out = append(out, f.Name)
	}
	return out, nil
}

// WriteHTCDS writes a header and a row for every record, and returns how many. It holds one record at a time and stops at
// the first error, the sequence's or its own.
func WriteHTCDS(w io.Writer, records iter.Seq2[Record, error], o Options) (int, error) {
	if o.Pseudonym == nil {
		return 0, errors.New("write HTCDS: no pseudonyms were given")
	}
	all, err := fields()
	if err != nil {
		return 0, err
	}
	header, err := Header()
	if err != nil {
		return 0, err
	}
	out := csv.NewWriter(w)
	if err := out.Write(header); err != nil {
		return 0, fmt.Errorf("write HTCDS: %w", err)
	}
	n := 0
	for rec, err := range records {
		if err != nil {
			return n, err
		}
		id := o.Pseudonym(rec.Thread)
		if id == "" || rec.Referral == nil {
			return n, errors.New("write HTCDS: a record has no pseudonym or no referral")
		}
		cells := row(&rec, o.Identified)
		line := []string{Guard(id)}
		for _, f := range all {
			values := slices.DeleteFunc(cells[f.Name], func(v string) bool { return v == "" })
			if len(values) > 1 && !f.several() {
				values = values[:1]
			}
			line = append(line, Guard(strings.Join(values, ";")))
		}
		if err := out.Write(line); err != nil {
			return n, fmt.Errorf("write HTCDS: %w", err)
		}
		n++
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return n, fmt.Errorf("write HTCDS: %w", err)
	}
	return n, nil
}

func appendNew(list []string, values ...string) []string {
	for _, v := range values {
		if v != "" && !slices.Contains(list, v) {
			list = append(list, v)
		}
	}
	return list
}
