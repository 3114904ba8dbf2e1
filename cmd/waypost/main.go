// Command waypost runs every part of a Waypost network: the network authority, the broker, agents, and a demo.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ())
	stop()
	os.Exit(code)
}

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// run is the whole program, without the process around it. It returns when the command is done or ctx has ended and
// everything that was started has stopped. env is the environment, KEY=value.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, env []string) int {
	root := newRootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(withEnvironment(ctx, env))
	if err == nil {
		return exitOK
	}
	return report(stderr, err)
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "waypost",
		Short: "Sealed referrals and consent between police, NGOs and support providers",
		Long: "Waypost carries survivors' referrals and consent between agencies, sealed, signed and receipted.\n" +
			"Each agency runs an agent; the broker in the middle stores and forwards what it cannot read.",
		SilenceErrors: true, SilenceUsage: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage(fmt.Errorf("unknown command %q", args[0]), "run `waypost --help` for the commands")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage(err, "run `"+cmd.CommandPath()+" --help`")
	})
	root.AddCommand(newNetworkCommand(), newBrokerCommand(), newAgentCommand(), newAuditCommand(), newDemoCommand(), newBenchCommand())
	return root
}

// usageError is a mistake in how the command was called.
type usageError struct {
	err    error
	advice string
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }
func (e *usageError) Hint() string  { return e.advice }

func usage(err error, advice string) error { return &usageError{err, advice} }

// exactArgs is cobra.ExactArgs with the exit code of a usage error and the names of what is missing.
func exactArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return usage(fmt.Errorf("%s takes %d arguments, not %d", cmd.CommandPath(), len(names), len(args)),
				strings.TrimSpace("usage: "+cmd.CommandPath()+" "+strings.Join(names, " ")))
		}
		return nil
	}
}

// group makes a command that only holds others: without one it shows its help, with an unknown one it fails.
func group(cmd *cobra.Command, commands ...*cobra.Command) *cobra.Command {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usage(fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath()), "run `"+cmd.CommandPath()+" --help` for the commands")
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	cmd.AddCommand(commands...)
	return cmd
}

// report prints an error as one line, and below it what to do next if the error knows.
func report(w io.Writer, err error) int {
	line := strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
	fmt.Fprintf(w, "waypost: %s\n", line)
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) && hinted.Hint() != "" {
		fmt.Fprintf(w, "hint: %s\n", hinted.Hint())
	}
	var u *usageError
	if errors.As(err, &u) || strings.HasPrefix(err.Error(), "required flag") {
		return exitUsage
	}
	return exitFailure
}
