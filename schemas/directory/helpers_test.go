package directory

import (
	"bytes"
	"crypto/ed25519"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nkeys"
	"golang.org/x/mod/sumdb/note"

	"waypost/schemas"
)

const (
	police  = "northshire-police"
	ngo     = "harbour-light"
	housing = "night-shelter"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// tester is what helpers need of *testing.T, *testing.F and *rapid.T.
type tester interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

type seedSigner struct {
	note.Verifier
	vkey string
	priv ed25519.PrivateKey
}

func (s *seedSigner) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.priv, msg), nil }

// testKey is the key of a name; another seed is another key.
func testKey(t tester, name string, seed byte) *seedSigner {
	t.Helper()
	priv := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	vkey, err := note.NewEd25519VerifierKey(name, priv.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return &seedSigner{v, vkey, priv}
}

func rootKey(t tester) *seedSigner { return testKey(t, RootName, 99) }

func natsKey(t tester, seed byte) nkeys.KeyPair {
	t.Helper()
	kp, err := nkeys.FromRawSeed(nkeys.PrefixByteUser, bytes.Repeat([]byte{seed}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return kp
}

func public(t tester, kp nkeys.KeyPair) string {
	t.Helper()
	s, err := kp.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// recipients are age hybrid recipients that age itself made.
func recipients(t tester) []string {
	t.Helper()
	raw, err := os.ReadFile("testdata/recipients.txt")
	if err != nil {
		t.Fatal(err)
	}
	list := strings.Fields(string(raw))
	if len(list) < 3 {
		t.Fatalf("%d recipients, want 3", len(list))
	}
	return list
}

func testAgency(t tester, id string, role schemas.Role, seed byte) Agency {
	return Agency{
		Type: AgencyType, ID: id, Name: "Agency " + id, Role: role, Region: "Northshire", State: StateActive,
		NATSKey:     public(t, natsKey(t, seed+100)),
		Recipients:  []Key{{Key: recipients(t)[0], From: start}},
		SigningKeys: []Key{{Key: testKey(t, id, seed).vkey, From: start}},
		Schemas:     schemas.KnownSchemas(), DutyContact: "switchboard", Since: start,
	}
}

func testAgreement(id, from, to string) Agreement {
	return Agreement{
		Type: AgreementType, ID: id, From: from, To: to, Kinds: []schemas.Kind{schemas.KindReferral},
		Purposes:   []schemas.Purpose{schemas.PurposeAccommodation, schemas.PurposeImmediateSafety},
		Categories: []schemas.Category{schemas.CategoryIdentity, schemas.CategorySupportNeeds}, Starts: start,
	}
}

// world is a directory before it is opened.
type world struct {
	head    []byte
	entries map[string][]byte
}

func (w *world) clone() *world {
	c := &world{head: bytes.Clone(w.head), entries: map[string][]byte{}}
	for k, v := range w.entries {
		c.entries[k] = bytes.Clone(v)
	}
	return c
}

func (w *world) sign(t tester, version uint64) {
	t.Helper()
	h := Head{Version: version, Issued: start, Expires: start.AddDate(0, 1, 0), Entries: map[string]string{}}
	for k, v := range w.entries {
		h.Entries[k] = Digest(v)
	}
	head, err := SignHead(h, rootKey(t))
	if err != nil {
		t.Fatal(err)
	}
	w.head = head
}

func (w *world) put(t tester, x any) {
	t.Helper()
	var raw []byte
	var key string
	var err error
	switch x := x.(type) {
	case Agency:
		key = AgencyKey(x.ID)
		raw, err = SignAgency(x, rootKey(t))
	case Agreement:
		key = AgreementKey(x.ID)
		raw, err = SignAgreement(x, rootKey(t))
	}
	if err != nil {
		t.Fatal(err)
	}
	w.entries[key] = raw
}

// testWorld is three agencies and two agreements: police → ngo → housing.
func testWorld(t tester, more ...any) *world {
	t.Helper()
	w := &world{entries: map[string][]byte{}}
	for _, x := range append([]any{
		testAgency(t, police, schemas.RolePolice, 1), testAgency(t, ngo, schemas.RoleNGO, 2), testAgency(t, housing, schemas.RoleSupportProvider, 3),
		testAgreement("a1", police, ngo), testAgreement("a2", ngo, housing),
	}, more...) {
		w.put(t, x)
	}
	w.sign(t, 7)
	return w
}

func (w *world) open(t tester) *View {
	t.Helper()
	v, err := Open(rootKey(t), w.head, w.entries, 0)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func codeOf(err error) string {
	if e, ok := err.(*Error); ok {
		return e.Code
	}
	return ""
}
