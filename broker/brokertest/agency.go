package brokertest

import (
	"crypto/ed25519"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"golang.org/x/mod/sumdb/note"

	"waypost/schemas"
	"waypost/schemas/directory"
)

// Agency is a bare member for tests of the broker: keys that can enrol, sign and connect, without an agent. Its age
// recipient is well formed and nobody can open what is sealed to it.
type Agency struct {
	Request *directory.Request
	Grant   *directory.Grant
	Signer  note.Signer

	nats nkeys.KeyPair
}

// NewAgency makes keys and an enrolment request.
func NewAgency(t testing.TB, id string) *Agency {
	t.Helper()
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatalf("make agency: %v", err)
	}
	natsKey, err := user.PublicKey()
	if err != nil {
		t.Fatalf("make agency: %v", err)
	}
	seed := make([]byte, ed25519.SeedSize)
	if _, err := rand.Read(seed); err != nil {
		t.Fatalf("make agency: %v", err)
	}
	skey, vkey, err := note.GenerateKey(strings.NewReader(string(seed)), id)
	if err != nil {
		t.Fatalf("make agency: %v", err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatalf("make agency: %v", err)
	}
	req, err := directory.NewRequest(id, "Agency "+id, natsKey, vkey, recipient(t), time.Now(),
		user.Sign, func(m []byte) ([]byte, error) { return ed25519.Sign(ed25519.NewKeyFromSeed(seed), m), nil })
	if err != nil {
		t.Fatalf("make agency: %v", err)
	}
	return &Agency{Request: req, Signer: signer, nats: user}
}

// Join makes an agency and enrols it.
func (b *Broker) Join(t testing.TB, id string, role schemas.Role) *Agency {
	t.Helper()
	a := NewAgency(t, id)
	a.Grant = b.Enrol(t, a.Request, role)
	return a
}

// ID is the agency's id.
func (a *Agency) ID() string { return a.Request.Agency }

// SignNATS signs what a server asks of who connects as the agency.
func (a *Agency) SignNATS(nonce []byte) ([]byte, error) { return a.nats.Sign(nonce) }

// Connect connects as the agency to the address in its grant, until the test ends.
func (a *Agency) Connect(t testing.TB, o ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := a.TryConnect(a.Grant.URLs[0], o...)
	if err != nil {
		t.Fatalf("connect %s: %v", a.ID(), err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// TryConnect connects as the agency and returns the error if it is refused.
func (a *Agency) TryConnect(url string, o ...nats.Option) (*nats.Conn, error) {
	jwt := func() (string, error) { return a.Grant.UserJWT, nil }
	return nats.Connect(url, append([]nats.Option{nats.UserJWT(jwt, a.SignNATS), nats.CustomInboxPrefix("_INBOX_" + a.ID()), nats.Name(a.ID()),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})}, o...)...) // quiet: tests look at LastError
}

// recipient spells random bytes as an age hybrid recipient (Bech32 without its length limit): this package is part of
// the broker and may not import age.
func recipient(t testing.TB) string {
	t.Helper()
	const prefix, charset, size = "age1pq", "qpzry9x8gf2tvdw0s3jn54khce6mua7l", 1184 + 32
	raw := make([]byte, size)
	if _, err := rand.Read(raw); err != nil {
		t.Fatalf("make recipient: %v", err)
	}
	var data []byte
	acc, bits := uint32(0), 0
	for _, b := range raw {
		acc, bits = acc<<8|uint32(b), bits+8
		for bits >= 5 {
			bits -= 5
			data = append(data, byte(acc>>bits)&31)
		}
		acc &= 1<<bits - 1
	}
	if bits > 0 {
		data = append(data, byte(acc<<(5-bits))&31)
	}
	check := uint32(1)
	step := func(v byte) {
		top := check >> 25
		check = (check&0x1ffffff)<<5 ^ uint32(v)
		for i, g := range [5]uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3} {
			if top>>i&1 == 1 {
				check ^= g
			}
		}
	}
	for i := range len(prefix) {
		step(prefix[i] >> 5)
	}
	step(0)
	for i := range len(prefix) {
		step(prefix[i] & 31)
	}
	for _, v := range data {
		step(v)
	}
	for range 6 {
		step(0)
	}
	check ^= 1
	out := prefix + "1"
	for _, v := range data {
		out += string(charset[v])
	}
	for i := range 6 {
		out += string(charset[check>>(5*(5-i))&31])
	}
	return out
}
