package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"waypost/schemas/ledger"
)

func newAgentEraseCommand() *cobra.Command {
	var thread string
	cmd := &cobra.Command{
		Use: "erase", Short: "Erase this agency's copies of a thread, here and at the broker",
		Long: "Destroys text and keys of every message of the thread that this agent keeps, asks the broker to delete the ciphertext it\n" +
			"still holds for this agency, and has it recorded in the ledger that this was done. It cannot be undone. What the\n" +
			"agency's own systems were given is theirs to erase.",
		Example: "  waypost agent erase --thread 5b1f…", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if thread == "" {
				return usage(errors.New("--thread is missing"), "`waypost agent inbox` shows threads")
			}
			c, err := client(cmd)
			if err != nil {
				return err
			}
			e, err := c.EraseThread(cmd.Context(), thread)
			if err != nil {
				return explain(cmd.ErrOrStderr(), err)
			}
			if done, err := asJSON(cmd, e); done {
				return err
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "erased       %d messages of thread %s\n", e.Messages, e.Thread)
			if !e.Recorded {
				fmt.Fprintln(out, "ledger       not told yet: the agent does it when the broker can be reached")
				return nil
			}
			fmt.Fprintf(out, "ledger       record %d\nbroker       %d ciphertexts deleted\n", e.Record, e.Broker)
			if e.Waiting > 0 {
				fmt.Fprintf(out, "             %d messages of this thread still wait there to be collected; erase again afterwards\n", e.Waiting)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&thread, "thread", "", "`id` of the thread")
	return cmd
}

func newAgentDiscloseCommand() *cobra.Command {
	var message, out string
	cmd := &cobra.Command{
		Use: "disclose", Short: "Give out one message with its key and its proof, for a court",
		Long: "Writes a file with which one message, and no other, can be read, and which proves by whom and when it was sent. That it was\n" +
			"disclosed is recorded in the ledger first. Whoever has the file can read the message: hand it over as you would the\n" +
			"message itself. `waypost audit open FILE` checks and shows it.",
		Example: "  waypost agent disclose --message 0190… --out message.disclosure", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if message == "" || out == "" {
				return usage(errors.New("--message and --out are needed"), "the message's id, and the new file")
			}
			if _, err := os.Stat(out); err == nil {
				// Before it is recorded: a disclosure that was recorded and not written would be a riddle for an auditor.
				return hintedError{fmt.Errorf("write file %s: it exists", out), "choose a name that is not there yet"}
			}
			c, err := client(cmd)
			if err != nil {
				return err
			}
			d, err := c.Disclose(cmd.Context(), message)
			if err != nil {
				return explain(cmd.ErrOrStderr(), err)
			}
			raw, err := ledger.EncodeDisclosure(d)
			if err != nil {
				return err
			}
			if err := writeNew(out, raw); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "disclosure of message %s written to %s\nWhoever has this file can read the message. The ledger records that it was made.\n", message, out)
			return nil
		},
	}
	cmd.Flags().StringVar(&message, "message", "", "`id` of the message")
	cmd.Flags().StringVar(&out, "out", "", "new `file`")
	return cmd
}

func newAgentRedriveCommand() *cobra.Command {
	var sink, since string
	cmd := &cobra.Command{
		Use: "redrive", Short: "Hand over to a sink again what was received since a time",
		Long:    "For a system of this agency that lost what it was given. Every message is handed over under its old id, so that a system\nwhich has it can tell. No receipt is sent again.",
		Example: "  waypost agent redrive --sink case-system --since 36h", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if sink == "" {
				return usage(errors.New("--sink is missing"), "the name of a sink in agent.yaml")
			}
			at, err := parseSince(since, time.Now())
			if err != nil {
				return err
			}
			c, err := client(cmd)
			if err != nil {
				return err
			}
			n, err := c.RedriveSink(cmd.Context(), sink, at)
			if err != nil {
				return explain(cmd.ErrOrStderr(), err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d hand-overs to %s are queued again\n", n, sink)
			return nil
		},
	}
	cmd.Flags().StringVar(&sink, "sink", "", "`name` of the sink")
	cmd.Flags().StringVar(&since, "since", "", "time (2026-03-01T00:00:00Z) or how long ago (36h)")
	return cmd
}

func newAgentRedeliveryCommand() *cobra.Command {
	all := &cobra.Command{Use: "list", Short: "List what administrators asked to be routed again", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := client(cmd)
			if err != nil {
				return err
			}
			asked, err := c.Redeliveries(cmd.Context())
			if err != nil {
				return explain(cmd.ErrOrStderr(), err)
			}
			if done, err := asJSON(cmd, asked); done {
				return err
			}
			if len(asked) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "No administrator asked for anything.")
				return nil
			}
			var rows [][]string
			for _, r := range asked {
				state := "waits for a decision"
				if r.Decided != nil {
					state = map[string]string{"redelivers": fmt.Sprintf("done: %d hand-overs", r.Count), "refuses": "refused"}[r.Outcome]
				}
				rows = append(rows, []string{r.ID, r.Since.Format("2006-01-02 15:04"), r.Asked.Format("2006-01-02 15:04"), state})
			}
			return list(cmd.OutOrStdout(), "REQUEST SINCE ASKED STATE", rows)
		}}
	decide := func(use, short string, accept bool) *cobra.Command {
		return &cobra.Command{Use: use + " ID", Short: short, Args: exactArgs("ID"), RunE: func(cmd *cobra.Command, args []string) error {
			c, err := client(cmd)
			if err != nil {
				return err
			}
			r, err := c.DecideRedelivery(cmd.Context(), args[0], accept)
			if err != nil {
				return explain(cmd.ErrOrStderr(), err)
			}
			if accept {
				fmt.Fprintf(cmd.OutOrStdout(), "%d hand-overs are queued again; the ledger is told\n", r.Count)
			} else {
				fmt.Fprintln(cmd.OutOrStdout(), "refused; the ledger is told")
			}
			return nil
		}}
	}
	return group(&cobra.Command{Use: "redelivery", Short: "What administrators asked to be routed again"}, all,
		decide("accept", "Route again as asked", true), decide("refuse", "Refuse", false))
}

func newAgentLedgerCommand() *cobra.Command {
	return &cobra.Command{Use: "ledger", Short: "See what this agency has seen of the ledger", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := client(cmd)
			if err != nil {
				return err
			}
			s, err := c.Ledger(cmd.Context())
			if err != nil {
				return explain(cmd.ErrOrStderr(), err)
			}
			if done, err := asJSON(cmd, s); done {
				return err
			}
			out := cmd.OutOrStdout()
			if s.Records == 0 {
				fmt.Fprintln(out, "records      none seen yet: the agent looks every few seconds while it is connected")
				return nil
			}
			fmt.Fprintf(out, "records      %d, consistent with everything seen before, and cosigned\nunproved     %d messages not yet found in it\n", s.Records, s.Unproved)
			if s.ActsWaiting > 0 {
				fmt.Fprintf(out, "waiting      %d acts of this agency\n", s.ActsWaiting)
			}
			for _, e := range s.Evidence {
				fmt.Fprintf(out, "ALARM        %s: read README.txt in the folder evidence/%s of the agent's data, and telephone the administrators\n", clean(e), clean(e))
			}
			return nil
		}}
}
