package interchange

import (
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf16"

	"waypost/schemas"
)

var now = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

// good is a file of one row, as it stands in a spreadsheet, by column.
var good = [][2]string{
	{"to", "harbour-ngo"}, {"urgency", "routine"}, {"purposes", "support-planning | accommodation"}, {"needs", "outreach|medical"}, {"basis", "consent"},
	{"name", "Test Person A"}, {"age", "30"}, {"phone", "'+441632960100"}, {"may_call", "YES"}, {"say_if_someone_else_answers", "Say it is the library."},
	{"email", "test@example.org"}, {"may_email", "no"}, {"language", "vi"}, {"summary", "Needs a place.\nSays \"soon\"; today, if possible."},
	{"referrer_name", "Officer B"}, {"referrer_phone", "'+441632960101"},
	{"consent_survivor", "willow-17"}, {"consent_purposes", "support-planning|accommodation"}, {"consent_categories", "identity|contact|support-needs"},
	{"consent_roles", "ngo"}, {"consent_onward", "none"}, {"consent_form", "spoken"}, {"consent_language", "vi"}, {"consent_capacity", "has-capacity"},
	{"consent_explained_by", "navigator"}, {"consent_withdrawal_explained", "true"}, {"consent_valid_for_days", "60"}, {"consent_how_to_withdraw", "tell any worker"},
}

// file writes a table: columns of good with some cells replaced, one row for every change.
func file(sep string, changes ...map[string]string) string {
	var b strings.Builder
	line := func(cells []string) {
		for i, c := range cells {
			if i > 0 {
				b.WriteString(sep)
			}
			if strings.ContainsAny(c, ",;\"\n") {
				c = `"` + strings.ReplaceAll(c, `"`, `""`) + `"`
			}
			b.WriteString(c)
		}
		b.WriteString("\r\n")
	}
	var names []string
	for _, c := range good {
		names = append(names, c[0])
	}
	line(names)
	for _, change := range changes {
		var cells []string
		for _, c := range good {
			v, ok := change[c[0]]
			if !ok {
				v = c[1]
			}
			cells = append(cells, v)
		}
		line(cells)
	}
	return b.String()
}

func read(s string, partial bool) ([]Row, Report, error) {
	return ReadReferrals(strings.NewReader(s), ReadOptions{Now: now, Partial: partial})
}

// TestReadGood: the same submission from commas and semicolons, with a byte order mark and without, byte by byte.
func TestReadGood(t *testing.T) {
	age, call, mail := 30, true, false
	want := &schemas.Submission{
		To: "harbour-ngo",
		Consent: &schemas.Consent{Survivor: "willow-17", Purposes: []schemas.Purpose{"support-planning", "accommodation"}, Categories: []schemas.Category{"identity", "contact", "support-needs"},
			Recipients: schemas.Recipients{Classes: []schemas.RecipientClass{{Role: "ngo"}}}, Onward: "none", Form: "spoken", Language: "vi", Capacity: "has-capacity", ExplainedBy: "navigator",
			WithdrawalExplained: true, ValidForDays: 60, HowToWithdraw: "tell any worker"},
		Referral: &schemas.Referral{Urgency: "routine", Purposes: []schemas.Purpose{"support-planning", "accommodation"}, Needs: []schemas.Need{"outreach", "medical"},
			LawfulBasis: schemas.LawfulBasis{Basis: "consent"}, Summary: "Needs a place.\nSays \"soon\"; today, if possible.",
			Person: &schemas.Person{Names: []schemas.Name{{Use: "used", Text: "Test Person A"}}, Age: &age,
				Contact: &schemas.Contact{Phones: []schemas.Phone{{Number: "+441632960100"}}, Emails: []string{"test@example.org"}}},
			SafeContact: &schemas.SafeContact{MayCall: &call, MayEmail: &mail, SayIfOther: "Say it is the library."},
			Language:    &schemas.Language{Preferred: "vi"}, Referrer: schemas.Worker{Name: "Officer B", Phone: "+441632960101"}},
	}
	for name, text := range map[string]string{"commas": file(",", nil), "semicolons": file(";", nil), "mark": "\ufeff" + file(";", nil), "blank rows": file(",", nil) + "\r\n" + strings.Repeat(",", len(good)-1) + "\r\n"} {
		rows, report, err := ReadReferrals(iotest.OneByteReader(strings.NewReader(text)), ReadOptions{Now: now})
		if err != nil || len(rows) != 1 || report.Accepted != 1 || report.Refused != 0 {
			t.Fatalf("%s: %d rows, %+v, %v", name, len(rows), report, err)
		}
		if !reflect.DeepEqual(rows[0].Submission, want) || rows[0].Number != 2 {
			got, _ := schemas.Encode(rows[0].Submission)
			t.Errorf("%s: row %d: %s", name, rows[0].Number, got)
		}
	}
}

// TestReadNothingHalf: one bad row holds back all; the good ones come on request only, and the report names every bad one.
func TestReadNothingHalf(t *testing.T) {
	text := file(",", nil, map[string]string{"urgency": "canary"}, map[string]string{"age": "31"}, map[string]string{"age": "canary", "may_call": "canary", "needs": "medical||canary"}, nil)
	rows, report, err := read(text, false)
	if err != nil || rows != nil {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	type refusal struct {
		row          int
		column, rule string
	}
	var got []refusal
	for _, f := range report.Refusals {
		got = append(got, refusal{f.Row, f.Column, f.Rule})
		if f.Hint == "" || f.Line < f.Row {
			t.Errorf("%+v", f)
		}
		if strings.Contains(f.Hint+f.Column+f.Rule, "canary") {
			t.Errorf("the report repeats a value: %+v", f)
		}
	}
	want := []refusal{{3, "urgency", "oneof"}, {5, "needs", "empty"}, {5, "age", "number"}, {5, "may_call", "yes_no"}, {6, "", "duplicate_row"}}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if report.Rows != 5 || report.Accepted != 2 || report.Refused != 3 {
		t.Errorf("%+v", report)
	}
	if rows, _, err := read(text, true); err != nil || len(rows) != 2 || rows[0].Number != 2 || rows[1].Number != 4 {
		t.Errorf("partial: %d rows, %v", len(rows), err)
	}
}

// TestReadColumns: what is wrong is named by the column that a person would look for.
func TestReadColumns(t *testing.T) {
	for column, change := range map[string]map[string]string{
		"to":                          {"to": ""},
		"purposes":                    {"purposes": ""},
		"consent_how_to_withdraw":     {"consent_how_to_withdraw": ""},
		"consent_roles":               {"consent_roles": "canary"},
		"name":                        {"name": "canary\u202e"},
		"summary":                     {"summary": "canary\x00"},
		"phone":                       {"phone": "canary"},
		"email":                       {"email": "canary"},
		"may_email":                   {"may_email": ""},
		"say_if_someone_else_answers": {"say_if_someone_else_answers": ""},
		"referrer_name":               {"referrer_name": ""},
		"(consent recipients)":        {"consent_roles": ""},
		"age":                         {"age": "200"},
		"basis":                       {"age": "12"},
		"language":                    {"language": "Vietnamese canary"},
	} {
		rows, report, err := read(file(",", change), true)
		if err != nil || len(rows) != 0 || !slices.ContainsFunc(report.Refusals, func(f Refusal) bool { return f.Column == column }) {
			t.Errorf("%s: %d rows, %v, %+v", column, len(rows), err, report.Refusals)
		}
		for _, f := range report.Refusals {
			if strings.Contains(f.Hint+f.Column+f.Rule, "canary") {
				t.Errorf("%s: the report repeats a value: %+v", column, f)
			}
		}
	}
}

// TestReadFiles: what is no table of referrals is refused as a whole, and said in words.
func TestReadFiles(t *testing.T) {
	head := "urgency,purposes,basis,referrer_name"
	wide := make([]byte, 0, 4096)
	for _, u := range utf16.Encode([]rune(file(",", nil))) {
		wide = binary.LittleEndian.AppendUint16(wide, u)
	}
	for name, c := range map[string]struct{ text, rule string }{
		"empty":          {"", RuleHeader},
		"no rows":        {head + "\n", RuleNoRows},
		"UTF-16":         {"\xff\xfe" + string(wide), RuleEncoding},
		"UTF-16 no mark": {string(wide), RuleEncoding},
		"Latin-1 header": {head + ",pr\xe9nom\n", RuleEncoding},
		"workbook":       {"PK\x03\x04canary", RuleEncoding},
		"tabs":           {strings.ReplaceAll(head, ",", "\t") + "\n", RuleDelimiter},
		"both":           {head + ";age\n", RuleDelimiter},
		"no header":      {"canary,routine,consent\nx,y,z\n", RuleUnknownColumn},
		"unknown":        {head + ",canary\n", RuleUnknownColumn},
		"capital":        {"Urgency" + head[7:] + "\n", RuleUnknownColumn},
		"twice":          {head + ",urgency\n", RuleDoubleColumn},
		"missing":        {"urgency,purposes,basis,name\n", RuleMissingColumn},
		"unnamed":        {head + ",\n", RuleUnknownColumn},
		"open header":    {"\"" + head + "\n", RuleQuotes},
		"10 MB cell":     {head + ",summary\nroutine,accommodation,consent,canary,\"" + strings.Repeat("x", 10<<20) + "\"\n", RuleTooLarge},
		"open quote":     {head + ",summary\nroutine,accommodation,consent,canary,\"" + strings.Repeat("x\n", 1<<20), RuleTooLarge},
		"long header":    {head + "," + strings.Repeat("x", 1<<20), RuleTooLarge},
		"many rows":      {head + "\n" + strings.Repeat("x,y,z,w\n", MaxRows+1), RuleTooManyRows},
	} {
		rows, _, err := read(c.text, true)
		var fe *FileError
		if !errors.As(err, &fe) || fe.Rule != c.rule || fe.Advice == "" || rows != nil {
			t.Errorf("%s: %d rows, %v, want %s", name, len(rows), err, c.rule)
		} else if strings.Contains(fe.Error()+fe.Advice, "canary") {
			t.Errorf("%s: repeats the file: %v %s", name, fe, fe.Advice)
		}
	}
	if _, _, err := read("Urgency"+head[7:]+"\n", false); err == nil || !strings.Contains(err.(*FileError).Advice, "is written urgency") {
		t.Errorf("capital: %v", err)
	}
	broken := errors.New("broken")
	if _, _, err := ReadReferrals(io.MultiReader(strings.NewReader(file(",", nil)), iotest.ErrReader(broken)), ReadOptions{Now: now}); !errors.Is(err, broken) {
		t.Errorf("a reader that breaks: %v", err)
	}
}

// TestReadRows: one row that cannot be read does not hide the next.
func TestReadRows(t *testing.T) {
	ok := file(",", nil)
	head, row, _ := strings.Cut(ok, "\r\n")
	for name, c := range map[string]struct{ row, rule string }{
		"too few":   {"a,b\r\n", RuleCells},
		"too many":  {strings.TrimSuffix(row, "\r\n") + ",x\r\n", RuleCells},
		"quote":     {"a\"b,c\r\n", RuleQuotes},
		"Latin-1":   {strings.Replace(row, "Test Person A", "Ren\xe9", 1), schemas.RuleInvalidUTF8},
		"long cell": {strings.Replace(row, "Test Person A", strings.Repeat("x", MaxCell+1), 1), RuleTooLarge},
	} {
		rows, report, err := read(head+"\r\n"+c.row+row, true)
		if err != nil || len(rows) != 1 || rows[0].Number != 3 || len(report.Refusals) != 1 || report.Refusals[0].Rule != c.rule || report.Refusals[0].Row != 2 || report.Refusals[0].Line != 2 {
			t.Errorf("%s: %d rows, %+v, %v", name, len(rows), report, err)
		}
	}
}

// endless is a cell that never ends.
type endless struct{ n int64 }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	e.n += int64(len(p))
	return len(p), nil
}

// TestReadBounded: of a cell without end little is read, and of a file without end no more than its limit.
func TestReadBounded(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	e := &endless{}
	_, _, err := ReadReferrals(io.MultiReader(strings.NewReader("urgency,purposes,basis,referrer_name\n\""), e), ReadOptions{})
	runtime.ReadMemStats(&after)
	var fe *FileError
	if !errors.As(err, &fe) || fe.Rule != RuleTooLarge || e.n > 1<<20 || after.TotalAlloc-before.TotalAlloc > 16<<20 {
		t.Errorf("%v after %d bytes, %d allocated", err, e.n, after.TotalAlloc-before.TotalAlloc)
	}
	row := strings.Repeat("x", 30<<10) + ",y,z,w\n"
	_, _, err = ReadReferrals(strings.NewReader("urgency,purposes,basis,referrer_name\n"+strings.Repeat(row, MaxFile/len(row)+2)), ReadOptions{})
	if !errors.As(err, &fe) || fe.Rule != RuleTooLarge || !strings.Contains(fe.Advice, "32 MiB") {
		t.Errorf("a file over the limit: %v", err)
	}
}

// TestColumnsFit: every column has a place in a submission that takes its kind, and names and places are there once.
func TestColumnsFit(t *testing.T) {
	var names, pointers []string
	for _, c := range columns {
		names, pointers = append(names, c.Name), append(pointers, c.Pointer)
		doc := map[string]any{}
		v, refusal := value(c, map[shape]string{yesNo: "yes", number: "1"}[c.shape]+map[bool]string{true: "x", false: ""}[c.shape != yesNo && c.shape != number])
		if refusal != nil {
			t.Fatalf("%s: %+v", c.Name, refusal)
		}
		put(doc, c.Pointer, v)
		text := mustJSON(t, doc)
		err := schemas.Strict(text, new(schemas.Submission))
		if c.Name == "consent_given" {
			continue // a time is no x
		}
		if err != nil {
			t.Errorf("%s does not fit: %v in %s", c.Name, err, text)
		}
		if c.shape != fixed && columnAt(c.Pointer) != c.Name {
			t.Errorf("%s is named %s", c.Pointer, columnAt(c.Pointer))
		}
	}
	if len(slices.Compact(slices.Sorted(slices.Values(names)))) != len(names) || len(slices.Compact(slices.Sorted(slices.Values(pointers)))) != len(pointers) {
		t.Error("a column is there twice")
	}
}
