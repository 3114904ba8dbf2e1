package main

import (
	"os"
	"strings"
	"testing"
)

func TestCleanRanges(t *testing.T) {
	const smaps = `00400000-01800000 r-xp 00000000 fe:00 77 /opt/way post/waypost
Size:              20480 kB
Private_Dirty:      8000 kB
Anonymous:             0 kB
Swap:                  0 kB
01800000-02900000 r--p 01400000 fe:00 77 /opt/way post/waypost
Anonymous:             4 kB
Swap:                  0 kB
02900000-02a00000 rw-p 02500000 fe:00 77 /opt/way post/waypost
Anonymous:             0 kB
Swap:                  0 kB
02a00000-02b00000 r--s 02500000 fe:00 77 /opt/way post/waypost
Anonymous:             0 kB
Swap:                  0 kB
02b00000-02c00000 r--p 02500000 fe:00 77 /opt/way post/waypost
Anonymous:             0 kB
Swap:                  4 kB
02c00000-02d00000 r--p 02600000 fe:00 77 /opt/way post/waypost
Anonymous:             0 kB
Swap:                  0 kB
c000000000-c000400000 r--p 00000000 00:00 0
Anonymous:             0 kB
Swap:                  0 kB
7f0000000000-7f0000001000 r-xp 00000000 fe:00 78 /lib/libc.so
Anonymous:             0 kB
Swap:                  0 kB
`
	got := cleanRanges(strings.NewReader(smaps), "/opt/way post/waypost")
	want := []addressRange{{0x400000, 0x1800000}, {0x2c00000, 0x2d00000}}
	if len(got) != len(want) {
		t.Fatalf("got %x, want %x", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %x, want %x", got[i], want[i])
		}
	}
	if got := cleanRanges(strings.NewReader(strings.Repeat("x", 1<<20)), "x"); got != nil {
		t.Errorf("what cannot be read: got %x", got)
	}
}

// The program goes on after its pages were given back, and they are fewer.
func TestForgetProgram(t *testing.T) {
	ours := func() int {
		path, err := os.Readlink("/proc/self/exe")
		if err != nil {
			t.Skip("no /proc here")
		}
		text, err := os.ReadFile("/proc/self/smaps")
		if err != nil {
			t.Skip("no smaps here")
		}
		pages, within := 0, false
		for line := range strings.Lines(string(text)) {
			if _, _, file, ok := mappingHeader(strings.TrimSuffix(line, "\n")); ok {
				within = file == path
			}
			if rest, ok := strings.CutPrefix(line, "Rss:"); ok && within {
				n := 0
				for _, c := range rest {
					if c >= '0' && c <= '9' {
						n = n*10 + int(c-'0')
					}
				}
				pages += n
			}
		}
		return pages
	}
	before := ours()
	forgetProgram()
	after := ours()
	t.Logf("resident pages of the program: %d kB before, %d kB after", before, after)
	if after >= before {
		t.Errorf("%d kB before and %d kB after", before, after)
	}
}
