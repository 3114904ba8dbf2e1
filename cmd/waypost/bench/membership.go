package bench

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"

	"waypost/schemas"
	"waypost/schemas/directory"
)

// Membership is what the directory needs: every agency holds all of it.
type Membership struct {
	Entries       int     `json:"entries"`
	Bytes         int64   `json:"bytes"`      // all entries
	HeadBytes     int64   `json:"head_bytes"` // signed anew with every change, and fetched by everybody
	TooLarge      bool    `json:"too_large"`  // the head is larger than directory.MaxHead: such a network cannot be signed; head and times are computed
	SignSeconds   float64 `json:"sign_s"`     // the head
	VerifySeconds float64 `json:"verify_s"`   // all of it, as an agency that joins does
	PerChange     int64   `json:"change_bytes"`
}

// membership signs and verifies a directory of n agencies. Keys are real; one age recipient serves all, because only its size
// counts here.
func membership(ctx context.Context, n int, o *SimulateOptions) (Membership, error) {
	o.Progress.Phase(fmt.Sprintf("a directory of %d agencies", n), n)
	var m Membership
	skey, vkey, err := note.GenerateKey(rand.Reader, directory.RootName)
	if err != nil {
		return m, fmt.Errorf("make root key: %w", err)
	}
	root, err := note.NewSigner(skey)
	if err != nil {
		return m, fmt.Errorf("make root key: %w", err)
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return m, fmt.Errorf("make root key: %w", err)
	}
	sample, err := newBystander("sample-agency")
	if err != nil {
		return m, err
	}
	head, entries, err := m.fill(ctx, n, o, sample, root)
	if err != nil {
		return m, err
	}
	began := time.Now()
	signed, err := directory.SignHead(head, root)
	if err != nil {
		// The format's own bound. What it would take is computed from a head that may still be signed.
		return m.tooLarge(head, entries, root, verifier)
	}
	m.SignSeconds, m.HeadBytes = round(time.Since(began).Seconds(), 4), int64(len(signed))
	began = time.Now()
	if _, err := directory.Open(verifier, signed, entries, 0); err != nil {
		return m, fmt.Errorf("verify directory: %w", err)
	}
	m.VerifySeconds = round(time.Since(began).Seconds(), 4)
	m.PerChange = m.HeadBytes + m.Bytes/int64(m.Entries)
	return m, nil
}

// fill signs the entries of n agencies and a head, unsigned, that lists them.
func (m *Membership) fill(ctx context.Context, n int, o *SimulateOptions, sample *bystander, root note.Signer) (directory.Head, map[string][]byte, error) {
	now := time.Now().UTC().Truncate(time.Second)
	head := directory.Head{Type: directory.HeadType, Version: 1, Issued: now, Expires: now.Add(24 * time.Hour), Entries: map[string]string{}}
	entries := map[string][]byte{}
	add := func(key string, signed []byte, err error) error {
		if err != nil {
			return fmt.Errorf("sign directory entry: %w", err)
		}
		entries[key], head.Entries[key] = signed, directory.Digest(signed)
		m.Entries, m.Bytes = m.Entries+1, m.Bytes+int64(len(signed))
		return nil
	}
	id := func(i int) string { return fmt.Sprintf("agency-%06d", i%n) }
	for i := range n {
		if ctx.Err() != nil {
			return head, nil, ctx.Err()
		}
		_, signing, err := note.GenerateKey(rand.Reader, id(i))
		if err != nil {
			return head, nil, fmt.Errorf("make key: %w", err)
		}
		signed, err := directory.SignAgency(directory.Agency{Type: directory.AgencyType, ID: id(i), Name: "Invented agency " + id(i), Role: "ngo", State: directory.StateActive,
			NATSKey: sample.req.NATSKey, Recipients: []directory.Key{{Key: sample.req.Recipient, From: now}}, SigningKeys: []directory.Key{{Key: signing, From: now}},
			Schemas: schemas.KnownSchemas(), Since: now}, root)
		if err := add(directory.AgencyKey(id(i)), signed, err); err != nil {
			return head, nil, err
		}
		for k := 1; k <= min(o.Agreements, n-1); k++ {
			g := directory.Agreement{Type: directory.AgreementType, ID: "simulated-" + id(i) + "-" + id(i+k), From: id(i), To: id(i + k), Kinds: []schemas.Kind{schemas.KindReferral},
				Purposes: schemas.Purposes(), Categories: schemas.AllCategories(), Starts: now, Document: "simulated"}
			signed, err := directory.SignAgreement(g, root)
			if err := add(directory.AgreementKey(g.ID), signed, err); err != nil {
				return head, nil, err
			}
		}
		o.Progress.Done(i + 1)
	}
	return head, entries, nil
}

// tooLarge measures on 2,000 of the entries and multiplies.
func (m Membership) tooLarge(head directory.Head, entries map[string][]byte, root note.Signer, verifier note.Verifier) (Membership, error) {
	const part = 2000
	small, some := head, map[string][]byte{}
	small.Entries = map[string]string{}
	for key, digest := range head.Entries {
		if len(some) == part {
			break
		}
		small.Entries[key], some[key] = digest, entries[key]
	}
	began := time.Now()
	signed, err := directory.SignHead(small, root)
	if err != nil {
		return m, fmt.Errorf("sign directory: %w", err)
	}
	sign := time.Since(began)
	began = time.Now()
	if _, err := directory.OpenPart(verifier, signed, some); err != nil {
		return m, fmt.Errorf("verify directory: %w", err)
	}
	times := float64(m.Entries) / float64(len(some))
	m.TooLarge = true
	m.HeadBytes = int64(float64(len(signed)) * times)
	m.SignSeconds, m.VerifySeconds = round(sign.Seconds()*times, 4), round(time.Since(began).Seconds()*times, 4)
	m.PerChange = m.HeadBytes + m.Bytes/int64(m.Entries)
	return m, nil
}
