//go:build linux

package faults

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"waypost/schemas"
)

// history is what the world was told and what was done to it.
type history struct {
	mu       sync.Mutex
	messages []*message
	byID     map[string]*message
	answers  map[string]bool // referrals that have an answer
	events   []event
	round    int
}

type event struct {
	at     time.Time
	round  int
	thread string // empty: a fault
	text   string
}

func (h *history) note(thread, format string, args ...any) {
	h.events = append(h.events, event{time.Now(), h.round, thread, fmt.Sprintf(format, args...)})
}

func (h *history) fault(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.note("", format, args...)
}

func (h *history) begin(round int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.round = round
}

func (h *history) accepted(m *message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byID == nil {
		h.byID, h.answers = map[string]*message{}, map[string]bool{}
	}
	if m.replyTo != "" {
		h.answers[m.replyTo] = true
	}
	if h.byID[m.id] != nil {
		return // a repeated answer to a repeated call
	}
	h.messages, h.byID[m.id] = append(h.messages, m), m
	h.note(m.thread, "%s: %s accepted %s (%s) for %s", m.reference, m.from, m.id, m.kind, m.to)
}

func (h *history) given(referral string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.answers[referral]
}

func (h *history) isWithdrawn(id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.byID[id]
	return m == nil || m.withdrawn
}

func (h *history) withdrew(m *message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	m.withdrawn = true
	h.note(m.thread, "%s: %s withdraws the consent", m.reference, m.from)
}

// keptBack notes that a recipient had stopped m, and its own system did not have it.
func (h *history) keptBack(m *message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.byID[m.id].keptBack = true
	h.note(m.thread, "%s: %s has stopped it, and it is not in the folder", m.reference, m.to)
}

// some is a recent referral of an agency whose consent still stands: half of the time the newest, which may not have arrived.
func (h *history) some(from string, random *rand.Rand) *message {
	h.mu.Lock()
	defer h.mu.Unlock()
	var of []*message
	for _, m := range h.messages[max(0, len(h.messages)-60):] {
		if m.from == from && m.kind == schemas.KindReferral && !m.withdrawn {
			of = append(of, m)
		}
	}
	if len(of) == 0 {
		return nil
	}
	if random.IntN(2) == 0 {
		return of[len(of)-1]
	}
	return of[random.IntN(len(of))]
}

func (h *history) all() []message {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]message, 0, len(h.messages))
	for _, m := range h.messages {
		out = append(out, *m)
	}
	return out
}

// of is the shortest history that concerns one thread: its own events, and the faults of the rounds in which it lived.
func (h *history) of(thread string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	first := -1
	for _, e := range h.events {
		if e.thread == thread && first < 0 {
			first = e.round
		}
	}
	return h.print(func(e event) bool { return e.thread == thread || e.thread == "" && e.round >= first && first >= 0 })
}

func (h *history) faults() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.print(func(e event) bool { return e.thread == "" })
}

func (h *history) print(which func(event) bool) string {
	var b strings.Builder
	for _, e := range h.events {
		if which(e) {
			fmt.Fprintf(&b, "  %s round %d  %s\n", e.at.Format("15:04:05.000"), e.round, e.text)
		}
	}
	return b.String()
}
