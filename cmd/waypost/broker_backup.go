package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"waypost/broker"
	"waypost/broker/network"
)

// transferLimit bounds a backup or a restore of everything a broker may hold.
const transferLimit = 12 * time.Hour

// runningBroker says which broker a command speaks to.
type runningBroker struct{ config, bundle, url, ca string }

func (r *runningBroker) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&r.config, "config", "", "the broker's configuration `file`")
	f.StringVar(&r.bundle, "bundle", "", "the network authority's broker/ `folder`, or a copy of it")
	f.StringVar(&r.url, "url", "", "address of a node (default: this machine's, as in the configuration)")
	f.StringVar(&r.ca, "ca", "", "PEM `file` with the broker's CA")
}

// load fills in what flags leave open.
func (r *runningBroker) load(ctx context.Context) (*broker.Config, *network.Bundle, error) {
	cfg, err := broker.LoadConfigWith(r.config, environment(ctx), func(c *broker.Config) {
		if r.bundle != "" {
			c.Bundle = r.bundle
		}
	})
	if err != nil {
		return nil, nil, err
	}
	if r.url == "" {
		r.url = cfg.External.NATS
	}
	if r.url == "" {
		r.url = localURL(cfg)
	}
	if r.ca == "" {
		r.ca = cfg.External.CA
	}
	b, err := network.ReadBundle(cfg.Bundle)
	return cfg, b, err
}

const brokerThere = "is the broker running there? name another node with --url"

func newBrokerBackupCommand() *cobra.Command {
	var r runningBroker
	cmd := &cobra.Command{
		Use: "backup DIR", Short: "Copy everything a running broker holds into an empty folder",
		Long: "Copies all streams, with what each agency has collected, while messages go on. The files hold sealed messages, and in the\n" +
			"open who wrote to whom and when: keep them as you keep the broker's disk. The bundle is not in it; the network's folder has it.\n" +
			"A folder without manifest.json is a backup that was interrupted.",
		Example: "  waypost broker backup --config broker.yaml /backup/2026-03-01",
		Args:    exactArgs("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, bundle, err := r.load(cmd.Context())
			if err != nil {
				return err
			}
			asking, closing, err := broker.Connect(r.url, r.ca, bundle)
			if err != nil {
				return hintedError{err, brokerThere}
			}
			defer closing()
			ctx, cancel := context.WithTimeout(cmd.Context(), transferLimit)
			defer cancel()
			m, err := broker.Backup(ctx, asking.Conn, bundle, args[0])
			if err != nil {
				return err
			}
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, s := range m.Streams {
				messages, _ := s.Counts()
				fmt.Fprintf(t, "%s\t%d messages\t%s\n", s.Name, messages, humanize.IBytes(uint64(max(s.Size, 0))))
			}
			fmt.Fprintf(t, "backup\tcomplete in %s\n", args[0])
			return t.Flush()
		},
	}
	r.bind(cmd)
	return cmd
}

func newBrokerRestoreCommand() *cobra.Command {
	var r runningBroker
	var creds string
	var check bool
	cmd := &cobra.Command{
		Use: "restore DIR", Short: "Make the streams of an empty, running broker from a backup",
		Long: "Start the broker on an empty data folder with `waypost broker run --restore`: it then waits, and agents keep what they have.\n" +
			"A broker that was started as always is restored too, as long as no agent has reached it. It needs the network's folder, or\n" +
			"keys/restorer.creds of it: the broker's own credentials may not replace a ledger.\n\n" +
			"What was stored after the backup is gone from the broker. Agents publish again what was not receipted. They raise an alarm\n" +
			"about the ledger, which has become shorter, until the administrators sign that this was a restore; the command says how.",
		Example: "  waypost broker restore --config broker.yaml --creds network/keys/restorer.creds /backup/2026-03-01",
		Args:    exactArgs("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if check {
				m, err := broker.VerifyBackup(args[0])
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "backup of %q from %s is complete and as it was written\n", m.Network, m.Made.Format(time.RFC3339))
				return nil
			}
			cfg, bundle, err := r.load(cmd.Context())
			if err != nil {
				return err
			}
			if creds == "" {
				// Where the bundle is still inside the network's folder.
				creds = filepath.Join(filepath.Dir(cfg.Bundle), "keys", "restorer.creds")
			}
			nc, err := broker.ConnectRestorer(r.url, r.ca, creds)
			if err != nil {
				return hintedError{err, "--creds names keys/restorer.creds of the network's folder; and " + brokerThere}
			}
			defer nc.Close()
			ctx, cancel := context.WithTimeout(cmd.Context(), transferLimit)
			defer cancel()
			done, err := broker.Restore(ctx, nc, args[0], bundle.Root, cfg.Copies())
			if err != nil {
				return err
			}
			if done == nil {
				return errors.New("restore: no answer")
			}
			fmt.Fprintf(cmd.OutOrStdout(), "restored      what was there on %s\nledger        %d records\nroot          %s\n\n"+
				"Next: `waypost network publish`, which brings directory and accounts up to date, then\n"+
				"`waypost network restored --records %d --root %s --lost SIZE`\nwith the largest size of a checkpoint that an agency holds (`waypost agent ledger`).\n",
				done.Manifest.Made.Format(time.RFC3339), done.Records, done.Root, done.Records, done.Root)
			return nil
		},
	}
	r.bind(cmd)
	cmd.Flags().StringVar(&creds, "creds", "", "the restorer's credentials `file` (default: keys/restorer.creds beside the bundle)")
	cmd.Flags().BoolVar(&check, "check", false, "only say whether the backup is complete and undamaged; no broker is needed")
	return cmd
}
