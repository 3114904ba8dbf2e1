package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"waypost/cmd/waypost/bench"
)

func newBenchCommand() *cobra.Command {
	var o bench.Options
	var asJSON, verbose bool
	var html string
	cmd := &cobra.Command{
		Use: "bench", Short: "Measure a whole network on this machine, and what it costs at the least",
		Long: `Starts a broker and agents on loopback in a folder of its own, sends invented referrals through the agents' HTTP APIs, and
measures how many a second go the whole way - API, outbox, sealing, broker, inbox, consent, store, folder, signed receipt back -
and how long each step takes. In the same run it measures the floor: the same cryptography and the same bytes through
JetStream with every acknowledgement on disk, without Waypost. Ratios between the two can be compared; seconds only on one machine.

Ctrl-C ends the run, prints what was measured, and exits with status 1.`,
		Example: `  waypost bench
  waypost bench --messages 20000 --agencies 8 --html bench.html
  waypost bench --rate 200 --messages 6000 --json
  waypost bench --agencies 990 --active 4 --apart
  waypost bench --memory --urgent-backlog 50000 --profile ./profile`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Log = slog.New(slog.DiscardHandler)
			if verbose {
				o.Log = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
			}
			o.Progress = newPhases(cmd.ErrOrStderr())
			var err error
			if o.Program, err = os.Executable(); err != nil {
				return fmt.Errorf("find this program: %w", err)
			}
			o.Args0 = os.Args[0]
			spareProcessors() // as broker and agents do; the floor has them too
			result, err := bench.Run(cmd.Context(), o)
			o.Progress.Phase("", 0)
			if result != nil {
				err = errors.Join(err, printBench(cmd.OutOrStdout(), result, asJSON, html))
			}
			return benchError(err)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Agencies, "agencies", 4, "agencies in the network")
	f.IntVar(&o.Active, "active", 0, "how many of them exchange messages; the others are connected and wait (default: all, 64 at most)")
	f.IntVar(&o.Messages, "messages", 5000, "routine referrals of the measured load")
	f.IntVar(&o.Size, "size", 0, "bytes of a submission (default: as the example is)")
	f.Float64Var(&o.Rate, "rate", 0, "submit so many a second, whether or not they are taken in time (default: as fast as they are)")
	f.IntVar(&o.Workers, "workers", 32, "callers at once")
	f.IntVar(&o.Idle, "idle", 200, "messages sent one after the other before the load; 0 leaves it out")
	f.IntVar(&o.Urgent, "urgent", 200, "urgent referrals, alone and beside a backlog; 0 leaves it out")
	f.IntVar(&o.UrgentBacklog, "urgent-backlog", 2000, "routine referrals that wait beside the urgent ones; 0 leaves it out")
	// By then each has asked for mail in every lane a second time.
	f.DurationVar(&o.Settle, "settle", 20*time.Second, "let agencies that only wait do so this long before anything is measured")
	f.BoolVar(&o.Apart, "apart", false, "run broker, agents and those who wait as processes of their own, as in life (not on Windows)")
	f.BoolVar(&o.Memory, "memory", false, "also run broker and agents as processes of their own and measure their memory (Linux)")
	f.StringVar(&o.Dir, "dir", "", "work in this empty `folder` and leave it behind (default: a temporary one)")
	f.StringVar(&o.Profile, "profile", "", "write profiles of the load (cpu, heap, allocs, mutex, block) into this `folder`")
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	f.StringVar(&html, "html", "", "also write a page with histograms to this `file`")
	f.BoolVar(&verbose, "verbose", false, "show the broker's and the agents' warnings on standard error")
	cmd.AddCommand(newBenchSimulateCommand(), newBenchCrowdCommand())
	return cmd
}

// newBenchCrowdCommand is for the bench itself: it starts this program with it.
func newBenchCrowdCommand() *cobra.Command {
	return &cobra.Command{
		Use: "crowd", Hidden: true, Short: "Connect the agencies of a bench that only wait", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			spareProcessors()
			return bench.Crowd(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
}

func printBench(w io.Writer, r *bench.Result, asJSON bool, html string) error {
	if html != "" {
		var page bytes.Buffer
		if err := r.WritePage(&page, time.Now()); err != nil {
			return err
		}
		if err := replaceFile(html, page.Bytes(), 0o644); err != nil {
			return fmt.Errorf("write page: %w", err)
		}
	}
	if asJSON {
		return printLine(w, r)
	}
	return r.WriteTable(w)
}

// benchError gives a broken rule the exit code of a usage error.
func benchError(err error) error {
	var o *bench.OptionError
	if errors.As(err, &o) {
		return usage(o, "`waypost bench --help` shows what each flag means")
	}
	return err
}

// phases shows what a bench is doing: a bar on a terminal, a line for each phase elsewhere.
type phases struct {
	w        io.Writer
	terminal bool
	bar      *progressbar.ProgressBar
}

func newPhases(w io.Writer) *phases {
	f, ok := w.(*os.File)
	return &phases{w: w, terminal: ok && isatty.IsTerminal(f.Fd())}
}

// Phase implements bench.Progress; an empty name ends the last phase.
func (p *phases) Phase(what string, steps int) {
	if p.bar != nil {
		_ = p.bar.Clear()
		p.bar = nil
	}
	switch {
	case what == "":
	case !p.terminal:
		fmt.Fprintln(p.w, "bench:", what)
	default:
		if steps == 0 {
			steps = -1
		}
		p.bar = progressbar.NewOptions(steps, progressbar.OptionSetWriter(p.w), progressbar.OptionSetDescription(what), progressbar.OptionShowCount(),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	}
}

// Done implements bench.Progress.
func (p *phases) Done(steps int) {
	if p.bar != nil {
		_ = p.bar.Set(steps)
	}
}
