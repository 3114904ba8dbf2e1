package interchange

import (
	"encoding/csv"
	"os"
	"slices"
	"strings"
	"testing"

	"waypost/schemas"
)

// TestFields: the columns are those of the table, in its order, and nothing was lost on the way.
func TestFields(t *testing.T) {
	f, err := os.Open("data/htcds-2.0-fields.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{RecordID}
	for _, r := range rows[1:] {
		if strings.Contains(r[3], "_") {
			want = append(want, r[3])
		}
	}
	got, err := Header()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) || len(got) != 1+83 {
		t.Errorf("%d columns, want %d:\n%v\n%v", len(got), len(want), got, want)
	}
	if len(slices.Compact(slices.Sorted(slices.Values(got)))) != len(got) {
		t.Error("a column is there twice")
	}
}

// TestWords: every code of every list has a word in the pick list of its field, or is written down as having none.
func TestWords(t *testing.T) {
	all, err := Fields()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string][]string{}
	for _, f := range all {
		values[f.Name] = f.Values
	}
	translated := map[string]bool{}
	for _, l := range lists {
		translated[l.codes] = true
		codes := schemas.Codes(l.codes)
		if len(codes) == 0 {
			t.Errorf("there is no code list %s", l.codes)
		}
		for _, code := range codes {
			if _, ok := l.words[code]; !ok {
				t.Errorf("%s: %s of %s is neither translated nor said to have no word", l.field, code, l.codes)
			}
		}
		for code, word := range l.words {
			if !slices.Contains(codes, code) {
				t.Errorf("%s: %s is no code of %s", l.field, code, l.codes)
			}
			if word != none && !slices.Contains(values[l.field], word) {
				t.Errorf("%s: HTCDS does not know the word for %s", l.field, code)
			}
		}
	}
	for _, name := range schemas.CodeListNames() {
		if _, without := untold[name]; without == translated[name] {
			t.Errorf("code list %s: translated %t, said to have no counterpart %t", name, translated[name], without)
		}
	}
	for name := range untold {
		if !slices.Contains(schemas.CodeListNames(), name) {
			t.Errorf("there is no code list %s", name)
		}
	}
}
