package agents

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"waypost/agents/store"
)

// StoreConfig says where the agent's memory is: in a SQLite file in the data folder, or in PostgreSQL, which two agents of
// one agency share.
type StoreConfig struct {
	Postgres *PostgresConfig `yaml:"postgres" validate:"omitempty"`
}

// PostgresConfig names a database. The URL holds a password, so it is in a file of its own that only the agent's user reads.
type PostgresConfig struct {
	URLFile string `yaml:"url_file" validate:"required"`
}

// storeWait bounds how long a database is waited for when it is opened.
const storeWait = 15 * time.Second

// postgresMark is the name, inside the data folder, of what says that the store in PostgreSQL was made: state that must exist is
// never made anew in silence.
const postgresMark = "store-is-in-postgres"

// OpenStore opens an agent's store beside the agent, which may be running. One that there never was is made.
func OpenStore(cfg *Config) (*store.Store, error) { return openStore(cfg, false) }

// openStore also refuses, with existing, to make one.
func openStore(cfg *Config, existing bool) (*store.Store, error) {
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	if cfg.Store.Postgres == nil {
		return store.Open(filepath.Join(cfg.Data, StoreFile))
	}
	// A restored backup, or an agent that had a file until now: whichever was meant, going on with the other one would forget
	// what was sent and give out its numbers again.
	if _, err := os.Stat(filepath.Join(cfg.Data, StoreFile)); err == nil {
		return nil, &ConfigError{File: "store.postgres", Text: "there is a store in the data folder too: " + filepath.Join(cfg.Data, StoreFile),
			Advice: "to go on with the file, which a restored backup is, take `store` out of agent.yaml; to go on with PostgreSQL, move the file away"}
	}
	const key = "store.postgres.url_file"
	url, err := secretLine(cfg.Store.Postgres.URLFile)
	if err != nil {
		var c *ConfigError
		if errors.As(err, &c) {
			c.File = key
		}
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeWait)
	defer cancel()
	mark := filepath.Join(cfg.Data, postgresMark)
	if _, err := os.Stat(mark); err == nil {
		existing = true
	}
	st, err := store.OpenPostgres(ctx, store.Postgres{URL: url, Agency: cfg.Agency, Existing: existing})
	switch {
	case errors.Is(err, store.ErrMissing):
		return nil, &ConfigError{File: key, Text: "the database holds no store, and this agent has one",
			Advice: "is it the right server, database and search_path? After a loss, restore a backup; only an agent that shall begin anew may do so, with an empty data folder"}
	case errors.Is(err, store.ErrURL):
		return nil, &ConfigError{File: key, Text: store.ErrURL.Error()}
	case errors.Is(err, store.ErrInsecure):
		return nil, &ConfigError{File: key, Text: store.ErrInsecure.Error(), Advice: "sslmode=verify-full&sslrootcert=FILE in the URL; plain only over a Unix socket or loopback"}
	case errors.Is(err, store.ErrForeign):
		return nil, &ConfigError{File: key, Text: store.ErrForeign.Error(), Advice: "each agency has a database, or a schema, of its own"}
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("%w; is the server of %s running, and does it let this agent in?", err, key)
	}
	if err == nil {
		if err = os.WriteFile(mark, nil, 0o600); err != nil {
			return nil, errors.Join(fmt.Errorf("mark data folder: %w", err), st.Close())
		}
	}
	return st, err
}

// secretLine reads a one-line secret from a file that nobody else may read. No error repeats what is in it.
func secretLine(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", &ConfigError{Text: plainPathError(err)}
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return "", &ConfigError{Text: "others may read the file", Advice: "chmod 600 " + path}
	}
	text, err := io.ReadAll(io.LimitReader(f, 4<<10))
	if err != nil {
		return "", &ConfigError{Text: plainPathError(err)}
	}
	line := strings.TrimRight(string(text), "\r\n")
	if line == "" || strings.ContainsAny(line, "\r\n") {
		return "", &ConfigError{Text: "must hold one line"}
	}
	return line, nil
}
