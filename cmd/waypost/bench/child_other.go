//go:build !unix

package bench

import "os/exec"

// detach has no counterpart here, where no child is started.
func detach(*exec.Cmd) {}
