package agents

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"waypost/agents/store"
	"waypost/agents/vault"
	"waypost/schemas/directory"
)

// BackupType is the "type" of the first entry of an agent's backup.
const BackupType = "waypost.agent-backup.v1"

// A backup is an age file of a tar archive, so that what is in it can be got at without this program. Its entries, in order:
//
//	backup.json              BackupHead
//	keys/…                   the key folder, as it is: under its passphrase if it has one
//	grant.json, agent.yaml, request.json
//	evidence/<alarm>/…       what alarms about the ledger kept
//	store/<n>-<table>.jsonl  rows of the store as store.Dump gives them, some at a time; n counts from 1
//	end.json                 backupEnd: a file without it was interrupted
const (
	headEntry     = "backup.json"
	endEntry      = "end.json"
	evidenceEntry = "evidence/"
	keysEntry     = "keys/"
	storeEntry    = "store/"
)

const (
	chunkBytes = 4 << 20  // rows gathered into one entry
	entryMax   = 64 << 20 // what one entry may make a reader hold
)

// BackupHead says whose backup it is and which program reads it.
type BackupHead struct {
	Type       string    `json:"type"`
	Store      int       `json:"store"` // layout of the rows: store.Version
	Agency     string    `json:"agency"`
	Network    string    `json:"network"` // for people
	Root       string    `json:"root"`    // verifier key of the network's root
	SigningKey string    `json:"signing_key"`
	Recipient  string    `json:"recipient"`
	Made       time.Time `json:"made"` // what was done later is not in it
}

// backupEnd closes a backup.
type backupEnd struct {
	Rows   map[string]int64 `json:"rows"`   // of each table that has any
	SHA256 string           `json:"sha256"` // hex, over name, NUL, and content of every entry before
}

// ErrBackupDamaged: a backup cannot be trusted to be what was written.
var ErrBackupDamaged = errors.New("the backup is damaged or not complete")

func damaged(what string) error {
	return &ConfigError{File: "backup", Text: ErrBackupDamaged.Error() + ": " + what, Advice: "nothing was changed; use another copy of it, or the backup before it", cause: ErrBackupDamaged}
}

type backupWriter struct {
	tar  *tar.Writer
	sum  hash.Hash
	rows map[string]int64

	table string
	chunk bytes.Buffer
	n     int
}

func newBackupWriter(w io.Writer) *backupWriter {
	return &backupWriter{tar: tar.NewWriter(w), sum: sha256.New(), rows: map[string]int64{}}
}

func (b *backupWriter) entry(name string, content []byte) error {
	fmt.Fprintf(b.sum, "%s\x00", name)
	b.sum.Write(content)
	if err := b.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(content)), Mode: 0o600, Format: tar.FormatPAX}); err != nil {
		return err
	}
	_, err := b.tar.Write(content)
	return err
}

func (b *backupWriter) document(name string, v any) error {
	text, err := json.Marshal(v, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		return err
	}
	return b.entry(name, append(text, '\n'))
}

// row takes one row of the store; rows of a table follow one another.
func (b *backupWriter) row(table string, row []byte) error {
	if table != b.table || b.chunk.Len()+len(row) > chunkBytes {
		if err := b.flush(); err != nil {
			return err
		}
		b.table = table
	}
	b.chunk.Write(row)
	b.chunk.WriteByte('\n')
	b.rows[table]++
	return nil
}

func (b *backupWriter) flush() error {
	if b.chunk.Len() == 0 {
		return nil
	}
	b.n++
	err := b.entry(fmt.Sprintf("%s%06d-%s.jsonl", storeEntry, b.n, b.table), b.chunk.Bytes())
	b.chunk.Reset()
	return err
}

func (b *backupWriter) close() error {
	if err := b.flush(); err != nil {
		return err
	}
	if err := b.document(endEntry, backupEnd{Rows: b.rows, SHA256: hex.EncodeToString(b.sum.Sum(nil))}); err != nil {
		return err
	}
	return b.tar.Close()
}

// backupReader goes through a backup once. It ends with io.EOF only after the whole file was read and found as it was written.
type backupReader struct {
	in   io.Reader
	tar  *tar.Reader
	sum  hash.Hash
	rows map[string]int64
	n    int

	table string
	lines *bytes.Buffer
}

func newBackupReader(sealed io.Reader, from vault.BackupFrom) (*backupReader, *BackupHead, error) {
	plain, err := vault.OpenBackup(sealed, from)
	if err != nil {
		return nil, nil, opening(err)
	}
	r := &backupReader{in: plain, tar: tar.NewReader(plain), sum: sha256.New(), rows: map[string]int64{}}
	name, content, err := r.next()
	if err != nil {
		return nil, nil, err
	}
	h := &BackupHead{}
	if name != headEntry || json.Unmarshal(content, h) != nil || h.Type != BackupType {
		return nil, nil, damaged("it does not begin as a " + BackupType)
	}
	// Which store it is of comes before everything that a newer one may have changed.
	switch {
	case h.Store > store.Version:
		return nil, nil, &ConfigError{File: "backup", Text: fmt.Sprintf("store of version %d, this program knows %d", h.Store, store.Version), Advice: "restore it with the version of waypost that made it, or a newer one", cause: store.ErrNewer}
	case h.Store < store.Version:
		return nil, nil, &ConfigError{File: "backup", Text: fmt.Sprintf("store of version %d, this program writes %d", h.Store, store.Version), Advice: "restore it with the version of waypost that made it", cause: store.ErrOlder}
	}
	if h.Agency == "" || h.Root == "" || h.Made.IsZero() {
		return nil, nil, damaged("it does not say whose it is")
	}
	return r, h, nil
}

func opening(err error) error {
	switch {
	case errors.Is(err, vault.ErrPassphrase):
		return &ConfigError{File: "backup", Text: "this passphrase does not open it", Advice: "give the passphrase with which the backup was made; that of the keys may be another one", cause: err}
	case errors.Is(err, vault.ErrNotForMe):
		return &ConfigError{File: "backup", Text: "it is sealed to other recipients", Advice: "give the identity of one of the recipients with which the backup was made", cause: err}
	case errors.Is(err, vault.ErrCorrupt):
		return damaged("it is no age file, or not all of one")
	}
	return err
}

// next returns the next entry; io.EOF after the last, which must be a good end.
func (r *backupReader) next() (name string, content []byte, err error) {
	h, err := r.tar.Next()
	if errors.Is(err, io.EOF) {
		return "", nil, damaged("its end is missing")
	}
	if err != nil {
		return "", nil, r.failed(err)
	}
	if h.Typeflag != tar.TypeReg || h.Size > entryMax || !fs.ValidPath(h.Name) {
		return "", nil, damaged("it holds something that no backup does")
	}
	if content, err = io.ReadAll(r.tar); err != nil {
		return "", nil, r.failed(err)
	}
	if h.Name != endEntry {
		fmt.Fprintf(r.sum, "%s\x00", h.Name)
		r.sum.Write(content)
		return h.Name, content, nil
	}
	var end backupEnd
	if json.Unmarshal(content, &end) != nil || end.SHA256 != hex.EncodeToString(r.sum.Sum(nil)) || len(end.Rows) != len(r.rows) {
		return "", nil, damaged("its parts are not those that were written")
	}
	for table, n := range r.rows {
		if end.Rows[table] != n {
			return "", nil, damaged("rows are missing")
		}
	}
	if _, err := r.tar.Next(); !errors.Is(err, io.EOF) {
		return "", nil, damaged("something follows its end")
	}
	// To the end of the age file: only there is it certain that nothing was cut off.
	if n, err := io.Copy(io.Discard, r.in); err != nil || n > 0 {
		return "", nil, damaged("something follows its end")
	}
	return "", nil, io.EOF
}

func (r *backupReader) failed(err error) error {
	if errors.Is(err, vault.ErrCorrupt) {
		return damaged("bytes were changed or cut off")
	}
	return damaged("it cannot be read")
}

// row returns the next row of the store, until io.EOF. The entries before the store's have been read.
func (r *backupReader) row() (table string, row []byte, err error) {
	for r.lines == nil || r.lines.Len() == 0 {
		name, content, err := r.next()
		if err != nil {
			return "", nil, err
		}
		if err := r.chunk(name, content); err != nil {
			return "", nil, err
		}
	}
	line, err := r.lines.ReadBytes('\n')
	if err != nil {
		return "", nil, damaged("a row was cut off")
	}
	r.rows[r.table]++
	return r.table, line[:len(line)-1], nil
}

func (r *backupReader) chunk(name string, content []byte) error {
	r.n++
	rest, ok := strings.CutPrefix(name, fmt.Sprintf("%s%06d-", storeEntry, r.n))
	table, ok2 := strings.CutSuffix(rest, ".jsonl")
	if !ok || !ok2 {
		return damaged("parts of the store are missing or out of order")
	}
	r.table, r.lines = table, bytes.NewBuffer(content)
	return nil
}

// head compares a backup's head with what else is in it.
func (h *BackupHead) fits(g *directory.Grant) error {
	if g.Agency != h.Agency || g.Root != h.Root {
		return &ConfigError{File: "backup", Text: "its grant is of another agency or network than the rest of it", Advice: "it was put together from two; use another backup", cause: ErrBackupDamaged}
	}
	return nil
}
