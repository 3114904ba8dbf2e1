//go:build linux

package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"waypost/agents/api"
	"waypost/broker/audit"
	"waypost/schemas"
	"waypost/schemas/ledger"
)

// settleWithin is how long everything accepted may take to arrive after the last fault was mended.
const settleWithin = 5 * time.Minute

// check reads all histories. It is called when nothing is broken and nothing is being submitted.
func (w *world) check() {
	w.t.Helper()
	all := w.history.all()
	began := time.Now()
	dead, withdrawn, back := deadThreads(all), 0, 0
	for i := range all {
		w.arrived(&all[i], dead[all[i].thread])
		if all[i].withdrawn {
			withdrawn++
		}
		if all[i].keptBack {
			back++
		}
	}
	w.t.Logf("all %d messages settled %v after the round; of %d whose consent went, %d were seen stopped before they were handed over",
		len(all), time.Since(began).Round(time.Millisecond), withdrawn, back)
	for _, a := range w.agencies {
		w.once(a, all)
		w.ordered(a)
	}
	w.ledgerVerifies(all)
}

// arrived waits until the sender knows that a message was delivered. One whose consent went may have been stopped anywhere,
// and that is known too.
func (w *world) arrived(m *message, dead bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), settleWithin)
	defer cancel()
	state, hold := "unknown", ""
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if d, err := w.agency(m.from).client.Message(ctx, m.id); err == nil {
			state, hold = d.State, d.Hold
		}
		if state == "delivered" || dead && slices.Contains([]string{"void", "stopped", "rejected", "quarantined"}, state) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			w.t.Fatalf("%s (%s) from %s to %s is %q (hold %q) at its sender, %v after everything was mended\n%s", m.reference, m.id, m.from, m.to, state, hold, settleWithin, w.history.of(m.thread))
		}
	}
}

// deadThreads are those whose consent was withdrawn, or is being.
func deadThreads(all []message) map[string]bool {
	dead := map[string]bool{}
	for i := range all {
		if all[i].withdrawn {
			dead[all[i].thread] = true
		}
	}
	return dead
}

// once looks into the folder of an agency's own system: what was accepted for it is there, nothing is there twice, and what had
// not appeared when it was stopped has not appeared since.
func (w *world) once(a *agency, all []message) {
	w.t.Helper()
	files, err := os.ReadDir(a.sink)
	if err != nil {
		w.t.Fatal(err)
	}
	type content struct {
		Kind    schemas.Kind
		ReplyTo string `json:"reply_to"`
		Payload struct{ Reference string }
	}
	at := map[string]string{} // what it says it is → file
	present := map[string]bool{}
	for _, f := range files {
		id, ok := strings.CutSuffix(f.Name(), ".json")
		if !ok {
			continue // being written when its writer died; swept at the next start
		}
		text, err := os.ReadFile(filepath.Join(a.sink, f.Name()))
		if err != nil {
			w.t.Fatal(err)
		}
		var c content
		if err := json.Unmarshal(text, &c); err != nil {
			w.t.Errorf("%s: half a file in the folder: %s", a.id, id)
			continue
		}
		present[id] = true
		key := ""
		switch c.Kind {
		case schemas.KindReferral:
			key = c.Payload.Reference
		case schemas.KindReferralResponse:
			key = "answer-" + c.ReplyTo
		default:
			continue
		}
		if other, twice := at[key]; twice {
			w.t.Errorf("%s: %s is in the folder twice, as %s and as %s", a.id, key, other, id)
		}
		at[key] = id
	}
	dead := deadThreads(all)
	for i := range all {
		m := &all[i]
		if m.to == a.id && !present[m.id] && !dead[m.thread] {
			w.t.Errorf("%s was accepted as %s and is not in the folder of %s\n%s", m.reference, m.id, a.id, w.history.of(m.thread))
		}
		if m.to == a.id && !present[m.id] && m.withdrawn && !m.keptBack {
			w.noteStopped(w.t.Context(), a, m) // for the rounds to come
		}
		if m.to == a.id && present[m.id] && m.keptBack && !a.overtaken() {
			w.t.Errorf("%s (%s) appeared in the folder of %s after it was stopped\n%s", m.reference, m.id, a.id, w.history.of(m.thread))
		}
	}
}

// overtaken tells whether an agent was stopped (SIGSTOP) for so long in the middle of a hand-over that a withdrawal did not wait for
// it; it says so itself, and SECURITY.md does.
func (a *agency) overtaken() bool {
	text, err := os.ReadFile(a.log.Name())
	return err == nil && strings.Contains(string(text), "code=sink-overtaken")
}

// ordered: no message twice in the inbox, and within a thread the numbers of a pair and lane rise.
func (w *world) ordered(a *agency) {
	w.t.Helper()
	var inbox []api.Item
	for before := int64(0); ; {
		page, err := a.client.Inbox(w.t.Context(), false, 200, before)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		inbox = append(inbox, page...)
		before = page[len(page)-1].N
	}
	type line struct {
		from, thread string
		lane         schemas.Lane
	}
	later, seen := map[line]uint64{}, map[string]bool{}
	for _, it := range inbox { // newest first
		if seen[it.ID] {
			w.t.Errorf("%s: %s is in the inbox twice", a.id, it.ID)
		}
		seen[it.ID] = true
		l := line{it.From, it.Thread, it.Lane}
		if n, ok := later[l]; ok && it.Seq >= n {
			w.t.Errorf("%s: number %d of %s came before number %d, in one thread\n%s", a.id, it.Seq, it.From, n, w.history.of(it.Thread))
		}
		later[l] = it.Seq
	}
}

// ledgerVerifies reads the whole record until the notary has come as far as the messages. Every message that was delivered
// must be in it.
func (w *world) ledgerVerifies(all []message) {
	w.t.Helper()
	var said []string // what each attempt came to
	verify := func(ctx context.Context) (whole bool, result string) {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		live, err := audit.Open(ctx, strings.Join(w.urls, ","), filepath.Join(w.dir, "network", "keys", "auditor.creds"), "")
		if err != nil {
			return false, err.Error()
		}
		defer live.Close()
		var findings []string
		sum, err := ledger.Verify(ctx, live, ledger.Options{Root: w.authority.Root(), Quorum: 1, Found: func(f ledger.Finding) { findings = append(findings, f.Text()) }})
		if err != nil {
			return false, err.Error()
		}
		return sum.Clean() && sum.Records >= int64(len(all)), fmt.Sprintf("%d records; %s", sum.Records, strings.Join(findings, "; "))
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), settleWithin)
	defer cancel()
	for {
		whole, result := verify(ctx)
		if said = append(said, result); whole {
			break
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			w.t.Fatalf("the ledger does not verify:\n%s\n%s", strings.Join(said, "\n"), w.history.faults())
		}
	}
	w.t.Logf("ledger: %s", said[len(said)-1])
}
