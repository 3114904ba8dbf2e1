package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nkeys"
	"golang.org/x/mod/sumdb/note"

	"waypost/schemas"
	"waypost/schemas/directory"
	"waypost/schemas/envelope"
	"waypost/schemas/ledger"
)

// replayKey signs with a fixed seed.
type replayKey struct {
	note.Verifier
	vkey string
	priv ed25519.PrivateKey
}

func (k *replayKey) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(k.priv, msg), nil }

func newReplayKey(t *testing.T, name string, seed byte) *replayKey {
	t.Helper()
	priv := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	vkey, err := note.NewEd25519VerifierKey(name, priv.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return &replayKey{v, vkey, priv}
}

// replayLedger is a ledger in memory.
type replayLedger struct {
	t       *testing.T
	streams map[string]uint64
	records [][]byte
	at      time.Time
}

func (l *replayLedger) add(stream, subject string, data []byte) {
	l.t.Helper()
	l.streams[stream]++
	raw, err := ledger.Message(stream, l.streams[stream], l.at, subject, data).Encode()
	if err != nil {
		l.t.Fatal(err)
	}
	l.records = append(l.records, raw)
}

func (l *replayLedger) Records(context.Context) iter.Seq2[ledger.Stored, error] {
	return func(yield func(ledger.Stored, error) bool) {
		for i, raw := range l.records {
			if !yield(ledger.Stored{Index: int64(i), Raw: raw}, nil) {
				return
			}
		}
	}
}

func (l *replayLedger) Checkpoints(context.Context) iter.Seq2[[]byte, error] {
	return func(func([]byte, error) bool) {}
}

// replayBundle writes a bundle in which the police asked, the NGO received and did not answer. It returns the folder, the
// file with the root's key, and the thread.
func replayBundle(t *testing.T) (bundle, root, thread string) {
	t.Helper()
	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	l := &replayLedger{t: t, streams: map[string]uint64{}, at: at}
	key := newReplayKey(t, directory.RootName, 99)
	recipients, err := os.ReadFile("../../schemas/directory/testdata/recipients.txt")
	if err != nil {
		t.Fatal(err)
	}
	keys, entries := map[string]*replayKey{}, map[string]string{}
	for i, id := range []string{"northshire-police", "harbour-light"} {
		keys[id] = newReplayKey(t, id, byte(i+1))
		user, err := nkeys.FromRawSeed(nkeys.PrefixByteUser, bytes.Repeat([]byte{byte(i + 101)}, 32))
		if err != nil {
			t.Fatal(err)
		}
		public, _ := user.PublicKey()
		since := at.Add(-time.Hour)
		entry, err := directory.SignAgency(directory.Agency{Type: directory.AgencyType, ID: id, Name: "Agency " + id, Role: schemas.RoleNGO, State: directory.StateActive, NATSKey: public,
			Recipients: []directory.Key{{Key: strings.Fields(string(recipients))[0], From: since}}, SigningKeys: []directory.Key{{Key: keys[id].vkey, From: since}},
			Schemas: schemas.KnownSchemas(), Since: since}, key)
		if err != nil {
			t.Fatal(err)
		}
		entries[directory.AgencyKey(id)] = directory.Digest(entry)
		l.add(ledger.StreamDirectory, ledger.DirectoryPrefix+directory.AgencyKey(id), entry)
	}
	head, err := directory.SignHead(directory.Head{Type: directory.HeadType, Version: 1, Issued: at, Expires: at.AddDate(1, 0, 0), Entries: entries}, key)
	if err != nil {
		t.Fatal(err)
	}
	l.add(ledger.StreamDirectory, ledger.DirectoryPrefix+directory.HeadKey, head)
	by := at.Add(time.Hour)
	m := envelope.Manifest{ID: schemas.NewMessageID(), Thread: schemas.NewThreadID(), From: "northshire-police", To: "harbour-light", Kind: schemas.KindReferral, Schema: "referral.v1",
		Lane: schemas.LaneUrgent, Seq: 1, Sent: at, RespondBy: &by, Basis: "vital-interests"}
	r := envelope.Manifest{ID: schemas.NewMessageID(), Thread: m.Thread, ReplyTo: m.ID, From: m.To, To: m.From, Kind: schemas.KindReceipt, Schema: "receipt.v1", Lane: schemas.LaneReceipt,
		Seq: 1, Sent: at, Outcome: schemas.OutcomeDelivered}
	sealed, err := envelope.Sign(m, []byte("age-encryption.org/v1\nsealed"), keys[m.From])
	if err != nil {
		t.Fatal(err)
	}
	l.add(ledger.StreamUrgent, m.Subject(), sealed)
	receipt, err := envelope.Sign(r, nil, keys[r.From])
	if err != nil {
		t.Fatal(err)
	}
	l.add(ledger.StreamReceipt, r.Subject(), receipt)
	folder := t.TempDir()
	bundle, root = filepath.Join(folder, "bundle"), filepath.Join(folder, "root.pub")
	if err := ledger.WriteBundle(t.Context(), l, bundle, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root, []byte(key.vkey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return bundle, root, m.Thread
}

// runAudit runs `waypost audit`.
func runAudit(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), append([]string{"audit"}, args...), strings.NewReader(""), &out, &errs, nil)
	return out.String(), errs.String(), code
}

func TestAuditReplayCommand(t *testing.T) {
	bundle, root, thread := replayBundle(t)
	source := []string{"--bundle", bundle, "--root", root}
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"all":      {nil, []string{"RECORD", "directory: head", "referral", "= delivered"}},
		"thread":   {[]string{"--thread", thread}, []string{"-> delivered, answer due in 1h", "Thread " + thread, "delivered, overdue by"}},
		"nothing":  {[]string{"--agency", "night-shelter"}, []string{"Nothing in the ledger matches."}},
		"no such":  {[]string{"--thread", schemas.NewThreadID()}, []string{"Nothing in the ledger matches.", "no signed message"}},
		"lines":    {[]string{"--format", "jsonl", "--kind", "receipt"}, []string{`"type":"receipt","kind":"delivered","signed":true`}},
		"csv":      {[]string{"--format", "csv", "--thread", thread}, []string{"record,time,type", "\"delivered, answer due in 1h\""}},
		"interval": {[]string{"--from", "2026-03-02", "--to", "2026-03-02T09:00:01Z", "--lane", "urgent", "--speed", "1000"}, []string{"referral"}},
	} {
		out, errs, code := runAudit(t, append(append([]string{"replay"}, source...), c.args...)...)
		if code != exitOK {
			t.Errorf("%s: %d %s", name, code, errs)
		}
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s: %q is not in\n%s", name, want, out)
			}
		}
	}
}

func TestAuditReplayAndReportRefuse(t *testing.T) {
	bundle, root, _ := replayBundle(t)
	for want, args := range map[string][]string{
		"--follow: a bundle does not grow":       {"replay", "--follow"},
		"--speed: \"fast\" is no speed":          {"replay", "--speed", "fast"},
		"--lane: \"slow\" is no lane":            {"replay", "--lane", "slow"},
		"--from: \"yesterday\" is no time":       {"replay", "--from", "yesterday"},
		"--to: the end is not after":             {"replay", "--from", "2026-03-02", "--to", "2026-03-01"},
		"--thread: \"x\" is no thread id":        {"replay", "--thread", "x"},
		"--kind: \"referal\" is no kind":         {"replay", "--kind", "referal"},
		"--format: \"xml\" is no format":         {"replay", "--format", "xml"},
		"--format: \"pdf\" is no format":         {"report", "--format", "pdf"},
		"--at: \"soon\" is no time":              {"report", "--at", "soon"},
		"waypost audit report takes 0 arguments": {"report", "x"},
	} {
		out, errs, code := runAudit(t, append(args, "--bundle", bundle, "--root", root)...)
		if code != exitUsage || !strings.Contains(errs, want) || !strings.Contains(errs, "hint: ") || out != "" {
			t.Errorf("%v: %d\n%s%s", args, code, out, errs)
		}
	}
}

func TestAuditReportCommand(t *testing.T) {
	bundle, root, _ := replayBundle(t)
	file := filepath.Join(t.TempDir(), "report.html")
	out, errs, code := runAudit(t, "report", "--bundle", bundle, "--root", root, "--publish", "--format", "html", "--out", file)
	page, err := os.ReadFile(file)
	if code != exitOK || err != nil || !strings.Contains(string(page), "fewer than 5") || !strings.Contains(out, "wrote ") {
		t.Errorf("%d %s %v", code, errs, err)
	}
	for what, want := range map[string]float64{"2026-03-02T09:30:00Z": 0, "2026-03-02T11:00:00Z": 1} {
		out, errs, code = runAudit(t, "report", "--bundle", bundle, "--root", root, "--format", "json", "--at", what)
		var r struct {
			Total struct {
				Overdue     float64 `json:"overdue"`
				NotAnswered float64 `json:"not_answered"`
			} `json:"total"`
		}
		if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitOK || r.Total.Overdue != want || r.Total.NotAnswered != 1 {
			t.Errorf("at %s: %d %s %v %+v", what, code, errs, err, r)
		}
	}
	left, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v %v", left, err)
	}
	if _, _, code := runAudit(t, "report", "--bundle", bundle, "--root", root, "--out", filepath.Join(file, "x")); code != exitFailure {
		t.Errorf("a folder that is none: %d", code)
	}
}
