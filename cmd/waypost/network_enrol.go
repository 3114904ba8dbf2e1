package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"waypost/broker/network"
	"waypost/schemas"
	"waypost/schemas/directory"
)

func newNetworkEnrolCommand() *cobra.Command {
	var (
		o                      network.EnrolOptions
		role, fingerprint, out string
		yes                    bool
	)
	cmd := &cobra.Command{
		Use: "enrol REQUEST", Short: "Admit an agency from its enrolment request and write its grant",
		Long: "Shows the request's fingerprint, which must be compared with the agency over the telephone, on a number that you\n" +
			"already know: whoever could replace the file on its way would otherwise be admitted in the agency's name.\n" +
			"Enrolling the same request again writes a lost grant anew.",
		Example: "  waypost network enrol harbour-ngo.request.json --role ngo --region \"North coast\"",
		Args:    exactArgs("REQUEST"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !schemas.Known(schemas.Role(role)) {
				return usage(errors.New("--role is missing or unknown"), "one of: "+strings.Join(schemas.Codes("role"), ", "))
			}
			a, err := openNetwork(cmd)
			if err != nil {
				return err
			}
			text, err := readLimited(args[0], directory.MaxRequest)
			if err != nil {
				return fmt.Errorf("read enrolment request: %w", err)
			}
			req, err := directory.ParseRequest(text)
			if err != nil {
				return &network.Hinted{Err: fmt.Errorf("read enrolment request: %w", err), Advice: "ask the agency to send the file again as `waypost agent init` wrote it"}
			}
			fmt.Fprintf(cmd.OutOrStdout(), "agency       %s\nname         %s\nrole         %s\nfingerprint  %s\n", req.Agency, printable(firstOf(o.Name, req.Name, "-")), role, req.Fingerprint())
			if err := confirm(cmd, req.Fingerprint(), fingerprint, yes); err != nil {
				return err
			}
			grant, err := a.Enrol(req, schemas.Role(role), o)
			if err != nil {
				return err
			}
			b, err := grant.Encode()
			if err != nil {
				return fmt.Errorf("write grant: %w", err)
			}
			if out == "" {
				out = filepath.Join(filepath.Dir(args[0]), req.Agency+".grant.json")
			}
			if err := network.WriteFile(out, b, 0o644); err != nil {
				return &network.Hinted{Err: fmt.Errorf("write grant: %w", err), Advice: "the agency is enrolled; run the same command again with --out to write its grant elsewhere"}
			}
			fmt.Fprintf(cmd.OutOrStdout(), "enrolled     %s\ngrant        %s (send it to the agency; it holds no secret)\nnetwork      fingerprint %s, for the agency to compare\n", req.Agency, out, grant.Fingerprint())
			return publishIfReachable(cmd, a)
		},
	}
	f := cmd.Flags()
	f.StringVar(&role, "role", "", "what the agency is: "+strings.Join(schemas.Codes("role"), ", "))
	f.StringVar(&o.Name, "name", "", "the agency's name for others; as in the request if not given")
	f.StringVar(&o.Region, "region", "", "where it works, for others")
	f.StringVar(&o.DutyContact, "duty-contact", "", "whom others telephone when nobody answers")
	f.StringVar(&fingerprint, "fingerprint", "", "fingerprint as the agency read it out; anything else is refused")
	f.BoolVar(&yes, "yes", false, "do not ask: the fingerprint was compared")
	f.StringVar(&out, "out", "", "grant `file`; <id>.grant.json beside the request if not given")
	return cmd
}

// confirm makes sure that a person has compared the fingerprint: by giving it, by saying so, or by answering here.
func confirm(cmd *cobra.Command, actual, given string, yes bool) error {
	if given != "" {
		if normal(given) != normal(actual) {
			return &network.Hinted{Err: errors.New("enrol agency: the fingerprint is not the one that was given"), Advice: "nobody was admitted: the request may have been replaced on its way; ask the agency to read it out again"}
		}
		return nil
	}
	if yes {
		return nil
	}
	in, ok := cmd.InOrStdin().(*os.File)
	if !ok || !isatty.IsTerminal(in.Fd()) {
		return usage(errors.New("enrol agency: nobody to ask whether the fingerprint is right"), "give the fingerprint that the agency read out with --fingerprint, or --yes")
	}
	fmt.Fprint(cmd.OutOrStdout(), "Has the agency read out this fingerprint on a number you know? Type yes: ")
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read answer: %w", err)
	}
	if strings.TrimSpace(answer) != "yes" {
		return errors.New("enrol agency: not confirmed, nobody was admitted")
	}
	return nil
}

// normal ignores what is lost on the telephone: case, spaces and dashes.
func normal(fingerprint string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' || r == ':' {
			return -1
		}
		return r
	}, strings.ToLower(fingerprint))
}

// printable keeps control characters of a received file from rewriting what the administrator sees on the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '?'
		}
		return r
	}, s)
}

func readLimited(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit+1))
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
