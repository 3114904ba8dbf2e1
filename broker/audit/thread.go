package audit

import (
	"context"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"

	"waypost/schemas"
	"waypost/schemas/envelope"
	"waypost/schemas/ledger"
	"waypost/schemas/thread"
)

// Expired and Void are deliveries that no receipt says: the message was deleted at the broker's maximum age, or taken back
// before it left.
const (
	Expired thread.Delivery = "expired"
	Void    thread.Delivery = "void"
)

// MessageState is how one message of a thread stands, from manifests only: that it was answered shows, what was answered is
// sealed.
type MessageState struct {
	Message   string          `json:"message"`
	Kind      string          `json:"kind"`
	Lane      string          `json:"lane"`
	From      string          `json:"from"`
	To        string          `json:"to"`
	Basis     string          `json:"basis,omitzero"`
	Recorded  time.Time       `json:"recorded"`
	RespondBy *time.Time      `json:"respond_by,omitzero"`
	Delivery  thread.Delivery `json:"delivery"`
	Code      string          `json:"code,omitzero"`      // of the last receipt, or why it was taken back
	Answered  *time.Time      `json:"answered,omitzero"`  // when the first answer was recorded
	Withdrawn *time.Time      `json:"withdrawn,omitzero"` // when the first withdrawal of its consent was recorded
	Told      *time.Time      `json:"told,omitzero"`      // when one to or from its recipient was
	Erased    []string        `json:"erased,omitzero"`    // the agencies that erased the thread since
	Disclosed bool            `json:"disclosed,omitzero"`
	State     string          `json:"state"` // in words, at the time asked for

	event Event
}

// ThreadState is what the ledger shows of one thread.
type ThreadState struct {
	Thread   string          `json:"thread"`
	At       time.Time       `json:"at"`
	Messages []*MessageState `json:"messages"`
	Timeline []Event         `json:"timeline"`          // State says how the message stood then
	Unsigned int             `json:"unsigned,omitzero"` // events whose signature does not hold: shown, and counted for nothing
}

// Thread rebuilds a thread: its messages, what became of each, and the withdrawals of the consents that they went under,
// whichever thread these were sent on. now is when it is overdue. Its memory grows with the thread. A thread that the ledger
// does not know has no messages.
func Thread(ctx context.Context, src ledger.Source, root note.Verifier, id string, now time.Time) (*ThreadState, error) {
	if err := (&Filter{Thread: id}).Check(); err != nil {
		return nil, err
	}
	known, err := look(ctx, src, root, id)
	if err != nil {
		return nil, err
	}
	t := &ThreadState{Thread: id, At: now.UTC(), Messages: []*MessageState{}, Timeline: []Event{}}
	want := func(m *envelope.Manifest) bool {
		var e Event
		e.mail(m)
		return known.belongs(&e) || known.withdraws(&e)
	}
	for it, err := range ledger.NewReader(root).Read(ctx, src.Records(ctx), side, want) {
		if err != nil {
			return nil, err
		}
		e := eventOf(&it)
		known.complete(&e, &it)
		if e.unplaced() || !known.belongs(&e) && !known.withdraws(&e) {
			continue
		}
		if e.Signed || e.Type == TypeExpired {
			t.take(&e)
		} else {
			t.Unsigned++
			e.State = "not signed by its sender: counts for nothing"
		}
		t.Timeline = append(t.Timeline, e)
	}
	t.settleAnswers()
	for _, m := range t.Messages {
		m.State = m.words(now)
	}
	return t, nil
}

// settleAnswers finds answers that were recorded before what they answer: the streams of the two lanes are recorded side by
// side.
func (t *ThreadState) settleAnswers() {
	for _, m := range t.Messages {
		for i := range t.Timeline {
			e := &t.Timeline[i]
			if !e.Signed {
				continue
			}
			if e.Type == TypeReceipt && e.Record < m.event.Record {
				m.receipt(e)
			}
			if m.Answered == nil && answers(e, &m.event) {
				m.Answered = &e.Time
			}
		}
	}
}

// take moves the thread on by one event and says in it how things stand.
func (t *ThreadState) take(e *Event) {
	switch e.Type {
	case TypeMessage, TypeVoid:
		t.message(e)
	case TypeReceipt:
		for _, m := range t.Messages {
			if m.receipt(e) {
				e.State = m.words(e.Time)
			}
		}
	case TypeExpired:
		for _, m := range t.Messages {
			if m.Message == e.Message && m.Delivery == thread.Sent {
				m.Delivery = Expired
				e.State = m.words(e.Time)
			}
		}
	case TypeAct:
		t.act(e)
	}
}

func (t *ThreadState) message(e *Event) {
	if isWithdrawal(e.Kind) && e.Type == TypeMessage {
		for _, m := range t.Messages {
			m.withdrawal(e)
		}
	}
	for _, m := range t.Messages {
		if m.Answered == nil && answers(e, &m.event) {
			m.Answered = &e.Time
		}
	}
	if e.Thread != t.Thread {
		e.State = "withdrawal, on another thread"
		return
	}
	if i := slices.IndexFunc(t.Messages, func(m *MessageState) bool { return m.Message == e.Message && m.From == e.From }); i >= 0 {
		e.State = "recorded before: " + t.Messages[i].words(e.Time)
		return
	}
	m := &MessageState{Message: e.Message, Kind: e.Kind, Lane: e.Lane, From: e.From, To: e.To, Basis: e.Basis, Recorded: e.Time,
		RespondBy: e.RespondBy, Delivery: thread.Sent, event: *e}
	if e.Type == TypeVoid {
		m.Delivery, m.Code = Void, e.Code
	}
	t.Messages = append(t.Messages, m)
	for i := range t.Timeline {
		// What is sent under a consent that was withdrawn before is just as withdrawn.
		if w := &t.Timeline[i]; w.Signed && w.Type == TypeMessage && isWithdrawal(w.Kind) {
			m.withdrawal(w)
		}
	}
	e.State = m.words(e.Time)
}

func (t *ThreadState) act(e *Event) {
	for _, m := range t.Messages {
		switch {
		case e.Kind == string(ledger.ActErased) && (m.From == e.From || m.To == e.From) && !slices.Contains(m.Erased, e.From):
			m.Erased = append(m.Erased, e.From)
			e.State = "erased by " + e.From
		case e.Kind == string(ledger.ActDisclosed) && m.Message == e.Message:
			m.Disclosed = true
			e.State = "key of this message disclosed by " + e.From
		}
	}
}

// receipt takes a receipt if it is for this message, by its recipient. A quarantined message may still be delivered or
// rejected; of two final receipts the first counts.
func (m *MessageState) receipt(e *Event) bool {
	if e.ReplyTo != m.Message || e.From != m.To || e.To != m.From {
		return false
	}
	if m.Delivery == thread.Sent || m.Delivery == thread.Quarantined {
		m.Delivery, m.Code = thread.Delivery(e.Kind), e.Code
	}
	return true
}

func (m *MessageState) withdrawal(e *Event) {
	if e.Basis != m.Basis || control(m.Kind) {
		return
	}
	if m.Withdrawn == nil {
		m.Withdrawn = &e.Time
	}
	if m.Told == nil && (e.From == m.To || e.To == m.To) {
		m.Told = &e.Time
	}
}

// words say how the message stood at a time.
func (m *MessageState) words(now time.Time) string {
	s := m.progress(now)
	switch {
	case m.Delivery == Void || m.Withdrawn == nil:
	case m.Told == nil:
		s += ", consent withdrawn, recipient not told"
	default:
		s += ", consent withdrawn"
	}
	for _, a := range m.Erased {
		s += ", erased by " + a
	}
	return s
}

func (m *MessageState) progress(now time.Time) string {
	waits := m.RespondBy != nil && m.Answered == nil
	switch {
	case m.Delivery == Void:
		return "taken back before it left" + reason(m.Code)
	case m.Answered != nil && m.RespondBy != nil && m.Answered.After(*m.RespondBy):
		return "answered, late by " + length(m.Answered.Sub(*m.RespondBy))
	case m.Answered != nil:
		return "answered"
	case m.Delivery == Expired:
		return "expired uncollected"
	case m.Delivery == thread.Rejected:
		return "rejected" + reason(m.Code)
	}
	s := map[thread.Delivery]string{thread.Sent: "sent, not yet collected", thread.Delivered: "delivered", thread.Quarantined: "quarantined" + reason(m.Code)}[m.Delivery]
	switch {
	case !waits || m.Told != nil && m.Kind == string(schemas.KindReferral):
		return s
	case now.After(*m.RespondBy):
		return s + ", overdue by " + length(now.Sub(*m.RespondBy))
	}
	return s + ", answer due in " + length(m.RespondBy.Sub(now))
}

func reason(code string) string {
	if code == "" {
		return ""
	}
	return " (" + code + ")"
}
