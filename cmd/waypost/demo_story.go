package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"waypost/deploy/examples"
)

// story plays the demo. Every step goes through the agents' HTTP APIs, as an agency's own system would; only the forger of
// the last step speaks NATS.
type story struct {
	ctx        context.Context
	net        *demoNetwork
	out        *demoOutput
	submission []byte

	referral  demoMessage // as the police sent it
	forwarded demoMessage // as the NGO passed it on

	consent string // the certificate that is withdrawn
	under   demoMessage

	told demoMessage // the intelligence, which is erased in the end
}

type demoMessage struct {
	ID           string          `json:"id"`
	Thread       string          `json:"thread"`
	State        string          `json:"state"`
	Lane         string          `json:"lane"`
	ReceiptCode  string          `json:"receipt_code"`
	Certificates []string        `json:"certificates"`
	Payload      json.RawMessage `json:"payload"`
}

// patience is how long a step waits for the other side before it counts as failed.
const patience = 20 * time.Second

func (s *story) play() {
	police, ngo, housing := s.net.agencies[0], s.net.agencies[1], s.net.agencies[2]
	s.out.say("\n%s refers a survivor to %s, who refers on to %s:\n", police.name, ngo.name, housing.name)
	sent := s.step("refer", func() (string, error) { return s.refer(police, ngo) })
	s.after(sent, "deliver", func() (string, error) { return s.inFolder(ngo, s.referral.ID) })
	s.after(sent, "webhook", func() (string, error) { return s.atHook(ngo, s.referral.ID) })
	received := s.after(sent, "receipt", func() (string, error) { return s.receipt(police, s.referral.ID) })
	s.after(received, "accept", func() (string, error) { return s.accept(ngo, police) })
	s.after(received, "forward", func() (string, error) { return s.forward(ngo, housing) })
	s.step("minimise", func() (string, error) { return s.minimise(police, ngo) })
	withdrawn := s.after(sent, "withdraw", func() (string, error) { return s.withdraw(police, ngo, housing) })
	s.after(withdrawn, "withdrawal-outcomes", func() (string, error) { return s.withdrawalOutcomes(police, ngo, housing) })
	s.after(withdrawn, "refuse-after-withdrawal", func() (string, error) { return s.refuseAfterWithdrawal(police, ngo, housing) })
	told := s.step("intelligence", func() (string, error) { return s.intelligence(ngo, police, housing) })
	s.step("refuse-uncovered", func() (string, error) { return s.refuseUncovered(police, ngo, housing) })
	s.after(sent, "quarantine-tampered", func() (string, error) { return s.quarantineTampered(police, ngo) })
	s.audit(sent, received, told, police, ngo, housing)
	s.out.say("")
}

func (s *story) step(name string, f func() (string, error)) bool {
	start := time.Now()
	detail, err := f()
	if s.ctx.Err() != nil {
		return false // Ctrl-C is not a failed step
	}
	s.out.step(name, time.Since(start), detail, err)
	return err == nil
}

func (s *story) after(before bool, name string, f func() (string, error)) bool {
	return s.step(name, func() (string, error) {
		if !before {
			return "", errors.New("not tried: an earlier step that it stands on failed")
		}
		return f()
	})
}

func (s *story) refer(from, to *demoAgency) (string, error) {
	body := s.submission
	var doc map[string]json.RawMessage
	// A file that is not even a JSON object goes to the agent as it is: its refusal is the point.
	if json.Unmarshal(body, &doc) == nil {
		if _, ok := doc["to"]; !ok {
			body = addressed(body, to.id)
		}
	}
	if err := from.call(s.ctx, "POST", "/v1/referrals", body, http.StatusAccepted, &s.referral); err != nil {
		return "", err
	}
	return "sealed, signed and on disk at " + from.id + ", answer due by the response clock", nil
}

func (s *story) inFolder(a *demoAgency, id string) (string, error) {
	err := s.until(func() (bool, error) {
		found := false
		err := filepath.WalkDir(filepath.Join(a.systems, "folder"), func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".json") || !strings.Contains(d.Name(), id) {
				return err
			}
			found = true
			return filepath.SkipAll
		})
		return found, err
	}, "nothing arrived in the folder of "+a.id)
	return "a JSON file in the folder of " + a.id, err
}

func (s *story) atHook(a *demoAgency, id string) (string, error) {
	err := s.until(func() (bool, error) { return a.hook.got(id), nil }, "the webhook of "+a.id+" was not called")
	return "signed and verified at the webhook of " + a.id, err
}

func (s *story) receipt(a *demoAgency, id string) (string, error) {
	err := s.until(func() (bool, error) {
		var m demoMessage
		if err := a.call(s.ctx, "GET", "/v1/outbox/"+id, nil, http.StatusOK, &m); err != nil {
			return false, err
		}
		s.referral.Lane = m.Lane
		switch m.State {
		case "delivered":
			return true, nil
		case "quarantined", "rejected":
			return false, fmt.Errorf("the recipient answered %s: %s", m.State, m.ReceiptCode)
		}
		return false, nil
	}, "no receipt came back to "+a.id)
	return "signed receipt `delivered` back at " + a.id, err
}

func (s *story) accept(from, to *demoAgency) (string, error) {
	response, err := examples.Files.ReadFile("response-accepted.json")
	if err != nil {
		return "", fmt.Errorf("read example: %w", err)
	}
	var m demoMessage
	if err := from.call(s.ctx, "POST", "/v1/inbox/"+s.referral.ID+"/responses", response, http.StatusAccepted, &m); err != nil {
		return "", err
	}
	if _, err := s.inFolder(to, m.ID); err != nil {
		return "", err
	}
	return from.id + " accepted, and " + to.id + " knows", nil
}

// forward reads the referral as the NGO's system would and refers on under the survivor's own certificate.
func (s *story) forward(from, to *demoAgency) (string, error) {
	var m demoMessage
	if err := from.call(s.ctx, "GET", "/v1/inbox/"+s.referral.ID, nil, http.StatusOK, &m); err != nil {
		return "", err
	}
	if err := s.passOn(from, to, &m, &s.forwarded); err != nil {
		return "", err
	}
	if _, err := s.inFolder(to, s.forwarded.ID); err != nil {
		return "", err
	}
	if _, err := s.receipt(from, s.forwarded.ID); err != nil {
		return "", err
	}
	return "referred on to " + to.id + " under the same consent, receipt back", nil
}

// refuseUncovered takes the same referral with a consent that names the NGO only, and tries to send it to the housing
// provider all the same.
func (s *story) refuseUncovered(from, named, other *demoAgency) (string, error) {
	body, err := example(other.id, func(_, consent map[string]any) {
		consent["recipients"] = map[string]any{"agencies": []string{named.id}}
	})
	if err != nil {
		return "", err
	}
	err = from.call(s.ctx, "POST", "/v1/referrals", body, http.StatusAccepted, nil)
	var refused *refusal
	switch {
	case err == nil:
		return "", errors.New("the referral was accepted although the consent does not cover its recipient")
	case errors.As(err, &refused) && refused.Code == "consent-recipient":
		return "refused: " + refused.Code + ", nothing left " + from.id, nil
	}
	return "", fmt.Errorf("refused, but for another reason: %w", err)
}

// quarantineTampered plays a forger who holds the police's broker credentials but not its signing key: one byte of a real
// envelope is changed and published as the police.
func (s *story) quarantineTampered(police, ngo *demoAgency) (string, error) {
	raw, err := s.net.envelope(s.ctx, s.referral.Lane, ngo.id, police.id)
	if err != nil {
		return "", err
	}
	before, err := s.quarantined(ngo)
	if err != nil {
		return "", err
	}
	// Another thread, so that the referral would appear to belong to somebody else; the signature no longer fits.
	at := bytes.Index(raw, []byte(`"thread":"`)) + len(`"thread":"`)
	if raw[at] == '0' {
		raw[at] = '1'
	} else {
		raw[at] = '0'
	}
	nc, err := nats.Connect(s.net.broker.URL(), nats.UserCredentials(police.creds), nats.CustomInboxPrefix("_INBOX_"+police.id))
	if err != nil {
		return "", fmt.Errorf("connect as forger: %w", err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return "", fmt.Errorf("connect as forger: %w", err)
	}
	if _, err := js.Publish(s.ctx, "mail."+s.referral.Lane+"."+ngo.id+"."+police.id, raw); err != nil {
		return "", fmt.Errorf("publish forgery: %w", err)
	}
	code := ""
	err = s.until(func() (bool, error) {
		rows, err := s.quarantined(ngo)
		if err != nil || len(rows) == 0 || len(before) > 0 && rows[0].N == before[0].N {
			return false, err
		}
		code = rows[0].Code
		return true, nil
	}, "the forged envelope did not reach the quarantine of "+ngo.id)
	if err == nil && code != "bad-signature" {
		err = fmt.Errorf("quarantined, but as %s", code)
	}
	return "forged envelope in quarantine at " + ngo.id + ": " + code, err
}

type quarantineRow struct {
	N    int64  `json:"n"`
	Code string `json:"code"`
}

func (s *story) quarantined(a *demoAgency) ([]quarantineRow, error) {
	var page struct {
		Items []quarantineRow `json:"items"`
	}
	err := a.call(s.ctx, "GET", "/v1/quarantine", nil, http.StatusOK, &page)
	return page.Items, err
}

// until asks again every few milliseconds.
func (s *story) until(done func() (bool, error), otherwise string) error {
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.New(otherwise)
		case <-tick.C:
		}
	}
}

// refusal is a problem document (RFC 9457).
type refusal struct {
	Code     string `json:"code"`
	Detail   string `json:"detail"`
	Problems []struct {
		Path string `json:"path"`
		Rule string `json:"rule"`
	} `json:"problems"`
}

func (r *refusal) Error() string {
	text := r.Code + ": " + r.Detail
	for _, p := range r.Problems {
		text += " [" + p.Path + " " + p.Rule + "]"
	}
	return text
}

// call speaks to an agent's API as any system would.
func (a *demoAgency) call(ctx context.Context, method, path string, body []byte, want int, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, a.url+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("call agent: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("call agent: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return fmt.Errorf("call agent: %w", err)
	}
	if resp.StatusCode != want {
		r := &refusal{Code: fmt.Sprintf("http-%d", resp.StatusCode)}
		_ = json.Unmarshal(text, r)
		return r
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(text, into)
}
