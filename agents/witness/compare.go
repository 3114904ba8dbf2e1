package witness

import (
	"context"
	"slices"

	"waypost/schemas/directory"
	"waypost/schemas/ledger"
)

const comparedMax = 4096

// others compares our checkpoint with what other agencies cosigned. Of two agencies that are shown different logs, one sees
// the other's signature under something that its own log does not contain.
func (w *Witness) others(ctx context.Context, theirs *ledger.Checkpoint, witnessed []string) error {
	who := map[string]bool{}
	for _, raw := range witnessed {
		if err := w.other(ctx, theirs, raw, who); err != nil {
			return err
		}
	}
	now := w.Now()
	quorum := w.quorum()
	if len(who) >= quorum {
		w.fresh = now
	}
	// A broker that shows us a log of our own has nobody's cosignature for it.
	if quorum > 0 && now.Sub(w.fresh) >= w.Unwitnessed {
		w.raise(ctx, alarm{code: CodeUnwitnessed, key: now.UTC().Format("2006-01-02"), files: files("theirs.checkpoint", theirs)})
	}
	return nil
}

// quorum is how many others must cosign: no more than there are.
func (w *Witness) quorum() int {
	others := 0
	for _, a := range w.View().Agencies() {
		if a.ID != w.Agency && a.State == directory.StateActive {
			others++
		}
	}
	return min(w.Quorum, others)
}

// other compares with one checkpoint, and adds those of its witnesses whose word is fresh to who.
func (w *Witness) other(ctx context.Context, theirs *ledger.Checkpoint, raw string, who map[string]bool) error {
	c, err := ledger.ParseCheckpoint([]byte(raw))
	if err != nil {
		return nil //nolint:nilerr // nobody's word
	}
	view := w.View()
	if c.Verify(view, w.Now()) != nil {
		return nil
	}
	if !c.Same(theirs) && !w.compared[c.Text()] {
		older, newer := c, theirs
		if c.Size > theirs.Size {
			older, newer = theirs, c
		}
		holds, proof, err := w.consistent(ctx, older, newer)
		if err != nil {
			return err
		}
		if !holds {
			// Known from before a restore, by somebody who has not looked since.
			if known, err := w.overtaken(ctx, c, theirs); err != nil || known {
				w.compared[c.Text()] = known
				return err
			}
			w.raise(ctx, alarm{code: CodeFork, key: textOf(theirs), files: append(files("ours.checkpoint", theirs, "others.checkpoint", c), proof...)})
			return nil
		}
		if len(w.compared) >= comparedMax {
			clear(w.compared)
		}
		w.compared[c.Text()] = true
	}
	for _, by := range c.Witnesses(view) {
		// Fresh is what was said lately, or about all there is.
		if by.Agency != w.Agency && (c.Size == theirs.Size || w.Now().Sub(by.At) < w.Unwitnessed) {
			who[by.Agency] = true
		}
	}
	return nil
}

// Met takes a checkpoint that another agency says it has seen: it came sealed inside a message, so the broker could not
// choose what we see of it. It is compared at the next opportunity; whatever is wrong with it delays no message.
func (w *Witness) Met(raw string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.met) < metMax && !slices.Contains(w.met, raw) {
		w.met = append(w.met, raw)
	}
}

const metMax = 64

func (w *Witness) takeMet() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.met
	w.met = nil
	return out
}

// directory compares the directory that the log names with ours. A broker that serves us an old one, or one of our own,
// would have to serve us a log of our own too.
func (w *Witness) directory(ctx context.Context, theirs *ledger.Checkpoint) error {
	view := w.View()
	if theirs.DirectoryVersion > view.Head().Version {
		if _, err := w.Refresh(ctx); err != nil {
			return err
		}
		view = w.View()
	}
	have := view.Head().Version
	switch {
	case theirs.DirectoryVersion == have && theirs.DirectoryDigest != view.Digest():
		w.raise(ctx, alarm{code: CodeDirectoryForked, files: files("theirs.checkpoint", theirs)})
	case theirs.DirectoryVersion > have:
		// One round may fall between a publication and its arrival here.
		if w.lasts("stale", w.Every) {
			w.raise(ctx, alarm{code: CodeDirectoryStale, key: textOf(theirs), files: files("theirs.checkpoint", theirs)})
		}
		return nil
	case theirs.DirectoryVersion < have:
		if w.lasts("unrecorded", w.Missing) {
			w.raise(ctx, alarm{code: CodeOmits, key: "directory", files: files("theirs.checkpoint", theirs)})
		}
		delete(w.since, "stale")
		return nil
	}
	delete(w.since, "stale")
	delete(w.since, "unrecorded")
	return nil
}
