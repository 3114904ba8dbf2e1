package witness

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"waypost/agents/store"
	"waypost/schemas"
	"waypost/schemas/ledger"
)

// Codes of alarms. They go to the agency's systems; their spelling never changes.
const (
	CodeKey             = "ledger-key"         // a checkpoint that the ledger's key did not sign
	CodeFork            = "ledger-fork"        // two checkpoints of which neither continues the other
	CodeShrank          = "ledger-shrank"      // a checkpoint of fewer records than one seen before
	CodeOmits           = "ledger-omits"       // a message that the broker acknowledged is not recorded
	CodeContradicts     = "ledger-contradicts" // where our message should be, another is recorded
	CodeUnproved        = "ledger-unproved"    // a record without a valid proof
	CodeUnavailable     = "ledger-unavailable" // the ledger does not answer although the broker is reachable
	CodeUnwitnessed     = "ledger-unwitnessed" // no other agency cosigns what we are shown
	CodeDirectoryForked = "directory-forked"   // the log names another directory of the same version
	CodeDirectoryStale  = "directory-stale"    // the log names a newer directory than the broker gives us
	CodeDelayed         = "message-delayed"    // it lay at the broker while we were there to collect it
	CodeRestored        = "ledger-restored"    // not an alarm: administrators explained why the ledger went back
	CodeReplaced        = "agent-replaced"     // another agent with our keys was restored from a backup
	CodeLate            = "ledger-late"        // the ledger says that a message was stored at another time than the broker said
)

// sentences are what a person reads beside the files.
var sentences = map[string]string{
	CodeKey:             "The broker showed a checkpoint of the ledger that is not signed by the key which the network root named. Somebody may keep another ledger.",
	CodeFork:            "Two signed checkpoints cannot both be of one ledger that only grows. Whoever holds the ledger's key has shown two histories. The two files together prove it.",
	CodeShrank:          "The ledger has become shorter than it was. Both checkpoints are signed with its key.",
	CodeOmits:           "The broker acknowledged this message, or published this directory, and the ledger does not hold it.",
	CodeContradicts:     "Where the broker said it stored this message, the ledger holds something else.",
	CodeUnproved:        "The ledger gave a record without a valid proof that it stands in it.",
	CodeUnavailable:     "The ledger has not answered for long, although the broker is reachable.",
	CodeUnwitnessed:     "No other agency has lately cosigned what the broker shows as the ledger. Ask another agency which checkpoint it has.",
	CodeDirectoryForked: "The ledger names another directory of the version that this agent has. Ask the administrators for the digest of theirs.",
	CodeDirectoryStale:  "The ledger names a newer directory than the broker gives out: agencies or keys may have been suspended that this agent still trusts.",
	CodeDelayed:         "A message lay at the broker for long while this agent was connected and ready to collect it.",
	CodeRestored:        "The broker was restored from a backup, and its ledger with it. The administrators signed that; what this agent remembers of the ledger before that point agrees.",
	CodeReplaced:        "Another agent that holds this agency's keys was restored from a backup while this one was running. If both run, each gets a part of the mail. Stop one of them.",
	CodeLate:            "The ledger gives another time for a message than the one at which the broker acknowledged it.",
}

// Codes lists the codes of alarms.
func Codes() []string { return slices.Sorted(maps.Keys(sentences)) }

const advice = "\nKeep this folder. Tell the network's administrators by telephone, not through the broker, and give them a copy.\nThe agent goes on working.\n"

type file struct {
	name string
	data []byte
}

// files pairs names with checkpoints and leaves out the ones that are not there.
func files(pairs ...any) (out []file) {
	for i := 0; i+1 < len(pairs); i += 2 {
		if c, _ := pairs[i+1].(*ledger.Checkpoint); c != nil {
			out = append(out, file{pairs[i].(string), c.Raw()}) //nolint:forcetypeassert // a literal at every call
		}
	}
	return out
}

func textOf(c *ledger.Checkpoint) string {
	if c == nil {
		return ""
	}
	return c.Text()
}

// alarm is one contradiction. key tells one cause from another of the same code: while a fork lasts, every round finds it.
type alarm struct {
	code, key       string
	message, thread string
	peer            string
	files           []file
	event           string // store.EventLedgerAlarm if empty
}

// alarmsMax bounds the evidence of one code, so that a broker cannot fill the disk with it.
const alarmsMax = 100

// folder is where the evidence of an alarm is kept. over: it was told, or so many of its kind were that it will not be.
func (w *Witness) folder(a alarm) (dir string, over bool) {
	sum := sha256.Sum256([]byte(a.key + "\n" + a.message))
	dir = filepath.Join(w.Evidence, a.code+"-"+hex.EncodeToString(sum[:6]))
	if _, err := os.Stat(filepath.Join(dir, toldFile)); err == nil {
		return dir, true
	}
	have, _ := filepath.Glob(filepath.Join(w.Evidence, a.code+"-*"))
	return dir, len(have) >= alarmsMax
}

const toldFile = "told"

// raise keeps the evidence, then tells the agency's systems, once. A crash between the two is made good in the next round.
func (w *Witness) raise(ctx context.Context, a alarm) {
	dir, over := w.folder(a)
	if over {
		return
	}
	told := filepath.Join(dir, toldFile)
	level := slog.LevelError
	if a.event != "" {
		level = slog.LevelWarn
	}
	w.Log.Log(ctx, level, "the ledger needs attention", "code", a.code, "message", a.message, "peer", a.peer, "evidence", filepath.Base(dir))
	if err := w.save(dir, a); err != nil {
		w.Log.Error("evidence not kept", "code", a.code, "err", err)
		return // tried again in the next round
	}
	event := a.event
	if event == "" {
		event = store.EventLedgerAlarm
	}
	err := w.Store.Update(ctx, func(tx *store.Tx) error {
		return w.Tell(tx, &store.Event{ID: schemas.NewMessageID(), Type: event, Code: a.code, Message: a.message, Thread: a.thread, Peer: a.peer, At: w.Now()})
	})
	if err == nil {
		err = os.WriteFile(told, nil, 0o600)
	}
	if err != nil {
		w.Log.Error("alarm not told", "code", a.code, "err", err)
	}
}

func (w *Witness) save(dir string, a alarm) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	text := strings.Join([]string{a.code + "  " + w.Now().UTC().Format("2006-01-02 15:04:05 MST"), "agency " + w.Agency, "", sentences[a.code], advice}, "\n")
	if a.message != "" {
		text += "message " + a.message + "\n"
	}
	for _, f := range append(a.files, file{"README.txt", []byte(text)}) {
		if err := writeSynced(filepath.Join(dir, f.name), f.data); err != nil {
			return err
		}
	}
	return nil
}

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
