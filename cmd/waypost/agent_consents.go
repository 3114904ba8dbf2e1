package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"waypost/agents/api"
	"waypost/schemas"
)

func newAgentConsentListCommand() *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List consents and how each stands", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := client(cmd)
			if err != nil {
				return err
			}
			items, err := c.Consents(cmd.Context())
			if err != nil {
				return explain(cmd.ErrOrStderr(), err)
			}
			if done, err := asJSON(cmd, items); done {
				return err
			}
			var rows [][]string
			for _, i := range items {
				rows = append(rows, []string{i.ID, i.Issuer, i.Standing, i.Issued.Local().Format("2 Jan 2006"), i.Review.Local().Format("2 Jan 2006"), i.Expires.Local().Format("2 Jan 2006")})
			}
			if len(rows) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "No consents yet.")
				return nil
			}
			return list(cmd.OutOrStdout(), "CONSENT TAKEN-BY STANDING GIVEN REVIEW ENDS", rows)
		}}
}

// consentAction is a command that says or asks one thing about one consent and prints how it then stands.
func consentAction(use, short, long string, do func(context.Context, *api.Client, string) (*api.ConsentDetail, error)) *cobra.Command {
	return &cobra.Command{Use: use + " ID", Short: short, Long: long, Args: exactArgs("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return consentRun(cmd, args[0], do)
		}}
}

func consentRun(cmd *cobra.Command, id string, do func(context.Context, *api.Client, string) (*api.ConsentDetail, error)) error {
	c, err := client(cmd)
	if err != nil {
		return err
	}
	d, err := do(cmd.Context(), c, id)
	if err != nil {
		return explain(cmd.ErrOrStderr(), err)
	}
	if done, err := asJSON(cmd, d); done {
		return err
	}
	return printConsent(cmd.OutOrStdout(), d, time.Now())
}

func newAgentConsentShowCommand() *cobra.Command {
	return consentAction("show", "See how a consent stands, who holds what under it, and who has answered", "",
		func(ctx context.Context, c *api.Client, id string) (*api.ConsentDetail, error) {
			return c.Consent(ctx, id)
		})
}

func newAgentConsentWithdrawCommand() *cobra.Command {
	return consentAction("withdraw", "The survivor has withdrawn: stop everywhere, now",
		"Everything under the consent stops at once at this agency, and every agency that holds something under it is told. If another\n"+
			"agency took the consent, it is asked to confirm; until it does, everybody stops all the same. Running it twice changes nothing.",
		func(ctx context.Context, c *api.Client, id string) (*api.ConsentDetail, error) {
			return c.Withdraw(ctx, id)
		})
}

func newAgentConsentStandsCommand() *cobra.Command {
	return consentAction("stands", "A request to withdraw was a mistake: go on",
		"Only the agency that took the consent can say so, after asking the survivor.",
		func(ctx context.Context, c *api.Client, id string) (*api.ConsentDetail, error) {
			return c.Stands(ctx, id)
		})
}

func newAgentConsentReplaceCommand() *cobra.Command {
	return &cobra.Command{Use: "replace ID FILE", Short: "Renew or narrow a consent; FILE is the new record (consent-record.v1), - for standard input",
		Long: "Agencies that the new consent still covers are sent it; from the others the old one is withdrawn. What was sent before keeps\nthe consent that it went under.",
		Args: exactArgs("ID", "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := readDocument(cmd, args[1])
			if err != nil {
				return err
			}
			return consentRun(cmd, args[0], func(ctx context.Context, c *api.Client, id string) (*api.ConsentDetail, error) {
				return c.Replace(ctx, id, text)
			})
		}}
}

func newAgentConsentAnswerCommand() *cobra.Command {
	var stopped, erased, retained bool
	var a schemas.HolderAnswer
	var basis, reason, until string
	cmd := &cobra.Command{Use: "answer ID", Short: "Say what this agency did after a withdrawal",
		Long:    "With --erased this agent erases what it holds under the consent; erase it in your own systems too. What must be kept needs\nanother basis, a reason and an end. A later answer replaces an earlier one.",
		Example: "  waypost agent consent answer ID --erased\n  waypost agent consent answer ID --retained --basis legal-obligation --reason criminal-investigation --until 2027-06-30",
		Args:    exactArgs("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			chosen := 0
			for _, o := range []struct {
				on      bool
				outcome schemas.HolderOutcome
			}{{stopped, schemas.HolderStopped}, {erased, schemas.HolderErased}, {retained, schemas.HolderRetained}} {
				if o.on {
					chosen++
					a.Outcome = o.outcome
				}
			}
			if chosen != 1 {
				return usage(errors.New("say one of --stopped, --erased, --retained"), "")
			}
			a.Basis, a.Reason, a.Until = schemas.Basis(basis), schemas.RetentionReason(reason), schemas.Date(until)
			text, err := schemas.Encode(&a)
			if err != nil {
				return err
			}
			return consentRun(cmd, args[0], func(ctx context.Context, c *api.Client, id string) (*api.ConsentDetail, error) {
				return c.Answer(ctx, id, text)
			})
		}}
	f := cmd.Flags()
	f.BoolVar(&stopped, "stopped", false, "nothing is used or passed on any more")
	f.BoolVar(&erased, "erased", false, "and what was held is erased")
	f.BoolVar(&retained, "retained", false, "something is kept on another basis")
	f.StringVar(&basis, "basis", "", "with --retained: "+strings.Join(schemas.Codes("basis"), ", "))
	f.StringVar(&reason, "reason", "", "with --retained: "+strings.Join(schemas.Codes("retention-reason"), ", "))
	f.StringVar(&until, "until", "", "with --retained: until which day (YYYY-MM-DD)")
	return cmd
}

func printConsent(w io.Writer, d *api.ConsentDetail, now time.Time) error {
	line := func(k, v string) {
		if v != "" {
			fmt.Fprintf(w, "%-12s %s\n", k, clean(v))
		}
	}
	line("consent", d.ID)
	line("taken by", d.Issuer)
	line("standing", strings.ToUpper(d.Standing))
	line("ends", d.Expires.Local().Format("2 Jan 2006")+" ("+relative(d.Expires, now)+")")
	line("review", d.Review.Local().Format("2 Jan 2006")+" ("+relative(d.Review, now)+")")
	line("replaces", d.Supersedes)
	for _, id := range d.ReplacedBy {
		line("replaced by", id)
	}
	for _, s := range d.Statements {
		line(string(s.Act), "by "+s.By+", "+s.At.Local().Format(time.RFC1123))
	}
	for _, y := range d.Duties {
		if y.Decided == nil {
			words := "due " + relative(y.Due, now)
			if y.Overdue {
				words = "OVERDUE " + relative(y.Due, now)
			}
			line("to decide", string(y.Act)+" by "+y.By+", "+words)
		} else if y.Answer != nil {
			line("we decided", answerWords(y.Answer)+", "+y.Decided.Local().Format(time.RFC1123))
		}
	}
	if d.Notice != "" {
		fmt.Fprintf(w, "\n%s\n", clean(d.Notice))
	}
	if len(d.Holders) == 0 {
		fmt.Fprintln(w, "\nNobody was sent anything under it, as far as this agency knows.")
		return nil
	}
	fmt.Fprintln(w)
	var rows [][]string
	for _, h := range d.Holders {
		answer := ""
		if h.Answer != nil {
			answer = answerWords(h.Answer)
		}
		due := ""
		if h.Due != nil && h.Answered == nil {
			due = relative(*h.Due, now)
		}
		reminders := ""
		if h.Reminders > 0 {
			reminders = fmt.Sprint(h.Reminders)
		}
		state := h.State
		if state == "overdue" {
			state = "OVERDUE"
		}
		rows = append(rows, []string{h.Agency, strings.Join(h.Via, ","), h.Since.Local().Format("2 Jan 15:04"), state, due, reminders, answer})
	}
	return list(w, "HOLDER THROUGH LAST-SENT STATE DUE REMINDERS ANSWER", rows)
}

func answerWords(a *schemas.HolderAnswer) string {
	words := string(a.Outcome)
	if a.Basis != "" {
		words += " on " + string(a.Basis) + " (" + string(a.Reason) + ") until " + string(a.Until)
	}
	return words
}
