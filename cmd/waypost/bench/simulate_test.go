package bench

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/mod/sumdb/note"

	"waypost/schemas/directory"
)

// TestSimulate runs two small sizes and computes a third.
func TestSimulate(t *testing.T) {
	defer goleak.VerifyNone(t)
	s, err := Simulate(t.Context(), SimulateOptions{Agencies: []int{3, 10, 40}, Measured: 10, Agreements: 3, Messages: 50})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Rows) != 3 {
		t.Fatalf("%d rows", len(s.Rows))
	}
	for i, r := range s.Rows {
		d := r.Directory
		if want := r.Agencies * (1 + min(3, r.Agencies-1)); d.Entries != want || d.HeadBytes < int64(70*want) || d.VerifySeconds <= 0 || d.Bytes <= 0 {
			t.Errorf("%d agencies: %+v, want %d entries", r.Agencies, d, want)
		}
		if r.Measured != (i < 2) || d.TooLarge {
			t.Errorf("%d agencies: measured %t, too large %t", r.Agencies, r.Measured, d.TooLarge)
		}
		if r.Measured != (r.Broker.PerSecond > 0) || r.Measured && (r.Broker.Disk <= 0 || r.Broker.StartSeconds <= 0) {
			t.Errorf("%d agencies: %+v", r.Agencies, r.Broker)
		}
		if i > 0 && r.Quota.Waiting >= s.Rows[i-1].Quota.Waiting {
			t.Errorf("%d agencies: more room than with fewer", r.Agencies)
		}
	}
	var table bytes.Buffer
	if err := s.WriteTable(&table); err != nil || !strings.Contains(table.String(), "computed") {
		t.Errorf("table: %v\n%s", err, &table)
	}
	text, err := json.Marshal(s)
	if err != nil || !json.Valid(text) || !strings.Contains(string(text), ShapeType) {
		t.Errorf("JSON: %v", err)
	}
}

// TestExtrapolate: a line through two sizes is continued, and never below zero.
func TestExtrapolate(t *testing.T) {
	rows := []Size{{Agencies: 100, Measured: true, Broker: Middle{StartSeconds: 1, Disk: 500, Memory: 100}}, {Agencies: 200, Measured: true, Broker: Middle{StartSeconds: 2, Disk: 700, Memory: 50}}}
	if m := extrapolate(rows, 1000); m.StartSeconds != 10 || m.Disk != 2300 || m.Memory != 0 {
		t.Errorf("%+v", m)
	}
	if m := extrapolate(rows[:1], 1000); m != (Middle{}) {
		t.Errorf("from one size: %+v", m)
	}
}

// TestTooLarge: what a head that cannot be signed would take is computed from one that can.
func TestTooLarge(t *testing.T) {
	skey, vkey, err := note.GenerateKey(rand.Reader, directory.RootName)
	if err != nil {
		t.Fatal(err)
	}
	root, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	sample, err := newBystander("sample-agency")
	if err != nil {
		t.Fatal(err)
	}
	var m Membership
	head, entries, err := m.fill(t.Context(), 20, &SimulateOptions{Agreements: 1, Progress: silent{}}, sample, root)
	if err != nil || m.Entries != 40 {
		t.Fatalf("%d entries, %v", m.Entries, err)
	}
	signed, err := directory.SignHead(head, root)
	if err != nil {
		t.Fatal(err)
	}
	m.Entries = 400_000 // ten thousand times as many
	big, err := m.tooLarge(head, entries, root, verifier)
	if want := int64(len(signed)) * 10_000; err != nil || !big.TooLarge || big.HeadBytes != want || big.VerifySeconds <= 0 {
		t.Errorf("%+v, want a head of %d, %v", big, want, err)
	}
}
