package agents_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"waypost/agents/store"
	"waypost/agents/vault"
	"waypost/broker/brokertest"
	"waypost/schemas"
	"waypost/schemas/envelope"
	"waypost/schemas/ledger"
)

// witnessed is a network of three whose agents look at the ledger often.
func witnessed(t *testing.T, more string) (b *brokertest.Broker, p, n, h *member) {
	t.Helper()
	b = brokertest.Start(t)
	p, n, h = enrolled(t, b, police, "police", ""), enrolled(t, b, ngo, "ngo", ""), enrolled(t, b, housing, "support-provider", "")
	agreeAll(t, b, police, ngo)
	agreeAll(t, b, ngo, housing)
	for _, m := range []*member{p, n, h} {
		text, err := os.ReadFile(m.config)
		if err != nil {
			t.Fatal(err)
		}
		write(t, m.config, "ledger: {every: 100ms}\n"+more+string(text))
		st := m.openStore(t)
		err = st.Update(t.Context(), func(tx *store.Tx) error {
			if err := tx.RemoveToken("test"); err != nil {
				return err
			}
			return tx.AddToken("test", m.token, []string{"send", "respond", "read", "admin", "custody"}, time.Now())
		})
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		m.start(t)
	}
	for _, m := range []*member{p, n, h} {
		m.ready(t)
	}
	return b, p, n, h
}

// proved waits until a member has found all its messages in the ledger.
func (m *member) proved(t *testing.T) {
	t.Helper()
	eventually(t, m.id+" finds its messages in the ledger", func() bool {
		var st struct {
			Records  int64    `json:"records"`
			Unproved int64    `json:"unproved"`
			Evidence []string `json:"evidence"`
		}
		if m.call(t, "GET", "/v1/ledger", nil, &st); len(st.Evidence) > 0 {
			t.Fatalf("%s raised alarms: %v", m.id, st.Evidence)
		}
		return st.Records > 0 && st.Unproved == 0
	})
}

// TestDisclose: one message's key, with a proof that holds for whoever has the root's public key, opens that message and no
// other; and the ledger holds that it was disclosed.
func TestDisclose(t *testing.T) {
	t.Parallel()
	b, p, n, _ := witnessed(t, "")
	sent, other := p.mustSubmit(t, ngo, nil), p.mustSubmit(t, ngo, nil)
	p.waitState(t, sent.ID, "delivered")
	p.waitState(t, other.ID, "delivered")
	p.proved(t)
	n.proved(t)
	root := b.Authority.Root()
	for _, m := range []*member{p, n} { // whoever sent it, and whoever got it
		var d, second ledger.Disclosure
		eventually(t, "disclosure", func() bool {
			code, _ := m.call(t, "POST", "/v1/messages/"+sent.ID+"/disclose", nil, &d)
			return code == http.StatusOK
		})
		ev, env, key, err := d.Check(root, 1)
		if err != nil {
			t.Fatal(err)
		}
		if ev.Manifest.ID != sent.ID || env.Manifest.ID != sent.ID {
			t.Error("another message was disclosed")
		}
		plain, err := vault.OpenDisclosed(sent.ID, env.Body, key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := envelope.DecodeBody(plain, env.Manifest.Header()); err != nil {
			t.Error(err)
		}
		eventually(t, "second disclosure", func() bool {
			code, _ := m.call(t, "POST", "/v1/messages/"+other.ID+"/disclose", nil, &second)
			return code == http.StatusOK
		})
		raw, err := base64.StdEncoding.DecodeString(second.Envelope)
		if err != nil {
			t.Fatal(err)
		}
		next, err := envelope.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := vault.OpenDisclosed(other.ID, next.Body, key); err == nil {
			t.Error("the key of one message opens another")
		}
		// The key of one under the proof of the other is refused.
		mixed := d
		mixed.Envelope = second.Envelope
		if _, _, _, err := mixed.Check(root, 1); err == nil {
			t.Error("a proof of another message was accepted")
		}
	}
	if code, pr := n.call(t, "POST", "/v1/messages/"+schemas.NewMessageID()+"/disclose", nil, nil); code != http.StatusNotFound {
		t.Errorf("an unknown message: %d %+v", code, pr)
	}
	acts(t, b, ledger.ActDisclosed, 4)
}

// acts waits until the ledger holds so many acts of a kind.
func acts(t *testing.T, b *brokertest.Broker, kind ledger.ActKind, want int) (found []*ledger.Act) {
	t.Helper()
	s, err := b.JetStream(t).Stream(t.Context(), "LEDGER")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "acts in the ledger", func() bool {
		found = nil
		info, err := s.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for seq := uint64(1); seq <= info.State.LastSeq; seq++ {
			m, err := s.GetMsg(t.Context(), seq)
			if err != nil {
				t.Fatal(err)
			}
			r, err := ledger.ParseRecord(m.Data)
			if err != nil {
				t.Fatal(err)
			}
			if r.Kind != ledger.KindAct {
				continue
			}
			a, err := ledger.VerifyAct(r.Note, b.Authority.Root(), b.Authority.View())
			if err != nil {
				t.Fatal(err)
			}
			if a.Act == kind {
				found = append(found, a)
			}
		}
		return len(found) >= want
	})
	if len(found) != want {
		t.Errorf("%d acts %s, want %d", len(found), kind, want)
	}
	return found
}

// TestErase: after an erasure neither the agent's files nor the broker's hold the ciphertext, nothing else is gone, and the
// ledger says so.
func TestErase(t *testing.T) {
	t.Parallel()
	b, p, n, _ := witnessed(t, "")
	sent, stays := p.mustSubmit(t, ngo, nil), p.mustSubmit(t, ngo, nil)
	p.waitState(t, sent.ID, "delivered")
	p.waitState(t, stays.ID, "delivered")
	n.proved(t)
	cipher := func(id string) []byte {
		st := n.openStore(t)
		defer st.Close()
		in, err := st.Incoming(context.Background(), ngo, id)
		if err != nil {
			t.Fatal(err)
		}
		return in.Body
	}
	gone, kept := cipher(sent.ID), cipher(stays.ID)
	var e struct {
		Messages int64 `json:"messages"`
		Recorded bool  `json:"recorded"`
		Broker   int   `json:"broker_deleted"`
	}
	if code, pr := n.call(t, "POST", "/v1/threads/"+sent.Thread+"/erase", nil, &e); code != http.StatusOK || e.Messages != 1 || !e.Recorded || e.Broker != 1 {
		t.Fatalf("erase: %d %+v %+v", code, pr, e)
	}
	if a := acts(t, b, ledger.ActErased, 1); a[0].Thread != sent.Thread || a[0].By != ngo || a[0].Count != 1 {
		t.Errorf("recorded %+v", a[0])
	}
	// Again: nothing is left, and that is no error.
	if code, _ := n.call(t, "POST", "/v1/threads/"+sent.Thread+"/erase", nil, &e); code != http.StatusOK || e.Messages != 0 {
		t.Errorf("erase again: %d, %d messages", code, e.Messages)
	}
	if code, _ := n.call(t, "POST", "/v1/threads/"+schemas.NewThreadID()+"/erase", nil, nil); code != http.StatusNotFound {
		t.Errorf("erase an unknown thread: %d", code)
	}
	var held struct {
		Withheld string `json:"withheld"`
	}
	if n.call(t, "GET", "/v1/inbox/"+sent.ID, nil, &held); held.Withheld != "erased" {
		t.Errorf("withheld %q", held.Withheld)
	}
	if code, _ := n.call(t, "POST", "/v1/messages/"+sent.ID+"/disclose", nil, nil); code != http.StatusGone {
		t.Errorf("an erased message was disclosed: %d", code)
	}
	n.halt(t)
	b.Stop(t)
	middle := len(gone) / 2
	places := map[string]string{"agent": filepath.Join(n.dir, "data"), "broker": b.Data()}
	if everywherePostgres != nil {
		delete(places, "agent") // PostgreSQL overwrites what is freed when it is used again, not at once (SECURITY.md)
	}
	for where, dir := range places {
		if contains(t, dir, gone[middle:middle+64]) {
			t.Errorf("the %s still holds what was erased", where)
		}
		if !contains(t, dir, kept[middle:middle+64]) {
			t.Errorf("the %s no longer holds what was not erased: this test sees nothing", where)
		}
	}
}

func contains(t *testing.T, dir string, what []byte) (found bool) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		found = found || bytes.Contains(raw, what)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestEraseUnderWay: what has not arrived is not erased.
func TestEraseUnderWay(t *testing.T) {
	t.Parallel()
	b, p, n, _ := witnessed(t, "")
	n.halt(t)
	sent := p.mustSubmit(t, ngo, nil)
	p.waitState(t, sent.ID, "published")
	if code, pr := p.call(t, "POST", "/v1/threads/"+sent.Thread+"/erase", nil, nil); code != http.StatusUnprocessableEntity || pr.Code != "thread-under-way" {
		t.Errorf("erased what nobody has collected: %d %+v", code, pr)
	}
	b.Stop(t)
	later := p.mustSubmit(t, ngo, nil)
	if code, pr := p.call(t, "POST", "/v1/threads/"+later.Thread+"/erase", nil, nil); code != http.StatusUnprocessableEntity || pr.Code != "thread-under-way" {
		t.Errorf("erased what was not sent: %d %+v", code, pr)
	}
	if code, pr := p.call(t, "POST", "/v1/messages/"+sent.ID+"/disclose", nil, nil); code != http.StatusServiceUnavailable || pr.Code != "broker-unreachable" {
		t.Errorf("disclose without a broker: %d %+v", code, pr)
	}
}

// TestRedriveAndRedelivery: a system that lost what it had gets it again, for its own agency's asking or an administrator's;
// no receipt goes out again, and what was erased does not come back.
func TestRedriveAndRedelivery(t *testing.T) {
	t.Parallel()
	b, p, n, h := witnessed(t, "on_redelivery: accept\n")
	began := time.Now().Add(-time.Minute)
	sent, erased := p.mustSubmit(t, ngo, nil), p.mustSubmit(t, ngo, nil)
	p.waitState(t, sent.ID, "delivered")
	p.waitState(t, erased.ID, "delivered")
	n.proved(t)
	eventually(t, "erase", func() bool {
		code, _ := n.call(t, "POST", "/v1/threads/"+erased.Thread+"/erase", nil, nil)
		return code == http.StatusOK
	})
	receipts := b.Stored(t, schemas.LaneReceipt, "mail.receipt.>")
	lose := func() {
		// In one step: the agent may be writing there.
		intake := filepath.Join(n.dir, "systems", "intake")
		if err := os.Rename(intake, filepath.Join(t.TempDir(), "lost")); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(intake, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	lose()
	if code, _ := n.call(t, "POST", "/v1/sinks/nobody/redrive?since="+began.UTC().Format(time.RFC3339), nil, nil); code != http.StatusNotFound {
		t.Errorf("an unknown sink: %d", code)
	}
	if code, pr := n.call(t, "POST", "/v1/sinks/folder/redrive?since=2999-01-01T00:00:00Z", nil, nil); code != http.StatusUnprocessableEntity {
		t.Errorf("a time in the future: %d %+v", code, pr)
	}
	if code, pr := n.call(t, "POST", "/v1/sinks/folder/redrive?since="+began.UTC().Format(time.RFC3339), nil, nil); code != http.StatusOK {
		t.Fatalf("redrive: %d %+v", code, pr)
	}
	eventually(t, "the message is there again", func() bool { return n.files(t)[sent.ID] })
	lose()
	id, err := b.Authority.AskRedelivery(t.Context(), b.URL(), ngo, began)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the message is there again, as an administrator asked", func() bool { return n.files(t)[sent.ID] })
	if a := acts(t, b, ledger.ActRedelivers, 1); a[0].Answers != id || a[0].By != ngo || a[0].Count < 1 {
		t.Errorf("answered %+v", a[0])
	}
	if n.files(t)[erased.ID] {
		t.Error("what was erased was handed over again")
	}
	if got := b.Stored(t, schemas.LaneReceipt, "mail.receipt.>"); got != receipts {
		t.Errorf("%d receipts, were %d", got, receipts)
	}
	if h.files(t)[sent.ID] || p.files(t)[sent.ID] {
		t.Error("somebody else was asked too")
	}
	if _, err := b.Authority.AskRedelivery(t.Context(), b.URL(), "nobody-known", began); err == nil {
		t.Error("asked an agency that is not there")
	}
}

// TestRedeliveryRefused: the agency's policy decides.
func TestRedeliveryRefused(t *testing.T) {
	t.Parallel()
	b, _, n, h := witnessed(t, "on_redelivery: ask\n")
	id, err := b.Authority.AskRedelivery(t.Context(), b.URL(), ngo, time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Items []struct {
			ID      string     `json:"id"`
			Decided *time.Time `json:"decided"`
			Outcome string     `json:"outcome"`
		} `json:"items"`
	}
	eventually(t, "request arrives", func() bool { n.call(t, "GET", "/v1/redeliveries", nil, &list); return len(list.Items) == 1 })
	if list.Items[0].ID != id || list.Items[0].Decided != nil {
		t.Errorf("%+v", list.Items)
	}
	if code, _ := n.call(t, "POST", "/v1/redeliveries/"+id+"/refuse", nil, nil); code != http.StatusOK {
		t.Fatalf("refuse: %d", code)
	}
	if code, pr := n.call(t, "POST", "/v1/redeliveries/"+id+"/accept", nil, nil); code != http.StatusConflict || pr.Code != "decided-before" {
		t.Errorf("decided twice: %d %+v", code, pr)
	}
	if a := acts(t, b, ledger.ActRefuses, 1); a[0].Answers != id {
		t.Errorf("answered %+v", a[0])
	}
	h.call(t, "GET", "/v1/redeliveries", nil, &list)
	if len(list.Items) != 0 {
		t.Error("another agency was asked")
	}
}

// TestDroppedByBroker: a message that the broker acknowledged and then lost before anybody had it is noticed by its sender.
func TestDroppedByBroker(t *testing.T) {
	t.Parallel()
	b, p, n, _ := witnessed(t, "")
	n.halt(t)
	p.halt(t)
	text, err := os.ReadFile(p.config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, p.config, string(bytes.Replace(text, []byte("ledger: {every: 100ms}"), []byte("ledger: {every: 100ms, missing_after: 1s}"), 1)))
	p.start(t)
	p.ready(t)
	// What an operator would do: record another message in its place is impossible without the sender's key, so drop it.
	sent := p.mustSubmit(t, ngo, nil)
	p.waitState(t, sent.ID, "published")
	p.proved(t)
	// The ledger is rewritten without it: a broker whose data folder was put back.
	st := p.openStore(t)
	defer st.Close()
	raw, err := st.Checkpoint(t.Context())
	if err != nil || raw == nil {
		t.Fatalf("no checkpoint: %v", err)
	}
	js := b.JetStream(t)
	for _, name := range []string{"LEDGER", "CHECKPOINTS", "MAIL_URGENT"} {
		if err := js.DeleteStream(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	b.Restart(t)
	eventually(t, "an alarm", func() bool {
		var l struct {
			Evidence []string `json:"evidence"`
		}
		p.call(t, "GET", "/v1/ledger", nil, &l)
		return len(l.Evidence) > 0
	})
	found, err := filepath.Glob(filepath.Join(p.dir, "data", "evidence", "*", "README.txt"))
	if err != nil || len(found) == 0 {
		t.Errorf("no evidence on disk: %v", err)
	}
}
