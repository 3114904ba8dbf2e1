package audit

import (
	"time"

	"github.com/go-json-experiment/json"

	"waypost/schemas"
	"waypost/schemas/directory"
	"waypost/schemas/envelope"
	"waypost/schemas/ledger"
)

// Type is the sort of thing that happened. Their spelling never changes.
type Type string

// The types. What Kind says beside each is in brackets.
const (
	TypeMessage   Type = "message"   // an agency sent something (the kind of message)
	TypeVoid      Type = "void"      // a message was taken back before it left (its kind)
	TypeReceipt   Type = "receipt"   // a recipient said what became of a message (the outcome)
	TypeAct       Type = "act"       // an erasure, a disclosure, a redelivery (the act)
	TypeDirectory Type = "directory" // a change of the directory (head, agency, agreement, log)
	TypeGap       Type = "gap"       // numbers of a stream that were gone before they could be recorded
	TypeExpired   Type = "expired"   // deleted at the maximum age, unreceipted (the kind of the message)
	TypeOpaque    Type = "opaque"    // something stored that is no message
	TypeMalformed Type = "malformed" // a record that is none
)

// Types returns all types.
func Types() []Type {
	return []Type{TypeMessage, TypeVoid, TypeReceipt, TypeAct, TypeDirectory, TypeGap, TypeExpired, TypeOpaque, TypeMalformed}
}

// Event is one thing that happened, as the ledger shows it. Fields that a type has not are empty.
type Event struct {
	Record int64     `json:"record"` // number of the record, from 0
	Time   time.Time `json:"time"`   // when the broker stored it
	Type   Type      `json:"type"`
	Kind   string    `json:"kind,omitzero"`
	Signed bool      `json:"signed"` // the signature holds; false also for what nobody signs: gap, expired, opaque, malformed

	Lane      string     `json:"lane,omitzero"`
	From      string     `json:"from,omitzero"` // also who did an act
	To        string     `json:"to,omitzero"`   // also who is asked to redeliver
	Thread    string     `json:"thread,omitzero"`
	Message   string     `json:"message,omitzero"`  // its id; the message an act or an expiry is about
	ReplyTo   string     `json:"reply_to,omitzero"` // the message a receipt or an answer is about
	Basis     string     `json:"basis,omitzero"`
	Sent      *time.Time `json:"sent,omitzero"` // the sender's clock
	RespondBy *time.Time `json:"respond_by,omitzero"`
	Seq       uint64     `json:"seq,omitzero"`  // per sender, recipient and lane
	Code      string     `json:"code,omitzero"` // why, as the manifest says

	Act        string `json:"act,omitzero"`     // id of the act
	Answers    string `json:"answers,omitzero"` // the act that it answers
	Count      uint64 `json:"count,omitzero"`   // how many messages were erased or delivered again
	Entry      string `json:"entry,omitzero"`   // key in the directory
	Stream     string `json:"stream,omitzero"`  // of the broker
	StreamSeq  uint64 `json:"stream_seq,omitzero"`
	StreamLast uint64 `json:"stream_last,omitzero"` // gap: the last missing number

	// State says how the message stands after this, when a thread is replayed.
	State string `json:"state,omitzero"`
}

// About is the message that the event is about: of a receipt the one it is for.
func (e *Event) About() string {
	if e.Type == TypeReceipt {
		return e.ReplyTo
	}
	return e.Message
}

// eventOf says what a record shows by itself.
func eventOf(it *ledger.Item) Event {
	e := Event{Record: it.Index, Type: TypeMalformed}
	r := it.Record
	if r == nil {
		return e
	}
	e.Time, e.Signed, e.Stream, e.StreamSeq, e.StreamLast = r.Time, it.Signed, r.Stream, r.Seq, r.Last
	switch r.Kind {
	case ledger.KindMail:
		if it.Manifest != nil {
			e.mail(it.Manifest)
		}
	case ledger.KindAct:
		if it.Act != nil {
			e.act(it.Act)
		}
	case ledger.KindDirectory:
		e.Type, e.Entry = TypeDirectory, r.Key()
		e.entry(r.Note)
	case ledger.KindGap:
		e.Type = TypeGap
	case ledger.KindExpired:
		e.Type = TypeExpired
	case ledger.KindOpaque:
		e.Type, e.Entry = TypeOpaque, r.Key()
	}
	return e
}

func (e *Event) mail(m *envelope.Manifest) {
	e.Type, e.Kind = TypeMessage, string(m.Kind)
	switch {
	case m.Void():
		e.Type = TypeVoid
	case m.Kind == schemas.KindReceipt:
		e.Type, e.Kind = TypeReceipt, string(m.Outcome)
	}
	sent := m.Sent
	e.Lane, e.From, e.To, e.Thread, e.Message, e.ReplyTo = string(m.Lane), m.From, m.To, m.Thread, m.ID, m.ReplyTo
	e.Basis, e.Sent, e.RespondBy, e.Seq, e.Code = m.Basis, &sent, m.RespondBy, m.Seq, m.Code
}

func (e *Event) act(a *ledger.Act) {
	at := a.At
	e.Type, e.Kind, e.Act, e.From, e.To = TypeAct, string(a.Act), a.ID, a.By, a.Agency
	e.Thread, e.Message, e.Answers, e.Count, e.Sent = a.Thread, a.Message, a.Answers, a.Count, &at
}

// entry says whom an entry of the directory is about. Its bytes are believed as far as Signed says.
func (e *Event) entry(note []byte) {
	var about struct {
		Type string `json:"type"`
		ID   string `json:"id"`
		From string `json:"from"`
		To   string `json:"to"`
	}
	line, _, err := envelope.ParseLine(note, directory.MaxHead)
	if err != nil || json.Unmarshal(line.JSON, &about) != nil {
		return
	}
	switch about.Type {
	case directory.AgencyType:
		e.Kind = "agency"
		if schemas.ValidAgencyID(about.ID) {
			e.From = about.ID
		}
	case directory.AgreementType:
		e.Kind = "agreement"
		if schemas.ValidAgencyID(about.From) && schemas.ValidAgencyID(about.To) {
			e.From, e.To = about.From, about.To
		}
	case directory.LogType:
		e.Kind = "log"
	case directory.HeadType:
		e.Kind = "head"
	}
}

// of adds whose message it was to an event that names only the place it lay in or its id.
func (e *Event) of(m *envelope.Manifest) {
	switch e.Type {
	case TypeExpired:
		e.Kind, e.From, e.To, e.Lane, e.Message, e.Basis, e.RespondBy, e.Seq = string(m.Kind), m.From, m.To, string(m.Lane), m.ID, m.Basis, m.RespondBy, m.Seq
	case TypeAct:
		// Whom a disclosure concerns is both: who gave it out stays in From.
		if e.To = m.To; e.From == m.To {
			e.To = m.From
		}
	}
	e.Thread = m.Thread
}
