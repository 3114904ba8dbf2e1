package floor

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	_ "modernc.org/sqlite" // the driver that agents use
)

// store is one table in one SQLite database. A nil store takes everything and keeps nothing.
type store struct{ db *sql.DB }

func openStore(dir, name string) (*store, error) {
	q := url.Values{}
	q.Add("_txlock", "immediate")
	for _, p := range []string{"journal_mode(WAL)", "synchronous(FULL)"} {
		q.Add("_pragma", p)
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: filepath.Join(dir, name+".db")}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(`CREATE TABLE message (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, data BLOB NOT NULL, wrapped BLOB) STRICT`); err != nil {
		db.Close()
		return nil, fmt.Errorf("make store: %w", err)
	}
	return &store{db}, nil
}

func (s *store) close() {
	if s != nil {
		s.db.Close()
	}
}

// add commits a batch with one fsync.
func (s *store) add(ctx context.Context, batch []*message) error {
	if s == nil {
		return nil
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer tx.Rollback()
	insert, err := tx.PrepareContext(ctx, `INSERT INTO message (id, data, wrapped) VALUES (?,?,?)`)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	for _, m := range batch {
		if _, err := insert.ExecContext(ctx, m.id, m.data, m.wrapped); err != nil {
			return fmt.Errorf("insert: %w", err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

const syncsMost = 16 // files synced at once: the file system's journal commits them together

// sink writes a file for each, synced before it gets its name, and syncs the folder once.
func sink(dir string, batch []*message, size int) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make sink: %w", err)
	}
	var wg sync.WaitGroup
	errs := make(chan error, len(batch))
	limit := make(chan struct{}, syncsMost)
	for _, m := range batch {
		limit <- struct{}{}
		wg.Add(1)
		go func() {
			defer func() { <-limit; wg.Done() }()
			if err := put(dir, m.id, m.data[:min(size, len(m.data))]); err != nil {
				errs <- err
			}
		}()
	}
	wg.Wait()
	select {
	case err := <-errs:
		return err
	default:
	}
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync sink: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

func put(dir, id string, data []byte) error {
	path := filepath.Join(dir, id+".json")
	f, err := os.OpenFile(path+".part", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write sink file: %w", err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write sink file: %w", err)
	}
	return os.Rename(path+".part", path)
}
