package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"waypost/agents/api"
	"waypost/schemas"
)

func newAgentShowCommand() *cobra.Command {
	return &cobra.Command{Use: "show ID", Short: "Read one message, from the inbox or the outbox", Args: exactArgs("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := client(cmd)
			if err != nil {
				return err
			}
			m, err := c.Message(cmd.Context(), args[0])
			if err != nil {
				return explain(cmd.ErrOrStderr(), err)
			}
			if done, err := asJSON(cmd, m); done {
				return err
			}
			return printMessage(cmd.OutOrStdout(), m)
		}}
}

func printMessage(w io.Writer, m *api.Message) error {
	now := time.Now()
	fmt.Fprintf(w, "%s from %s to %s\n", clean(string(m.Kind)), clean(m.From), clean(m.To))
	line := func(k, v string) {
		if v != "" {
			fmt.Fprintf(w, "%-12s %s\n", k, clean(v))
		}
	}
	line("message", m.ID)
	line("thread", m.Thread)
	line("answers", m.ReplyTo)
	line("sent", m.Sent.Local().Format(time.RFC1123)+" ("+relative(m.Sent, now)+")")
	line("answer due", due(m.Item, now))
	line("basis", m.Basis)
	line("state", stateWords(m.State))
	line("held", m.Hold)
	for _, r := range m.Receipts {
		line("receipt", strings.TrimSpace(string(r.Outcome)+" "+r.Code)+", "+r.Sent.Local().Format(time.RFC1123))
	}
	for _, d := range m.Deliveries {
		line("system", d.Sink+": "+d.State+" "+d.Code)
	}
	for _, c := range m.Certificates {
		line("certificate", c)
	}
	fmt.Fprintln(w)
	if m.Withheld != "" {
		_, err := fmt.Fprintf(w, "There is nothing to read: %s.\n", clean(m.Withheld))
		return err
	}
	return printValue(w, m.Payload, "")
}

// printValue shows a payload as an indented outline, in the order it was written.
func printValue(w io.Writer, v jsontext.Value, indent string) error {
	dec := jsontext.NewDecoder(strings.NewReader(string(v)))
	return outline(w, dec, indent, "")
}

func outline(w io.Writer, dec *jsontext.Decoder, indent, label string) error {
	tok, err := dec.ReadToken()
	if err != nil {
		return fmt.Errorf("read payload: %w", err)
	}
	switch tok.Kind() {
	case '{':
		if label != "" {
			fmt.Fprintln(w, indent+label)
			indent += "  "
		}
		for dec.PeekKind() != '}' {
			name, err := dec.ReadToken()
			if err != nil {
				return fmt.Errorf("read payload: %w", err)
			}
			if err := outline(w, dec, indent, strings.ReplaceAll(clean(name.String()), "_", " ")+":"); err != nil {
				return err
			}
		}
		_, err = dec.ReadToken()
	case '[':
		fmt.Fprintln(w, indent+label)
		for dec.PeekKind() != ']' {
			if err := outline(w, dec, indent+"  ", "-"); err != nil {
				return err
			}
		}
		_, err = dec.ReadToken()
	default:
		text := strings.ReplaceAll(clean(tok.String()), "\n", "\n"+indent+"  ")
		fmt.Fprintln(w, indent+strings.TrimSpace(label+" "+text))
	}
	return err
}

func newAgentThreadCommand() *cobra.Command {
	return &cobra.Command{Use: "thread ID", Short: "Show what happened in a thread, oldest first", Args: exactArgs("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := client(cmd)
			if err != nil {
				return err
			}
			view, err := c.Thread(cmd.Context(), args[0])
			if err != nil {
				return explain(cmd.ErrOrStderr(), err)
			}
			if done, err := asJSON(cmd, view); done {
				return err
			}
			var rows [][]string
			w := cmd.OutOrStdout()
			for _, r := range view.Referrals {
				fmt.Fprintf(w, "referral %s from %s to %s: %s (transport: %s)\n", clean(r.ID), clean(r.Requester), clean(r.Responder), strings.ToUpper(clean(string(r.State))), clean(string(r.Delivery)))
				for _, s := range r.Steps {
					fmt.Fprintf(w, "  %s  %s by %s\n", s.At.Local().Format("2006-01-02 15:04:05"), clean(string(s.State)), clean(s.By))
				}
			}
			for _, f := range view.Flags {
				fmt.Fprintf(w, "FLAGGED %s: message %s\n", clean(f.Code), clean(f.EventID))
			}
			if len(view.Referrals) > 0 {
				fmt.Fprintln(w)
			}
			for _, h := range view.Items {
				rows = append(rows, []string{h.At.Local().Format("2006-01-02 15:04:05"), strings.TrimPrefix(h.Event, "waypost."), string(h.Kind), h.Agency, h.Code, h.Message})
			}
			return list(w, "WHEN WHAT KIND AGENCY CODE MESSAGE", rows)
		}}
}

func newAgentDirectoryCommand() *cobra.Command {
	return &cobra.Command{Use: "directory", Short: "Show who is who and who may be written to", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := client(cmd)
			if err != nil {
				return err
			}
			d, err := c.Directory(cmd.Context())
			if err != nil {
				return explain(cmd.ErrOrStderr(), err)
			}
			if done, err := asJSON(cmd, d); done {
				return err
			}
			until := "valid until " + d.Expires.Local().Format("2 Jan 2006 15:04")
			if d.Expired {
				until = "EXPIRED " + relative(d.Expires, time.Now()) + ": ask the network's administrators to run `waypost network sign`"
			}
			fmt.Fprintf(cmd.OutOrStdout(), "directory version %d, %s\n\n", d.Version, until)
			var rows [][]string
			for _, a := range d.Agencies {
				rows = append(rows, []string{a.ID, a.Name, string(a.Role), a.State, mayTravel(a.MaySend), mayTravel(a.MayReceive), a.DutyContact})
			}
			return list(cmd.OutOrStdout(), "AGENCY NAME ROLE STATE WE-MAY-SEND THEY-MAY-SEND DUTY-CONTACT", rows)
		}}
}

func newAgentStatusCommand() *cobra.Command {
	return &cobra.Command{Use: "status", Short: "Show how the agent is", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := client(cmd)
			if err != nil {
				return err
			}
			s, err := c.Status(cmd.Context())
			if err != nil {
				return explain(cmd.ErrOrStderr(), err)
			}
			if done, err := asJSON(cmd, s); done {
				return err
			}
			w := cmd.OutOrStdout()
			broker := "connected"
			if !s.Connected {
				broker = "NOT CONNECTED (" + clean(s.Code) + "); what is sent waits here"
			}
			fmt.Fprintf(w, "agency              %s\nbroker              %s\n", clean(s.Agency), broker)
			if s.DirectoryExpires != nil {
				fmt.Fprintf(w, "directory           version %d, expires %s\n", s.DirectoryVersion, relative(*s.DirectoryExpires, time.Now()))
			} else {
				fmt.Fprintf(w, "directory           NOT RECEIVED YET\n")
			}
			k := s.Counts
			fmt.Fprintf(w, "waiting to leave    %d\nnot yet collected   %d\nnot in our systems  %d\nwaiting for us      %d\noverdue             %d\nquarantine          %d\ndead letters        %d\nmissing numbers     %d\n",
				k.OutboxPending, k.Uncollected, k.Unrouted, k.Open, k.Overdue, k.Quarantined, k.DeadLetters, k.Gaps)
			for _, basis := range slices.Sorted(maps.Keys(k.SentByBasis)) {
				if basis != "consent" {
					fmt.Fprintf(w, "sent without consent  %d on %s\n", k.SentByBasis[basis], clean(basis))
				}
			}
			for _, c := range s.Attention {
				fmt.Fprintf(w, "ATTENTION           %s\n", clean(c.Sentence))
			}
			for _, e := range s.Alarms {
				fmt.Fprintf(w, "LEDGER ALARM        %s: read evidence/%s/README.txt in the agent's data folder, and telephone the administrators\n", clean(e), clean(e))
			}
			for _, d := range s.Duties {
				words := "due " + relative(d.Due, time.Now())
				if d.Overdue {
					words = "OVERDUE " + relative(d.Due, time.Now())
				}
				fmt.Fprintf(w, "TO DECIDE           %s by %s, %s: waypost agent consent show %s\n", clean(string(d.Act)), clean(d.By), words, clean(d.Certificate))
			}
			return nil
		}}
}

func newAgentRetryCommand() *cobra.Command {
	return &cobra.Command{Use: "retry SINK", Short: "Give the dead letters of one of your systems another round", Args: exactArgs("SINK"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := client(cmd)
			if err != nil {
				return err
			}
			n, err := c.RetrySink(cmd.Context(), args[0])
			if err != nil {
				return explain(cmd.ErrOrStderr(), err)
			}
			if done, err := asJSON(cmd, api.Retried{Deliveries: n}); done {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d deliveries wait for %s again\n", n, clean(args[0]))
			return nil
		}}
}

// mayTravel keeps a table readable: kinds that stand by themselves by name, those that only follow them by number.
func mayTravel(kinds []schemas.Kind) string {
	var words []string
	follow := 0
	for _, k := range kinds {
		if e, _ := schemas.EntryOf(k); e.Follows != "" {
			follow++
			continue
		}
		words = append(words, string(k))
	}
	if follow > 0 {
		words = append(words, fmt.Sprintf("answers and updates (%d kinds)", follow))
	}
	return strings.Join(words, ", ")
}
