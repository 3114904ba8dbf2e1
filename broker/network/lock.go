package network

import (
	"fmt"
	"os"
	"time"
)

// changeWait is how long a change waits for a change by another process to end.
const changeWait = 5 * time.Second

// LockFolder makes dir if need be and locks it for this process, or fails at once if another has it. A broker uses it
// for its data folder: two servers writing one store would destroy it.
func LockFolder(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("lock folder: %w", err)
	}
	return lock(dir, 0)
}
