package agents

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"waypost/agents/store"
)

const (
	// restoringFolder is where a folder that is there already, a mounted volume, is filled before anything appears in it.
	restoringFolder = ".restoring"
	restoringLock   = "lock"
	// volumeFolder is what mkfs puts into every new volume.
	volumeFolder = "lost+found"
)

// restoredNames are what a restore puts into a folder. The last one makes it an agent's: no command finds an agent without it.
var restoredNames = []string{"keys", "data", grantFile, requestFile, configFile}

// place is a folder that a restore fills. What is not there yet is built beside it and appears as a whole, by one rename. In a
// volume, which cannot be renamed, it is built inside; everything in it is moved to its place when it is complete, agent.yaml as
// the last. What an interrupted restore left in it is taken away by the next.
type place struct {
	dir     string
	staging string
	inside  bool
	lock    *store.Lock
	moved   []string // what is in its place, inside
}

func notEmpty(dir string) error {
	return &ConfigError{File: dir, Text: "is not empty", Advice: "name a folder that does not exist yet, or an empty volume; an agent is never restored over another"}
}

// newPlace looks, and changes nothing.
func newPlace(dir string) (*place, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	p := &place{dir: dir}
	_, err = p.leftovers()
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	p.inside = true
	return p, err
}

// leftovers lists what an interrupted restore left in the folder; everything else in it is an error.
func (p *place) leftovers() (names []string, err error) {
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	begun := slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == restoringFolder })
	for _, e := range entries {
		switch name := e.Name(); {
		case name == volumeFolder, name == restoringFolder:
		case begun && name != configFile && slices.Contains(restoredNames, name):
			names = append(names, name)
		default:
			return nil, notEmpty(p.dir)
		}
	}
	return names, nil
}

// open makes the folder to unpack into, on the same file system.
func (p *place) open() error {
	if !p.inside {
		if err := os.MkdirAll(filepath.Dir(p.dir), 0o700); err != nil {
			return fmt.Errorf("restore: %w", err)
		}
		staging, err := os.MkdirTemp(filepath.Dir(p.dir), ".restore-") // 0700
		if err != nil {
			return fmt.Errorf("restore: %w", err)
		}
		p.staging = staging
		return nil
	}
	staging := filepath.Join(p.dir, restoringFolder)
	if err := os.Mkdir(staging, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("restore: %w", err)
	}
	var err error
	if p.lock, err = store.Acquire(filepath.Join(staging, restoringLock)); errors.Is(err, store.ErrInUse) {
		return &ConfigError{File: p.dir, Text: "another restore into it is under way", Advice: "wait for it, or end it and try again"}
	} else if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	p.staging = staging
	// Only now is nobody else at it.
	left, err := p.leftovers()
	if err == nil {
		err = p.clear(left)
	}
	if err != nil {
		p.close()
		return err
	}
	return nil
}

// clear takes away what an interrupted restore left.
func (p *place) clear(names []string) error {
	entries, err := os.ReadDir(p.staging)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	for _, e := range entries {
		if e.Name() != restoringLock {
			names = append(names, filepath.Join(restoringFolder, e.Name()))
		}
	}
	for _, name := range names {
		if err := os.RemoveAll(filepath.Join(p.dir, name)); err != nil {
			return fmt.Errorf("restore: %w", err)
		}
	}
	return nil
}

// appear lets the folder be there. With an error nothing of it is.
func (p *place) appear() error {
	if !p.inside {
		if err := os.Rename(p.staging, p.dir); err != nil {
			if _, there := os.Lstat(p.dir); there == nil { // it came to be there meanwhile
				return notEmpty(p.dir)
			}
			return fmt.Errorf("restore: %w", err)
		}
		if err := syncFolder(filepath.Dir(p.dir)); err != nil {
			return errors.Join(err, p.vanish())
		}
		return nil
	}
	for _, name := range restoredNames {
		from := filepath.Join(p.staging, name)
		if _, err := os.Lstat(from); name == requestFile && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if name == configFile {
			// The power may go: agent.yaml must not be there alone.
			if err := syncFolder(p.dir); err != nil {
				return errors.Join(err, p.vanish())
			}
		}
		if err := os.Rename(from, filepath.Join(p.dir, name)); err != nil {
			return errors.Join(fmt.Errorf("restore: %w", err), p.vanish())
		}
		p.moved = append(p.moved, name)
	}
	if err := syncFolder(p.dir); err != nil {
		return errors.Join(err, p.vanish())
	}
	return nil
}

// vanish takes away what appeared, and nothing else.
func (p *place) vanish() error {
	if !p.inside {
		return os.RemoveAll(p.dir)
	}
	var all error
	for _, name := range slices.Backward(p.moved) {
		all = errors.Join(all, os.RemoveAll(filepath.Join(p.dir, name)))
	}
	return all
}

// close takes away what did not appear.
func (p *place) close() {
	_ = os.RemoveAll(p.staging)
	if p.lock == nil {
		return
	}
	p.lock.Release()
	if runtime.GOOS == "windows" { // where an open file stays
		_ = os.RemoveAll(p.staging)
	}
}
