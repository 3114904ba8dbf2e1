package network

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// Windows has access lists instead of the permission bits that Go reports.
const permissionsMatter = false

// lock keeps two administrators from changing one folder at once; see lock_unix.go.
func lock(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		return nil, hint(fmt.Errorf("open network: no folder %s", dir), "run `waypost network init` first, or name the folder with --dir")
	}
	if err != nil {
		return nil, fmt.Errorf("lock folder: %w", err)
	}
	if err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK, 0, 1, 0, new(windows.Overlapped)); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock folder: %w", err)
	}
	return func() { _ = f.Close() }, nil
}
