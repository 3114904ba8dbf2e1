package network

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"waypost/schemas/directory"
)

// The commit point of a change is the replacement of directory/head. Changed entries are first written beside the old
// ones as `<key>.next`; the head names the digest of every entry, so that after a crash it is the head that tells
// whether a `.next` file belongs to a committed change (it is moved into place) or not (it is removed).

const nextSuffix = ".next"

func (a *Authority) directoryPath(key string) string { return filepath.Join(a.dir, "directory", key) }

// commit signs a head over the present entries with changed put in, one version on, and makes both durable. The lock is
// held. If it fails before the head is replaced nothing has changed; if after, recoverDirectory completes it.
func (a *Authority) commit(changed map[string][]byte, ttl time.Duration) error {
	now := a.now()
	if a.view != nil && now.Before(a.view.Head().Issued.Add(-time.Hour)) {
		return hint(errors.New("sign directory: this machine's clock is behind the last signed head"), "set the clock; agencies judge expiry by it")
	}
	return a.commitAt(changed, now, ttl)
}

func (a *Authority) commitAt(changed map[string][]byte, now time.Time, ttl time.Duration) error {
	notes := maps.Clone(a.notes)
	maps.Copy(notes, changed)
	now = now.UTC().Truncate(time.Second)
	head := directory.Head{Type: directory.HeadType, Version: 1, Issued: now, Expires: now.Add(ttl), Entries: map[string]string{}}
	if a.view != nil {
		head.Version = a.view.Head().Version + 1
	}
	for key, b := range notes {
		head.Entries[key] = directory.Digest(b)
	}
	signed, err := directory.SignHead(head, a.keys.root)
	if err != nil {
		return fmt.Errorf("sign directory: %w", err)
	}
	// Verified as an agency will, before anything is written: what is committed can be opened.
	view, err := directory.Open(a.keys.rootVerifier, signed, notes, head.Version)
	if err != nil {
		return fmt.Errorf("check directory: %w", err)
	}
	for key, b := range changed {
		if err := WriteFile(a.directoryPath(key)+nextSuffix, b, 0o644); err != nil {
			return err
		}
	}
	if err := WriteFile(a.directoryPath(directory.HeadKey), signed, 0o644); err != nil {
		return err
	}
	a.view, a.head, a.notes = view, signed, notes
	for key := range changed {
		if err := os.Rename(a.directoryPath(key)+nextSuffix, a.directoryPath(key)); err != nil {
			return fmt.Errorf("move directory entry: %w", err)
		}
	}
	return nil
}

// recoverDirectory reads the directory, completing or undoing an interrupted commit by the head's digests, and keeps
// the version from going back: a folder in which the head was replaced by an older one under a running authority is
// refused. The lock is held.
func (a *Authority) recoverDirectory() error {
	head, err := os.ReadFile(a.directoryPath(directory.HeadKey))
	if err != nil {
		return fmt.Errorf("read directory head: %w", err)
	}
	h, err := directory.OpenHead(a.keys.rootVerifier, head)
	if err != nil {
		return fmt.Errorf("read directory head: %w", err)
	}
	files, err := os.ReadDir(filepath.Join(a.dir, "directory"))
	if err != nil {
		return fmt.Errorf("read directory: %w", err)
	}
	for _, f := range files {
		key, isNext := strings.CutSuffix(f.Name(), nextSuffix)
		if !isNext {
			continue
		}
		next := filepath.Join(a.dir, "directory", f.Name())
		b, err := os.ReadFile(next)
		if err != nil {
			return fmt.Errorf("recover directory: %w", err)
		}
		if h.Entries[key] == directory.Digest(b) {
			err = os.Rename(next, a.directoryPath(key))
		} else {
			err = os.Remove(next)
		}
		if err != nil {
			return fmt.Errorf("recover directory: %w", err)
		}
	}
	notes := make(map[string][]byte, len(h.Entries))
	for key := range h.Entries {
		b, err := os.ReadFile(a.directoryPath(key))
		if err != nil {
			return fmt.Errorf("read directory entry: %w", err)
		}
		notes[key] = b
	}
	var least uint64
	if a.view != nil {
		least = a.view.Head().Version
	}
	view, err := directory.Open(a.keys.rootVerifier, head, notes, least)
	if err != nil {
		return hint(fmt.Errorf("open directory: %w", err), "the folder was changed by hand or is damaged: restore it from a backup of the same version")
	}
	a.view, a.head, a.notes = view, head, notes
	return nil
}
