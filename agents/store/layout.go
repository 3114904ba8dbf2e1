package store

import "strings"

// table is one table of schema.sql, as a dump sees it.
type table struct {
	name    string
	columns []column
	key     []string // its primary key, which orders its rows
	counted bool     // its key is given out by the database
}

type column struct {
	name string
	kind string // INTEGER, TEXT or BLOB
	flag bool   // an INTEGER that another database may keep as a boolean
}

// layout reads the tables from schema.sql, so that a dump cannot forget one that was added later.
func layout() []table {
	var out []table
	var t *table
	for line := range strings.Lines(schema) {
		code, comment, _ := strings.Cut(line, "--")
		words := strings.Fields(strings.NewReplacer("(", " ( ", ")", " ) ", ",", " ").Replace(code))
		switch {
		case len(words) >= 3 && words[0] == "CREATE" && words[1] == "TABLE":
			out = append(out, table{name: words[2]})
			t = &out[len(out)-1]
		case t == nil || len(words) < 2:
		case words[0] == ")":
			t = nil
		case words[0] == "PRIMARY" && words[1] == "KEY":
			for _, w := range words[3:] {
				if w == ")" {
					break
				}
				t.key = append(t.key, w)
			}
		case words[1] == "INTEGER", words[1] == "TEXT", words[1] == "BLOB":
			t.columns = append(t.columns, column{name: words[0], kind: words[1], flag: strings.HasPrefix(comment, " boolean")})
			if len(words) >= 4 && words[2] == "PRIMARY" && words[3] == "KEY" {
				t.key = []string{words[0]}
				t.counted = strings.HasPrefix(comment, " counted")
			}
		}
	}
	return out
}

func (t *table) names() string {
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = c.name
	}
	return strings.Join(names, ", ")
}
