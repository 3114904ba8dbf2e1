package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"waypost/agents/api"
	"waypost/agents/interchange"
	"waypost/schemas"
)

func newAgentImportCommand() *cobra.Command {
	var to string
	var dryRun, partial, columns bool
	cmd := &cobra.Command{
		Use: "import FILE.csv", Short: "Send the referrals in a spreadsheet, one a row",
		Long: "FILE is CSV in UTF-8, with commas or semicolons; its first row names the columns, in any order (--columns lists them; deploy/examples/referrals.csv is one).\n" +
			"Several codes in a cell are separated by |; an empty cell means not known. Every row is judged before any is sent, and\n" +
			"one bad row holds back all unless --partial is given. What is wrong is told by row and column, never by value.\n\n" +
			"Running the command again after a crash sends nothing twice, also after other rows were mended: a row that says the same\n" +
			"is the same request.",
		Example: "  waypost agent import referrals.csv --to harbour-ngo --dry-run",
		Args: func(cmd *cobra.Command, args []string) error {
			if columns && len(args) == 0 {
				return nil
			}
			return exactArgs("FILE.csv")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if columns {
				return printColumns(cmd)
			}
			rows, report, err := readTable(cmd, args[0], interchange.ReadOptions{Now: time.Now(), To: to, Partial: partial})
			if err != nil {
				return err
			}
			result := &imported{Report: report}
			if !dryRun && len(rows) > 0 {
				c, err := client(cmd)
				if err != nil {
					return err
				}
				if err := result.send(cmd.Context(), c, rows, partial); err != nil {
					_ = result.print(cmd)
					return explain(cmd.ErrOrStderr(), err)
				}
			}
			if err := result.print(cmd); err != nil {
				return err
			}
			return result.failure(partial)
		},
	}
	f := cmd.Flags()
	f.StringVar(&to, "to", "", "agency for rows that name none")
	f.BoolVar(&dryRun, "dry-run", false, "judge the rows and send nothing")
	f.BoolVar(&partial, "partial", false, "send the good rows although others are refused")
	f.BoolVar(&columns, "columns", false, "list the columns that a file may have")
	return cmd
}

func readTable(cmd *cobra.Command, path string, o interchange.ReadOptions) ([]interchange.Row, interchange.Report, error) {
	in := cmd.InOrStdin()
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, interchange.Report{}, fmt.Errorf("read table: %w", err)
		}
		defer f.Close()
		in = f
	}
	return interchange.ReadReferrals(in, o)
}

// imported is what became of a file.
type imported struct {
	interchange.Report
	Sent []sentRow `json:"sent,omitempty"`
}

// sentRow is a row that was handed to the agent.
type sentRow struct {
	Row      int    `json:"row"`
	ID       string `json:"id,omitempty"`
	Thread   string `json:"thread,omitempty"`
	State    string `json:"state,omitempty"`
	Repeated bool   `json:"repeated,omitempty"`
	Code     string `json:"code,omitempty"` // why the agent refused it
}

// send hands over the rows in their order. What the agent refuses is reported and the next row tried; when the agent cannot
// be reached it stops, and the same command goes on from there.
func (r *imported) send(ctx context.Context, c *api.Client, rows []interchange.Row, partial bool) error {
	bad := r.unreachable(ctx, c, rows)
	if len(bad) > 0 && !partial {
		return nil
	}
	for _, row := range rows {
		if slices.Contains(bad, row.Number) {
			continue
		}
		doc, err := schemas.Encode(row.Submission)
		if err != nil {
			return err
		}
		a, err := c.Submit(ctx, doc, rowKey(doc))
		var p *api.Problem
		switch {
		case errors.As(err, &p) && p.Status >= 400 && p.Status < 500 && p.Status != http.StatusUnauthorized && p.Status != http.StatusForbidden && p.Status != http.StatusTooManyRequests:
			r.Sent = append(r.Sent, sentRow{Row: row.Number, Code: p.Code})
		case err != nil:
			return err
		default:
			r.Sent = append(r.Sent, sentRow{Row: row.Number, ID: a.ID, Thread: a.Thread, State: a.State, Repeated: a.Repeated})
		}
	}
	return nil
}

// rowKey recognises a row by what it says, not by where it stands: whoever mends row 7 of a file and imports it again must
// not send the other rows twice.
func rowKey(doc []byte) string {
	sum := sha256.Sum256(append([]byte("import\n"), doc...))
	return "import-" + hex.EncodeToString(sum[:16])
}

// unreachable refuses, before anything is sent, rows for agencies that may not be sent referrals. A token that may not read
// the directory learns it row by row.
func (r *imported) unreachable(ctx context.Context, c *api.Client, rows []interchange.Row) (bad []int) {
	d, err := c.Directory(ctx)
	if err != nil {
		return nil
	}
	for _, row := range rows {
		i := slices.IndexFunc(d.Agencies, func(a api.AgencyItem) bool { return a.ID == row.Submission.To })
		if i >= 0 && slices.Contains(d.Agencies[i].MaySend, schemas.KindReferral) {
			continue
		}
		bad = append(bad, row.Number)
		r.Accepted--
		r.Refused++
		r.Refusals = append(r.Refusals, interchange.Refusal{Row: row.Number, Line: row.Line, Column: "to", Rule: "agency",
			Hint: "this agency may not be sent referrals; `waypost agent directory` shows who may"})
	}
	return bad
}

func (r *imported) print(cmd *cobra.Command) error {
	if done, err := asJSON(cmd, r); done {
		return err
	}
	var b bytes.Buffer
	if len(r.Refusals) > 0 {
		var rows [][]string
		for _, f := range r.Refusals {
			rows = append(rows, []string{strconv.Itoa(f.Row), strconv.Itoa(f.Line), f.Column, f.Rule, f.Hint})
		}
		if err := list(&b, "ROW LINE COLUMN RULE WHAT-TO-DO", rows); err != nil {
			return err
		}
		fmt.Fprintln(&b)
	}
	if len(r.Sent) > 0 {
		var rows [][]string
		for _, s := range r.Sent {
			state := stateWords(s.State)
			if s.Repeated {
				state = "sent before"
			}
			if s.Code != "" {
				state = "REFUSED: " + s.Code
			}
			rows = append(rows, []string{strconv.Itoa(s.Row), s.ID, state})
		}
		if err := list(&b, "ROW MESSAGE STATE", rows); err != nil {
			return err
		}
		fmt.Fprintln(&b)
	}
	fmt.Fprintf(&b, "%d rows: %d good, %d refused; %d sent\n", r.Rows, r.Accepted, r.Refused, r.accepted())
	_, err := io.Copy(cmd.OutOrStdout(), &b)
	return err
}

// accepted counts the rows that the agent took, now or before.
func (r *imported) accepted() (n int) {
	for _, s := range r.Sent {
		if s.Code == "" {
			n++
		}
	}
	return n
}

func (r *imported) failure(partial bool) error {
	switch {
	case r.Refused > 0 && !partial:
		return hintedError{errors.New("import: nothing was sent, because rows were refused"), "mend the rows above and run it again, or send the good ones with --partial"}
	case r.Refused > 0, len(r.Sent) > r.accepted():
		return hintedError{errors.New("import: some rows were refused"), "mend them and run the same command again; nothing is sent twice"}
	}
	return nil
}

func printColumns(cmd *cobra.Command) error {
	all := interchange.Columns()
	if done, err := asJSON(cmd, all); done {
		return err
	}
	var rows [][]string
	for _, c := range all {
		rows = append(rows, []string{c.Name, c.Kind(), c.Pointer, c.About})
	}
	return list(cmd.OutOrStdout(), "COLUMN KIND MEMBER-OF-SUBMISSION ABOUT", rows)
}
