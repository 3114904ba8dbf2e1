package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/go-json-experiment/json"
	"github.com/mattn/go-isatty"
	"github.com/schollz/progressbar/v3"

	"waypost/schemas/ledger"
)

// progress is a bar on a terminal and nothing elsewhere.
type progress struct{ bar *progressbar.ProgressBar }

func newProgress(w io.Writer, size int64, what string) *progress {
	f, ok := w.(*os.File)
	if !ok || !isatty.IsTerminal(f.Fd()) {
		return &progress{}
	}
	return &progress{progressbar.NewOptions64(max(size, -1), progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("records"), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())}
}

func (p *progress) seen(index int64) {
	if p.bar != nil {
		_ = p.bar.Set64(index + 1)
	}
}

func (p *progress) clear() {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
}

// printLine writes one JSON line.
func printLine(w io.Writer, v any) error {
	raw, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	_, err = fmt.Fprintf(w, "%s\n", escapeHarmful(string(raw)))
	return err
}

func printSummary(w io.Writer, s *ledger.Summary, shown map[ledger.Code]int, took time.Duration) {
	for _, code := range slices.Sorted(maps.Keys(shown)) {
		if n := shown[code] - shownMost; n > 0 {
			fmt.Fprintf(w, "…and %s more of %s; --json prints all\n", humanize.Comma(int64(n)), code)
		}
	}
	var kinds []string
	for _, k := range slices.Sorted(maps.Keys(s.Kinds)) {
		kinds = append(kinds, humanize.Comma(s.Kinds[k])+" "+string(k))
	}
	fmt.Fprintf(w, "records      %s: %s\n", humanize.Comma(s.Records), strings.Join(kinds, ", "))
	if s.Records > 0 {
		fmt.Fprintf(w, "period       %s to %s\n", s.From.Format("2006-01-02 15:04:05 MST"), s.To.Format("2006-01-02 15:04:05 MST"))
	}
	fmt.Fprintf(w, "tree         %s\n", s.Root)
	fmt.Fprintf(w, "checkpoints  %s; signed up to record %s\n", humanize.Comma(s.Checkpoints), humanize.Comma(s.Signed))
	if len(s.Witnesses) > 0 {
		fmt.Fprintf(w, "witnesses    %s: cosigned up to record %s\n", strings.Join(s.Witnesses, ", "), humanize.Comma(s.Witnessed))
	}
	fmt.Fprintf(w, "directory    version %d\n", s.Directory)
	fmt.Fprintf(w, "took         %s\n", took.Round(time.Millisecond))
	switch {
	case !s.Clean():
		fmt.Fprintf(w, "NOT WHOLE    %d findings break the record, %d more are notable\n", s.Broken, s.Notable)
	case s.Notable > 0:
		fmt.Fprintf(w, "whole        nothing was altered, dropped or added; %d things to look into\n", s.Notable)
	default:
		fmt.Fprintln(w, "whole        nothing was altered, dropped or added")
	}
}

// evidence is what a proof shows, for machines.
type evidence struct {
	Record    int64     `json:"record"`
	Time      time.Time `json:"time"`
	Message   string    `json:"message,omitzero"`
	Thread    string    `json:"thread,omitzero"`
	From      string    `json:"from,omitzero"`
	To        string    `json:"to,omitzero"`
	Kind      string    `json:"kind,omitzero"`
	Sent      time.Time `json:"sent,omitzero"`
	Basis     string    `json:"basis,omitzero"`
	Body      string    `json:"body,omitzero"`
	Size      int64     `json:"tree_size"`
	Root      string    `json:"tree_root"`
	Witnesses []string  `json:"witnesses"`
}

func evidenceOf(e *ledger.Evidence) evidence {
	out := evidence{Record: e.Index, Time: e.Record.Time, Size: e.Checkpoint.Size, Root: e.Checkpoint.Root.String(), Witnesses: []string{}}
	if m := e.Manifest; m != nil {
		out.Message, out.Thread, out.From, out.To, out.Kind, out.Sent, out.Basis, out.Body = m.ID, m.Thread, m.From, m.To, string(m.Kind), m.Sent, m.Basis, m.Body
	}
	for _, w := range e.Witnesses {
		out.Witnesses = append(out.Witnesses, w.Agency)
	}
	return out
}

func printEvidence(w io.Writer, e *ledger.Evidence) {
	x := evidenceOf(e)
	name := func(id string) string {
		if a, ok := e.Directory.Agency(id); ok {
			return fmt.Sprintf("%s (%s)", id, clean(a.Name))
		}
		return id
	}
	fmt.Fprintf(w, "The proof holds.\n")
	if x.Message != "" {
		fmt.Fprintf(w, "message      %s, thread %s\n", x.Message, x.Thread)
		fmt.Fprintf(w, "kind         %s\n", x.Kind)
		fmt.Fprintf(w, "from         %s: its signature\n", name(x.From))
		fmt.Fprintf(w, "to           %s\n", name(x.To))
		fmt.Fprintf(w, "sent         %s\n", x.Sent.Format("2006-01-02 15:04:05.000 MST"))
		if x.Basis != "" {
			fmt.Fprintf(w, "basis        %s\n", x.Basis)
		}
		if x.Body != "" {
			fmt.Fprintf(w, "sealed body  %s\n", x.Body)
		}
	}
	fmt.Fprintf(w, "stored       %s, record %d of a ledger of %d\n", x.Time.Format("2006-01-02 15:04:05.000 MST"), x.Record, x.Size)
	for _, wi := range e.Witnesses {
		fmt.Fprintf(w, "witness      %s, %s\n", name(wi.Agency), wi.At.Format("2006-01-02 15:04:05 MST"))
	}
}

// writeNew writes a file that may hold a secret, and never over another.
func writeNew(path string, raw []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return hintedError{fmt.Errorf("write file: %w", err), "choose a name that is not there yet"}
	}
	if err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	_, err = f.Write(raw)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
