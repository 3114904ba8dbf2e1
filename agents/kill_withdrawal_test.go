//go:build unix

package agents_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"waypost/broker/brokertest"
)

// TestKilledWhileWithdrawing kills both agents around every commit of withdrawals and answers. At the end each consent is
// withdrawn at both, was told once, was answered, and nothing under it can be read at the recipient.
func TestKilledWhileWithdrawing(t *testing.T) {
	t.Parallel()
	s := *seed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d (repeat with -seed %d)", s, s)
	random := rand.New(rand.NewPCG(s, 2))
	b := brokertest.Start(t)
	from, to := enrolled(t, b, police, "police", ""), enrolled(t, b, ngo, "ngo", "")
	agreeAll(t, b, police, ngo)
	start := func(m *member) *process {
		log, err := os.Create(filepath.Join(t.TempDir(), "log"))
		if err != nil {
			t.Fatal(err)
		}
		p := &process{m: m, t: t, log: log}
		p.start("")
		t.Cleanup(func() {
			p.kill()
			log.Close()
			if text, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
				t.Logf("log of %s, its end:\n%s", m.id, text[max(0, len(text)-4000):])
			}
		})
		return p
	}
	sender, holder := start(from), start(to)
	for _, p := range []*process{sender, holder} {
		p.member().ready(t)
	}
	var sent []accepted
	certs := map[string]string{} // message → certificate
	for range 8 {
		sent = append(sent, sender.member().mustSubmit(t, ngo, nil))
	}
	for _, a := range sent {
		sender.member().waitState(t, a.ID, "delivered")
		certs[a.ID] = holder.member().in(t, a.ID).Certificates[0]
	}
	again := func(p *process, do func(m *member) int) {
		t.Helper()
		eventually(t, "answer of "+p.m.id, func() bool { return do(p.member()) == 200 })
	}
	kill := func() {
		for _, p := range []*process{sender, holder} {
			p.kill()
			p.start(fmt.Sprintf("%s:%d", []string{"before", "after"}[random.IntN(2)], 1+random.IntN(8)))
		}
	}
	for i, a := range sent {
		cert := certs[a.ID]
		kill()
		// Whoever dies is started again by the next kill; the call is repeated as an agency's system would.
		for done := false; !done; {
			code, _ := sender.member().call(t, "POST", "/v1/consents/"+cert+"/withdraw", nil, nil)
			if done = code == 200; !done {
				kill()
			}
		}
		if i%2 == 0 {
			kill()
		}
	}
	for _, p := range []*process{sender, holder} {
		p.kill()
		p.start("")
		p.member().ready(t)
	}
	for _, a := range sent {
		cert := certs[a.ID]
		holder.member().standing(t, cert, "withdrawn")
		again(holder, func(m *member) int {
			code, _ := m.call(t, "POST", "/v1/consents/"+cert+"/answer", []byte(`{"outcome":"erased"}`), nil)
			return code
		})
	}
	for _, a := range sent {
		cert := certs[a.ID]
		eventually(t, "answer seen", func() bool { return sender.member().consent(t, cert).row(ngo) == "answered:erased" })
		if n := len(holder.member().consent(t, cert).Duties); n != 1 {
			t.Errorf("%d duties for one withdrawal", n)
		}
		if len(holder.member().in(t, a.ID).Payload) != 0 {
			t.Error("can still be read")
		}
	}
	told := 0
	for _, it := range sender.member().outbox(t) {
		if it.Kind == "consent-withdrawal" {
			told++
		}
	}
	if told != len(sent) {
		t.Errorf("%d withdrawals were told %d times", len(sent), told)
	}
}
