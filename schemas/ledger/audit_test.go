package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"waypost/schemas"
	"waypost/schemas/directory"
	"waypost/schemas/envelope"
)

// listed is a world with its directory and nothing else.
func listed(t testing.TB) *world {
	w := emptyWorld(t, 11, police, ngo, housing, council)
	w.publishAll()
	return w
}

// found is what an audit of the world finds with a quorum of 2, under a checkpoint of everything.
func (w *world) found(quorum int) (*Summary, []Finding) {
	w.t.Helper()
	s, found, err := runAudit(w.t, w, w.root, quorum)
	w.must(err)
	slices.SortFunc(found, func(a, b Finding) int { return strings.Compare(a.Text(), b.Text()) })
	return s, found
}

func (w *world) expect(want ...Finding) {
	w.t.Helper()
	w.checkpoint()
	w.build()
	_, found := w.found(2)
	for i := range want {
		want[i].Severity = severity(want[i].Code)
	}
	slices.SortFunc(want, func(a, b Finding) int { return strings.Compare(a.Text(), b.Text()) })
	if !slices.Equal(found, want) {
		w.t.Errorf("found %v\nwant  %v", found, want)
	}
}

func (w *world) lastRecord() int64 { return int64(len(w.recs) - 1) }

// A finding names the record, who sent it to whom, which message, and which numbers are missing.
func TestFindingsSayWhere(t *testing.T) {
	t.Run("sequence-gap", func(t *testing.T) {
		w := listed(t)
		w.send(w.manifest(council, ngo, schemas.KindReferral, schemas.LaneUrgent))
		m := w.manifest(council, ngo, schemas.KindReferral, schemas.LaneUrgent)
		m.Seq = 8
		w.send(m)
		at := w.lastRecord()
		// What was missing and comes late is no reuse, and no gap any more; what never comes is one.
		var want []Finding
		for _, seq := range []uint64{4, 2, 7} {
			late := m
			late.ID, late.Seq = w.uuid(7), seq
			w.send(late)
			want = append(want, Finding{Code: FindSequenceLate, Record: w.lastRecord(), Agency: council, Peer: ngo, Message: late.ID, Stream: "urgent", From: seq, To: seq})
		}
		for _, run := range [][2]uint64{{3, 3}, {5, 6}} {
			want = append(want, Finding{Code: FindSequenceGap, Record: at, Agency: council, Peer: ngo, Message: m.ID, Stream: "urgent", From: run[0], To: run[1]})
		}
		// Lanes and directions are numbered apart.
		w.send(w.manifest(council, ngo, schemas.KindReferral, schemas.LaneRoutine))
		w.send(w.manifest(ngo, council, schemas.KindReferralUpdate, schemas.LaneUrgent))
		w.expect(want...)
	})
	t.Run("sequence-reused", func(t *testing.T) {
		w := listed(t)
		w.send(w.manifest(council, ngo, schemas.KindReferral, schemas.LaneUrgent))
		m := w.manifest(council, ngo, schemas.KindReferral, schemas.LaneUrgent)
		m.Seq = 1
		w.send(m)
		w.expect(Finding{Code: FindSequenceReused, Record: w.lastRecord(), Agency: council, Peer: ngo, Message: m.ID, Stream: "urgent", From: 1, To: 1})
	})
	t.Run("receipts", func(t *testing.T) {
		w := listed(t)
		m := w.manifest(council, ngo, schemas.KindReferral, schemas.LaneUrgent)
		w.send(m)
		var want []Finding
		receipt := func(code Code, from, to, of string, o schemas.Outcome) {
			r := w.manifest(from, to, schemas.KindReceipt, schemas.LaneReceipt)
			r.ReplyTo, r.Outcome = of, o
			if o != schemas.OutcomeDelivered {
				r.Code = "storage-full"
			}
			w.send(r)
			if code != "" {
				want = append(want, Finding{Code: code, Record: w.lastRecord(), Agency: from, Peer: to, Message: of})
			}
		}
		receipt(FindReceiptParties, housing, council, m.ID, schemas.OutcomeRejected)
		receipt(FindReceiptParties, ngo, police, m.ID, schemas.OutcomeRejected)
		receipt(FindReceiptParties, council, ngo, m.ID, schemas.OutcomeRejected)
		receipt("", ngo, council, m.ID, schemas.OutcomeDelivered)
		receipt("", ngo, council, m.ID, schemas.OutcomeDelivered)
		receipt(FindReceiptDiffers, ngo, council, m.ID, schemas.OutcomeQuarantined)
		receipt(FindReceiptDiffers, ngo, council, m.ID, schemas.OutcomeRejected)
		receipt(FindReceiptUnknown, ngo, council, w.uuid(7), schemas.OutcomeDelivered)
		w.expect(want...)
	})
	t.Run("ids", func(t *testing.T) {
		w := listed(t)
		m := w.manifest(council, ngo, schemas.KindReferral, schemas.LaneUrgent)
		w.send(m)
		w.store(StreamUrgent, m.Subject(), w.raws[m.ID])
		want := []Finding{{Code: FindRepeat, Record: w.lastRecord(), Agency: council, Peer: ngo, Message: m.ID}}
		again := w.manifest(police, council, schemas.KindReferral, schemas.LaneUrgent)
		again.ID = m.ID
		w.send(again)
		want = append(want, Finding{Code: FindAltered, Record: w.lastRecord(), Agency: police, Peer: council, Message: m.ID})
		w.send(w.manifest(council, police, schemas.KindReferral, schemas.LaneUrgent))
		want = append(want, Finding{Code: FindAgreement, Record: w.lastRecord(), Agency: council, Peer: police, Message: w.sent[len(w.sent)-1].ID})
		w.expect(want...)
	})
	t.Run("many of three ids", func(t *testing.T) {
		// Their ids end alike, so that they are compared in one heap: each with the first of its own.
		w := listed(t)
		var want []Finding
		var ms []envelope.Manifest
		for range 3 {
			m := w.manifest(council, ngo, schemas.KindReferral, schemas.LaneUrgent)
			m.ID = m.ID[:34] + "40"
			w.send(m)
			ms = append(ms, m)
		}
		for range 300 {
			m := pick(w.rng, ms)
			w.store(StreamUrgent, m.Subject(), w.raws[m.ID])
			want = append(want, Finding{Code: FindRepeat, Record: w.lastRecord(), Agency: council, Peer: ngo, Message: m.ID})
		}
		w.expect(want...)
	})
	t.Run("clock", func(t *testing.T) {
		w := listed(t)
		send := func(lane schemas.Lane, at time.Time) {
			w.send(w.manifest(council, ngo, schemas.KindReferral, lane)).Time = at
		}
		at := w.clock.Add(time.Hour)
		send(schemas.LaneUrgent, at)
		send(schemas.LaneRoutine, at.Add(-time.Hour)) // of another stream
		send(schemas.LaneUrgent, at.Add(-time.Second))
		send(schemas.LaneUrgent, at.Add(-2*time.Second-time.Millisecond))
		w.expect(Finding{Code: FindClock, Record: w.lastRecord(), Stream: StreamUrgent})
	})
	t.Run("streams", func(t *testing.T) {
		w := listed(t)
		w.gap(StreamRoutine, 3)
		want := []Finding{{Code: FindGap, Record: w.lastRecord(), Stream: StreamRoutine, From: 1, To: 3}}
		w.gap(StreamDirectory, 3)
		w.numbers[StreamRoutine] += 2
		w.store(StreamRoutine, "mail.routine.x.y", nil)
		want = append(want, Finding{Code: FindOpaque, Record: w.lastRecord(), Stream: StreamRoutine}, Finding{Code: FindOrder, Record: w.lastRecord(), Stream: StreamRoutine, From: 4, To: 6})
		for seq, code := range map[uint64]Code{6: FindExpired, 7: FindExpiredEarly} {
			w.recs = append(w.recs, &Record{Kind: KindExpired, Time: start, Stream: StreamRoutine, Seq: seq})
			want = append(want, Finding{Code: code, Record: w.lastRecord(), Stream: StreamRoutine, From: seq, To: seq})
		}
		w.expect(want...)
	})
	t.Run("directory", func(t *testing.T) {
		w := listed(t)
		w.entries["agreement.gone"] = []byte("never recorded")
		w.head()
		incomplete := Finding{Code: FindIncomplete, Record: w.lastRecord()}
		w.head() // nobody asked for keys in between: only the later one is judged
		incomplete.Record++
		w.store(StreamDirectory, DirectoryPrefix+directory.HeadKey, w.makeHead(1))
		w.send(w.manifest(council, ngo, schemas.KindReferral, schemas.LaneUrgent))
		w.expect(incomplete, Finding{Code: FindRollback, Record: w.lastRecord() - 1})
	})
	t.Run("act of nobody listed", func(t *testing.T) {
		w := listed(t)
		w.act(Act{Act: ActErased, Thread: w.uuid(4)}, newKey(t, "stranger-shelter", 1))
		w.expect(Finding{Code: FindAct, Record: w.lastRecord()})
	})
	t.Run("restored", func(t *testing.T) {
		w := listed(t)
		n := w.lastRecord() + 1
		w.act(Act{Act: ActRestored, Records: n, Lost: n + 5, Root: emptyRoot.String()}, w.root)
		w.act(Act{Act: ActRecovers, Since: &start}, w.keys[police])
		w.expect(Finding{Code: FindRestored, Record: n, Size: n})
	})
	// What the broker lost after it had arrived, and is not sent again: its sender says so under its number, and its receipt is
	// for something. The record is whole for as many as administrators say were lost; a hole is one whatever they say.
	for name, c := range map[string]struct {
		announced int64
		recorded  int // times
		code      Code
	}{"lost": {2, 1, ""}, "lost and nobody said so": {0, 0, FindLostUnknown}, "lost more than was said": {1, 1, FindLostUnknown},
		"lost more than was said, and a broker that says it again": {1, 2, FindLostUnknown}} {
		t.Run(name, func(t *testing.T) {
			w := listed(t)
			w.send(w.manifest(council, ngo, schemas.KindReferral, schemas.LaneUrgent))
			n := w.lastRecord() + 1
			var want []Finding
			for range 2 {
				m := w.manifest(council, ngo, schemas.KindReferral, schemas.LaneUrgent)
				m.Outcome, m.Code = schemas.OutcomeVoid, schemas.CodeLostInRestore
				w.send(m)
				want = append(want, Finding{Code: FindLost, Record: w.lastRecord(), Agency: council, Peer: ngo, Message: m.ID})
				w.send(w.receipt(m, schemas.OutcomeDelivered))
			}
			if c.code != "" {
				first := want[0]
				first.Code = c.code
				want = append(want, first)
			}
			if c.announced > 0 { // agencies are quicker than administrators
				w.act(Act{Act: ActRestored, Records: n, Lost: n + c.announced, Root: emptyRoot.String()}, w.root)
				want = append(want, Finding{Code: FindRestored, Record: w.lastRecord(), Size: n})
			}
			for range c.recorded - 1 {
				again := *w.recs[len(w.recs)-1]
				w.recs = append(w.recs, &again)
				want = append(want, Finding{Code: FindRestored, Record: w.lastRecord(), Size: n})
			}
			w.expect(want...)
			if s, _ := w.found(2); s.Clean() != (c.code == "") {
				t.Errorf("clean: %v", s.Clean())
			}
		})
	}
	t.Run("lost and its sender does not say so", func(t *testing.T) {
		w := listed(t)
		n := w.lastRecord() + 1
		w.act(Act{Act: ActRestored, Records: n, Lost: n + 9, Root: emptyRoot.String()}, w.root)
		want := []Finding{{Code: FindRestored, Record: n, Size: n}}
		m := w.manifest(council, ngo, schemas.KindReferral, schemas.LaneUrgent)
		w.send(w.receipt(m, schemas.OutcomeDelivered))
		want = append(want, Finding{Code: FindReceiptUnknown, Record: w.lastRecord(), Agency: ngo, Peer: council, Message: m.ID})
		next := w.manifest(council, ngo, schemas.KindReferral, schemas.LaneUrgent)
		w.send(next)
		want = append(want, Finding{Code: FindSequenceGap, Record: w.lastRecord(), Agency: council, Peer: ngo, Message: next.ID, Stream: "urgent", From: 1, To: 1})
		w.expect(want...)
	})
	t.Run("restored beyond its end", func(t *testing.T) {
		w := listed(t)
		n := w.lastRecord() + 2
		w.act(Act{Act: ActRestored, Records: n, Lost: n, Root: emptyRoot.String()}, w.root)
		w.expect(Finding{Code: FindAct, Record: w.lastRecord()})
	})
}

// The numbers of a pair against a model that forgets nothing. Holes are few here: TestManyHoles has more than are remembered.
func TestNumbersAreTheModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var n numbers
		high := uint64(0)
		notes := map[uint64]tlog.Hash{}
		for range 300 {
			seq := high + 1
			switch rng.IntN(6) {
			case 0:
				if len(n.missing) < holes/2 {
					seq += uint64(rng.IntN(3))
				}
			case 1:
				if rng.IntN(20) == 0 && len(n.missing) < holes/2 {
					seq += uint64(rng.IntN(200))
				}
			case 2, 3:
				seq = high - min(high, uint64(rng.IntN(70))) + 1
			}
			digest := tlog.Hash{1, byte(rng.IntN(3))}
			if rng.IntN(5) == 0 {
				digest = voidMark
			}
			var want Code
			switch old, seen := notes[seq]; {
			case seq > high:
			case !seen:
				want = FindSequenceLate
			case seq+64 <= high, old == digest, old == voidMark, digest == voidMark:
				want = FindRepeat
			default:
				want = FindSequenceReused
			}
			what, told := n.saw(seq, digest, Finding{})
			if what != want || told != nil && len(n.missing) < holes {
				t.Fatalf("number %d after %d: %q %v, want %q", seq, high, what, told, want)
			}
			if old, seen := notes[seq]; !seen || old == voidMark {
				notes[seq] = digest
			}
			high = max(high, seq)
		}
		missing := map[uint64]bool{}
		for _, h := range n.missing {
			for seq := h.from; seq <= h.to; seq++ {
				missing[seq] = true
			}
		}
		for seq := uint64(1); seq <= high && len(n.missing) < holes; seq++ {
			if _, seen := notes[seq]; seen == missing[seq] {
				t.Fatalf("number %d of %d: seen %v, and missing %v", seq, high, seen, missing[seq])
			}
		}
	}
}

// Whatever a member sends, a pair's holes stay few in memory, and each of them is told.
func TestManyHoles(t *testing.T) {
	var n numbers
	gaps := 0
	for seq := uint64(2); seq <= 1000; seq += 2 { // every odd number is missing
		what, told := n.saw(seq, tlog.Hash{1}, Finding{})
		if gaps += len(told); what != "" || len(n.missing) > holes {
			t.Fatalf("number %d: %q, %d holes", seq, what, len(n.missing))
		}
	}
	if got := gaps + len(n.missing); got != 500 {
		t.Errorf("%d gaps told or remembered, want 500", got)
	}
}

// How far checkpoints and their cosignatures reach.
func TestCoverage(t *testing.T) {
	w := newWorld(t, 8, 30)
	n := int64(len(w.raw))
	root, h := w.rootAt(int(n)), w.heads[n-1]
	full := w.now(int(n))
	full.time = w.clock
	half := w.cps[1]
	alone := func(ids ...string) []byte { return w.signCheckpoint(full, root, h, ids...) }
	for name, c := range map[string]struct {
		cps       [][]byte
		quorum    int
		code      Code
		record    int64
		signed    int64
		witnessed int64
		witnesses int
	}{
		"all":                       {w.cps, 4, "", 0, n, n, 4},
		"older one last":            {[][]byte{alone(police, ngo), half, w.cps[0]}, 2, "", 0, n, n, 2},
		"too few":                   {w.cps, 5, FindUnwitnessed, -1, n, 0, 0},
		"none":                      {nil, 2, FindNoCheckpoint, -1, 0, 0, 0},
		"no quorum, no witness":     {[][]byte{alone("")}, 0, "", 0, n, 0, 0},
		"no quorum, tail":           {[][]byte{half}, 0, FindTail, int64(w.at[1].size), int64(w.at[1].size), int64(w.at[1].size), 4},
		"tail":                      {[][]byte{half, alone(police)}, 2, FindTail, int64(w.at[1].size), n, int64(w.at[1].size), 4},
		"gathered from two":         {[][]byte{alone(police), alone(ngo)}, 2, "", 0, n, n, 2},
		"the same one twice":        {[][]byte{alone(police), alone(police)}, 2, FindUnwitnessed, -1, n, 0, 0},
		"one agency, two in one":    {[][]byte{alone(police, police)}, 2, FindUnwitnessed, -1, n, 0, 0},
		"two sizes with one each":   {[][]byte{alone(police), w.signCheckpoint(mark{w.at[1].size, w.at[1].time, w.at[1].keys}, w.rootAt(w.at[1].size), w.heads[w.at[1].size-1], ngo)}, 2, FindUnwitnessed, -1, n, 0, 0},
		"two and a quorum of three": {[][]byte{alone(police, ngo)}, 3, FindUnwitnessed, -1, n, 0, 0},
	} {
		s, found, err := runAudit(t, logSource{served(w.raw, nil).records, c.cps}, w.root, c.quorum)
		if err != nil {
			t.Fatal(err)
		}
		found = slices.DeleteFunc(found, func(f Finding) bool { return f.Code == FindOpaque || f.Code == FindExpired })
		if s.Signed != c.signed || s.Witnessed != c.witnessed || len(s.Witnesses) != c.witnesses || (c.code == "") != (len(found) == 0) ||
			c.code != "" && (len(found) != 1 || found[0].Code != c.code || found[0].Record != c.record) {
			t.Errorf("%s: signed %d, witnessed %d by %v, found %v; want %+v", name, s.Signed, s.Witnessed, s.Witnesses, found, c)
		}
	}
}

// What does not hold covers nothing, whoever cosigned it.
func TestForgedCheckpointsCoverNothing(t *testing.T) {
	w := newWorld(t, 8, 30)
	n, half := len(w.raw), w.at[1]
	h := w.heads[n-1]
	stale := h
	stale.version++
	full := w.now(n)
	full.time = w.clock
	for code, cp := range map[Code][]byte{
		FindFork:   w.signCheckpoint(full, w.rootAt(half.size), h),
		FindStale:  w.signCheckpoint(full, w.rootAt(n), stale),
		FindBeyond: w.signCheckpoint(mark{n + 1, full.time, full.keys}, w.rootAt(n), h),
	} {
		s, found, err := runAudit(t, served(w.raw, [][]byte{cp, w.cps[1]}), w.root, 2)
		if err != nil || s.Findings[code] != 1 || s.Findings[FindTail] != 1 || s.Signed != int64(half.size) || s.Witnessed != int64(half.size) {
			t.Errorf("%s: signed %d, witnessed %d, %v %v", code, s.Signed, s.Witnessed, found, err)
		}
		s, found, err = runAudit(t, served(w.raw, [][]byte{cp}), w.root, 2)
		if err != nil || s.Findings[FindNoCheckpoint] != 1 || s.Signed != 0 || s.Witnessed != 0 {
			t.Errorf("%s alone: signed %d, witnessed %d, %v %v", code, s.Signed, s.Witnessed, found, err)
		}
	}
}

// A checkpoint must name both version and digest of the directory, and its first signature must be the log's.
func TestCheckpointsThatDoNotHold(t *testing.T) {
	w := newWorld(t, 8, 30)
	n := len(w.raw)
	root, h := w.rootAt(n), w.heads[n-1]
	good, err := ParseCheckpoint(w.cps[2])
	w.must(err)
	s, _ := w.found(2)
	view := s.View
	if err := good.Verify(view, start); err != nil {
		t.Fatal(err)
	}
	again := func(change func(c *Checkpoint)) *Checkpoint {
		c := *good
		c.sigs = slices.Clone(good.sigs)
		change(&c)
		return &c
	}
	for name, c := range map[string]*Checkpoint{
		"cosignature first":   again(func(c *Checkpoint) { c.sigs[0], c.sigs[1] = c.sigs[1], c.sigs[0] }),
		"log signature last":  again(func(c *Checkpoint) { c.sigs = append(c.sigs[1:], c.sigs[0]) }),
		"name of another":     again(func(c *Checkpoint) { c.sigs[0].name = police }),
		"hash of another":     again(func(c *Checkpoint) { c.sigs[0].hash++ }),
		"another text":        again(func(c *Checkpoint) { c.text += " " }),
		"another origin":      again(func(c *Checkpoint) { c.Origin = "waypost-log-0123456789abcdef" }),
		"signature of a root": again(func(c *Checkpoint) { c.sigs[0].name, c.sigs[0].hash = w.root.Name(), w.root.KeyHash() }),
	} {
		if c.Verify(view, start) == nil {
			t.Errorf("%s: verified", name)
		}
	}
	if good.Verify(view, start.Add(-time.Second)) == nil {
		t.Error("verified before the log's key was in force")
	}
	var raws []string
	for _, change := range []func(*worldHead){func(h *worldHead) { h.version++ }, func(h *worldHead) { h.digest = directory.Digest(nil) }} {
		x := h
		change(&x)
		w.cps = [][]byte{w.signCheckpoint(w.now(n), root, x), good.Raw()}
		if s, _ := w.found(2); s.Findings[FindStale] != 1 {
			t.Errorf("another directory in a checkpoint: %v", s.Findings)
		}
		raws = append(raws, string(w.cps[0]))
	}
	// Spelling.
	text, sigs, _ := strings.Cut(raws[0], "\n\n")
	line := strings.SplitAfter(sigs, "\n")[0]
	name, b64 := strings.Fields(line)[1], strings.Fields(line)[2]
	for what, raw := range map[string]string{
		"version with a plus":    strings.Replace(text, "directory ", "directory +", 1) + "\n\n" + line,
		"version with a zero":    strings.Replace(text, "directory ", "directory 0", 1) + "\n\n" + line,
		"a line more":            text + "\nmore\n\n" + line,
		"no directory":           strings.Join(strings.Split(text, "\n")[:3], "\n") + "\n\n" + line,
		"size with a zero":       strings.Replace(text, fmt.Sprintf("\n%d\n", n), fmt.Sprintf("\n0%d\n", n), 1) + "\n\n" + line,
		"huge size":              strings.Replace(text, fmt.Sprintf("\n%d\n", n), "\n9223372036854775807\n", 1) + "\n\n" + line,
		"no signature":           text + "\n\n",
		"no line end":            text + "\n\n" + strings.TrimSuffix(line, "\n"),
		"two spaces":             text + "\n\n— " + name + "  " + b64 + "\n",
		"a minus":                text + "\n\n- " + name + " " + b64 + "\n",
		"no name":                text + "\n\n—  " + b64 + "\n",
		"a key hash and no more": text + "\n\n— " + name + " AAAAAA==\n",
		"spare bits":             text + "\n\n— " + name + " AAAAAAF=\n",
		"CR":                     text + "\n\n— " + name + " " + b64[:8] + "\r" + b64[8:] + "\n",
		"too long":               text + "\n\n" + strings.Repeat(line, MaxCheckpoint/len(line)+1),
	} {
		if c, err := ParseCheckpoint([]byte(raw)); err == nil || c != nil {
			t.Errorf("%s: accepted", what)
		}
	}
}

// A cosignature holds in the seconds in which its key does, and at no other time.
func TestCosignatureTimes(t *testing.T) {
	w := emptyWorld(t, 12, police, ngo)
	from, until := start.Add(1500*time.Millisecond), start.Add(10*time.Second)
	w.put(directory.Log{Origin: w.origin, Keys: []directory.Key{{Key: w.log.vkey, From: start}}})
	w.put(w.agency(police, directory.Key{Key: w.keys[police].vkey, From: from, Until: &until}))
	w.put(w.agency(ngo))
	w.head()
	w.checkpoint()
	w.build("")
	s, _ := w.found(0)
	bareCP, err := ParseCheckpoint(w.cps[0])
	w.must(err)
	k := w.keys[police]
	for at, want := range map[time.Duration]bool{0: false, 1: true, 2: true, 9: true, 10: false, -1e6: false} {
		c, err := bareCP.Cosign(k.vkey, start.Add(at*time.Second), k.Sign)
		w.must(err)
		if got := len(c.Witnesses(s.View)) == 1; got != want || (c.Unknown(s.View) == 0) != want {
			t.Errorf("cosigned %d seconds after the start: %v, want %v", at, got, want)
		}
	}
	// The latest of two; one for each key when merged; only those of one agency.
	early, err := bareCP.Cosign(k.vkey, start.Add(3*time.Second), k.Sign)
	w.must(err)
	both, err := early.Cosign(k.vkey, start.Add(5*time.Second), k.Sign)
	w.must(err)
	both, err = both.Cosign(k.vkey, start.Add(4*time.Second), k.Sign)
	w.must(err)
	if ws := both.Witnesses(s.View); len(ws) != 1 || !ws[0].At.Equal(start.Add(5*time.Second)) {
		t.Errorf("witnesses %v, want the latest", ws)
	}
	o := w.keys[ngo]
	other, err := bareCP.Cosign(o.vkey, start.Add(5*time.Second), o.Sign)
	w.must(err)
	merged := early.Merge(other).Merge(both).Merge(early)
	if len(merged.sigs) != 3 || len(merged.Witnesses(s.View)) != 2 {
		t.Errorf("merged to %d signatures", len(merged.sigs))
	}
	second := newKey(t, police, 13)
	more, err := merged.Cosign(second.vkey, start.Add(5*time.Second), second.Sign)
	w.must(err)
	if m := merged.Merge(more); len(m.sigs) != 4 {
		t.Errorf("a second key of one agency is lost: %d signatures", len(m.sigs))
	}
	if m := merged.Only(ngo); len(m.sigs) != 2 || m.sigs[1].name != ngo || m.sigs[0].name != w.origin {
		t.Error("only one agency's, and the log's")
	}
	elsewhere := *other
	elsewhere.text = "another"
	if m := early.Merge(&elsewhere); len(m.sigs) != 2 {
		t.Error("merged what says something else")
	}
	// A time that no clock shows, signed for rightly.
	far := time.Unix(1<<41, 0)
	w.put(w.agency(police, directory.Key{Key: k.vkey, From: start}))
	w.head()
	w.checkpoint()
	w.build("")
	s, _ = w.found(0)
	c, err := bareCP.Cosign(k.vkey, far, k.Sign)
	w.must(err)
	if len(c.Witnesses(s.View)) != 0 || c.Unknown(s.View) != 1 {
		t.Error("cosigned in the year 70000")
	}
	// The key hash is a part of the line that nobody signed.
	c, err = bareCP.Cosign(k.vkey, start.Add(time.Second), k.Sign)
	w.must(err)
	c.sigs[1].hash++
	if len(c.Witnesses(s.View)) != 0 || c.Unknown(s.View) != 1 {
		t.Error("a cosignature with another key hash holds")
	}
}

// A log that gets a second key, both in force.
func TestLogWithTwoKeys(t *testing.T) {
	w := newWorld(t, 9, 9)
	now := w.tick()
	old := w.log
	w.log = newKey(t, w.origin, 77)
	w.put(directory.Log{Origin: w.origin, Keys: []directory.Key{{Key: old.vkey, From: start}, {Key: w.log.vkey, From: now}}})
	w.head()
	before := w.cps
	w.at = nil
	w.checkpoint()
	w.build()
	w.cps = append(before, w.cps...)
	if s, found := w.found(2); !s.Clean() || s.Checkpoints != 4 {
		t.Errorf("found %v", found)
	}
}

// Only what was signed as an act proves one, and only what was sent proves a message.
func TestProofNeedsTheSignature(t *testing.T) {
	w := listed(t)
	w.act(Act{Act: ActErased, Thread: w.uuid(4)}, newKey(t, police, 4711))
	w.sendBy(w.manifest(police, housing, schemas.KindReferral, schemas.LaneUrgent), newKey(t, police, 4711))
	n := len(w.recs)
	w.checkpoint()
	w.build()
	for _, i := range []int{n - 2, n - 1} {
		p := w.prove(i, w.cps[0], w.ids()...)
		if ev, err := p.Check(w.root, 0); err == nil || ev != nil {
			t.Errorf("record %d proves what nobody signed", i)
		}
	}
	// Cosignatures that do not hold are refused, even when enough others do.
	c, err := ParseCheckpoint(w.cps[0])
	w.must(err)
	stranger := newKey(t, "stranger-shelter", 1)
	c, err = c.Cosign(stranger.vkey, w.clock, stranger.Sign)
	w.must(err)
	i := w.find(KindDirectory)
	if _, err := w.prove(i, w.cps[0], w.ids()...).Check(w.root, 4); err != nil {
		t.Fatal(err)
	}
	if _, err := w.prove(i, c.Raw(), w.ids()...).Check(w.root, 0); err == nil {
		t.Error("a stranger's cosignature is passed over")
	}
	// A disclosure whose proof is of another type is none.
	raw, err := EncodeDisclosure(&Disclosure{Proof: *w.prove(i, w.cps[0], w.ids()...)})
	w.must(err)
	if d, err := ParseDisclosure(bytes.Replace(raw, []byte(ProofType), []byte("waypost.proof.v2"), 1)); err == nil || d != nil {
		t.Error("a proof of another type")
	}
}

// Acts say who may do what.
func TestActsOfTheWrongKind(t *testing.T) {
	w := listed(t)
	for name, a := range map[string]struct {
		act Act
		by  note.Signer
	}{
		"the root erases":            {Act{Act: ActErased, Thread: w.uuid(4)}, w.root},
		"the root refuses":           {Act{Act: ActRefuses, Answers: w.uuid(7)}, w.root},
		"an agency asks":             {Act{Act: ActRedeliver, Agency: ngo, Since: &start}, w.keys[police]},
		"disclosed with a count":     {Act{Act: ActDisclosed, Message: w.uuid(7), Count: 1}, w.keys[police]},
		"refuses with a count":       {Act{Act: ActRefuses, Answers: w.uuid(7), Count: 1}, w.keys[police]},
		"erased nothing":             {Act{Act: ActErased}, w.keys[police]},
		"erased with a message":      {Act{Act: ActErased, Thread: w.uuid(4), Message: w.uuid(7)}, w.keys[police]},
		"a thread that is a message": {Act{Act: ActErased, Thread: w.uuid(7)}, w.keys[police]},
		"a message that is a thread": {Act{Act: ActDisclosed, Message: w.uuid(4)}, w.keys[police]},
		"no act":                     {Act{Act: "tea"}, w.keys[police]},
		"too many":                   {Act{Act: ActErased, Thread: w.uuid(4), Count: 1 << 53}, w.keys[police]},
		"asks nobody":                {Act{Act: ActRedeliver, Agency: "N", Since: &start}, w.root},
		"an agency restores":         {Act{Act: ActRestored, Records: 1, Lost: 1, Root: emptyRoot.String()}, w.keys[police]},
		"the root recovers":          {Act{Act: ActRecovers, Since: &start}, w.root},
		"restored nothing":           {Act{Act: ActRestored, Root: emptyRoot.String()}, w.root},
		"restored more than was":     {Act{Act: ActRestored, Records: 2, Lost: 1, Root: emptyRoot.String()}, w.root},
		"restored without a root":    {Act{Act: ActRestored, Records: 1, Lost: 1}, w.root},
		"restored to no hash":        {Act{Act: ActRestored, Records: 1, Lost: 1, Root: "AAAA"}, w.root},
		"restored with a time":       {Act{Act: ActRestored, Records: 1, Lost: 1, Root: emptyRoot.String(), Since: &start}, w.root},
		"recovers at no time":        {Act{Act: ActRecovers}, w.keys[police]},
		"recovers with records":      {Act{Act: ActRecovers, Since: &start, Records: 1}, w.keys[police]},
	} {
		a.act.ID, a.act.At = w.uuid(7), start
		if raw, err := SignAct(a.act, a.by); err == nil || raw != nil {
			t.Errorf("%s: signed", name)
		}
	}
}

// What is stored becomes a record of one kind, whatever it is; nothing is hidden by being malformed.
func TestMessageBecomesARecord(t *testing.T) {
	w := listed(t)
	m := w.manifest(council, ngo, schemas.KindReferral, schemas.LaneUrgent)
	raw := w.seal(m, w.keys[council])
	entry := w.entries["log"]
	for name, c := range map[string]struct {
		stream, subject string
		data            []byte
		want            Kind
		shown           string
	}{
		"mail":                 {StreamUrgent, m.Subject(), raw, KindMail, ""},
		"on another subject":   {StreamUrgent, "mail.urgent.county-council.harbour-light", raw, KindOpaque, "mail.urgent.county-council.harbour-light"},
		"mail with more":       {StreamUrgent, m.Subject(), append(bytes.Clone(raw), 'x'), KindOpaque, m.Subject()},
		"in the directory":     {StreamDirectory, m.Subject(), raw, KindOpaque, m.Subject()},
		"entry":                {StreamDirectory, "$KV.DIRECTORY.log", entry, KindDirectory, "$KV.DIRECTORY.log"},
		"entry with more":      {StreamDirectory, "$KV.DIRECTORY.log", append(bytes.Clone(entry), 'x'), KindOpaque, "$KV.DIRECTORY.log"},
		"deletion":             {StreamDirectory, "$KV.DIRECTORY.log", nil, KindOpaque, "$KV.DIRECTORY.log"},
		"entry among the mail": {StreamUrgent, "$KV.DIRECTORY.log", entry, KindOpaque, "$KV.DIRECTORY.log"},
		"odd subject":          {StreamUrgent, "mail urgent\n", raw, KindOpaque, "unprintable"},
	} {
		r := Message(c.stream, 7, start, c.subject, c.data)
		encoded, err := r.Encode()
		if err != nil || r.Kind != c.want || r.Subject != c.shown {
			t.Errorf("%s: %s %q %v", name, r.Kind, r.Subject, err)
			continue
		}
		if r.Kind == KindOpaque && (r.Digest != directory.Digest(c.data) || r.Size != len(c.data)) {
			t.Errorf("%s: digest or size is not that of what was stored", name)
		}
		if back, err := ParseRecord(encoded); err != nil || back.Kind != c.want {
			t.Errorf("%s: does not come back: %v", name, err)
		}
	}
	// A manifest with something behind it is none.
	r := &Record{Kind: KindMail, Time: start, Stream: StreamUrgent, Seq: 1, Note: append(bytes.Clone(raw[:bytes.Index(raw, []byte("age-"))]), "more\n"...)}
	if m, line, err := r.Manifest(); err == nil || m != nil || line != nil {
		t.Error("a manifest with something behind it")
	}
	for name, r := range map[string]*Record{
		"gap that ends before it begins": {Kind: KindGap, Time: start, Stream: StreamUrgent, Seq: 5, Last: 4},
		"mail in the directory":          {Kind: KindMail, Time: start, Stream: StreamDirectory, Seq: 5, Note: raw},
		"directory among the mail":       {Kind: KindDirectory, Time: start, Stream: StreamUrgent, Seq: 5, Subject: "$KV.DIRECTORY.log", Note: entry},
		"number 0":                       {Kind: KindExpired, Time: start, Stream: StreamUrgent},
		"number too high":                {Kind: KindExpired, Time: start, Stream: StreamUrgent, Seq: 1 << 53},
		"expired entry":                  {Kind: KindExpired, Time: start, Stream: StreamDirectory, Seq: 1},
		"act in a stream":                {Kind: KindAct, Time: start, Stream: StreamUrgent, Seq: 1, Note: []byte("x")},
		"empty act":                      {Kind: KindAct, Time: start},
		"act too long":                   {Kind: KindAct, Time: start, Note: make([]byte, 8193)},
		"mail too long":                  {Kind: KindMail, Time: start, Stream: StreamUrgent, Seq: 1, Note: make([]byte, 8193)},
		"too long":                       {Kind: KindDirectory, Time: start, Stream: StreamDirectory, Seq: 1, Subject: "$KV.DIRECTORY.log", Note: make([]byte, MaxRecord)},
		"opaque with a note":             {Kind: KindOpaque, Time: start, Stream: StreamUrgent, Seq: 1, Subject: "x", Digest: directory.Digest(nil), Note: []byte("x")},
		"unknown":                        {Kind: "tea", Time: start},
		"no time":                        {Kind: KindGap, Stream: StreamUrgent, Seq: 1, Last: 1},
		"gap with a digest":              {Kind: KindGap, Time: start, Stream: StreamUrgent, Seq: 1, Last: 1, Digest: directory.Digest(nil)},
	} {
		if raw, err := r.Encode(); err == nil || raw != nil {
			t.Errorf("%s: encoded", name)
		}
	}
}

// The documentation lists every code, and says which leave the record whole.
func TestDocumentationListsTheCodes(t *testing.T) {
	raw, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, page, _ := strings.Cut(string(raw), "// # Audit\n")
	described := map[Code]bool{}
	for _, m := range regexp.MustCompile(`(?m)^//\t([a-z]+(?:-[a-z]+)*)  +\S`).FindAllStringSubmatch(page, -1) {
		described[Code(m[1])] = true
	}
	described[FindExpiredEarly] = strings.Contains(page, string(FindExpiredEarly)+" when")
	if want := slices.Sorted(maps.Keys(advice)); !slices.Equal(slices.Sorted(maps.Keys(described)), want) {
		t.Errorf("described %v\nwant      %v", slices.Sorted(maps.Keys(described)), want)
	}
	whole, _, ok := strings.Cut(page[strings.Index(page, "// opaque, clock"):], " leave the")
	if !ok {
		t.Fatal("no sentence about what leaves the record whole")
	}
	said := map[Code]bool{}
	for _, c := range regexp.MustCompile(`[a-z-]+`).FindAllString(strings.TrimPrefix(whole, "// "), -1) {
		if c != "and" {
			said[Code(c)] = true
		}
	}
	if !maps.Equal(said, notable) {
		t.Errorf("said to leave the record whole: %v, and they are %v", said, notable)
	}
}

// failing yields an error after some records or checkpoints.
type failing struct {
	*world
	records, checkpoints bool
}

var errGone = errors.New("gone")

func (f failing) Records(ctx context.Context) iter.Seq2[Stored, error] {
	return func(yield func(Stored, error) bool) {
		for s := range f.world.Records(ctx) {
			if !yield(s, nil) {
				return
			}
		}
		if f.records {
			yield(Stored{}, errGone)
		}
	}
}

func (f failing) Checkpoints(context.Context) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if f.checkpoints {
			yield(nil, errGone)
		}
	}
}

// An audit that could not be done is no clean one, and leaves nothing behind; neither does an export.
func TestWhatCannotBeDone(t *testing.T) {
	w := newWorld(t, 1, 12)
	scratch := memoryDir(t)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx context.Context
		src Source
	}{
		"records":     {t.Context(), failing{w, true, false}},
		"checkpoints": {t.Context(), failing{w, false, true}},
		"cancelled":   {cancelled, w},
	} {
		s, err := Verify(c.ctx, c.src, Options{Root: w.root, Scratch: scratch})
		if err == nil || s != nil {
			t.Errorf("%s: audited: %v", name, s)
		}
		dir := filepath.Join(scratch, "bundle")
		if err := WriteBundle(c.ctx, c.src, dir, nil); err == nil {
			t.Errorf("%s: exported", name)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: a bundle that looks whole", name)
		}
		_ = os.RemoveAll(dir + ".partial")
		if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
			t.Errorf("%s: left %v behind", name, left)
		}
	}
	if _, err := Verify(t.Context(), w, Options{Root: w.root, Scratch: filepath.Join(scratch, "nowhere")}); err == nil {
		t.Error("audited without a place for what it has to remember")
	}
	// The next export replaces what an interrupted one left.
	dir := filepath.Join(scratch, "bundle")
	w.must(os.MkdirAll(filepath.Join(dir+".partial", "old"), 0o700))
	var seen int64
	if err := WriteBundle(t.Context(), w, dir, func(int64) { seen++ }); err != nil || seen != int64(len(w.raw)) {
		t.Errorf("exported %d records: %v", seen, err)
	}
	if _, err := OpenBundle(dir); err != nil {
		t.Error(err)
	}
}
