package link

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/mod/sumdb/note"

	"waypost/agents/store"
	"waypost/schemas/directory"
)

const (
	directorySubject = "$KV.DIRECTORY."
	directoryGet     = "$JS.API.DIRECT.GET.KV_DIRECTORY.$KV.DIRECTORY."
	directoryPoll    = time.Minute
	getsMax          = 16     // entries asked for at once
	entriesMax       = 20_000 // a head that lists more is not one network's
)

// Directory is who is who, verified against the network root, kept fresh from the broker and remembered in the store so
// that an agent starts and works without one.
//
// It never goes back: a head older than one seen before is refused, also across restarts.
type Directory struct {
	root  note.Verifier
	store *store.Store
	now   func() time.Time
	log   *slog.Logger
	alarm func(event, code string)

	mu   sync.Mutex // one refresh at a time
	view atomic.Pointer[directory.View]
	part map[string][]byte // entries of a directory that is not complete yet; what is complete lies in the store
	nc   *nats.Conn
}

// NewDirectory loads the kept copy. alarm is told of events the agency's systems must hear: a rollback, an expired head.
func NewDirectory(ctx context.Context, root note.Verifier, st *store.Store, now func() time.Time, log *slog.Logger, alarm func(event, code string)) (*Directory, error) {
	d := &Directory{root: root, store: st, now: now, log: log, alarm: alarm}
	if err := d.Load(ctx); err != nil {
		return nil, err
	}
	return d, nil
}

// Load takes over a newer copy that another agent of the same agency has kept. It never goes back.
func (d *Directory) Load(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	notes, err := d.store.Directory(ctx)
	if err != nil || len(notes) == 0 {
		return err
	}
	head := notes[directory.HeadKey]
	delete(notes, directory.HeadKey)
	var have uint64
	if v := d.View(); v != nil {
		h, err := directory.OpenHead(d.root, head)
		if err != nil {
			return fmt.Errorf("open kept directory: %w", err)
		}
		if have = v.Head().Version; h.Version <= have {
			return nil
		}
	}
	view, err := directory.Open(d.root, head, notes, have)
	if err != nil {
		return fmt.Errorf("open kept directory: %w", err)
	}
	d.part = nil
	d.view.Store(view)
	return nil
}

// View returns the current directory, or nil before the first one was ever fetched.
func (d *Directory) View() *directory.View { return d.view.Load() }

// keep follows the broker's copy until ctx ends: at once on a change, and by polling, because a hostile or partitioned
// broker may not tell.
func (d *Directory) keep(ctx context.Context, nc *nats.Conn) {
	d.mu.Lock()
	d.nc = nc
	d.mu.Unlock()
	changed := make(chan *nats.Msg, 64)
	sub, err := nc.ChanSubscribe(directorySubject+directory.HeadKey, changed)
	if err == nil {
		defer sub.Unsubscribe()
	}
	wait := time.Duration(0)
	for {
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		case <-changed:
		}
		t.Stop()
		_, err := d.Refresh(ctx)
		wait = directoryPoll
		if err != nil || d.View() == nil {
			wait = retryAfter
		}
	}
}

// Refresh asks the broker for a newer directory now and says whether one came. It is cheap when nothing changed: one
// request. An error means that it could not be asked, or that what it answered was refused: then nobody knows whether
// there is a newer one.
func (d *Directory) Refresh(ctx context.Context) (bool, error) {
	before := d.View()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.View() != before {
		return true, nil // somebody else just did
	}
	if d.nc == nil || !d.nc.IsConnected() {
		return false, errors.New("not connected to broker")
	}
	err := d.fetch(ctx)
	if err != nil && ctx.Err() == nil {
		code := "directory-unavailable"
		var bad *directory.Error
		if errors.As(err, &bad) {
			code = bad.Code
		}
		d.log.Error("no newer directory from the broker, keeping the one we have", "code", code, "err", err)
		if errors.Is(err, directory.ErrRollback) {
			d.alarm(store.EventDirectoryRollback, code)
		}
	}
	return d.View() != before, err
}

func (d *Directory) fetch(ctx context.Context) error {
	head, err := d.get(ctx, directory.HeadKey)
	if err != nil {
		if errors.Is(err, errAbsent) {
			return nil // not published yet
		}
		return err
	}
	var have uint64
	if v := d.View(); v != nil {
		have = v.Head().Version
	}
	h, err := directory.OpenHead(d.root, head)
	if err != nil {
		return err
	}
	if h.Version == have {
		return nil
	}
	if h.Version < have {
		return fmt.Errorf("refuse head %d after %d: %w", h.Version, have, directory.ErrRollback)
	}
	if len(h.Entries) > entriesMax {
		return fmt.Errorf("refuse head with %d entries", len(h.Entries))
	}
	entries, err := d.entries(ctx, h.Entries)
	if err != nil {
		return err
	}
	view, err := directory.Open(d.root, head, entries, have)
	if err != nil {
		// Most often the head changed while we read; the next change or poll reads it again.
		return err
	}
	all := map[string][]byte{directory.HeadKey: head}
	for k, v := range entries {
		all[k] = v
	}
	// On disk first: after a restart we must not accept an older head than one we acted on.
	if err := d.store.Update(ctx, func(tx *store.Tx) error { return tx.SaveDirectory(all) }); err != nil {
		return err
	}
	d.part = nil
	d.view.Store(view)
	d.log.Info("directory updated", "version", h.Version, "agencies", len(view.Agencies()))
	return nil
}

// entries fetches what the head lists and we do not have, some at a time. What came and has the right digest is kept also
// when another one fails, so that a large directory over a slow line arrives in the end.
func (d *Directory) entries(ctx context.Context, digests map[string]string) (map[string][]byte, error) {
	// Read when the head has changed, and not held meanwhile: of a thousand agencies it is 7 MB.
	kept, err := d.store.Directory(ctx)
	if err != nil {
		return nil, err
	}
	maps.Copy(kept, d.part)
	var mu sync.Mutex
	var wg sync.WaitGroup
	var failed error
	entries := make(map[string][]byte, len(digests))
	limit := make(chan struct{}, getsMax)
	for key, digest := range digests {
		if old, ok := kept[key]; ok && digest == digestOf(old) {
			mu.Lock()
			entries[key] = old
			mu.Unlock()
			continue
		}
		limit <- struct{}{}
		wg.Add(1)
		go func() {
			defer func() { <-limit; wg.Done() }()
			entry, err := d.get(ctx, key)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = fmt.Errorf("fetch directory entry: %w", err)
				return
			}
			entries[key] = entry
		}()
	}
	wg.Wait()
	d.part = map[string][]byte{}
	for key, entry := range entries {
		if digests[key] == digestOf(entry) {
			d.part[key] = entry
		}
	}
	return entries, failed
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

var errAbsent = errors.New("not in the directory")

// get reads one key with a direct get: an agency needs no right to make consumers for it, which would let it have messages
// pushed to subjects of its choosing.
func (d *Directory) get(ctx context.Context, key string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, ackWait)
	defer cancel()
	msg, err := d.nc.RequestWithContext(ctx, directoryGet+key, nil)
	if err != nil {
		return nil, fmt.Errorf("ask broker for directory: %w", err)
	}
	if status := msg.Header.Get("Status"); status != "" {
		if status == "404" {
			return nil, errAbsent
		}
		return nil, fmt.Errorf("ask broker for directory: status %s", status)
	}
	return msg.Data, nil
}
