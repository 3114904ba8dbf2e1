package main

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"waypost/agents/vault"
	"waypost/schemas/envelope"
	"waypost/schemas/ledger"
)

func newAuditOpenCommand() *cobra.Command {
	var f auditFlags
	var quorum int
	cmd := &cobra.Command{
		Use: "open FILE", Short: "Check a disclosure and show the one message in it",
		Long: "An agency discloses one message with `waypost agent disclose`. This checks that it is the message that the ledger holds,\n" +
			"signed by its sender, and shows it. The file opens this message and no other. No broker is needed.",
		Example: "  waypost audit open message.disclosure --root root.pub",
		Args:    exactArgs("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			root, err := f.rootKey(cmd)
			if err != nil {
				return err
			}
			raw, err := readLimited(args[0], ledger.MaxDisclosure)
			if err != nil {
				return err
			}
			d, err := ledger.ParseDisclosure(raw)
			if err != nil {
				return hintedError{fmt.Errorf("read disclosure: %w", err), "`waypost agent disclose` makes such files; it was damaged or is something else"}
			}
			ev, env, key, err := d.Check(root, quorum)
			if err != nil {
				return hintedError{fmt.Errorf("the disclosure does not hold: %w", err), proofHint(err)}
			}
			plain, err := vault.OpenDisclosed(env.Manifest.ID, env.Body, key)
			if err != nil {
				return hintedError{errors.New("the key in this file does not open the message"), "the file was changed, or the agency gave another key: ask it"}
			}
			body, err := envelope.DecodeBody(plain, env.Manifest.Header())
			if err != nil {
				return hintedError{fmt.Errorf("the message is not what its manifest says: %w", err), "that is a finding: the sender sealed something else than it signed"}
			}
			payload := bytes.Clone(body.Payload)
			if err := (*jsontext.Value)(&payload).Indent(jsontext.WithIndent("  ")); err != nil {
				return fmt.Errorf("show message: %w", err)
			}
			if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
				return printLine(cmd.OutOrStdout(), struct {
					evidence
					Payload jsontext.Value `json:"payload"`
				}{evidenceOf(ev), body.Payload})
			}
			printEvidence(cmd.OutOrStdout(), ev)
			fmt.Fprintf(cmd.OutOrStdout(), "\n%s\n", escapeHarmful(string(payload)))
			return nil
		},
	}
	f.bind(cmd)
	cmd.Flags().IntVar(&quorum, "quorum", 1, "how many agencies must have cosigned")
	cmd.Flags().Bool("json", false, "print JSON")
	return cmd
}
