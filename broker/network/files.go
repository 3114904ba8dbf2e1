package network

import (
	"fmt"
	"os"
)

// WriteFile replaces a file atomically and durably: after a crash there is the old content or the new, never a part.
func WriteFile(path string, b []byte, perm os.FileMode) error {
	if err := replace(path, b, perm); err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	return nil
}

// readSecret refuses a private key that others on the machine may read: it is as good as published.
func readSecret(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 && permissionsMatter {
		return nil, hint(fmt.Errorf("read key: %s is readable by others (%v)", path, info.Mode().Perm()), "chmod 600 it, and think about who may have copied it")
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	return b, nil
}
