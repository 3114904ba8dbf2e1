package ledger

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nkeys"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"waypost/schemas"
	"waypost/schemas/directory"
	"waypost/schemas/envelope"
)

const (
	police  = "northshire-police"
	ngo     = "harbour-light"
	housing = "night-shelter"
	council = "county-council"
)

var start = time.Date(2025, 3, 1, 8, 0, 0, 0, time.UTC)

// key is a signing key made from a seed: the same world has the same bytes in every run.
type key struct {
	note.Verifier
	vkey string
	priv ed25519.PrivateKey
}

func (k *key) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(k.priv, msg), nil }

func newKey(t testing.TB, name string, seed uint64) *key {
	t.Helper()
	raw := make([]byte, ed25519.SeedSize)
	binary.BigEndian.PutUint64(raw, seed)
	copy(raw[8:], name)
	priv := ed25519.NewKeyFromSeed(raw)
	vkey, err := note.NewEd25519VerifierKey(name, priv.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return &key{v, vkey, priv}
}

// world is one log in memory, and all keys of its network. Records are kept as they were made, so that a test can take them
// out, change them and build the log again around the damage, which is what a broker that lies would do.
type world struct {
	t       testing.TB
	rng     *rand.Rand
	seed    uint64
	root    *key
	log     *key
	origin  string
	keys    map[string]*key // of agencies, the one they sign with now
	roles   map[string]schemas.Role
	clock   time.Time
	entries map[string][]byte // last published, by directory key
	version uint64
	numbers map[string]uint64 // last number of each stream
	seqs    map[string]uint64 // of each pair and lane
	sent    []envelope.Manifest
	placed  map[string]place // where a message lies, by its id
	raws    map[string][]byte

	recs []*Record
	at   []mark

	raw    [][]byte
	hashes [][]tlog.Hash
	cps    [][]byte
	heads  []worldHead
}

// kindRaw marks what is put into the log as it stands, for records that are none.
const kindRaw Kind = "raw"

// mark is a size that has a checkpoint, and who cosigns it with what.
type mark struct {
	size int
	time time.Time
	keys map[string]*key
}

type place struct {
	stream string
	seq    uint64
}

type worldHead struct {
	version uint64
	digest  string
}

// emptyWorld has the keys and nothing recorded.
func emptyWorld(t testing.TB, seed uint64, agencies ...string) *world {
	t.Helper()
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 7)), seed: seed, clock: start, entries: map[string][]byte{}, numbers: map[string]uint64{},
		seqs: map[string]uint64{}, placed: map[string]place{}, raws: map[string][]byte{}, keys: map[string]*key{},
		roles: map[string]schemas.Role{police: schemas.RolePolice, ngo: schemas.RoleNGO, housing: schemas.RoleSupportProvider, council: schemas.RoleLocalAuthority}}
	w.root = newKey(t, directory.RootName, seed)
	w.origin = directory.LogOrigin(w.root.vkey)
	w.log = newKey(t, w.origin, seed)
	for _, id := range agencies {
		w.keys[id] = newKey(t, id, seed)
	}
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) tick() time.Time {
	w.clock = w.clock.Add(time.Duration(1+w.rng.IntN(90_000)) * time.Millisecond)
	return w.clock
}

func (w *world) uuid(version byte) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], w.rng.Uint64())
	binary.BigEndian.PutUint64(b[8:], w.rng.Uint64())
	if version == 7 {
		ms := uint64(w.clock.UnixMilli())
		b[0], b[1], b[2], b[3], b[4], b[5] = byte(ms>>40), byte(ms>>32), byte(ms>>24), byte(ms>>16), byte(ms>>8), byte(ms)
	}
	b[6] = b[6]&0x0f | version<<4
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

var recipientLines = func() []string {
	raw, err := os.ReadFile("../directory/testdata/recipients.txt")
	if err != nil {
		panic(err)
	}
	return strings.Fields(string(raw))
}()

func (w *world) agency(id string, keys ...directory.Key) directory.Agency {
	if keys == nil {
		keys = []directory.Key{{Key: w.keys[id].vkey, From: start}}
	}
	return directory.Agency{Type: directory.AgencyType, ID: id, Name: id, Role: w.roles[id], State: directory.StateActive,
		NATSKey:    natsUser(w.t, w.seed, id),
		Recipients: []directory.Key{{Key: recipientLines[0], From: start}}, SigningKeys: keys, Since: start}
}

func agreement(id, from, to string, kinds ...schemas.Kind) directory.Agreement {
	return directory.Agreement{Type: directory.AgreementType, ID: id, From: from, To: to, Kinds: kinds,
		Purposes: []schemas.Purpose{schemas.PurposeAccommodation}, Categories: []schemas.Category{schemas.CategoryIdentity}, Starts: start}
}

func natsUser(t testing.TB, seed uint64, id string) string {
	raw := make([]byte, 32)
	binary.BigEndian.PutUint64(raw, ^seed)
	copy(raw[8:], id)
	kp, err := nkeys.FromRawSeed(nkeys.PrefixByteUser, raw)
	if err != nil {
		t.Fatal(err)
	}
	s, err := kp.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// put publishes one entry; head comes after.
func (w *world) put(x any) {
	w.t.Helper()
	var dirKey string
	var raw []byte
	var err error
	switch x := x.(type) {
	case directory.Agency:
		dirKey = directory.AgencyKey(x.ID)
		raw, err = directory.SignAgency(x, w.root)
	case directory.Agreement:
		dirKey = directory.AgreementKey(x.ID)
		raw, err = directory.SignAgreement(x, w.root)
	case directory.Log:
		dirKey = directory.LogKey
		raw, err = directory.SignLog(x, w.root)
	}
	w.must(err)
	w.entries[dirKey] = raw
	w.store(StreamDirectory, DirectoryPrefix+dirKey, raw)
}

func (w *world) makeHead(version uint64) []byte {
	h := directory.Head{Version: version, Issued: w.clock, Expires: w.clock.AddDate(0, 1, 0), Entries: map[string]string{}}
	for k, v := range w.entries {
		h.Entries[k] = directory.Digest(v)
	}
	raw, err := directory.SignHead(h, w.root)
	w.must(err)
	return raw
}

func (w *world) head() {
	w.version++
	w.store(StreamDirectory, DirectoryPrefix+directory.HeadKey, w.makeHead(w.version))
}

// store records a stored message, whatever it is.
func (w *world) store(stream, subject string, data []byte) *Record {
	w.numbers[stream]++
	r := Message(stream, w.numbers[stream], w.tick(), subject, data)
	w.recs = append(w.recs, r)
	return r
}

func streamOf(l schemas.Lane) string { return "MAIL_" + strings.ToUpper(string(l)) }

// manifest begins a message; change what you like and send it.
func (w *world) manifest(from, to string, k schemas.Kind, lane schemas.Lane) envelope.Manifest {
	w.tick()
	m := envelope.Manifest{ID: w.uuid(7), Thread: w.uuid(4), From: from, To: to, Kind: k, Schema: string(k) + ".v1", Lane: lane, Sent: w.clock}
	if k == schemas.KindReferral {
		m.Basis = "consent:" + w.uuid(4)
	}
	p := pairOf(from, to, lane)
	w.seqs[p]++
	m.Seq = w.seqs[p]
	return m
}

func pairOf(from, to string, l schemas.Lane) string { return from + " " + to + " " + string(l) }

// seal signs a manifest, with a body if its kind has one.
func (w *world) seal(m envelope.Manifest, signer note.Signer) []byte {
	w.t.Helper()
	var body []byte
	if m.Kind != schemas.KindReceipt && m.Outcome != schemas.OutcomeVoid {
		body = fmt.Appendf(nil, "age-encryption.org/v1\nsealed %x", w.rng.Uint64())
	}
	raw, err := envelope.Sign(m, body, signer)
	w.must(err)
	return raw
}

func (w *world) send(m envelope.Manifest) *Record {
	w.t.Helper()
	return w.sendBy(m, w.keys[m.From])
}

func (w *world) sendBy(m envelope.Manifest, signer note.Signer) *Record {
	w.t.Helper()
	raw := w.seal(m, signer)
	r := w.store(streamOf(m.Lane), m.Subject(), raw)
	if r.Kind != KindMail {
		w.t.Fatalf("what was sent became a record of kind %s", r.Kind)
	}
	w.sent = append(w.sent, m)
	w.placed[m.ID] = place{r.Stream, r.Seq}
	w.raws[m.ID] = raw
	return r
}

func (w *world) receipt(of envelope.Manifest, outcome schemas.Outcome) envelope.Manifest {
	m := w.manifest(of.To, of.From, schemas.KindReceipt, schemas.LaneReceipt)
	m.ReplyTo, m.Thread, m.Outcome = of.ID, of.Thread, outcome
	if outcome != schemas.OutcomeDelivered {
		m.Code = "storage-full"
	}
	return m
}

func (w *world) act(a Act, signer note.Signer) {
	w.t.Helper()
	a.ID, a.At = w.uuid(7), w.tick()
	raw, err := SignAct(a, signer)
	w.must(err)
	w.recs = append(w.recs, &Record{Kind: KindAct, Time: w.clock, Note: raw})
}

// gap leaves out numbers of a stream.
func (w *world) gap(stream string, n uint64) {
	from := w.numbers[stream] + 1
	w.numbers[stream] += n
	w.recs = append(w.recs, &Record{Kind: KindGap, Time: w.tick(), Stream: stream, Seq: from, Last: from + n - 1})
}

func (w *world) expire(id string) {
	p := w.placed[id]
	w.recs = append(w.recs, &Record{Kind: KindExpired, Time: w.tick(), Stream: p.stream, Seq: p.seq})
}

func (w *world) checkpoint() {
	w.at = append(w.at, mark{len(w.recs), w.clock.Add(time.Second), maps.Clone(w.keys)})
}

// build encodes all records and makes tree and checkpoints of them, as a log that believes them would.
func (w *world) build(witnesses ...string) *world {
	w.t.Helper()
	w.raw, w.hashes, w.cps, w.heads = nil, nil, nil, nil
	var tree Tree
	var last worldHead
	sizes := slices.Clone(w.at)
	for i := 0; ; i++ {
		for len(sizes) > 0 && sizes[0].size == i {
			if last.version > 0 { // before there is a directory nobody could say whose log it is
				w.cps = append(w.cps, w.signCheckpoint(sizes[0], tree.Root(), last, witnesses...))
			}
			sizes = sizes[1:]
		}
		if i == len(w.recs) {
			return w
		}
		r := w.recs[i]
		raw := r.Note
		if r.Kind != kindRaw {
			var err error
			raw, err = r.Encode()
			w.must(err)
		}
		w.raw = append(w.raw, raw)
		w.hashes = append(w.hashes, tree.Append(Leaf(raw)))
		if r.Kind == KindDirectory && r.Key() == directory.HeadKey {
			if h, err := directory.OpenHead(w.root, r.Note); err == nil && h.Version > last.version {
				last = worldHead{h.Version, directory.Digest(r.Note)}
			}
		}
		w.heads = append(w.heads, last)
	}
}

// now marks a size that the log may not have.
func (w *world) now(size int) mark { return mark{size, w.clock.Add(time.Hour), w.keys} }

func (w *world) signCheckpoint(at mark, root tlog.Hash, h worldHead, witnesses ...string) []byte {
	w.t.Helper()
	raw, err := SignCheckpoint(int64(at.size), root, h.version, h.digest, w.log)
	w.must(err)
	c, err := ParseCheckpoint(raw)
	w.must(err)
	if witnesses == nil {
		witnesses = slices.Sorted(maps.Keys(at.keys))
	}
	for _, id := range witnesses {
		k := at.keys[id]
		if k == nil { // "" is nobody
			continue
		}
		c, err = c.Cosign(k.vkey, at.time, k.Sign)
		w.must(err)
	}
	return c.Raw()
}

// Records implements Source.
func (w *world) Records(context.Context) iter.Seq2[Stored, error] {
	return func(yield func(Stored, error) bool) {
		for i, raw := range w.raw {
			var h []tlog.Hash
			if w.hashes != nil {
				h = w.hashes[i]
			}
			if !yield(Stored{Index: int64(i), Raw: raw, Hashes: h}, nil) {
				return
			}
		}
	}
}

// Checkpoints implements Source.
func (w *world) Checkpoints(context.Context) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, c := range w.cps {
			if !yield(c, nil) {
				return
			}
		}
	}
}

func (w *world) bundle() string {
	w.t.Helper()
	dir := filepath.Join(memoryDir(w.t), "bundle")
	w.must(WriteBundle(w.t.Context(), w, dir, nil))
	return dir
}

// runAudit verifies a source and returns the findings with the summary.
func runAudit(t testing.TB, src Source, root note.Verifier, quorum int) (*Summary, []Finding, error) {
	t.Helper()
	var found []Finding
	s, err := Verify(t.Context(), src, Options{Root: root, Quorum: quorum, Scratch: scratchDir(), Found: func(f Finding) { found = append(found, f) }})
	return s, found, err
}

// publishAll makes a directory of all agencies of the world, each with an agreement with the next.
func (w *world) publishAll() {
	ids := w.ids()
	w.put(directory.Log{Origin: w.origin, Keys: []directory.Key{{Key: w.log.vkey, From: start}}})
	for i, id := range ids {
		w.put(w.agency(id))
		if next := ids[(i+1)%len(ids)]; next != id && (len(ids) > 2 || i == 0) {
			w.put(agreement("a"+fmt.Sprint(i), id, next, schemas.KindReferral, schemas.KindMessage))
		}
	}
	w.head()
}

func (w *world) ids() []string {
	var ids []string
	for id := range w.keys {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// newWorld is a realistic log: four agencies, three states of the directory, mail in every lane, and all kinds of records.
// Everything notable in it leaves it clean.
func newWorld(t testing.TB, seed uint64, messages int) *world {
	t.Helper()
	w := emptyWorld(t, seed, police, ngo, housing, council)
	w.publishAll()
	ids := w.ids()
	w.checkpoint()
	w.traffic(messages / 3)
	// An agency gets a second key, from now on its only one.
	id := ids[w.rng.IntN(len(ids))]
	old, now := w.keys[id], w.tick()
	w.keys[id] = newKey(t, id, seed+1)
	w.put(w.agency(id, directory.Key{Key: old.vkey, From: start, Until: &now}, directory.Key{Key: w.keys[id].vkey, From: now}))
	w.head()
	w.gap(StreamDirectory, 2)
	w.checkpoint()
	w.traffic(messages / 3)
	w.put(agreement("later", ids[0], ids[2], schemas.KindReferral))
	w.head()
	m := w.manifest(ids[0], ids[2], schemas.KindReferral, schemas.LaneUrgent)
	w.send(m)
	w.act(Act{Act: ActErased, Thread: w.uuid(4), Count: 3}, w.keys[ids[1]])
	w.act(Act{Act: ActDisclosed, Message: m.ID}, w.keys[ids[0]])
	w.act(Act{Act: ActRedeliver, Agency: ids[2], Since: &start}, w.root)
	w.act(Act{Act: ActRedelivers, Answers: w.uuid(7), Count: 2}, w.keys[ids[2]])
	w.act(Act{Act: ActRefuses, Answers: w.uuid(7)}, w.keys[ids[3]])
	w.store(StreamRoutine, "mail.routine.someone.else", []byte("no message"))
	w.expire(m.ID)
	w.traffic(messages - 2*(messages/3))
	w.checkpoint()
	return w.build()
}

// traffic is n messages with most of their receipts.
func (w *world) traffic(n int) {
	ids := w.ids()
	var open []envelope.Manifest
	for range n {
		i := w.rng.IntN(len(ids))
		from, to := ids[i], ids[(i+1)%len(ids)]
		lane := []schemas.Lane{schemas.LaneUrgent, schemas.LaneRoutine}[w.rng.IntN(2)]
		var m envelope.Manifest
		switch w.rng.IntN(8) {
		case 0, 1, 2:
			m = w.manifest(from, to, schemas.KindReferral, lane)
			by := m.Sent.Add(time.Hour)
			m.RespondBy = &by
		case 3:
			m = w.manifest(from, to, schemas.KindReferralUpdate, lane)
		case 4:
			m = w.manifest(to, from, schemas.KindReferralResponse, lane)
			m.ReplyTo = w.uuid(7)
		case 5:
			m = w.manifest(from, to, schemas.KindMessage, lane)
			m.Outcome, m.Code = schemas.OutcomeVoid, "taken-back"
		case 6:
			m = w.manifest(ids[(i+2)%len(ids)], from, schemas.KindConsentWithdrawal, schemas.LaneUrgent)
		case 7:
			m = w.manifest(from, to, schemas.KindMessage, lane)
		}
		w.send(m)
		open = append(open, m)
		for len(open) > 0 && w.rng.IntN(3) > 0 {
			j := w.rng.IntN(len(open))
			w.send(w.receipt(open[j], schemas.ReceiptOutcomes()[w.rng.IntN(3)]))
			open = slices.Delete(open, j, j+1)
		}
	}
}

// smallWorld is the least that has a bit of everything that is signed: every byte of it is tried.
func smallWorld(t testing.TB, seed uint64) *world {
	t.Helper()
	w := emptyWorld(t, seed, police, ngo)
	w.publishAll()
	m := w.manifest(ngo, police, schemas.KindReferral, schemas.LaneUrgent)
	w.send(m)
	w.checkpoint()
	w.send(w.receipt(m, schemas.OutcomeQuarantined))
	w.act(Act{Act: ActErased, Thread: m.Thread, Count: 1}, w.keys[police])
	w.checkpoint()
	return w.build()
}

// memoryDir is a folder that lies in memory where the system has such: an audit makes and deletes many small files.
func memoryDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "waypost-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// scratchDir is one for all audits of a test binary: each makes a folder of its own in it.
var scratchDir = sync.OnceValue(func() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
})

// A world as it comes is clean with two witnesses, in memory and as a bundle, and holds what it is meant to hold.
func TestWorldIsClean(t *testing.T) {
	for seed := range uint64(6) {
		w := newWorld(t, seed, 60)
		b, err := OpenBundle(w.bundle())
		if err != nil {
			t.Fatal(err)
		}
		for _, src := range []Source{w, b} {
			s, found, err := runAudit(t, src, w.root, 2)
			if err != nil {
				t.Fatal(err)
			}
			if !s.Clean() {
				t.Fatalf("seed %d: not clean: %v", seed, found)
			}
			for _, f := range found {
				if f.Code != FindOpaque && f.Code != FindExpired {
					t.Errorf("seed %d: %s", seed, f.Text())
				}
			}
			if len(found) != 2 || s.Notable != 2 || s.Broken != 0 {
				t.Errorf("seed %d: %d findings, %d notable, %d broken", seed, len(found), s.Notable, s.Broken)
			}
			if n := int64(len(w.recs)); s.Records != n || s.Signed != n || s.Witnessed != n || len(s.Witnesses) != 4 || s.Checkpoints != 3 || s.Directory != 3 {
				t.Errorf("seed %d: summary %+v", seed, s)
			}
			for _, k := range []Kind{KindMail, KindDirectory, KindOpaque, KindAct, KindGap, KindExpired} {
				if s.Kinds[k] == 0 {
					t.Errorf("seed %d: no record of kind %s", seed, k)
				}
			}
		}
	}
}

// The same seed gives the same bytes: what a test finds can be found again.
func TestWorldIsDeterministic(t *testing.T) {
	a, b := newWorld(t, 3, 30), newWorld(t, 3, 30)
	if !slices.EqualFunc(a.raw, b.raw, bytes.Equal) || !slices.EqualFunc(a.cps, b.cps, bytes.Equal) {
		t.Fatal("two worlds of one seed differ")
	}
}
