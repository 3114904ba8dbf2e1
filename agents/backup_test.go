package agents_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"waypost/agents"
	"waypost/agents/store"
	"waypost/agents/store/postgrestest"
	"waypost/agents/vault"
	"waypost/broker/audit"
	"waypost/broker/brokertest"
	"waypost/schemas/health/healthtest"
	"waypost/schemas/ledger"
)

const backupPass = "five invented test words here"

func (m *member) backup(t testing.TB, to vault.BackupTo) (string, *agents.Backup) {
	t.Helper()
	cfg, err := agents.LoadConfig(m.config)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "agent.age")
	b, err := agents.MakeBackup(t.Context(), cfg, out, to, m.clock.now)
	if err != nil {
		t.Fatal(err)
	}
	return out, b
}

// verified waits until the ledger holds n messages and all of it is signed, and audits it whole.
func verified(t testing.TB, b *brokertest.Broker, n int64) (sum *ledger.Summary, found []ledger.Finding) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	eventually(t, "the ledger holds everything", func() bool {
		live, err := audit.Open(ctx, b.URL(), filepath.Join(b.Authority.Dir(), "keys", "auditor.creds"), "")
		if err != nil {
			t.Fatal(err)
		}
		defer live.Close()
		found = nil
		sum, err = ledger.Verify(ctx, live, ledger.Options{Root: b.Authority.Root(), Found: func(f ledger.Finding) { found = append(found, f) }})
		if err != nil {
			t.Fatal(err)
		}
		return sum.Kinds[ledger.KindMail] >= n && sum.Signed == sum.Records
	})
	return sum, found
}

// broken fails the test for findings that break the record, and for notable ones that are not expected.
func broken(t testing.TB, found []ledger.Finding, expected ...ledger.Code) {
	t.Helper()
	for _, f := range found {
		if f.Severity == ledger.Broken || !slices.Contains(append(expected, ledger.FindTail, ledger.FindUnwitnessed), f.Code) {
			t.Errorf("the ledger: %s", f.Text())
		}
	}
}

// TestAgentRestore: an agency loses its machine. What it had at the time of the backup is there again; what it sent since then
// is known from the ledger, under its old numbers; what it received since then comes again; what still waited in the backup
// and was sent since is not sent twice.
func TestAgentRestore(t *testing.T) {
	fileOnly(t)
	b := brokertest.Start(t)
	p, n := enrolled(t, b, police, "police", "").watched(t), enrolled(t, b, ngo, "ngo", "")
	agreeAll(t, b, police, ngo)
	p.start(t)
	n.start(t)
	p.ready(t)
	n.ready(t)
	first := p.mustSubmit(t, ngo, nil)
	p.waitState(t, first.ID, "delivered")
	b.Stop(t)
	waiting := p.mustSubmit(t, ngo, nil) // in the backup it has not left
	file, made := p.backup(t, vault.BackupTo{Passphrase: []byte(backupPass)})
	if made.Rows["outbox"] != 2 {
		t.Errorf("rows in the backup: %v", made.Rows)
	}
	b.Restart(t)
	after := p.mustSubmit(t, ngo, nil)
	p.waitState(t, waiting.ID, "delivered")
	p.waitState(t, after.ID, "delivered")
	var answer accepted
	if code, pr := n.call(t, "POST", "/v1/inbox/"+after.ID+"/responses", []byte(`{"outcome":"accepted"}`), &answer); code != http.StatusAccepted {
		t.Fatalf("respond: %d %+v", code, pr)
	}
	n.waitState(t, answer.ID, "delivered")
	p.halt(t)
	if err := os.RemoveAll(p.dir); err != nil {
		t.Fatal(err)
	}
	late := accepted{}
	if code, pr := n.call(t, "POST", "/v1/inbox/"+first.ID+"/responses", []byte(`{"outcome":"accepted"}`), &late); code != http.StatusAccepted {
		t.Fatalf("respond: %d %+v", code, pr)
	}

	// Without the broker the restored agent takes nothing: it could give a number twice.
	b.Stop(t)
	r, err := agents.RestoreBackup(t.Context(), file, p.dir, agents.RestoreOptions{From: vault.BackupFrom{Passphrase: []byte(backupPass)}})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Opened || r.Agency != police || len(r.Moved) > 0 {
		t.Errorf("restored: %+v", r)
	}
	p.start(t)
	if _, code, pr := p.submit(t, ngo, nil); code != http.StatusServiceUnavailable || pr.Code != "recovering" {
		t.Errorf("a restored agent that has not asked took a message: %d %+v", code, pr)
	}
	if status, st := healthtest.State(t, p.health); status != http.StatusServiceUnavailable || st.Code != agents.CodeRecovering {
		t.Errorf("whoever watches is told %d %+v", status, st)
	}
	b.Restart(t)
	p.ready(t)
	var last accepted
	eventually(t, "the restored agent takes messages", func() bool {
		var code int
		last, code, _ = p.submit(t, ngo, nil)
		return code == http.StatusAccepted
	})
	p.waitState(t, last.ID, "delivered")
	for _, id := range []string{first.ID, waiting.ID, after.ID} {
		if it := p.waitState(t, id, "delivered"); it.Hold != "" {
			t.Errorf("%s: %+v", id, it)
		}
	}
	for _, id := range []string{answer.ID, late.ID} {
		eventually(t, "what came since the backup comes again", func() bool { return p.files(t)[id] })
		n.waitState(t, id, "delivered")
	}
	for _, id := range []string{first.ID, waiting.ID, after.ID, last.ID} {
		if !n.files(t)[id] {
			t.Errorf("%s is not with its recipient", id)
		}
	}
	// 4 referrals, 2 answers, and a receipt for each: none twice, whoever forgot it.
	sum, found := verified(t, b, 12)
	broken(t, found)
	if sum.Kinds[ledger.KindMail] != 12 || sum.Kinds[ledger.KindAct] != 1 {
		t.Errorf("records: %v", sum.Kinds)
	}
	for _, m := range []*member{p, n} {
		var st struct{ Counts struct{ Quarantined int } }
		if code, _ := m.call(t, "GET", "/v1/status", nil, &st); code != 200 || st.Counts.Quarantined > 0 {
			t.Errorf("%s set aside %d", m.id, st.Counts.Quarantined)
		}
	}
}

// TestCloneIsNoticed: a backup is restored while the agent it was made of still runs.
func TestCloneIsNoticed(t *testing.T) {
	fileOnly(t)
	b := brokertest.Start(t)
	p := enrolled(t, b, police, "police", "")
	write(t, p.config, read(t, p.config)+"ledger: {every: 100ms}\n")
	p.start(t)
	p.ready(t)
	file, _ := p.backup(t, vault.BackupTo{Passphrase: []byte(backupPass)})
	clone := &member{id: police, dir: filepath.Join(t.TempDir(), "clone"), clock: &clock{}, log: &logBuffer{}, token: p.token}
	if _, err := agents.RestoreBackup(t.Context(), file, clone.dir, agents.RestoreOptions{From: vault.BackupFrom{Passphrase: []byte(backupPass)}}); err != nil {
		t.Fatal(err)
	}
	clone.config = filepath.Join(clone.dir, "agent.yaml")
	clone.start(t)
	clone.ready(t)
	found := func(m *member) int {
		list, err := filepath.Glob(filepath.Join(m.dir, "data", "evidence", "agent-replaced-*", "told"))
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	eventually(t, "the first agent says that there is a second", func() bool { return found(p) == 1 })
	if found(clone) > 0 {
		t.Error("the restored agent takes itself for a second one")
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// lone is an agency with keys, grant and store that never runs.
func lone(t *testing.T) *member {
	t.Helper()
	b := brokertest.Start(t)
	p := enrolled(t, b, police, "police", "")
	write(t, filepath.Join(p.dir, "data", "evidence", "ledger-fork-0123", "README.txt"), "kept")
	return p
}

// TestAgentBackupSealed: to a passphrase, to the classic and to the post-quantum recipient; not to both kinds, nor to nobody.
func TestAgentBackupSealed(t *testing.T) {
	fileOnly(t)
	p := lone(t)
	classic, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		to   vault.BackupTo
		from vault.BackupFrom
	}{
		"passphrase": {vault.BackupTo{Passphrase: []byte(backupPass)}, vault.BackupFrom{Passphrase: []byte(backupPass)}},
		"classic":    {vault.BackupTo{Recipients: []string{classic.Recipient().String()}}, vault.BackupFrom{Identities: []byte("# offline\n" + classic.String() + "\n")}},
		"hybrid":     {vault.BackupTo{Recipients: []string{hybrid.Recipient().String()}}, vault.BackupFrom{Identities: []byte(hybrid.String())}},
	} {
		t.Run(name, func(t *testing.T) {
			file, made := p.backup(t, c.to)
			info, err := os.Stat(file)
			if err != nil || info.Mode().Perm() != 0o600 || info.Size() != made.Size {
				t.Errorf("%v, %v", info, err)
			}
			sealed := []byte(read(t, file))
			for _, open := range []string{police, "signing.key", "outbox", "kept", "waypost.agent-backup"} {
				if bytes.Contains(sealed, []byte(open)) {
					t.Errorf("%q stands in the file in the open", open)
				}
			}
			dir := filepath.Join(t.TempDir(), "agent")
			if name == "classic" { // into a volume
				write(t, filepath.Join(dir, "lost+found", "of-the-volume"), "")
			}
			r, err := agents.RestoreBackup(t.Context(), file, dir, agents.RestoreOptions{From: c.from})
			if err != nil || !r.Opened {
				t.Fatal(r, err)
			}
			for _, name := range []string{"keys/signing.key", "keys/at-rest.key", "keys/nats.nk", "keys/identity.age", "grant.json", "agent.yaml", "request.json", "data/evidence/ledger-fork-0123/README.txt"} {
				if read(t, filepath.Join(dir, name)) != read(t, filepath.Join(p.dir, name)) {
					t.Errorf("%s is another", name)
				}
				if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("%s: %v %v", name, info, err)
				}
			}
		})
	}
	cfg, err := agents.LoadConfig(p.config)
	if err != nil {
		t.Fatal(err)
	}
	for says, to := range map[string]vault.BackupTo{
		"to nobody":               {},
		"cannot be mixed":         {Recipients: []string{classic.Recipient().String(), hybrid.Recipient().String()}},
		"not an age recipient":    {Recipients: []string{classic.String()}},
		"either to a passphrase":  {Passphrase: []byte(backupPass), Recipients: []string{classic.Recipient().String()}},
		"not an age recipient (a": {Recipients: []string{"age1" + strings.Repeat("q", 58)}},
	} {
		dir := t.TempDir()
		if _, err := agents.MakeBackup(t.Context(), cfg, filepath.Join(dir, "x.age"), to, time.Now); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%v, want %q", err, says)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%q left %v behind", says, left)
		}
	}
}

// TestAgentRestoreRefuses: whatever is wrong, the folder is as it was.
func TestAgentRestoreRefuses(t *testing.T) {
	fileOnly(t)
	p := lone(t)
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	to := vault.BackupTo{Recipients: []string{id.Recipient().String()}}
	from := vault.BackupFrom{Identities: []byte(id.String())}
	file, _ := p.backup(t, to)
	good := []byte(read(t, file))
	stranger, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	cut := func(n int) []byte { return good[:n] }
	flip := func(i int) []byte { b := bytes.Clone(good); b[i] ^= 1; return b }
	for name, c := range map[string]struct {
		file []byte
		from vault.BackupFrom
		want error
		says string
	}{
		"empty":             {nil, from, agents.ErrBackupDamaged, ""},
		"half":              {cut(len(good) / 2), from, agents.ErrBackupDamaged, ""},
		"last byte missing": {cut(len(good) - 1), from, agents.ErrBackupDamaged, ""},
		"a bit at its end":  {flip(len(good) - 1), from, agents.ErrBackupDamaged, ""},
		"a bit inside":      {flip(len(good) / 2), from, agents.ErrBackupDamaged, ""},
		"a byte more":       {append(bytes.Clone(good), 'x'), from, agents.ErrBackupDamaged, ""},
		"no age file":       {[]byte("PK\x03\x04 nothing"), from, agents.ErrBackupDamaged, ""},
		"not for us":        {good, vault.BackupFrom{Identities: []byte(stranger.String())}, vault.ErrNotForMe, "sealed to other recipients"},
		"a passphrase":      {good, vault.BackupFrom{Passphrase: []byte(backupPass)}, vault.ErrPassphrase, "this passphrase does not open it"},
		"no key at all":     {good, vault.BackupFrom{}, nil, "neither a passphrase nor an identity"},
		"no identity":       {good, vault.BackupFrom{Identities: []byte("secret-word")}, nil, "holds no age identity"},
	} {
		t.Run(name, func(t *testing.T) {
			above := t.TempDir()
			path, dir := filepath.Join(t.TempDir(), "backup"), filepath.Join(above, "agent")
			if err := os.WriteFile(path, c.file, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := agents.RestoreBackup(t.Context(), path, dir, agents.RestoreOptions{From: c.from})
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "secret-word") {
				t.Errorf("%v, want %v %q", err, c.want, c.says)
			}
			if left, _ := os.ReadDir(above); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			write(t, filepath.Join(dir, "lost+found", "of-the-volume"), "")
			_, err = agents.RestoreBackup(t.Context(), path, dir, agents.RestoreOptions{From: c.from})
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("into a volume: %v, want %v", err, c.want)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) != 1 || left[0].Name() != "lost+found" {
				t.Errorf("left behind in a volume: %v, %v", left, err)
			}
		})
	}
	if _, err := agents.RestoreBackup(t.Context(), file, p.dir, agents.RestoreOptions{From: from}); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("restored over an agent: %v", err)
	}
	cfg, err := agents.LoadConfig(p.config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := agents.MakeBackup(t.Context(), cfg, file, to, time.Now); err == nil || !strings.Contains(err.Error(), "is there already") || !bytes.Equal([]byte(read(t, file)), good) {
		t.Errorf("written over a backup: %v", err)
	}
}

// TestAgentRestoreIntoPostgres: from a file into a database and back, and never over what is there.
func TestAgentRestoreIntoPostgres(t *testing.T) {
	fileOnly(t)
	server := postgrestest.Start(t)
	p := lone(t)
	url, _ := server.Schema(t)
	urlFile := filepath.Join(t.TempDir(), "url")
	write(t, urlFile, url+"\n")
	pass := vault.BackupTo{Passphrase: []byte(backupPass)}
	from := vault.BackupFrom{Passphrase: []byte(backupPass)}
	file, made := p.backup(t, pass)
	dir := filepath.Join(t.TempDir(), "agent")
	r, err := agents.RestoreBackup(t.Context(), file, dir, agents.RestoreOptions{From: from, PostgresURL: urlFile})
	if err != nil || !r.Opened {
		t.Fatal(r, err)
	}
	if len(r.Moved) != 1 || !strings.HasPrefix(r.Moved[0], "store.postgres.url_file: ") {
		t.Errorf("not said that agent.yaml looks elsewhere: %v", r.Moved)
	}
	if _, err := os.Stat(filepath.Join(dir, "data", agents.StoreFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a SQLite file beside the database: %v", err)
	}
	other := filepath.Join(t.TempDir(), "other")
	var hinted interface{ Hint() string }
	if _, err := agents.RestoreBackup(t.Context(), file, other, agents.RestoreOptions{From: from, PostgresURL: urlFile}); !errors.Is(err, store.ErrNotEmpty) || !errors.As(err, &hinted) || hinted.Hint() == "" {
		t.Errorf("restored over rows: %v", err)
	}
	if _, err := os.Stat(other); !errors.Is(err, os.ErrNotExist) {
		t.Error("a folder without its store")
	}
	// As if the power had gone after the rows were committed and before the folder was there: the next try works.
	st, err := store.OpenPostgres(t.Context(), store.Postgres{URL: url, Agency: police})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	update := func(f func(tx *store.Tx) error) {
		t.Helper()
		if err := st.Update(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	update(func(tx *store.Tx) error {
		return errors.Join(tx.Provisional(), tx.AddToken("left over", "a-token", []string{"read"}, time.Now()))
	})
	second := filepath.Join(t.TempDir(), "second")
	if r, err := agents.RestoreBackup(t.Context(), file, second, agents.RestoreOptions{From: from, PostgresURL: urlFile}); err != nil || r.Rows["tokens"] != 1 {
		t.Errorf("the second try: %+v, %v", r, err)
	}
	if tokens, err := st.Tokens(t.Context()); err != nil || len(tokens) != 1 {
		t.Errorf("%d tokens, %v", len(tokens), err)
	}
	if _, err := agents.RestoreBackup(t.Context(), file, other, agents.RestoreOptions{From: from, PostgresURL: urlFile}); !errors.Is(err, store.ErrNotEmpty) {
		t.Errorf("restored over rows: %v", err)
	}
	// The agent in PostgreSQL is backed up like any other; its backup does not go where the agent would not look.
	m := &member{id: police, dir: dir, config: filepath.Join(dir, "agent.yaml"), clock: &clock{}}
	write(t, m.config, read(t, m.config)+"store:\n  postgres: {url_file: "+urlFile+"}\n")
	third, again := m.backup(t, pass)
	if again.Rows["tokens"] != made.Rows["tokens"] || again.Rows["tokens"] != 1 || again.Rows["healings"] != 1 {
		t.Errorf("rows %v, then %v", made.Rows, again.Rows)
	}
	if _, err := agents.RestoreBackup(t.Context(), third, other, agents.RestoreOptions{From: from}); err == nil || !strings.Contains(err.Error(), "keeps the store in PostgreSQL") {
		t.Errorf("restored where the agent does not look: %v", err)
	}
}
