package ledger

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"waypost/schemas/directory"
)

// ErrNotRecorded: no record of the source is a message of this id.
var ErrNotRecorded error = &Error{Code: ServiceAbsent, Rule: "message"}

// Prove makes a proof of a message from a source, under the checkpoint with the most cosignatures that covers it; of those,
// the newest. It reads the records twice and holds no more of them than the proof.
func Prove(ctx context.Context, src Source, root note.Verifier, message string) (*Proof, error) {
	var dir registry
	dir.init(root, func(Finding) {})
	index, record := int64(-1), []byte(nil)
	for s, err := range src.Records(ctx) {
		if err != nil {
			return nil, fmt.Errorf("read records: %w", err)
		}
		mail := index < 0 && bytes.Contains(s.Raw, []byte(message))
		change := bytes.Contains(s.Raw[:min(len(s.Raw), 80)], []byte(`"kind":"`+string(KindDirectory)+`"`))
		if !mail && !change {
			continue
		}
		r, err := ParseRecord(s.Raw)
		if err != nil {
			continue
		}
		switch r.Kind {
		case KindDirectory:
			dir.record(s.Index, r)
		case KindMail:
			if m, _, err := r.Manifest(); err == nil && m.ID == message {
				index, record = s.Index, s.Raw
			}
		}
	}
	if index < 0 {
		return nil, ErrNotRecorded
	}
	view := dir.current()
	if view == nil {
		return nil, &Error{Code: CodeNoLog}
	}
	c, err := covering(ctx, src, view, index)
	if err != nil {
		return nil, err
	}
	hashes, err := proveRecord(ctx, src, c, index)
	if err != nil {
		return nil, err
	}
	p := &Proof{Record: base64.StdEncoding.EncodeToString(record), Index: index, Hashes: FormatHashes(hashes), Checkpoint: string(c.Raw()), Head: string(dir.head), Entries: map[string]string{}}
	from, err := p.Sender()
	if err != nil {
		return nil, err
	}
	keys := []string{directory.LogKey, directory.AgencyKey(from)}
	for _, w := range c.Witnesses(view) {
		keys = append(keys, directory.AgencyKey(w.Agency))
	}
	for _, k := range keys {
		p.Entries[k] = string(dir.notes[dir.list[k]])
	}
	if _, err := p.Check(root, 0); err != nil {
		return nil, err
	}
	return p, nil
}

// covering finds the checkpoint for a proof.
func covering(ctx context.Context, src Source, view *directory.View, index int64) (*Checkpoint, error) {
	var best, merged *Checkpoint
	better := func(c *Checkpoint) {
		if c == nil {
			return
		}
		n, have := len(c.Witnesses(view)), -1
		if best != nil {
			have = len(best.Witnesses(view))
		}
		if n > have || n == have && c.Size > best.Size {
			best = c
		}
	}
	for raw, err := range src.Checkpoints(ctx) {
		if err != nil {
			return nil, fmt.Errorf("read checkpoints: %w", err)
		}
		c, err := ParseCheckpoint(raw)
		if err != nil || c.Size <= index || c.Verify(view, time.Time{}) != nil {
			continue
		}
		// Cosignatures of one checkpoint follow it closely: those that lie together are put together.
		if merged != nil && merged.Same(c) {
			merged = merged.Merge(c)
		} else {
			better(merged)
			merged = c
		}
	}
	better(merged)
	if best == nil {
		return nil, &Error{Code: CodeUnwitnessed, Rule: "no_checkpoint"}
	}
	return best.Known(view), nil
}

// proveRecord builds the tree up to a checkpoint and keeps only the hashes that the proof needs.
func proveRecord(ctx context.Context, src Source, c *Checkpoint, index int64) (tlog.RecordProof, error) {
	need := map[int64]tlog.Hash{}
	want := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		for _, i := range indexes {
			need[i] = tlog.Hash{}
		}
		return make([]tlog.Hash, len(indexes)), nil
	})
	if _, err := tlog.ProveRecord(c.Size, index, want); err != nil {
		return nil, fmt.Errorf("prove record: %w", err)
	}
	var t Tree
	for s, err := range src.Records(ctx) {
		if err != nil {
			return nil, fmt.Errorf("read records: %w", err)
		}
		n := t.Size()
		for level, h := range t.Append(Leaf(s.Raw)) {
			i := tlog.StoredHashIndex(level, n>>level)
			if _, ok := need[i]; ok {
				need[i] = h
			}
		}
		if t.Size() == c.Size {
			break
		}
	}
	if t.Size() != c.Size || t.Root() != c.Root {
		return nil, &Error{Code: CodeNotProved, Rule: "root"}
	}
	return tlog.ProveRecord(c.Size, index, tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			out[i] = need[x]
		}
		return out, nil
	}))
}
