package bench

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// resident is the resident size of a process in bytes, as Linux counts it; 0 where that cannot be read. pid is a number or
// "self".
func resident(pid string) int64 {
	text, err := os.ReadFile(filepath.Join("/proc", pid, "status"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err == nil {
				return n << 10
			}
		}
	}
	return 0
}

// watchMemory looks at a process every 50 ms until the function it returns is called, which returns the most it saw.
func watchMemory(pid string) func() int64 {
	stop, most := make(chan struct{}), make(chan int64)
	go func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		top := resident(pid)
		for {
			select {
			case <-tick.C:
				top = max(top, resident(pid))
			case <-stop:
				most <- max(top, resident(pid))
				return
			}
		}
	}()
	return func() int64 {
		close(stop)
		return <-most
	}
}
