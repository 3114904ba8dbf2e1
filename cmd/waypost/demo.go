package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"waypost/deploy/examples"
	"waypost/schemas"
)

type demoOptions struct {
	dir      string
	referral string
	json     bool
	exit     bool
	verbose  bool
}

func newDemoCommand() *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Play one referral through a real broker and three real agents on this machine",
		Long: `Starts one broker and three agents (a police force, an NGO and a housing provider, all invented) on loopback
ports, carries an urgent referral from the police to the NGO and on to the housing provider, and shows what is
refused and what is quarantined on the way. Everything speaks to the agents' HTTP APIs as an agency's own system would.

Without --exit the demo stays up afterwards and prints how to reach each agent; Ctrl-C ends it.`,
		Example: `  waypost demo
  waypost demo --exit --json
  waypost demo --referral my-referral.json --dir ./demo`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDemo(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.dir, "dir", "", "keep everything in this folder (default: a temporary one, removed at the end)")
	f.StringVar(&o.referral, "referral", "", "play this referral file instead of deploy/examples/referral-urgent.json")
	f.BoolVar(&o.json, "json", false, "print one JSON object a step")
	f.BoolVar(&o.exit, "exit", false, "end after the story; status 0 only if every step did what it should")
	f.BoolVar(&o.verbose, "verbose", false, "show the broker's and the agents' logs on standard error")
	return cmd
}

// errStory: a step did not do what it should. What and why was printed with the step.
var errStory = errors.New("the demo did not go as it should")

func runDemo(ctx context.Context, o demoOptions, stdout, stderr io.Writer) (err error) {
	submission, err := demoReferral(o.referral)
	if err != nil {
		return err
	}
	dir := o.dir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "waypost-demo-"); err != nil {
			return fmt.Errorf("make demo folder: %w", err)
		}
		defer os.RemoveAll(dir)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return fmt.Errorf("resolve demo folder: %w", err)
	}
	log := slog.New(slog.DiscardHandler)
	if o.verbose {
		log = slog.New(slog.NewTextHandler(stderr, nil))
	}
	out := &demoOutput{w: stdout, json: o.json}
	out.say("Starting a broker and three agents in %s", dir)

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	net, err := startDemoNetwork(ctx, dir, log)
	if err != nil {
		return err
	}
	// Whatever happens, everything is stopped and on disk before the folder goes away.
	defer func() {
		stop()
		if e := net.wait(); e != nil && err == nil {
			err = e
		}
	}()
	s := &story{ctx: ctx, net: net, out: out, submission: submission}
	s.play()
	if ctx.Err() != nil {
		return nil
	}
	out.summary()
	if !o.exit {
		if err := out.ready(net); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case err := <-net.failed:
			return err
		}
		out.say("Stopping.")
		return nil
	}
	if out.failed > 0 {
		return errStory
	}
	return nil
}

// demoReferral reads the referral to play, strictly: a file that an agent would refuse is still played, so that its refusal
// can be seen; only one that cannot be read at all ends here.
func demoReferral(path string) ([]byte, error) {
	if path == "" {
		return examples.Files.ReadFile("referral-urgent.json")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read referral: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, schemas.MaxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("read referral: %w", err)
	}
	return text, nil
}
