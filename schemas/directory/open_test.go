package directory

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"waypost/schemas"
	"waypost/schemas/consent"
	"waypost/schemas/envelope"
)

func TestOpen(t *testing.T) {
	v := testWorld(t).open(t)
	want := testAgency(t, ngo, schemas.RoleNGO, 2)
	got, ok := v.Agency(ngo)
	if !ok {
		t.Fatal("no agency")
	}
	if d := cmp.Diff(&want, got); d != "" {
		t.Error(d)
	}
	if _, ok := v.Agency("nobody"); ok {
		t.Error("an agency from nowhere")
	}
	var ids []string
	for _, a := range v.Agencies() {
		ids = append(ids, a.ID)
	}
	if d := cmp.Diff([]string{ngo, housing, police}, ids); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]*Agreement{ptr(testAgreement("a1", police, ngo)), ptr(testAgreement("a2", ngo, housing))}, v.Agreements()); d != "" {
		t.Error(d)
	}
	if h := v.Head(); h.Version != 7 || len(h.Entries) != 5 {
		t.Errorf("head %v", h)
	}
	if v.Expired(start.AddDate(0, 1, 0).Add(-1)) || !v.Expired(start.AddDate(0, 1, 0)) {
		t.Error("expires at the wrong moment")
	}
	// What the methods return belongs to the caller: writing to it changes nothing.
	got.SigningKeys[0].Key, got.State = "x", StateSuspended
	v.Head().Entries["x"] = "y"
	v.Agreements()[0].Purposes[0] = "x"
	again, _ := v.Agency(ngo)
	if d := cmp.Diff(&want, again); d != "" || len(v.Head().Entries) != 5 || v.Agreements()[0].Purposes[0] == "x" {
		t.Error("a view was changed from outside")
	}
}

func ptr[T any](v T) *T { return &v }

// Whatever is done to the entries, the head or the version, Open refuses, and
// says which of the three it was.
func TestOpenRefusesEveryChange(t *testing.T) {
	w := testWorld(t)
	keys := slices.Sorted(maps.Keys(w.entries))
	seen := map[string]bool{}
	rapid.Check(t, func(t *rapid.T) {
		c := w.clone()
		key := rapid.SampledFrom(keys).Draw(t, "entry")
		other := rapid.SampledFrom(keys).Draw(t, "other entry")
		var want []string
		minimum := uint64(0)
		switch rapid.IntRange(0, 6).Draw(t, "change") {
		case 0:
			delete(c.entries, key)
			want = []string{CodeEntryMissing}
		case 1:
			c.entries[rapid.SampledFrom([]string{"agency.eve", "agreement.zz", "head", "", "agency.", "x", key + "x"}).Draw(t, "extra")] = c.entries[key]
			want = []string{CodeEntryExtra}
		case 2:
			i := rapid.IntRange(0, len(c.entries[key])-1).Draw(t, "offset")
			c.entries[key][i] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
			want = []string{CodeEntryAltered}
		case 3:
			if key == other {
				t.Skip("the same entry")
			}
			c.entries[key] = c.entries[other]
			want = []string{CodeEntryAltered}
		case 4:
			i := rapid.IntRange(0, len(c.head)-1).Draw(t, "offset")
			c.head[i] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
			want = []string{CodeBadSignature, CodeMalformed}
		case 5:
			minimum = rapid.Uint64Range(8, 1<<60).Draw(t, "minimum")
			want = []string{CodeRollback}
		case 6:
			c.entries[key] = append(c.entries[key], rapid.SliceOfN(rapid.Byte(), 1, 8).Draw(t, "more")...)
			want = []string{CodeEntryAltered}
		}
		v, err := Open(rootKey(t), c.head, c.entries, minimum)
		if err == nil || v != nil {
			t.Fatalf("opened, want %v", want)
		}
		if !slices.Contains(want, codeOf(err)) {
			t.Fatalf("got %v, want %v", err, want)
		}
		seen[codeOf(err)] = true
	})
	for _, code := range []string{CodeEntryMissing, CodeEntryExtra, CodeEntryAltered, CodeBadSignature, CodeRollback} {
		if !seen[code] {
			t.Errorf("never saw %s", code)
		}
	}
}

func TestRollback(t *testing.T) {
	w := testWorld(t)
	for minimum, want := range map[uint64]error{0: nil, 6: nil, 7: nil, 8: ErrRollback} {
		_, err := Open(rootKey(t), w.head, w.entries, minimum)
		if !errors.Is(err, want) {
			t.Errorf("minimum %d: %v", minimum, err)
		}
	}
	// An older entry, rightly signed in its day, under a newer head.
	old := w.clone()
	a := testAgency(t, ngo, schemas.RoleNGO, 2)
	a.State = StateSuspended
	w.put(t, a)
	w.sign(t, 8)
	w.entries[AgencyKey(ngo)] = old.entries[AgencyKey(ngo)]
	if _, err := Open(rootKey(t), w.head, w.entries, 7); codeOf(err) != CodeEntryAltered {
		t.Errorf("an entry of before the suspension: %v", err)
	}
}

// Entries that the head lists rightly and that are wrong in themselves.
func TestOpenChecksEntries(t *testing.T) {
	root := rootKey(t)
	for name, c := range map[string]struct {
		key  string
		raw  func(*testing.T) []byte
		code string
	}{
		"signed by an agency": {AgencyKey(ngo), func(t *testing.T) []byte {
			return must(envelope.SignLine(ptr(testAgency(t, ngo, schemas.RoleNGO, 2)), testKey(t, ngo, 2)))
		}, CodeBadSignature},
		"signed by another root": {AgencyKey(ngo), func(t *testing.T) []byte {
			return must(envelope.SignLine(ptr(testAgency(t, ngo, schemas.RoleNGO, 2)), testKey(t, RootName, 98)))
		}, CodeBadSignature},
		"another's entry": {AgencyKey(ngo), func(t *testing.T) []byte {
			return must(SignAgency(testAgency(t, "eve", schemas.RoleNGO, 2), root))
		}, CodeMalformed},
		"an agreement for an agency": {AgencyKey(ngo), func(t *testing.T) []byte {
			return must(SignAgreement(testAgreement(ngo, police, housing), root))
		}, CodeMalformed},
		"an agency for an agreement": {AgreementKey("a9"), func(t *testing.T) []byte {
			return must(SignAgency(testAgency(t, ngo, schemas.RoleNGO, 2), root))
		}, CodeMalformed},
		"a head for an agency": {AgencyKey(ngo), func(t *testing.T) []byte { return testWorld(t).head }, CodeMalformed},
		"another's signing key": {AgencyKey(ngo), func(t *testing.T) []byte {
			a := testAgency(t, ngo, schemas.RoleNGO, 2)
			a.SigningKeys[0].Key = testKey(t, police, 1).vkey
			return must(envelope.SignLine(&a, root))
		}, CodeMalformed},
		"unknown member": {AgencyKey(ngo), func(t *testing.T) []byte {
			return must(envelope.SignLine(struct {
				Type  string `json:"type"`
				Extra string `json:"extra"`
			}{AgencyType, "x"}, root))
		}, CodeMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			w := testWorld(t)
			w.entries[c.key] = c.raw(t)
			w.sign(t, 8)
			v, err := Open(root, w.head, w.entries, 0)
			if codeOf(err) != c.code || v != nil {
				t.Errorf("got %v, want %s", err, c.code)
			}
			if err != nil && !strings.Contains(err.Error(), c.key) {
				t.Errorf("%v does not name the entry", err)
			}
		})
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

// A root that is newer than this program uses words it does not know: the
// directory stays readable, and they match nothing.
func TestOpenUnknownWords(t *testing.T) {
	w := testWorld(t)
	a := testAgency(t, "future-agency", "new-role", 9)
	g := testAgreement("future", police, housing)
	g.Purposes, g.Kinds = []schemas.Purpose{"new-purpose"}, []schemas.Kind{"new-kind", schemas.KindReferral}
	g.RespondWithin = map[schemas.Urgency]string{"new-urgency": "9999h"}
	if _, err := SignAgency(a, rootKey(t)); codeOf(err) != CodeMalformed {
		t.Errorf("this root signed a role it does not know: %v", err)
	}
	if _, err := SignAgreement(g, rootKey(t)); codeOf(err) != CodeMalformed {
		t.Errorf("this root signed a purpose it does not know: %v", err)
	}
	w.entries[AgencyKey(a.ID)] = must(envelope.SignLine(&a, rootKey(t)))
	w.entries[AgreementKey(g.ID)] = must(envelope.SignLine(&g, rootKey(t)))
	w.sign(t, 8)
	v := w.open(t)
	if err := v.Permits(Flow{From: police, To: housing, Kind: schemas.KindReferral, Purposes: []schemas.Purpose{schemas.PurposeAccommodation}, At: start}); codeOf(err) != CodeAgreementPurpose {
		t.Errorf("got %v", err)
	}
}

// A directory document, a manifest and a certificate are never read as one
// another, whoever signed them.
func TestDomainSeparation(t *testing.T) {
	w := testWorld(t)
	docs := map[string][]byte{"head": w.head, "agency": w.entries[AgencyKey(ngo)], "agreement": w.entries[AgreementKey("a1")]}
	for name, raw := range docs {
		if e, err := envelope.Parse(raw); err == nil || e != nil {
			t.Errorf("%s parses as an envelope", name)
		}
		if c, err := consent.Read(string(raw)); err == nil || c != nil {
			t.Errorf("%s reads as a certificate", name)
		}
		if h, err := OpenHead(rootKey(t), raw); (err == nil) != (name == "head") || (h == nil) != (err != nil) {
			t.Errorf("%s as a head: %v", name, err)
		}
	}
	// A manifest signed by the root's own key is still no head.
	manifest := envelope.Manifest{
		Type: envelope.ManifestType, ID: schemas.NewMessageID(), Thread: schemas.NewThreadID(), ReplyTo: schemas.NewMessageID(), From: police, To: ngo,
		Kind: schemas.KindReceipt, Schema: schemas.SchemaReceipt, Lane: schemas.LaneReceipt, Seq: 1, Sent: start, Outcome: schemas.OutcomeDelivered,
	}
	if _, err := OpenHead(rootKey(t), must(envelope.SignLine(&manifest, rootKey(t)))); err == nil {
		t.Error("a manifest is a head")
	}
	// Nothing that a key signs for enrolment begins as a signed line does.
	msg, err := testRequest(t).message()
	if err != nil || bytes.HasPrefix(msg, []byte("{")) || !bytes.HasPrefix(msg, []byte(RequestType+"\n{")) {
		t.Errorf("the message of an enrolment proof begins %.30q", msg)
	}
}

func FuzzOpenHead(f *testing.F) {
	w := testWorld(f)
	empty := &world{entries: map[string][]byte{}}
	empty.sign(f, 1)
	seeds := [][]byte{
		w.head, empty.head, w.entries[AgencyKey(ngo)], w.entries[AgreementKey("a1")], append(bytes.Clone(w.head), 'x'),
		bytes.Replace(w.head, []byte(`"version":7`), []byte(`"version":8`), 1), bytes.Replace(w.head, []byte("agency."), []byte("agency:"), 1),
		bytes.Replace(w.head, []byte("sha256:"), []byte("SHA256:"), 1), {}, []byte("{\n\n"),
	}
	root := rootKey(f)
	good := 0
	for _, s := range seeds {
		f.Add(s)
		if _, err := OpenHead(root, s); err == nil {
			good++
		}
	}
	if good != 2 {
		f.Fatalf("%d seeds are heads, want 2", good)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		h, err := OpenHead(root, raw)
		if err == nil && !bytes.Equal(raw, seeds[0]) && !bytes.Equal(raw, seeds[1]) {
			t.Fatal("opened a head that nobody signed")
		}
		if err != nil && (h != nil || codeOf(err) == "") {
			t.Fatalf("refused with %v and %v", h, err)
		}
		// The parser behind the signature, as if the root had signed anything.
		line, _, err := envelope.ParseLine(raw, MaxHead)
		if err != nil {
			return
		}
		var d Head
		if line.Decode(HeadType, &d) == nil && d.check() == nil {
			if again, err := schemas.Encode(&d); err != nil || !bytes.Equal(again, line.JSON) {
				t.Fatal("accepted a head that does not encode to itself")
			}
		}
		for _, v := range []interface{ check() *Error }{new(Agency), new(Agreement)} {
			typ := AgencyType
			if _, ok := v.(*Agreement); ok {
				typ = AgreementType
			}
			if line.Decode(typ, v) == nil {
				_ = v.check()
			}
		}
	})
}

// Verifiers and recipients follow the periods of the keys.
func TestKeyPeriods(t *testing.T) {
	list := recipients(t)
	rapid.Check(t, func(t *rapid.T) {
		moment := func(label string) time.Time {
			return start.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, label)) * time.Hour)
		}
		a := testAgency(t, ngo, schemas.RoleNGO, 2)
		a.SigningKeys, a.Recipients = nil, nil
		for i := range 3 {
			for _, keys := range []*[]Key{&a.SigningKeys, &a.Recipients} {
				k := Key{Key: list[i], From: moment("from")}
				if keys == &a.SigningKeys {
					k.Key = testKey(t, ngo, byte(20+i)).vkey
				}
				if rapid.Bool().Draw(t, "ends") {
					until := k.From.Add(time.Duration(rapid.IntRange(1, 10).Draw(t, "hours")) * time.Hour)
					k.Until = &until
				}
				*keys = append(*keys, k)
			}
		}
		w := testWorld(t)
		w.put(t, a)
		w.sign(t, 8)
		v := w.open(t)
		at := moment("at").Add(time.Duration(rapid.IntRange(-1, 1).Draw(t, "edge")))

		got := map[string]bool{}
		for _, x := range v.Verifiers(ngo, at) {
			for i := range 3 {
				if testKey(t, ngo, byte(20+i)).KeyHash() == x.KeyHash() {
					got[a.SigningKeys[i].Key] = true
				}
			}
		}
		for _, k := range a.SigningKeys {
			valid := !at.Before(k.From) && (k.Until == nil || at.Before(*k.Until))
			if got[k.Key] != valid {
				t.Fatalf("key in force %v, listed %v", valid, got[k.Key])
			}
		}
		r, ok := v.Recipient(ngo, at)
		var newest *Key
		for i := range a.Recipients {
			k := &a.Recipients[i]
			if at.Before(k.From) || k.Until != nil && !at.Before(*k.Until) {
				continue
			}
			if newest == nil || !k.From.Before(newest.From) {
				newest = k
			}
		}
		if ok != (newest != nil) || ok && r != newest.Key {
			t.Fatalf("recipient %v, want %v", ok, newest != nil)
		}
		if v.Verifiers("nobody", at) != nil {
			t.Fatal("keys of nobody")
		}
	})
}
