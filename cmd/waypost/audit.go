package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"waypost/schemas/ledger"
)

func newAuditCommand() *cobra.Command {
	return group(&cobra.Command{Use: "audit", Short: "Replay and prove who sent what to whom, without reading it"},
		newAuditReplayCommand(), newAuditReportCommand())
}

// auditFlags say which ledger is meant.
type auditFlags struct{ bundle, root string }

func (f *auditFlags) bind(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.bundle, "bundle", "", "`folder` of an exported bundle")
	cmd.Flags().StringVar(&f.root, "root", "", "`file` with the network root's public key")
}

// openedAudit is an opened ledger.
type openedAudit struct {
	ledger.Source
	Root   note.Verifier
	Close  func()
	Follow func(ctx context.Context, from int64) iter.Seq2[ledger.Stored, error] // nil for a bundle
}

// auditSource opens the ledger that the flags name.
func auditSource(_ *cobra.Command, f *auditFlags) (*openedAudit, error) {
	if f.bundle == "" || f.root == "" {
		return nil, usage(errors.New("--bundle and --root are needed"), "name the bundle's folder and the file with the root's public key")
	}
	text, err := os.ReadFile(f.root)
	if err != nil {
		return nil, fmt.Errorf("read root key: %w", err)
	}
	root, err := note.NewVerifier(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("read root key: %w", err)
	}
	b, err := ledger.OpenBundle(f.bundle)
	if err != nil {
		return nil, err
	}
	return &openedAudit{Source: b, Root: root, Close: func() {}}, nil
}
