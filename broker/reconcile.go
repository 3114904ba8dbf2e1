package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/mod/sumdb/note"

	"waypost/broker/notary"
	"waypost/schemas"
	"waypost/schemas/directory"
)

// reconciler makes the consumers that the verified directory asks for. It believes nothing in the bucket that the
// network root has not signed, and never goes back to an older head.
type reconciler struct {
	b     *Broker
	js    jetstream.JetStream
	root  note.Verifier
	kick  chan struct{} // this process leads from now on: consumers are its business
	first chan struct{} // closed after the stored directory was looked at once, whatever it held

	entries map[string][]byte
	view    *directory.View
	made    map[string]bool // agencies whose consumers this process has made or corrected
	at      *positions
	rewinds chan rewinding // asked for by the notary
	kept    bool           // the last look at the positions went well
}

func newReconciler(b *Broker, nc *nats.Conn) (*reconciler, error) {
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(2*patienceFor(&b.cfg)))
	if err != nil {
		return nil, fmt.Errorf("watch directory: %w", err)
	}
	root, err := note.NewVerifier(b.bundle.Root)
	if err != nil {
		return nil, fmt.Errorf("watch directory: %w", err)
	}
	return &reconciler{b: b, js: js, root: root, first: make(chan struct{}), kick: make(chan struct{}, 1), made: map[string]bool{},
		at: newPositions(js, b.log), rewinds: make(chan rewinding), kept: true}, nil
}

// run watches until ctx ends. A watch that breaks, because an external NATS went away, is begun again.
func (r *reconciler) run(ctx context.Context) error {
	defer r.leave(ctx)
	for {
		err := r.watch(ctx)
		if ctx.Err() != nil {
			return nil
		}
		r.b.log.WarnContext(ctx, "directory watch broke, begins again", "err", err)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil
		}
	}
}

// lookEvery is how often the bucket is asked whether the watch has kept up, and how soon a failed change is tried again.
const lookEvery = 3 * time.Second

func (r *reconciler) watch(ctx context.Context) error {
	kv, err := r.js.KeyValue(ctx, Bucket)
	if err != nil {
		return fmt.Errorf("watch directory: %w", err)
	}
	w, err := kv.WatchAll(ctx)
	if err != nil {
		return fmt.Errorf("watch directory: %w", err)
	}
	defer func() { _ = w.Stop() }()
	r.entries = map[string][]byte{}
	// Consumers that somebody deleted by hand come back without a restart.
	repair := time.NewTicker(time.Minute)
	defer repair.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	keep := time.NewTimer(positionsEvery)
	defer keep.Stop()
	complete, failed, behind := false, false, false
	var seen uint64 // revision of the newest head that the watch has brought
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-w.Updates():
			switch {
			case !ok:
				return errors.New("watch directory: updates ended")
			case e == nil: // all that was stored has been seen
				complete = true
			case e.Operation() == jetstream.KeyValuePut:
				r.entries[e.Key()] = e.Value()
				if e.Key() == directory.HeadKey {
					seen, behind = e.Revision(), false
				}
			default:
				delete(r.entries, e.Key())
			}
			// The head comes last: until it does, entries do not agree with it and there is nothing to do.
			if !complete || e != nil && e.Key() != directory.HeadKey {
				continue
			}
		case <-look.C:
			// A watch rests on a consumer without copies. If that is lost while nobody leads the stream, the watch falls
			// silent without ending; so the bucket itself is asked. Twice behind is no coincidence.
			if e, err := kv.Get(ctx, directory.HeadKey); err == nil && e.Revision() > seen {
				if behind {
					return errors.New("watch directory: updates stay away")
				}
				behind = true
			}
			if !complete || !failed {
				continue
			}
		case <-keep.C:
			again, lacking := r.keep(ctx)
			keep.Reset(again)
			if !complete || !lacking {
				continue
			}
		case w := <-r.rewinds:
			w.done <- r.at.rewind(ctx, w.stream, w.agency)
			continue
		case <-r.kick:
			clear(r.made)
			r.at.reread()
			if !complete {
				continue
			}
		case <-repair.C:
			if !complete {
				continue
			}
		}
		err := r.reconcile(ctx)
		if failed = err != nil; failed && ctx.Err() == nil {
			r.b.log.ErrorContext(ctx, "directory not applied", "code", errorCode(err), "err", err)
		}
		select {
		case <-r.first:
		default:
			close(r.first)
		}
	}
}

// reconcile verifies what the bucket holds and makes what is missing. After an error the view and the consumers are as
// before; the next update or repair tries again.
func (r *reconciler) reconcile(ctx context.Context) error {
	head, ok := r.entries[directory.HeadKey]
	if !ok {
		r.b.log.InfoContext(ctx, "directory is empty: waiting for `waypost network publish`")
		return nil
	}
	var least uint64
	if r.view != nil {
		least = r.view.Head().Version
	}
	view, err := directory.Open(r.root, head, noteEntries(r.entries), least)
	if err != nil {
		return err
	}
	if view.Expired(r.b.clock()) {
		r.b.log.WarnContext(ctx, "directory head has expired: run `waypost network sign`", "expired", view.Head().Expires)
	}
	if r.b.leads() {
		if err := r.consumers(ctx, view); err != nil {
			return err
		}
	}
	r.view = view
	r.b.setView(view)
	return nil
}

// consumers makes the consumers that are missing.
func (r *reconciler) consumers(ctx context.Context, view *directory.View) error {
	present := map[string]int{}
	for _, l := range schemas.Lanes() {
		s, err := r.js.Stream(ctx, Stream(l))
		if err != nil {
			return fmt.Errorf("list consumers: %w", err)
		}
		names := s.ConsumerNames(ctx)
		for n := range names.Name() {
			present[n]++
		}
		if err := names.Err(); err != nil {
			return fmt.Errorf("list consumers: %w", err)
		}
	}
	// Whoever made a stream anew since we read has forgotten what was remembered of the old one.
	r.at.reread()
	for _, a := range view.Agencies() {
		if r.made[a.ID] && present[a.ID] == len(schemas.Lanes()) {
			continue
		}
		// A suspended agency keeps its consumers: what waits for it is not lost if it is restored.
		if err := ensureConsumers(ctx, r.js, r.at, a.ID, &r.b.cfg); err != nil {
			return err
		}
		r.made[a.ID] = true
		r.b.log.InfoContext(ctx, "agency has its consumers", "agency", a.ID)
	}
	for name := range present {
		if _, ok := view.Agency(name); !ok && !strings.HasPrefix(name, notary.ConsumerPrefix+"-") {
			r.b.log.WarnContext(ctx, "a consumer belongs to no agency in the directory", "consumer", name)
		}
	}
	return nil
}

// keep has the positions remembered, if that is this process's business. It says when to do so again, and whether an agency
// lacks a consumer: somebody deleted it.
func (r *reconciler) keep(ctx context.Context) (again time.Duration, lacking bool) {
	if !positionsKept(&r.b.cfg) || !r.b.leads() {
		return positionsEvery, false
	}
	began := time.Now()
	seen, err := r.at.look(ctx)
	again = max(positionsEvery, positionsRest*time.Since(began))
	if ctx.Err() == nil && (err == nil) != r.kept {
		r.kept = err == nil
		if r.kept {
			r.b.log.InfoContext(ctx, "positions are kept again")
		} else {
			r.b.log.WarnContext(ctx, "positions not kept: after a restart agencies get again what they have had since; tried again and again", "err", err)
		}
	}
	if err != nil || r.view == nil {
		return again, false
	}
	for _, a := range r.view.Agencies() {
		if seen[a.ID] < len(schemas.Lanes()) {
			r.at.reread()
			return again, true
		}
	}
	return again, false
}

// rewinding is a request to have an agency get all of a stream again.
type rewinding struct {
	stream, agency string
	done           chan error // buffered
}

// rewind has an agency get everything again that a stream still holds, see positions. It may be called by others than run.
func (r *reconciler) rewind(ctx context.Context, stream, agency string) error {
	w := rewinding{stream, agency, make(chan error, 1)}
	select {
	case r.rewinds <- w:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// leave has the last positions remembered: after an orderly restart next to nothing comes twice.
func (r *reconciler) leave(ctx context.Context) {
	if !positionsKept(&r.b.cfg) || !r.b.leads() || !r.js.Conn().IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), positionsLast)
	defer cancel()
	if _, err := r.at.look(ctx); err != nil {
		r.b.log.WarnContext(ctx, "the last positions are not kept: agencies get again what they had in the last seconds", "err", err)
	}
}

func errorCode(err error) string {
	var de *directory.Error
	if errors.As(err, &de) {
		return de.Code
	}
	return "broker"
}
