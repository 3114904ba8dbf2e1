package thread

import (
	"os"
	"slices"
	"strings"
	"testing"

	"waypost/schemas"
)

var words = []State{Accepted, Declined, Waitlisted, InformationNeeded, Redirected, InProgress, OnHold, Completed, Failed, Cancelled}

// tables reads the tables of the package documentation: each row's first column is its name.
func tables(t *testing.T) map[string][]string {
	t.Helper()
	b, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][]string{}
	for line := range strings.SplitSeq(string(b), "\n") {
		if row, ok := strings.CutPrefix(line, "//\t"); ok {
			cells := strings.Fields(row)
			rows[cells[0]] = cells[1:]
		}
	}
	return rows
}

// TestWorkIsTheDocumentedTable covers every state, every word and both sides.
func TestWorkIsTheDocumentedTable(t *testing.T) {
	rows := tables(t)
	for _, from := range States() {
		row := rows[string(from)]
		if len(row) != len(words) {
			t.Fatalf("row %s has %d cells", from, len(row))
		}
		for i, word := range words {
			to, flag := step(from, word, false)
			want := map[string]struct {
				to   State
				flag string
			}{"to": {word, ""}, "=": {from, ""}, "order": {from, FlagOrder}, "end": {from, FlagEnded}}[row[i]]
			if to != want.to || flag != want.flag {
				t.Errorf("%s, %s: got %s %q, the table says %s", from, word, to, flag, row[i])
			}
			if row[i] == "=" && from != word {
				t.Errorf("%s is not %s again", word, from)
			}
			if (row[i] == "end") != (from.Ended() && from != word) {
				t.Errorf("%s ended: %v, but %s says %s", from, from.Ended(), word, row[i])
			}
			// The requester may cancel as the responder may, and nothing else.
			to, flag = step(from, word, true)
			if word == Cancelled && (to != want.to || flag != want.flag) || word != Cancelled && (to != from || flag != FlagNotTheirs) {
				t.Errorf("%s, %s by the requester: got %s %q", from, word, to, flag)
			}
		}
		for _, odd := range []State{Requested, Received, Stopped, Withdrawn, "", "Accepted", "done"} {
			for _, side := range []bool{false, true} {
				if to, flag := step(from, odd, side); to != from || flag != FlagUnknownStatus {
					t.Errorf("%s, %q: got %s %q", from, odd, to, flag)
				}
			}
		}
	}
}

func TestDeliveryIsTheDocumentedTable(t *testing.T) {
	rows := tables(t)
	for _, from := range []Delivery{Sent, Quarantined, Delivered, Rejected} {
		for i, told := range []Delivery{Delivered, Quarantined, Rejected} {
			to, flag := deliver(from, string(told))
			wantTo, wantFlag := told, ""
			if rows[string(from)][i] == "end" {
				wantTo, wantFlag = from, FlagEnded
			}
			if to != wantTo || flag != wantFlag {
				t.Errorf("%s, %s: got %s %q", from, told, to, flag)
			}
		}
		for _, odd := range []string{"", "sent", string(schemas.OutcomeVoid), "x"} {
			if to, flag := deliver(from, odd); to != from || flag != FlagUnknownStatus {
				t.Errorf("%s, %q: got %s %q", from, odd, to, flag)
			}
		}
	}
	for _, o := range schemas.ReceiptOutcomes() {
		if _, flag := deliver(Sent, string(o)); flag != "" {
			t.Errorf("receipts may say %s, which is flagged %s", o, flag)
		}
	}
}

func TestHoldIsTheDocumentedTable(t *testing.T) {
	rows := tables(t)
	for _, from := range []Hold{HoldNone, HoldStopped, HoldWithdrawn} {
		name := string(from)
		if from == HoldNone {
			name = "(none)"
		}
		// "withdrawn" and "stopped" are states of no other table.
		row := rows[name]
		for i, x := range []struct {
			kind     schemas.Kind
			statuses []schemas.ConsentChange
		}{
			{schemas.KindWithdrawalRequest, []schemas.ConsentChange{"", "x"}},
			{schemas.KindConsentWithdrawal, []schemas.ConsentChange{"", "x"}},
			{schemas.KindConsent, []schemas.ConsentChange{schemas.ConsentStands}},
			{schemas.KindConsent, []schemas.ConsentChange{schemas.ConsentRenewed, schemas.ConsentNarrowed}},
		} {
			for _, status := range x.statuses {
				to, flag := hold(from, x.kind, string(status))
				want, wantFlag := Hold(strings.Trim(row[i], "()")), ""
				switch row[i] {
				case "(none)":
					want = HoldNone
				case "end":
					want, wantFlag = from, FlagEnded
				}
				if to != want || flag != wantFlag {
					t.Errorf("%s, %s %s: got %q %q, want %s", name, x.kind, status, to, flag, row[i])
				}
			}
		}
		if to, flag := hold(from, schemas.KindConsent, "x"); to != from || flag != FlagUnknownStatus {
			t.Errorf("an unknown change of consent: %q %q", to, flag)
		}
		if to, flag := hold(from, schemas.KindForwarding, ""); to != from || flag != "" {
			t.Errorf("another kind: %q %q", to, flag)
		}
	}
}

// TestStatusesAreThoseOfSchemas fails when schemas gets a word that the machine does not know. The kind of updates is not
// in the catalogue yet: when it is, name its code list in updateList.
func TestStatusesAreThoseOfSchemas(t *testing.T) {
	const updateList = "case-state"
	for _, word := range schemas.Codes("response-outcome") {
		if !slices.Contains(statuses[schemas.KindReferralResponse], State(word)) {
			t.Errorf("an answer may say %s, which the machine does not know", word)
		}
	}
	if len(schemas.Codes("response-outcome")) == 0 {
		t.Error("the list of outcomes has another name now")
	}
	e, ok := schemas.EntryOf(schemas.KindReferralUpdate)
	if !ok {
		return
	}
	list := schemas.Codes(updateList)
	if len(list) == 0 {
		t.Fatalf("%s is in the catalogue: name the code list of its states here", e.Kind)
	}
	for _, word := range list {
		if !slices.Contains(statuses[schemas.KindReferralUpdate], State(word)) {
			t.Errorf("an update may say %s, which the machine does not know", word)
		}
	}
}
