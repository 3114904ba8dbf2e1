package store

import "testing"

// TestStores: what becomes a column's value, and what is only looked for.
func TestStores(t *testing.T) {
	for _, c := range []struct {
		query string
		want  string // for each argument in turn: s is stored, l is looked for
	}{
		{`INSERT INTO tokens (name, hash) VALUES (?,?)`, "ss"},
		{`INSERT INTO sequences (peer, lane) VALUES ('out', ?, ?) ON CONFLICT (peer) DO UPDATE SET last = ? WHERE last < ?`, "ssss"},
		{`UPDATE inbox SET erased = ?, code = ? WHERE thread = ? AND id = ?`, "ssll"},
		{`UPDATE inbox SET routed = ?2 WHERE id = ?1`, "ls"},
		{`UPDATE inbox SET code = ?1 WHERE code <> ?1`, "s"},
		{`UPDATE inbox SET code = ?`, "s"},
		{"\n\t\tUPDATE inbox SET n = (SELECT n FROM outbox WHERE id = ?)\n\t\tWHERE id IN (SELECT id FROM outbox WHERE code = ?)", "sl"},
		{`DELETE FROM tokens WHERE name = ?`, "l"},
		{`SELECT n FROM inbox WHERE id = ? AND peer = ?`, "ll"},
	} {
		for i, want := range c.want {
			if got := stores(c.query, i+1); got != (want == 's') {
				t.Errorf("argument %d of %q is stored: %v", i+1, c.query, got)
			}
		}
	}
}
