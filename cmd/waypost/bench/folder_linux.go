package bench

import (
	"os"

	"golang.org/x/sys/unix"
)

// topDir is ext4's flag for a folder whose folders have nothing to do with one another (`chattr +T`): each gets a block group
// of its own. Without it they share one, and then making a file for one of them costs the more the more another has just
// deleted, because ext4 looks at each freed inode of the group; JetStream deletes a folder for every atomic batch.
const topDir = 0x00020000

// spread sets the flag. A file system that does not know it needs none.
func spread(dir string) {
	f, err := os.Open(dir)
	if err != nil {
		return
	}
	defer f.Close()
	if flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS); err == nil {
		_ = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags|topDir)
	}
}
