package broker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go"

	"waypost/broker/network"
	"waypost/broker/notary"
)

// BackupType is the "type" of a backup's manifest.
const BackupType = "waypost.backup.v1"

// manifestFile is written last: a folder without one is a backup that was interrupted.
const manifestFile = "manifest.json"

// Manifest says what a backup holds. It finds out what decayed or was cut off; it proves nothing about who made it. What
// the ledger in it is worth, its own signatures say.
type Manifest struct {
	Type    string         `json:"type"`
	Version int            `json:"version"` // layout of the streams: notary.Version
	Network string         `json:"network"` // for people
	Root    string         `json:"root"`    // the network it is of: verifier key of its root
	Made    time.Time      `json:"made"`    // begun; what was stored later may be missing
	Streams []BackupStream `json:"streams"` // in the order in which they were read
}

// BackupStream is one stream in a backup.
type BackupStream struct {
	Name   string         `json:"name"`
	File   string         `json:"file"`
	Size   int64          `json:"size"`   // of the file
	SHA256 string         `json:"sha256"` // hex, of the file
	Config jsontext.Value `json:"config"` // as the server had it
	State  jsontext.Value `json:"state"`  // at least this is in the file
}

// Counts are the number of messages and the last number of the stream.
func (b *BackupStream) Counts() (messages, last uint64) {
	var s streamState
	if err := json.Unmarshal(b.State, &s); err != nil {
		return 0, 0
	}
	return s.Messages, s.Last
}

// withReplicas is the configuration for a broker with another number of nodes.
func (b *BackupStream) withReplicas(n int) (map[string]jsontext.Value, error) {
	config := map[string]jsontext.Value{}
	if err := json.Unmarshal(b.Config, &config); err != nil {
		return nil, fmt.Errorf("read its configuration: %w", err)
	}
	config["num_replicas"] = jsontext.Value(fmt.Sprint(n))
	return config, nil
}

// Replicas is how many copies of the stream there were.
func (b *BackupStream) Replicas() int {
	var c struct {
		Replicas int `json:"num_replicas"`
	}
	if err := json.Unmarshal(b.Config, &c); err != nil {
		return 0
	}
	return c.Replicas
}

// Backup copies all streams of a running broker, with the consumers' positions, into dir, which must be empty or not be
// there. Messages go on meanwhile. conn needs the broker's rights. Files are 0600 in a folder of 0700: they hold sealed
// messages, and in the open who wrote to whom and when.
//
// The streams are read one after the other, so they are not of one moment. The order makes up for it: what refers to
// something is read before what it refers to, so that a restored broker may hold more than is spoken of in it, never less.
//
//	POSITIONS     first: a position must not lie beyond the end of its stream, whose next numbers are given to other messages. They
//	              would count as collected
//	CHECKPOINTS   next: a checkpoint must not speak of records that are not there, or the log would seem to have been cut
//	LEDGER        before the mail: a notary begins where the ledger ends, and records what lies in the streams beyond that.
//	              The other way round it would take numbers of the mail streams for recorded that are given out again
//	MAIL_RECEIPT  before the messages: each receipt in it is for a message that is there too. A receipt that is missing,
//	              its agency still holds
//	MAIL_…        then the messages
//	KV_DIRECTORY  last: with every key by which something in the others was signed
//
// Everything is on disk when Backup returns nil. After an error dir holds an incomplete backup, which VerifyBackup tells.
func Backup(ctx context.Context, conn *nats.Conn, bundle *network.Bundle, dir string) (*Manifest, error) {
	if err := emptyFolder(dir); err != nil {
		return nil, err
	}
	m := &Manifest{Type: BackupType, Version: notary.Version, Network: bundle.Network, Root: bundle.Root, Made: time.Now().UTC().Truncate(time.Millisecond)}
	for _, name := range streamNames() {
		s, err := fetchSnapshot(ctx, conn, name, dir)
		if err != nil {
			return nil, err
		}
		m.Streams = append(m.Streams, *s)
	}
	out, err := json.Marshal(m, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		return nil, fmt.Errorf("write manifest: %w", err)
	}
	// The names of the files must be on disk before the file that says they are complete.
	if err := syncFolder(dir); err != nil {
		return nil, err
	}
	if err := network.WriteFile(filepath.Join(dir, manifestFile), append(out, '\n'), 0o600); err != nil {
		return nil, err
	}
	return m, nil
}

// emptyFolder makes the folder of a backup, or takes one that is empty.
func emptyFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make backup folder: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("make backup folder: %w", err)
	}
	if len(entries) > 0 {
		return &network.Hinted{Err: fmt.Errorf("make backup: %s is not empty", dir), Advice: "name a folder that does not exist yet; an older backup is never written over"}
	}
	if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // a folder
		return fmt.Errorf("make backup folder: %w", err)
	}
	return nil
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync backup folder: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("sync backup folder: %w", err)
	}
	return nil
}

// What VerifyBackup finds.
var (
	ErrIncomplete = errors.New("the backup was interrupted before its end")
	ErrDamaged    = errors.New("the backup is damaged")
)

// VerifyBackup reads a whole backup and compares it with its manifest.
func VerifyBackup(dir string) (*Manifest, error) {
	text, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if errors.Is(err, os.ErrNotExist) {
		if found, _ := filepath.Glob(filepath.Join(dir, "*.snapshot")); len(found) > 0 {
			return nil, &network.Hinted{Err: fmt.Errorf("read backup %s: %w", dir, ErrIncomplete), Advice: "use the backup before it; this one can be deleted"}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read backup: %w", err)
	}
	m := &Manifest{}
	if err := json.Unmarshal(text, m); err != nil {
		return nil, damaged(dir, "its manifest cannot be read")
	}
	if m.Type != BackupType {
		return nil, damaged(dir, "its manifest is not a "+BackupType)
	}
	if m.Version != notary.Version {
		return nil, &network.Hinted{Err: fmt.Errorf("read backup %s: streams of version %d, this program knows %d", dir, m.Version, notary.Version),
			Advice: "restore it with the version of waypost that made it"}
	}
	names := streamNames()
	if len(m.Streams) != len(names) {
		return nil, damaged(dir, "its manifest does not name all streams")
	}
	for i, s := range m.Streams {
		if s.Name != names[i] || s.File != s.Name+".snapshot" {
			return nil, damaged(dir, "its manifest does not name all streams")
		}
		if err := s.verify(dir); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func damaged(dir, what string) error {
	return &network.Hinted{Err: fmt.Errorf("read backup %s: %w: %s", dir, ErrDamaged, what), Advice: "nothing was changed; use another copy of this backup, or the one before it"}
}

func (b *BackupStream) verify(dir string) error {
	f, err := os.Open(filepath.Join(dir, b.File))
	if errors.Is(err, os.ErrNotExist) {
		return damaged(dir, b.File+" is missing")
	}
	if err != nil {
		return fmt.Errorf("read backup: %w", err)
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	if err != nil {
		return fmt.Errorf("read backup: %w", err)
	}
	if n != b.Size || !strings.EqualFold(hex.EncodeToString(sum.Sum(nil)), b.SHA256) {
		return damaged(dir, b.File+" is not as it was written")
	}
	return nil
}
