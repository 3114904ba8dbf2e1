package witness_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"waypost/agents"
	"waypost/agents/link"
	"waypost/agents/store"
	"waypost/agents/vault"
	"waypost/agents/witness"
	"waypost/broker/network"
	"waypost/schemas"
	"waypost/schemas/directory"
	"waypost/schemas/envelope"
	"waypost/schemas/ledger"
)

// A liar keeps ledgers as it likes: one for all agencies, or one for each, and answers what it wants. Everything it signs it
// signs with the real key of the log.
type liar struct {
	mu    sync.Mutex
	t     *testing.T
	key   note.Signer
	view  *directory.View
	logs  map[string][][]byte // agency, or "" for all
	size  map[string]int      // how much of it is signed; all if absent
	mute  bool
	hides bool // does not pass on what others cosigned

	cosigned map[string]string
	skip     func(*ledger.InclusionRequest, *ledger.InclusionAnswer)
}

func (l *liar) log(agency string) [][]byte {
	if own, ok := l.logs[agency]; ok {
		return own
	}
	return l.logs[""]
}

func tree(raws [][]byte) (root tlog.Hash, hashes tlog.HashReader) {
	var stored []tlog.Hash
	hashes = tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(at))
		for i, x := range at {
			out[i] = stored[x]
		}
		return out, nil
	})
	var grow ledger.Tree
	for i, raw := range raws {
		h, err := tlog.StoredHashes(int64(i), raw, hashes)
		if err != nil {
			panic(err)
		}
		stored = append(stored, h...)
		grow.Append(ledger.Leaf(raw))
	}
	return grow.Root(), hashes
}

func (l *liar) checkpoint(agency string) []byte {
	raws := l.log(agency)
	if n, ok := l.size[agency]; ok {
		raws = raws[:n]
	}
	root, _ := tree(raws)
	raw, err := ledger.SignCheckpoint(int64(len(raws)), root, l.view.Head().Version, l.view.Digest(), l.key)
	if err != nil {
		l.t.Error(err)
	}
	return raw
}

func (l *liar) ask(agency string) func(context.Context, string, []byte) ([]byte, error) {
	return func(_ context.Context, verb string, data []byte) ([]byte, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.mute {
			return nil, &link.Refusal{Code: ledger.ServiceDown}
		}
		raws := l.log(agency)
		_, hashes := tree(raws)
		switch verb {
		case ledger.VerbCheckpoint:
			a := ledger.CheckpointAnswer{Checkpoint: string(l.checkpoint(agency))}
			for who, c := range l.cosigned {
				if who != agency && !l.hides {
					a.Witnessed = append(a.Witnessed, c)
				}
			}
			return ledger.Encode(a), nil
		case ledger.VerbConsistency:
			var q ledger.ConsistencyRequest
			if err := json.Unmarshal(data, &q); err != nil || q.New > int64(len(raws)) {
				return nil, &link.Refusal{Code: ledger.ServiceBad}
			}
			p, err := tlog.ProveTree(q.New, q.Old, hashes)
			return ledger.Encode(ledger.ConsistencyAnswer{Hashes: ledger.FormatHashes(p)}), err
		case ledger.VerbInclusion:
			var q ledger.InclusionRequest
			if err := json.Unmarshal(data, &q); err != nil {
				return nil, err
			}
			var a ledger.InclusionAnswer
			for _, p := range q.Places {
				var in ledger.Inclusion
				for i, raw := range raws[:q.Size] {
					if r, err := ledger.ParseRecord(raw); err == nil && r.Stream == p.Stream && r.Seq == p.Seq {
						proof, err := tlog.ProveRecord(q.Size, int64(i), hashes)
						if err != nil {
							return nil, err
						}
						in = ledger.Inclusion{Record: base64.StdEncoding.EncodeToString(raw), Index: int64(i), Hashes: ledger.FormatHashes(proof)}
					}
				}
				a.Inclusions = append(a.Inclusions, in)
			}
			if l.skip != nil {
				l.skip(&q, &a)
			}
			return ledger.Encode(a), nil
		case ledger.VerbCosign:
			l.cosigned[agency] = string(data)
			return []byte("{}"), nil
		case ledger.VerbAsked:
			var q ledger.AskedRequest
			if err := json.Unmarshal(data, &q); err != nil {
				return nil, err
			}
			return ledger.Encode(ledger.AskedAnswer{Next: q.From}), nil
		}
		return nil, &link.Refusal{Code: ledger.ServiceBad}
	}
}

// world is two agencies, each with its witness, and one liar between them.
type world struct {
	t         *testing.T
	liar      *liar
	authority *network.Authority
	view      *directory.View
	now       time.Time
	agencies  map[string]*agency
}

type agency struct {
	id      string
	vault   *vault.Vault
	store   *store.Store
	witness *witness.Witness
	dir     string
	events  []store.Event
	view    *directory.View // nil: the world's
	since   time.Time
}

const police, ngo = "north-police", "harbour-ngo"

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	a, err := network.Init(filepath.Join(dir, "network"), network.Options{Name: "Test network", URLs: []string{"nats://127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, authority: a, now: time.Now().UTC().Truncate(time.Millisecond), agencies: map[string]*agency{}}
	for id, role := range map[string]schemas.Role{police: schemas.RolePolice, ngo: schemas.RoleNGO} {
		at := filepath.Join(dir, id)
		made, err := agents.Init(at, agents.InitOptions{Agency: id, Name: id})
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(made.RequestFile)
		if err != nil {
			t.Fatal(err)
		}
		req, err := directory.ParseRequest(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Enrol(req, role, network.EnrolOptions{}); err != nil {
			t.Fatal(err)
		}
		x := &agency{id: id, dir: filepath.Join(at, "evidence")}
		if x.vault, err = vault.Open(filepath.Join(at, "keys"), nil); err != nil {
			t.Fatal(err)
		}
		if x.store, err = store.Open(filepath.Join(at, "agent.db")); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = x.store.Close() })
		w.agencies[id] = x
	}
	bundle, err := network.ReadBundle(a.BrokerBundle())
	if err != nil {
		t.Fatal(err)
	}
	w.view = a.View()
	w.now = w.now.Add(2 * time.Second) // keys are in force from a whole second
	w.liar = &liar{t: t, key: bundle.Log, view: w.view, logs: map[string][][]byte{"": {}}, size: map[string]int{}, cosigned: map[string]string{}}
	for _, x := range w.agencies {
		w.start(x)
	}
	return w
}

// start makes an agency's witness anew, as after a restart.
func (w *world) start(x *agency) {
	x.witness = witness.New(witness.Config{
		Settings: witness.Settings{Every: time.Second, Missing: time.Minute, Delayed: 5 * time.Minute, Unwitnessed: time.Hour, Quorum: 1},
		Agency:   x.id, Root: w.authority.Root(), Store: x.store, View: func() *directory.View {
			if x.view != nil {
				return x.view
			}
			return w.view
		},
		Refresh: func(context.Context) (bool, error) { return false, nil }, Ask: w.liar.ask(x.id), Since: func() time.Time { return x.since },
		Key: func() string { return x.vault.Public().SigningKey }, Cosign: x.vault.Cosign,
		Tell:  func(_ *store.Tx, e *store.Event) error { x.events = append(x.events, *e); return nil },
		Asked: func(context.Context, *ledger.Act, []byte) error { return nil }, Evidence: x.dir, Now: func() time.Time { return w.now }, Log: slog.New(slog.DiscardHandler),
	})
}

// send puts a message of the police to the NGO into the outbox as published, and returns what the broker stored.
func (w *world) send(seq uint64) *ledger.Record {
	w.t.Helper()
	x := w.agencies[police]
	m := envelope.Manifest{ID: schemas.NewMessageID(), Thread: schemas.NewThreadID(), From: police, To: ngo, Kind: schemas.KindReferral, Schema: "referral.v1",
		Lane: schemas.LaneUrgent, Sent: w.now, Basis: "vital-interests"}
	body := []byte("age-encryption.org/v1\nsealed " + m.ID)
	o := &store.Outgoing{Manifest: m, Body: body}
	err := x.store.Update(w.t.Context(), func(tx *store.Tx) error {
		return tx.AddOutgoing(o, func(m envelope.Manifest, body []byte) ([]byte, error) {
			return envelope.Sign(m, body, x.vault.Signer())
		})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	pending, err := x.store.PendingOutgoing(w.t.Context(), schemas.LaneUrgent, 1, nil)
	if err != nil || len(pending) != 1 {
		w.t.Fatalf("%d pending, %v", len(pending), err)
	}
	if err := x.store.Update(w.t.Context(), func(tx *store.Tx) error { return tx.Published(pending, []uint64{seq}, w.now) }); err != nil {
		w.t.Fatal(err)
	}
	r := ledger.Message(ledger.StreamUrgent, seq, w.now, "mail.urgent."+ngo+"."+police, pending[0].Raw())
	if r.Kind != ledger.KindMail {
		w.t.Fatal("not a message")
	}
	return r
}

func encode(t *testing.T, r *ledger.Record) []byte {
	t.Helper()
	raw, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// filler is a record about nothing that concerns the agencies.
func (w *world) filler(seq uint64) []byte {
	return encode(w.t, &ledger.Record{Kind: ledger.KindGap, Stream: ledger.StreamRoutine, Seq: seq, Last: seq, Time: w.now})
}

func (w *world) look(id string) {
	w.t.Helper()
	// A round that a liar cuts short is one that could not be finished; what matters is what was found.
	_ = w.agencies[id].witness.Look(w.t.Context())
}

// alarms lists the codes that an agency was told of; each must have its evidence on disk.
func (x *agency) alarms(t *testing.T) (codes []string) {
	t.Helper()
	for _, e := range x.events {
		codes = append(codes, e.Code)
		found, err := filepath.Glob(filepath.Join(x.dir, e.Code+"-*", "README.txt"))
		if err != nil || len(found) == 0 {
			t.Errorf("no evidence of %s on disk", e.Code)
		}
	}
	return codes
}

func (w *world) expect(id string, codes ...string) {
	w.t.Helper()
	if got := w.agencies[id].alarms(w.t); !slices.Equal(got, codes) {
		w.t.Errorf("%s raised %v, want %v", id, got, codes)
	}
}

func TestHonestLedger(t *testing.T) {
	w := newWorld(t)
	r := w.send(1)
	w.liar.logs[""] = append(w.liar.logs[""], w.filler(1), encode(t, r))
	for range 3 {
		w.look(police)
		w.look(ngo)
		w.now = w.now.Add(20 * time.Minute)
		w.liar.logs[""] = append(w.liar.logs[""], w.filler(uint64(len(w.liar.logs[""]))+1))
	}
	w.expect(police)
	w.expect(ngo)
	if n, err := w.agencies[police].store.CountUnproved(t.Context()); n != 0 || err != nil {
		t.Errorf("%d unproved, %v", n, err)
	}
	if len(w.liar.cosigned) != 2 {
		t.Errorf("%d cosigned", len(w.liar.cosigned))
	}
	if w.agencies[ngo].witness.Seen() == "" {
		t.Error("nothing to tell others")
	}
}

func TestLiar(t *testing.T) {
	for name, c := range map[string]struct {
		lie  func(w *world)
		code string
		who  string
	}{
		"drops a message": {func(w *world) {
			w.send(7)
			w.look(police)
			w.now = w.now.Add(time.Minute)
			w.look(police)
		}, witness.CodeOmits, police},
		"records another in its place": {func(w *world) {
			r, other := w.send(7), w.send(8)
			other.Seq = r.Seq
			w.liar.logs[""] = append(w.liar.logs[""], encode(w.t, other))
			w.look(police)
		}, witness.CodeContradicts, police},
		"records it with another time": {func(w *world) {
			r := w.send(7)
			r.Time = r.Time.Add(time.Hour)
			w.liar.logs[""] = append(w.liar.logs[""], encode(w.t, r))
			w.look(police)
		}, witness.CodeLate, police},
		"proves it with another proof": {func(w *world) {
			w.liar.logs[""] = append(w.liar.logs[""], encode(w.t, w.send(7)))
			w.liar.skip = func(_ *ledger.InclusionRequest, a *ledger.InclusionAnswer) {
				a.Inclusions[0].Hashes = append(a.Inclusions[0].Hashes, tlog.Hash{1}.String())
			}
			w.look(police)
		}, witness.CodeUnproved, police},
		"rolls the log back": {func(w *world) {
			w.look(police)
			w.liar.logs[""] = w.liar.logs[""][:2]
			w.look(police)
		}, witness.CodeShrank, police},
		"rolls it back and writes it anew": {func(w *world) {
			w.look(police)
			w.liar.logs[""] = append(w.liar.logs[""][:2:2], w.filler(77), w.filler(78), w.filler(79))
			w.look(police)
		}, witness.CodeFork, police},
		"another log of the same size": {func(w *world) {
			w.look(police)
			w.liar.logs[""] = append(w.liar.logs[""][:2:2], w.filler(77))
			w.look(police)
		}, witness.CodeFork, police},
		"another log after the agent's restart": {func(w *world) {
			w.look(police)
			w.start(w.agencies[police])
			w.liar.logs[""] = append(w.liar.logs[""][:2:2], w.filler(77))
			w.look(police)
		}, witness.CodeFork, police},
		"two agencies, two logs, cosignatures passed on": {func(w *world) {
			w.liar.logs[ngo] = append(w.liar.logs[""][:2:2], w.filler(77))
			w.look(ngo)
			w.look(police)
		}, witness.CodeFork, police},
		"two agencies, two logs, cosignatures hidden, a message between them": {func(w *world) {
			w.liar.logs[ngo] = append(w.liar.logs[""][:2:2], w.filler(77), w.filler(78))
			w.liar.hides = true
			w.look(ngo)
			w.look(police)
			// Sealed inside a message: the liar cannot choose what the other side sees of it.
			w.agencies[police].witness.Met(w.agencies[ngo].witness.Seen())
			w.look(police)
		}, witness.CodeFork, police},
		"two agencies, two logs, cosignatures hidden, no message": {func(w *world) {
			w.liar.logs[ngo] = append(w.liar.logs[""][:2:2], w.filler(77), w.filler(78))
			w.liar.hides = true
			w.look(ngo)
			w.look(police)
			w.now = w.now.Add(time.Hour)
			w.look(police)
		}, witness.CodeUnwitnessed, police},
		"signs with a new key": {func(w *world) {
			w.look(police)
			skey, _, err := note.GenerateKey(rand.Reader, w.liar.key.Name())
			if err != nil {
				w.t.Fatal(err)
			}
			if w.liar.key, err = note.NewSigner(skey); err != nil {
				w.t.Fatal(err)
			}
			w.look(police)
		}, witness.CodeKey, police},
		"serves an old directory": {func(w *world) {
			w.look(ngo)
			w.agencies[ngo].view = w.view
			if err := w.authority.Suspend(police); err != nil {
				w.t.Fatal(err)
			}
			w.liar.view = w.authority.View()
			w.look(ngo)
			w.now = w.now.Add(time.Second)
			w.look(ngo)
		}, witness.CodeDirectoryStale, ngo},
		"does not answer": {func(w *world) {
			w.look(police)
			w.liar.mute = true
			w.look(police)
			w.now = w.now.Add(time.Minute)
			w.look(police)
		}, witness.CodeUnavailable, police},
		"delays a message": {func(w *world) {
			r := w.send(7)
			x := w.agencies[ngo]
			m, _, err := r.Manifest()
			if err != nil {
				w.t.Fatal(err)
			}
			x.since = w.now.Add(-time.Hour)
			w.now = w.now.Add(6 * time.Minute)
			in := &store.Incoming{Manifest: *m, Note: r.Note, Body: []byte("x"), Received: w.now, StreamSeq: 7}
			if err := x.store.Update(w.t.Context(), func(tx *store.Tx) error { return tx.AddIncoming(in) }); err != nil {
				w.t.Fatal(err)
			}
			w.liar.logs[""] = append(w.liar.logs[""], encode(w.t, r))
			w.look(ngo)
		}, witness.CodeDelayed, ngo},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.liar.logs[""] = [][]byte{w.filler(1), w.filler(2), w.filler(3)}
			c.lie(w)
			w.expect(c.who, c.code)
			// While it lasts every round finds it, and nobody is told twice; nor after a restart.
			w.look(c.who)
			w.start(w.agencies[c.who])
			w.look(c.who)
			w.expect(c.who, c.code)
			if c.code == witness.CodeFork || c.code == witness.CodeShrank {
				w.bothNamed(c.who)
			}
		})
	}
}

// bothNamed: the evidence holds two checkpoints, each signed by the log, of which neither continues the other.
func (w *world) bothNamed(id string) {
	w.t.Helper()
	found, err := filepath.Glob(filepath.Join(w.agencies[id].dir, "*", "*.checkpoint"))
	if err != nil || len(found) != 2 {
		w.t.Fatalf("%v %v", found, err)
	}
	var both []*ledger.Checkpoint
	for _, path := range found {
		raw, err := os.ReadFile(path)
		if err != nil {
			w.t.Fatal(err)
		}
		c, err := ledger.ParseCheckpoint(raw)
		if err != nil {
			w.t.Fatal(err)
		}
		if err := c.Verify(w.view, w.now); err != nil {
			w.t.Errorf("%s: %v", filepath.Base(path), err)
		}
		both = append(both, c)
	}
	if both[0].Same(both[1]) {
		w.t.Error("the two checkpoints are the same")
	}
}

// TestEvidenceHoldsNoNames: what is kept beside an alarm is signed and public, and words of ours.
func TestEvidenceHoldsNoNames(t *testing.T) {
	w := newWorld(t)
	w.send(7)
	w.liar.logs[""] = [][]byte{w.filler(1)}
	w.now = w.now.Add(time.Minute)
	w.look(police)
	found, err := filepath.Glob(filepath.Join(w.agencies[police].dir, "*", "*"))
	if err != nil || len(found) < 4 {
		t.Fatalf("%v %v", found, err)
	}
	for _, path := range found {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "sealed") {
			t.Errorf("%s holds a body", filepath.Base(path))
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s may be read by others", filepath.Base(path))
		}
	}
}
