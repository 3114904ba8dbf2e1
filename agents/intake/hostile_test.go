package intake_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"waypost/agents/intake"
	"waypost/schemas"
	"waypost/schemas/consent"
	"waypost/schemas/directory"
	"waypost/schemas/envelope"
)

// hostile is one envelope that must not be let through.
type hostile struct {
	comment  string
	make     func(w *world, d *draft) []byte
	subject  string // other than mail.urgent.<ngo>.<police>
	code     string
	answered string // outcome of the receipt; empty: nobody is answered
}

var hostiles = map[string]hostile{
	"empty":        {"nothing at all", func(*world, *draft) []byte { return nil }, "", envelope.CodeMalformed, ""},
	"noise":        {"not an envelope", func(*world, *draft) []byte { return []byte("GET / HTTP/1.1\r\n\r\n") }, "", envelope.CodeMalformed, ""},
	"truncated":    {"the second half is missing", func(w *world, d *draft) []byte { r := w.seal(d); return r[:len(r)/2] }, "", envelope.CodeBodyMismatch, ""},
	"no-body":      {"the manifest alone", func(w *world, d *draft) []byte { r := w.seal(d); return r[:bytes.Index(r, []byte("age-enc"))] }, "", envelope.CodeBodyMismatch, ""},
	"body-flipped": {"one bit of the ciphertext", func(w *world, d *draft) []byte { r := w.seal(d); r[len(r)-1] ^= 1; return r }, "", envelope.CodeBodyMismatch, ""},
	"wrong-signer": {"signed by another agency in the police's name", func(w *world, d *draft) []byte { return nil }, "", envelope.CodeBadSignature, ""},
	"stolen-name": {"signed by a fresh key that calls itself the police", func(w *world, d *draft) []byte {
		known := w.vaults[police]
		w.newKeys(police)
		raw := w.seal(d)
		w.vaults[police] = known
		return raw
	}, "", envelope.CodeBadSignature, ""},
	"thread-changed": {"a manifest field changed after signing", func(w *world, d *draft) []byte {
		return bytes.Replace(w.seal(d), []byte(d.manifest.Thread), []byte(schemas.NewThreadID()), 1)
	}, "", envelope.CodeBadSignature, ""},
	"other-publisher": {"a police envelope published by the housing provider", func(w *world, d *draft) []byte { return w.seal(d) },
		"mail.urgent." + ngo + "." + housing, intake.CodeSubject, ""},
	"other-lane": {"an urgent envelope on the routine lane", func(w *world, d *draft) []byte { return w.seal(d) },
		"mail.routine." + ngo + "." + police, intake.CodeSubject, ""},
	"for-another-agency": {"addressed to the housing provider, delivered to the NGO", func(w *world, d *draft) []byte { d.manifest.To = housing; return w.seal(d) },
		"mail.urgent." + housing + "." + police, intake.CodeNotForUs, ""},
	"sealed-to-another": {"right manifest, body sealed to somebody else", func(w *world, d *draft) []byte { d.sealTo = housing; return w.seal(d) }, "", intake.CodeNotForUs, "quarantined"},
	"not-age": {"a body that only begins like age", func(w *world, d *draft) []byte {
		d.body = []byte("age-encryption.org/v1\nnonsense")
		return w.seal(d)
	}, "", intake.CodeCorrupt, "quarantined"},
	"stripped-and-resigned": {"the police's ciphertext claimed by another agency as its own", func(w *world, d *draft) []byte {
		env, err := envelope.Parse(w.seal(d))
		if err != nil {
			w.t.Fatal(err)
		}
		e := w.draft()
		e.manifest.From, e.signer, e.body = housing, housing, env.Body
		return w.seal(e)
	}, "mail.urgent." + ngo + "." + housing, envelope.CodeHeaderMismatch, "quarantined"},
	"header-other-id": {"inner id differs", func(w *world, d *draft) []byte {
		return w.inner(d, func(h *envelope.Header) { h.ID = schemas.NewMessageID() })
	}, "", envelope.CodeHeaderMismatch, "quarantined"},
	"header-other-thread": {"inner thread differs", func(w *world, d *draft) []byte {
		return w.inner(d, func(h *envelope.Header) { h.Thread = schemas.NewThreadID() })
	}, "", envelope.CodeHeaderMismatch, "quarantined"},
	"header-other-to":   {"inner recipient differs", func(w *world, d *draft) []byte { return w.inner(d, func(h *envelope.Header) { h.To = housing }) }, "", envelope.CodeHeaderMismatch, "quarantined"},
	"header-other-from": {"inner sender differs", func(w *world, d *draft) []byte { return w.inner(d, func(h *envelope.Header) { h.From = housing }) }, "", envelope.CodeHeaderMismatch, "quarantined"},
	"future":            {"sent in six minutes", func(w *world, d *draft) []byte { d.manifest.Sent = w.now.Add(6 * time.Minute); return w.seal(d) }, "", envelope.CodeClockSkew, "rejected"},
	"unknown-agency": {"signed well by an agency that nobody admitted", func(w *world, d *draft) []byte {
		w.newKeys("stranger-agency")
		d.manifest.From, d.signer = "stranger-agency", "stranger-agency"
		raw := w.seal(d)
		delete(w.vaults, "stranger-agency")
		return raw
	}, "mail.urgent." + ngo + ".stranger-agency", directory.CodeUnknownAgency, ""},
	"suspended": {"signed well by a suspended agency", func(w *world, d *draft) []byte {
		w.state[police] = directory.StateSuspended
		w.publish()
		return w.seal(d)
	}, "", directory.CodeSuspendedAgency, "quarantined"},
	"no-agreement": {"an agency without an agreement with us", func(w *world, d *draft) []byte {
		d.manifest.From, d.signer, d.certificate.Issuer, d.issuer = housing, housing, housing, housing
		return w.seal(d)
	}, "mail.urgent." + ngo + "." + housing, directory.CodeNoAgreement, "quarantined"},
	"consent-other-recipient": {"the consent names another agency", func(w *world, d *draft) []byte {
		d.certificate.Consent.Recipients.Agencies = []string{housing}
		return w.seal(d)
	}, "", consent.ReasonRecipient, "quarantined"},
	"consent-other-purpose": {"the consent is for statistics", func(w *world, d *draft) []byte {
		d.certificate.Consent.Purposes = []schemas.Purpose{"statistics"}
		return w.seal(d)
	}, "", consent.ReasonPurpose, "quarantined"},
	"consent-less-data": {"more categories than consented", func(w *world, d *draft) []byte {
		d.certificate.Consent.Categories = []schemas.Category{"identity"}
		return w.seal(d)
	}, "", consent.ReasonCategory, "quarantined"},
	"consent-missing": {"the certificate did not come along", func(w *world, d *draft) []byte { d.certificates = []string{}; return w.seal(d) }, "", consent.ReasonMissing, "quarantined"},
	"consent-self-made": {"a certificate in the police's name, signed by somebody else's key", func(w *world, d *draft) []byte {
		known := w.vaults[police]
		w.newKeys(police)
		text, err := consent.Sign(*d.certificate, w.vaults[police].Signer())
		if err != nil {
			w.t.Fatal(err)
		}
		w.vaults[police] = known
		d.certificates = []string{text}
		return w.seal(d)
	}, "", intake.CodeConsentUnverified, "quarantined"},
	"basis-differs": {"the manifest says vital interests, the referral says consent", func(w *world, d *draft) []byte {
		d.manifest.Basis = "vital-interests"
		return w.seal(d)
	}, "", intake.CodeBasis, "quarantined"},
	"no-clock":          {"a referral without a response time", func(w *world, d *draft) []byte { d.manifest.RespondBy = nil; return w.seal(d) }, "", intake.CodeUrgency, "quarantined"},
	"routine-as-urgent": {"a routine referral that jumps the queue", func(w *world, d *draft) []byte { d.referral["urgency"] = "routine"; return w.seal(d) }, "", intake.CodeUrgency, "quarantined"},
	"unknown-schema": {"a kind of payload from the future", func(w *world, d *draft) []byte {
		d.manifest.Schema = "referral.v9"
		return w.seal(d)
	}, "", intake.CodeSchema, "quarantined"},
	"unknown-member": {"a member that no schema knows", func(w *world, d *draft) []byte { d.referral["surprise"] = "x"; return w.seal(d) }, "", intake.CodePayload, "quarantined"},
	"duplicate-member": {"one member twice", func(w *world, d *draft) []byte {
		return w.rawPayload(d, `{"urgency":"routine","urgency":"immediate"}`)
	}, "", envelope.CodeMalformed, "quarantined"},
	"deep": {"nested a thousand times", func(w *world, d *draft) []byte {
		return w.rawPayload(d, strings.Repeat(`{"a":`, 1000)+"1"+strings.Repeat("}", 1000))
	}, "", envelope.CodeMalformed, "quarantined"},
	"response-to-nothing": {"an answer to a referral that we never sent", func(w *world, d *draft) []byte {
		d.manifest.Kind, d.manifest.Schema, d.manifest.ReplyTo, d.manifest.RespondBy = schemas.KindReferralResponse, "referral-response.v1", schemas.NewMessageID(), nil
		d.payload = []byte(`{"outcome":"accepted"}`)
		return w.seal(d)
	}, "", "", "quarantined"},
	"receipt-for-nothing": {"a receipt for a message that we never sent", func(w *world, d *draft) []byte {
		d.manifest.Kind, d.manifest.Schema, d.manifest.Lane, d.manifest.ReplyTo = schemas.KindReceipt, "receipt.v1", schemas.LaneReceipt, schemas.NewMessageID()
		d.manifest.RespondBy, d.manifest.Basis, d.manifest.Outcome = nil, "", schemas.OutcomeDelivered
		raw, err := envelope.Sign(d.manifest, nil, w.vaults[police].Signer())
		if err != nil {
			w.t.Fatal(err)
		}
		return raw
	}, "mail.receipt." + ngo + "." + police, intake.CodeUnknownReceipts, ""},
}

// inner seals a header that differs from the manifest's.
func (w *world) inner(d *draft, change func(*envelope.Header)) []byte {
	h := d.manifest.Header()
	change(&h)
	d.header = &h
	return w.seal(d)
}

// rawPayload seals a payload that our own EncodeBody would refuse.
func (w *world) rawPayload(d *draft, payload string) []byte {
	h, err := schemas.Encode(d.manifest.Header())
	if err != nil {
		w.t.Fatal(err)
	}
	plain := []byte(`{"header":` + string(h) + `,"payload":` + payload + `}`)
	d.plain = append(plain, bytes.Repeat([]byte(" "), envelope.PaddedSize(len(plain))-len(plain))...)
	return w.seal(d)
}

func TestHostileEnvelopes(t *testing.T) {
	for name, tc := range hostiles {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			d := w.draft()
			if name == "wrong-signer" {
				// Sign itself refuses to sign in another's name; a hostile peer does not use it.
				d.manifest.From, d.signer = housing, housing
				raw := bytes.Replace(w.seal(d), []byte(`"from":"`+housing), []byte(`"from":"`+police), 1)
				check(t, w, d, tc, raw)
				return
			}
			check(t, w, d, tc, tc.make(w, d))
		})
	}
}

func check(t *testing.T, w *world, d *draft, tc hostile, raw []byte) {
	t.Helper()
	subject := tc.subject
	if subject == "" {
		subject = "mail.urgent." + ngo + "." + police
	}
	v := w.receiveOn(subject, raw)
	if v.Fate != intake.Settled {
		t.Fatalf("fate %v %s: a hostile envelope must not come again for ever", v.Fate, v.Code)
	}
	if len(w.inbox()) != 0 {
		t.Fatalf("let through: %s", tc.comment)
	}
	if tc.code != "" && v.Code != tc.code {
		t.Errorf("code %q, want %q (%s)", v.Code, tc.code, tc.comment)
	}
	receipts := w.receipts()
	switch {
	case tc.answered == "" && len(receipts) != 0:
		t.Errorf("answered %v: nobody may be answered on the word of an unverified envelope", receipts)
	case tc.answered != "" && (len(receipts) != 1 || !strings.HasPrefix(receipts[0], tc.answered+" ")):
		t.Errorf("receipts %v, want one %s", receipts, tc.answered)
	}
	if tc.answered == "rejected" {
		if len(w.quarantined()) != 0 {
			t.Error("refused outright, and kept all the same")
		}
	} else if q := w.quarantined(); len(q) != 1 || q[0].Verified != (tc.answered != "" || strings.HasPrefix(subject, "mail.receipt")) {
		t.Errorf("quarantine holds %d", len(q))
	}

	// The same bytes again change nothing: no second row, no second receipt.
	w.receiveOn(subject, raw)
	if len(w.quarantined()) > 1 || len(w.receipts()) > 1 {
		t.Errorf("a repeat added something: %d rows, %v", len(w.quarantined()), w.receipts())
	}
	// And an honest message after it is let through.
	w.state[police] = directory.StateActive
	w.publish()
	if v := w.receive(w.seal(w.draft())); v.Fate != intake.Settled || v.Code != "" || len(w.inbox()) != 1 {
		t.Errorf("the honest message after it: %+v", v)
	}
}
