package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"waypost/agents/api"
	"waypost/schemas"
)

func newAgentSendCommand() *cobra.Command {
	var to, key string
	var again, minimise bool
	cmd := &cobra.Command{
		Use: "send FILE --to ID", Short: "Send a message of any kind; FILE is a submission (submission.v1), - for standard input",
		Long: "The file says what is referred, on which lawful basis, and with which consent; deploy/examples has some. When the command\n" +
			"succeeds the referral is sealed, signed and on this agent's disk; `outbox` shows how far it has got.\n\n" +
			"Running the same command again after a crash or a lost answer does not send twice.",
		Example: "  waypost agent send referral.json --to harbour-ngo",
		Args:    exactArgs("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := client(cmd)
			if err != nil {
				return err
			}
			text, err := readDocument(cmd, args[0])
			if err != nil {
				return err
			}
			if text, err = withRecipient(text, to); err != nil {
				return err
			}
			if minimise {
				text = minimised(text)
			}
			if key, err = idempotencyKey(key, again, "send", text); err != nil {
				return err
			}
			a, err := c.Submit(cmd.Context(), text, key)
			if err != nil {
				return explain(cmd.ErrOrStderr(), err)
			}
			return printAccepted(cmd, a)
		},
	}
	f := cmd.Flags()
	f.StringVar(&to, "to", "", "agency to send to, if the file does not say")
	f.StringVar(&key, "idempotency-key", "", "key under which a repeat is recognised; from the content if not given")
	f.BoolVar(&again, "again", false, "send once more what was sent before")
	f.BoolVar(&minimise, "minimise", false, "leave out what consent or agreement does not cover")
	return cmd
}

func newAgentRespondCommand() *cobra.Command {
	var r schemas.ReferralResponse
	var accept, again bool
	var decline, redirect, starts, wait, file, key string
	cmd := &cobra.Command{
		Use: "respond ID", Short: "Answer a referral in the inbox",
		Example: "  waypost agent respond ID --accept --where \"north of the county\" --starts 2026-03-01\n" +
			"  waypost agent respond ID --decline no-capacity\n  waypost agent respond ID --question \"Which language?\"\n  waypost agent respond ID --redirect lantern-housing",
		Args: exactArgs("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := client(cmd)
			if err != nil {
				return err
			}
			var text []byte
			if file != "" {
				if text, err = readDocument(cmd, file); err != nil {
					return err
				}
			} else {
				chosen := 0
				for _, x := range []struct {
					set     bool
					outcome schemas.ResponseOutcome
				}{{accept, schemas.ResponseAccepted}, {decline != "", schemas.ResponseDeclined}, {len(r.Questions) > 0, schemas.ResponseInformationNeeded}, {redirect != "", schemas.ResponseRedirected}, {wait != "", schemas.ResponseWaitlisted}} {
					if x.set {
						chosen++
						r.Outcome = x.outcome
					}
				}
				if chosen != 1 {
					return usage(errors.New("say one of --accept, --decline, --waitlist, --question, --redirect, or --file"), "waypost agent respond --help")
				}
				r.DeclineReason, r.RedirectTo, r.Starts, r.ExpectedWait = schemas.DeclineReason(decline), redirect, schemas.Date(starts), schemas.ExpectedWait(wait)
				if text, err = schemas.Encode(&r); err != nil {
					return err
				}
			}
			if key, err = idempotencyKey(key, again, "respond "+args[0], text); err != nil {
				return err
			}
			a, err := c.Respond(cmd.Context(), args[0], text, key)
			if err != nil {
				return explain(cmd.ErrOrStderr(), err)
			}
			return printAccepted(cmd, a)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&accept, "accept", false, "accept")
	f.StringVar(&decline, "decline", "", "decline for a reason: "+strings.Join(schemas.Codes("decline-reason"), ", "))
	f.StringArrayVar(&r.Questions, "question", nil, "ask for information; may be repeated")
	f.StringVar(&wait, "waitlist", "", "put on the waiting list, for about: "+strings.Join(schemas.Codes("expected-wait"), ", "))
	f.StringVar(&redirect, "redirect", "", "point to another agency, by id")
	f.StringVar(&r.Where, "where", "", "with --accept: where, in general terms, never an address")
	f.StringVar(&starts, "starts", "", "with --accept: from when, YYYY-MM-DD")
	f.StringVar(&r.DeclineText, "text", "", "with --decline other: the reason in words")
	f.StringVar(&r.Note, "note", "", "a note for the referring agency")
	f.StringVar(&file, "file", "", "a `file` with the whole answer (referral-response.v1)")
	f.StringVar(&key, "idempotency-key", "", "key under which a repeat is recognised; from the content if not given")
	f.BoolVar(&again, "again", false, "send once more what was sent before")
	return cmd
}

func readDocument(cmd *cobra.Command, path string) ([]byte, error) {
	in := cmd.InOrStdin()
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("read document: %w", err)
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, schemas.MaxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("read document: %w", err)
	}
	if len(text) > schemas.MaxDocument {
		return nil, usage(errors.New("the document is larger than a message may be"), "the limit is 1 MiB")
	}
	return text, nil
}

// withRecipient adds the recipient to a submission that names none. Anything else about the file is the agent's to judge.
func withRecipient(text []byte, to string) ([]byte, error) {
	var doc struct {
		To *string `json:"to"`
	}
	if json.Unmarshal(text, &doc) != nil {
		return text, nil
	}
	switch {
	case to == "" && doc.To == nil:
		return nil, usage(errors.New("the file does not say which agency it is for"), "name it with --to; `waypost agent directory` lists the agencies")
	case to == "" || doc.To != nil && *doc.To == to:
		return text, nil
	case doc.To != nil:
		// A misdirected referral can kill: the two must not disagree.
		return nil, usage(errors.New("the file is addressed to another agency than --to"), "change one of the two")
	}
	return addressed(text, to), nil
}

// addressed puts a recipient into a submission without touching anything else of it, not even what a strict reader will
// refuse.
func addressed(submission []byte, to string) []byte {
	return member(submission, fmt.Sprintf("\"to\":%q", to))
}

// member puts one member at the beginning of a document.
func member(document []byte, text string) []byte {
	i := bytes.IndexByte(document, '{')
	if i < 0 {
		return document
	}
	rest := document[i+1:]
	comma := ","
	if strings.HasPrefix(strings.TrimSpace(string(rest)), "}") {
		comma = ""
	}
	return fmt.Appendf(nil, "{%s%s%s", text, comma, rest)
}

// minimised asks in a submission for what is not covered to be left out, if it does not ask itself.
func minimised(text []byte) []byte {
	var doc struct {
		Minimise *bool `json:"minimise"`
	}
	if json.Unmarshal(text, &doc) != nil || doc.Minimise != nil {
		return text
	}
	return member(text, `"minimise":true`)
}

// idempotencyKey comes from the content, so that the same command run again is the same request.
func idempotencyKey(given string, again bool, operation string, text []byte) (string, error) {
	if given != "" {
		return given, nil
	}
	if again {
		b := make([]byte, 16)
		if _, err := rand.Read(b); err != nil {
			return "", fmt.Errorf("make key: %w", err)
		}
		return "cli-" + hex.EncodeToString(b), nil
	}
	sum := sha256.Sum256(append([]byte(operation+"\n"), text...))
	return "cli-" + hex.EncodeToString(sum[:16]), nil
}

func printAccepted(cmd *cobra.Command, a *api.Accepted) error {
	if done, err := asJSON(cmd, a); done {
		return err
	}
	out := cmd.OutOrStdout()
	if a.Repeated {
		fmt.Fprintf(out, "This was sent before; nothing new was sent. (--again sends it once more.)\n")
	}
	fmt.Fprintf(out, "message     %s\nthread      %s\nstate       %s\n", clean(a.ID), clean(a.Thread), clean(stateWords(a.State)))
	for _, c := range a.Left {
		fmt.Fprintf(out, "left out    %s (%s is not covered)\n", clean(c.Path), c.Category)
	}
	if a.RespondBy != nil {
		fmt.Fprintf(out, "answer due  %s (%s)\n", a.RespondBy.Local().Format("2 Jan 15:04"), relative(*a.RespondBy, time.Now()))
	}
	return nil
}
