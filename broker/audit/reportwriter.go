package audit

import (
	"bufio"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Formats of a report, beside FormatCSV.
const (
	FormatText = "text"
	FormatJSON = "json"
	FormatHTML = "html"
)

// Write writes the report: text for a terminal; JSON; CSV (RFC 4180) with one number to a line; or one HTML page that needs
// nothing but itself.
func (r *Report) Write(w io.Writer, format string) error {
	var err error
	switch format {
	case FormatText:
		err = r.text(w)
	case FormatJSON:
		var b []byte
		if b, err = json.Marshal(r, json.Deterministic(true), jsontext.WithIndent("  ")); err == nil {
			_, err = w.Write(append(b, '\n'))
		}
	case FormatCSV:
		err = r.csv(w)
	case FormatHTML:
		err = r.html(w)
	default:
		return &FilterError{"format", fmt.Sprintf("%q is no format", format), "the formats are text, json, csv, html"}
	}
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

func (r *Report) text(w io.Writer) error {
	b := bufio.NewWriter(w)
	for _, line := range r.about() {
		fmt.Fprintln(b, line)
	}
	for _, s := range r.sheets() {
		fmt.Fprintf(b, "\n%s\n", strings.ToUpper(s.Title))
		if len(s.Rows) == 0 {
			fmt.Fprintln(b, "  none")
			continue
		}
		lines := [][]string{append(append([]string{}, s.Keys...), s.Measures...)}
		for i := range lines[0] {
			lines[0][i] = strings.TrimSuffix(lines[0][i], " (s)")
		}
		for _, row := range s.Rows {
			line := append([]string{}, row.Keys...)
			for _, c := range row.Cells {
				line = append(line, c.Text)
			}
			lines = append(lines, line)
		}
		align(b, lines, len(s.Keys))
	}
	return b.Flush()
}

// align writes columns, those after the first keys to the right.
func align(b *bufio.Writer, lines [][]string, keys int) {
	width := make([]int, len(lines[0]))
	for _, l := range lines {
		for i, c := range l {
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	for _, l := range lines {
		var s strings.Builder
		for i, c := range l {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(c))
			if i >= keys {
				c, pad = pad+c, ""
			}
			s.WriteString("  " + c + pad)
		}
		fmt.Fprintln(b, strings.TrimRight(s.String(), " "))
	}
}

func (r *Report) csv(w io.Writer) error {
	c := csvWriter(w)
	if err := c.Write([]string{"table", "agency", "item", "measure", "value"}); err != nil {
		return err
	}
	for _, s := range r.sheets() {
		for _, row := range s.Rows {
			for i, x := range row.Cells {
				if x.Missing {
					continue
				}
				if err := c.Write(guard([]string{s.ID, row.Keys[0], strings.Join(row.Keys[1:], " "), s.Measures[i], x.Raw})); err != nil {
					return err
				}
			}
		}
	}
	c.Flush()
	return c.Error()
}

//go:embed report.css
var reportStyle string

//go:embed report.html
var reportPage string

func (r *Report) html(w io.Writer) error {
	page, err := template.New("report").Funcs(template.FuncMap{"plain": func(s string) string { return strings.TrimSuffix(s, " (s)") }}).Parse(reportPage)
	if err != nil {
		return err
	}
	sheets := r.sheets()
	for i := range sheets {
		if c := sheets[i].Chart; c != nil {
			if c.lay(); len(c.Bars) == 0 {
				sheets[i].Chart = nil
			}
		}
	}
	sum := sha256.Sum256([]byte(reportStyle))
	b := bufio.NewWriter(w)
	err = page.Execute(b, struct {
		At     string
		About  []string
		Sheets []sheet
		Style  template.CSS
		Policy string
	}{dated(r.At), r.about()[1:], sheets, template.CSS(reportStyle), //nolint:gosec // a file of ours
		"default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"})
	if err != nil {
		return err
	}
	return b.Flush()
}
