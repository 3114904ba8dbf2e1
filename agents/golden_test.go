package agents_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"waypost/agents"
	"waypost/agents/store"
	"waypost/agents/vault"
	"waypost/broker"
	"waypost/broker/audit"
	"waypost/broker/brokertest"
	"waypost/broker/network"
	"waypost/broker/notary"
	"waypost/schemas/ledger"
)

var updateGolden = flag.Bool("update-golden", false, "make the golden folder of this version anew; never once the version is released")

// golden says what is in the golden folder. All of it is invented, and its keys open nothing else.
type golden struct {
	Made   time.Time `json:"made"`
	Store  int       `json:"store"`
	Broker int       `json:"broker"`
	Sent   []string  `json:"sent"`   // by the police to the NGO
	Answer string    `json:"answer"` // back
	Root   string    `json:"root"`
	Mail   int64     `json:"mail"`
}

const goldenPass = "golden test words of nobody"

func goldenFile() string {
	return filepath.Join("testdata", fmt.Sprintf("golden-v%d-%d.tar.gz", store.Version, notary.Version))
}

// makeGolden runs a small network and keeps what is left of it: the network's folder, two agents' folders (one with its keys
// under a passphrase), a backup of an agent, a backup of the broker, and a bundle of the ledger.
func makeGolden(t *testing.T) {
	b := brokertest.Start(t)
	p, n := enrolled(t, b, police, "police", ""), enrolled(t, b, ngo, "ngo", "")
	agreeAll(t, b, police, ngo)
	p.start(t)
	n.start(t)
	p.ready(t)
	n.ready(t)
	g := golden{Made: time.Now().UTC().Truncate(time.Second), Store: store.Version, Broker: notary.Version}
	for range 2 {
		g.Sent = append(g.Sent, p.mustSubmit(t, ngo, nil).ID)
	}
	for _, id := range g.Sent {
		p.waitState(t, id, "delivered")
	}
	var answer accepted
	if code, pr := n.call(t, "POST", "/v1/inbox/"+g.Sent[0]+"/responses", []byte(`{"outcome":"accepted","where":"in the north"}`), &answer); code != http.StatusAccepted {
		t.Fatalf("respond: %d %+v", code, pr)
	}
	g.Answer = answer.ID
	n.waitState(t, answer.ID, "delivered")
	sum, _ := verified(t, b, 6)
	g.Root, g.Mail = sum.Root, sum.Kinds[ledger.KindMail]
	dir := filepath.Join(t.TempDir(), "golden")
	file, _ := p.backup(t, vault.BackupTo{Passphrase: []byte(goldenPass)})
	p.halt(t)
	n.halt(t)
	live, err := audit.Open(t.Context(), b.URL(), filepath.Join(b.Authority.Dir(), "keys", "auditor.creds"), "")
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := ledger.WriteBundle(t.Context(), live, filepath.Join(dir, "bundle"), nil); err != nil {
		t.Fatal(err)
	}
	for name, from := range map[string]string{"network": b.Authority.Dir(), "police": p.dir, "ngo": n.dir, "broker-backup": b.Backup(t)} {
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "police.age"), read(t, file))
	text, err := json.MarshalIndent(g, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "golden.json"), string(text)+"\n")
	pack(t, dir, goldenFile())
}

func pack(t *testing.T, dir, path string) {
	t.Helper()
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	if err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || d.Name() == "agent.lock" {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: filepath.ToSlash(rel), Size: int64(len(content)), Mode: 0o600}); err != nil {
			return err
		}
		_, err = w.Write(content)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), z.Close(), os.MkdirAll(filepath.Dir(path), 0o755)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func unpack(t *testing.T, path string) (dir string, g golden) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatalf("%v: make it with go test ./agents -run GoldenFolder -update-golden", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || !filepath.IsLocal(h.Name) {
			t.Fatal(h.Name, err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, filepath.FromSlash(h.Name)), string(content))
	}
	if err := json.Unmarshal([]byte(read(t, filepath.Join(dir, "golden.json"))), &g); err != nil {
		t.Fatal(err)
	}
	return dir, g
}

// TestGoldenFolder: what this version left behind, it opens: the network's folder, agents with everything in them, the backups
// of an agent and of a broker, and the ledger's bundle. Versions after it must too, or say what to do.
func TestGoldenFolder(t *testing.T) {
	if *updateGolden {
		makeGolden(t)
	}
	dir, g := unpack(t, goldenFile())
	a, err := network.Open(filepath.Join(dir, "network"))
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{police, ngo} {
		if _, ok := a.View().Agency(id); !ok {
			t.Errorf("%s is not in the network's folder", id)
		}
	}
	bundle, err := ledger.OpenBundle(filepath.Join(dir, "bundle"))
	if err != nil {
		t.Fatal(err)
	}
	var found []ledger.Finding
	sum, err := ledger.Verify(t.Context(), bundle, ledger.Options{Root: a.Root(), Found: func(f ledger.Finding) { found = append(found, f) }})
	if err != nil {
		t.Fatal(err)
	}
	broken(t, found)
	if sum.Root != g.Root || sum.Kinds[ledger.KindMail] != g.Mail {
		t.Errorf("the bundle holds %v under %s, want %d messages", sum.Kinds, sum.Root, g.Mail)
	}
	if m, err := broker.VerifyBackup(filepath.Join(dir, "broker-backup")); err != nil || m.Root != a.RootKey() {
		t.Errorf("backup of the broker: %+v, %v", m, err)
	}

	// The agents, far from their broker and at the time when they were put away.
	opened := func(m *member) {
		m.clock, m.log, m.token, m.config = &clock{}, &logBuffer{}, "token-of-"+m.id, filepath.Join(m.dir, "agent.yaml")
		m.clock.move(time.Until(g.Made.Add(time.Minute)))
		m.start(t)
	}
	payload := func(m *member, box, id string) {
		t.Helper()
		var it item
		if code, pr := m.call(t, "GET", "/v1/"+box+"/"+id, nil, &it); code != http.StatusOK || it.ID != id || !strings.Contains(string(it.Payload), "{") {
			t.Errorf("%s of %s: %d %+v %+v", box, m.id, code, pr, it)
		}
	}
	p, n := &member{id: police, dir: filepath.Join(dir, "police")}, &member{id: ngo, dir: filepath.Join(dir, "ngo")}
	opened(p)
	opened(n)
	for _, id := range g.Sent {
		payload(p, "outbox", id)
		payload(n, "inbox", id)
		if it := p.out(t, id); it.State != "delivered" {
			t.Errorf("%s is %s", id, it.State)
		}
	}
	payload(p, "inbox", g.Answer)
	payload(n, "outbox", g.Answer)
	r, err := agents.RestoreBackup(t.Context(), filepath.Join(dir, "police.age"), filepath.Join(dir, "restored"), agents.RestoreOptions{From: vault.BackupFrom{Passphrase: []byte(goldenPass)}})
	if err != nil || !r.Opened || r.Agency != police {
		t.Fatalf("backup of an agent: %+v, %v", r, err)
	}
	again := &member{id: police, dir: filepath.Join(dir, "restored")}
	p.halt(t)
	opened(again)
	for _, id := range g.Sent {
		payload(again, "outbox", id)
	}
}

// TestOtherVersionsOfABackup are refused with a sentence that says which program reads them, whichever is the older.
func TestOtherVersionsOfABackup(t *testing.T) {
	for version, want := range map[int]error{store.Version + 1: store.ErrNewer, store.Version - 1: store.ErrOlder} {
		var sealed, inner bytes.Buffer
		head := fmt.Sprintf(`{"type":%q,"store":%d,"agency":%q,"network":"x","root":"x","signing_key":"x","recipient":"x","made":"2026-03-01T12:00:00Z"}`, agents.BackupType, version, police)
		w := tar.NewWriter(&inner)
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "backup.json", Size: int64(len(head)), Mode: 0o600}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(head)); err != nil {
			t.Fatal(err)
		}
		id, err := age.GenerateX25519Identity()
		if err != nil {
			t.Fatal(err)
		}
		out, err := age.Encrypt(&sealed, id.Recipient())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := out.Write(inner.Bytes()); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.Close(), out.Close()); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "backup.age")
		write(t, path, sealed.String())
		above := t.TempDir()
		_, err = agents.RestoreBackup(t.Context(), path, filepath.Join(above, "agent"), agents.RestoreOptions{From: vault.BackupFrom{Identities: []byte(id.String())}})
		var hinted interface{ Hint() string }
		if !errors.Is(err, want) || !strings.Contains(err.Error(), fmt.Sprintf("store of version %d, this program", version)) || !errors.As(err, &hinted) || hinted.Hint() == "" {
			t.Errorf("version %d: %v", version, err)
		}
		if left, _ := os.ReadDir(above); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}
