package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"waypost/agents/api"
)

// asJSON prints v and returns true when --json was given.
func asJSON(cmd *cobra.Command, v any) (bool, error) {
	if on, _ := cmd.Flags().GetBool("json"); !on {
		return false, nil
	}
	var text strings.Builder
	if err := printJSON(&text, v); err != nil {
		return true, err
	}
	_, err := io.WriteString(cmd.OutOrStdout(), escapeHarmful(text.String()))
	return true, err
}

// escapeHarmful writes as escapes what JSON may carry as it stands but a terminal may act on. In JSON such characters occur
// in strings only, so the value stays the same.
func escapeHarmful(document string) string {
	var b strings.Builder
	for _, r := range document {
		if harmful(r) {
			fmt.Fprintf(&b, "\\u%04x", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// harmful says of a character in text from elsewhere that a terminal may act on it: control characters could rewrite the
// screen, bidi controls what a line seems to say.
func harmful(r rune) bool {
	return r < 0x20 && r != '\n' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x200e || r == 0x200f || r == 0x061c
}

// clean makes text from elsewhere harmless for a terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if harmful(r) {
			return '\ufffd'
		}
		return r
	}, s)
}

// list prints aligned columns under a heading; an empty cell becomes a dash.
func list(w io.Writer, head string, rows [][]string) error {
	for _, r := range rows {
		for i, c := range r {
			if r[i] = clean(c); c == "" {
				r[i] = "-"
			}
		}
	}
	table(w, append([][]string{strings.Fields(head)}, rows...))
	return nil
}

// relative says how far a time is from now.
func relative(t, now time.Time) string {
	d := t.Sub(now)
	past := d < 0
	if past {
		d = -d
	}
	var s string
	switch {
	case d < 90*time.Second:
		s = strconv.Itoa(int(d.Seconds())) + " s"
	case d < 90*time.Minute:
		s = strconv.Itoa(int(d.Minutes())) + " min"
	case d < 36*time.Hour:
		s = strconv.Itoa(int(d.Hours())) + " h"
	default:
		s = strconv.Itoa(int(d.Hours()/24)) + " days"
	}
	if past {
		return s + " ago"
	}
	return "in " + s
}

// due says what a response clock says, so that it can be read without colour.
func due(it api.Item, now time.Time) string {
	switch {
	case it.RespondBy == nil:
		return ""
	case it.Answered != nil:
		return "answered"
	case it.Stopped != nil:
		return "stopped"
	case it.Overdue || it.RespondBy.Before(now):
		return "OVERDUE " + relative(*it.RespondBy, now)
	}
	return relative(*it.RespondBy, now)
}

// stateWords says a state in words that claim no more than is known.
func stateWords(s string) string {
	switch s {
	case "pending":
		return "waiting to leave this agent"
	case "published":
		return "at the broker, not yet collected"
	case "delivered":
		return "delivered into their systems"
	case "quarantined":
		return "QUARANTINED by the recipient"
	case "rejected":
		return "REJECTED by the recipient"
	case "received":
		return "not yet in your systems"
	case "routed":
		return "in your systems"
	case "stopped":
		return "STOPPED: withdrawal asked for"
	case "refused":
		return "refused: consent withdrawn before it reached your systems"
	case "void":
		return "taken back before it left"
	}
	return s
}

func listFlags(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().Int("limit", 50, "rows at most (up to 500)")
	cmd.Flags().Int64("before", 0, "rows older than this N")
	return cmd
}

func paging(cmd *cobra.Command) (int, int64) {
	limit, _ := cmd.Flags().GetInt("limit")
	before, _ := cmd.Flags().GetInt64("before")
	return limit, before
}

func newAgentInboxCommand() *cobra.Command {
	var open bool
	cmd := &cobra.Command{Use: "inbox", Short: "List what came, newest first", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := client(cmd)
			if err != nil {
				return err
			}
			limit, before := paging(cmd)
			items, err := c.Inbox(cmd.Context(), open, limit, before)
			if err != nil {
				return explain(cmd.ErrOrStderr(), err)
			}
			if done, err := asJSON(cmd, items); done {
				return err
			}
			if len(items) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "Nothing here.")
				return nil
			}
			now := time.Now()
			var rows [][]string
			for _, it := range items {
				rows = append(rows, []string{strconv.FormatInt(it.N, 10), it.ID, it.From, string(it.Kind), string(it.Lane), relative(it.Sent, now), due(it, now), stateWords(it.State)})
			}
			return list(cmd.OutOrStdout(), "N MESSAGE FROM KIND LANE SENT ANSWER-DUE STATE", rows)
		}}
	cmd.Flags().BoolVar(&open, "open", false, "only referrals that wait for an answer")
	return listFlags(cmd)
}

func newAgentOutboxCommand() *cobra.Command {
	return listFlags(&cobra.Command{Use: "outbox", Short: "List what was sent and how far it has got, newest first", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := client(cmd)
			if err != nil {
				return err
			}
			limit, before := paging(cmd)
			items, err := c.Outbox(cmd.Context(), limit, before)
			if err != nil {
				return explain(cmd.ErrOrStderr(), err)
			}
			if done, err := asJSON(cmd, items); done {
				return err
			}
			if len(items) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "Nothing here.")
				return nil
			}
			now := time.Now()
			var rows [][]string
			for _, it := range items {
				state := stateWords(it.State)
				if it.Hold != "" {
					state += " (held: " + it.Hold + ")"
				}
				if it.ReceiptCode != "" {
					state += " (" + it.ReceiptCode + ")"
				}
				rows = append(rows, []string{strconv.FormatInt(it.N, 10), it.ID, it.To, string(it.Kind), string(it.Lane), relative(it.Sent, now), due(it, now), state})
			}
			return list(cmd.OutOrStdout(), "N MESSAGE TO KIND LANE SENT ANSWER-DUE STATE", rows)
		}})
}

func newAgentQuarantineCommand() *cobra.Command {
	return listFlags(&cobra.Command{Use: "quarantine [N]", Short: "List what was kept but not let through, or say why one was",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return exactArgs("[N]")(cmd, args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := client(cmd)
			if err != nil {
				return err
			}
			if len(args) == 1 {
				return showQuarantined(cmd, c, args[0])
			}
			limit, before := paging(cmd)
			items, err := c.Quarantine(cmd.Context(), limit, before)
			if err != nil {
				return explain(cmd.ErrOrStderr(), err)
			}
			if done, err := asJSON(cmd, items); done {
				return err
			}
			if len(items) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "Nothing in quarantine.")
				return nil
			}
			now := time.Now()
			var rows [][]string
			for _, q := range items {
				rows = append(rows, []string{strconv.FormatInt(q.N, 10), q.From, string(q.Lane), q.Code, yes(q.Verified), relative(q.Received, now), q.ID})
			}
			return list(cmd.OutOrStdout(), "N FROM LANE REASON SIGNED CAME CLAIMED-MESSAGE", rows)
		}})
}

func showQuarantined(cmd *cobra.Command, c *api.Client, arg string) error {
	n, err := strconv.ParseInt(arg, 10, 64)
	if err != nil || n < 1 {
		return usage(fmt.Errorf("quarantine takes a number"), "the first column of `waypost agent quarantine`")
	}
	q, err := c.QuarantineItem(cmd.Context(), n)
	if err != nil {
		return explain(cmd.ErrOrStderr(), err)
	}
	if done, err := asJSON(cmd, q); done {
		return err
	}
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "from      %s\ncame      %s\nreason    %s\nsigned    %s\nsize      %d bytes\nmessage   %s (as claimed)\n",
		clean(q.From), q.Received.Local().Format(time.RFC1123), clean(q.Code), yes(q.Verified), q.Size, clean(q.ID))
	for _, p := range q.Problems {
		fmt.Fprintf(out, "problem   %s\n", clean(strings.TrimSpace(p.Path+" "+p.Rule+" "+p.Hint)))
	}
	return nil
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "NO"
}
