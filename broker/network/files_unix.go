//go:build unix

package network

import (
	"os"

	"github.com/google/renameio/v2"
)

func replace(path string, b []byte, perm os.FileMode) error {
	return renameio.WriteFile(path, b, perm, renameio.WithStaticPermissions(perm))
}
