package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"waypost/broker/network"
)

func newNetworkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "network",
		Short: "The membership authority: admit agencies, sign agreements and the directory",
		Long: "The network authority holds the root key. Its folder can live on an offline machine: changes are prepared there\n" +
			"and sent with `waypost network publish` when the broker can be reached; where it can be, every change publishes itself.",
	}
	cmd.PersistentFlags().String("dir", "network", "folder of the network authority")
	return group(cmd, newNetworkInitCommand(), newNetworkEnrolCommand(), newNetworkAgreementCommand(), newNetworkListCommand(), newNetworkRestoredCommand(),
		newNetworkStateCommand("suspend", "Close an agency's access, also its live connections", (*network.Authority).Suspend),
		newNetworkStateCommand("restore", "Readmit a suspended agency; it needs no new grant", (*network.Authority).Restore),
		newNetworkSignCommand(), newNetworkPublishCommand())
}

func newNetworkInitCommand() *cobra.Command {
	var o network.Options
	cmd := &cobra.Command{
		Use: "init", Short: "Make a new network: its root key, NATS operator and accounts, and an empty directory",
		Example: "  waypost network init --name \"County network\" --url tls://broker.example:4222 --dir network",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, _ := cmd.Flags().GetString("dir")
			a, err := network.Init(dir, o)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "network      %s\nfolder       %s (keys/ holds private keys: keep a copy offline)\nroot key     %s\nfingerprint  %s\nbroker       start it with bundle: %s\n",
				o.Name, dir, a.RootKey(), a.Fingerprint(), a.BrokerBundle())
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Name, "name", "", "name of the network, for people")
	f.StringArrayVar(&o.URLs, "url", nil, "address of the broker for agencies, tls://host:port; may be repeated")
	f.StringVar(&o.CA, "ca", "", "PEM `file` with the broker's CA, for grants, if agencies' systems do not trust it already")
	f.DurationVar(&o.HeadTTL, "head-ttl", network.DefaultHeadTTL, "how long a signed directory is valid")
	return cmd
}

func newNetworkStateCommand(verb, short string, do func(*network.Authority, string) error) *cobra.Command {
	return &cobra.Command{
		Use: verb + " ID", Short: short, Args: exactArgs("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := openNetwork(cmd)
			if err != nil {
				return err
			}
			if err := do(a, args[0]); err != nil {
				return err
			}
			agency, _ := a.View().Agency(args[0])
			fmt.Fprintf(cmd.OutOrStdout(), "%s is %s\n", args[0], agency.State)
			return publishIfReachable(cmd, a)
		},
	}
}

func newNetworkSignCommand() *cobra.Command {
	var ttl time.Duration
	cmd := &cobra.Command{
		Use: "sign", Short: "Sign the directory again, so that it does not expire", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := openNetwork(cmd)
			if err != nil {
				return err
			}
			if err := a.Renew(ttl); err != nil {
				return err
			}
			h := a.View().Head()
			fmt.Fprintf(cmd.OutOrStdout(), "directory version %d, valid until %s\n", h.Version, h.Expires.Format(time.RFC3339))
			return publishIfReachable(cmd, a)
		},
	}
	cmd.Flags().DurationVar(&ttl, "ttl", 0, "how long it is valid; as network.yaml says if not given")
	return cmd
}

func newNetworkPublishCommand() *cobra.Command {
	var url string
	cmd := &cobra.Command{
		Use: "publish", Short: "Send what was prepared to the broker", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := openNetwork(cmd)
			if err != nil {
				return err
			}
			if url == "" {
				url = a.Config().URLs[0]
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), 30*time.Second)
			defer cancel()
			err = a.Publish(ctx, url)
			if errors.Is(err, network.ErrUnreachable) {
				return &network.Hinted{Err: fmt.Errorf("publish: no broker answers at %s", url), Advice: "start the broker, or name another address with --url"}
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "published directory version %d to %s\n", a.View().Head().Version, url)
			return nil
		},
	}
	cmd.Flags().StringVar(&url, "url", "", "broker's address; the first one of network.yaml if not given")
	return cmd
}

func openNetwork(cmd *cobra.Command) (*network.Authority, error) {
	dir, err := cmd.Flags().GetString("dir")
	if err != nil {
		return nil, err
	}
	return network.Open(dir)
}

// publishIfReachable ends every change. That nothing answers is no failure: the change is made, and kept.
func publishIfReachable(cmd *cobra.Command, a *network.Authority) error {
	published, err := a.PublishIfReachable(cmd.Context())
	if err != nil {
		return fmt.Errorf("the change is signed and kept, but not published: %w", err)
	}
	if published {
		fmt.Fprintf(cmd.ErrOrStderr(), "published directory version %d\n", a.View().Head().Version)
	} else {
		fmt.Fprintln(cmd.ErrOrStderr(), "prepared offline; run waypost network publish")
	}
	return nil
}

// printJSON writes one indented JSON document.
func printJSON(w io.Writer, v any) error {
	b, err := json.Marshal(v, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	_, err = fmt.Fprintln(w, string(b))
	return err
}

// table writes aligned columns; the first row is the heading.
func table(w io.Writer, rows [][]string) {
	var width []int
	for _, r := range rows {
		for i, c := range r {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], len([]rune(c)))
		}
	}
	for _, r := range rows {
		var line strings.Builder
		for i, c := range r {
			line.WriteString(c)
			if i < len(r)-1 {
				line.WriteString(strings.Repeat(" ", width[i]-len([]rune(c))+2))
			}
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}
