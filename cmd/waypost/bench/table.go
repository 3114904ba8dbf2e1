package bench

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/dustin/go-humanize"
)

// WriteTable writes a result for a terminal.
func (r *Result) WriteTable(w io.Writer) error {
	b := bufio.NewWriter(w)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(b, "%-22s %s\n", name, fmt.Sprintf(format, args...))
	}
	a := r.Asked
	how := "as fast as they are taken"
	if a.Rate > 0 {
		how = fmt.Sprintf("at %g a second", a.Rate)
	}
	where := "all in one process"
	if a.Apart {
		where = "broker and agents as processes of their own"
	}
	size := "as the example is"
	if a.Size > 0 {
		size = humanize.Comma(int64(a.Size)) + " bytes each"
	}
	fmt.Fprintf(b, "%s agencies, %d of them exchanging %s referrals, %s, by %d callers, %s; every acknowledgement fsynced\n", humanize.Comma(int64(a.Agencies)), a.Active, humanize.Comma(int64(a.Messages)), size, a.Workers, how)
	fmt.Fprintf(b, "%d CPUs, %s/%s, %s; %s\n\n", r.Machine.CPUs, r.Machine.OS, r.Machine.Arch, r.Machine.Go, where)
	if !r.Complete {
		fmt.Fprintf(b, "THE RUN IS NOT COMPLETE: what follows is what was measured until it ended.\n\n")
	}
	line("messages", "%s accepted, %s delivered and receipted in %.2f s", humanize.Comma(int64(r.Sent)), humanize.Comma(int64(r.Delivered)), r.Seconds)
	line("throughput", "%s/s from API to receipt", rate(r.MessagesPerSecond))
	line("floor", "%s/s: ratio %.3f", rate(r.FloorPerSecond), r.Ratio)
	line("floor with stores", "%s/s: ratio %.3f", rate(r.FloorWithStores), r.RatioWithStores)
	if f := r.Floor; f != nil {
		line("  of which", "cryptography alone %s/s, JetStream alone %s/s", rate(f.CryptoPerSecond), rate(f.JetStreamPerSecond))
		line("  single steps (ms)", "publish %.3f, commit %.3f, seal %.3f, open %.3f, reopen %.3f, receipt %.3f", f.Publish, f.Commit, f.Seal, f.Open, f.Reopen, f.Receipt)
	}
	line("sealed message", "%s bytes, of which %s manifest", humanize.Comma(r.Envelope.Bytes), humanize.Comma(r.Envelope.Note))
	for _, g := range r.groups() {
		fmt.Fprintf(b, "\n%s\n", strings.ToUpper(g.title))
		fmt.Fprintf(b, "  %-10s %10s %10s %10s %10s %9s  %s\n", "until", "p50 ms", "p90 ms", "p99 ms", "max ms", "messages", "")
		for _, s := range g.stages {
			fmt.Fprintf(b, "  %-10s %10.2f %10.2f %10.2f %10.2f %9d  %s\n", s.Stage, s.P50, s.P90, s.P99, s.Max, s.Count, s.Words)
		}
	}
	fmt.Fprintln(b)
	if i := r.Idle; i != nil && i.Unit > 0 {
		line("unloaded", "p50 %.2f ms = %.2f × (a publish, the cryptography, two commits: %.2f ms); to the sink %.2f ×, to the inbox %.2f ×", i.P50, i.Ratio, i.Unit, i.ToSink, i.ToInbox)
	}
	if u := r.Urgent; u != nil {
		line("urgent alone", "p50 %.2f ms, p99 %.2f ms", u.IdleP50, u.IdleP99)
		if u.Beside > 0 {
			line("urgent beside backlog", "p50 %.2f ms, p99 %.2f ms = %.2f × alone; %s waiting, worked off at %s/s; %d urgent meanwhile", u.BacklogP50, u.BacklogP99, u.Ratio, humanize.Comma(int64(u.Backlog)), rate(u.PerSecond), u.Beside)
		}
	}
	if r.Memory.Idle > 0 {
		line("memory, all in one", "%s idle, %s under load (broker, %d agents and the bench)", mib(r.Memory.Idle), mib(r.Memory.Load), a.Active)
	}
	for _, p := range r.Parts {
		line("memory, "+p.Part, "%s idle, %s under load", mib(p.Idle), mib(p.Load))
	}
	return b.Flush()
}

type group struct {
	id, title string
	stages    []Stage
}

// groups are the tables of stages, those that were measured.
func (r *Result) groups() []group {
	var out []group
	add := func(id, title string, s []Stage) {
		if len(s) > 0 && s[0].Count > 0 {
			out = append(out, group{id, title, s})
		}
	}
	add("load", "Under load", r.Stages)
	if r.Idle != nil {
		add("idle", "One after the other", r.Idle.Stages)
	}
	if r.Urgent != nil {
		add("urgent", "Urgent, beside the backlog", r.Urgent.Stages)
	}
	return out
}

func rate(v float64) string {
	if v < 100 {
		return fmt.Sprintf("%.1f", v)
	}
	return humanize.Comma(int64(v + 0.5))
}

func mib(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
