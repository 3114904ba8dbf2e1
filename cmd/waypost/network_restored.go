package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"waypost/broker/network"
)

func newNetworkRestoredCommand() *cobra.Command {
	var dir, url, root string
	var records, lost int64
	cmd := &cobra.Command{
		Use: "restored", Short: "Have the ledger say that the broker was restored from a backup",
		Long: "`waypost broker restore` prints how many records the backup held and the root hash over them. --lost is how many there had\n" +
			"been: ask agencies for the newest checkpoint that theirs has (`waypost agent ledger`), and give the largest size. The statement\n" +
			"is signed by the network's root and is a record for ever. Agencies that remember an older checkpoint compare it with this one;\n" +
			"what does not agree stays an alarm, and so does any ledger above that size which nobody can explain.",
		Example: "  waypost network restored --records 48210 --lost 48377 --root 5Gq… --dir network",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if records < 1 || root == "" {
				return usage(errors.New("--records or --root is missing"), "`waypost broker restore` printed both")
			}
			if lost < records {
				return usage(errors.New("--lost is missing, or less than --records"), "the largest size of a checkpoint that an agency has; the same as --records if none has a larger one")
			}
			a, err := network.Open(dir)
			if err != nil {
				return err
			}
			if url == "" {
				url = a.Config().URLs[0]
			}
			id, err := a.RecordRestored(cmd.Context(), url, records, lost, root)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "statement %s recorded: the ledger goes on after %d records, %d are sent again by those who wrote them\n", id, records, lost-records)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "dir", "network", "the network's `folder`")
	f.StringVar(&url, "url", "", "address of the broker (default: the first in the network's folder)")
	f.Int64Var(&records, "records", 0, "how many records the backup held")
	f.Int64Var(&lost, "lost", 0, "how many records there had been: the largest size of a checkpoint that an agency has")
	f.StringVar(&root, "root", "", "root `hash` over the records that the backup held")
	return cmd
}
