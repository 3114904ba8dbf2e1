package interchange

import (
	"bufio"
	"crypto/sha256"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"waypost/schemas"
)

// Limits of a file. A row over its limit ends the reading: where it would end nobody can say.
const (
	MaxFile = 32 << 20
	MaxRow  = 256 << 10
	MaxCell = 32 << 10
	MaxRows = 10000
)

// maxRefusals bounds what is said about one row.
const maxRefusals = 25

// ReadOptions say how a file is read.
type ReadOptions struct {
	Now     time.Time // the zero time is the present
	To      string    // agency for rows that name none
	Partial bool      // return the good rows although others were refused
}

// Row is one accepted row.
type Row struct {
	Number, Line int
	Submission   *schemas.Submission
}

// ReadReferrals reads a table of referrals. Every row is judged before any is returned; unless Partial is set, one refused
// row holds back all. The error, a *FileError or the reader's own, means that the file is no table of referrals.
func ReadReferrals(r io.Reader, o ReadOptions) ([]Row, Report, error) {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	t, err := openTable(r)
	if err != nil {
		return nil, Report{}, err
	}
	var rows []Row
	var report Report
	seen := map[[32]byte]int{}
	for {
		cells, place, refusals, err := t.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, report, err
		}
		if len(refusals) == 0 && !slices.ContainsFunc(cells, func(c string) bool { return c != "" }) {
			report.Empty++
			continue
		}
		if report.Rows++; report.Rows > MaxRows {
			return nil, report, &FileError{place.Line, RuleTooManyRows, "a file holds at most " + strconv.Itoa(MaxRows) + " rows; divide it"}
		}
		var s *schemas.Submission
		if len(refusals) == 0 {
			s, refusals = submission(t.columns, cells, o)
		}
		if len(refusals) == 0 {
			doc, err := schemas.Encode(s)
			if err != nil {
				return nil, report, err
			}
			sum := sha256.Sum256(doc)
			if first, ok := seen[sum]; ok {
				refusals = []Refusal{{Rule: RuleDoubleRow, Hint: "the row says the same as row " + strconv.Itoa(first) + "; take one away"}}
			} else {
				seen[sum] = place.Row
			}
		}
		if len(refusals) > 0 {
			report.Refused++
			for _, f := range refusals[:min(len(refusals), maxRefusals)] {
				f.Row, f.Line = place.Row, place.Line
				report.Refusals = append(report.Refusals, f)
			}
			continue
		}
		report.Accepted++
		rows = append(rows, Row{place.Row, place.Line, s})
	}
	if report.Rows == 0 {
		return nil, report, &FileError{0, RuleNoRows, "below the names of the columns every row is one referral"}
	}
	if report.Refused > 0 && !o.Partial {
		return nil, report, nil
	}
	return rows, report, nil
}

// table reads rows under a header that was understood.
type table struct {
	csv     *csv.Reader
	fence   *fence
	columns []Column
	row     int
}

type place struct{ Row, Line int }

// fence lets through as many bytes as the next row may have: csv.Reader itself would gather a cell of any size.
type fence struct {
	r            io.Reader
	given, limit int64
}

var errFence = errors.New("row too large")

func (f *fence) Read(p []byte) (int, error) {
	if f.given >= f.limit {
		return 0, errFence
	}
	n, err := f.r.Read(p[:min(int64(len(p)), f.limit-f.given)])
	f.given += int64(n)
	return n, err
}

// next returns the cells of a row, or why it has none. An error ends the table.
func (t *table) next() ([]string, place, []Refusal, error) {
	start := t.csv.InputOffset()
	t.fence.limit = min(start+MaxRow+4096, MaxFile+1)
	cells, err := t.csv.Read()
	t.row++
	line := 0
	if err == nil && len(cells) > 0 {
		line, _ = t.csv.FieldPos(0)
	}
	at := place{t.row, line}
	var syntax *csv.ParseError
	switch {
	case errors.Is(err, errFence):
		if t.fence.given > MaxFile {
			return nil, at, nil, &FileError{0, RuleTooLarge, "a file holds at most 32 MiB; divide it"}
		}
		return nil, at, nil, &FileError{0, RuleTooLarge, "row " + strconv.Itoa(t.row) + " is larger than 256 KiB; is a quotation mark missing?"}
	case errors.As(err, &syntax):
		at.Line = syntax.StartLine
		return nil, at, []Refusal{{Rule: RuleQuotes, Hint: "put a cell that holds a quotation mark into quotation marks and write each of its own twice"}}, nil
	case errors.Is(err, io.EOF):
		return nil, at, nil, io.EOF
	case err != nil:
		return nil, at, nil, errors.Join(errors.New("read table: the file cannot be read"), err)
	case len(cells) != len(t.columns) && t.row > 1:
		return nil, at, []Refusal{{Rule: RuleCells, Hint: "the row has " + strconv.Itoa(len(cells)) + " cells, the file has " + strconv.Itoa(len(t.columns)) + " columns; is a separator missing or not in quotation marks?"}}, nil
	}
	var refusals []Refusal
	for i, c := range cells {
		name := ""
		if t.row > 1 {
			name = t.columns[i].Name
		}
		switch {
		case len(c) > MaxCell:
			refusals = append(refusals, Refusal{Column: name, Rule: RuleTooLarge, Hint: "a cell holds at most 32 KiB"})
		case !utf8.ValidString(c):
			refusals = append(refusals, Refusal{Column: name, Rule: schemas.RuleInvalidUTF8, Hint: "save the file as CSV in UTF-8"})
		}
		cells[i] = strings.TrimSpace(Unguard(c))
	}
	return cells, at, refusals, nil
}

// openTable reads the first row and sets the columns by it.
func openTable(r io.Reader) (*table, error) {
	f := &fence{r: r, limit: MaxRow + 4096}
	in := bufio.NewReaderSize(f, 64<<10)
	comma, err := delimiter(in)
	if err != nil {
		return nil, err
	}
	t := &table{csv: csv.NewReader(in), fence: f}
	t.csv.Comma, t.csv.FieldsPerRecord = comma, -1
	names, at, refusals, err := t.next()
	switch {
	case errors.Is(err, io.EOF):
		return nil, &FileError{0, RuleHeader, "the file is empty; its first row names the columns"}
	case err != nil:
		return nil, err
	case len(refusals) > 0:
		return nil, &FileError{max(at.Line, 1), refusals[0].Rule, refusals[0].Hint}
	}
	t.columns, err = header(names)
	return t, err
}
