package audit

import (
	"bufio"
	"context"
	"fmt"
	"io"
)

// Replay tells emit of the events of the timeline that the filter picks, at its speed.
func (t *ThreadState) Replay(ctx context.Context, o Options, emit func(Event) error) error {
	if err := o.Filter.Check(); err != nil {
		return err
	}
	var p pace
	for _, e := range t.Timeline {
		if !o.Filter.picks(&e) {
			continue
		}
		if err := p.wait(ctx, e.Time, o.Speed, o.Sleep); err != nil {
			return err
		}
		if err := emit(e); err != nil {
			return err
		}
	}
	return nil
}

// Write says for people how every message of the thread stands.
func (t *ThreadState) Write(w io.Writer) error {
	b := bufio.NewWriter(w)
	if len(t.Messages) == 0 {
		fmt.Fprintf(b, "\nThread %s: no signed message of it is in the ledger.\n", printable(t.Thread))
		return b.Flush()
	}
	fmt.Fprintf(b, "\nThread %s at %s UTC:\n", printable(t.Thread), moment(t.At))
	for _, m := range t.Messages {
		fmt.Fprintln(b, cut(fmt.Sprintf("  %s  %s to %s", m.Kind, m.From, m.To), tableWidth))
		fmt.Fprintf(b, "    %s\n", m.Message)
		fmt.Fprintln(b, cut("    "+printable(m.State), tableWidth))
	}
	if t.Unsigned > 0 {
		fmt.Fprintf(b, "%d events are not signed by whom they name and count for nothing.\n", t.Unsigned)
	}
	return b.Flush()
}
