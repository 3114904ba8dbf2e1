package ledger

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"waypost/schemas/directory"
)

// logSource is what an attacker serves.
type logSource struct {
	records []Stored
	cps     [][]byte
}

func (s logSource) Records(context.Context) iter.Seq2[Stored, error] {
	return func(yield func(Stored, error) bool) {
		for _, r := range s.records {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (s logSource) Checkpoints(context.Context) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, c := range s.cps {
			if !yield(c, nil) {
				return
			}
		}
	}
}

// served numbers records anew, as somebody would who wants to be believed.
func served(raws, cps [][]byte) logSource {
	s := logSource{cps: cps}
	for i, r := range raws {
		s.records = append(s.records, Stored{Index: int64(i), Raw: r})
	}
	return s
}

// tally counts what was tried and how it was found out, by class.
type tally struct {
	mu   sync.Mutex
	rows map[string]*tallyRow
}

type tallyRow struct{ tried, refused, broken, notable int }

func (r *tallyRow) caught() int { return r.refused + r.broken + r.notable }

type verdict int

const (
	missed verdict = iota
	refused
	broken
	notableOnly
)

func (y *tally) count(t testing.TB, class string, v verdict, where string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.rows == nil {
		y.rows = map[string]*tallyRow{}
	}
	r := y.rows[class]
	if r == nil {
		r = new(tallyRow)
		y.rows[class] = r
	}
	r.tried++
	switch v {
	case refused:
		r.refused++
	case broken:
		r.broken++
	case notableOnly:
		r.notable++
	case missed:
		t.Errorf("%s: not found out: %s", class, where)
	}
}

func (y *tally) log(t testing.TB) {
	for _, class := range slices.Sorted(maps.Keys(y.rows)) {
		r := y.rows[class]
		t.Logf("%-45s tried %6d  caught %6d  (refused %d, broken %d, notable %d)", class, r.tried, r.caught(), r.refused, r.broken, r.notable)
		if r.tried == 0 {
			t.Errorf("%s: nothing was tried", class)
		}
	}
}

// judge compares an audit with that of the unharmed log: a finding that was not there before has found the change out.
func judge(s *Summary, err error, before map[Code]int64) verdict {
	switch {
	case err != nil:
		return refused
	case !s.Clean():
		return broken
	case !maps.Equal(s.Findings, before):
		return notableOnly
	}
	return missed
}

// parallel runs f for 0 to n-1 on all cores, each worker with a number of its own.
func parallel(n int, f func(worker, i int)) {
	var wg sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n; i += workers {
				f(w, i)
			}
		})
	}
	wg.Wait()
}

// stride is how many positions lie between two that are tried: one without the race detector, so that every one is.
func stride() int {
	if raceEnabled || testing.Short() {
		return 23
	}
	return 1
}

// Every single byte of every file of a bundle. With the sums as they are, nothing opens. With sums that a forger made anew,
// the audit says so, of every byte but the text for people.
func TestEveryByteOfABundle(t *testing.T) {
	w := smallWorld(t, 1)
	dir := w.bundle()
	files := map[string][]byte{}
	for _, name := range []string{RecordsFile, CheckpointsFile, ReadmeFile, SumsFile} {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = raw
	}
	b, err := OpenBundle(dir)
	if err != nil {
		t.Fatal(err)
	}
	clean, found, err := runAudit(t, b, w.root, 2)
	if err != nil || !clean.Clean() || len(found) > 0 {
		t.Fatalf("the bundle as it is: %v %v", found, err)
	}
	// What may be found out by something notable alone: a cosignature, which is somebody's beside the log's.
	cosignature := make([]bool, len(files[CheckpointsFile]))
	for at := 0; at < len(cosignature); {
		line := bytes.IndexByte(files[CheckpointsFile][at:], '\n') + 1
		if l := files[CheckpointsFile][at : at+line]; bytes.HasPrefix(l, []byte("— ")) && !bytes.HasPrefix(l, []byte("— "+w.origin)) {
			for i := at; i < at+line; i++ {
				cosignature[i] = true
			}
		}
		at += line
	}

	var y tally
	dirs := make([]string, runtime.GOMAXPROCS(0))
	for i := range dirs {
		dirs[i] = memoryDir(t)
		for name, raw := range files {
			w.must(os.WriteFile(filepath.Join(dirs[i], name), raw, 0o600))
		}
	}
	for name, raw := range files {
		for _, flip := range []byte{0x01, 0x20} {
			step := stride()
			if flip != 0x01 { // every position has been tried by then
				step = max(step, 17)
			}
			parallel((len(raw)+step-1)/step, func(worker, i int) {
				i *= step
				put := func(name string, raw []byte) {
					if err := os.WriteFile(filepath.Join(dirs[worker], name), raw, 0o600); err != nil {
						t.Error(err)
					}
				}
				changed := bytes.Clone(raw)
				changed[i] ^= flip
				put(name, changed)
				v := missed
				if _, err := OpenBundle(dirs[worker]); err != nil {
					v = refused
				}
				y.count(t, "byte of "+name+", sums kept", v, fmt.Sprint(i))
				if name == RecordsFile || name == CheckpointsFile {
					sums, err := bundleSums(dirs[worker])
					if err != nil {
						t.Error(err)
					}
					put(SumsFile, []byte(sums))
					b, err := OpenBundle(dirs[worker])
					if err != nil {
						t.Errorf("byte %d of %s: sums made anew do not open: %v", i, name, err)
						return
					}
					s, err := Verify(t.Context(), b, Options{Root: w.root, Quorum: 2, Scratch: scratchDir()})
					v = judge(s, err, clean.Findings)
					y.count(t, "byte of "+name+", sums made anew", v, fmt.Sprint(i))
					if v == notableOnly && (name != CheckpointsFile || !cosignature[i]) {
						t.Errorf("byte %d of %s: the record passes as whole: %v", i, name, s.Findings)
					}
					put(SumsFile, files[SumsFile])
				}
				put(name, raw)
			})
		}
	}
	y.log(t)
}

// Files taken away, added, or of another kind.
func TestBundleFiles(t *testing.T) {
	w := smallWorld(t, 1)
	for _, name := range []string{RecordsFile, CheckpointsFile, ReadmeFile, SumsFile} {
		dir := w.bundle()
		w.must(os.Remove(filepath.Join(dir, name)))
		if b, err := OpenBundle(dir); err == nil || b != nil {
			t.Errorf("opened without %s", name)
		}
		w.must(os.Mkdir(filepath.Join(dir, name), 0o700))
		if b, err := OpenBundle(dir); err == nil || b != nil {
			t.Errorf("opened with a folder %s", name)
		}
	}
	// A frame says no more than a record can have, whatever the sums say.
	for n, want := range map[int]bool{MaxRecord: true, MaxRecord + 1: false} {
		raw := fmt.Appendf(nil, "record 0 %d\n", n)
		in := bufio.NewReader(bytes.NewReader(append(append(raw, make([]byte, n)...), '\n')))
		if _, err := readFrame(in, "record", 0, MaxRecord); (err == nil) != want {
			t.Errorf("a frame of %d bytes: %v", n, err)
		}
	}
	dir := w.bundle()
	w.must(os.WriteFile(filepath.Join(dir, "more"), nil, 0o600))
	if _, err := OpenBundle(dir); err == nil {
		t.Error("opened with a file more")
	}
	if err := WriteBundle(t.Context(), w, dir, nil); err == nil {
		t.Error("wrote over a bundle")
	}
	if _, err := os.Stat(dir + ".partial"); err == nil {
		t.Error("left a part behind")
	}
}

// Records taken out, put in, repeated, exchanged, cut off, taken from another log: the checkpoints show each.
func TestEveryAlterationOfRecords(t *testing.T) {
	w := newWorld(t, 2, 40)
	other := newWorld(t, 3, 40)
	clean, _, err := runAudit(t, w, w.root, 2)
	if err != nil || !clean.Clean() {
		t.Fatal("not clean to begin with", err)
	}
	var y tally
	try := func(class, where string, src Source) {
		s, err := Verify(t.Context(), src, Options{Root: w.root, Quorum: 2, Scratch: scratchDir()})
		v := judge(s, err, clean.Findings)
		y.count(t, class, v, where)
		if v == notableOnly {
			t.Errorf("%s %s: the record passes as whole: %v", class, where, s.Findings)
		}
	}
	n := len(w.raw)
	step := 2
	if raceEnabled || testing.Short() {
		step = 15
	}
	parallel(n/step, func(_, i int) {
		i *= step
		at := fmt.Sprint("record ", i)
		try("deletion", at, served(slices.Delete(slices.Clone(w.raw), i, i+1), w.cps))
		try("duplication", at, served(slices.Insert(slices.Clone(w.raw), i, w.raw[i]), w.cps))
		try("insertion of another log's", at, served(slices.Insert(slices.Clone(w.raw), i, other.raw[min(i, len(other.raw)-1)]), w.cps))
		try("replay of another log's in its place", at, served(slices.Replace(slices.Clone(w.raw), i, i+1, other.raw[len(other.raw)-1-i%len(other.raw)]), w.cps))
		try("truncation", at, served(w.raw[:i], w.cps))
		try("beginning cut off", at, served(w.raw[i+1:], w.cps))
		if i+1 < n {
			x := slices.Clone(w.raw)
			x[i], x[i+1] = x[i+1], x[i]
			try("swap of neighbours", at, served(x, w.cps))
		}
		for j := i + 2; j < n; j++ { // the next one of another stream, moved in front: each stream keeps its order
			if w.recs[j].Stream != w.recs[i].Stream && !slices.ContainsFunc(w.recs[i:j], func(r *Record) bool { return r.Stream == w.recs[j].Stream }) {
				x := slices.Delete(slices.Clone(w.raw), j, j+1)
				try("reordering across streams", at, served(slices.Insert(x, i, w.raw[j]), w.cps))
				break
			}
		}
		for _, p := range []int{0, len(w.raw[i]) / 2, len(w.raw[i]) - 1} {
			x := slices.Clone(w.raw)
			x[i] = bytes.Clone(x[i])
			x[i][p] ^= 4
			try("byte changed", at, served(x, w.cps))
			x[i] = slices.Delete(bytes.Clone(w.raw[i]), p, p+1)
			try("byte taken out", at, served(x, w.cps))
		}
		src := served(w.raw, w.cps)
		for k := range src.records {
			src.records[k].Hashes = w.hashes[k]
		}
		h := slices.Clone(w.hashes[i])
		h[len(h)-1][7] ^= 1
		src.records[i].Hashes = h
		try("stored hash changed", at, src)
		src.records[i].Hashes = append(slices.Clone(w.hashes[i]), tlog.Hash{})
		try("stored hash added", at, src)
		src.records[i].Hashes = w.hashes[i]
		src.records[i].Index++
		try("number changed", at, src)
	})
	y.log(t)
}

// The log's key is in the hands of whoever runs it. Old checkpoints, those of another log and forged ones do not help.
func TestEveryAlterationOfCheckpoints(t *testing.T) {
	w := newWorld(t, 2, 40)
	other := newWorld(t, 3, 40)
	clean, _, err := runAudit(t, w, w.root, 2)
	if err != nil {
		t.Fatal(err)
	}
	var y tally
	try := func(class string, records, cps [][]byte) {
		s, err := Verify(t.Context(), served(records, cps), Options{Root: w.root, Quorum: 2, Scratch: scratchDir()})
		y.count(t, class, judge(s, err, clean.Findings), class)
	}
	for i, c := range other.cps {
		try("checkpoint of another log added", w.raw, append(slices.Clone(w.cps), c))
		try("checkpoint of another log in its place", w.raw, slices.Replace(slices.Clone(w.cps), i, i+1, c))
	}
	try("all checkpoints of another log", w.raw, other.cps)
	try("another log under these checkpoints", other.raw, w.cps)
	try("another log altogether", other.raw, other.cps)
	try("newest checkpoint taken away", w.raw, w.cps[:len(w.cps)-1])
	try("all checkpoints taken away", w.raw, nil)
	last := w.cps[len(w.cps)-1]
	lines := bytes.SplitAfter(last, []byte("\n"))
	for i := range lines[:len(lines)-1] {
		without := bytes.Join(slices.Delete(slices.Clone(lines), i, i+1), nil)
		cps := append(slices.Clone(w.cps[:len(w.cps)-1]), without)
		if i < 6 { // text and the log's signature; one of four cosignatures may be left out by whoever hands the bundle on
			try("line of a checkpoint taken away", w.raw, cps)
		}
		twice := bytes.Join(slices.Insert(slices.Clone(lines), i, lines[i]), nil)
		if i < 6 {
			try("line of a checkpoint twice", w.raw, append(slices.Clone(w.cps[:len(w.cps)-1]), twice))
		}
		if i+1 < 7 {
			x := slices.Clone(lines)
			x[i], x[i+1] = x[i+1], x[i]
			try("lines of a checkpoint exchanged", w.raw, append(slices.Clone(w.cps[:len(w.cps)-1]), bytes.Join(x, nil)))
		}
	}
	// A thief of the log's key signs another history; the cosigned checkpoint of the true one stays.
	x := emptyWorld(t, 2, police, ngo, housing, council)
	x.publishAll()
	x.checkpoint()
	x.build("")
	try("history signed anew by the log", x.raw, append(slices.Clone(x.cps), w.cps...))
	try("history signed anew, without cosignatures", x.raw, x.cps)
	y.log(t)
}

// What an audit of a bundle alone cannot see, and what shows it: a newer part left out with all that speaks of it. The
// checkpoint that one agency kept is enough.
func TestWhatIsLeftOutWithItsCheckpoints(t *testing.T) {
	w := newWorld(t, 2, 40)
	short := served(w.raw[:w.at[0].size], w.cps[:1])
	s, found, err := runAudit(t, short, w.root, 2)
	if err != nil || len(found) != 0 || !s.Clean() {
		t.Fatalf("an older state of the log is not clean: %v %v", found, err)
	}
	for _, kept := range w.cps[1:] {
		short.cps = [][]byte{w.cps[0], kept}
		s, _, err := runAudit(t, short, w.root, 2)
		if err != nil || s.Findings[FindBeyond] != 1 || s.Clean() {
			t.Errorf("a kept checkpoint does not show that the log was shortened: %v %v", s.Findings, err)
		}
	}
}

// reader reads the stored hashes of a world.
func (w *world) reader() tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			record, place := HeldBy(x)
			out[i] = w.hashes[record][place]
		}
		return out, nil
	})
}

// prove makes the proof of a record under a checkpoint, with the directory of the last head.
func (w *world) prove(index int, cp []byte, need ...string) *Proof {
	w.t.Helper()
	c, err := ParseCheckpoint(cp)
	w.must(err)
	hashes, err := tlog.ProveRecord(c.Size, int64(index), w.reader())
	w.must(err)
	p := &Proof{Record: base64.StdEncoding.EncodeToString(w.raw[index]), Index: int64(index), Hashes: FormatHashes(hashes), Checkpoint: string(cp),
		Entries: map[string]string{directory.LogKey: string(w.entries[directory.LogKey])}}
	for _, r := range w.recs {
		if r.Kind == KindDirectory && r.Key() == directory.HeadKey {
			p.Head = string(r.Note)
		}
	}
	for _, id := range need {
		p.Entries[directory.AgencyKey(id)] = string(w.entries[directory.AgencyKey(id)])
	}
	return p
}

func (w *world) find(k Kind) int {
	return slices.IndexFunc(w.recs, func(r *Record) bool { return r.Kind == k })
}

// Every single byte of a proof and of a disclosure, changed, taken out, and a line end put in as JSON writes it.
func TestEveryByteOfAProof(t *testing.T) {
	w := smallWorld(t, 1)
	proofs := map[string][]byte{}
	for _, k := range []Kind{KindMail, KindAct, KindDirectory} {
		raw, err := EncodeProof(w.prove(w.find(k), w.cps[1], police, ngo))
		w.must(err)
		proofs["proof of "+string(k)] = raw
	}
	mail := w.find(KindMail)
	m := w.sent[0]
	d := &Disclosure{FileKey: base64.StdEncoding.EncodeToString(make([]byte, 16)), Envelope: base64.StdEncoding.EncodeToString(w.raws[m.ID]), Proof: *w.prove(mail, w.cps[1], police, ngo)}
	raw, err := EncodeDisclosure(d)
	w.must(err)
	proofs["disclosure"] = raw

	accepts := func(class string, raw []byte) bool {
		if class == "disclosure" {
			d, err := ParseDisclosure(raw)
			if err != nil {
				return false
			}
			_, _, _, err = d.Check(w.root, 2)
			return err == nil
		}
		p, err := ParseProof(raw)
		if err != nil {
			return false
		}
		_, err = p.Check(w.root, 2)
		return err == nil
	}
	var y tally
	for class, raw := range proofs {
		if !accepts(class, raw) {
			t.Fatalf("%s: refused as it is", class)
		}
		// The file key is what the body opens with, and the body is not opened here.
		fileKey := bytes.Index(raw, []byte(`"file_key":"`))
		exempt := func(i int) bool { return fileKey >= 0 && i >= fileKey+12 && i < fileKey+12+22 }
		step := stride()
		parallel((len(raw)+step-1)/step, func(_, i int) {
			i *= step
			changes := map[string][]byte{
				"changed":  slices.Concat(raw[:i], []byte{raw[i] ^ 1}, raw[i+1:]),
				"line end": slices.Concat(raw[:i], []byte(`\n`), raw[i:]),
			}
			if i/step%5 == 0 {
				changes["case changed"] = slices.Concat(raw[:i], []byte{raw[i] ^ 0x20}, raw[i+1:])
				changes["taken out"] = slices.Concat(raw[:i], raw[i+1:])
				changes["space"] = slices.Concat(raw[:i], []byte(` `), raw[i:])
				changes["cut off"] = raw[:i]
			}
			for name, changed := range changes {
				if exempt(i) && strings.Contains(name, "changed") {
					continue
				}
				v := refused
				if accepts(class, changed) {
					v = missed
				}
				y.count(t, class+", byte "+name, v, fmt.Sprint(i))
			}
		})
	}
	y.log(t)
}

// A proof of one thing is none of another.
func TestProofsOfSomethingElse(t *testing.T) {
	w := newWorld(t, 4, 30)
	other := newWorld(t, 5, 30)
	last := w.cps[len(w.cps)-1]
	all := w.ids()
	mail := w.find(KindMail)
	good := w.prove(mail, last, all...)
	if ev, err := good.Check(w.root, 4); err != nil || ev.Manifest == nil || len(ev.Witnesses) != 4 || ev.Index != int64(mail) || ev.Act != nil {
		t.Fatalf("refused as it is: %v", err)
	}
	wrong := map[string]func(p *Proof){
		"index":            func(p *Proof) { p.Index++ },
		"negative index":   func(p *Proof) { p.Index = -1 },
		"index beyond":     func(p *Proof) { p.Index = int64(len(w.raw)) },
		"no hashes":        func(p *Proof) { p.Hashes = nil },
		"a hash more":      func(p *Proof) { p.Hashes = append(p.Hashes, p.Hashes[0]) },
		"hashes exchanged": func(p *Proof) { p.Hashes[0], p.Hashes[1] = p.Hashes[1], p.Hashes[0] },
		"another record":   func(p *Proof) { p.Record = base64.StdEncoding.EncodeToString(w.raw[mail+1]) },
		"another log's":    func(p *Proof) { p.Record = base64.StdEncoding.EncodeToString(other.raw[mail]) },
		"older checkpoint": func(p *Proof) { p.Checkpoint = string(w.cps[0]) },
		"other checkpoint": func(p *Proof) { p.Checkpoint = string(other.cps[2]) },
		"other head":       func(p *Proof) { p.Head = string(other.makeHead(3)) },
		"log left out":     func(p *Proof) { delete(p.Entries, directory.LogKey) },
		"witness left out": func(p *Proof) { delete(p.Entries, directory.AgencyKey(all[0])) },
		"entry not needed": func(p *Proof) { p.Entries["agreement.a0"] = string(w.entries["agreement.a0"]) },
		"entry of another": func(p *Proof) { p.Entries[directory.AgencyKey(ngo)] = p.Entries[directory.AgencyKey(police)] },
		"entry not listed": func(p *Proof) { p.Entries[directory.AgencyKey("nobody-here")] = p.Entries[directory.AgencyKey(police)] },
	}
	for name, change := range wrong {
		p := w.prove(mail, last, all...)
		change(p)
		if ev, err := p.Check(w.root, 0); err == nil || ev != nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := good.Check(other.root, 0); err == nil {
		t.Error("accepted by another root")
	}
	if _, err := good.Check(w.root, 5); err == nil || err.(*Error).Code != CodeUnwitnessed { //nolint:errorlint // Check returns it bare
		t.Errorf("five witnesses of four: %v", err)
	}
	// A disclosure of another message, of a receipt's envelope, with a key of another length.
	d := func() *Disclosure {
		var id string
		m, _, err := w.recs[mail].Manifest()
		w.must(err)
		id = m.ID
		return &Disclosure{FileKey: base64.StdEncoding.EncodeToString(make([]byte, 16)), Envelope: base64.StdEncoding.EncodeToString(w.raws[id]), Proof: *good}
	}
	if _, env, key, err := d().Check(w.root, 4); err != nil || env == nil || len(key) != 16 {
		t.Fatalf("disclosure: %v", err)
	}
	for name, change := range map[string]func(*Disclosure){
		"another envelope": func(d *Disclosure) {
			for id, raw := range w.raws {
				if m, _, _ := w.recs[mail].Manifest(); m.ID != id {
					d.Envelope = base64.StdEncoding.EncodeToString(raw)
					return
				}
			}
		},
		"short key":   func(d *Disclosure) { d.FileKey = base64.StdEncoding.EncodeToString(make([]byte, 15)) },
		"no envelope": func(d *Disclosure) { d.Envelope = "" },
		"of an act":   func(d *Disclosure) { d.Proof = *w.prove(w.find(KindAct), last, all...) },
		"another body": func(d *Disclosure) {
			raw, _ := base64.StdEncoding.DecodeString(d.Envelope)
			raw[len(raw)-1] ^= 1
			d.Envelope = base64.StdEncoding.EncodeToString(raw)
		},
	} {
		x := d()
		change(x)
		if ev, _, _, err := x.Check(w.root, 0); err == nil || ev != nil {
			t.Errorf("disclosure, %s: accepted", name)
		}
	}
	if s := fmt.Sprintf("%v %+v %#v %s", d(), d(), d(), d()); strings.Contains(s, "AAAA") {
		t.Errorf("a disclosure shows its key: %s", s)
	}
}
