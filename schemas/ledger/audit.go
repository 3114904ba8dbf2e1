package ledger

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"waypost/schemas"
	"waypost/schemas/directory"
	"waypost/schemas/envelope"
)

// Stored is one record as a source holds it.
type Stored struct {
	Index  int64
	Raw    []byte
	Hashes []tlog.Hash // as its header says; nil where the source keeps none
}

// Source is where records and checkpoints come from: a running broker, or a bundle. Both sequences may be asked for more
// than once and must then hold the same; records come by their number.
type Source interface {
	Records(ctx context.Context) iter.Seq2[Stored, error]
	Checkpoints(ctx context.Context) iter.Seq2[[]byte, error]
}

// Options say how to audit.
type Options struct {
	Root    note.Verifier
	Quorum  int               // cosignatures that the newest witnessed checkpoint must bear
	Found   func(Finding)     // told of every finding, in no strict order
	Seen    func(index int64) // told of every record, for a progress bar; may be nil
	Scratch string            // folder for temporary files; "" is the system's
}

// Summary is what an audit says in the end.
type Summary struct {
	Records     int64            `json:"records"`
	Root        string           `json:"root"` // of the tree of all records, base64
	Kinds       map[Kind]int64   `json:"kinds"`
	From        time.Time        `json:"from,omitzero"` // time of the first record
	To          time.Time        `json:"to,omitzero"`   // and of the last
	Checkpoints int64            `json:"checkpoints"`
	Signed      int64            `json:"signed"`    // records under the newest checkpoint
	Witnessed   int64            `json:"witnessed"` // records under the newest checkpoint with a quorum
	Witnesses   []string         `json:"witnesses"` // of that checkpoint
	Directory   uint64           `json:"directory"` // version of the last head
	Findings    map[Code]int64   `json:"findings"`
	Broken      int64            `json:"broken"`
	Notable     int64            `json:"notable"`
	View        *directory.View  `json:"-"` // the last directory
	sizes       map[int64]sealed // tree sizes that checkpoints name
}

// Clean reports whether the record is whole.
func (s *Summary) Clean() bool { return s.Broken == 0 }

// sealed is what a checkpoint of a size must say.
type sealed struct {
	seen    bool
	root    tlog.Hash
	version uint64
	digest  string
}

// chunk is how many records are verified side by side.
const chunk = 1024

type audit struct {
	Options
	sum   *Summary
	tree  Tree
	dir   registry
	last  map[string]uint64 // stream → last number recorded
	clock map[string]time.Time
	pairs map[pair]*numbers
	cross *crosscheck
	batch []*job
	head  headAt
	lost  lost
}

// lost compares what senders say the broker lost with what administrators say, wherever in the log each says it: agencies heal
// before an administrator has signed anything.
type lost struct {
	said      int64 // void messages of schemas.CodeLostInRestore
	first     Finding
	announced int64           // records, by acts "restored"; at most MaxSeq
	acts      map[string]bool // ids of these: a broker that records one again announces no more with it
}

type headAt struct {
	version uint64
	digest  string
}

type job struct {
	Stored
	rec   *Record
	view  *directory.View
	head  headAt
	leaf  tlog.Hash
	m     *envelope.Manifest
	act   *Act
	err   error // of the record itself
	proof error // of its signature
}

// Verify audits everything a source holds: the whole tree, every signature against the directory as it stood then,
// checkpoints and cosignatures, the numbers of every pair, receipts against messages. Its memory is bounded by the number
// of agencies, pairs and checkpoints, not by the number of records. An error means that the audit could not be done.
func Verify(ctx context.Context, src Source, o Options) (*Summary, error) {
	cross, err := newCrosscheck(o.Scratch)
	if err != nil {
		return nil, err
	}
	defer cross.close()
	a := &audit{Options: o, last: map[string]uint64{}, clock: map[string]time.Time{}, pairs: map[pair]*numbers{}, cross: cross, lost: lost{acts: map[string]bool{}},
		sum: &Summary{Kinds: map[Kind]int64{}, Findings: map[Code]int64{}, Witnesses: []string{}, sizes: map[int64]sealed{}}}
	a.dir.init(o.Root, a.found)
	// Which tree sizes will be asked about.
	for raw, err := range src.Checkpoints(ctx) {
		if err != nil {
			return nil, fmt.Errorf("read checkpoints: %w", err)
		}
		if c, err := ParseCheckpoint(raw); err == nil {
			a.sum.sizes[c.Size] = sealed{}
		}
	}
	if err := a.records(ctx, src); err != nil {
		return nil, err
	}
	if err := a.checkpoints(ctx, src); err != nil {
		return nil, err
	}
	if err := cross.settle(ctx, a.found); err != nil {
		return nil, err
	}
	return a.sum, nil
}

func (a *audit) found(f Finding) {
	f.Severity = severity(f.Code)
	a.sum.Findings[f.Code]++
	if f.Severity == Broken {
		a.sum.Broken++
	} else {
		a.sum.Notable++
	}
	if a.Found != nil {
		a.Found(f)
	}
}

func (a *audit) records(ctx context.Context, src Source) error {
	for s, err := range src.Records(ctx) {
		if err != nil {
			return fmt.Errorf("read records: %w", err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		a.take(s)
		if len(a.batch) == chunk {
			if err := a.flush(); err != nil {
				return err
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := a.flush(); err != nil {
		return err
	}
	a.gaps()
	if a.lost.said > a.lost.announced {
		a.lost.first.Code = FindLostUnknown
		a.found(a.lost.first)
	}
	a.sum.Records, a.sum.Root = a.tree.Size(), a.tree.Root().String()
	a.sum.View, a.sum.Directory = a.dir.current(), a.head.version
	return nil
}

// take reads a record and, if it changes the directory, applies it: what follows is judged by it.
func (a *audit) take(s Stored) {
	j := &job{Stored: s}
	if j.rec, j.err = ParseRecord(s.Raw); j.err == nil {
		switch j.rec.Kind {
		case KindDirectory:
			if h, ok := a.dir.record(s.Index, j.rec); ok {
				a.head = h
			}
		case KindMail, KindAct:
			j.view = a.dir.current()
		}
	}
	j.head = a.head
	a.batch = append(a.batch, j)
}

// flush verifies what was taken on all cores, then goes through it in order.
func (a *audit) flush() error {
	var wg sync.WaitGroup
	workers := min(runtime.GOMAXPROCS(0), len(a.batch))
	for w := range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := w; i < len(a.batch); i += workers {
				a.batch[i].verify(a.Root)
			}
		}()
	}
	wg.Wait()
	for _, j := range a.batch {
		if err := a.settle(j); err != nil {
			return err
		}
	}
	clear(a.batch)
	a.batch = a.batch[:0]
	return nil
}

func (j *job) verify(root note.Verifier) {
	j.leaf = Leaf(j.Raw)
	if j.err != nil {
		return
	}
	switch j.rec.Kind {
	case KindMail:
		m, line, err := j.rec.Manifest()
		if err != nil {
			j.err = err
			return
		}
		j.m = m
		if line.Signer != m.From || j.view == nil {
			j.proof = &Error{Code: CodeBadSignature}
			return
		}
		_, j.proof = line.Verify(j.view.Verifiers(m.From, m.Sent)...)
	case KindAct:
		j.act, j.proof = VerifyAct(j.rec.Note, root, j.view)
	}
}

func (a *audit) settle(j *job) error {
	if j.Index != a.tree.Size() {
		a.found(Finding{Code: FindMissing, Record: j.Index})
	}
	done := a.tree.Append(j.leaf)
	if j.Hashes != nil && EncodeHashes(j.Hashes) != EncodeHashes(done) {
		a.found(Finding{Code: FindHash, Record: j.Index})
	}
	if _, ok := a.sum.sizes[a.tree.Size()]; ok {
		a.sum.sizes[a.tree.Size()] = sealed{seen: true, root: a.tree.Root(), version: j.head.version, digest: j.head.digest}
	}
	if a.Seen != nil {
		a.Seen(j.Index)
	}
	if j.err != nil {
		a.found(Finding{Code: FindRecord, Record: j.Index})
		return nil
	}
	r := j.rec
	a.sum.Kinds[r.Kind]++
	if a.sum.From.IsZero() {
		a.sum.From = r.Time
	}
	a.sum.To = r.Time
	a.stream(j.Index, r)
	switch r.Kind {
	case KindMail:
		return a.mail(j)
	case KindAct:
		switch {
		case j.proof != nil, j.act.Records > j.Index:
			a.found(Finding{Code: FindAct, Record: j.Index})
		case j.act.Act == ActRestored:
			if !a.lost.acts[j.act.ID] {
				a.lost.acts[j.act.ID] = true
				a.lost.announced = min(a.lost.announced+j.act.Lost-j.act.Records, envelope.MaxSeq)
			}
			a.found(Finding{Code: FindRestored, Record: j.Index, Size: j.act.Records})
		}
	case KindOpaque:
		if r.Stream == StreamDirectory {
			a.found(Finding{Code: FindDirectory, Record: j.Index})
		} else {
			a.found(Finding{Code: FindOpaque, Record: j.Index, Stream: r.Stream})
		}
	}
	return nil
}

// stream follows the numbers of the streams.
func (a *audit) stream(index int64, r *Record) {
	last := a.last[r.Stream]
	switch r.Kind {
	case KindAct:
		return
	case KindExpired:
		if r.Seq > last {
			a.found(Finding{Code: FindExpiredEarly, Record: index, Stream: r.Stream, From: r.Seq, To: r.Seq})
		} else {
			a.found(Finding{Code: FindExpired, Record: index, Stream: r.Stream, From: r.Seq, To: r.Seq})
		}
		return
	case KindGap:
		// A bucket forgets old values of its keys by itself; a mail stream loses nothing by itself.
		if r.Stream != StreamDirectory {
			a.found(Finding{Code: FindGap, Record: index, Stream: r.Stream, From: r.Seq, To: r.Last})
		}
	}
	if r.Seq != last+1 {
		a.found(Finding{Code: FindOrder, Record: index, Stream: r.Stream, From: last + 1, To: r.Seq})
	}
	a.last[r.Stream] = max(last, r.Seq, r.Last)
	if r.Time.Before(a.clock[r.Stream].Add(-time.Second)) {
		a.found(Finding{Code: FindClock, Record: index, Stream: r.Stream})
	}
	a.clock[r.Stream] = r.Time
}

func (a *audit) mail(j *job) error {
	m := j.m
	about := Finding{Record: j.Index, Agency: m.From, Peer: m.To, Message: m.ID}
	report := func(c Code) { f := about; f.Code = c; a.found(f) }
	if j.proof != nil {
		report(FindSignature)
		// Nobody's word: neither numbers nor receipts are judged by it. But a receipt for it is not one for nothing.
		return a.cross.unverified(j.Index, m)
	}
	if err := j.view.Permits(directory.Flow{From: m.From, To: m.To, Kind: m.Kind, At: m.Sent}); err != nil {
		// Purposes and categories are sealed: only who, whom and what can be judged from outside.
		if e, ok := err.(*directory.Error); !ok || e.Code != directory.CodeAgreementPurpose && e.Code != directory.CodeAgreementCategory { //nolint:errorlint // Permits returns it bare
			report(FindAgreement)
		}
	}
	p := pair{m.From, m.To, string(m.Lane)}
	if _, listed := j.view.Agency(m.To); !listed {
		// Numbers towards nobody lead nowhere, and would let a member make this audit remember as many pairs as it likes.
		return a.cross.message(j.Index, m, j.mark())
	}
	if m.Void() && m.Code == schemas.CodeLostInRestore {
		report(FindLost)
		if a.lost.said++; a.lost.said == 1 {
			a.lost.first = about
		}
	}
	if a.pairs[p] == nil {
		a.pairs[p] = &numbers{}
	}
	about.Stream = string(m.Lane)
	what, told := a.pairs[p].saw(m.Seq, j.mark(), about)
	for _, h := range told {
		a.hole(h)
	}
	if what != "" && what != FindRepeat { // repeats are told by their id
		about.Code, about.From, about.To = what, m.Seq, m.Seq
		a.found(about)
	}
	return a.cross.message(j.Index, m, j.mark())
}

func (a *audit) hole(h hole) {
	f := h.after
	f.Code, f.From, f.To = FindSequenceGap, h.from, h.to
	a.found(f)
}

// gaps tells of the numbers that never came.
func (a *audit) gaps() {
	var all []hole
	for _, n := range a.pairs {
		all = append(all, n.missing...)
	}
	slices.SortFunc(all, func(x, y hole) int {
		return cmp.Or(cmp.Compare(x.after.Record, y.after.Record), cmp.Compare(x.from, y.from))
	})
	for _, h := range all {
		a.hole(h)
	}
}

// mark tells two manifests of one number or id apart; the same message stored twice has one note and two records. One that
// was taken back, and was stored after all, has both under one number, and that is no forgery.
func (j *job) mark() tlog.Hash {
	if j.m.Void() {
		return voidMark
	}
	return Leaf(j.rec.Note)
}

// checkpoints is the second look: now the roots of all sizes are known.
func (a *audit) checkpoints(ctx context.Context, src Source) error {
	// Cosignatures of one checkpoint may lie apart, so they are gathered for each size; only sizes and names are held.
	who := map[int64]map[string]bool{}
	signed := int64(-1)
	for raw, err := range src.Checkpoints(ctx) {
		if err != nil {
			return fmt.Errorf("read checkpoints: %w", err)
		}
		a.sum.Checkpoints++
		c, err := ParseCheckpoint(raw)
		if err != nil || a.sum.View == nil || c.Verify(a.sum.View, time.Time{}) != nil {
			a.found(Finding{Code: FindCheckpoint, Record: -1})
			continue
		}
		if !a.holds(c) {
			continue
		}
		for range c.Unknown(a.sum.View) {
			a.found(Finding{Code: FindCosignature, Record: -1, Size: c.Size})
		}
		signed = max(signed, c.Size)
		for _, w := range c.Witnesses(a.sum.View) {
			if who[c.Size] == nil {
				who[c.Size] = map[string]bool{}
			}
			who[c.Size][w.Agency] = true
		}
	}
	a.covered(signed, who)
	return nil
}

// holds compares a signed checkpoint with the records.
func (a *audit) holds(c *Checkpoint) bool {
	s := a.sum.sizes[c.Size]
	if c.Size == 0 {
		s = sealed{seen: true, root: emptyRoot, version: c.DirectoryVersion, digest: c.DirectoryDigest}
	}
	switch {
	case !s.seen:
		a.found(Finding{Code: FindBeyond, Record: -1, Size: c.Size})
	case s.root != c.Root:
		a.found(Finding{Code: FindFork, Record: -1, Size: c.Size})
	case s.version != c.DirectoryVersion || s.digest != c.DirectoryDigest:
		a.found(Finding{Code: FindStale, Record: -1, Size: c.Size})
	default:
		return true
	}
	return false
}

// covered says how far checkpoints and witnesses reach.
func (a *audit) covered(signed int64, who map[int64]map[string]bool) {
	if signed < 0 {
		a.found(Finding{Code: FindNoCheckpoint, Record: -1})
		return
	}
	a.sum.Signed = signed
	for size, names := range who {
		if len(names) >= max(a.Quorum, 1) && size > a.sum.Witnessed {
			a.sum.Witnessed = size
		}
	}
	a.sum.Witnesses = sorted(who[a.sum.Witnessed])
	switch {
	case a.Quorum > 0 && a.sum.Witnessed == 0:
		a.found(Finding{Code: FindUnwitnessed, Record: -1})
	case a.Quorum > 0 && a.sum.Witnessed < a.sum.Records:
		a.found(Finding{Code: FindTail, Record: a.sum.Witnessed})
	case a.sum.Signed < a.sum.Records:
		a.found(Finding{Code: FindTail, Record: a.sum.Signed})
	}
}
