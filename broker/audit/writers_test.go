package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"waypost/schemas"
	"waypost/schemas/ledger"
)

func written(t *testing.T, format string, events []Event) string {
	t.Helper()
	var b bytes.Buffer
	w, err := NewEventWriter(&b, format, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if err := w.Write(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestEventTable(t *testing.T) {
	w, first := story(t)
	table := written(t, FormatTable, rebuild(t, w, first.Thread, w.now).Timeline)
	events := w.replay(Filter{})
	long := events[4]
	long.From, long.To, long.Kind, long.Code, long.Record = strings.Repeat("f", 40), strings.Repeat("t", 40), strings.Repeat("k", 40), strings.Repeat("c", 64), 99_999_999
	long.State = strings.Repeat("state ", 40)
	table += written(t, FormatTable, append(events, long))
	for line := range strings.Lines(table) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 120 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	for _, want := range []string{"2026-03-02 09:00:00 referral ", "= quarantined", "unknown-schema", "UNSIGNED", "-> quarantined (unknown-schema), answer due in 59min", "3 lost", first.ID[24:]} {
		if !strings.Contains(table, want) {
			t.Errorf("%q is not in\n%s", want, table)
		}
	}
	if hostile := written(t, FormatTable, []Event{{From: "a\x1b[2Jb\u202e"}}); strings.ContainsAny(hostile, "\x1b\u202e") {
		t.Errorf("%q reaches the terminal", hostile)
	}
}

func TestEventLinesAndCSVHoldEveryField(t *testing.T) {
	w, _ := story(t)
	events := w.replay(Filter{})
	var back []Event
	for line := range strings.Lines(written(t, FormatLines, events)) {
		var e Event
		if err := json.Unmarshal([]byte(line), &e, json.RejectUnknownMembers(true)); err != nil {
			t.Fatal(err)
		}
		back = append(back, e)
	}
	if a, b := written(t, FormatLines, back), written(t, FormatLines, events); a != b {
		t.Errorf("JSON lines lose something:\n%s\n%s", a, b)
	}
	raw := written(t, FormatCSV, events)
	if strings.Count(raw, "\r\n") != len(events)+1 || strings.Count(raw, "\n") != len(events)+1 {
		t.Error("lines do not end in CR LF")
	}
	rows, err := csv.NewReader(strings.NewReader(raw)).ReadAll()
	if err != nil || len(rows) != len(events)+1 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	// The columns are the members of the JSON, in its order.
	full := Event{Kind: "k", Lane: "l", From: "f", To: "t", Thread: "t", Message: "m", ReplyTo: "r", Basis: "b", Sent: &start, RespondBy: &start, Seq: 1, Code: "c", Act: "a",
		Answers: "a", Count: 1, Entry: "e", Stream: "s", StreamSeq: 1, StreamLast: 1, State: "s", Time: start}
	var names []string
	for _, m := range regexp.MustCompile(`"([a-z_]+)":`).FindAllStringSubmatch(written(t, FormatLines, []Event{full}), -1) {
		names = append(names, m[1])
	}
	if !slices.Equal(rows[0], names) {
		t.Errorf("columns %q, members %q", rows[0], names)
	}
	if empty := written(t, FormatCSV, nil); !strings.HasPrefix(empty, "record,time,") {
		t.Errorf("nothing is %q", empty)
	}
	if _, err := NewEventWriter(io.Discard, "xml", false); err == nil {
		t.Error("an unknown format was accepted")
	}
}

func TestCSVIsNoFormula(t *testing.T) {
	for _, s := range []string{"=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\n=x"} {
		rows, err := csv.NewReader(strings.NewReader(written(t, FormatCSV, []Event{{Entry: s}}))).ReadAll()
		if err != nil || !slices.ContainsFunc(rows[1], func(c string) bool { return strings.HasPrefix(c, "'") }) {
			t.Errorf("%q: %q %v", s, rows, err)
		}
		r := &Report{Agencies: []*Figures{}, Total: newTally().figures("", start), Unsigned: new(int64), Unplaced: new(int64), Later: new(int64)}
		r.Agencies = append(r.Agencies, newTally().figures(s, start))
		var b bytes.Buffer
		if err := r.Write(&b, FormatCSV); err != nil {
			t.Fatal(err)
		}
		if rows, err = csv.NewReader(&b).ReadAll(); err != nil || !strings.HasPrefix(rows[1][1], "'") {
			t.Errorf("report, %q: %q %v", s, rows[1], err)
		}
	}
}

// busy is a report with something in every table.
func busy(t tester) *Report {
	w := newWorld(t)
	for i := range 12 {
		for j, to := range []string{ngo, shelter} {
			m := w.after(time.Minute).refer(police, to, []time.Duration{time.Hour, 24 * time.Hour, 72 * time.Hour}[i%3])
			w.receipt(m, schemas.OutcomeDelivered, "")
			if i%4 != 3 {
				w.after(time.Duration(10*i*(j+1)) * time.Minute).answer(m)
			}
		}
		if i%3 == 0 {
			w.receipt(w.refer(ngo, shelter, time.Hour), schemas.OutcomeRejected, "no-agreement")
			w.send(envelopeOf(ngo, police, "vital-interests"))
		}
	}
	w.refer(shelter, ngo, 72*time.Hour)
	w.expire(schemas.LaneRoutine)
	w.withdraw(police, shelter, "", 24*time.Hour)
	return gather(t, w.after(48*time.Hour))
}

func TestReportWriters(t *testing.T) {
	full := busy(t)
	for _, r := range []*Report{full, full.Publish()} {
		for _, format := range []string{FormatText, FormatJSON, FormatCSV, FormatHTML} {
			var b, again bytes.Buffer
			if err := errors.Join(r.Write(&b, format), r.Write(&again, format)); err != nil {
				t.Fatal(err)
			}
			if b.String() != again.String() {
				t.Errorf("%s: twice is not the same", format)
			}
			for _, want := range []string{police, shelter, "no-agreement", "vital-interests"} {
				if !strings.Contains(b.String(), want) {
					t.Errorf("%s: %s is missing", format, want)
				}
			}
			if strings.Contains(b.String(), FewText) != r.Published {
				t.Errorf("%s: %q, published %v", format, FewText, r.Published)
			}
		}
	}
	var v map[string]any
	var b bytes.Buffer
	if err := full.Write(&b, FormatJSON); err != nil || json.Unmarshal(b.Bytes(), &v) != nil || v["type"] != ReportType {
		t.Errorf("%v %v", err, v["type"])
	}
	if err := full.Write(&b, "pdf"); err == nil {
		t.Error("an unknown format was accepted")
	}
	for _, format := range []string{FormatText, FormatCSV, FormatHTML, FormatJSON} {
		if err := full.Write(full1{}, format); err == nil {
			t.Errorf("%s: a full disk was not noticed", format)
		}
	}
}

// full1 is a disk without room.
type full1 struct{}

func (full1) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestReportPage(t *testing.T) {
	for _, r := range []*Report{busy(t), busy(t).Publish(), gather(t, newWorld(t))} {
		var b bytes.Buffer
		if err := r.Write(&b, FormatHTML); err != nil {
			t.Fatal(err)
		}
		page := b.String()
		for _, never := range []string{"<script", "http://", "https://", "src=", "url(", "@import", "style=", "onload", "<link", "ZgotmplZ", "%!"} {
			if strings.Contains(page, never) {
				t.Errorf("the page has %s", never)
			}
		}
		// The style's hash in the policy is that of the style in the page.
		style := page[strings.Index(page, "<style>")+7 : strings.Index(page, "</style>")]
		sum := sha256.Sum256([]byte(style))
		hash := strings.NewReplacer("+", "&#43;").Replace(base64.StdEncoding.EncodeToString(sum[:]))
		if !strings.Contains(page, "sha256-"+hash) || !strings.Contains(page, "default-src &#39;none&#39;") {
			t.Errorf("the policy does not allow the style: %s", hash)
		}
		for _, want := range []string{`<html lang="en-GB">`, "<h1>", `name="viewport"`, "@media print"} {
			if !strings.Contains(page, want) {
				t.Errorf("%s is missing", want)
			}
		}
		if n := strings.Count(page, "<table>"); strings.Count(page, "<caption>") != n || strings.Count(page, "<th scope=") < n || strings.Contains(page, "<th>") {
			t.Error("a table without caption or scopes")
		}
		if n := strings.Count(page, "<svg"); strings.Count(page, "<title id=") != n || strings.Count(page, "<desc id=") != n || strings.Count(page, `role="img"`) != n {
			t.Error("a picture without words")
		}
		ids := map[string]bool{}
		for _, m := range regexp.MustCompile(` id="([^"]+)"`).FindAllStringSubmatch(page, -1) {
			if ids[m[1]] {
				t.Errorf("id %s twice", m[1])
			}
			ids[m[1]] = true
		}
		for _, m := range regexp.MustCompile(`(?:labelledby|href)="#?([^"]+)"`).FindAllStringSubmatch(page, -1) {
			for id := range strings.FieldsSeq(m[1]) {
				if !ids[id] {
					t.Errorf("nothing has the id %s", id)
				}
			}
		}
		wellFormed(t, page)
	}
}

// wellFormed: what opens is closed.
func wellFormed(t *testing.T, page string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(regexp.MustCompile(`<meta [^>]*>|<!DOCTYPE html>`).ReplaceAllString(page, "")))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// TestChartIsTheTable: every number of a picture is in its table, and hidden ones have no bar.
func TestChartIsTheTable(t *testing.T) {
	r := busy(t).Publish()
	for _, s := range r.sheets() {
		if s.Chart == nil {
			continue
		}
		s.Chart.lay()
		for _, b := range s.Chart.Bars {
			found := false
			for _, row := range s.Rows {
				found = found || (slices.Contains(row.Keys, b.Label) || row.Total) && slices.ContainsFunc(row.Cells, func(c cell) bool { return c.Text == b.Value })
			}
			if !found {
				t.Errorf("%s: %s %s is not in the table", s.ID, b.Label, b.Value)
			}
			if b.Value == FewText && b.Width != 0 || b.Width > chartWidth {
				t.Errorf("%s: the bar of %s is %d long", s.ID, b.Value, b.Width)
			}
		}
	}
	hidden := chart{Title: "x"}
	hidden.count("a", CountOf(3).published())
	hidden.count("b", CountOf(50))
	hidden.count("c", CountOf(25))
	hidden.count("d", CountOf(0))
	if hidden.lay(); hidden.Bars[0].Width != chartWidth || hidden.Bars[1].Width != chartWidth/2 || hidden.Bars[2].Label != "a" || hidden.Bars[2].Width != 0 {
		t.Errorf("%+v %+v %+v", hidden.Bars[0], hidden.Bars[1], hidden.Bars[2])
	}
	c := chart{Title: "x"}
	for i := range 40 {
		c.count("a", CountOf(int64(i)))
	}
	if c.lay(); len(c.Bars) != mostBars || c.Left != 40-mostBars || c.Bars[0].Value != "39" || !strings.Contains(c.Text(), "25 more") {
		t.Errorf("%d bars, first %s, %s", len(c.Bars), c.Bars[0].Value, c.Text())
	}
}

func TestEventsOfActs(t *testing.T) {
	w := newWorld(t)
	w.act(ngo, ledger.Act{Act: ledger.ActRefuses, Answers: newID()})
	e := w.replay(Filter{Kind: "refuses"})
	if len(e) != 1 || e[0].Answers == "" || e[0].From != ngo || e[0].Act == "" || !e[0].Signed {
		t.Errorf("%+v", e)
	}
}
