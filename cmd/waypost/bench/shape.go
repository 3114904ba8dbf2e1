package bench

import (
	"bufio"
	"fmt"
	"io"

	"github.com/dustin/go-humanize"
)

// WriteTable writes a shape for a terminal, one column a size.
func (s *Shape) WriteTable(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "%d CPUs, %s/%s, %s\n\n", s.Machine.CPUs, s.Machine.OS, s.Machine.Arch, s.Machine.Go)
	line := func(name string, f func(Size) string) {
		fmt.Fprintf(b, "%-38s", name)
		for _, r := range s.Rows {
			fmt.Fprintf(b, " %14s", f(r))
		}
		fmt.Fprintln(b)
	}
	whole := func(n int64) string { return humanize.Comma(n) }
	seconds := func(v float64) string { return fmt.Sprintf("%.2f s", v) }
	line("agencies", func(r Size) string { return whole(int64(r.Agencies)) })
	fmt.Fprintln(b, "\nDIRECTORY, signed and verified; * computed: the head is larger than the format allows")
	star := func(r Size, v string) string {
		if r.Directory.TooLarge {
			return v + "*"
		}
		return v
	}
	line("entries", func(r Size) string { return whole(int64(r.Directory.Entries)) })
	line("all entries", func(r Size) string { return humanize.IBytes(uint64(r.Directory.Bytes)) })
	line("head", func(r Size) string { return star(r, humanize.IBytes(uint64(r.Directory.HeadBytes))) })
	line("sign the head", func(r Size) string { return star(r, fmt.Sprintf("%.1f ms", 1000*r.Directory.SignSeconds)) })
	line("verify all of it", func(r Size) string { return star(r, seconds(r.Directory.VerifySeconds)) })
	line("fetched by each agency at a change", func(r Size) string { return star(r, humanize.IBytes(uint64(r.Directory.PerChange))) })
	fmt.Fprintln(b, "\nBROKER, with every agency's account, three consumers and a connection")
	line("", func(r Size) string {
		if r.Measured {
			return "measured"
		}
		return "computed"
	})
	line("until all consumers are made", func(r Size) string { return seconds(r.Broker.ConsumersSeconds) })
	line("start with all of them", func(r Size) string { return seconds(r.Broker.StartSeconds) })
	line("all connect, one by one", func(r Size) string { return seconds(r.Broker.ConnectSeconds) })
	line("memory", func(r Size) string { return mib(r.Broker.Memory) })
	line("memory of connections, both ends", func(r Size) string { return mib(r.Broker.Connections) })
	line("disk, no message yet", func(r Size) string { return mib(r.Broker.Disk) })
	line("cores at rest, both ends", func(r Size) string { return fmt.Sprintf("%.3f", r.Broker.IdleCPU) })
	line("messages/s, published and collected", func(r Size) string {
		if !r.Measured {
			return "-"
		}
		return rate(r.Broker.PerSecond)
	})
	fmt.Fprintln(b, "\nQUOTA, as it is by default")
	line("routine messages that may wait, each", func(r Size) string { return whole(r.Quota.Waiting) })
	return b.Flush()
}
