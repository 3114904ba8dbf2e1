//go:build unix

package bench

import (
	"os/exec"
	"syscall"
)

// detach keeps a terminal's Ctrl-C from a child: the run ends first, reads what happened, and then ends its children.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
