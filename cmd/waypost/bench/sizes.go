package bench

import (
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"waypost/cmd/waypost/bench/floor"
	"waypost/schemas"
	"waypost/schemas/consent"
	"waypost/schemas/envelope"
)

// seenBytes is about what a checkpoint of the ledger takes, which every body carries.
const seenBytes = 240

// wireSizes are what one routine referral of this run takes, so that the floor carries the same bytes. The report compares
// them with what was found in the stream.
func wireSizes(size int) (floor.Sizes, error) {
	var out floor.Sizes
	doc, err := document(routineExample, longest, size)
	if err != nil {
		return out, err
	}
	s, err := schemas.Decode[schemas.Submission](doc)
	if err != nil {
		return out, err
	}
	skey, _, err := note.GenerateKey(rand.Reader, longest)
	if err != nil {
		return out, fmt.Errorf("make key: %w", err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		return out, fmt.Errorf("make key: %w", err)
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	c := consent.Certificate{ID: consent.NewID(), Issuer: longest, Issued: now, Consent: *s.Consent}
	c.Consent.Given, c.Consent.Expires, c.Consent.ValidForDays = now, now.AddDate(0, 0, max(1, c.Consent.ValidForDays)), 0
	certificate, err := consent.Sign(c, signer)
	if err != nil {
		return out, fmt.Errorf("sign certificate: %w", err)
	}
	payload, err := schemas.Encode(s.Referral)
	if err != nil {
		return out, err
	}
	by := now.AddDate(0, 0, 7)
	m := envelope.Manifest{Type: envelope.ManifestType, ID: schemas.NewMessageID(), Thread: schemas.NewThreadID(), From: longest, To: "bench-0001", Kind: schemas.KindReferral,
		Schema: schemas.SchemaReferral, Lane: schemas.LaneRoutine, Seq: 1000, Sent: now, RespondBy: &by, Basis: c.Basis()}
	plain, err := envelope.EncodeBody(m.Header(), []string{certificate}, nil, strings.Repeat("x", seenBytes), payload)
	if err != nil {
		return out, fmt.Errorf("frame body: %w", err)
	}
	sealed := append([]byte("age-encryption.org/v1\n"), make([]byte, len(plain))...)
	raw, err := envelope.Sign(m, sealed, signer)
	if err != nil {
		return out, fmt.Errorf("sign manifest: %w", err)
	}
	r := envelope.Manifest{Type: envelope.ManifestType, ID: schemas.NewMessageID(), Thread: m.Thread, ReplyTo: m.ID, From: longest, To: m.To, Kind: schemas.KindReceipt,
		Schema: "receipt.v1", Lane: schemas.LaneReceipt, Seq: 1000, Sent: now, Outcome: schemas.OutcomeDelivered}
	receipt, err := envelope.Sign(r, nil, signer)
	if err != nil {
		return out, fmt.Errorf("sign receipt: %w", err)
	}
	return floor.Sizes{Plain: len(plain), Note: len(raw) - len(sealed), Certificate: len(certificate), Receipt: len(receipt)}, nil
}
