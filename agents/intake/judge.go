package intake

import (
	"errors"
	"strings"
	"time"

	"waypost/agents/store"
	"waypost/schemas"
	"waypost/schemas/consent"
	"waypost/schemas/directory"
	"waypost/schemas/envelope"
)

// PartyOf is an agency as consent knows it.
func PartyOf(dir *directory.View, id string) consent.Party {
	p := consent.Party{ID: id}
	if role, region, ok := dir.Place(id); ok {
		p.Role, p.Region = role, schemas.Region(region)
	}
	return p
}

// Stand says how a certificate stands, by what the store and the message at hand know about it.
func Stand(dir *directory.View, c *consent.Certificate, m *store.Marks, also ...*consent.Statement) consent.Held {
	return consent.Stand(c, append(also, m.Statements...), m.Newer, func(id string) consent.Party { return PartyOf(dir, id) })
}

// ConsentID is the certificate that a basis names, "" when it names none.
func ConsentID(basis string) string {
	id, ok := strings.CutPrefix(basis, envelope.ConsentPrefix)
	if !ok {
		return ""
	}
	return id
}

// Answers reports whether a message goes back to who sent what it replies to: both ends know, each from its own side.
func Answers(payload schemas.Payload, replied bool) bool {
	if _, sharer := payload.(schemas.Sharer); sharer {
		return replied
	}
	return true
}

// judge asks the consent, inside the update that would accept the message, so that a withdrawal comes before or after it
// and never unseen in between. It returns the code of a refusal and why; or that the message is to be kept but not used,
// because a withdrawal was asked for.
func (in *Intake) judge(tx *store.Tx, p *plan, replied bool) (code string, problems []schemas.Problem, stop bool, err error) {
	m := &p.manifest
	id := ConsentID(m.Basis)
	use := p.use
	use.Reply = Answers(p.payload, replied)
	var held []consent.Held
	for _, c := range p.certificates {
		if c.ID != id {
			continue
		}
		marks, err := tx.Marks(c.ID)
		if err != nil {
			return "", nil, false, err
		}
		held = append(held, Stand(p.dir, c.Certificate, marks, p.spoken()...))
	}
	// As it stood when it was sent, and still today: what arrives after the consent ran out is set aside for a person. What
	// was sent under a certificate before it was renewed keeps it.
	for _, at := range []time.Time{m.Sent, p.now} {
		v := consent.Evaluate(held, m.Basis, use, at)
		if v.Allowed {
			for i := range held {
				held[i].Superseded = time.Time{}
			}
			continue
		}
		if onlyStopped(v) {
			stop = true
			for i := range held {
				held[i].Stopped, held[i].Superseded = false, time.Time{}
			}
			continue
		}
		return v.Code(), ReasonProblems(v), false, nil
	}
	return "", nil, stop, nil
}

func onlyStopped(v consent.Verdict) bool {
	for _, r := range v.Reasons {
		if r.Code != consent.ReasonStopped {
			return false
		}
	}
	return len(v.Reasons) > 0
}

// spoken are the verified statements that came with the message.
func (p *plan) spoken() []*consent.Statement {
	out := make([]*consent.Statement, len(p.statements))
	for i, s := range p.statements {
		out[i] = s.Statement
	}
	return out
}

// replied reports whether the message answers one that we sent to its sender, in the same thread.
func replied(tx *store.Tx, m *envelope.Manifest) (store.SentRef, bool, error) {
	if m.ReplyTo == "" {
		return store.SentRef{}, false, nil
	}
	sent, err := tx.Sent(m.ReplyTo)
	if errors.Is(err, store.ErrNotFound) {
		return sent, false, nil
	}
	return sent, err == nil && sent.Peer == m.From && sent.Thread == m.Thread, err
}
