package main

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"waypost/broker"
	"waypost/schemas"
)

func newBrokerCommand() *cobra.Command {
	return group(&cobra.Command{Use: "broker", Short: "The middle: store and forward what it cannot read"}, newBrokerRunCommand(), newBrokerStatusCommand(), newBrokerBackupCommand(), newBrokerRestoreCommand())
}

func newBrokerRunCommand() *cobra.Command {
	var (
		config, level                              string
		listen, data, bundle, cert, key, websocket string
		natsURL, creds, ca                         string
		asJSON, restore                            bool
	)
	cmd := &cobra.Command{
		Use: "run", Short: "Run a broker, or provision an existing NATS and keep its consumers in step",
		Long: "A flag overrides the file, and the file's values can be overridden by " + broker.EnvPrefix + "* variables, for example\n" +
			broker.EnvPrefix + "LISTEN. Beyond loopback the broker listens with TLS only.",
		Example: "  waypost broker run --config broker.yaml\n  waypost broker run --bundle network/broker --data data\n  waypost broker run --nats tls://nats.example:4222 --creds network/broker/broker.creds --bundle network/broker",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := logger(cmd.ErrOrStderr(), level, asJSON)
			if err != nil {
				return err
			}
			set := map[string]*string{"listen": &listen, "data": &data, "bundle": &bundle, "tls-cert": &cert, "tls-key": &key, "websocket": &websocket, "nats": &natsURL, "creds": &creds, "ca": &ca}
			cfg, err := broker.LoadConfigWith(config, environment(cmd.Context()), func(c *broker.Config) {
				to := map[string]*string{"listen": &c.Listen, "data": &c.Data, "bundle": &c.Bundle, "tls-cert": &c.TLS.Cert, "tls-key": &c.TLS.Key, "websocket": &c.WebSocket.Listen, "nats": &c.External.NATS, "creds": &c.External.Creds, "ca": &c.External.CA}
				for name, value := range set {
					if cmd.Flags().Changed(name) {
						*to[name] = *value
					}
				}
			})
			if err != nil {
				return err
			}
			options := []broker.Option{broker.WithLogger(log)}
			if restore {
				options = append(options, broker.WithRestore())
			}
			b, err := broker.New(cfg, options...)
			if err != nil {
				return err
			}
			spareProcessors()
			defer beside(cmd.Context(), newSlim())()
			done := make(chan error, 1)
			go func() { done <- b.Run(cmd.Context()) }()
			select {
			case err := <-done:
				return err
			case <-b.Ready():
			}
			announce(cmd.OutOrStdout(), b, cfg)
			return <-done
		},
	}
	f := cmd.Flags()
	f.StringVar(&config, "config", "", "configuration `file`")
	f.StringVar(&listen, "listen", "", "host:port for agencies")
	f.StringVar(&data, "data", "", "`folder` of the streams")
	f.StringVar(&bundle, "bundle", "", "the network authority's broker/ `folder`, or a copy of it")
	f.StringVar(&cert, "tls-cert", "", "PEM `file` with the certificate")
	f.StringVar(&key, "tls-key", "", "PEM `file` with its key")
	f.StringVar(&websocket, "websocket", "", "host:port of a WebSocket listener")
	f.StringVar(&natsURL, "nats", "", "provision this NATS instead of starting one")
	f.StringVar(&creds, "creds", "", "credentials `file` for --nats")
	f.StringVar(&ca, "ca", "", "PEM `file` with the CA of --nats")
	f.BoolVar(&restore, "restore", false, "without streams, wait for \"waypost broker restore\" instead of making empty ones")
	f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	f.BoolVar(&asJSON, "log-json", false, "log JSON lines")
	return cmd
}

func announce(w io.Writer, b *broker.Broker, cfg *broker.Config) {
	fmt.Fprintf(w, "broker ready  %s\n", b.URL())
	if ws := b.WebSocketURL(); ws != "" {
		fmt.Fprintf(w, "websocket     %s\n", ws)
	}
	if url := b.HealthURL(); url != "" {
		fmt.Fprintf(w, "health        %s\n", url)
	}
	for _, l := range schemas.Lanes() {
		fmt.Fprintf(w, "stream        %-13s up to %s, %d messages per pair\n", broker.Stream(l), cfg.Quotas.StreamBytes, cfg.Quotas.PerPair)
	}
	fmt.Fprintf(w, "directory     KV %s\n", broker.Bucket)
	fmt.Fprintf(w, "ledger        up to %s, signed every %s; ciphertext goes %s after its receipt, anything after %s\n", cfg.Quotas.LedgerBytes, cfg.Ledger.Interval, cfg.Retention.AfterReceipt, cfg.Retention.MaxAge)
}

// logger logs to w; ids and codes only, by the rules of every package.
func logger(w io.Writer, level string, asJSON bool) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, usage(fmt.Errorf("--log-level is unknown"), "debug, info, warn or error")
	}
	o := &slog.HandlerOptions{Level: l}
	if asJSON {
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return slog.New(slog.NewTextHandler(w, o)), nil
}
