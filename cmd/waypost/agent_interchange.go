package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"waypost/agents/api"
	"waypost/agents/interchange"
	"waypost/schemas"
)

func newAgentExportCommand() *cobra.Command {
	var format, from, to, out, key string
	var identified, yes bool
	cmd := &cobra.Command{
		Use: "export", Short: "Export referrals as a table (HTCDS 2.0)",
		Long: "Writes a row for every referral that came or was sent, in the columns of IOM's Human Trafficking Case Data Standard 2.0\n" +
			"(CC BY 4.0; IOM endorses nothing here). The rows are pseudonymous: no names, birth dates, contacts, document numbers, places\n" +
			"or free text; the same thread has the same record_id. Without --pseudonyms the ids are good for this export alone.\n\n" +
			"Pseudonymous is not anonymous: few rows of a rare nationality can still be one person. A cell that a spreadsheet could run\n" +
			"as a formula begins with an apostrophe.",
		Example: "  waypost agent export --from 2026-01-01 --to 2026-03-31 --out quarter.csv",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "htcds-csv" {
				return usage(errors.New("--format: there is no such format"), "--format takes htcds-csv")
			}
			when, err := span(from, to)
			if err != nil {
				return err
			}
			if identified {
				if err := confirmIdentified(cmd, yes); err != nil {
					return err
				}
			}
			pseudonym, err := pseudonyms(key)
			if err != nil {
				return err
			}
			c, err := client(cmd)
			if err != nil {
				return err
			}
			e := &exporter{client: c, span: when}
			rows := 0
			err = writeWhole(cmd.OutOrStdout(), out, func(w io.Writer) error {
				rows, err = interchange.WriteHTCDS(w, e.records(cmd.Context()), interchange.Options{Pseudonym: pseudonym, Identified: identified})
				return err
			})
			if err != nil {
				return explain(cmd.ErrOrStderr(), err)
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%d referrals exported\n", rows)
			if e.unreadable > 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "%d referrals left out: this agent cannot read them (any more)\n", e.unreadable)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&format, "format", "htcds-csv", "htcds-csv")
	f.StringVar(&from, "from", "", "first `day` (2026-01-01, UTC) on which a referral was sent")
	f.StringVar(&to, "to", "", "last `day`")
	f.StringVar(&out, "out", "", "`file` to write (default: standard output)")
	f.StringVar(&key, "pseudonyms", "", "`file` with the key of the pseudonyms, made when it is not there; keep it to compare exports, and keep it secret")
	f.BoolVar(&identified, "identified", false, "also export names, birth dates, numbers and free text; asks first")
	f.BoolVar(&yes, "yes", false, "do not ask before --identified")
	return cmd
}

// dates is a span of days, both included.
type dates struct{ from, until time.Time }

func span(from, to string) (d dates, err error) {
	day := func(flag, s string) (time.Time, error) {
		t, err := time.Parse(time.DateOnly, s)
		if err != nil {
			return t, usage(fmt.Errorf("%s is not a day", flag), "write 2026-01-31")
		}
		return t, nil
	}
	if from != "" {
		if d.from, err = day("--from", from); err != nil {
			return d, err
		}
	}
	if to != "" {
		if d.until, err = day("--to", to); err != nil {
			return d, err
		}
		d.until = d.until.AddDate(0, 0, 1)
		if d.until.Before(d.from) {
			return d, usage(errors.New("--to comes before --from"), "change one of the two")
		}
	}
	return d, nil
}

func (d dates) has(t time.Time) bool {
	return !t.Before(d.from) && (d.until.IsZero() || t.Before(d.until))
}

// confirmIdentified asks for a typed word: what follows is a file that names survivors.
func confirmIdentified(cmd *cobra.Command, yes bool) error {
	if yes {
		return nil
	}
	fmt.Fprint(cmd.ErrOrStderr(), "The file will name survivors and say where they are. Is there a lawful basis, and a safe place for it? Type identified: ")
	answer, err := bufio.NewReader(io.LimitReader(cmd.InOrStdin(), 64)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read answer: %w", err)
	}
	fmt.Fprintln(cmd.ErrOrStderr())
	if strings.TrimSpace(answer) != "identified" {
		return usage(errors.New("nothing was exported"), "leave out --identified, type the word, or give --yes")
	}
	return nil
}

// exporter walks through the agent's inbox and outbox.
type exporter struct {
	client     *api.Client
	span       dates
	unreadable int
}

func (e *exporter) records(ctx context.Context) iter.Seq2[interchange.Record, error] {
	return func(yield func(interchange.Record, error) bool) {
		roles := map[string]schemas.Role{}
		d, err := e.client.Directory(ctx)
		if err != nil {
			yield(interchange.Record{}, err)
			return
		}
		for _, a := range d.Agencies {
			roles[a.ID] = a.Role
		}
		for _, incoming := range []bool{true, false} {
			box := func(before int64) ([]api.Item, error) { return e.client.Outbox(ctx, pageRows, before) }
			if incoming {
				box = func(before int64) ([]api.Item, error) { return e.client.Inbox(ctx, false, pageRows, before) }
			}
			for item, err := range pages(box) {
				if err != nil {
					yield(interchange.Record{}, err)
					return
				}
				if item.Kind != schemas.KindReferral || !e.span.has(item.Sent) {
					continue
				}
				r, err := e.referral(ctx, &item)
				if r == nil && err == nil {
					e.unreadable++
					continue
				}
				rec := interchange.Record{Thread: item.Thread, Referral: r, Incoming: incoming, Sent: item.Sent, From: item.From, To: item.To,
					FromRole: roles[item.From], Consent: strings.HasPrefix(item.Basis, "consent:")}
				if !yield(rec, err) || err != nil {
					return
				}
			}
		}
	}
}

const pageRows = 500

// pages lists a box to its end.
func pages(box func(before int64) ([]api.Item, error)) iter.Seq2[api.Item, error] {
	return func(yield func(api.Item, error) bool) {
		for before := int64(0); ; {
			items, err := box(before)
			if err != nil {
				yield(api.Item{}, err)
				return
			}
			for _, it := range items {
				if !yield(it, nil) {
					return
				}
			}
			if len(items) == 0 || items[len(items)-1].N == before {
				return
			}
			before = items[len(items)-1].N
		}
	}
}

// referral reads one; nil when the agent does not have it any more, or when it is none that this program would have let in.
func (e *exporter) referral(ctx context.Context, it *api.Item) (*schemas.Referral, error) {
	m, err := e.client.Message(ctx, it.ID)
	var p *api.Problem
	if errors.As(err, &p) && (p.Status == http.StatusNotFound || p.Status == http.StatusGone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if m.Schema != schemas.SchemaReferral || !schemas.ValidAgencyID(it.From) || !schemas.ValidAgencyID(it.To) {
		return nil, nil
	}
	r, err := schemas.Decode[schemas.Referral](m.Payload)
	if err != nil {
		return nil, nil //nolint:nilerr // counted as unreadable; the error would name paths in a referral
	}
	return r, nil
}

// writeWhole writes a file under its name only when all of it is there; without a name it writes to w.
func writeWhole(w io.Writer, name string, write func(io.Writer) error) (err error) {
	if name == "" {
		return write(w)
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".waypost-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, cmp.Or(errors.Unwrap(err), err))
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	buffered := bufio.NewWriter(f)
	err = write(buffered)
	if end := errors.Join(buffered.Flush(), f.Sync(), f.Close()); err == nil && end != nil {
		err = fmt.Errorf("write %s: %w", name, end)
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
