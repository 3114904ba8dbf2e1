package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"waypost/schemas"
	"waypost/schemas/directory"
)

func newNetworkAgreementCommand() *cobra.Command {
	return group(&cobra.Command{Use: "agreement", Short: "What may flow from one agency to another"},
		newAgreementAddCommand(), newAgreementListCommand(), newAgreementEndCommand())
}

func newAgreementAddCommand() *cobra.Command {
	var (
		g                           directory.Agreement
		kinds, purposes, categories []string
		until                       string
	)
	cmd := &cobra.Command{
		Use: "add", Short: "Sign an agreement: one direction, named kinds, purposes and data categories",
		Long: "Answers and receipts need no agreement of their own. Lists are separated by commas; `all` names every code.\n\n" +
			"purposes:   " + strings.Join(schemas.Codes("purpose"), ", ") + "\n" +
			"categories: " + strings.Join(schemas.Codes("category"), ", "),
		Example: "  waypost network agreement add --from north-police --to harbour-ngo --kinds referral \\\n    --purposes immediate-safety,accommodation --categories identity,contact,risk --document \"DSA 2026/14\"",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if g.From == "" || g.To == "" {
				return usage(errors.New("--from and --to name the agencies"), "run `waypost network list`")
			}
			var err error
			if g.Kinds, err = codes[schemas.Kind]("--kinds", kinds, "kind"); err != nil {
				return err
			}
			if g.Purposes, err = codes[schemas.Purpose]("--purposes", purposes, "purpose"); err != nil {
				return err
			}
			if g.Categories, err = codes[schemas.Category]("--categories", categories, "category"); err != nil {
				return err
			}
			if until != "" {
				end, err := date(until)
				if err != nil {
					return err
				}
				g.Until = &end
			}
			a, err := openNetwork(cmd)
			if err != nil {
				return err
			}
			g.ID = schemas.NewThreadID()
			if err := a.AddAgreement(g); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "agreement %s: %s to %s\n", g.ID, g.From, g.To)
			return publishIfReachable(cmd, a)
		},
	}
	f := cmd.Flags()
	f.StringVar(&g.From, "from", "", "sending agency")
	f.StringVar(&g.To, "to", "", "receiving agency")
	f.StringSliceVar(&kinds, "kinds", []string{string(schemas.KindReferral)}, "kinds of message")
	f.StringSliceVar(&purposes, "purposes", nil, "purposes")
	f.StringSliceVar(&categories, "categories", nil, "data categories")
	f.StringVar(&until, "until", "", "last day, as 2027-03-31, or a time")
	f.StringVar(&g.Document, "document", "", "the paper that was signed")
	return cmd
}

func newAgreementListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "Show agreements", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := openNetwork(cmd)
			if err != nil {
				return err
			}
			all := a.View().Agreements()
			if asJSON {
				return printJSON(cmd.OutOrStdout(), append([]*directory.Agreement{}, all...))
			}
			rows := [][]string{{"ID", "FROM", "TO", "KINDS", "PURPOSES", "CATEGORIES", "STARTS", "ENDS", "DOCUMENT"}}
			for _, g := range all {
				rows = append(rows, []string{g.ID, g.From, g.To, join(g.Kinds), short(g.Purposes), short(g.Categories), g.Starts.Format(time.DateOnly), ends(g), printable(firstOf(g.Document, "-"))})
			}
			table(cmd.OutOrStdout(), rows)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newAgreementEndCommand() *cobra.Command {
	var at string
	cmd := &cobra.Command{
		Use: "end ID", Short: "End an agreement; it stays on record", Args: exactArgs("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			end := time.Now()
			if at != "" {
				var err error
				if end, err = date(at); err != nil {
					return err
				}
			}
			a, err := openNetwork(cmd)
			if err != nil {
				return err
			}
			if err := a.EndAgreement(args[0], end); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "agreement %s ends %s\n", args[0], end.UTC().Format(time.RFC3339))
			return publishIfReachable(cmd, a)
		},
	}
	cmd.Flags().StringVar(&at, "at", "", "when, as 2027-03-31 or a time; now if not given")
	return cmd
}

func newNetworkListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "Show the agencies and the directory's version", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := openNetwork(cmd)
			if err != nil {
				return err
			}
			v := a.View()
			h := v.Head()
			out := cmd.OutOrStdout()
			if asJSON {
				return printJSON(out, struct {
					Network  string              `json:"network"`
					Root     string              `json:"root"`
					Version  uint64              `json:"version"`
					Issued   time.Time           `json:"issued"`
					Expires  time.Time           `json:"expires"`
					Expired  bool                `json:"expired"`
					Agencies []*directory.Agency `json:"agencies"`
				}{a.Config().Name, a.RootKey(), h.Version, h.Issued, h.Expires, v.Expired(time.Now()), append([]*directory.Agency{}, v.Agencies()...)})
			}
			state := "valid until " + h.Expires.Format(time.RFC3339)
			if v.Expired(time.Now()) {
				state = "EXPIRED on " + h.Expires.Format(time.RFC3339) + ": run waypost network sign"
			}
			fmt.Fprintf(out, "%s, directory version %d, %s\n\n", printable(a.Config().Name), h.Version, state)
			rows := [][]string{{"ID", "NAME", "ROLE", "REGION", "STATE", "SINCE"}}
			for _, g := range v.Agencies() {
				rows = append(rows, []string{g.ID, printable(g.Name), string(g.Role), printable(firstOf(g.Region, "-")), string(g.State), g.Since.Format(time.DateOnly)})
			}
			table(out, rows)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// codes checks words against a code list; `all` is every word of it.
func codes[T ~string](flag string, words []string, list string) ([]T, error) {
	known := schemas.Codes(list)
	if len(words) == 1 && words[0] == "all" {
		words = known
	}
	if len(words) == 0 {
		return nil, usage(fmt.Errorf("%s is missing", flag), "one or more of: "+strings.Join(known, ", ")+", or all")
	}
	var out []T
	for _, w := range words {
		if !schemas.Known(T(w)) {
			return nil, usage(fmt.Errorf("%s: unknown word %q", flag, w), "one or more of: "+strings.Join(known, ", "))
		}
		out = append(out, T(w))
	}
	return out, nil
}

// date reads a day, which counts to its end, or a moment.
func date(s string) (time.Time, error) {
	if d, err := time.Parse(time.DateOnly, s); err == nil {
		return d.AddDate(0, 0, 1), nil
	}
	if d, err := time.Parse(time.RFC3339, s); err == nil {
		return d, nil
	}
	return time.Time{}, usage(fmt.Errorf("%q is not a date", s), "write 2027-03-31 or 2027-03-31T18:00:00Z")
}

func ends(g *directory.Agreement) string {
	switch {
	case g.Ended != nil:
		return "ended " + g.Ended.Format(time.DateOnly)
	case g.Until != nil:
		return g.Until.Format(time.DateOnly)
	}
	return "-"
}

func join[T ~string](words []T) string {
	s := make([]string, len(words))
	for i, w := range words {
		s[i] = string(w)
	}
	return strings.Join(s, ",")
}

// short keeps a table readable when everything is allowed.
func short[T ~string](words []T) string {
	if len(words) > 4 {
		return join(words[:3]) + fmt.Sprintf(" and %d more", len(words)-3)
	}
	return join(words)
}
