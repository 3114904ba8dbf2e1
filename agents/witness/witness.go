// Package witness is an agency's eye on the ledger. In each round it fetches the newest checkpoint, verifies that the log
// only grew since the last one it saw, compares it with what other agencies cosigned and with the directory, remembers it on
// disk, cosigns it, and looks for every message that the agency sent, accepted or was receipted.
//
// It trusts nothing that the broker says. What it cannot explain by a slow or absent broker it calls an alarm: an event that
// goes to the agency's systems, with both sides of the contradiction kept as files. An alarm is raised once for each cause;
// the agent goes on working, because stopping would be what an attacker may want.
package witness

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/note"

	"waypost/agents/link"
	"waypost/agents/store"
	"waypost/schemas/directory"
	"waypost/schemas/envelope"
	"waypost/schemas/ledger"
)

// Settings are an agency's choices.
type Settings struct {
	Every       time.Duration `yaml:"every" env:"WAYPOST_LEDGER_EVERY" validate:"gte=100ms,lte=1h"`                  // between two rounds
	Missing     time.Duration `yaml:"missing_after" env:"WAYPOST_LEDGER_MISSING_AFTER" validate:"gte=100ms"`         // a message the broker acknowledged must be recorded by then
	Delayed     time.Duration `yaml:"delayed_after" env:"WAYPOST_LEDGER_DELAYED_AFTER" validate:"gte=100ms"`         // between being stored and reaching us while we were connected
	Unwitnessed time.Duration `yaml:"unwitnessed_after" env:"WAYPOST_LEDGER_UNWITNESSED_AFTER" validate:"gte=100ms"` // without a fresh cosignature of others
	Quorum      int           `yaml:"quorum" env:"WAYPOST_LEDGER_QUORUM" validate:"gte=0,lte=100"`                   // how many others
}

// DefaultSettings suit a network whose broker signs every ten seconds, and whose other members may be away over a long weekend.
func DefaultSettings() Settings {
	return Settings{Every: 15 * time.Second, Missing: 5 * time.Minute, Delayed: 15 * time.Minute, Unwitnessed: 96 * time.Hour, Quorum: 1}
}

// Config is what a Witness works with.
type Config struct {
	Settings
	Agency   string
	Root     note.Verifier
	Store    *store.Store
	View     func() *directory.View                                                 // nil before the first directory
	Refresh  func(context.Context) (bool, error)                                    // asks for a newer directory
	Ask      func(ctx context.Context, verb string, request []byte) ([]byte, error) // the ledger's services
	Since    func() time.Time                                                       // link.Link.Since
	Key      func() string                                                          // our signing key as a note verifier key
	Cosign   func(message []byte) ([]byte, error)                                   // signs with it
	Sign     store.Signer                                                           // signs envelopes with it
	Tell     func(tx *store.Tx, e *store.Event) error                               // hands an event to the agency's systems
	Asked    func(ctx context.Context, act *ledger.Act, note []byte) error          // an administrator's verified request
	Evidence string                                                                 // folder for the files of alarms
	Now      func() time.Time
	Log      *slog.Logger
}

// Witness watches one ledger for one agency. Run it again only after it has returned.
type Witness struct {
	Config

	compared map[string]bool      // other agencies' checkpoints found consistent, by text
	fresh    time.Time            // when enough others last had a checkpoint that ours continues
	since    map[string]time.Time // when a condition was first met that is an alarm only if it lasts
	parted   [2]string            // ours and theirs, when the latter last did not continue the former
	cosigned string               // text of the last checkpoint that was cosigned and handed in

	round sync.Mutex // one look at a time

	mu  sync.Mutex
	met []string // checkpoints that came with messages

	seen   atomic.Pointer[string] // what we tell others that we have seen
	looked atomic.Pointer[Sight]
}

// New prepares a witness.
func New(c Config) *Witness {
	w := &Witness{Config: c, compared: map[string]bool{}, since: map[string]time.Time{}, fresh: c.Now()}
	w.looked.Store(&Sight{At: c.Now()})
	return w
}

// Sight is when the ledger was last found to continue what was seen before, and how many records it had.
type Sight struct {
	At      time.Time // of the first look: when the witness was made
	Records int64     // 0 before the first look
}

// Last returns it. It is safe for concurrent use.
func (w *Witness) Last() Sight { return *w.looked.Load() }

// Run looks every so often until ctx ends.
func (w *Witness) Run(ctx context.Context) {
	// Nobody looked while another agent of the agency did: what lasts is counted from now.
	w.since, w.fresh = map[string]time.Time{}, w.Now()
	tick := time.NewTicker(w.Every)
	defer tick.Stop()
	for {
		if err := w.Look(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, link.ErrOffline) {
			w.Log.Debug("ledger not looked at, trying again", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-w.Store.Woken(store.Acts):
		}
	}
}

// Look is one round. An error means that the round could not be finished, not that something was found.
func (w *Witness) Look(ctx context.Context) error {
	w.round.Lock()
	defer w.round.Unlock()
	view := w.View()
	if view == nil {
		return nil
	}
	if _, ok := view.Log(); !ok {
		return nil
	}
	// Acts first: they need no checkpoint, and one may be that of a person who waits.
	if err := w.handIn(ctx); err != nil && !errors.Is(err, link.ErrOffline) {
		w.Log.Warn("acts wait for the ledger", "err", err)
	}
	ours, err := w.last(ctx)
	if err != nil {
		return err
	}
	if ours != nil && w.Seen() == "" {
		w.tell(ours)
	}
	answer, err := ask[ledger.CheckpointAnswer](ctx, w, ledger.VerbCheckpoint, nil)
	if err != nil {
		return w.silent(ctx, ours, err)
	}
	delete(w.since, "silent")
	theirs, err := w.verified(ctx, ours, answer.Checkpoint)
	if theirs == nil || err != nil {
		return err
	}
	grew, err := w.grown(ctx, ours, theirs)
	if err != nil || !grew {
		return err
	}
	if err := w.others(ctx, theirs, slices.Concat(answer.Witnessed, []string{answer.Checkpoint}, w.takeMet())); err != nil {
		return err
	}
	if err := w.directory(ctx, theirs); err != nil {
		return err
	}
	if err := w.keep(ctx, ours, theirs); err != nil {
		return err
	}
	w.looked.Store(&Sight{At: w.Now(), Records: theirs.Size})
	if err := w.messages(ctx, theirs); err != nil {
		return err
	}
	return w.asked(ctx)
}

// ask asks a service and reads its answer.
func ask[T any](ctx context.Context, w *Witness, verb string, request any) (*T, error) {
	var raw []byte
	if request != nil {
		raw = ledger.Encode(request)
	}
	out, err := w.Ask(ctx, verb, raw)
	if err != nil {
		return nil, err
	}
	return decode[T](out)
}

// insist asks again while the ledger says that we ask too often: for what must not wait for the next round.
func insist[T any](ctx context.Context, w *Witness, verb string, request any) (*T, error) {
	for tries := 0; ; tries++ {
		a, err := ask[T](ctx, w, verb, request)
		var r *link.Refusal
		if tries == 20 || !errors.As(err, &r) || r.Code != ledger.ServiceBusy || !pause(ctx, time.Second/2) {
			return a, err
		}
	}
}

func decode[T any](raw []byte) (*T, error) {
	v := new(T)
	if err := json.Unmarshal(raw, v); err != nil {
		return nil, errors.New("read answer of ledger: not as documented")
	}
	return v, nil
}

// last is the newest checkpoint that we found consistent; nil before the first.
func (w *Witness) last(ctx context.Context) (*ledger.Checkpoint, error) {
	raw, err := w.Store.Checkpoint(ctx)
	if err != nil || raw == nil {
		return nil, err
	}
	return ledger.ParseCheckpoint(raw)
}

// silent: while we are connected, a ledger that does not answer for long is one that has something to hide, or needs help.
func (w *Witness) silent(ctx context.Context, ours *ledger.Checkpoint, err error) error {
	var r *link.Refusal
	if errors.Is(err, link.ErrOffline) || ctx.Err() != nil || errors.As(err, &r) && r.Code == ledger.ServiceAbsent && ours == nil {
		delete(w.since, "silent")
		return err
	}
	if w.lasts("silent", w.Missing) {
		w.raise(ctx, alarm{code: CodeUnavailable, files: files("ours.checkpoint", ours)})
	}
	return err
}

// lasts reports whether a condition has been met, without a break, for a time. Whoever finds it ended deletes it.
func (w *Witness) lasts(what string, long time.Duration) bool {
	now := w.Now()
	if w.since[what].IsZero() {
		w.since[what] = now
	}
	return now.Sub(w.since[what]) >= long
}

// verified reads a checkpoint and accepts it only with the signature of a key that the network root named. Nil without an
// error when it does not have one.
func (w *Witness) verified(ctx context.Context, ours *ledger.Checkpoint, raw string) (*ledger.Checkpoint, error) {
	c, err := ledger.ParseCheckpoint([]byte(raw))
	if err == nil {
		if err = c.Verify(w.View(), w.Now()); err != nil {
			// A new key may have been named since: ask before accusing.
			if _, fresh := w.Refresh(ctx); fresh != nil {
				return nil, fmt.Errorf("refresh directory: %w", fresh)
			}
			err = c.Verify(w.View(), w.Now())
		}
	}
	if err != nil {
		w.raise(ctx, alarm{code: CodeKey, key: textOf(ours), files: append(files("ours.checkpoint", ours), file{"theirs.checkpoint", []byte(raw)})})
		return nil, nil
	}
	return c, nil
}

// grown verifies that theirs continues ours, or that administrators explain why not. False when it does not, or is older, and
// there is nothing more to do with it.
func (w *Witness) grown(ctx context.Context, ours, theirs *ledger.Checkpoint) (bool, error) {
	if ours == nil {
		return true, nil
	}
	older, newer, code := ours, theirs, CodeFork
	if theirs.Size < ours.Size {
		older, newer, code = theirs, ours, CodeShrank
	}
	if w.parted == [2]string{ours.Text(), theirs.Text()} {
		return false, nil // found before, and nothing that could explain it has been recorded since
	}
	holds, proof, err := w.consistent(ctx, older, newer)
	if err != nil {
		return false, err
	}
	if !holds {
		if err := w.heal(ctx, ours, theirs); err != nil {
			return false, err
		}
		act, err := w.explained(ctx, ours, theirs)
		if err != nil {
			return false, err
		}
		if act != nil {
			return true, w.accept(ctx, ours, theirs, act)
		}
		w.raise(ctx, alarm{code: code, key: textOf(ours), files: append(files("ours.checkpoint", ours, "theirs.checkpoint", theirs), proof...)})
		w.parted = [2]string{ours.Text(), theirs.Text()}
		w.Log.Debug("the ledger does not continue what this agent saw, and nothing in it explains why", "known", ours.Size, "records", theirs.Size)
		return false, nil
	}
	if code == CodeShrank {
		// It can prove what we have seen and shows less: another node that lags, for a moment.
		if w.lasts("behind", w.Missing) {
			w.raise(ctx, alarm{code: CodeShrank, key: textOf(ours), files: files("ours.checkpoint", ours, "theirs.checkpoint", theirs)})
		}
		return false, nil
	}
	delete(w.since, "behind")
	return true, nil
}

// consistent asks for the proof that newer continues older and checks it. False when the ledger gives none, or a wrong one.
func (w *Witness) consistent(ctx context.Context, older, newer *ledger.Checkpoint) (bool, []file, error) {
	var hashes []string
	if older.Size > 0 && older.Size < newer.Size {
		a, err := insist[ledger.ConsistencyAnswer](ctx, w, ledger.VerbConsistency, ledger.ConsistencyRequest{Old: older.Size, New: newer.Size})
		var r *link.Refusal
		switch {
		case errors.As(err, &r) && r.Code == ledger.ServiceBad:
			// "There is no such size": of a checkpoint that this very log signed.
			return false, nil, nil
		case err != nil:
			return false, nil, err
		}
		hashes = a.Hashes
	}
	if err := ledger.CheckConsistency(older, newer, hashes); err != nil {
		return false, []file{{"consistency.json", ledger.Encode(ledger.ConsistencyAnswer{Hashes: hashes})}}, nil
	}
	return true, nil, nil
}

// keep remembers the checkpoint, then cosigns it and hands the cosignature in. In this order: after a crash we must not
// accept a log that contradicts what we have put our name to.
func (w *Witness) keep(ctx context.Context, ours, theirs *ledger.Checkpoint) error {
	if ours == nil || !ours.Same(theirs) {
		if err := w.Store.Update(ctx, func(tx *store.Tx) error { return tx.SaveCheckpoint(theirs.Raw(), theirs.Size, w.Now()) }); err != nil {
			return fmt.Errorf("keep checkpoint: %w", err)
		}
	}
	w.tell(theirs)
	if w.cosigned == theirs.Text() {
		return nil
	}
	signed, err := theirs.Only(w.Agency).Cosign(w.Key(), w.Now(), w.Cosign)
	if err != nil {
		return err
	}
	_, err = w.Ask(ctx, ledger.VerbCosign, signed.Only(w.Agency).Raw())
	var r *link.Refusal
	if errors.As(err, &r) && r.Code == ledger.ServiceBusy {
		return nil // the next checkpoint's will do
	}
	if err != nil {
		return err
	}
	w.cosigned = theirs.Text()
	return nil
}

// Seen is the newest checkpoint that we found consistent, with the log's signature: what goes along with each message, so
// that its recipient can tell whether we are shown the same ledger. Empty before the first.
func (w *Witness) Seen() string {
	if s := w.seen.Load(); s != nil {
		return *s
	}
	return ""
}

func (w *Witness) tell(c *ledger.Checkpoint) {
	if s := string(c.Only("").Raw()); len(s) <= envelope.MaxSeen {
		w.seen.Store(&s)
	}
}
