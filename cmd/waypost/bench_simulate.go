package main

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"waypost/cmd/waypost/bench"
)

func newBenchSimulateCommand() *cobra.Command {
	var o bench.SimulateOptions
	var agencies string
	var asJSON, verbose bool
	cmd := &cobra.Command{
		Use: "simulate", Short: "Show how a network's cost grows with its members",
		Long: `For each size it signs and verifies a real directory, and, up to --measured agencies, runs a real broker with every agency's
account, consumers and connection. Beyond that the broker's figures are computed from the two largest sizes that ran, and
marked so. It shows the shape of growth; agents themselves, which run on their agencies' machines, are not part of it.`,
		Example: "  waypost bench simulate\n  waypost bench simulate --agencies 10,100,500 --measured 500 --json",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, f := range strings.Split(agencies, ",") {
				n, err := strconv.Atoi(strings.TrimSpace(f))
				if err != nil {
					return usage(fmt.Errorf("--agencies: %q is no number", strings.TrimSpace(f)), "sizes with commas between them, like 10,100,1000")
				}
				o.Agencies = append(o.Agencies, n)
			}
			if verbose {
				o.Log = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
			}
			o.Progress = newPhases(cmd.ErrOrStderr())
			shape, err := bench.Simulate(cmd.Context(), o)
			o.Progress.Phase("", 0)
			if shape != nil {
				if asJSON {
					err = errors.Join(err, printLine(cmd.OutOrStdout(), shape))
				} else {
					err = errors.Join(err, shape.WriteTable(cmd.OutOrStdout()))
				}
			}
			return benchError(err)
		},
	}
	f := cmd.Flags()
	f.StringVar(&agencies, "agencies", "10,100,999,10000", "sizes of the network")
	f.IntVar(&o.Measured, "measured", 999, "the largest size for which a broker really runs")
	f.IntVar(&o.Agreements, "agreements", 2, "agreements of each agency, for the size of the directory")
	f.IntVar(&o.Messages, "messages", 5000, "messages through the broker at each size")
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	f.BoolVar(&verbose, "verbose", false, "show the broker's warnings on standard error")
	return cmd
}
