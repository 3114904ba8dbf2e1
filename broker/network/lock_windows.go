package network

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/windows"
)

// Windows has access lists instead of the permission bits that Go reports.
const permissionsMatter = false

// lock keeps two administrators from changing one folder at once; see lock_unix.go.
func lock(dir string, wait time.Duration) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		return nil, hint(fmt.Errorf("open network: no folder %s", dir), "run `waypost network init` first, or name the folder with --dir")
	}
	if err != nil {
		return nil, fmt.Errorf("lock folder: %w", err)
	}
	deadline := time.Now().Add(wait)
	for {
		err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, new(windows.Overlapped))
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, windows.ERROR_LOCK_VIOLATION) || time.Now().After(deadline) {
			_ = f.Close()
			return nil, hint(fmt.Errorf("lock folder %s: another process is working in it", dir), "wait for it to finish, or stop it")
		}
		time.Sleep(20 * time.Millisecond)
	}
}
