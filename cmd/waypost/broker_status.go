package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"waypost/broker"
	"waypost/schemas"
)

func newBrokerStatusCommand() *cobra.Command {
	var r runningBroker
	var asJSON bool
	cmd := &cobra.Command{
		Use: "status", Short: "Show nodes, streams, ledger, directory, and what waits for whom",
		Long: "Asks a running broker, or a cluster through any node that is up. It needs the broker's bundle. The exit status is 1 when\n" +
			"something is wrong; what it is stands at the end.",
		Example: "  waypost broker status --config broker.yaml\n  waypost broker status --bundle network/broker --url tls://broker.example:4222",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, b, err := r.load(cmd.Context())
			if err != nil {
				return err
			}
			asking, closing, err := broker.Connect(r.url, r.ca, b)
			if err != nil {
				return hintedError{err, brokerThere}
			}
			defer closing()
			ctx, cancel := context.WithTimeout(cmd.Context(), 30*time.Second)
			defer cancel()
			st, err := asking.ReadStatus(ctx)
			if err != nil {
				return err
			}
			if asJSON {
				err = json.MarshalWrite(cmd.OutOrStdout(), st, jsontext.WithIndent("  "), json.Deterministic(true), json.FormatNilSliceAsNull(false))
				fmt.Fprintln(cmd.OutOrStdout())
			} else {
				err = printBrokerStatus(cmd.OutOrStdout(), st)
			}
			if err == nil && len(st.Problems) > 0 {
				err = fmt.Errorf("%d problems, see above", len(st.Problems))
			}
			return err
		},
	}
	r.bind(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// localURL is how a broker with this configuration is reached from its own machine.
func localURL(cfg *broker.Config) string {
	host, port, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return cfg.Listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme := "nats://"
	if cfg.TLS.Cert != "" {
		scheme = "tls://"
	}
	return scheme + net.JoinHostPort(host, port)
}

func printBrokerStatus(w io.Writer, st *broker.Status) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NODE\tSTATE\tVERSION\tUP\tMEMORY\tDISK\tCONNECTIONS\tSYNC\tLAG")
	for _, n := range st.Nodes {
		state, sync := "up", "always"
		switch {
		case !n.Up:
			state = "DOWN"
		case n.Leads:
			state = "leads"
		}
		if !n.SyncAlways {
			sync = "LATER"
		}
		if !n.Up {
			fmt.Fprintf(t, "%s\t%s\t\t\t\t\t\t\t%d\n", n.Name, state, n.Lag)
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t%d\n", n.Name, state, n.Version, n.Uptime.Round(time.Second), humanize.IBytes(uint64(max(n.Memory, 0))), humanize.IBytes(n.Disk), n.Connections, sync, n.Lag)
	}
	fmt.Fprintln(t, "\nSTREAM\tMESSAGES\tSIZE\tOF\tLEADER\tCOPIES")
	for _, s := range st.Streams {
		var copies []string
		for _, r := range s.Replicas {
			switch {
			case r.Offline:
				copies = append(copies, r.Node+" OFFLINE")
			case !r.Current:
				copies = append(copies, fmt.Sprintf("%s %d behind", r.Node, r.Lag))
			default:
				copies = append(copies, r.Node)
			}
		}
		leader := s.Leader
		if leader == "" && len(s.Replicas) > 0 {
			leader = "NONE"
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\n", s.Name, s.Messages, humanize.IBytes(s.Bytes), humanize.IBytes(uint64(max(s.MaxBytes, 0))), leader, strings.Join(copies, ", "))
	}
	fmt.Fprintln(t)
	if l := st.Ledger; l != nil {
		fmt.Fprintf(t, "ledger\t%d records, %d signed, %d to be recorded\n", l.Height, l.Signed, l.Behind)
	}
	if d := st.Directory; d != nil {
		fmt.Fprintf(t, "directory\tversion %d, until %s\n", d.Version, d.Expires.Format(time.RFC3339))
	}
	fmt.Fprintln(t, "\nAGENCY\tSTATE\tCONNECTED\tWAITING urgent\troutine\treceipts")
	for _, a := range st.Agencies {
		state := "active"
		if a.Suspended {
			state = "suspended"
		}
		connected := "yes"
		if a.Connections == 0 {
			connected = "no"
		}
		waiting := func(l schemas.Lane) uint64 { return a.Waiting[l] + uint64(max(a.Unsettled[l], 0)) }
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%d\n", a.ID, state, connected, waiting(schemas.LaneUrgent), waiting(schemas.LaneRoutine), waiting(schemas.LaneReceipt))
	}
	if len(st.Problems) > 0 {
		fmt.Fprintln(t)
		for _, p := range st.Problems {
			fmt.Fprintf(t, "PROBLEM\t%s\n", p)
		}
	}
	return t.Flush()
}
