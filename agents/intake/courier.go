package intake

import (
	"errors"
	"time"

	"waypost/agents/store"
	"waypost/agents/vault"
	"waypost/schemas"
	"waypost/schemas/directory"
	"waypost/schemas/envelope"
)

// Courier seals and queues the messages that serve consent itself. Everything it does happens in the caller's transaction:
// what an agency is to be told is on disk together with the reason.
type Courier struct {
	Agency    string
	Vault     *vault.Vault
	Sign      store.Signer
	Directory func() *directory.View
	Seen      func() string // what we have seen of the ledger; nil: nothing
}

func (c *Courier) seen() string {
	if c.Seen == nil {
		return ""
	}
	return c.Seen()
}

// ErrUnreachable: the directory lists no key for the agency, so nothing can be sealed for it.
var ErrUnreachable = errors.New("agency cannot be reached")

// Letter is one message to post.
type Letter struct {
	To, Thread, ReplyTo string
	Lane                schemas.Lane
	Payload             schemas.ControlPayload
	Certificates        []Paper // that travel along
	Statements          []string
	RespondBy           *time.Time
	At                  time.Time
}

// Paper is a certificate's id and signed text.
type Paper struct{ ID, Text string }

// Post queues a letter and returns its message id.
func (c *Courier) Post(tx *store.Tx, l Letter) (string, error) {
	dir := c.Directory()
	if dir == nil {
		return "", ErrUnreachable
	}
	recipient, ok := dir.Recipient(l.To, l.At)
	if !ok || l.To == c.Agency {
		return "", ErrUnreachable
	}
	entry, _ := schemas.EntryOf(l.Payload.Kind())
	m := envelope.Manifest{
		ID: schemas.NewMessageID(), Thread: l.Thread, ReplyTo: l.ReplyTo, From: c.Agency, To: l.To, Kind: entry.Kind, Schema: entry.Schema,
		Lane: entry.Lanes[0], Sent: l.At.UTC().Truncate(time.Millisecond), RespondBy: l.RespondBy, Basis: envelope.ConsentPrefix + l.Payload.CertificateID(),
	}
	payload, err := schemas.Encode(l.Payload)
	if err != nil {
		return "", err
	}
	var texts []string
	o := &store.Outgoing{}
	for _, p := range l.Certificates {
		texts = append(texts, p.Text)
		o.Certificates = append(o.Certificates, p.ID)
	}
	body, err := envelope.EncodeBody(m.Header(), texts, l.Statements, c.seen(), payload)
	if err != nil {
		return "", err
	}
	sealed, wrapped, err := c.Vault.Seal(recipient, m.ID, body)
	if err != nil {
		return "", err
	}
	o.Manifest, o.Body, o.Wrapped = m, sealed, wrapped
	if err := tx.AddOutgoing(o, c.Sign); err != nil {
		return "", err
	}
	return m.ID, tx.AddEvent(&store.Event{Type: store.EventSubmitted, Thread: m.Thread, Message: m.ID, Kind: m.Kind, Peer: m.To,
		Certificate: l.Payload.CertificateID(), At: l.At})
}
