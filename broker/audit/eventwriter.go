package audit

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// EventWriter writes events, one after another. Close writes what is held back; it does not close what is below.
type EventWriter interface {
	Write(Event) error
	Close() error
}

// Formats of a replay.
const (
	FormatTable = "table"
	FormatLines = "jsonl"
	FormatCSV   = "csv"
)

// NewEventWriter makes the writer of a format: a table of at most 120 columns for people, JSON lines with every field, or CSV
// (RFC 4180) with every field. live flushes after each event.
func NewEventWriter(w io.Writer, format string, live bool) (EventWriter, error) {
	switch format {
	case FormatTable:
		return &eventTable{w: w}, nil
	case FormatLines:
		return &eventLines{w: w}, nil
	case FormatCSV:
		return &eventCSV{w: csvWriter(w), live: live}, nil
	}
	return nil, &FilterError{"format", fmt.Sprintf("%q is no format", format), "the formats are table, jsonl, csv"}
}

type eventLines struct{ w io.Writer }

func (l *eventLines) Write(e Event) error {
	b, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	_, err = l.w.Write(append(b, '\n'))
	return err
}

func (l *eventLines) Close() error { return nil }

// columns of the table. Their widths and the spaces between them make 120 at most; what is longer is cut, and the other
// formats have it in full.
func columns() []column {
	return []column{{"RECORD", 8}, {"TIME (UTC)", 19}, {"EVENT", 22}, {"LANE", 7}, {"FROM", 17}, {"TO", 17}, {"MESSAGE", 12}, {"NOTE", 0}}
}

const tableWidth = 120

type column struct {
	name  string
	width int // 0: the rest
}

type eventTable struct {
	w      io.Writer
	headed bool
}

func (t *eventTable) Write(e Event) error {
	if !t.headed {
		t.headed = true
		var head []string
		for _, c := range columns() {
			head = append(head, c.name)
		}
		if err := t.line(head); err != nil {
			return err
		}
	}
	if err := t.line([]string{strconv.FormatInt(e.Record, 10), moment(e.Time), e.title(), e.Lane, e.From, e.To, tail(e.About()), e.note()}); err != nil {
		return err
	}
	if e.State == "" {
		return nil
	}
	_, err := io.WriteString(t.w, cut("         -> "+e.State, tableWidth)+"\n")
	return err
}

func (t *eventTable) Close() error { return nil }

func (t *eventTable) line(cells []string) error {
	var b strings.Builder
	used := 0
	for i, c := range columns() {
		width := c.width
		if width == 0 {
			width = tableWidth - used
		}
		cell := cut(printable(cells[i]), width)
		b.WriteString(cell)
		if i < len(cells)-1 {
			b.WriteString(strings.Repeat(" ", width-len([]rune(cell))+1))
		}
		used += width + 1
	}
	_, err := io.WriteString(t.w, strings.TrimRight(b.String(), " ")+"\n")
	return err
}

// title is what happened in one word or two.
func (e *Event) title() string {
	switch e.Type {
	case TypeMessage:
		return e.Kind
	case TypeReceipt:
		return "= " + e.Kind
	case TypeVoid:
		return "taken back"
	case TypeAct:
		return "act: " + e.Kind
	case TypeDirectory:
		return "directory: " + e.Kind
	case TypeExpired:
		return "expired uncollected"
	}
	return string(e.Type)
}

// note is what matters most beside the columns.
func (e *Event) note() string {
	switch {
	case !e.Signed && (e.Type == TypeMessage || e.Type == TypeReceipt || e.Type == TypeVoid || e.Type == TypeAct || e.Type == TypeDirectory):
		return "UNSIGNED"
	case e.Code != "":
		return e.Code
	case e.Type == TypeGap:
		return strconv.FormatUint(e.StreamLast-e.StreamSeq+1, 10) + " lost"
	case e.Type == TypeDirectory, e.Type == TypeOpaque:
		return e.Entry
	case e.Count > 0:
		return strconv.FormatUint(e.Count, 10)
	case e.Basis != "" && !isConsent(e.Basis):
		return e.Basis
	}
	return ""
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateTime)
}

// tail is the random end of an id: its beginning is the time, which many share.
func tail(id string) string { return id[max(0, len(id)-12):] }

func cut(s string, width int) string {
	r := []rune(s)
	if len(r) <= width {
		return s
	}
	return string(r[:width-1]) + "…"
}

// printable replaces what a terminal might act on. Records are read from a file that anybody may have written.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f {
			return '\ufffd'
		}
		return r
	}, s)
}

type eventCSV struct {
	w      *csv.Writer
	live   bool
	headed bool
}

func (c *eventCSV) head() error {
	if c.headed {
		return nil
	}
	c.headed = true
	return c.w.Write([]string{"record", "time", "type", "kind", "signed", "lane", "from", "to", "thread", "message", "reply_to", "basis", "sent", "respond_by",
		"seq", "code", "act", "answers", "count", "entry", "stream", "stream_seq", "stream_last", "state"})
}

func (c *eventCSV) Write(e Event) error {
	if err := c.head(); err != nil {
		return err
	}
	row := []string{strconv.FormatInt(e.Record, 10), stamp(&e.Time), string(e.Type), e.Kind, strconv.FormatBool(e.Signed), e.Lane, e.From, e.To, e.Thread, e.Message, e.ReplyTo, e.Basis,
		stamp(e.Sent), stamp(e.RespondBy), number(e.Seq), e.Code, e.Act, e.Answers, number(e.Count), e.Entry, e.Stream, number(e.StreamSeq), number(e.StreamLast), e.State}
	if err := c.w.Write(guard(row)); err != nil {
		return err
	}
	if c.live {
		c.w.Flush()
	}
	return c.w.Error()
}

func (c *eventCSV) Close() error {
	if err := c.head(); err != nil {
		return err
	}
	c.w.Flush()
	return c.w.Error()
}

func csvWriter(w io.Writer) *csv.Writer {
	c := csv.NewWriter(w)
	c.UseCRLF = true
	return c
}

// guard keeps spreadsheets from taking a cell for a formula: what begins like one gets an apostrophe before it.
func guard(row []string) []string {
	for i, s := range row {
		if s != "" && strings.ContainsRune("=+-@\t\r\n", rune(s[0])) {
			row[i] = "'" + s
		}
	}
	return row
}

func stamp(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

func number(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}
