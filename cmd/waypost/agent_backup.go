package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"waypost/agents"
	"waypost/agents/vault"
)

func newAgentBackupCommand() *cobra.Command {
	var config, out, passphrase, recipientsFile string
	var recipients []string
	cmd := &cobra.Command{
		Use: "backup", Short: "Copy everything an agent is into one sealed file",
		Long: "Keys, grant, configuration, evidence and the whole store, as it stands at one moment; the agent goes on working meanwhile.\n" +
			"What it writes until the backup is done stays in a log beside its store: there must be room for that.\n" +
			"The file is an age file of a tar archive, sealed to a passphrase or to age recipients: those of an identity that is kept\n" +
			"offline are best (`age-keygen -pq`). Whoever opens it can read every message and speak as this agency.\n\n" +
			"Without --passphrase-file and --recipient, the passphrase is asked for.",
		Example: "  waypost agent backup --config agent/agent.yaml --out /backup/agent-2026-03-01.age --recipient age1pq1…",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if out == "" {
				return usage(errors.New("--out is missing"), "the file to write; it must not exist yet")
			}
			to := vault.BackupTo{Recipients: recipients}
			if recipientsFile != "" {
				more, err := readRecipients(recipientsFile)
				if err != nil {
					return err
				}
				to.Recipients = append(to.Recipients, more...)
			}
			if passphrase != "" && len(to.Recipients) > 0 {
				return usage(errors.New("both a passphrase and recipients are given"), "an age file is under a passphrase or sealed to recipients; make two backups for both")
			}
			cfg, err := agents.LoadConfig(config)
			if err != nil {
				return err
			}
			if len(to.Recipients) == 0 {
				if to.Passphrase, err = backupPassphrase(cmd, passphrase, true); err != nil {
					return err
				}
			}
			b, err := agents.MakeBackup(cmd.Context(), cfg, out, to, time.Now)
			if err != nil {
				return err
			}
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintf(t, "agency\t%s\nsent\t%d messages and receipts\nreceived\t%d messages\nsha256\t%s\n", b.Agency, b.Rows["outbox"], b.Rows["inbox"], b.SHA256)
			for _, p := range b.Elsewhere {
				fmt.Fprintf(t, "not in it\t%s\n", p)
			}
			fmt.Fprintf(t, "backup\tcomplete in %s, %s\n", b.File, humanize.IBytes(uint64(max(b.Size, 0))))
			return t.Flush()
		},
	}
	f := cmd.Flags()
	f.StringVar(&config, "config", filepath.Join("agent", "agent.yaml"), "configuration `file`")
	f.StringVar(&out, "out", "", "`file` to write; an existing one is never written over")
	f.StringVar(&passphrase, "passphrase-file", "", "seal it with the passphrase in this `file`")
	f.StringArrayVar(&recipients, "recipient", nil, "seal it to this age `recipient` (age1… or age1pq1…); may be repeated")
	f.StringVar(&recipientsFile, "recipients-file", "", "seal it to the age recipients in this `file`, one a line")
	return cmd
}

func newAgentRestoreCommand() *cobra.Command {
	var dir, passphrase, identity, keysPassphrase, postgres string
	cmd := &cobra.Command{
		Use: "restore FILE", Short: "Make an agent's folder from a backup",
		Long: "The folder must not exist, or be empty, as a new volume is: it appears as a whole or not at all. An interrupted restore is\n" +
			"begun again by the same command. Make sure first that the agent it replaces does not run any more, on any machine: two with\n" +
			"the same keys share the mail between them.\n\n" +
			"The restored agent sends nothing before it has asked the ledger what it sent since the backup. What it received since then\n" +
			"comes again, as long as the broker keeps it, and is routed again under the same ids. Lost is what was accepted after the\n" +
			"backup and not yet published: submit it again.",
		Example: "  waypost agent restore /backup/agent-2026-03-01.age --identity-file offline.txt --dir agent",
		Args:    exactArgs("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o := agents.RestoreOptions{PostgresURL: postgres}
			var err error
			switch {
			case identity != "" && passphrase != "":
				return usage(errors.New("both a passphrase and an identity are given"), "give the one that the backup was sealed with")
			case identity != "":
				if o.From.Identities, err = os.ReadFile(identity); err != nil {
					return fmt.Errorf("read identity: %w", err)
				}
			default:
				if o.From.Passphrase, err = backupPassphrase(cmd, passphrase, false); err != nil {
					return err
				}
			}
			if o.KeysPassphrase, err = readPassphrase(keysPassphrase); err != nil {
				return err
			}
			r, err := agents.RestoreBackup(cmd.Context(), args[0], dir, o)
			if err != nil {
				return err
			}
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			keys := "opened, and this agency's"
			if !r.Opened {
				keys = "under their passphrase, not opened"
			}
			fmt.Fprintf(t, "agency\t%s\nnetwork\t%s\nas of\t%s\nsent\t%d messages and receipts\nreceived\t%d messages\nkeys\t%s\n", r.Agency, clean(r.Network), r.Made.Format(time.RFC3339), r.Rows["outbox"], r.Rows["inbox"], keys)
			for _, p := range r.Moved {
				fmt.Fprintf(t, "look at\t%s\n", p)
			}
			fmt.Fprintf(t, "restored\tin %s\n", dir)
			if err := t.Flush(); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "\nNext: `waypost agent run --config %s`. It sends nothing before the ledger has told it what it sent since the backup.\n", filepath.Join(dir, "agent.yaml"))
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "dir", "agent", "`folder` to make")
	f.StringVar(&passphrase, "passphrase-file", "", "`file` with the passphrase of the backup")
	f.StringVar(&identity, "identity-file", "", "`file` with the age identity that it is sealed to")
	f.StringVar(&postgres, "postgres-url-file", "", "put the store into the empty PostgreSQL database whose URL is in this `file`")
	f.StringVar(&keysPassphrase, "keys-passphrase-file", "", "`file` with the passphrase of the keys in it, to check them now")
	return cmd
}

// backupPassphrase reads a passphrase from a file, or asks for it.
func backupPassphrase(cmd *cobra.Command, path string, twice bool) ([]byte, error) {
	if path != "" {
		return readPassphrase(path)
	}
	in, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) { //nolint:gosec // a file descriptor
		return nil, usage(errors.New("no passphrase and no key is given"), "--passphrase-file, or --recipient for a backup and --identity-file for a restore; a passphrase is asked for only at a terminal")
	}
	pass, err := ask(cmd, in, "Passphrase of the backup: ")
	if err != nil || !twice {
		return pass, err
	}
	if len(pass) < 12 {
		return nil, usage(errors.New("the passphrase is shorter than 12 characters"), "five or six random words are easy to type and hard to guess")
	}
	again, err := ask(cmd, in, "Once more: ")
	if err == nil && string(again) != string(pass) {
		err = usage(errors.New("the two are not the same"), "nothing was written; try again")
	}
	return pass, err
}

func ask(cmd *cobra.Command, in *os.File, prompt string) ([]byte, error) {
	fmt.Fprint(cmd.ErrOrStderr(), prompt)
	pass, err := term.ReadPassword(int(in.Fd())) //nolint:gosec // a file descriptor
	fmt.Fprintln(cmd.ErrOrStderr())
	if err != nil {
		return nil, fmt.Errorf("read passphrase: %w", err)
	}
	return pass, nil
}

func readRecipients(path string) (out []string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read recipients: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(io.LimitReader(f, 1<<20))
	for lines.Scan() {
		if l := strings.TrimSpace(lines.Text()); l != "" && !strings.HasPrefix(l, "#") {
			out = append(out, l)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read recipients: %w", err)
	}
	if len(out) == 0 {
		return nil, usage(errors.New("the recipients file is empty"), "one age recipient a line")
	}
	return out, nil
}
