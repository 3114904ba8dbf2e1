package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"waypost/agents/consentpage"
	"waypost/schemas"
	"waypost/schemas/consent"
)

func newAgentConsentCommand() *cobra.Command {
	return group(&cobra.Command{Use: "consent", Short: "What survivors agreed to"}, newAgentConsentListCommand(), newAgentConsentShowCommand(), newAgentConsentPrintCommand(),
		newAgentConsentWithdrawCommand(), newAgentConsentStandsCommand(), newAgentConsentReplaceCommand(), newAgentConsentAnswerCommand())
}

func newAgentConsentPrintCommand() *cobra.Command {
	var lang, out string
	var withContact bool
	cmd := &cobra.Command{
		Use: "print ID|FILE", Short: "Print a consent as one page in plain words for the survivor",
		Long: "The page is HTML for one A4 sheet; any browser prints it. It names nobody: no survivor, no agency, no place, no free text,\n" +
			"for whoever might find it. Give it only to a survivor for whom it is safe to have it, and say aloud what it leaves out.\n\n" +
			"ID is a certificate's id, asked of the running agent; FILE is a certificate's signed text, - for standard input.",
		Example: "  waypost agent consent print 2f1f5a3e-8d52-4c6b-9f5f-0f9a6c3d71be --lang vi --out my-choices.html\n" +
			"  waypost agent consent print consent.txt --lang ar",
		Args: exactArgs("ID|FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, roles, err := certificateFor(cmd, args[0])
			if err != nil {
				return err
			}
			if lang == "" {
				lang = string(c.Consent.Language)
			}
			o := consentpage.Options{Now: time.Now(), RoleOf: roles, WithContact: withContact}
			var page bytes.Buffer
			if err := consentpage.Page(&page, lang, c, o); err != nil {
				if errors.Is(err, consentpage.ErrLanguage) {
					return usage(err, languageHint())
				}
				return err
			}
			if withContact {
				fmt.Fprintln(cmd.ErrOrStderr(), "warning: the page holds the agency's own words on how to withdraw; read them before you give it away: is it safe if somebody finds it?")
			}
			if out == "" {
				_, err := cmd.OutOrStdout().Write(page.Bytes())
				return err
			}
			if err := os.WriteFile(out, page.Bytes(), 0o600); err != nil {
				return fmt.Errorf("write page: %w", err)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&lang, "lang", "", "language the survivor reads (default: that in which the consent was taken)")
	f.StringVar(&out, "out", "", "`file` to write; give it a name that says nothing, like my-choices.html")
	f.BoolVar(&withContact, "with-contact", false, "print the certificate's words on how to withdraw; they may name somebody")
	return cmd
}

func languageHint() string {
	languages, err := consentpage.Languages()
	if err != nil {
		return ""
	}
	var names []string
	for _, l := range languages {
		names = append(names, l.Tag+" ("+l.Name+")")
	}
	return "--lang takes one of: " + strings.Join(names, ", ")
}

// certificateFor reads a certificate: an id is asked of the running agent, anything else is a file. The function says what
// role an agency has; it is nil when no agent was asked. Nobody's signature is checked here: the page says only what the
// survivor and the worker in front of them can compare with what they know.
func certificateFor(cmd *cobra.Command, arg string) (*consent.Certificate, func(string) schemas.Role, error) {
	if schemas.ValidThreadID(arg) {
		return fetchCertificate(cmd, arg)
	}
	in := cmd.InOrStdin()
	if arg != "-" {
		f, err := os.Open(arg)
		if err != nil {
			return nil, nil, fmt.Errorf("read certificate: %w", err)
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, consent.MaxCertificate+1))
	if err != nil {
		return nil, nil, fmt.Errorf("read certificate: %w", err)
	}
	c, err := consent.Read(string(text))
	if err != nil {
		return nil, nil, hintedError{fmt.Errorf("read certificate: %w", err), "the file holds the signed text of one certificate, as it was issued, and nothing else"}
	}
	return c, nil, nil
}

// fetchCertificate asks the running agent for a certificate and for the directory.
func fetchCertificate(cmd *cobra.Command, id string) (*consent.Certificate, func(string) schemas.Role, error) {
	cl, err := client(cmd)
	if err != nil {
		return nil, nil, err
	}
	held, err := cl.Consent(cmd.Context(), id)
	if err != nil {
		return nil, nil, explain(cmd.ErrOrStderr(), err)
	}
	c, err := consent.Read(held.Text)
	if err != nil {
		return nil, nil, fmt.Errorf("read certificate: %w", err)
	}
	if c.ID != id {
		return nil, nil, errors.New("read certificate: the agent answered with another one")
	}
	roles := map[string]schemas.Role{}
	// Without a directory the page counts the agencies instead of saying what they do.
	if d, err := cl.Directory(cmd.Context()); err == nil {
		for _, a := range d.Agencies {
			roles[a.ID] = a.Role
		}
	}
	return c, func(agency string) schemas.Role { return roles[agency] }, nil
}
