package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"waypost/broker/audit"
)

func newAuditReportCommand() *cobra.Command {
	var f auditFlags
	var format, out, at string
	var publish bool
	cmd := &cobra.Command{
		Use: "report", Short: "Say how the network does: backlog, response times, refusals, withdrawals",
		Long: "Counts what agencies signed about their messages, by agency: what waits, how long answers take, what is overdue, what was\n" +
			"refused, what was sent without consent, and which holders have not answered a withdrawal. No message is read.\n" +
			"With --publish it hides counts below 5 so that nobody can work them out: that form may be shown to everybody.",
		Example: "  waypost audit report --dir network\n  waypost audit report --bundle bundle --root root.pub --publish --format html --out report.html",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			formats := []string{audit.FormatText, audit.FormatJSON, audit.FormatCSV, audit.FormatHTML}
			if !slices.Contains(formats, format) {
				return usage(fmt.Errorf("--format: %q is no format", format), "the formats are "+strings.Join(formats, ", "))
			}
			now, err := auditTime("at", at)
			if err != nil {
				return err
			}
			if now.IsZero() {
				now = time.Now()
			}
			src, err := auditSource(cmd, &f)
			if err != nil {
				return err
			}
			defer src.Close()
			r, err := audit.Gather(cmd.Context(), src, src.Root, now)
			if err != nil {
				return err
			}
			if publish {
				r = r.Publish()
			}
			if out == "" {
				return r.Write(cmd.OutOrStdout(), format)
			}
			var b bytes.Buffer
			if err := r.Write(&b, format); err != nil {
				return err
			}
			// Only the published form is for everybody's eyes.
			mode := os.FileMode(0o600)
			if publish {
				mode = 0o644
			}
			if err := replaceFile(out, b.Bytes(), mode); err != nil {
				return fmt.Errorf("write report: %w", err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "wrote %s\n", out)
			return nil
		},
	}
	f.bind(cmd)
	s := cmd.Flags()
	s.StringVar(&format, "format", audit.FormatText, "text, json, csv or html")
	s.StringVar(&out, "out", "", "write to this `file`")
	s.BoolVar(&publish, "publish", false, "hide small numbers")
	s.StringVar(&at, "at", "", "as it stood at this `time` (default: now)")
	return cmd
}

// replaceFile writes a file whole or not at all: whoever reads it meanwhile sees the old one.
func replaceFile(path string, content []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".waypost-*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode), f.Sync())
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
