package store_test

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"waypost/agents/store"
)

// locked asks the system whether somebody holds a lock on some bytes of a file. The file stays open: closing it would take the
// locks away that this process has.
func locked(t *testing.T, path string, start, length int64) bool {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	l := unix.Flock_t{Type: unix.F_WRLCK, Start: start, Len: length}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &l); err != nil {
		t.Fatal(err)
	}
	return l.Type != unix.F_UNLCK
}

// TestOpenedTwiceStaysLocked: a store that is opened once more in the process that has it keeps its locks. Without them another
// process, a command line that opens and closes it, would take itself for the last one and delete the log that is being written.
func TestOpenedTwiceStaysLocked(t *testing.T) {
	const pending = 0x40000000 // SQLite's lock bytes; readers share those from pending+2 on
	path := filepath.Join(t.TempDir(), "agent.db")
	openAt(t, path)
	second, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if !locked(t, path, pending+2, 510) {
		t.Error("the store has lost its lock")
	}
	path = filepath.Join(t.TempDir(), "agent.lock")
	l, err := store.Acquire(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Release)
	if _, err := store.Acquire(path); err == nil {
		t.Fatal("acquired twice")
	}
	if !locked(t, path, pending, 512) {
		t.Error("the agent has lost its lock: a second one could start")
	}
}
