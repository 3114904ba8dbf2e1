//go:build unix

package network

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const permissionsMatter = true

// lock keeps two administrators, or an administrator and a script, from changing one folder at once: both would
// sign the same version number over different directories. The kernel drops the lock with the process, so a crash
// leaves no stale lock.
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
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) || time.Now().After(deadline) {
			_ = f.Close()
			return nil, hint(fmt.Errorf("lock folder %s: another process is working in it", dir), "wait for it to finish, or stop it")
		}
		time.Sleep(20 * time.Millisecond)
	}
}
