package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"waypost/agents/api"
	"waypost/schemas"
)

func newAgentPlacesCommand() *cobra.Command {
	var q api.PlaceQuery
	cmd := &cobra.Command{Use: "places", Short: "Find a free place, by what providers last said",
		Example: "  waypost agent places --region GB-NBL --gender woman --children --tonight",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := client(cmd)
			if err != nil {
				return err
			}
			found, err := c.Places(cmd.Context(), q)
			if err != nil {
				return explain(cmd.ErrOrStderr(), err)
			}
			if done, err := asJSON(cmd, found); done {
				return err
			}
			if len(found) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "No provider has said that it has such a place. Telephone the duty lines: `waypost agent directory`.")
				return nil
			}
			now := time.Now()
			var rows [][]string
			for _, f := range found {
				p := f.Place
				family := ""
				if p.FamilySizeMax > 0 {
					family = "up to " + strconv.Itoa(p.FamilySizeMax)
				}
				tonight := ""
				if p.OutOfHours {
					tonight = "yes"
				}
				rows = append(rows, []string{f.Agency, string(p.Type), string(p.Region), strconv.Itoa(p.Free), join(p.Genders), family, tonight, relative(f.AsOf, now), f.HowTo})
			}
			return list(cmd.OutOrStdout(), "PROVIDER TYPE REGION FREE FOR FAMILY TONIGHT SAID HOW-TO-ASK", rows)
		}}
	f := cmd.Flags()
	f.StringVar(&q.Region, "region", "", "region, like GB-NBL")
	f.StringVar(&q.Type, "type", "", strings.Join(schemas.Codes("place-type"), ", "))
	f.StringVar(&q.Gender, "gender", "", strings.Join(schemas.Codes("gender"), ", "))
	f.IntVar(&q.FamilySize, "family", 0, "how many people")
	f.BoolVar(&q.Children, "children", false, "with children")
	f.BoolVar(&q.Tonight, "tonight", false, "somebody can arrive tonight")
	f.StringSliceVar(&q.Access, "access", nil, "what the place must have: "+strings.Join(schemas.Codes("access-need"), ", "))
	return cmd
}
