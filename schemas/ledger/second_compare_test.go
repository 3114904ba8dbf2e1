package ledger

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"waypost/schemas"
	"waypost/schemas/directory"
	"waypost/schemas/envelope"
)

func pick[T any](rng *rand.Rand, of []T) T { return of[rng.IntN(len(of))] }

// hostile is what a broker, an agency or a thief of a key could do to the log. Each does it at the end of the log as it is.
var hostile = map[string]func(*world){
	"message lost": func(w *world) {
		m := w.someManifest()
		w.seqs[pairOf(m.From, m.To, m.Lane)] += uint64(1 + w.rng.IntN(3))
		m.Seq = w.seqs[pairOf(m.From, m.To, m.Lane)]
		w.send(m)
	},
	"number again": func(w *world) {
		if old, ok := w.someSent(); ok {
			m := w.manifest(old.From, old.To, old.Kind, old.Lane)
			w.seqs[pairOf(old.From, old.To, old.Lane)]--
			m.Seq, m.ReplyTo, m.Outcome, m.Code = old.Seq, old.ReplyTo, old.Outcome, old.Code
			w.send(m)
		}
	},
	"number of a lost one": func(w *world) {
		m := w.someManifest()
		p := pairOf(m.From, m.To, m.Lane)
		w.seqs[p] += 2
		late := m
		m.Seq, m.ID = w.seqs[p], w.uuid(7)
		w.send(m)
		w.send(late)
	},
	"far back": func(w *world) {
		m := w.manifest(police, council, schemas.KindConsentWithdrawal, schemas.LaneUrgent)
		p := pairOf(m.From, m.To, m.Lane)
		w.seqs[p] += uint64(w.rng.IntN(140))
		again := w.manifest(police, council, schemas.KindConsentWithdrawal, schemas.LaneUrgent)
		w.send(m)
		w.send(again)
		m.ID, m.Thread = w.uuid(7), w.uuid(4)
		w.send(m)
	},
	"restored": func(w *world) {
		n := 1 + w.rng.Int64N(int64(len(w.recs))+2) // now and then beyond the end
		w.act(Act{Act: ActRestored, Records: n, Lost: n + w.rng.Int64N(3), Root: emptyRoot.String()}, w.root)
		w.act(Act{Act: ActRecovers, Since: &start}, w.keys[police])
	},
	"restored by a line of no form": func(w *world) {
		a := Act{Type: ActType, ID: w.uuid(7), By: directory.RootName, Act: ActRestored, At: w.tick(), Records: 2, Lost: 3, Root: emptyRoot.String()}
		signer := w.root
		switch w.rng.IntN(6) {
		case 0:
			a.Lost = 1
		case 1:
			a.Root = "AAAA"
		case 2:
			a.Records = 0
		case 3:
			a.Count = 1
		case 4:
			a.Act, a.Since = ActRecovers, &start
		case 5:
			a.By, signer = police, w.keys[police]
		}
		raw, err := envelope.SignLine(&a, signer)
		w.must(err)
		w.recs = append(w.recs, &Record{Kind: KindAct, Time: w.clock, Note: raw})
	},
	"lost and withdrawn since": func(w *world) {
		for range 1 + w.rng.IntN(2) {
			m := w.someManifest()
			m.Outcome, m.Code = schemas.OutcomeVoid, schemas.CodeLostInRestore
			w.send(m)
			w.send(w.receipt(m, schemas.OutcomeDelivered))
		}
		if n := int64(len(w.recs)); w.rng.IntN(2) == 0 {
			w.act(Act{Act: ActRestored, Records: n, Lost: n + w.rng.Int64N(3), Root: emptyRoot.String()}, w.root)
		}
	},
	"void instead": func(w *world) {
		if old, ok := w.someSent(); ok && old.Kind != schemas.KindReceipt {
			m := old
			m.Outcome, m.Code = schemas.OutcomeVoid, "taken-back"
			w.send(m)
		}
	},
	"void then sent": func(w *world) {
		m := w.someManifest()
		v := m
		v.Outcome = schemas.OutcomeVoid
		w.send(v)
		w.send(m)
	},
	"void then two of one id": func(w *world) {
		v := w.someManifest()
		a, b := v, v
		v.Outcome = schemas.OutcomeVoid
		b.Thread = w.uuid(4)
		w.send(v)
		w.send(a)
		w.send(b)
	},
	"void then two of one number": func(w *world) {
		v := w.someManifest()
		a, b := v, v
		v.Outcome = schemas.OutcomeVoid
		b.ID = w.uuid(7)
		w.send(v)
		w.send(a)
		w.send(b)
	},
	"void of another id": func(w *world) {
		if old, ok := w.someSent(); ok && old.Kind != schemas.KindReceipt {
			m := old
			m.ID, m.Outcome = w.uuid(7), schemas.OutcomeVoid
			w.send(m)
		}
	},
	"same again": func(w *world) {
		if old, ok := w.someSent(); ok {
			w.store(streamOf(old.Lane), old.Subject(), w.raws[old.ID])
		}
	},
	"altered": func(w *world) {
		if old, ok := w.someSent(); ok {
			m := w.manifest(old.From, old.To, old.Kind, old.Lane)
			m.ID, m.ReplyTo, m.Outcome, m.Code = old.ID, old.ReplyTo, old.Outcome, old.Code
			w.send(m)
		}
	},
	"id of somebody else": func(w *world) {
		if old, ok := w.someSent(); ok {
			m := w.someManifest()
			m.ID = old.ID
			w.send(m)
		}
	},
	"receipt for nothing": func(w *world) {
		m := w.someManifest()
		w.seqs[pairOf(m.From, m.To, m.Lane)]--
		w.send(w.receipt(m, schemas.OutcomeDelivered))
	},
	"receipt before message": func(w *world) {
		m := w.someManifest()
		w.send(w.receipt(m, schemas.OutcomeDelivered))
		w.send(m)
	},
	"receipt by another": func(w *world) {
		if old, ok := w.someSent(); ok {
			r := w.manifest(w.otherThan(old.To), old.From, schemas.KindReceipt, schemas.LaneReceipt)
			if r.From == r.To {
				w.seqs[pairOf(r.From, r.To, r.Lane)]--
				return
			}
			r.ReplyTo, r.Outcome = old.ID, schemas.OutcomeDelivered
			w.send(r)
		}
	},
	"receipt to another": func(w *world) {
		if old, ok := w.someSent(); ok {
			r := w.manifest(old.To, w.otherThan(old.From), schemas.KindReceipt, schemas.LaneReceipt)
			if r.From == r.To {
				w.seqs[pairOf(r.From, r.To, r.Lane)]--
				return
			}
			r.ReplyTo, r.Outcome = old.ID, schemas.OutcomeDelivered
			w.send(r)
		}
	},
	"receipts differ": func(w *world) {
		m := w.someManifest()
		w.send(m)
		a := w.rng.IntN(3)
		w.send(w.receipt(m, schemas.ReceiptOutcomes()[a]))
		w.send(w.receipt(m, schemas.ReceiptOutcomes()[(a+1)%3]))
	},
	"receipts agree": func(w *world) {
		m := w.someManifest()
		w.send(m)
		w.send(w.receipt(m, schemas.OutcomeRejected))
		w.send(w.receipt(m, schemas.OutcomeRejected))
	},
	"receipt for a receipt": func(w *world) {
		m := w.someManifest()
		w.send(m)
		r := w.receipt(m, schemas.OutcomeDelivered)
		w.send(r)
		w.send(w.receipt(r, schemas.OutcomeDelivered))
	},
	"strange key": func(w *world) {
		m := w.someManifest()
		w.sendBy(m, newKey(w.t, m.From, 4711))
		w.seqs[pairOf(m.From, m.To, m.Lane)]--
	},
	"name of another on the signature": func(w *world) {
		m := w.someManifest()
		w.seqs[pairOf(m.From, m.To, m.Lane)]--
		m.Type, m.Body, m.Size = envelope.ManifestType, "sha256:"+strings.Repeat("a", 64), 40
		raw, err := envelope.SignLine(&m, w.keys[w.otherThan(m.From)])
		w.must(err)
		w.forceMail(m, raw)
	},
	"before the key was in force": func(w *world) {
		m := w.someManifest()
		m.Sent = start.Add(-time.Millisecond)
		w.send(m)
		w.seqs[pairOf(m.From, m.To, m.Lane)]--
	},
	"no agreement": func(w *world) {
		ids := w.ids()
		w.send(w.manifest(ids[2], ids[0], schemas.KindMessage, schemas.LaneRoutine))
	},
	"other direction": func(w *world) {
		ids := w.ids()
		w.send(w.manifest(ids[1], ids[0], pick(w.rng, []schemas.Kind{schemas.KindReferral, schemas.KindMessage, schemas.KindReferralUpdate, schemas.KindInformationAnswer}), schemas.LaneRoutine))
	},
	"any kind": func(w *world) {
		ids := w.ids()
		i := w.rng.IntN(4)
		k := pick(w.rng, schemas.Kinds())
		if k == schemas.KindReceipt {
			return
		}
		m := w.manifest(ids[i], ids[(i+1+w.rng.IntN(3))%4], k, schemas.LaneRoutine)
		m.ReplyTo = w.uuid(7)
		w.send(m)
	},
	"unknown kind": func(w *world) {
		ids := w.ids()
		w.send(w.manifest(ids[0], ids[1], "tea", schemas.LaneRoutine))
	},
	"to nobody": func(w *world) {
		m := w.manifest(police, "nobody-here", pick(w.rng, []schemas.Kind{schemas.KindReferral, schemas.KindConsentWithdrawal}), schemas.LaneUrgent)
		w.send(m)
	},
	"suspended": func(w *world) {
		a := w.agencyNow(pick(w.rng, w.ids()))
		a.State = directory.StateSuspended
		w.put(a)
		w.head()
	},
	"agreement ends": func(w *world) {
		g := agreement("a0", w.ids()[0], w.ids()[1], schemas.KindReferral, schemas.KindMessage)
		end := w.tick()
		if w.rng.IntN(2) == 0 {
			g.Until = &end
		} else {
			g.Ended = &end
		}
		w.put(g)
		w.head()
	},
	"agency leaves": func(w *world) {
		delete(w.entries, directory.AgencyKey(pick(w.rng, w.ids())))
		w.head()
	},
	"clock back": func(w *world) { w.clock = w.clock.Add(-time.Duration(w.rng.IntN(200)) * time.Second) },
	"clock back by one second": func(w *world) {
		m := w.someManifest()
		r := w.send(m)
		r.Time = w.clock
		m2 := w.manifest(m.From, m.To, schemas.KindReferral, m.Lane)
		r2 := w.send(m2)
		r2.Time = r.Time.Add(-time.Second - time.Duration(w.rng.IntN(2))*time.Millisecond)
	},
	"numbers of a stream skipped": func(w *world) { w.numbers[pick(w.rng, Streams())] += uint64(1 + w.rng.IntN(2)) },
	"numbers of a stream again": func(w *world) {
		if s := pick(w.rng, Streams()); w.numbers[s] > 2 {
			w.numbers[s] -= uint64(1 + w.rng.IntN(2))
		}
	},
	"gap":         func(w *world) { w.gap(pick(w.rng, Streams()), uint64(1+w.rng.IntN(3))) },
	"opaque":      func(w *world) { w.store(pick(w.rng, Streams()), "mail.routine.x.y", []byte("garbage")) },
	"deleted key": func(w *world) { w.store(StreamDirectory, "$KV.DIRECTORY.agreement.a1", nil) },
	"expired": func(w *world) {
		if m, ok := w.someSent(); ok {
			w.expire(m.ID)
		}
	},
	"expired too early": func(w *world) {
		s := pick(w.rng, []string{StreamUrgent, StreamRoutine, StreamReceipt})
		w.recs = append(w.recs, &Record{Kind: KindExpired, Time: w.tick(), Stream: s, Seq: w.numbers[s] + 1})
	},
	"act by another": func(w *world) {
		id := pick(w.rng, w.ids())
		w.act(Act{Act: ActErased, Thread: w.uuid(4)}, newKey(w.t, id, 99))
	},
	"act of an agency as the root": func(w *world) {
		a := Act{Type: ActType, ID: w.uuid(7), By: police, Act: ActRedeliver, At: w.tick(), Agency: ngo, Since: &start}
		raw, err := envelope.SignLine(&a, w.keys[police])
		w.must(err)
		w.recs = append(w.recs, &Record{Kind: KindAct, Time: w.clock, Note: raw})
	},
	"act with too much": func(w *world) {
		a := Act{Type: ActType, ID: w.uuid(7), By: police, Act: ActDisclosed, At: w.tick(), Message: w.uuid(7), Count: 3}
		raw, err := envelope.SignLine(&a, w.keys[police])
		w.must(err)
		w.recs = append(w.recs, &Record{Kind: KindAct, Time: w.clock, Note: raw})
	},
	"act in another's name": func(w *world) {
		a := Act{Type: ActType, ID: w.uuid(7), By: police, Act: ActDisclosed, At: w.tick(), Message: w.uuid(7)}
		raw, err := envelope.SignLine(&a, w.keys[ngo])
		w.must(err)
		w.recs = append(w.recs, &Record{Kind: KindAct, Time: w.clock, Note: raw})
	},
	"act of garbage": func(w *world) {
		w.recs = append(w.recs, &Record{Kind: KindAct, Time: w.tick(), Note: []byte("{}\n")})
	},
	"older head": func(w *world) {
		if w.version > 1 {
			w.store(StreamDirectory, DirectoryPrefix+directory.HeadKey, w.makeHead(w.version-1))
		}
	},
	"same version": func(w *world) {
		if w.tick(); w.version == 0 {
			return
		}
		w.store(StreamDirectory, DirectoryPrefix+directory.HeadKey, w.makeHead(w.version))
	},
	"same head": func(w *world) {
		for _, r := range slices.Backward(w.recs) {
			if r.Kind == KindDirectory && r.Key() == directory.HeadKey {
				w.store(StreamDirectory, r.Subject, r.Note)
				return
			}
		}
	},
	"forged entry": func(w *world) {
		thief := newKey(w.t, directory.RootName, 4711)
		raw, err := directory.SignAgreement(agreement("a1", police, ngo, schemas.KindReferral), thief)
		w.must(err)
		w.store(StreamDirectory, DirectoryPrefix+"agreement.a1", raw)
	},
	"forged head": func(w *world) {
		h := directory.Head{Version: w.version + 1, Issued: w.clock, Expires: w.clock.Add(time.Hour)}
		raw, err := directory.SignHead(h, newKey(w.t, directory.RootName, 4711))
		w.must(err)
		w.store(StreamDirectory, DirectoryPrefix+directory.HeadKey, raw)
	},
	"entry never recorded": func(w *world) {
		g, err := directory.SignAgreement(agreement("secret", police, council, schemas.KindReferral), w.root)
		w.must(err)
		w.entries["agreement.secret"] = g
		w.head()
		delete(w.entries, "agreement.secret")
	},
	"entry after head": func(w *world) {
		g, err := directory.SignAgreement(agreement("after", police, council, schemas.KindReferral), w.root)
		w.must(err)
		w.entries["agreement.after"] = g
		w.head()
		w.store(StreamDirectory, DirectoryPrefix+"agreement.after", g)
	},
	"new head": func(w *world) { w.head() },
	"new key": func(w *world) {
		id := pick(w.rng, w.ids())
		now := w.tick()
		old := w.keys[id]
		w.keys[id] = newKey(w.t, id, w.rng.Uint64())
		w.put(w.agency(id, directory.Key{Key: old.vkey, From: start, Until: &now}, directory.Key{Key: w.keys[id].vkey, From: now}))
		w.head()
	},
	"mail that is no manifest": func(w *world) {
		s := pick(w.rng, []string{StreamUrgent, StreamRoutine})
		w.numbers[s]++
		w.recs = append(w.recs, &Record{Kind: KindMail, Time: w.tick(), Stream: s, Seq: w.numbers[s], Note: []byte("no manifest\n")})
	},
	"manifest that breaks a rule": func(w *world) {
		m := w.someManifest()
		w.seqs[pairOf(m.From, m.To, m.Lane)]--
		m.Type, m.Schema = envelope.ManifestType, "other.v1"
		raw, err := envelope.SignLine(&m, w.keys[m.From])
		w.must(err)
		w.forceMail(m, raw)
	},
	"no record": func(w *world) {
		w.recs = append(w.recs, &Record{Kind: kindRaw, Note: []byte(pick(w.rng, []string{"", "x", "{}\n", `{"type":"waypost.record.v1","kind":"act"}` + "\n"}))})
	},
	"checkpoint": func(w *world) { w.checkpoint() },
}

func (w *world) agencyNow(id string) directory.Agency { return w.agency(id) }

func (w *world) otherThan(id string) string {
	return pick(w.rng, slices.DeleteFunc(w.ids(), func(x string) bool { return x == id }))
}

// someManifest is one that may flow.
func (w *world) someManifest() envelope.Manifest {
	ids := w.ids()
	i := w.rng.IntN(len(ids))
	return w.manifest(ids[i], ids[(i+1)%len(ids)], pick(w.rng, []schemas.Kind{schemas.KindReferral, schemas.KindMessage, schemas.KindReferralUpdate}), pick(w.rng, []schemas.Lane{schemas.LaneUrgent, schemas.LaneRoutine}))
}

func (w *world) someSent() (envelope.Manifest, bool) {
	if len(w.sent) == 0 {
		return envelope.Manifest{}, false
	}
	m := pick(w.rng, w.sent)
	return m, w.keys[m.To] != nil
}

// forceMail records a signed line as mail, whatever it is.
func (w *world) forceMail(m envelope.Manifest, raw []byte) {
	s := streamOf(m.Lane)
	w.numbers[s]++
	w.recs = append(w.recs, &Record{Kind: KindMail, Time: w.tick(), Stream: s, Seq: w.numbers[s], Note: raw})
}

// lies are what can be done to the checkpoints of a log that is built.
var lies = map[string]func(*world){
	"none":            func(*world) {},
	"no checkpoints":  func(w *world) { w.cps = nil },
	"only the oldest": func(w *world) { w.cps = w.cps[:min(1, len(w.cps))] },
	"garbage":         func(w *world) { w.cps = append(w.cps, []byte("garbage\n")) },
	"twice":           func(w *world) { w.cps = append(w.cps, w.cps...) },
	"strange log key": func(w *world) {
		raw, err := SignCheckpoint(int64(len(w.raw)), w.rootAt(len(w.raw)), 1, directory.Digest(nil), newKey(w.t, w.origin, 4711))
		w.must(err)
		w.cps = append(w.cps, raw)
	},
	"another origin": func(w *world) {
		raw, err := SignCheckpoint(int64(len(w.raw)), w.rootAt(len(w.raw)), 1, directory.Digest(nil), newKey(w.t, "waypost-log-0123456789abcdef", w.seed))
		w.must(err)
		w.cps = append(w.cps, raw)
	},
	"fork": func(w *world) {
		n := len(w.raw)
		root := w.rootAt(n)
		root[w.rng.IntN(32)] ^= 1
		w.cps = append(w.cps, w.signCheckpoint(w.now(n), root, w.heads[n-1]))
	},
	"beyond": func(w *world) {
		n := len(w.raw)
		w.cps = append(w.cps, w.signCheckpoint(w.now(n+1+w.rng.IntN(5)), w.rootAt(n), w.heads[n-1]))
	},
	"other directory": func(w *world) {
		n := len(w.raw)
		h := w.heads[n-1]
		if w.rng.IntN(2) == 0 {
			h.version++
		} else {
			h.digest = directory.Digest([]byte("x"))
		}
		w.cps = append(w.cps, w.signCheckpoint(w.now(n), w.rootAt(n), h))
	},
	"cosigned by a stranger": func(w *world) {
		w.cosignLast("stranger-shelter", newKey(w.t, "stranger-shelter", 3), start.Add(time.Hour))
	},
	"cosigned with another key": func(w *world) { w.cosignLast(ngo, newKey(w.t, ngo, 4711), start.Add(time.Hour)) },
	"cosigned before the key":   func(w *world) { w.cosignLast(ngo, w.keys[ngo], start.Add(-time.Second)) },
	"cosigned by one":           func(w *world) { w.build(ngo) },
	"cosigned by none": func(w *world) {
		w.build("")
	},
}

func (w *world) rootAt(n int) tlog.Hash {
	var t Tree
	for _, raw := range w.raw[:n] {
		t.Append(Leaf(raw))
	}
	return t.Root()
}

func (w *world) cosignLast(_ string, k *key, at time.Time) {
	if len(w.cps) == 0 {
		return
	}
	c, err := ParseCheckpoint(w.cps[len(w.cps)-1])
	w.must(err)
	c, err = c.Cosign(k.vkey, at, k.Sign)
	w.must(err)
	w.cps[len(w.cps)-1] = c.Raw()
}

// hostileWorld is a log to which a few of these things were done.
func hostileWorld(t testing.TB, seed uint64) (w *world, did []string) {
	w = emptyWorld(t, seed, police, ngo, housing, council)
	names := slices.Sorted(maps.Keys(hostile))
	if w.rng.IntN(20) > 0 {
		w.publishAll()
	}
	n := w.rng.IntN(6)
	w.traffic(2 + w.rng.IntN(4))
	for range n {
		name := pick(w.rng, names)
		did = append(did, name)
		hostile[name](w)
		w.traffic(1 + w.rng.IntN(3))
		if w.rng.IntN(3) == 0 {
			w.checkpoint()
		}
	}
	if w.rng.IntN(8) > 0 {
		w.checkpoint()
	}
	w.build()
	lie := "none"
	if w.rng.IntN(3) == 0 {
		lie = pick(w.rng, slices.Sorted(maps.Keys(lies)))
	}
	if n := len(w.heads); w.heads[n-1].version > 0 {
		lies[lie](w)
	}
	return w, append(did, "| "+lie)
}

var checkpointCodes = []Code{FindCheckpoint, FindFork, FindBeyond, FindStale, FindCosignature}
var wholeCodes = []Code{FindNoCheckpoint, FindUnwitnessed, FindTail}

// compare says where two verifiers differ about one bundle; "" when they agree.
func compare(t testing.TB, dir string, w *world, quorum int) (string, map[Code]int) {
	t.Helper()
	second := secondVerify(dir, w.root.vkey, quorum)
	b, err := OpenBundle(dir)
	if (err != nil) != second.files {
		return fmt.Sprintf("open: %v, second says %v", err, second.files), nil
	}
	if err != nil {
		if !errors.Is(err, ErrBundle) {
			t.Errorf("open: %v is not ErrBundle", err)
		}
		return "", map[Code]int{FindFiles: 1}
	}
	s, found, err := runAudit(t, b, w.root, quorum)
	if (err != nil) != second.unread {
		return fmt.Sprintf("verify: %v, second says %v", err, second.unread), nil
	}
	if err != nil {
		return "", nil
	}
	first := map[Code][]int64{}
	counts := map[Code]int{}
	for _, f := range found {
		n := f.Record
		switch {
		case slices.Contains(checkpointCodes, f.Code):
			n = f.Size // 0 for a forged one: its size is nobody's word
		case slices.Contains(wholeCodes, f.Code):
			n = 0
		}
		first[f.Code] = append(first[f.Code], n)
		counts[f.Code]++
		if s.Findings[f.Code] == 0 {
			t.Errorf("%s was told and not counted", f.Code)
		}
	}
	for _, c := range wholeCodes {
		if len(second.found[c]) > 0 {
			second.found[c] = []int64{0}
		}
	}
	broken := false
	for c, list := range second.found {
		slices.Sort(list)
		broken = broken || severity(c) == Broken && len(list) > 0
	}
	for _, list := range first {
		slices.Sort(list)
	}
	var diff strings.Builder
	codes := slices.Sorted(maps.Keys(first))
	for c := range second.found {
		if !slices.Contains(codes, c) {
			codes = append(codes, c)
		}
	}
	for _, c := range codes {
		if !slices.Equal(first[c], second.found[c]) {
			fmt.Fprintf(&diff, "\n  %s: Verify %v, second %v", c, first[c], second.found[c])
		}
	}
	if diff.Len() == 0 && s.Clean() == broken {
		fmt.Fprintf(&diff, "clean: Verify %v, second %v", s.Clean(), !broken)
	}
	return diff.String(), counts
}

// Two verifiers, one made from the documentation alone, find the same in the same logs.
func TestSecondVerifier(t *testing.T) {
	runs := uint64(600)
	if raceEnabled || testing.Short() {
		runs = 120
	}
	var mu sync.Mutex
	total, clean, bad := map[Code]int{}, 0, 0
	t.Run("worlds", func(t *testing.T) {
		for lane := range uint64(4) {
			t.Run(fmt.Sprint(lane), func(t *testing.T) {
				t.Parallel()
				for seed := lane; seed < runs; seed += 4 {
					w, did := hostileWorld(t, seed)
					dir := w.bundle()
					diff, counts := compare(t, dir, w, int(seed%4))
					_ = os.RemoveAll(dir)
					mu.Lock()
					for c, n := range counts {
						total[c] += n
					}
					if len(counts) == 0 {
						clean++
					}
					if diff != "" {
						if bad++; bad < 40 {
							t.Errorf("seed %d, %s: %s", seed, strings.Join(did, ", "), diff)
						}
					}
					mu.Unlock()
				}
			})
		}
	})
	t.Logf("%d worlds, %d without a finding, %d disagreements; findings %v", runs, clean, bad, total)
}
