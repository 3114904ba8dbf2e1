package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"waypost/broker/audit"
)

// replayFlags are those of `audit replay`.
type replayFlags struct {
	auditFlags
	filter                  audit.Filter
	from, to, speed, format string
	follow                  bool
}

func newAuditReplayCommand() *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use: "replay", Short: "Show what happened, in order",
		Long: "Shows what the ledger holds, one event to a line: messages, receipts, acts, changes of the directory, and what is missing.\n" +
			"No message is read. An event whose signature does not hold is marked. With --thread it also says how each message stood\n" +
			"then, and how each stands at the end; withdrawals of the consents used are shown wherever they were sent.",
		Example: "  waypost audit replay --bundle bundle --root root.pub --agency harbour-light --from 2026-03-01\n" +
			"  waypost audit replay --dir network --thread 3f2c8f0e-57f4-4c7b-9a51-0d6a3f6d2b11\n" +
			"  waypost audit replay --dir network --follow --format jsonl",
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return replay(cmd, &f) },
	}
	f.bind(cmd)
	s := cmd.Flags()
	s.StringVar(&f.from, "from", "", "from this `time` on: 2026-03-01, or 2026-03-01T09:00:00Z")
	s.StringVar(&f.to, "to", "", "up to this `time`, which is not shown any more")
	s.StringVar(&f.filter.Agency, "agency", "", "what this `agency` sent, was sent, or did")
	s.StringVar(&f.filter.Thread, "thread", "", "one thread, by its `id`")
	s.StringVar(&f.filter.Kind, "kind", "", "a `kind` of message, an outcome, an act, or a type such as receipt")
	s.StringVar(&f.filter.Lane, "lane", "", "urgent, routine or receipt")
	s.StringVar(&f.speed, "speed", "max", "`times` as fast as it happened, or max")
	s.StringVar(&f.format, "format", audit.FormatTable, "table, jsonl or csv")
	s.BoolVar(&f.follow, "follow", false, "go on with what is recorded from now on, until interrupted")
	return cmd
}

func replay(cmd *cobra.Command, f *replayFlags) error {
	o := audit.Options{Filter: f.filter}
	var err error
	if o.Filter.From, err = auditTime("from", f.from); err != nil {
		return err
	}
	if o.Filter.To, err = auditTime("to", f.to); err != nil {
		return err
	}
	if o.Speed, err = audit.ParseSpeed(f.speed); err != nil {
		return auditUsage(err)
	}
	if err := o.Filter.Check(); err != nil {
		return auditUsage(err)
	}
	// What is shown live must not wait in a buffer.
	live := f.follow || o.Speed > 0
	buffered := bufio.NewWriter(cmd.OutOrStdout())
	out := io.Writer(buffered)
	if live {
		out = cmd.OutOrStdout()
	}
	w, err := audit.NewEventWriter(out, f.format, live)
	if err != nil {
		return auditUsage(err)
	}
	src, err := auditSource(cmd, &f.auditFlags)
	if err != nil {
		return err
	}
	defer src.Close()
	o.Root = src.Root
	if f.follow {
		if o.Follow = src.Follow; o.Follow == nil {
			return usage(errors.New("--follow: a bundle does not grow"), "follow a running broker, with --dir")
		}
	}
	return errors.Join(replayTo(cmd.Context(), out, w, src, f, o), buffered.Flush())
}

func replayTo(ctx context.Context, out io.Writer, w audit.EventWriter, src *openedAudit, f *replayFlags, o audit.Options) error {
	shown := 0
	emit := func(e audit.Event) error { shown++; return w.Write(e) }
	if o.Filter.Thread == "" || f.follow {
		if err := audit.Replay(ctx, src, o, emit); err != nil {
			return err
		}
		return endReplay(out, w, f, shown)
	}
	thread, err := audit.Thread(ctx, src, src.Root, o.Filter.Thread, time.Now())
	if err != nil {
		return err
	}
	if err := thread.Replay(ctx, o, emit); err != nil {
		return err
	}
	if err := endReplay(out, w, f, shown); err != nil || f.format != audit.FormatTable {
		return err
	}
	return thread.Write(out)
}

// endReplay says so when there was nothing: an empty screen could also be a mistake.
func endReplay(out io.Writer, w audit.EventWriter, f *replayFlags, shown int) error {
	if err := w.Close(); err != nil || shown > 0 || f.format != audit.FormatTable {
		return err
	}
	_, err := fmt.Fprintln(out, "Nothing in the ledger matches.")
	return err
}

// auditTime reads a day or a time; "" is none.
func auditTime(flag, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, usage(fmt.Errorf("--%s: %q is no time", flag, s), "write 2026-03-01 or 2026-03-01T09:00:00Z; without a zone it is UTC")
}

// auditUsage makes a mistake in a flag one in how the command was called.
func auditUsage(err error) error {
	var e *audit.FilterError
	if errors.As(err, &e) {
		return usage(e, e.Advice)
	}
	return err
}
