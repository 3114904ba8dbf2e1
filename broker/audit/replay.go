package audit

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"time"

	"golang.org/x/mod/sumdb/note"

	"waypost/schemas/envelope"
	"waypost/schemas/ledger"
)

// Options say what to replay, and how fast.
type Options struct {
	Root   note.Verifier
	Filter Filter
	Speed  Speed
	// Sleep waits between two events; nil is a timer. It returns early, with an error, when ctx ends.
	Sleep func(ctx context.Context, d time.Duration) error
	// Follow goes on where the source ended, until ctx ends; nil stops there.
	Follow func(ctx context.Context, from int64) iter.Seq2[ledger.Stored, error]
}

// Speed is how many times faster than it happened a replay runs; 0 is as fast as possible.
type Speed float64

// ParseSpeed reads "max" or a number above 0.
func ParseSpeed(s string) (Speed, error) {
	if s == "max" {
		return 0, nil
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || !(n > 0 && n <= 1e9) {
		return 0, &FilterError{"speed", fmt.Sprintf("%q is no speed", s), `"1" is as it happened, "60" a minute in a second, "max" without waiting`}
	}
	return Speed(n), nil
}

// Replay tells emit of every event that the filter picks, in the order of the ledger. It reads the source twice: records
// about an expiry or a disclosure name their message by number or id only. Its memory grows with those and, when a thread is
// asked for, with the messages of that thread.
//
// While following, an expiry whose message was recorded before the replay began is told without saying whose it was, to
// every filter. A followed thread shows receipts, answers and acts by the thread that they name.
//
// It ends with emit's error, if that returns one. With Follow it ends when ctx does, and that is no error.
func Replay(ctx context.Context, src ledger.Source, o Options, emit func(Event) error) error {
	if err := o.Filter.Check(); err != nil {
		return err
	}
	known, err := look(ctx, src, o.Root, o.Filter.Thread)
	if err != nil {
		return err
	}
	r := &replayer{Options: o, known: known, reader: ledger.NewReader(o.Root), emit: emit}
	if err := r.run(ctx, src.Records(ctx), side); err != nil || o.Follow == nil {
		return err
	}
	// Whoever follows waits for each record, not for a thousand.
	err = r.run(ctx, o.Follow(ctx, r.next), 1)
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the end of following
	}
	return err
}

type replayer struct {
	Options
	known  *lookup
	reader *ledger.Reader
	emit   func(Event) error
	next   int64
	pace   pace
}

func (r *replayer) run(ctx context.Context, records iter.Seq2[ledger.Stored, error], side int) error {
	for it, err := range r.reader.Read(ctx, records, side, r.want) {
		if err != nil {
			return err
		}
		r.next = it.Index + 1
		e := eventOf(&it)
		r.known.complete(&e, &it)
		if !r.known.belongs(&e) || !r.Filter.picks(&e) {
			continue
		}
		if err := r.pace.wait(ctx, e.Time, r.Speed, r.Sleep); err != nil {
			return err
		}
		if err := r.emit(e); err != nil {
			return err
		}
	}
	return nil
}

// want spares the signatures of mail that is not shown. It is called concurrently and changes nothing.
func (r *replayer) want(m *envelope.Manifest) bool {
	e := Event{Time: r.Filter.From}
	e.mail(m)
	f := r.Filter
	f.From, f.To = time.Time{}, time.Time{}
	return r.known.belongs(&e) && f.picks(&e)
}

// pace spaces events as they were spaced when they happened.
type pace struct{ last time.Time }

func (p *pace) wait(ctx context.Context, at time.Time, speed Speed, sleep func(context.Context, time.Duration) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if sleep == nil {
		sleep = sleepFor
	}
	// Streams interleave, so an event may lie before the one that was just shown: it waits for nothing.
	if gap := at.Sub(p.last); speed > 0 && !p.last.IsZero() && gap > 0 {
		if err := sleep(ctx, time.Duration(float64(gap)/float64(speed))); err != nil {
			return err
		}
	}
	if at.After(p.last) {
		p.last = at
	}
	return nil
}

func sleepFor(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
