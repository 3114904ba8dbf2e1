package agents

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"waypost/agents/store"
	"waypost/agents/store/postgrestest"
)

// filledPlace is a place with everything that a restore puts into one.
func filledPlace(t *testing.T, dir string) *place {
	t.Helper()
	p, err := newPlace(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	for _, name := range []string{"keys/signing.key", "data/agent.db", grantFile, configFile} {
		put(t, filepath.Join(p.staging, name), "of the backup")
	}
	return p
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// tree lists the files in a folder, and empty folders.
func tree(t *testing.T, dir string) (out []string) {
	t.Helper()
	var walk func(string)
	walk = func(rel string) {
		entries, err := os.ReadDir(filepath.Join(dir, rel))
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) == 0 && rel != "" {
			out = append(out, rel+"/")
		}
		for _, e := range entries {
			if path := filepath.Join(rel, e.Name()); e.IsDir() {
				walk(path)
			} else {
				out = append(out, filepath.ToSlash(path))
			}
		}
	}
	walk("")
	return out
}

var wholePlace = []string{configFile, "data/agent.db", grantFile, "keys/signing.key"}

// TestPlaceAppears: a folder that was not there, an empty one and a new volume are filled; nothing else is left in them.
func TestPlaceAppears(t *testing.T) {
	for name, before := range map[string][]string{"not there": nil, "empty": {""}, "volume": {"lost+found"}} {
		t.Run(name, func(t *testing.T) {
			above := t.TempDir()
			dir := filepath.Join(above, "agent")
			for _, b := range before {
				if err := os.MkdirAll(filepath.Join(dir, b), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			p := filledPlace(t, dir)
			if _, err := os.Stat(filepath.Join(dir, configFile)); err == nil {
				t.Error("there before it is complete")
			}
			if err := p.appear(); err != nil {
				t.Fatal(err)
			}
			p.close()
			want := slices.Clone(wholePlace)
			if name == "volume" {
				want = append(want, "lost+found/")
			}
			slices.Sort(want)
			if got := tree(t, dir); !slices.Equal(got, want) {
				t.Errorf("there is %v, want %v", got, want)
			}
			if left, err := os.ReadDir(above); err != nil || len(left) != 1 {
				t.Errorf("beside it: %v, %v", left, err)
			}
			if _, err := newPlace(dir); err == nil || !strings.Contains(err.Error(), "is not empty") {
				t.Errorf("an agent is restored over: %v", err)
			}
		})
	}
}

// TestPlaceAfterInterruption: what a restore into a volume left half-way is taken away by the next; what it cannot have left stays.
func TestPlaceAfterInterruption(t *testing.T) {
	for _, tc := range []struct {
		name   string
		before []string
		works  bool
	}{
		{"while unpacking", []string{".restoring/lock", ".restoring/keys/old.key"}, true},
		{"while moving", []string{".restoring/agent.yaml", "keys/old.key", "data/old.db", "grant.json", "request.json"}, true},
		{"when all was moved", []string{".restoring/lock", "keys/signing.key", "data/agent.db", "grant.json", "agent.yaml"}, false},
		{"with something else in it", []string{".restoring/keys/old.key", "letters/one.txt"}, false},
		{"an agent's folder without its configuration", []string{"keys/signing.key", "data/agent.db"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, b := range tc.before {
				put(t, filepath.Join(dir, b), "of before")
			}
			if slices.Contains(tc.before, ".restoring/lock") {
				put(t, filepath.Join(dir, ".restoring/lock"), "")
			}
			had := tree(t, dir)
			if !tc.works {
				if _, err := newPlace(dir); err == nil || !strings.Contains(err.Error(), "is not empty") {
					t.Errorf("taken: %v", err)
				}
				if got := tree(t, dir); !slices.Equal(got, had) {
					t.Errorf("there is %v, was %v", got, had)
				}
				return
			}
			p := filledPlace(t, dir)
			if err := p.appear(); err != nil {
				t.Fatal(err)
			}
			p.close()
			if got := tree(t, dir); !slices.Equal(got, wholePlace) {
				t.Errorf("there is %v, want %v", got, wholePlace)
			}
			if text, err := os.ReadFile(filepath.Join(dir, grantFile)); err != nil || string(text) != "of the backup" {
				t.Errorf("grant: %q, %v", text, err)
			}
		})
	}
}

// TestPlaceDisturbed: something comes into the folder while it is filled. It stays, and nothing of the backup does.
func TestPlaceDisturbed(t *testing.T) {
	dir := t.TempDir()
	p := filledPlace(t, dir)
	second, err := newPlace(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.open(); err == nil || !strings.Contains(err.Error(), "another restore into it is under way") {
		t.Errorf("two at once: %v", err)
	}
	put(t, filepath.Join(dir, "data", "theirs.txt"), "somebody else's")
	if err := p.appear(); err == nil {
		t.Error("no error")
	}
	p.close()
	if got := tree(t, dir); !slices.Equal(got, []string{"data/theirs.txt"}) {
		t.Errorf("left: %v", got)
	}

	gone := filepath.Join(t.TempDir(), "agent")
	p = filledPlace(t, gone)
	put(t, filepath.Join(gone, "theirs.txt"), "somebody else's")
	if err := p.appear(); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("over a folder that came to be there: %v", err)
	}
	if got := tree(t, gone); !slices.Equal(got, []string{"theirs.txt"}) {
		t.Errorf("left: %v", got)
	}
}

// TestRowsWithoutFolder: the rows are in a database and the folder cannot be there: they are taken out again.
func TestRowsWithoutFolder(t *testing.T) {
	server := postgrestest.Start(t)
	for _, fails := range []bool{true, false} {
		dir := t.TempDir()
		p := filledPlace(t, dir)
		url, _ := server.Schema(t)
		open := func() *store.Store {
			t.Helper()
			st, err := store.OpenPostgres(t.Context(), store.Postgres{URL: url, Agency: "harbour-ngo"})
			if err != nil {
				t.Fatal(err)
			}
			return st
		}
		st := open()
		err := st.Update(t.Context(), func(tx *store.Tx) error {
			if err := tx.AddToken("test", "a-token", []string{"read"}, time.Now()); err != nil {
				return err
			}
			return errors.Join(tx.Restored(time.Now()), tx.Provisional())
		})
		if err != nil {
			t.Fatal(err)
		}
		if fails {
			put(t, filepath.Join(dir, "data", "theirs.txt"), "somebody else's")
		}
		if err := (&Restored{}).settle(t.Context(), p, st); (err != nil) != fails {
			t.Errorf("fails %v: %v", fails, err)
		}
		st = open()
		defer st.Close()
		rows := 0
		if err := st.Dump(t.Context(), func(string, []byte) error { rows++; return nil }); err != nil {
			t.Fatal(err)
		}
		if want := map[bool]int{true: 0, false: 2}[fails]; rows != want {
			t.Errorf("fails %v: %d rows, want %d", fails, rows, want)
		}
	}
}
