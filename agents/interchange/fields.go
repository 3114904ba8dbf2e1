package interchange

import (
	_ "embed"
	"encoding/csv"
	"fmt"
	"strings"
	"sync"
)

//go:embed data/htcds-2.0-fields.csv
var fieldTable string

// Field is one field of HTCDS 2.0.
type Field struct {
	Section, Name, Type string
	Values              []string // of a pick list; empty when any text may stand there
}

// several reports whether a cell may hold more than one value.
func (f Field) several() bool { return strings.HasPrefix(f.Type, "Multiselect") }

// fields is read once; a test proves that it can be.
var fields = sync.OnceValues(func() ([]Field, error) {
	rows, err := csv.NewReader(strings.NewReader(fieldTable)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read fields of HTCDS: %w", err)
	}
	var out []Field
	for _, r := range rows[1:] {
		f := Field{Section: r[0], Name: r[3], Type: r[4]}
		if f.Name == "" || f.Name == "N/A" {
			continue
		}
		if strings.Contains(f.Type, "icklist") && strings.Contains(r[5], " | ") {
			f.Values = strings.Split(r[5], " | ")
		}
		out = append(out, f)
	}
	return out, nil
})

// Fields returns the fields of HTCDS 2.0 in its order, with the deprecated ones.
func Fields() ([]Field, error) { return fields() }
