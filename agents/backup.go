package agents

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"waypost/agents/store"
	"waypost/agents/vault"
	"waypost/schemas/directory"
)

// Backup is what Backup made.
type Backup struct {
	BackupHead
	File      string
	Size      int64
	SHA256    string           // hex, of the file as it lies there
	Rows      map[string]int64 // of each table that has any
	Elsewhere []string         // files that agent.yaml names and the backup does not hold
}

// MakeBackup writes everything an agent is into one sealed file at out: keys, grant, configuration, evidence and the whole
// store, as it stands at one moment while the agent goes on working. Nothing of it touches a disk unsealed.
//
// The file is read again before it gets its name; it is 0600 and never replaces another. After an error there is none.
func MakeBackup(ctx context.Context, cfg *Config, out string, to vault.BackupTo, now func() time.Time) (*Backup, error) {
	if _, err := os.Lstat(out); err == nil {
		return nil, &ConfigError{File: out, Text: "is there already", Advice: "name a file that does not exist yet; an older backup is never written over"}
	}
	a := &Agent{cfg: cfg}
	if err := a.openIdentity(); err != nil {
		return nil, err
	}
	st, err := openExisting(cfg)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	pub := a.vault.Public()
	b := &Backup{File: out, Elsewhere: cfg.elsewhere(), BackupHead: BackupHead{Type: BackupType, Store: store.Version, Agency: cfg.Agency, Network: a.grant.Network, Root: a.grant.Root,
		SigningKey: pub.SigningKey, Recipient: pub.Recipient, Made: now().UTC().Truncate(time.Millisecond)}}

	f, err := os.CreateTemp(filepath.Dir(out), ".backup-*") // 0600
	if err != nil {
		return nil, fmt.Errorf("write backup: %w", err)
	}
	defer os.Remove(f.Name()) // gone already when it got its name
	defer f.Close()
	sum := sha256.New()
	sealed, err := vault.SealBackup(io.MultiWriter(f, sum), to)
	if err != nil {
		return nil, err
	}
	w := newBackupWriter(sealed)
	if err := b.write(ctx, w, cfg, st); err != nil {
		return nil, fmt.Errorf("write backup: %w", err)
	}
	if err := errors.Join(sealed.Close(), f.Sync()); err != nil {
		return nil, fmt.Errorf("write backup: %w", err)
	}
	b.Rows, b.SHA256 = w.rows, hex.EncodeToString(sum.Sum(nil))
	if err := b.verify(f, to); err != nil {
		return nil, err
	}
	return b, settle(f.Name(), out)
}

func (b *Backup) write(ctx context.Context, w *backupWriter, cfg *Config, st *store.Store) error {
	if err := w.document(headEntry, b.BackupHead); err != nil {
		return err
	}
	for _, name := range vault.Names() {
		if err := w.file(keysEntry+name, filepath.Join(cfg.Keys, name)); err != nil {
			return err
		}
	}
	for name, path := range map[string]string{grantFile: cfg.Grant, configFile: cfg.file} {
		if err := w.file(name, path); err != nil {
			return err
		}
	}
	if err := w.file(requestFile, filepath.Join(filepath.Dir(cfg.file), requestFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Before the store: an alarm that is marked as told is then an event in it.
	if err := w.evidence(filepath.Join(cfg.Data, EvidenceFolder)); err != nil {
		return err
	}
	if err := st.Dump(ctx, w.row); err != nil {
		return err
	}
	return w.close()
}

func (b *backupWriter) file(name, path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return b.entry(name, content)
}

// evidence takes the files of alarms. What vanishes meanwhile was not there.
func (b *backupWriter) evidence(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		err = b.file(evidenceEntry+filepath.ToSlash(rel), path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

// verify reads what was written from the file. Under a passphrase it is opened and gone through; one that is sealed to
// recipients only others can open, so its bytes are compared with those that were sealed.
func (b *Backup) verify(f *os.File, to vault.BackupTo) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("verify backup: %w", err)
	}
	sum := sha256.New()
	size, err := io.Copy(sum, f)
	if err != nil {
		return fmt.Errorf("verify backup: %w", err)
	}
	b.Size = size
	if hex.EncodeToString(sum.Sum(nil)) != b.SHA256 {
		return errors.New("verify backup: the disk holds something else than was written; nothing was kept")
	}
	if len(to.Passphrase) == 0 {
		return nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("verify backup: %w", err)
	}
	r, _, err := newBackupReader(f, vault.BackupFrom{Passphrase: to.Passphrase})
	if err != nil {
		return fmt.Errorf("verify backup: %w", err)
	}
	return r.through(func(string, []byte) error { return nil }, func() error {
		for {
			if _, _, err := r.row(); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
		}
	})
}

// through gives the entries before the store's to each, then has the rows read.
func (r *backupReader) through(each func(name string, content []byte) error, rows func() error) error {
	for {
		name, content, err := r.next()
		if errors.Is(err, io.EOF) {
			return damaged("it holds no store")
		}
		if err != nil {
			return err
		}
		if strings.HasPrefix(name, storeEntry) {
			if err := r.chunk(name, content); err != nil {
				return err
			}
			return rows()
		}
		if err := each(name, content); err != nil {
			return err
		}
	}
}

// settle gives a file its name, unless something has it already.
func settle(tmp, path string) error {
	if err := os.Link(tmp, path); errors.Is(err, fs.ErrExist) {
		return &ConfigError{File: path, Text: "is there already", Advice: "name a file that does not exist yet; an older backup is never written over"}
	} else if err != nil {
		// A file system without hard links. Nobody else writes backups to this name.
		if err := os.Rename(tmp, path); err != nil {
			return fmt.Errorf("write backup: %w", err)
		}
	}
	return syncFolder(filepath.Dir(path))
}

func openExisting(cfg *Config) (*store.Store, error) {
	if cfg.Store.Postgres != nil {
		return openStore(cfg, true)
	}
	path := filepath.Join(cfg.Data, StoreFile)
	if _, err := os.Stat(path); err != nil && cfg.Store.Postgres == nil {
		return nil, &ConfigError{File: "data", Text: "there is no store in " + cfg.Data, Advice: "name the agent's configuration with --config; an agent that never ran has nothing to back up but its keys"}
	}
	return OpenStore(cfg)
}

// elsewhere are the files that the configuration names and a backup does not hold.
func (c *Config) elsewhere() []string {
	out := []string{c.PassphraseFile, c.API.Cert, c.API.Key}
	if c.Store.Postgres != nil {
		out = append(out, c.Store.Postgres.URLFile)
	}
	for _, s := range c.Sinks {
		if s.Webhook != nil {
			out = append(out, s.Webhook.SecretFiles...)
		}
	}
	out = slices.DeleteFunc(out, func(p string) bool { return p == "" })
	slices.Sort(out)
	return slices.Compact(out)
}

// RestoreOptions say how to open a backup and where to put it.
type RestoreOptions struct {
	From           vault.BackupFrom
	KeysPassphrase []byte // of the keys in it; nil: they are not opened if they are under one
	PostgresURL    string // file with the URL of an empty database for the store; "": a SQLite file in the folder
}

// Restored is what Restore made.
type Restored struct {
	BackupHead
	Rows   map[string]int64
	Opened bool     // the keys were opened and are the backup's agency's
	Moved  []string // what agent.yaml looks for elsewhere than where it was put
}

// RestoreBackup makes an agent's folder from a backup. dir must be empty or not be there; it appears as a whole or not at all.
//
// With o.PostgresURL the store's rows go into that database instead, which must hold none: it is also the way from one kind of
// database to the other. A backup whose agent.yaml names PostgreSQL is restored only so, because the agent would look there.
//
// The store in it is marked: the agent numbers and sends nothing before it has asked the ledger what was sent since the
// backup, and asks the broker for everything that still lies there.
func RestoreBackup(ctx context.Context, file, dir string, o RestoreOptions) (*Restored, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return nil, &ConfigError{File: dir, Text: "is not empty", Advice: "name a folder that does not exist yet; an agent is never restored over another"}
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("restore: %w", err)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, &ConfigError{File: file, Text: plainPathError(err)}
	}
	defer f.Close()
	r, head, err := newBackupReader(f, o.From)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".restore-") // 0700
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	defer os.RemoveAll(tmp) // gone already when it got its name
	out := &Restored{BackupHead: *head}
	if err := out.unpack(ctx, r, tmp, o); err != nil {
		return nil, err
	}
	// The last moment at which something can have come to be there.
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, &ConfigError{File: dir, Text: "is not empty", Advice: "name a folder that does not exist yet; an agent is never restored over another"}
	}
	if err := os.Rename(tmp, dir); err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	if err := syncFolder(filepath.Dir(dir)); err != nil {
		return nil, err
	}
	out.Moved = moved(dir, o)
	return out, nil
}

func (out *Restored) unpack(ctx context.Context, r *backupReader, dir string, o RestoreOptions) error {
	for _, d := range []string{"keys", "data"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return fmt.Errorf("restore: %w", err)
		}
	}
	err := r.through(func(name string, content []byte) error {
		path := ""
		switch rest, evidence := strings.CutPrefix(name, evidenceEntry); {
		case evidence:
			path = filepath.Join("data", EvidenceFolder, filepath.FromSlash(rest))
		case name == grantFile, name == configFile, name == requestFile, slices.Contains(vault.Names(), strings.TrimPrefix(name, keysEntry)) && strings.HasPrefix(name, keysEntry):
			path = filepath.FromSlash(name)
		default:
			return damaged("it holds something that no backup does")
		}
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fmt.Errorf("restore: %w", err)
		}
		if err := replace(path, content, 0o600); err != nil {
			return fmt.Errorf("restore: %w", err)
		}
		return nil
	}, func() error {
		// Before the rows: a database outside the folder gets nothing from a backup that does not hold together.
		if err := out.check(dir, o); err != nil {
			return err
		}
		st, err := out.openStore(dir, o)
		if err != nil {
			return err
		}
		err = st.Load(ctx, r.row, func(tx *store.Tx) error { return tx.Restored(out.Made) })
		return errors.Join(err, st.Close())
	})
	if err != nil {
		return err
	}
	out.Rows = r.rows
	for _, d := range []string{"keys", "data", "."} {
		if err := syncFolder(filepath.Join(dir, d)); err != nil {
			return err
		}
	}
	return nil
}

// openStore opens where the rows go.
func (out *Restored) openStore(dir string, o RestoreOptions) (*store.Store, error) {
	if o.PostgresURL != "" {
		to := &Config{Agency: out.Agency, Data: filepath.Join(dir, "data")}
		to.Store.Postgres = &PostgresConfig{URLFile: o.PostgresURL}
		return OpenStore(to)
	}
	cfg, err := LoadConfig(filepath.Join(dir, configFile))
	if err != nil {
		return nil, err
	}
	if cfg.Store.Postgres != nil {
		return nil, &ConfigError{File: "backup", Text: "its agent.yaml keeps the store in PostgreSQL", Advice: "name a file with the URL of an empty database: --postgres-url-file"}
	}
	return store.Open(filepath.Join(dir, "data", StoreFile))
}

// check sees that what was unpacked belongs together.
func (out *Restored) check(dir string, o RestoreOptions) error {
	text, err := os.ReadFile(filepath.Join(dir, grantFile))
	if err != nil {
		return damaged("it holds no grant")
	}
	if _, err := os.Stat(filepath.Join(dir, configFile)); err != nil {
		return damaged("it holds no configuration")
	}
	g, err := directory.ParseGrant(text)
	if err != nil {
		return damaged("its grant cannot be read")
	}
	if err := out.fits(g); err != nil {
		return err
	}
	v, err := vault.Open(filepath.Join(dir, "keys"), o.KeysPassphrase)
	if errors.Is(err, vault.ErrPassphrase) && len(o.KeysPassphrase) == 0 {
		return nil // as safe as they were; the agent opens them when it starts
	}
	if err != nil {
		return err
	}
	if pub := v.Public(); v.Agency() != out.Agency || pub.SigningKey != out.SigningKey || pub.Recipient != out.Recipient {
		return &ConfigError{File: "backup", Text: "the keys in it are not " + out.Agency + "'s", Advice: "it was put together from two; use another backup", cause: ErrBackupDamaged}
	}
	out.Opened = true
	return ours(g, v)
}

// moved compares where the restored configuration looks with where things were put, and makes the folders of sinks inside dir.
func moved(dir string, o RestoreOptions) (out []string) {
	cfg, err := LoadConfig(filepath.Join(dir, configFile))
	if err != nil {
		return []string{err.Error()}
	}
	for _, p := range []struct{ key, at, put string }{{"keys", cfg.Keys, "keys"}, {"grant", cfg.Grant, grantFile}, {"data", cfg.Data, "data"}} {
		if put := filepath.Join(dir, p.put); filepath.Clean(p.at) != put {
			out = append(out, p.key+": "+p.at+" (it is in "+put+")")
		}
	}
	if url, err := filepath.Abs(o.PostgresURL); o.PostgresURL != "" && (cfg.Store.Postgres == nil || err != nil || cfg.Store.Postgres.URLFile != url) {
		out = append(out, "store.postgres.url_file: the store is in the database of "+o.PostgresURL)
	}
	for _, c := range cfg.Sinks {
		if c.Folder == nil {
			continue
		}
		// As init makes it. One outside is another system's: it is there, or somebody has to see to it.
		if rel, err := filepath.Rel(dir, c.Folder.Dir); err == nil && filepath.IsLocal(rel) {
			if os.MkdirAll(c.Folder.Dir, 0o700) == nil {
				continue
			}
		}
		if _, err := os.Stat(c.Folder.Dir); err != nil {
			out = append(out, "sink "+c.Name+": "+c.Folder.Dir+" is not there")
		}
	}
	for _, p := range cfg.elsewhere() {
		if _, err := os.Stat(p); err != nil {
			out = append(out, p+" (was not in the backup)")
		}
	}
	return out
}

func syncFolder(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // folders cannot be synced there
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	return nil
}
