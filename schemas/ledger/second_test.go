package ledger

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"waypost/schemas"
)

// This file is a second verifier of bundles, made from the package documentation of ledger, envelope and directory and not
// from their code: it shares with the first only the module that implements RFC 6962 and notes, and the catalogue of kinds.
// It reads everything into memory and is written for reading, so that a disagreement is settled by the documentation.

type secondReport struct {
	files   bool                   // bundle-files
	unread  bool                   // the frames cannot be read: no audit
	found   map[Code][]int64       // record numbers; checkpoint sizes for findings about checkpoints
	missing map[string][][2]uint64 // sequence-gap: the numbers, by pair and lane
}

func (r *secondReport) add(c Code, n int64) { r.found[c] = append(r.found[c], n) }

// --- bundle

func secondVerify(dir string, rootKey string, quorum int) *secondReport {
	r := &secondReport{found: map[Code][]int64{}, missing: map[string][][2]uint64{}}
	list, err := os.ReadDir(dir)
	if err != nil {
		r.files = true
		return r
	}
	content := map[string][]byte{}
	for _, e := range list {
		if !e.Type().IsRegular() {
			r.files = true
			return r
		}
		content[e.Name()], _ = os.ReadFile(filepath.Join(dir, e.Name()))
	}
	sums := ""
	for _, name := range []string{"README.txt", "checkpoints", "records"} {
		raw, ok := content[name]
		if !ok {
			r.files = true
			return r
		}
		sums += fmt.Sprintf("%x  %s\n", sha256.Sum256(raw), name)
	}
	if len(content) != 4 || string(content["SHA256SUMS"]) != sums {
		r.files = true
		return r
	}
	records, ok1 := secondFrames("record", content["records"])
	checkpoints, ok2 := secondFrames("checkpoint", content["checkpoints"])
	if !ok1 || !ok2 {
		r.unread = true
		return r
	}
	newSecond(r, rootKey).run(records, checkpoints, quorum)
	return r
}

var secondFrameHead = regexp.MustCompile(`^([a-z]+) (0|[1-9][0-9]*) (0|[1-9][0-9]*)$`)

func secondFrames(word string, raw []byte) (out [][]byte, ok bool) {
	for len(raw) > 0 {
		head, rest, ok := bytes.Cut(raw, []byte("\n"))
		m := secondFrameHead.FindSubmatch(head)
		if !ok || m == nil || string(m[1]) != word || string(m[2]) != strconv.Itoa(len(out)) {
			return nil, false
		}
		n, err := strconv.Atoi(string(m[3]))
		if err != nil || n < 1 || n >= len(rest) || rest[n] != '\n' {
			return nil, false
		}
		out = append(out, rest[:n])
		raw = rest[n+1:]
	}
	return out, true
}

// --- canonical JSON and the signed line

var (
	secondAgencyID = regexp.MustCompile(`^[a-z][a-z0-9-]{1,38}[a-z0-9]$`)
	secondLine     = regexp.MustCompile(`^(\{[^\n]*)\n\n— ([a-z][a-z0-9-]{1,38}[a-z0-9]) ([A-Za-z0-9+/]{91}=)\n$`)
	secondTime     = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{0,2}[1-9])?Z$`)
	secondUUID4    = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	secondUUID7    = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	secondKind     = regexp.MustCompile(`^[a-z][a-z0-9-]{1,38}$`)
	secondCode     = regexp.MustCompile(`^[a-z][a-z0-9-]{0,63}$`)
	secondSchema   = regexp.MustCompile(`^[a-z][a-z0-9-]{1,38}\.v[1-9][0-9]{0,3}$`)
	secondDigest   = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	secondSubject  = regexp.MustCompile(`^[A-Za-z0-9$_.-]{1,255}$`)
	secondDirKey   = regexp.MustCompile(`^(log|agency\.[a-z][a-z0-9-]{1,38}[a-z0-9]|agreement\.[a-z0-9](?:[a-z0-9-]{0,98}[a-z0-9])?)$`)
)

const secondMaxInt = 1<<53 - 1

type secondSigned struct {
	text   []byte // what is signed
	doc    []byte
	signer string
	hash   uint32
	sig    []byte
}

func secondParseLine(raw []byte, limit int) *secondSigned {
	m := secondLine.FindSubmatch(raw)
	if m == nil || len(raw) > limit {
		return nil
	}
	b, err := base64.StdEncoding.Strict().DecodeString(string(m[3]))
	if err != nil || len(b) != 68 {
		return nil
	}
	return &secondSigned{text: raw[:len(m[1])+1], doc: m[1], signer: string(m[2]), hash: binary.BigEndian.Uint32(b), sig: b[4:]}
}

// canonical decodes doc into v, whose members are in the order of the page and omitempty where that says "?".
func secondCanonical(doc []byte, v any) bool {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.DisallowUnknownFields()
	if d.Decode(v) != nil || d.InputOffset() != int64(len(doc)) {
		return false
	}
	for tokens := json.NewDecoder(bytes.NewReader(doc)); ; {
		tok, err := tokens.Token()
		if err != nil {
			break
		}
		if tok == nil { // null
			return false
		}
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	return e.Encode(v) == nil && bytes.Equal(out.Bytes()[:out.Len()-1], doc)
}

func secondAt(s string) (time.Time, bool) {
	if !secondTime.MatchString(s) {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	return t, err == nil
}

// secondKey is a note verifier key with algorithm 1.
type secondKey struct {
	name string
	hash uint32
	pub  ed25519.PublicKey
}

func secondKeyHash(name string, alg byte, pub []byte) uint32 {
	sum := sha256.Sum256(slices.Concat([]byte(name), []byte{'\n', alg}, pub))
	return binary.BigEndian.Uint32(sum[:])
}

func secondParseKey(vkey string) (k secondKey, ok bool) {
	v, err := note.NewVerifier(vkey)
	parts := strings.SplitN(vkey, "+", 3)
	if err != nil || len(parts) != 3 {
		return k, false
	}
	b, err := base64.StdEncoding.Strict().DecodeString(parts[2])
	if err != nil || len(b) != 33 || b[0] != 1 {
		return k, false
	}
	return secondKey{v.Name(), v.KeyHash(), b[1:]}, true
}

func (l *secondSigned) by(keys ...secondKey) bool {
	return slices.ContainsFunc(keys, func(k secondKey) bool {
		return k.name == l.signer && k.hash == l.hash && ed25519.Verify(k.pub, l.text, l.sig)
	})
}

// --- documents

type secondRecord struct {
	Type    string `json:"type"`
	Kind    string `json:"kind"`
	Time    string `json:"time"`
	Stream  string `json:"stream,omitempty"`
	Seq     uint64 `json:"seq,omitempty"`
	Last    uint64 `json:"last,omitempty"`
	Subject string `json:"subject,omitempty"`
	Digest  string `json:"digest,omitempty"`
	Size    uint64 `json:"size,omitempty"`

	note []byte
	at   time.Time
}

func secondParseRecord(raw []byte) *secondRecord {
	head, rest, ok := bytes.Cut(raw, []byte("\n"))
	r := &secondRecord{note: rest}
	if !ok || len(raw) > 1_052_672 || !secondCanonical(head, r) || r.Type != "waypost.record.v1" {
		return nil
	}
	if r.at, ok = secondAt(r.Time); !ok {
		return nil
	}
	mail := r.Stream == "MAIL_URGENT" || r.Stream == "MAIL_ROUTINE" || r.Stream == "MAIL_RECEIPT"
	stored := (mail || r.Stream == "KV_DIRECTORY") && r.Seq >= 1 && r.Seq <= secondMaxInt
	want := "" // members beside type, kind and time
	switch r.Kind {
	case "mail":
		want, ok = "stream seq", mail && len(rest) >= 1 && len(rest) <= 8192
	case "directory":
		want, ok = "stream seq subject", !mail && strings.HasPrefix(r.Subject, "$KV.DIRECTORY.") && len(rest) > 0
	case "opaque":
		want, ok = "stream seq subject digest", secondDigest.MatchString(r.Digest) && len(rest) == 0
		if r.Size > 0 {
			want += " size"
		}
	case "act":
		stored, ok = true, len(rest) >= 1 && len(rest) <= 8192
	case "gap":
		want, ok = "stream seq last", r.Last >= r.Seq && r.Last <= secondMaxInt && len(rest) == 0
	case "expired":
		want, ok = "stream seq", mail && len(rest) == 0
	default:
		return nil
	}
	have := ""
	for _, m := range []struct {
		name string
		has  bool
	}{{"stream", r.Stream != ""}, {"seq", r.Seq > 0}, {"last", r.Last > 0}, {"subject", r.Subject != ""}, {"digest", r.Digest != ""}, {"size", r.Size > 0}} {
		if m.has {
			have = strings.TrimPrefix(have+" "+m.name, " ")
		}
	}
	if !ok || !stored || have != want || r.Subject != "" && !secondSubject.MatchString(r.Subject) {
		return nil
	}
	return r
}

type secondManifest struct {
	Type      string `json:"type"`
	ID        string `json:"id"`
	Thread    string `json:"thread"`
	ReplyTo   string `json:"reply_to,omitempty"`
	From      string `json:"from"`
	To        string `json:"to"`
	Kind      string `json:"kind"`
	Schema    string `json:"schema"`
	Lane      string `json:"lane"`
	Seq       uint64 `json:"seq"`
	Sent      string `json:"sent"`
	RespondBy string `json:"respond_by,omitempty"`
	Basis     string `json:"basis,omitempty"`
	Outcome   string `json:"outcome,omitempty"`
	Code      string `json:"code,omitempty"`
	Body      string `json:"body,omitempty"`
	Size      uint64 `json:"size,omitempty"`

	sent time.Time
	line *secondSigned
	note []byte
	rec  int64
}

func (m *secondManifest) void() bool { return m.Outcome == "void" }

func secondParseManifest(raw []byte) *secondManifest {
	l := secondParseLine(raw, 8192)
	if l == nil {
		return nil
	}
	m := &secondManifest{line: l, note: raw}
	if !secondCanonical(l.doc, m) || m.Type != "waypost.manifest.v1" {
		return nil
	}
	receipt := m.Kind == "receipt"
	var ok bool
	m.sent, ok = secondAt(m.Sent)
	if m.RespondBy != "" {
		by, okBy := secondAt(m.RespondBy)
		ok = ok && okBy && by.After(m.sent)
	}
	id, consent := strings.CutPrefix(m.Basis, "consent:")
	for _, wrong := range []bool{
		!ok, !secondUUID7.MatchString(m.ID), !secondUUID4.MatchString(m.Thread),
		m.ReplyTo != "" && !secondUUID7.MatchString(m.ReplyTo), m.ReplyTo == m.ID,
		m.ReplyTo == "" && (receipt || m.Kind == "referral-response"),
		!secondAgencyID.MatchString(m.From), !secondAgencyID.MatchString(m.To), m.From == m.To,
		!secondKind.MatchString(m.Kind), !secondSchema.MatchString(m.Schema), !strings.HasPrefix(m.Schema, m.Kind+".v"),
		receipt != (m.Lane == "receipt"), m.Lane != "receipt" && m.Lane != "urgent" && m.Lane != "routine",
		m.Seq < 1, m.Seq > secondMaxInt,
		receipt && (m.RespondBy != "" || m.Basis != ""),
		m.Basis != "" && consent && !secondUUID4.MatchString(id),
		m.Basis != "" && !consent && (m.Basis == "consent" || !secondCode.MatchString(m.Basis)),
		m.Basis == "" && m.Kind == "referral" && !m.void(),
		receipt && m.Outcome != "delivered" && m.Outcome != "quarantined" && m.Outcome != "rejected",
		!receipt && m.Outcome != "" && m.Outcome != "void",
		m.Code != "" && (!secondCode.MatchString(m.Code) || !receipt && !m.void()),
		m.Code == "" && receipt && m.Outcome != "delivered",
		(receipt || m.void()) != (m.Body == ""), (m.Body == "") != (m.Size == 0),
		m.Body != "" && !secondDigest.MatchString(m.Body), m.Size > 1048576,
	} {
		if wrong {
			return nil
		}
	}
	return m
}

type secondValidKey struct {
	Key   string `json:"key"`
	From  string `json:"from"`
	Until string `json:"until,omitempty"`
}

func (k secondValidKey) inForce(t time.Time) bool {
	from, _ := secondAt(k.From)
	until, ok := secondAt(k.Until)
	return !t.Before(from) && (!ok || t.Before(until))
}

// Of agencies and agreements only what an audit needs is read: that they keep all rules of form is package directory's
// business, and the worlds here hold none that does not.
type secondAgency struct {
	ID    string           `json:"id"`
	Role  string           `json:"role"`
	State string           `json:"state"`
	Keys  []secondValidKey `json:"signing_keys"`
}

type secondAgreement struct {
	From, To string
	Kinds    []string
	Starts   string
	Until    string
	Ended    string
}

type secondLog struct {
	Type   string           `json:"type"`
	Origin string           `json:"origin"`
	Keys   []secondValidKey `json:"keys"`
}

type secondHead struct {
	Type    string            `json:"type"`
	Version uint64            `json:"version"`
	Issued  string            `json:"issued"`
	Expires string            `json:"expires"`
	Entries map[string]string `json:"entries"`

	digest string
	rec    int64
}

type secondAct struct {
	Type    string `json:"type"`
	ID      string `json:"id"`
	By      string `json:"by"`
	Act     string `json:"act"`
	At      string `json:"at"`
	Agency  string `json:"agency,omitempty"`
	Thread  string `json:"thread,omitempty"`
	Message string `json:"message,omitempty"`
	Since   string `json:"since,omitempty"`
	Answers string `json:"answers,omitempty"`
	Count   uint64 `json:"count,omitempty"`
	Records uint64 `json:"records,omitempty"`
	Lost    uint64 `json:"lost,omitempty"`
	Root    string `json:"root,omitempty"`
}

func secondDigestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// --- directory

type second struct {
	*secondReport
	root    secondKey
	entries map[string]map[string][]byte // recorded, by key and digest
	head    *secondHead
	judged  bool // the head was asked for keys

	unverified map[string]bool // ids of messages whose signature does not hold

	agencies   map[string]*secondAgency
	agreements []*secondAgreement
	log        *secondLog
}

func newSecond(r *secondReport, rootKey string) *second {
	k, ok := secondParseKey(rootKey)
	if !ok {
		panic("root key")
	}
	return &second{secondReport: r, root: k, entries: map[string]map[string][]byte{}, unverified: map[string]bool{}}
}

func (s *second) directoryRecord(n int64, r *secondRecord) {
	dirKey := strings.TrimPrefix(r.Subject, "$KV.DIRECTORY.")
	l := secondParseLine(r.note, 1<<20)
	if l == nil || !l.by(s.root) {
		s.add(FindDirectory, n)
		return
	}
	if dirKey != "head" {
		if s.entries[dirKey] == nil {
			s.entries[dirKey] = map[string][]byte{}
		}
		s.entries[dirKey][secondDigestOf(r.note)] = r.note
		return
	}
	h := &secondHead{digest: secondDigestOf(r.note), rec: n}
	good := secondCanonical(l.doc, h) && h.Type == "waypost.head.v1" && h.Version >= 1 && h.Version <= secondMaxInt && h.Entries != nil
	if good {
		issued, ok1 := secondAt(h.Issued)
		expires, ok2 := secondAt(h.Expires)
		good = ok1 && ok2 && expires.After(issued)
		for k, d := range h.Entries {
			good = good && secondDirKey.MatchString(k) && secondDigest.MatchString(d)
		}
	}
	switch {
	case !good:
		s.add(FindDirectory, n) // the page says "did not sign"; a head that is none is the nearest to it
	case s.head != nil && (h.Version < s.head.Version || h.Version == s.head.Version && h.digest != s.head.digest):
		s.add(FindRollback, n)
	default: // the same one again, too: it is a head of its own, complete or not
		s.head, s.judged = h, false
	}
}

// ask makes the directory that is in force.
func (s *second) ask() {
	if s.head == nil || s.judged {
		return
	}
	view := map[string][]byte{}
	for k, d := range s.head.Entries {
		raw, ok := s.entries[k][d]
		if !ok {
			// The page does not say what is in force then: what there is of the new head.
			if !s.judged {
				s.add(FindIncomplete, s.head.rec)
			}
			s.judged = true
			continue
		}
		view[k] = raw
	}
	s.judged = true
	s.agencies, s.agreements, s.log = map[string]*secondAgency{}, nil, nil
	for k, raw := range view {
		doc := secondParseLine(raw, 1<<16).doc
		switch kind, _, _ := strings.Cut(k, "."); kind {
		case "agency":
			a := new(secondAgency)
			_ = json.Unmarshal(doc, a)
			s.agencies[a.ID] = a
		case "agreement":
			g := new(secondAgreement)
			_ = json.Unmarshal(doc, g)
			s.agreements = append(s.agreements, g)
		case "log":
			s.log = new(secondLog)
			_ = json.Unmarshal(doc, s.log)
		}
	}
}

func (s *second) keys(agency string, at time.Time) (out []secondKey) {
	a := s.agencies[agency]
	if a == nil {
		return nil
	}
	for _, k := range a.Keys {
		if parsed, ok := secondParseKey(k.Key); ok && k.inForce(at) {
			out = append(out, parsed)
		}
	}
	return out
}

// permits is directory.Permits from its comment.
func (s *second) permits(m *secondManifest) bool {
	from, to := s.agencies[m.From], s.agencies[m.To]
	if from == nil || to == nil {
		return false
	}
	entry, known := schemas.EntryOf(schemas.Kind(m.Kind))
	if m.Kind == "receipt" || entry.Control {
		return true
	}
	if from.State != "active" || to.State != "active" {
		return false
	}
	if known && !schemas.MayTravel(entry.Kind, schemas.Role(from.Role), schemas.Role(to.Role)) {
		return false
	}
	var followed []string
	for e := entry; e.Follows != ""; e, _ = schemas.EntryOf(e.Follows) {
		followed = append(followed, string(e.Follows))
	}
	for _, g := range s.agreements {
		starts, _ := secondAt(g.Starts)
		active := !m.sent.Before(starts)
		for _, end := range []string{g.Until, g.Ended} {
			if e, ok := secondAt(end); ok && !m.sent.Before(e) {
				active = false
			}
		}
		other := slices.ContainsFunc(followed, func(k string) bool { return slices.Contains(g.Kinds, k) })
		if g.From == m.From && g.To == m.To && active && (slices.Contains(g.Kinds, m.Kind) || other && !entry.Answer) {
			return true
		}
		if g.From == m.To && g.To == m.From && !m.sent.Before(starts) && other {
			return true
		}
	}
	return false
}

// --- the audit

func (s *second) run(records, checkpoints [][]byte, quorum int) {
	type streamState struct {
		last uint64 // the highest
		at   time.Time
	}
	streams := map[string]*streamState{}
	type run struct {
		from, to uint64
		rec      int64
	}
	type lane struct {
		high  uint64
		notes map[uint64]*secondManifest // the first that is not void
		came  map[uint64]bool
		runs  []run // of numbers that were missing when a higher one came
	}
	lanes := map[string]*lane{}
	var mail []*secondManifest
	var lost []int64 // records of messages whose senders say so
	announced, announcing := 0, map[string]int{}
	heads := []*secondHead{nil} // the last valid one, by size

	for i, raw := range records {
		n := int64(i)
		r := secondParseRecord(raw)
		if r == nil {
			s.add(FindRecord, n)
			heads = append(heads, s.head)
			continue
		}
		var m *secondManifest
		if r.Kind == "mail" {
			// The page does not say whether such a record counts in its stream: it does not, like every other malformed one.
			if m = secondParseManifest(r.note); m == nil {
				s.add(FindRecord, n)
				heads = append(heads, s.head)
				continue
			}
		}
		if r.Stream != "" {
			st := streams[r.Stream]
			if st == nil {
				st = new(streamState)
				streams[r.Stream] = st
			}
			if r.Kind == "expired" {
				// The page says "was not recorded": what a gap counted over counts as recorded here.
				if r.Seq <= st.last {
					s.add(FindExpired, n)
				} else {
					s.add(FindExpiredEarly, n)
				}
			} else {
				if r.Seq != st.last+1 {
					s.add(FindOrder, n)
				}
				st.last = max(st.last, r.Seq, r.Last)
				// An expired record has another time than that of storing, so it is no part of its stream's clock.
				if r.at.Before(st.at.Add(-time.Second)) {
					s.add(FindClock, n)
				}
				st.at = r.at
			}
		}
		switch r.Kind {
		case "gap":
			if r.Stream != "KV_DIRECTORY" {
				s.add(FindGap, n)
			}
		case "opaque":
			if r.Stream != "KV_DIRECTORY" {
				s.add(FindOpaque, n)
			} else {
				s.add(FindDirectory, n)
			}
		case "directory":
			s.directoryRecord(n, r)
		case "act":
			s.ask()
			switch a := s.act(r.note); {
			case a == nil, a.Act == "restored" && a.Records > uint64(n):
				s.add(FindAct, n)
			case a.Act == "restored":
				s.add(FindRestored, n)
				if announcing[a.ID]++; announcing[a.ID] > 1 {
					break
				}
				for range min(a.Lost-a.Records, uint64(len(records))) { // of more nobody asks
					announced++
				}
			}
		case "mail":
			if m == nil {
				break
			}
			s.ask()
			m.rec = n
			if m.line.signer != m.From || !m.line.by(s.keys(m.From, m.sent)...) {
				s.add(FindSignature, n)
				s.unverified[m.ID] = true
				break
			}
			if !s.permits(m) {
				s.add(FindAgreement, n)
			}
			if s.agencies[m.To] == nil {
				mail = append(mail, m)
				break
			}
			if m.void() && m.Code == "lost-in-restore" {
				s.add(FindLost, n)
				lost = append(lost, n)
			}
			p := m.From + " " + m.To + " " + m.Lane
			l := lanes[p]
			if l == nil {
				l = &lane{notes: map[uint64]*secondManifest{}, came: map[uint64]bool{}}
				lanes[p] = l
			}
			if m.Seq > l.high+1 {
				l.runs = append(l.runs, run{l.high + 1, m.Seq - 1, n})
			}
			if m.Seq < l.high && !l.came[m.Seq] {
				s.add(FindSequenceLate, n)
			}
			l.came[m.Seq] = true
			l.high = max(l.high, m.Seq)
			if m.Seq+64 > l.high && !m.void() {
				if first := l.notes[m.Seq]; first != nil && !bytes.Equal(first.note, m.note) {
					s.add(FindSequenceReused, n)
				} else {
					l.notes[m.Seq] = m
				}
			}
			mail = append(mail, m)
		}
		heads = append(heads, s.head)
	}
	for p, l := range lanes {
		numbers := slices.Sorted(maps.Keys(l.came))
		for _, r := range l.runs {
			next := r.from
			for _, c := range numbers {
				if c < r.from || c > r.to+1 {
					continue
				}
				if c > next {
					s.add(FindSequenceGap, r.rec)
					s.missing[p] = append(s.missing[p], [2]uint64{next, c - 1})
				}
				next = c + 1
			}
		}
	}
	if len(lost) > announced {
		s.add(FindLostUnknown, lost[0])
	}
	s.crosscheck(mail)
	s.checkpoints(records, checkpoints, heads, quorum)
}

// act returns what a line says, or nil if it is nobody's word.
func (s *second) act(raw []byte) *secondAct {
	l := secondParseLine(raw, 8192)
	a := new(secondAct)
	if l == nil || !secondCanonical(l.doc, a) || a.Type != "waypost.act.v1" || l.signer != a.By {
		return nil
	}
	at, ok := secondAt(a.At)
	has := ""
	for _, m := range []struct{ name, value string }{{"agency", a.Agency}, {"thread", a.Thread}, {"message", a.Message}, {"since", a.Since}, {"answers", a.Answers}, {"root", a.Root}} {
		if m.value != "" {
			has = strings.TrimPrefix(has+" "+m.name, " ")
		}
	}
	root, err := base64.StdEncoding.Strict().DecodeString(a.Root)
	restored := a.Act == "restored"
	want, known := map[string]string{"erased": "thread", "disclosed": "message", "redeliver": "agency since", "redelivers": "answers", "refuses": "answers", "recovers": "since", "restored": "root"}[a.Act]
	_, since := secondAt(a.Since)
	for _, wrong := range []bool{
		!ok, !known, has != want, !secondUUID7.MatchString(a.ID), a.Count > secondMaxInt,
		a.Count > 0 && a.Act != "erased" && a.Act != "redelivers",
		a.Agency != "" && !secondAgencyID.MatchString(a.Agency), a.Thread != "" && !secondUUID4.MatchString(a.Thread),
		a.Message != "" && !secondUUID7.MatchString(a.Message), a.Answers != "" && !secondUUID7.MatchString(a.Answers), a.Since != "" && !since,
		restored != (a.Records > 0), restored != (a.Lost > 0), a.Lost < a.Records, a.Lost > secondMaxInt,
		restored && (err != nil || len(root) != 32),
		(a.Act == "redeliver" || restored) != (a.By == "waypost-network"),
	} {
		if wrong {
			return nil
		}
	}
	keys := []secondKey{s.root}
	if a.By != "waypost-network" {
		keys = s.keys(a.By, at)
	}
	if !l.by(keys...) {
		return nil
	}
	return a
}

// crosscheck joins messages by id and receipts with messages, wherever in the log each stands.
func (s *second) crosscheck(mail []*secondManifest) {
	byID := map[string][]*secondManifest{}
	for _, m := range mail {
		// Against the first that is not void: of three records it is not written which two are compared.
		if others := byID[m.ID]; len(others) > 0 {
			first := slices.IndexFunc(others, func(o *secondManifest) bool { return !o.void() })
			if m.void() || first < 0 || bytes.Equal(others[first].note, m.note) {
				s.add(FindRepeat, m.rec)
			} else {
				s.add(FindAltered, m.rec)
			}
		}
		byID[m.ID] = append(byID[m.ID], m)
	}
	outcomes := map[string]string{}
	for _, m := range mail {
		if m.Kind != "receipt" {
			continue
		}
		of := byID[m.ReplyTo]
		if len(of) == 0 {
			if !s.unverified[m.ReplyTo] {
				s.add(FindReceiptUnknown, m.rec)
			}
			continue
		}
		first := of[max(0, slices.IndexFunc(of, func(o *secondManifest) bool { return !o.void() }))]
		if first.To != m.From || first.From != m.To {
			s.add(FindReceiptParties, m.rec)
			continue
		}
		if first, ok := outcomes[m.ReplyTo]; ok && first != m.Outcome {
			s.add(FindReceiptDiffers, m.rec)
		} else if !ok {
			outcomes[m.ReplyTo] = m.Outcome
		}
	}
}

type secondCheckpoint struct {
	text    string
	size    int64
	root    tlog.Hash
	dir     string
	origin  string
	first   secondSigned
	further []secondSigned
}

var secondCheckpointText = regexp.MustCompile(`^(waypost-log-[0-9a-f]{16})\n(0|[1-9][0-9]*)\n([A-Za-z0-9+/]{43}=)\n(directory (0|[1-9][0-9]*) sha256:[0-9a-f]{64})\n$`)
var secondSigLine = regexp.MustCompile(`^— ([a-z][a-z0-9-]{1,38}[a-z0-9]) ([A-Za-z0-9+/]+={0,2})$`)

func secondParseCheckpoint(raw []byte) *secondCheckpoint {
	text, sigs, ok := strings.Cut(string(raw), "\n\n")
	text += "\n"
	m := secondCheckpointText.FindStringSubmatch(text)
	if !ok || m == nil || len(raw) > 64<<10 || !strings.HasSuffix(sigs, "\n") {
		return nil
	}
	c := &secondCheckpoint{text: text, dir: m[4], origin: m[1]}
	var err error
	if c.size, err = strconv.ParseInt(m[2], 10, 64); err != nil {
		return nil
	}
	b, err := base64.StdEncoding.Strict().DecodeString(m[3])
	if err != nil {
		return nil
	}
	copy(c.root[:], b)
	for i, line := range strings.Split(strings.TrimSuffix(sigs, "\n"), "\n") {
		m := secondSigLine.FindStringSubmatch(line)
		if m == nil {
			return nil
		}
		b, err := base64.StdEncoding.Strict().DecodeString(m[2])
		if err != nil || i == 0 && len(b) != 68 || i > 0 && len(b) != 76 {
			return nil
		}
		l := secondSigned{text: []byte(text), signer: m[1], hash: binary.BigEndian.Uint32(b), sig: b[4:]}
		if i == 0 {
			c.first = l
		} else {
			c.further = append(c.further, l)
		}
	}
	return c
}

func (s *second) checkpoints(records, checkpoints [][]byte, heads []*secondHead, quorum int) {
	s.ask()
	var stored []tlog.Hash
	hashes := tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(at))
		for i, x := range at {
			out[i] = stored[x]
		}
		return out, nil
	})
	for i, raw := range records {
		h, _ := tlog.StoredHashes(int64(i), raw, hashes)
		stored = append(stored, h...)
	}
	var logKeys []secondKey
	if s.log != nil {
		for _, k := range s.log.Keys {
			if parsed, ok := secondParseKey(k.Key); ok && parsed.name == s.log.Origin {
				logKeys = append(logKeys, parsed)
			}
		}
	}
	holds, newest, who := false, int64(-1), map[int64]map[string]bool{}
	for _, raw := range checkpoints {
		c := secondParseCheckpoint(raw)
		if c == nil || s.log == nil || c.origin != s.log.Origin || !c.first.by(logKeys...) {
			s.add(FindCheckpoint, 0)
			continue
		}
		if c.size > int64(len(records)) {
			s.add(FindBeyond, c.size)
			continue
		}
		if root, err := tlog.TreeHash(c.size, hashes); err != nil || root != c.root {
			s.add(FindFork, c.size)
			continue
		}
		if h := heads[c.size]; h == nil || c.dir != fmt.Sprintf("directory %d %s", h.Version, h.digest) {
			s.add(FindStale, c.size)
			continue
		}
		holds = true
		// Checkpoints of one size that hold say the same, so their cosignatures count together.
		if who[c.size] == nil {
			who[c.size] = map[string]bool{}
		}
		witnesses := who[c.size]
		for _, l := range c.further {
			seconds := binary.BigEndian.Uint64(l.sig)
			signed := fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", seconds, c.text)
			good := false
			at := time.Unix(int64(seconds), 0)                                                                  //nolint:gosec // a time out of range is in force nowhere
			for _, k := range append(s.keys(l.signer, at), s.keys(l.signer, at.Add(999*time.Millisecond))...) { // at some moment of that second
				good = good || secondKeyHash(k.name, 4, k.pub) == l.hash && ed25519.Verify(k.pub, signed, l.sig[8:])
			}
			if good {
				witnesses[l.signer] = true
			} else {
				s.add(FindCosignature, c.size)
			}
		}
		if len(witnesses) >= quorum {
			newest = max(newest, c.size)
		}
	}
	switch {
	case !holds:
		s.add(FindNoCheckpoint, 0)
	case newest < 0:
		s.add(FindUnwitnessed, 0)
	case newest < int64(len(records)):
		s.add(FindTail, newest)
	}
}
