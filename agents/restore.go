package agents

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"waypost/agents/store"
	"waypost/agents/vault"
	"waypost/schemas/directory"
)

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

// RestoreBackup makes an agent's folder from a backup. dir must be empty or not be there; see place for how it comes to be whole.
//
// With o.PostgresURL the store's rows go into that database instead, which must hold none: it is also the way from one kind of
// database to the other. A backup whose agent.yaml names PostgreSQL is restored only so, because the agent would look there.
// The rows are committed just before the folder is there; should it fail to be, they are taken out again, at once or by the next
// try.
//
// The store in it is marked: the agent numbers and sends nothing before it has asked the ledger what was sent since the
// backup, and asks the broker for everything that still lies there.
func RestoreBackup(ctx context.Context, file, dir string, o RestoreOptions) (*Restored, error) {
	p, err := newPlace(dir)
	if err != nil {
		return nil, err
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
	if err := p.open(); err != nil {
		return nil, err
	}
	defer p.close()
	out := &Restored{BackupHead: *head}
	st, err := out.unpack(ctx, r, p.staging, o)
	if err != nil {
		return nil, err
	}
	out.Rows = r.rows
	if err := out.settle(ctx, p, st); err != nil {
		return nil, err
	}
	out.Moved = moved(p.dir, o)
	return out, nil
}

// settle lets the folder be there. st is the database outside it, or nil.
func (out *Restored) settle(ctx context.Context, p *place, st *store.Store) error {
	if st == nil {
		return p.appear()
	}
	defer st.Close()
	// Whoever interrupts now gets all of it or nothing.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeWait)
	defer cancel()
	if err := p.appear(); err != nil {
		_, left := st.Discard(ctx)
		return errors.Join(err, left)
	}
	if err := st.Keep(ctx); errors.Is(err, store.ErrNotFound) {
		return errors.Join(&ConfigError{File: "backup", Text: "another restore took the database meanwhile", Advice: "give each its own, and try again"}, p.vanish())
	}
	// Not noted for another reason: then another restore would take it for unfinished until an agent has worked on it.
	return nil
}

// unpack writes everything into dir and has it on disk, and the rows in their database; that is returned if it is outside dir.
func (out *Restored) unpack(ctx context.Context, r *backupReader, dir string, o RestoreOptions) (outside *store.Store, err error) {
	for _, d := range []string{"keys", "data"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return nil, fmt.Errorf("restore: %w", err)
		}
	}
	err = r.through(func(name string, content []byte) error { return unpackEntry(dir, name, content) }, func() error {
		// Before the rows: a database outside the folder gets nothing from a backup that does not hold together.
		if err := out.check(dir, o); err != nil {
			return err
		}
		st, err := out.openStore(ctx, dir, o)
		if err != nil {
			return err
		}
		if err := syncTree(dir); err != nil {
			return errors.Join(err, st.Close())
		}
		err = st.Load(ctx, r.row, func(tx *store.Tx) error {
			if err := tx.Restored(out.Made); err != nil || o.PostgresURL == "" {
				return err
			}
			return tx.Provisional()
		})
		if err == nil && o.PostgresURL != "" {
			outside = st
			return nil
		}
		return errors.Join(err, st.Close(), syncTree(filepath.Join(dir, "data")))
	})
	return outside, err
}

func unpackEntry(dir, name string, content []byte) error {
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
}

// openStore opens where the rows go. What an earlier try left in a database is taken out.
func (out *Restored) openStore(ctx context.Context, dir string, o RestoreOptions) (*store.Store, error) {
	if o.PostgresURL != "" {
		to := &Config{Agency: out.Agency, Data: filepath.Join(dir, "data")}
		to.Store.Postgres = &PostgresConfig{URLFile: o.PostgresURL}
		st, err := OpenStore(to)
		if err != nil {
			return nil, err
		}
		if _, err := st.Discard(ctx); err != nil {
			return nil, errors.Join(err, st.Close())
		}
		return st, nil
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
