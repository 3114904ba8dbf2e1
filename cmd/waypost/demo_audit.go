package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"waypost/agents/vault"
	"waypost/broker/audit"
	"waypost/schemas/envelope"
	"waypost/schemas/ledger"
)

// The administrators' part of the story: what everybody just did is in the ledger, can be proved, and still can after it was
// erased.

// auditDir is where the demo leaves what a third party needs.
func (n *demoNetwork) auditDir() string { return filepath.Join(n.dir, "audit") }

func (s *story) audit(sent, received, told bool, police, ngo, housing *demoAgency) {
	s.out.say("\nThe administrators look at the ledger, which they cannot read:\n")
	recorded := s.step("ledger", func() (string, error) { return s.ledger(police, ngo, housing) })
	witnessed := s.after(recorded, "witness", s.witness)
	s.after(sent && witnessed, "prove", func() (string, error) { return s.prove(police) })
	s.after(received && witnessed, "disclose", func() (string, error) { return s.disclose(ngo) })
	s.after(told && witnessed, "erase", func() (string, error) { return s.erase(police) })
	s.after(witnessed, "verify", s.verify)
}

// ledger waits until each agency has found everything that it sent, accepted and was receipted.
func (s *story) ledger(agencies ...*demoAgency) (string, error) {
	var most int64
	for _, a := range agencies {
		err := s.until(func() (bool, error) {
			var st struct {
				Records  int64    `json:"records"`
				Unproved int64    `json:"unproved"`
				Evidence []string `json:"evidence"`
			}
			if err := a.call(s.ctx, "GET", "/v1/ledger", nil, http.StatusOK, &st); err != nil {
				return false, err
			}
			if len(st.Evidence) > 0 {
				return false, fmt.Errorf("%s raised an alarm: %s", a.id, strings.Join(st.Evidence, " "))
			}
			most = max(most, st.Records)
			return st.Records > 0 && st.Unproved == 0, nil
		}, a.id+" does not find its messages in the ledger")
		if err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d records; each agency has the proof of every message that it sent or received", most), nil
}

func (s *story) live(ctx context.Context) (*audit.Live, error) {
	return audit.Open(ctx, s.net.broker.URL(), filepath.Join(s.net.authority.Dir(), "keys", "auditor.creds"), "")
}

// witness waits for a checkpoint that all three agencies have cosigned.
func (s *story) witness() (string, error) {
	var sum *ledger.Summary
	err := s.until(func() (bool, error) {
		src, err := s.live(s.ctx)
		if err != nil {
			return false, err
		}
		defer src.Close()
		sum, err = ledger.Verify(s.ctx, src, ledger.Options{Root: s.net.authority.Root(), Quorum: len(s.net.agencies)})
		return err == nil && len(sum.Witnesses) == len(s.net.agencies), err
	}, "no checkpoint has the cosignatures of all agencies")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("checkpoint of %d records cosigned by %s", sum.Witnessed, strings.Join(sum.Witnesses, ", ")), nil
}

// prove writes a proof file for the referral and checks it as somebody outside would, with the root's public key alone.
func (s *story) prove(from *demoAgency) (string, error) {
	src, err := s.live(s.ctx)
	if err != nil {
		return "", err
	}
	defer src.Close()
	p, err := ledger.Prove(s.ctx, src, s.net.authority.Root(), s.referral.ID)
	if err != nil {
		return "", err
	}
	raw, err := ledger.EncodeProof(p)
	if err != nil {
		return "", err
	}
	if p, err = ledger.ParseProof(raw); err != nil {
		return "", err
	}
	ev, err := p.Check(s.net.authority.Root(), 2)
	if err != nil {
		return "", err
	}
	if ev.Manifest.From != from.id || ev.Manifest.ID != s.referral.ID {
		return "", errors.New("the proof is of something else")
	}
	if err := s.leave("message.proof", raw); err != nil {
		return "", err
	}
	return fmt.Sprintf("that %s sent this referral: record %d, %d witnesses, in %d bytes", from.id, ev.Index, len(ev.Witnesses), len(raw)), nil
}

// disclose has the NGO give out the referral's key, opens the referral with it, and tries the key on another message.
func (s *story) disclose(a *demoAgency) (string, error) {
	var d ledger.Disclosure
	err := s.until(func() (bool, error) {
		err := a.call(s.ctx, "POST", "/v1/messages/"+s.referral.ID+"/disclose", nil, http.StatusOK, &d)
		var early *refusal
		if errors.As(err, &early) && early.Code == "not-proved" {
			return false, nil
		}
		return err == nil, err
	}, "the message cannot be disclosed")
	if err != nil {
		return "", err
	}
	_, env, key, err := d.Check(s.net.authority.Root(), 2)
	if err != nil {
		return "", err
	}
	plain, err := vault.OpenDisclosed(env.Manifest.ID, env.Body, key)
	if err != nil {
		return "", err
	}
	if _, err := envelope.DecodeBody(plain, env.Manifest.Header()); err != nil {
		return "", err
	}
	other, err := s.net.envelope(s.ctx, "urgent", s.net.agencies[2].id, a.id)
	if err != nil {
		return "", err
	}
	next, err := envelope.Parse(other)
	if err != nil {
		return "", err
	}
	if _, err := vault.OpenDisclosed(next.Manifest.ID, next.Body, key); err == nil {
		return "", errors.New("the disclosed key opens another message")
	}
	raw, err := ledger.EncodeDisclosure(&d)
	if err != nil {
		return "", err
	}
	return a.id + " gave out one message's key: it opens that message and no other, and the ledger says so", s.leave("message.disclosure", raw)
}

// erase has the police erase the intelligence, here and at the broker.
func (s *story) erase(a *demoAgency) (string, error) {
	var done struct {
		Messages int64 `json:"messages"`
		Recorded bool  `json:"recorded"`
		Record   int64 `json:"record"`
		Broker   int   `json:"broker_deleted"`
	}
	err := s.until(func() (bool, error) {
		err := a.call(s.ctx, "POST", "/v1/threads/"+s.told.Thread+"/erase", nil, http.StatusOK, &done)
		var early *refusal
		if errors.As(err, &early) && early.Code == "thread-under-way" {
			return false, nil
		}
		return err == nil, err
	}, "the thread cannot be erased")
	if err != nil {
		return "", err
	}
	var left struct {
		Withheld string `json:"withheld"`
	}
	if err := a.call(s.ctx, "GET", "/v1/inbox/"+s.told.ID, nil, http.StatusOK, &left); err != nil {
		return "", err
	}
	if left.Withheld != "erased" || !done.Recorded || done.Broker != 1 {
		return "", fmt.Errorf("not erased: %d here, %d at the broker, recorded %v", done.Messages, done.Broker, done.Recorded)
	}
	return fmt.Sprintf("%d messages at %s and %d at the broker; record %d says so", done.Messages, a.id, done.Broker, done.Record), nil
}

// verify exports the ledger and checks the bundle as a third party does, with no broker.
func (s *story) verify() (string, error) {
	dir := filepath.Join(s.net.auditDir(), "bundle")
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	if err := s.leave("root.pub", []byte(s.net.authority.RootKey()+"\n")); err != nil {
		return "", err
	}
	var sum *ledger.Summary
	var found []ledger.Finding
	err := s.until(func() (bool, error) {
		// Until the last acts are signed and cosigned too.
		src, err := s.live(s.ctx)
		if err != nil {
			return false, err
		}
		defer src.Close()
		now, err := ledger.Verify(s.ctx, src, ledger.Options{Root: s.net.authority.Root(), Quorum: 2})
		if err != nil || now.Findings[ledger.FindTail] > 0 {
			return false, err
		}
		return true, errors.Join(os.RemoveAll(dir), ledger.WriteBundle(s.ctx, src, dir, nil))
	}, "the last records are not witnessed")
	if err != nil {
		return "", err
	}
	bundle, err := ledger.OpenBundle(dir)
	if err != nil {
		return "", err
	}
	sum, err = ledger.Verify(s.ctx, bundle, ledger.Options{Root: s.net.authority.Root(), Quorum: 2, Found: func(f ledger.Finding) { found = append(found, f) }})
	if err != nil {
		return "", err
	}
	if !sum.Clean() {
		return "", fmt.Errorf("not whole: %s", found[slices.IndexFunc(found, func(f ledger.Finding) bool { return f.Severity == ledger.Broken })].Text())
	}
	if err := s.report(bundle); err != nil {
		return "", err
	}
	return fmt.Sprintf("bundle of %d records is whole, checked with the root's public key alone; %d forged messages noticed", sum.Records, sum.Findings[ledger.FindSignature]), nil
}

// report leaves a page that a person can read and print.
func (s *story) report(src ledger.Source) error {
	r, err := audit.Gather(s.ctx, src, s.net.authority.Root(), time.Now())
	if err != nil {
		return err
	}
	var page bytes.Buffer
	if err := r.Write(&page, audit.FormatHTML); err != nil {
		return err
	}
	return s.leave("report.html", page.Bytes())
}

func (s *story) leave(name string, raw []byte) error {
	if err := os.MkdirAll(s.net.auditDir(), 0o700); err != nil {
		return fmt.Errorf("make audit folder: %w", err)
	}
	return os.WriteFile(filepath.Join(s.net.auditDir(), name), raw, 0o600)
}
