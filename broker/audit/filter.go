package audit

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"waypost/schemas"
	"waypost/schemas/directory"
	"waypost/schemas/ledger"
)

// Filter picks events; what is empty picks all.
type Filter struct {
	From, To time.Time // when the broker stored it: from ≤ time < to
	Agency   string    // as sender, recipient, or subject
	Thread   string    // with every receipt, answer and act about its messages
	Kind     string    // a type, a kind of message, an outcome, or an act
	Lane     string
}

// FilterError says which flag breaks which rule, and what to do.
type FilterError struct{ Flag, Rule, Advice string }

func (e *FilterError) Error() string { return "--" + e.Flag + ": " + e.Rule }

// Hint says what to do.
func (e *FilterError) Hint() string { return e.Advice }

// Check refuses what could never pick anything: a list that is empty because of a slip looks like proof.
func (f *Filter) Check() error {
	switch {
	case !f.From.IsZero() && !f.To.IsZero() && !f.From.Before(f.To):
		return &FilterError{"to", "the end is not after the beginning (--from)", "--from is the first moment shown, --to the first that is not"}
	case f.Agency != "" && !schemas.ValidAgencyID(f.Agency):
		return &FilterError{"agency", fmt.Sprintf("%q is no agency id", f.Agency), "ids are as `waypost network list` shows them: small letters, digits, hyphens"}
	case f.Thread != "" && !schemas.ValidThreadID(f.Thread):
		return &FilterError{"thread", fmt.Sprintf("%q is no thread id", f.Thread), "a thread id is a random UUID in small letters; a replay in the formats jsonl and csv shows it in full"}
	case f.Lane != "" && !slices.Contains(schemas.Lanes(), schemas.Lane(f.Lane)):
		return &FilterError{"lane", fmt.Sprintf("%q is no lane", f.Lane), "the lanes are " + words(schemas.Lanes())}
	case f.Kind != "" && !slices.Contains(KindNames(), f.Kind):
		return &FilterError{"kind", fmt.Sprintf("%q is no kind of event", f.Kind), "the kinds are " + strings.Join(KindNames(), ", ")}
	}
	return nil
}

func words[T ~string](list []T) string {
	var out []string
	for _, w := range list {
		out = append(out, string(w))
	}
	return strings.Join(out, ", ")
}

// KindNames returns every word that [Filter].Kind may be.
func KindNames() []string {
	var out []string
	add := func(w string) {
		if !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	for _, t := range Types() {
		add(string(t))
	}
	for _, k := range schemas.Kinds() {
		add(string(k))
	}
	for _, o := range schemas.ReceiptOutcomes() {
		add(string(o))
	}
	for _, a := range []ledger.ActKind{ledger.ActErased, ledger.ActDisclosed, ledger.ActRedeliver, ledger.ActRedelivers, ledger.ActRefuses, ledger.ActRecovers, ledger.ActRestored} {
		add(string(a))
	}
	for _, d := range []string{"head", "agency", "agreement", "log"} {
		add(d)
	}
	return out
}

// picks looks at everything but the thread.
func (f *Filter) picks(e *Event) bool {
	switch {
	case !f.From.IsZero() && e.Time.Before(f.From), !f.To.IsZero() && !e.Time.Before(f.To):
		return false
	case f.Agency != "" && e.From != f.Agency && e.To != f.Agency && e.Entry != directory.AgencyKey(f.Agency) && !e.unplaced():
		return false
	case f.Lane != "" && e.Lane != f.Lane && !e.unplaced():
		return false
	case f.Kind != "" && f.Kind != string(e.Type) && f.Kind != e.Kind:
		return false
	}
	return true
}

// unplaced: the expiry of a message that was not met. Whose it was is not known, so it is shown to whoever asks for any.
func (e *Event) unplaced() bool { return e.Type == TypeExpired && e.Message == "" }
