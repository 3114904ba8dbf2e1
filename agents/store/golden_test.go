package store_test

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"waypost/agents/store"
	"waypost/agents/store/postgrestest"
	"waypost/agents/store/storetest"
)

var updateGolden = flag.Bool("update-golden", false, "make the golden store of this version anew; never once the version is released")

// The golden store of a version is a database that it wrote, and what it says is in it. Later versions must open it, or bring
// it to their own layout, and find the same.
func goldenStore(version int, what string) string {
	return filepath.Join("testdata", fmt.Sprintf("store-v%d.%s.gz", version, what))
}

func gunzip(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatalf("%v: make it with go test ./agents/store -run GoldenStore -update-golden", err)
	}
	defer f.Close()
	r, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func gzipped(t *testing.T, path string, content []byte) {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func lines(all []dumped) []byte {
	var b bytes.Buffer
	for _, d := range all {
		b.WriteString(d.Table + " " + d.Row + "\n")
	}
	return b.Bytes()
}

// TestGoldenStore opens the store that this version's makers kept, finds in it what was in it, and every kind of row.
func TestGoldenStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.db")
	if *updateGolden {
		s := openAt(t, path)
		storetest.Fill(t, s)
		text := lines(dump(t, s))
		if err := s.Scrub(t.Context()); err != nil { // all of it into the one file
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		db, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		gzipped(t, goldenStore(store.Version, "db"), db)
		gzipped(t, goldenStore(store.Version, "jsonl"), text)
		return
	}
	want := gunzip(t, goldenStore(store.Version, "jsonl"))
	if err := os.WriteFile(path, gunzip(t, goldenStore(store.Version, "db")), 0o600); err != nil {
		t.Fatal(err)
	}
	s := openAt(t, path)
	if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(lines(dump(t, s))), "\n")); d != "" {
		t.Errorf("the golden store holds something else now (-then +now). If its layout was changed, it is another version: raise store.Version\n%s", d)
	}
	for _, name := range store.Layout() {
		// A probe is written and taken back.
		if table, _, _ := strings.Cut(name, " "); table != "probe" && !bytes.Contains(want, []byte("\n"+table+" [")) && !bytes.HasPrefix(want, []byte(table+" [")) {
			t.Errorf("no row of %s in the golden store", table)
		}
	}
}

// TestGoldenDump: what one version dumped, the other database takes too.
func TestGoldenDump(t *testing.T) {
	server := postgrestest.Start(t)
	var all []dumped
	for line := range strings.Lines(string(gunzip(t, goldenStore(store.Version, "jsonl")))) {
		table, row, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		all = append(all, dumped{table, row})
	}
	pg, err := postgres(t, server).Open()
	if err != nil {
		t.Fatal(err)
	}
	defer pg.Close()
	if err := pg.Load(t.Context(), given(all), nil); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(all, dump(t, pg)); d != "" {
		t.Errorf("PostgreSQL has it otherwise:\n%s", d)
	}
}
