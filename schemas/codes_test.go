package schemas

import (
	"testing"
	"time"

	"github.com/go-playground/validator/v10"
)

func TestCodeLists(t *testing.T) {
	seen := map[string]bool{}
	for _, l := range codeLists {
		if seen[l.name] || len(l.codes) == 0 {
			t.Errorf("list %s is empty or twice there", l.name)
		}
		seen[l.name] = true
		codes := map[string]bool{}
		for _, c := range l.codes {
			if codes[c] || c == "" {
				t.Errorf("list %s: a code is empty or twice there", l.name)
			}
			codes[c] = true
		}
	}
	Codes("urgency")[0] = "changed"
	if Codes("urgency")[0] != "immediate" {
		t.Error("a caller can change a code list")
	}
	if Codes("no-such-list") != nil {
		t.Error("an unknown list has codes")
	}
	if Known(OutcomeVoid) || !Known(OutcomeDelivered) {
		t.Error("void is not the outcome of a receipt; delivered is")
	}
}

func TestDeclineMappings(t *testing.T) {
	bars := map[string]bool{"21": true, "22": true, "23": true, "24": true, "26": true, "27": true, "31": true, "32": true, "40": true, "41": true, "42": true, "99": true}
	for _, r := range DeclineReasons() {
		m, ok := r.Mapping()
		if !ok || !bars[m.BaRS] {
			t.Errorf("%s: no BaRS reason", r)
		}
	}
	if _, ok := DeclineReason("x").Mapping(); ok {
		t.Error("an unknown reason has a mapping")
	}
}

func TestHTCDS(t *testing.T) {
	for _, e := range exploitationTypes() {
		if word, ok := e.HTCDS(); (word == "") == ok || ok != (e != ExploitationUnknown) {
			t.Errorf("%s maps to %q, %v", e, word, ok)
		}
	}
}

func TestUrgencyClock(t *testing.T) {
	last := time.Duration(0)
	for _, u := range Urgencies() {
		if u.RespondWithin() <= last {
			t.Errorf("%s: clock is not longer than that of the more urgent", u)
		}
		last = u.RespondWithin()
	}
	for u, want := range map[Urgency]Lane{"immediate": LaneUrgent, "same-day": LaneUrgent, "priority": LaneRoutine, "routine": LaneRoutine, "x": LaneRoutine} {
		if u.Lane() != want {
			t.Errorf("%s travels in lane %s", u, u.Lane())
		}
	}
	if Urgency("x").RespondWithin() != last {
		t.Error("an unknown urgency has not the longest clock")
	}
}

// TestCountriesAgreeWithValidator checks our list against an independent one.
func TestCountriesAgreeWithValidator(t *testing.T) {
	v := validator.New()
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			code := string(a) + string(b)
			if got, want := isCountry(code), v.Var(code, "iso3166_1_alpha2") == nil; got != want {
				t.Errorf("%s: ours %v, validator's %v", code, got, want)
			}
		}
	}
}

func TestIDs(t *testing.T) {
	for range 100 {
		if id := NewMessageID(); !ValidMessageID(id) || ValidThreadID(id) {
			t.Fatalf("message id %s", id)
		}
		if id := NewThreadID(); !ValidThreadID(id) || ValidMessageID(id) {
			t.Fatalf("thread id %s", id)
		}
	}
	for _, bad := range []string{"", "a", "ab", "A-police", "1police", "police-", "po.lice", "po*", "po>", "police\n", "../x", "polizei\u00e4"} {
		if ValidAgencyID(bad) {
			t.Errorf("agency id %q is accepted", bad)
		}
	}
	if !ValidAgencyID("northshire-police") {
		t.Error("a good agency id is refused")
	}
	if ValidMessageID("01890a5d-ac96-774b-bcce-b302099a8057\n") {
		t.Error("a line break after an id is accepted")
	}
}
