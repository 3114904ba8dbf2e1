package route

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// FolderConfig is a folder that the agency's system picks files up from.
type FolderConfig struct {
	Name string `yaml:"-"`
	Dir  string `yaml:"dir" validate:"required"`
}

// folder drops one JSON file per delivery. The file appears whole or not at all, and is on disk when Deliver returns. Its
// name comes from the delivery's id alone, so a repeat overwrites itself.
type folder struct {
	name, dir string
}

// NewFolder makes the folder (0700) if its parent exists, and proves that it can be written.
func NewFolder(c FolderConfig) (Sink, error) {
	if err := os.Mkdir(c.Dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("folder sink %s: cannot make the folder: %w", c.Name, reasonOf(err))
	} else if err == nil {
		// A folder that a power cut takes away takes every delivery in it along.
		if err := syncDir(filepath.Dir(c.Dir)); err != nil {
			return nil, fmt.Errorf("folder sink %s: %w", c.Name, err)
		}
	}
	f := &folder{name: c.Name, dir: c.Dir}
	probe, err := os.CreateTemp(c.Dir, ".waypost-*")
	if err != nil {
		return nil, fmt.Errorf("folder sink %s: cannot write into the folder: %w", c.Name, reasonOf(err))
	}
	probe.Close()
	os.Remove(probe.Name())
	// What an earlier process left half written was never noted as delivered; it will come again.
	// No glob over the path: '*' or '[' in a folder's own name would reach into its neighbours.
	if old, err := os.ReadDir(c.Dir); err == nil {
		for _, o := range old {
			if strings.HasPrefix(o.Name(), ".waypost-") {
				os.Remove(filepath.Join(c.Dir, o.Name()))
			}
		}
	}
	return f, nil
}

func (f *folder) Name() string { return f.name }

// FileName is what a delivery is called in a folder sink: its id, so that a repeat meets its own file.
func FileName(d *Delivery) string { return d.ID + ".json" }

func (f *folder) Deliver(ctx context.Context, d *Delivery) error {
	if err := checkID(d.ID); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(f.dir, ".waypost-*") // 0600
	if err != nil {
		return fmt.Errorf("write into folder: %w", reasonOf(err))
	}
	defer os.Remove(tmp.Name()) // does nothing after the rename
	_, err = tmp.Write(append(append([]byte(nil), d.Data...), '\n'))
	// Synced before the rename: after a power cut the name must never lead to an empty file.
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("write into folder: %w", reasonOf(err))
	}
	if err := os.Rename(tmp.Name(), filepath.Join(f.dir, FileName(d))); err != nil {
		return fmt.Errorf("write into folder: %w", reasonOf(err))
	}
	return syncDir(f.dir)
}

func syncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil // directories cannot be synced there; NTFS journals the rename
	}
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync folder: %w", reasonOf(err))
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("sync folder: %w", reasonOf(err))
	}
	return nil
}

// reasonOf keeps the cause and drops the path: it holds a message id, and a folder's name may hold anything.
func reasonOf(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	var l *os.LinkError
	if errors.As(err, &l) {
		return l.Err
	}
	return err
}
