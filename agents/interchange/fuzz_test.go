package interchange

import (
	"errors"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"waypost/schemas"
)

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// FuzzReadReferrals: whatever the file, what is accepted is valid, the numbers add up, nothing is half returned, and no word
// of the file that is none of ours is in the report.
func FuzzReadReferrals(f *testing.F) {
	f.Add([]byte(file(",", nil)))
	f.Add([]byte("\ufeff" + file(";", nil, map[string]string{"age": "31"}, map[string]string{"age": "x"})))
	f.Add([]byte("urgency,purposes,basis,referrer_name\n\"a\"\"b\",,,\n\"open"))
	f.Add([]byte("\xff\xfeu\x00r\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		const canary = "zqxjkvzqxjkv"
		text := strings.ReplaceAll(string(data), "Test", canary)
		rows, report, err := read(text, false)
		var fe *FileError
		if err != nil {
			if !errors.As(err, &fe) || rows != nil || fe.Advice == "" || strings.Contains(fe.Error()+fe.Advice, canary) {
				t.Fatalf("%d rows, %v", len(rows), err)
			}
			return
		}
		if report.Rows != report.Accepted+report.Refused || report.Refused > 0 && rows != nil || report.Refused == 0 && len(rows) != report.Accepted {
			t.Fatalf("%d rows, %+v", len(rows), report)
		}
		if (report.Refused > 0) != (len(report.Refusals) > 0) || strings.Contains(string(mustJSON(t, report)), canary) {
			t.Fatalf("%+v", report)
		}
		for _, r := range rows {
			doc, err := schemas.Encode(r.Submission)
			if err != nil {
				t.Fatal(err)
			}
			again := new(schemas.Submission)
			if err := schemas.Strict(doc, again); err != nil {
				t.Fatal(err)
			}
			if err := schemas.ValidateAt(again, now); err != nil || again.To == "" {
				t.Fatalf("row %d was accepted: %v", r.Number, err)
			}
		}
	})
}
