package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"waypost/broker/audit"
	"waypost/broker/network"
	"waypost/schemas/directory"
	"waypost/schemas/ledger"
)

func newAuditCommand() *cobra.Command {
	return group(&cobra.Command{
		Use: "audit", Short: "Replay and prove who sent what to whom, without reading it",
		Long: "Reads the ledger: of a running broker, with the network's folder (--dir) or an auditor's credentials (--url, --creds,\n" +
			"--root), or of an exported bundle (--bundle, --root), which needs no broker and no network.",
	}, newAuditVerifyCommand(), newAuditReplayCommand(), newAuditReportCommand(), newAuditExportCommand(), newAuditProveCommand(), newAuditOpenCommand(), newAuditRedeliverCommand())
}

// auditFlags say which ledger is meant.
type auditFlags struct{ bundle, root, dir, url, creds, ca string }

func (f *auditFlags) bind(cmd *cobra.Command) {
	s := cmd.Flags()
	s.StringVar(&f.bundle, "bundle", "", "`folder` of an exported bundle, instead of a running broker")
	s.StringVar(&f.root, "root", "", "`file` with the network root's public key (default: directory/root.pub of --dir)")
	s.StringVar(&f.dir, "dir", "network", "the network's `folder`")
	s.StringVar(&f.url, "url", "", "address of the broker (default: the first in the network's folder)")
	s.StringVar(&f.creds, "creds", "", "auditor's credentials `file` (default: keys/auditor.creds of --dir)")
	s.StringVar(&f.ca, "ca", "", "PEM `file` with the broker's CA")
}

// openedAudit is an opened ledger.
type openedAudit struct {
	ledger.Source
	Root   note.Verifier
	Size   int64 // number of records; -1 if it is not known before they are read
	Close  func()
	Follow func(ctx context.Context, from int64) iter.Seq2[ledger.Stored, error] // nil for a bundle
}

func (f *auditFlags) rootKey(cmd *cobra.Command) (note.Verifier, error) {
	path := f.root
	if path == "" {
		if f.bundle != "" && !cmd.Flags().Changed("dir") {
			return nil, usage(errors.New("--root is missing"), "name the file with the network root's public key, root.pub; a bundle does not prove itself")
		}
		path = filepath.Join(f.dir, "directory", "root.pub")
	}
	return readRootKey(path)
}

func readRootKey(path string) (note.Verifier, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, hintedError{fmt.Errorf("read root key: %w", err), "root.pub lies in the network's folder, in directory/; administrators give it out"}
	}
	root, err := directory.ParseRoot(string(text))
	if err != nil {
		return nil, hintedError{fmt.Errorf("read root key %s: %w", path, err), "it is one line that begins waypost-network+"}
	}
	return root, nil
}

// auditSource opens the ledger that the flags name.
func auditSource(cmd *cobra.Command, f *auditFlags) (*openedAudit, error) {
	root, err := f.rootKey(cmd)
	if err != nil {
		return nil, err
	}
	if f.bundle != "" {
		b, err := ledger.OpenBundle(f.bundle)
		if errors.Is(err, ledger.ErrBundle) {
			return nil, hintedError{err, "the bundle was damaged or changed on the way: get it again"}
		}
		if err != nil {
			return nil, err
		}
		return &openedAudit{Source: b, Root: root, Size: -1, Close: func() {}}, nil
	}
	url, ca, creds := f.url, f.ca, f.creds
	if url == "" {
		c, err := network.ReadConfig(f.dir)
		if err != nil {
			return nil, hintedError{err, "name the network's folder with --dir, a broker with --url, --creds and --root, or a bundle with --bundle and --root"}
		}
		url = c.URLs[0]
		if ca == "" && c.CA != "" {
			if ca = c.CA; !filepath.IsAbs(ca) {
				ca = filepath.Join(f.dir, ca)
			}
		}
	}
	if creds == "" {
		creds = filepath.Join(f.dir, "keys", "auditor.creds")
	}
	if _, err := os.Stat(creds); err != nil {
		return nil, hintedError{fmt.Errorf("read credentials: %w", err), "--creds names an auditor's credentials; `waypost network init` makes them in keys/auditor.creds"}
	}
	live, err := audit.Open(cmd.Context(), url, creds, ca)
	if errors.Is(err, audit.ErrUnreachable) {
		return nil, hintedError{err, "is the broker running? a bundle can be read without it: --bundle"}
	}
	if err != nil {
		return nil, err
	}
	return &openedAudit{Source: live, Root: root, Size: live.Size(), Close: live.Close, Follow: live.Follow}, nil
}

// errUnclean: the record is not whole. What was found was printed.
var errUnclean = errors.New("the record is not whole")

func newAuditVerifyCommand() *cobra.Command {
	var f auditFlags
	var quorum int
	var proof string
	cmd := &cobra.Command{
		Use: "verify", Short: "Check that the record is whole and every signature holds",
		Long: "Re-computes the whole tree and checks every signature against the directory as it stood then, checkpoints, cosignatures,\n" +
			"the numbers of every pair of agencies, and receipts against messages. Ends with status 0 if the record is whole.\n" +
			"With --proof it checks one proof file instead.",
		Example: "  waypost audit verify --dir network\n  waypost audit verify --bundle bundle --root root.pub\n  waypost audit verify --proof message.proof --root root.pub",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if proof != "" {
				return verifyProof(cmd, &f, proof, quorum)
			}
			src, err := auditSource(cmd, &f)
			if err != nil {
				return err
			}
			defer src.Close()
			return verifyLedger(cmd, src, quorum)
		},
	}
	f.bind(cmd)
	cmd.Flags().IntVar(&quorum, "quorum", 1, "how many agencies must have cosigned")
	cmd.Flags().StringVar(&proof, "proof", "", "check this proof `file`")
	cmd.Flags().Bool("json", false, "print JSON lines")
	return cmd
}

// shownMost bounds how many findings of one code are printed: the rest are counted.
const shownMost = 100

func verifyLedger(cmd *cobra.Command, src *openedAudit, quorum int) error {
	out := cmd.OutOrStdout()
	asJSON, _ := cmd.Flags().GetBool("json")
	bar := newProgress(cmd.ErrOrStderr(), src.Size, "verifying")
	shown := map[ledger.Code]int{}
	began := time.Now()
	var failed error
	sum, err := ledger.Verify(cmd.Context(), src, ledger.Options{Root: src.Root, Quorum: quorum, Seen: bar.seen, Found: func(f ledger.Finding) {
		if shown[f.Code]++; shown[f.Code] > shownMost && !asJSON {
			return
		}
		bar.clear()
		if asJSON {
			failed = errors.Join(failed, printLine(out, f))
		} else {
			fmt.Fprintln(out, clean(f.Text()))
		}
	}})
	bar.clear()
	if failed != nil {
		return failed
	}
	if err != nil {
		var damaged *ledger.Error
		if errors.As(err, &damaged) {
			return hintedError{err, "the bundle was damaged or changed: get it again"}
		}
		return err
	}
	if asJSON {
		if err := printLine(out, struct {
			Clean bool `json:"clean"`
			*ledger.Summary
		}{sum.Clean(), sum}); err != nil {
			return err
		}
	} else {
		printSummary(out, sum, shown, time.Since(began))
	}
	if !sum.Clean() {
		return errUnclean
	}
	return nil
}

func verifyProof(cmd *cobra.Command, f *auditFlags, path string, quorum int) error {
	root, err := f.rootKey(cmd)
	if err != nil {
		return err
	}
	raw, err := readLimited(path, ledger.MaxProof)
	if err != nil {
		return err
	}
	p, err := ledger.ParseProof(raw)
	if err != nil {
		return hintedError{fmt.Errorf("read proof: %w", err), "`waypost audit prove` makes such files; it was damaged or is something else"}
	}
	ev, err := p.Check(root, quorum)
	if err != nil {
		return hintedError{fmt.Errorf("the proof does not hold: %w", err), proofHint(err)}
	}
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		return printLine(cmd.OutOrStdout(), evidenceOf(ev))
	}
	printEvidence(cmd.OutOrStdout(), ev)
	return nil
}

func proofHint(err error) string {
	var e *ledger.Error
	if errors.As(err, &e) && e.Code == ledger.CodeUnwitnessed {
		return "fewer agencies than --quorum cosigned its checkpoint"
	}
	return "is --root the public key of this network? otherwise the file was changed"
}

func newAuditExportCommand() *cobra.Command {
	var f auditFlags
	var out string
	cmd := &cobra.Command{
		Use: "export", Short: "Write everything needed to verify offline into a folder",
		Example: "  waypost audit export --dir network --out bundle",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if out == "" {
				return usage(errors.New("--out is missing"), "name the new folder for the bundle")
			}
			src, err := auditSource(cmd, &f)
			if err != nil {
				return err
			}
			defer src.Close()
			bar := newProgress(cmd.ErrOrStderr(), src.Size, "exporting")
			err = ledger.WriteBundle(cmd.Context(), src, out, bar.seen)
			bar.clear()
			if errors.Is(err, os.ErrExist) {
				return hintedError{err, "choose a folder that is not there yet; a bundle is never overwritten"}
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "bundle written to %s\nCheck it anywhere with: waypost audit verify --bundle %s --root root.pub\n", out, out)
			return nil
		},
	}
	f.bind(cmd)
	cmd.Flags().StringVar(&out, "out", "", "new `folder`")
	return cmd
}

func newAuditProveCommand() *cobra.Command {
	var f auditFlags
	var message, out string
	cmd := &cobra.Command{
		Use: "prove", Short: "Write a proof file for one message",
		Long:    "The file proves that a message was sent, by whom, to whom and when, and that it stands in the ledger. It does not show what\nthe message says: for that, an agency discloses it (`waypost agent disclose`).",
		Example: "  waypost audit prove --dir network --message 0190… --out message.proof\n  waypost audit verify --proof message.proof --root root.pub",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if message == "" || out == "" {
				return usage(errors.New("--message and --out are needed"), "the message's id, and the new file for its proof")
			}
			src, err := auditSource(cmd, &f)
			if err != nil {
				return err
			}
			defer src.Close()
			p, err := ledger.Prove(cmd.Context(), src, src.Root, message)
			if errors.Is(err, ledger.ErrNotRecorded) {
				return hintedError{errors.New("no message of this id is in the ledger"), "`waypost audit replay` lists messages; a new one is recorded within seconds"}
			}
			if err != nil {
				return fmt.Errorf("prove message: %w", err)
			}
			raw, err := ledger.EncodeProof(p)
			if err != nil {
				return err
			}
			if err := writeNew(out, raw); err != nil {
				return err
			}
			ev, err := p.Check(src.Root, 0)
			if err != nil {
				return err
			}
			printEvidence(cmd.OutOrStdout(), ev)
			fmt.Fprintf(cmd.OutOrStdout(), "written to %s\n", out)
			return nil
		},
	}
	f.bind(cmd)
	cmd.Flags().StringVar(&message, "message", "", "`id` of the message")
	cmd.Flags().StringVar(&out, "out", "", "new `file`")
	return cmd
}

func newAuditRedeliverCommand() *cobra.Command {
	var dir, to, since, url string
	cmd := &cobra.Command{
		Use: "redeliver", Short: "Ask an agency to route again what it received since a time",
		Long:    "The request is signed with the network's root key and recorded in the ledger. The agency's policy may refuse it; its answer\nis recorded too.",
		Example: "  waypost audit redeliver --dir network --to harbour-ngo --since 2026-03-01T00:00:00Z",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			at, err := parseSince(since, time.Now())
			if err != nil {
				return err
			}
			if to == "" {
				return usage(errors.New("--to is missing"), "the agency that shall route again")
			}
			a, err := network.Open(dir)
			if err != nil {
				return err
			}
			if url == "" {
				url = a.Config().URLs[0]
			}
			id, err := a.AskRedelivery(cmd.Context(), url, to, at)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "request %s recorded; %s is asked to route again what it received since %s\n", id, to, at.UTC().Format(time.RFC3339))
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "dir", "network", "the network's `folder`")
	f.StringVar(&to, "to", "", "`agency`")
	f.StringVar(&since, "since", "", "time (2026-03-01T00:00:00Z) or how long ago (36h)")
	f.StringVar(&url, "url", "", "address of the broker (default: the first in the network's folder)")
	return cmd
}

// parseSince reads a time or how long ago.
func parseSince(s string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usage(errors.New("--since cannot be read"), "a time like 2026-03-01T00:00:00Z or a date (both UTC), or how long ago, like 36h")
}
