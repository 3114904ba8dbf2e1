package interchange

import (
	"bytes"
	"testing"

	"waypost/deploy/examples"
)

// TestExampleFile: the spreadsheet that people copy can be imported.
func TestExampleFile(t *testing.T) {
	text, err := examples.Files.ReadFile("referrals.csv")
	if err != nil {
		t.Fatal(err)
	}
	rows, report, err := ReadReferrals(bytes.NewReader(text), ReadOptions{Now: now})
	if err != nil || len(rows) != 2 {
		t.Errorf("%d rows, %+v, %v", len(rows), report, err)
	}
}
