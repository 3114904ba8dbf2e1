package health

import (
	"fmt"

	"golang.org/x/sys/windows"
)

// DiskFree is how many bytes can still be written to the disk that holds a folder.
func DiskFree(dir string) (uint64, error) {
	path, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, fmt.Errorf("ask disk: %w", err)
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(path, &free, nil, nil); err != nil {
		return 0, fmt.Errorf("ask disk: %w", err)
	}
	return free, nil
}
