package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"waypost/deploy/examples"
)

// example is the urgent referral of the examples with its consent changed, addressed to an agency.
func example(to string, change func(doc, consent map[string]any)) ([]byte, error) {
	text, err := examples.Files.ReadFile("referral-urgent.json")
	if err != nil {
		return nil, fmt.Errorf("read example: %w", err)
	}
	var doc map[string]any
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("read example: %w", err)
	}
	consent, ok := doc["consent"].(map[string]any)
	if !ok {
		return nil, errors.New("the example has no consent")
	}
	doc["to"] = to
	if change != nil {
		change(doc, consent)
	}
	body, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("encode referral: %w", err)
	}
	return body, nil
}

// minimise sends under a consent that does not cover police data: first the agent refuses and says what would go, then it is
// asked to leave that out.
func (s *story) minimise(from, to *demoAgency) (string, error) {
	narrow := func(minimise bool) ([]byte, error) {
		return example(to.id, func(doc, consent map[string]any) {
			var keep []any
			for _, c := range consent["categories"].([]any) {
				if c != "criminal-justice" {
					keep = append(keep, c)
				}
			}
			consent["categories"] = keep
			if minimise {
				doc["minimise"] = true
			}
		})
	}
	body, err := narrow(false)
	if err != nil {
		return "", err
	}
	var refused *refusal
	switch err := from.call(s.ctx, "POST", "/v1/referrals", body, http.StatusAccepted, nil); {
	case err == nil:
		return "", errors.New("police data was accepted although the consent does not cover it")
	case !errors.As(err, &refused) || refused.Code != "consent-category":
		return "", fmt.Errorf("refused, but for another reason: %w", err)
	}
	if body, err = narrow(true); err != nil {
		return "", err
	}
	var sent struct {
		demoMessage
		Left []struct {
			Path string `json:"path"`
		} `json:"left_out"`
	}
	if err := from.call(s.ctx, "POST", "/v1/referrals", body, http.StatusAccepted, &sent); err != nil {
		return "", err
	}
	if _, err := s.receipt(from, sent.ID); err != nil {
		return "", err
	}
	var got demoMessage
	if err := to.call(s.ctx, "GET", "/v1/inbox/"+sent.ID, nil, http.StatusOK, &got); err != nil {
		return "", err
	}
	if strings.Contains(string(got.Payload), `"crime_reference":`) || len(sent.Left) == 0 {
		return "", errors.New("police data travelled")
	}
	return fmt.Sprintf("%d members not covered were offered to be left out, and then were", len(sent.Left)), nil
}

// consentView is what an agent's API says of a consent.
type consentView struct {
	Standing string `json:"standing"`
	Holders  []struct {
		Agency string `json:"agency"`
		State  string `json:"state"`
		Answer *struct {
			Outcome string `json:"outcome"`
		} `json:"answer"`
	} `json:"holders"`
}

func (a *demoAgency) consent(ctx context.Context, id string) (*consentView, error) {
	var c consentView
	return &c, a.call(ctx, "GET", "/v1/consents/"+id, nil, http.StatusOK, &c)
}

// withdraw is the survivor's word to the police. What was referred on a consent is withdrawn; a referral on another basis
// has none, so then the example is referred first.
func (s *story) withdraw(police, ngo, housing *demoAgency) (string, error) {
	if err := ngo.call(s.ctx, "GET", "/v1/inbox/"+s.referral.ID, nil, http.StatusOK, &s.under); err != nil {
		return "", err
	}
	if len(s.under.Certificates) == 0 || s.forwarded.ID == "" {
		body, err := example(ngo.id, nil)
		if err != nil {
			return "", err
		}
		var m demoMessage
		if err := police.call(s.ctx, "POST", "/v1/referrals", body, http.StatusAccepted, &m); err != nil {
			return "", err
		}
		if _, err := s.receipt(police, m.ID); err != nil {
			return "", err
		}
		if err := ngo.call(s.ctx, "GET", "/v1/inbox/"+m.ID, nil, http.StatusOK, &s.under); err != nil {
			return "", err
		}
		if err := s.passOn(ngo, housing, &s.under, &m); err != nil {
			return "", err
		}
		if _, err := s.receipt(ngo, m.ID); err != nil {
			return "", err
		}
	}
	s.consent = s.under.Certificates[0]
	holds := func(a *demoAgency, state string) (bool, error) {
		c, err := police.consent(s.ctx, s.consent)
		if err != nil {
			return false, err
		}
		for _, h := range c.Holders {
			if h.Agency == a.id && (state == "" || h.State == state) {
				return true, nil
			}
		}
		return false, nil
	}
	if err := s.until(func() (bool, error) { return holds(housing, "") }, police.id+" was not told that the referral went on to "+housing.id); err != nil {
		return "", err
	}
	if err := police.call(s.ctx, "POST", "/v1/consents/"+s.consent+"/withdraw", nil, http.StatusOK, nil); err != nil {
		return "", err
	}
	for _, a := range []*demoAgency{ngo, housing} {
		err := s.until(func() (bool, error) {
			c, err := a.consent(s.ctx, s.consent)
			return err == nil && c.Standing == "withdrawn", err
		}, a.id+" did not stop")
		if err != nil {
			return "", err
		}
	}
	return "withdrawn at " + police.id + "; " + ngo.id + " and " + housing.id + " have stopped", nil
}

// withdrawalOutcomes: each holder says what it did, and the agency that took the consent sees all of it.
func (s *story) withdrawalOutcomes(police, ngo, housing *demoAgency) (string, error) {
	answers := []struct {
		a    *demoAgency
		body string
		want string
	}{
		{housing, `{"outcome":"erased"}`, "erased"},
		{ngo, `{"outcome":"retained","basis":"legal-obligation","reason":"record-of-decision","until":"2099-12-31"}`, "retained"},
	}
	for _, x := range answers {
		if err := x.a.call(s.ctx, "POST", "/v1/consents/"+s.consent+"/answer", []byte(x.body), http.StatusOK, nil); err != nil {
			return "", err
		}
	}
	for _, x := range answers {
		err := s.until(func() (bool, error) {
			c, err := police.consent(s.ctx, s.consent)
			if err != nil {
				return false, err
			}
			for _, h := range c.Holders {
				if h.Agency == x.a.id && h.Answer != nil && h.Answer.Outcome == x.want {
					return true, nil
				}
			}
			return false, nil
		}, "the answer of "+x.a.id+" did not reach "+police.id)
		if err != nil {
			return "", err
		}
	}
	return police.id + " sees: " + housing.id + " erased, " + ngo.id + " keeps its record of the decision", nil
}

// refuseAfterWithdrawal tries to use the consent once more, from both agencies that hold it.
func (s *story) refuseAfterWithdrawal(police, ngo, housing *demoAgency) (string, error) {
	again, err := example(ngo.id, func(doc, _ map[string]any) {
		delete(doc, "consent")
		doc["certificates"] = []string{s.consent}
	})
	if err != nil {
		return "", err
	}
	tries := []func() error{
		func() error {
			return police.call(s.ctx, "POST", "/v1/referrals", again, http.StatusAccepted, nil)
		},
		func() error { return s.passOn(ngo, housing, &s.under, nil) },
	}
	for _, try := range tries {
		err := try()
		var refused *refusal
		switch {
		case err == nil:
			return "", errors.New("a message was accepted under a consent that is withdrawn")
		case !errors.As(err, &refused) || refused.Code != "consent-withdrawn":
			return "", fmt.Errorf("refused, but for another reason: %w", err)
		}
	}
	return "refused at " + police.id + " and at " + ngo.id + ": consent-withdrawn", nil
}

// passOn refers a received referral on to another agency under the certificates that came with it.
func (s *story) passOn(from, to *demoAgency, m, into *demoMessage) error {
	body, err := json.Marshal(struct {
		To           string          `json:"to"`
		Thread       string          `json:"thread"`
		Certificates []string        `json:"certificates,omitempty"`
		Referral     json.RawMessage `json:"referral"`
	}{to.id, m.Thread, m.Certificates, m.Payload})
	if err != nil {
		return fmt.Errorf("encode referral: %w", err)
	}
	return from.call(s.ctx, "POST", "/v1/referrals", body, http.StatusAccepted, into)
}

// intelligence tells the police what the NGO knows, and brings the NGO word that it was used: in codes, without a detail of
// the operation.
func (s *story) intelligence(ngo, police, other *demoAgency) (string, error) {
	text, err := examples.Files.ReadFile("intelligence.json")
	if err != nil {
		return "", fmt.Errorf("read example: %w", err)
	}
	var feedback demoMessage
	told := &s.told
	if err := ngo.call(s.ctx, "POST", "/v1/messages", addressed(text, police.id), http.StatusAccepted, told); err != nil {
		return "", err
	}
	if _, err := s.receipt(ngo, told.ID); err != nil {
		return "", err
	}
	var refused *refusal
	err = ngo.call(s.ctx, "POST", "/v1/messages", addressed(text, other.id), http.StatusAccepted, nil)
	if !errors.As(err, &refused) || refused.Code != "role-kind" {
		return "", fmt.Errorf("intelligence to an agency that is not the police: %w", err)
	}
	answer := fmt.Appendf(nil, `{"to":%q,"reply_to":%q,"intelligence_feedback":{"use":"used","wants":["more-of-this-kind"]}}`, ngo.id, told.ID)
	if err := police.call(s.ctx, "POST", "/v1/messages", answer, http.StatusAccepted, &feedback); err != nil {
		return "", err
	}
	if _, err := s.inFolder(ngo, feedback.ID); err != nil {
		return "", err
	}
	return police.id + " has it, sanitised text apart from the source; " + ngo.id + " learned that it was used", nil
}
