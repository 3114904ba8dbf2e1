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
	"slices"
	"strings"
	"time"

	"waypost/agents/store"
	"waypost/agents/vault"
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
