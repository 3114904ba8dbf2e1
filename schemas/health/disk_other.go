//go:build !linux && !darwin && !windows

package health

import "errors"

// DiskFree is not known on this system.
func DiskFree(string) (uint64, error) { return 0, errors.ErrUnsupported }
