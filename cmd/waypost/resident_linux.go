package main

import (
	"bufio"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// forgetProgram lets go of the pages of the program's own file that were read and are not in use: most were needed once, to
// start. They stay in the system's cache, and what is used again is mapped again from there. Where anything is not as expected,
// it does nothing.
func forgetProgram() {
	path, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	ranges := cleanRanges(f, path)
	f.Close()
	for _, r := range ranges {
		// Not unix.Madvise: that takes a slice, and this memory is none of Go's.
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, r.start, r.end-r.start, unix.MADV_DONTNEED)
	}
}

type addressRange struct{ start, end uintptr }

// cleanRanges finds in smaps (proc(5)) the mappings of the file that cannot be written and of which no page has been changed:
// MADV_DONTNEED would undo a change (a relocation, a debugger's breakpoint).
func cleanRanges(smaps io.Reader, path string) []addressRange {
	var clean []addressRange
	var at addressRange
	candidate, changed := false, false
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		line := lines.Text()
		if r, perms, file, ok := mappingHeader(line); ok {
			at, changed = r, false
			candidate = file == path && strings.HasPrefix(perms, "r-") && strings.HasSuffix(perms, "p")
			continue
		}
		// A changed page is an anonymous one, in memory or swapped out. Swap comes after Anonymous. (Private_Dirty also counts the
		// pages of a file that was written a moment ago.)
		switch name, size, _ := strings.Cut(line, ":"); name {
		case "Anonymous":
			changed = strings.TrimSpace(size) != "0 kB"
		case "Swap":
			if candidate && !changed && strings.TrimSpace(size) == "0 kB" {
				clean = append(clean, at)
			}
		}
	}
	if lines.Err() != nil {
		return nil
	}
	return clean
}

// mappingHeader reads `start-end perms offset dev inode path`; the path may hold spaces.
func mappingHeader(line string) (r addressRange, perms, file string, ok bool) {
	addresses, rest, _ := strings.Cut(line, " ")
	from, to, found := strings.Cut(addresses, "-")
	if !found {
		return r, "", "", false
	}
	start, err := strconv.ParseUint(from, 16, strconv.IntSize)
	if err != nil {
		return r, "", "", false
	}
	end, err := strconv.ParseUint(to, 16, strconv.IntSize)
	if err != nil || end <= start {
		return r, "", "", false
	}
	perms, rest, _ = strings.Cut(rest, " ")
	for range 3 { // offset, device, inode
		_, rest, _ = strings.Cut(rest, " ")
	}
	return addressRange{uintptr(start), uintptr(end)}, perms, strings.TrimSpace(rest), true
}
