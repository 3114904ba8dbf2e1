//go:build !linux

package store

import (
	"syscall"
	"time"
)

// giveUpAfter leaves it to the operating system, whose own patience is longer.
func giveUpAfter(time.Duration) func(network, address string, c syscall.RawConn) error { return nil }
