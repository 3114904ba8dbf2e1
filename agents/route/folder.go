package route

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
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
	_, err := f.DeliverAll(ctx, []*Delivery{d}, ReleaseAll)
	return err
}

// syncsMax are the files that are synced at once: the file system's journal commits them together.
const syncsMax = 16

// DeliverAll writes and syncs the files side by side, gives them their names one after the other once they are released, and
// syncs the folder once. A file that could not be written ends it: those behind it get no name, so that a thread's messages
// appear in order.
func (f *folder) DeliverAll(ctx context.Context, ds []*Delivery, release Release) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	written := make([]string, len(ds))
	errs := make([]error, len(ds))
	var wg sync.WaitGroup
	limit := make(chan struct{}, syncsMax)
	for i, d := range ds {
		limit <- struct{}{}
		wg.Add(1)
		go func() {
			defer func() { <-limit; wg.Done() }()
			written[i], errs[i] = f.write(d)
		}()
	}
	wg.Wait()
	taken, named := 0, 0
	name := func(may func(int) bool) {
		for ; taken < len(ds) && errs[taken] == nil; taken++ {
			if !may(taken) {
				continue
			}
			if err := os.Rename(written[taken], filepath.Join(f.dir, FileName(ds[taken]))); err != nil {
				errs[taken] = fmt.Errorf("write into folder: %w", reasonOf(err))
				return
			}
			written[taken] = ""
			named++
		}
	}
	var held error
	if len(ds) > 0 && errs[0] == nil {
		held = release(name)
	}
	for _, w := range written {
		if w != "" {
			os.Remove(w)
		}
	}
	if held != nil {
		return 0, held
	}
	if named > 0 {
		if err := syncDir(f.dir); err != nil {
			return 0, err // the names may be gone after a power cut; they come again
		}
	}
	if taken == len(ds) {
		return taken, nil
	}
	return taken, errs[taken]
}

// write puts a delivery on disk under a name that nobody looks for.
func (f *folder) write(d *Delivery) (name string, err error) {
	if err := checkID(d.ID); err != nil {
		return "", err
	}
	tmp, err := os.CreateTemp(f.dir, ".waypost-*") // 0600
	if err != nil {
		return "", fmt.Errorf("write into folder: %w", reasonOf(err))
	}
	_, err = tmp.Write(append(append(make([]byte, 0, len(d.Data)+1), d.Data...), '\n'))
	// Synced before the rename: after a power cut the name must never lead to an empty file.
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		os.Remove(tmp.Name())
		return "", fmt.Errorf("write into folder: %w", reasonOf(err))
	}
	return tmp.Name(), nil
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
