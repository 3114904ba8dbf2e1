package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"waypost/agents"
	"waypost/agents/api"
)

func newAgentCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "One agency's agent: join a network, run, send, read, answer",
		Long: "`init`, `join` and `run` work on the agent's own folder. The others speak to a running agent's HTTP API:\n" +
			"--api or WAYPOST_API says where, --token-file or WAYPOST_TOKEN with which token (`waypost agent token add`).",
	}
	f := cmd.PersistentFlags()
	f.String("api", "", "address of the agent's API (default http://127.0.0.1:8420, or WAYPOST_API)")
	f.String("token-file", "", "`file` with a bearer token (or WAYPOST_TOKEN)")
	f.Bool("json", false, "print JSON")
	return group(cmd, newAgentInitCommand(), newAgentJoinCommand(), newAgentRunCommand(), newAgentTokenCommand(), newAgentBackupCommand(), newAgentRestoreCommand(),
		newAgentSendCommand(), newAgentRespondCommand(), newAgentInboxCommand(), newAgentOutboxCommand(), newAgentShowCommand(),
		newAgentThreadCommand(), newAgentQuarantineCommand(), newAgentDirectoryCommand(), newAgentStatusCommand(), newAgentRetryCommand(), newAgentConsentCommand(), newAgentPlacesCommand(),
		newAgentExportCommand(), newAgentImportCommand(),
		newAgentEraseCommand(), newAgentDiscloseCommand(), newAgentRedriveCommand(), newAgentRedeliveryCommand(), newAgentLedgerCommand())
}

func newAgentInitCommand() *cobra.Command {
	var o agents.InitOptions
	var dir, passphrase string
	cmd := &cobra.Command{
		Use: "init", Short: "Make this agency's keys and an enrolment request",
		Long:    "The private keys are made here and never leave this folder. Send the request to the network's administrators and read the\nfingerprint to them over the telephone, so that nobody can swap the request on the way.",
		Example: "  waypost agent init --agency harbour-ngo --name \"Harbour NGO\" --dir agent",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Agency == "" {
				return usage(errors.New("--agency is missing"), "the agency's id in the network: small letters, digits and hyphens, like harbour-ngo")
			}
			pass, err := readPassphrase(passphrase)
			if err != nil {
				return err
			}
			o.Passphrase = pass
			made, err := agents.Init(dir, o)
			if err != nil {
				return err
			}
			if passphrase != "" {
				if err := notePassphrase(made.ConfigFile, passphrase); err != nil {
					return err
				}
			}
			fmt.Fprintf(cmd.OutOrStdout(), "agency       %s\nkeys         %s (private: keep a copy in a safe place)\nrequest      %s\nfingerprint  %s\n\nNext: send the request to the network's administrators, read the fingerprint to them over the telephone,\nthen run `waypost agent join GRANT --dir %s` with what they send back.\n",
				o.Agency, filepath.Join(dir, "keys"), made.RequestFile, made.Fingerprint, dir)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Agency, "agency", "", "id of the agency in the network")
	f.StringVar(&o.Name, "name", "", "name of the agency, for people")
	f.StringVar(&dir, "dir", "agent", "`folder` of the agent")
	f.StringVar(&passphrase, "passphrase-file", "", "protect the keys with the passphrase in this `file`")
	return cmd
}

func newAgentJoinCommand() *cobra.Command {
	var dir, passphrase string
	cmd := &cobra.Command{
		Use: "join GRANT", Short: "Take up the grant that the network's administrators sent",
		Args: exactArgs("GRANT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := os.ReadFile(args[0])
			if err != nil {
				return fmt.Errorf("read grant: %w", err)
			}
			pass, err := readPassphrase(passphrase)
			if err != nil {
				return err
			}
			j, err := agents.Join(dir, text, pass)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s has joined the network %q.\nroot key fingerprint  %s\n(Compare it with the administrators over the telephone: a grant is as good as the way it came.)\n\nNext: look at %s, then run `waypost agent run --config %s`.\n",
				j.Agency, j.Network, j.Fingerprint, filepath.Join(dir, "agent.yaml"), filepath.Join(dir, "agent.yaml"))
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "agent", "`folder` of the agent")
	cmd.Flags().StringVar(&passphrase, "passphrase-file", "", "`file` with the passphrase of the keys")
	return cmd
}

func newAgentRunCommand() *cobra.Command {
	var config, level string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "run", Short: "Run the agent until Ctrl-C", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := logger(cmd.ErrOrStderr(), level, asJSON)
			if err != nil {
				return err
			}
			cfg, err := agents.LoadConfig(config)
			if err != nil {
				return err
			}
			a, err := agents.New(cfg, log, nil)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "agent of %s  API %s\n", cfg.Agency, a.URL())
			if url := a.HealthURL(); url != "" {
				fmt.Fprintf(cmd.OutOrStdout(), "health        %s\n", url)
			}
			spareProcessors()
			defer beside(cmd.Context(), newSlim())()
			return a.Run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&config, "config", filepath.Join("agent", "agent.yaml"), "configuration `file`")
	f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	f.BoolVar(&asJSON, "log-json", false, "log JSON lines")
	return cmd
}

func readPassphrase(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read passphrase: %w", err)
	}
	pass := strings.TrimRight(string(text), "\r\n")
	if len(pass) < 12 {
		return nil, usage(errors.New("the passphrase is shorter than 12 characters"), "five or six random words are easy to type and hard to guess")
	}
	return []byte(pass), nil
}

// notePassphrase puts the passphrase file's path, never the passphrase, into a config that has none.
func notePassphrase(config, path string) error {
	abs, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("resolve passphrase file: %w", err)
	}
	text, err := os.ReadFile(config)
	if err != nil || strings.Contains(string(text), "passphrase_file:") {
		return err
	}
	return os.WriteFile(config, fmt.Appendf(text, "passphrase_file: %q\n", abs), 0o600)
}

// client makes an API client from flags and environment.
func client(cmd *cobra.Command) (*api.Client, error) {
	env := environment(cmd.Context())
	base, _ := cmd.Flags().GetString("api")
	if base == "" {
		base = env["WAYPOST_API"]
	}
	if base == "" {
		base = "http://127.0.0.1:8420"
	}
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	token := env["WAYPOST_TOKEN"]
	if path, _ := cmd.Flags().GetString("token-file"); path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read token: %w", err)
		}
		token = strings.TrimSpace(string(text))
	}
	if token == "" {
		return nil, usage(errors.New("no token given"), "set WAYPOST_TOKEN or --token-file; `waypost agent token add NAME --scope read` makes one")
	}
	return api.NewClient(base, token), nil
}

// explain gives API errors their next step.
func explain(w io.Writer, err error) error {
	var p *api.Problem
	switch {
	case errors.As(err, &p):
		lines := p.Lines()
		for _, l := range lines[1:] {
			fmt.Fprintln(w, clean(l))
		}
		return hintedError{errors.New(clean(lines[0])), clean(p.Hint)}
	case errors.Is(err, api.ErrUnreachable):
		return hintedError{err, "is `waypost agent run` running? --api or WAYPOST_API says where"}
	}
	return err
}

type hintedError struct {
	error
	hint string
}

func (e hintedError) Hint() string  { return e.hint }
func (e hintedError) Unwrap() error { return e.error }
