package network

import (
	"fmt"
	"os"
)

// LockFolder makes dir if need be and locks it for this process, waiting a few seconds for another to let go. A broker
// uses it for its data folder: two servers writing one store would destroy it.
func LockFolder(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("lock folder: %w", err)
	}
	return lock(dir)
}
