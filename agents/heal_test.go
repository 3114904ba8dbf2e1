package agents_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"waypost/schemas/ledger"
)

// alarms are the codes of all alarms that an agent has raised and told.
func (m *member) alarms(t testing.TB) (out []string) {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(m.dir, "data", "evidence", "*", "told"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		name := filepath.Base(filepath.Dir(p))
		out = append(out, name[:strings.LastIndexByte(name, '-')])
	}
	return out
}

// caughtUp waits until an agent has found everything in the ledger.
func (m *member) caughtUp(t testing.TB) int64 {
	t.Helper()
	var l struct {
		Unproved int64 `json:"unproved"`
		Size     int64 `json:"records"`
	}
	eventually(t, m.id+" has found everything in the ledger", func() bool {
		code, _ := m.call(t, "GET", "/v1/ledger", nil, &l)
		return code == http.StatusOK && l.Unproved == 0 && l.Size > 0
	})
	return l.Size
}

// TestBrokerRestoreIsHealed: three agencies, a backup, more traffic: receipted, collected without a receipt, not collected at
// all. The broker is destroyed and restored from the backup. Everything that was accepted is with its recipient once, every
// receipt is there, the ledger is whole and says what happened, and nobody keeps an alarm that administrators explained.
func TestBrokerRestoreIsHealed(t *testing.T) {
	b, p, n, h := trio(t)
	all := []*member{p, n, h}
	for _, m := range all {
		m.halt(t)
		m.startWatchful(t)
	}
	sent := map[string]*member{}
	send := func(from, to *member, n int) (ids []string) {
		for range n {
			id := from.mustSubmit(t, to.id, nil).ID
			sent[id] = to
			ids = append(ids, id)
		}
		return ids
	}
	delivered := func(from *member, ids []string) {
		for _, id := range ids {
			from.waitState(t, id, "delivered")
		}
	}
	delivered(p, send(p, n, 3))
	delivered(n, send(n, h, 2))
	for _, m := range all {
		m.caughtUp(t)
	}
	dir := b.Backup(t)
	// Since the backup: receipted …
	receipted := append(send(p, n, 3), send(p, h, 2)...)
	delivered(p, receipted)
	// … collected, its receipt on the way …
	before := send(n, h, 2)
	delivered(n, before)
	// One that has not looked at the ledger since the backup learns of the restore by its messages alone: it sends them again,
	// but late and with an alarm.
	h.caughtUp(t)
	h.halt(t)
	// … and not collected: the recipient is away.
	away := send(p, h, 3)
	for _, id := range away {
		p.waitState(t, id, "published")
	}
	lost := max(p.caughtUp(t), n.caughtUp(t))
	b.Stop(t)
	b.Wipe(t)
	// While there is no broker, more is accepted.
	meanwhile := send(p, n, 2)
	ready := b.AwaitRestore(t)
	restored, err := b.Restore(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	ready()
	b.Publish(t)
	h.start(t)
	h.ready(t)
	delivered(p, receipted)
	delivered(p, away)
	delivered(p, meanwhile)
	eventually(t, "agents say that the ledger went back", func() bool { return len(p.alarms(t)) > 0 && len(n.alarms(t)) > 0 })
	if _, err := b.Authority.RecordRestored(t.Context(), b.URL(), int64(restored.Records), lost, "x"+restored.Root[1:]); err == nil {
		t.Error("a root that is not this ledger's was recorded")
	}
	if _, err := b.Authority.RecordRestored(t.Context(), b.URL(), int64(restored.Records), lost, restored.Root); err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		m.caughtUp(t)
	}
	// After it, things go on as ever.
	last := append(send(p, n, 1), send(p, h, 1)...)
	delivered(p, last)
	for id, to := range sent {
		if !to.files(t)[id] {
			t.Errorf("%s is not with its recipient", id)
		}
	}
	for _, m := range all {
		m.caughtUp(t)
		events := m.alarms(t)
		if got := strings.Join(events, " "); m != h && !strings.Contains(got, "ledger-restored") || strings.Contains(got, "ledger-omits") || strings.Contains(got, "ledger-contradicts") {
			t.Errorf("%s has %v", m.id, events)
		}
		var inbox struct {
			Items []struct {
				ID string `json:"id"`
			} `json:"items"`
		}
		m.call(t, "GET", "/v1/inbox?limit=500", nil, &inbox)
		want := 0
		for _, to := range sent {
			if to == m {
				want++
			}
		}
		if len(inbox.Items) != want {
			t.Errorf("%s has %d messages, want %d", m.id, len(inbox.Items), want)
		}
	}
	sum, found := verified(t, b, int64(2*len(sent)))
	broken(t, found, ledger.FindRestored, ledger.FindRepeat)
	if sum.Findings[ledger.FindRestored] != 1 {
		t.Errorf("the ledger does not say that it was restored: %v", sum.Findings)
	}
}

// TestLostAndWithdrawn: the broker is restored and has lost a referral that had arrived and whose consent was withdrawn since. It
// is not sent again, and the record accuses nobody: a tombstone under its number says so, signed by its sender. While no
// administrator says that there was a restore, the record is broken.
func TestLostAndWithdrawn(t *testing.T) {
	b, p, n, _ := trio(t)
	for _, m := range []*member{p, n} {
		m.halt(t)
		m.startWatchful(t)
	}
	first := p.mustSubmit(t, ngo, nil)
	p.waitState(t, first.ID, "delivered")
	p.caughtUp(t)
	dir := b.Backup(t)
	withdrawn := p.mustSubmit(t, ngo, nil)
	p.waitState(t, withdrawn.ID, "delivered")
	cert := p.out(t, withdrawn.ID).Certificates[0]
	p.must(t, cert, "withdraw", "")
	n.standing(t, cert, "withdrawn")
	stands := p.mustSubmit(t, ngo, nil)
	p.waitState(t, stands.ID, "delivered")
	lost := max(p.caughtUp(t), n.caughtUp(t))
	b.Stop(t)
	b.Wipe(t)
	ready := b.AwaitRestore(t)
	restored, err := b.Restore(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	ready()
	b.Publish(t)
	after := p.mustSubmit(t, ngo, nil)
	p.waitState(t, after.ID, "delivered")
	var unannounced, buried []ledger.Finding
	eventually(t, "everything is in the ledger again", func() bool {
		_, found := verified(t, b, 6)
		unannounced, buried = nil, nil
		for _, f := range found {
			switch {
			case f.Code == ledger.FindLostUnknown:
				unannounced = append(unannounced, f)
			case f.Code == ledger.FindLost:
				buried = append(buried, f)
			}
		}
		return len(buried) > 0
	})
	if len(buried) != 1 || buried[0].Message != withdrawn.ID || len(unannounced) != 1 || unannounced[0].Message != withdrawn.ID {
		t.Errorf("the ledger says that there were lost %v, and unannounced %v", buried, unannounced)
	}
	if _, err := b.Authority.RecordRestored(t.Context(), b.URL(), int64(restored.Records), lost, restored.Root); err != nil {
		t.Fatal(err)
	}
	p.caughtUp(t)
	sum, found := verified(t, b, 10)
	broken(t, found, ledger.FindRestored, ledger.FindRepeat, ledger.FindLost)
	if sum.Findings[ledger.FindLost] != 1 || sum.Findings[ledger.FindRestored] != 1 {
		t.Errorf("the ledger says %v", sum.Findings)
	}
	for _, m := range []*member{p, n} {
		if got := strings.Join(m.alarms(t), " "); strings.Contains(got, "ledger-omits") || strings.Contains(got, "ledger-contradicts") {
			t.Errorf("%s has %s", m.id, got)
		}
	}
	// What its sender knows of it is what it knew.
	if it := p.out(t, withdrawn.ID); it.State != "delivered" {
		t.Errorf("the withdrawn referral is now %q", it.State)
	}
}

// TestUnannouncedRollback: a broker goes back to an earlier state and nobody says why. What it lost is sent again all the same;
// the alarm stays.
func TestUnannouncedRollback(t *testing.T) {
	b, p, n, _ := trio(t)
	for _, m := range []*member{p, n} {
		m.halt(t)
		m.startWatchful(t)
	}
	first := p.mustSubmit(t, ngo, nil)
	p.waitState(t, first.ID, "delivered")
	p.caughtUp(t)
	dir := b.Backup(t)
	second := p.mustSubmit(t, ngo, nil)
	p.waitState(t, second.ID, "delivered")
	lost := p.caughtUp(t)
	n.caughtUp(t)
	b.Stop(t)
	b.Wipe(t)
	ready := b.AwaitRestore(t)
	restored, err := b.Restore(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	ready()
	b.Publish(t)
	third := p.mustSubmit(t, ngo, nil)
	p.waitState(t, third.ID, "delivered")
	went := func() bool {
		got := strings.Join(p.alarms(t), " ")
		return strings.Contains(got, "ledger-shrank") || strings.Contains(got, "ledger-fork")
	}
	eventually(t, "an alarm", went)
	_, found := verified(t, b, 6)
	broken(t, found, ledger.FindRepeat)
	// A statement about less than what this agency saw explains nothing.
	if _, err := b.Authority.RecordRestored(t.Context(), b.URL(), int64(restored.Records), int64(restored.Records), restored.Root); err != nil {
		t.Fatal(err)
	}
	sum, found := verified(t, b, 6)
	broken(t, found, ledger.FindRepeat, ledger.FindRestored)
	eventually(t, "the agent has read the statement", func() bool {
		return strings.Contains(p.log.String(), fmt.Sprintf("nothing in it explains why\" agency=%s known=%d records=%d", police, lost, sum.Records)) ||
			strings.Contains(strings.Join(p.alarms(t), " "), "ledger-restored")
	})
	if got := strings.Join(p.alarms(t), " "); strings.Contains(got, "ledger-restored") {
		t.Errorf("took it for explained: %s", got)
	}
}
