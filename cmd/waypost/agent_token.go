package main

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"waypost/agents"
	"waypost/agents/api"
	"waypost/agents/store"
)

func newAgentTokenCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Make and revoke tokens for the agent's HTTP API"}
	cmd.PersistentFlags().String("config", filepath.Join("agent", "agent.yaml"), "configuration `file` of the agent")
	return group(cmd, newTokenAddCommand(), newTokenListCommand(), newTokenRemoveCommand())
}

// withStore opens the agent's store beside a running agent.
func withStore(cmd *cobra.Command, do func(*store.Store) error) error {
	path, _ := cmd.Flags().GetString("config")
	cfg, err := agents.LoadConfig(path)
	if err != nil {
		return err
	}
	st, err := agents.OpenStore(cfg)
	if err != nil {
		return err
	}
	defer st.Close()
	return do(st)
}

func newTokenAddCommand() *cobra.Command {
	var scopes []string
	cmd := &cobra.Command{
		Use: "add NAME --scope SCOPE…", Short: "Make a token; it is shown once and kept only as a hash",
		Example: "  waypost agent token add liaison-system --scope send,read",
		Args:    exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(scopes) == 0 {
				return usage(errors.New("--scope is missing"), "one or more of "+strings.Join(api.Scopes(), ", "))
			}
			for _, s := range scopes {
				if !slices.Contains(api.Scopes(), s) {
					return usage(fmt.Errorf("there is no scope %q", s), "one or more of "+strings.Join(api.Scopes(), ", "))
				}
			}
			b := make([]byte, 32)
			if _, err := rand.Read(b); err != nil {
				return fmt.Errorf("make token: %w", err)
			}
			secret := "wpt_" + base64.RawURLEncoding.EncodeToString(b)
			return withStore(cmd, func(st *store.Store) error {
				err := st.Update(cmd.Context(), func(tx *store.Tx) error { return tx.AddToken(args[0], secret, scopes, time.Now()) })
				if errors.Is(err, store.ErrExists) {
					return hintedError{fmt.Errorf("there is a token named %s already", args[0]), "remove it first, or choose another name"}
				}
				if err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), secret)
				return nil
			})
		},
	}
	cmd.Flags().StringSliceVar(&scopes, "scope", nil, "what it may do: "+strings.Join(api.Scopes(), ", "))
	return cmd
}

func newTokenListCommand() *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List tokens, without the tokens", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withStore(cmd, func(st *store.Store) error {
				tokens, err := st.Tokens(cmd.Context())
				if err != nil {
					return err
				}
				if done, err := asJSON(cmd, tokens); done {
					return err
				}
				var rows [][]string
				for _, t := range tokens {
					rows = append(rows, []string{t.Name, strings.Join(t.Scopes, ","), t.Created.Local().Format("2006-01-02 15:04")})
				}
				return list(cmd.OutOrStdout(), "NAME SCOPES MADE", rows)
			})
		}}
}

func newTokenRemoveCommand() *cobra.Command {
	return &cobra.Command{Use: "remove NAME", Short: "Revoke a token at once", Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withStore(cmd, func(st *store.Store) error {
				err := st.Update(cmd.Context(), func(tx *store.Tx) error { return tx.RemoveToken(args[0]) })
				if errors.Is(err, store.ErrNotFound) {
					return fmt.Errorf("there is no token named %s", args[0])
				}
				return err
			})
		}}
}
