//go:build linux || darwin

package health

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// DiskFree is how many bytes can still be written, by whoever is not root, to the disk that holds a folder.
func DiskFree(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("ask disk: %w", err)
	}
	return st.Bavail * uint64(st.Bsize), nil //nolint:gosec // not negative
}
