package thread

import (
	"slices"
	"testing"
)

// TestMapping: every state has its row, every word is one that the standard has, and what did not happen never reads as done.
func TestMapping(t *testing.T) {
	fhir := []string{"draft", "requested", "received", "accepted", "rejected", "ready", "cancelled", "in-progress", "on-hold", "failed", "completed", "entered-in-error"}
	primero := []string{"in_progress", "accepted", "rejected", "done", "revoked"}
	for _, s := range append(States(), Received, Stopped, Withdrawn) {
		m, ok := s.Mapping()
		if !ok {
			t.Errorf("%s has no row", s)
			continue
		}
		if m.FHIRTask != "" && !slices.Contains(fhir, m.FHIRTask) || m.Primero != "" && !slices.Contains(primero, m.Primero) {
			t.Errorf("%s: %+v", s, m)
		}
		if (m.FHIRTask == "completed" || m.Primero == "done") != (s == Completed) {
			t.Errorf("%s reads as done, or completed does not", s)
		}
	}
	if _, ok := State("gone").Mapping(); ok {
		t.Error("an unknown state has a word")
	}
}
