package witness

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"waypost/schemas"
	"waypost/schemas/directory"
	"waypost/schemas/ledger"
)

// ErrUnproved: the ledger does not hold the message, or no checkpoint that others cosigned covers it yet.
var ErrUnproved = errors.New("the ledger does not prove it yet")

// Prove makes a proof of a message that somebody outside the network can check: under the checkpoint with the most
// cosignatures that covers it, with the directory entries that name the keys.
func (w *Witness) Prove(ctx context.Context, lane schemas.Lane, seq uint64) (*ledger.Proof, error) {
	c, in, err := w.best(ctx, ledger.Place{Stream: streamOf[lane], Seq: seq})
	if err != nil {
		return nil, err
	}
	notes, err := w.Store.Directory(ctx)
	if err != nil {
		return nil, err
	}
	view, err := directory.Open(w.Root, notes[directory.HeadKey], without(notes, directory.HeadKey), 0)
	if err != nil {
		return nil, err
	}
	p := &ledger.Proof{Record: in.Record, Index: in.Index, Hashes: in.Hashes, Head: string(notes[directory.HeadKey]), Entries: map[string]string{}}
	c = c.Known(view)
	p.Checkpoint = string(c.Raw())
	keys := []string{directory.LogKey}
	for _, x := range c.Witnesses(view) {
		keys = append(keys, directory.AgencyKey(x.Agency))
	}
	from, err := p.Sender()
	if err != nil {
		return nil, err
	}
	for _, k := range append(keys, directory.AgencyKey(from)) {
		p.Entries[k] = string(notes[k])
	}
	// As whoever gets it will: what we give out must hold.
	if _, err := p.Check(w.Root, 0); err != nil {
		return nil, err
	}
	return p, nil
}

// best finds a checkpoint that covers a message, and the proof of it there.
func (w *Witness) best(ctx context.Context, at ledger.Place) (*ledger.Checkpoint, *ledger.Inclusion, error) {
	answer, err := ask[ledger.CheckpointAnswer](ctx, w, ledger.VerbCheckpoint, nil)
	if err != nil {
		return nil, nil, err
	}
	ours, err := w.last(ctx)
	if err != nil {
		return nil, nil, err
	}
	view := w.View()
	var newest *ledger.Checkpoint
	byText := map[string]*ledger.Checkpoint{}
	for _, raw := range append([]string{answer.Checkpoint}, answer.Witnessed...) {
		c, err := ledger.ParseCheckpoint([]byte(raw))
		if err != nil || view == nil || c.Verify(view, w.Now()) != nil {
			continue
		}
		if newest == nil {
			newest = c
		}
		if have := byText[c.Text()]; have != nil {
			c = have.Merge(c)
		}
		byText[c.Text()] = c
	}
	if newest == nil {
		return nil, nil, ErrUnproved
	}
	var best *ledger.Checkpoint
	var found *ledger.Inclusion
	for _, c := range byText {
		// What we have not found consistent with our own we put no proof under.
		if ours != nil {
			older, newer := ours, c
			if c.Size < ours.Size {
				older, newer = c, ours
			}
			if holds, _, err := w.consistent(ctx, older, newer); err != nil || !holds {
				continue
			}
		}
		if best != nil && len(c.Witnesses(view)) <= len(best.Witnesses(view)) {
			continue
		}
		a, err := ask[ledger.InclusionAnswer](ctx, w, ledger.VerbInclusion, ledger.InclusionRequest{Size: c.Size, Places: []ledger.Place{at}})
		if err != nil {
			return nil, nil, err
		}
		if len(a.Inclusions) == 1 && a.Inclusions[0].Record != "" {
			best, found = c, &a.Inclusions[0]
		}
	}
	if best == nil || len(best.Witnesses(view)) == 0 {
		return nil, nil, ErrUnproved
	}
	return best, found, nil
}

func without(notes map[string][]byte, key string) map[string][]byte {
	out := make(map[string][]byte, len(notes))
	for k, v := range notes {
		if k != key {
			out[k] = v
		}
	}
	return out
}

// Alarms lists the folders of evidence.
func (w *Witness) Alarms() []string {
	found, err := os.ReadDir(w.Evidence)
	if err != nil {
		return nil
	}
	var out []string
	for _, f := range found {
		if strings.HasPrefix(f.Name(), CodeRestored+"-") {
			continue // kept as evidence, and explained
		}
		if _, err := os.Stat(filepath.Join(w.Evidence, f.Name(), "told")); err == nil {
			out = append(out, f.Name())
		}
	}
	return out
}

// CountAlarms counts the folders of evidence by the code of their alarm. Whoever has dealt with one moves its folder away.
func (w *Witness) CountAlarms() map[string]int {
	out := map[string]int{}
	for _, name := range w.Alarms() {
		if i := strings.LastIndexByte(name, '-'); i > 0 && sentences[name[:i]] != "" {
			out[name[:i]]++
		}
	}
	return out
}
