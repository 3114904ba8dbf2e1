package audit

import (
	"context"
	"time"

	"golang.org/x/mod/sumdb/note"

	"waypost/schemas"
	"waypost/schemas/ledger"
)

// Gather makes the report of a ledger as it stood at a time: records after it are left out. It reads the source once. Its
// memory grows with agencies and pairs of them, with what is open (uncollected, quarantined, unanswered), with the holes in
// sequence numbers, and by 8 bytes for each answer, because medians are exact; with nothing else.
//
// What manifests cannot show, it cannot tell: a first answer counts, whatever it says; a withdrawal stops the clock of the
// referrals under its certificate to the agencies that it is between, and a request for one stops nothing, because whether it
// was granted is sealed. A clock that ran out before it was stopped is late.
func Gather(ctx context.Context, src ledger.Source, root note.Verifier, now time.Time) (*Report, error) {
	g := newGatherer(now)
	reader := ledger.NewReader(root)
	for it, err := range reader.Read(ctx, src.Records(ctx), side, nil) {
		if err != nil {
			return nil, err
		}
		g.take(&it)
	}
	if view := reader.View(); view != nil {
		for _, a := range view.Agencies() {
			g.tally(a.ID)
		}
	}
	return g.finish(), nil
}

// about names a message between two agencies; of a withdrawal's outcome, the certificate.
type about struct{ id, from, to string }

// told is a holder that was told of a withdrawal.
type told struct{ basis, by, holder string }

// pending is a message that something is still expected of.
type pending struct {
	Event
	place       place
	uncollected bool // no receipt, and not expired
	receipted   bool
	final       bool // delivered, rejected or expired
	waits       bool // for an answer
}

type gatherer struct {
	Report
	now                       time.Time
	unsigned, unplaced, later *int64
	tallies                   map[string]*tally
	open                      map[about]*pending
	places                    map[place]*pending           // uncollected, by where they lie
	under                     map[string]map[*pending]bool // waiting referrals, by certificate
	withdrawals               map[told][]*pending          // waiting
	numbers                   map[[3]string]*numbers
	early                     early
}

func newGatherer(now time.Time) *gatherer {
	g := &gatherer{now: now, unsigned: new(int64), unplaced: new(int64), later: new(int64), tallies: map[string]*tally{}, open: map[about]*pending{},
		places: map[place]*pending{}, under: map[string]map[*pending]bool{}, withdrawals: map[told][]*pending{}, numbers: map[[3]string]*numbers{}, early: early{waiting: map[about][]*Event{}}}
	g.Report = Report{Type: ReportType, At: now.UTC(), Unsigned: g.unsigned, Unplaced: g.unplaced, Later: g.later}
	return g
}

func (g *gatherer) take(it *ledger.Item) {
	g.Records++
	e := eventOf(it)
	if e.Type == TypeMalformed {
		return
	}
	if e.Time.After(g.now) {
		*g.later++
		return
	}
	if g.From.IsZero() {
		g.From = e.Time
	}
	g.To = e.Time
	switch e.Type {
	case TypeExpired:
		g.expired(&e)
	case TypeMessage, TypeReceipt, TypeVoid:
		if !e.Signed {
			*g.unsigned++
			return
		}
		pair := [3]string{e.From, e.To, e.Lane}
		if g.numbers[pair] == nil {
			g.numbers[pair] = &numbers{}
		}
		if g.numbers[pair].again(e.Seq, e.Message) {
			return
		}
		g.mail(&e)
	}
}

func (g *gatherer) mail(e *Event) {
	switch e.Type {
	case TypeReceipt:
		if !g.receipt(e) {
			g.early.keep(about{e.ReplyTo, e.To, e.From}, e)
		}
		return
	case TypeVoid:
		g.tally(e.From).void++
		g.tally(e.To)
		return
	}
	t := g.tally(e.From)
	t.sent++
	if e.Basis != "" && !isConsent(e.Basis) {
		t.bases[e.Basis]++
	}
	g.tally(e.To)
	if isWithdrawal(e.Kind) {
		g.withdrawn(e)
	}
	if isOutcome(e.Kind) {
		if !g.outcome(e) {
			g.early.keep(about{e.Basis, e.To, e.From}, e)
		}
	} else if e.ReplyTo != "" && !g.answer(e) {
		g.early.keep(about{e.ReplyTo, e.To, e.From}, e)
	}
	g.expect(e)
}

// expect notes what is expected of a message, and takes what came before it.
func (g *gatherer) expect(e *Event) {
	p := &pending{Event: *e, place: place{e.Stream, e.StreamSeq}, uncollected: true, waits: e.RespondBy != nil || isReferral(e.Kind)}
	k := about{e.Message, e.From, e.To}
	g.open[k], g.places[p.place] = p, p
	before := g.early.take(k)
	if p.waits && isWithdrawal(e.Kind) {
		w := told{e.Basis, e.From, e.To}
		g.withdrawals[w] = append(g.withdrawals[w], p)
		before = append(before, g.early.take(about{e.Basis, e.From, e.To})...)
	} else if p.waits && isConsent(e.Basis) {
		if g.under[e.Basis] == nil {
			g.under[e.Basis] = map[*pending]bool{}
		}
		g.under[e.Basis][p] = true
	}
	for _, b := range before {
		switch {
		case b.Type == TypeReceipt:
			g.receipt(b)
		case isOutcome(b.Kind):
			g.outcome(b)
		default:
			g.answer(b)
		}
	}
}

// receipt takes a receipt; false if its message is not there, or not any more.
func (g *gatherer) receipt(e *Event) bool {
	p := g.open[about{e.ReplyTo, e.To, e.From}]
	if p == nil {
		return false
	}
	if p.final {
		return true
	}
	p.uncollected, p.receipted = false, true
	delete(g.places, p.place)
	if schemas.Outcome(e.Kind) != schemas.OutcomeDelivered {
		g.tally(e.From).refusals[Refusal{Outcome: e.Kind, Code: e.Code}]++
	}
	if p.final = schemas.Outcome(e.Kind) != schemas.OutcomeQuarantined; schemas.Outcome(e.Kind) == schemas.OutcomeRejected {
		g.stop(p, e.Time)
	}
	g.forget(p)
	return true
}

// answer takes an answer to anything but a withdrawal.
func (g *gatherer) answer(e *Event) bool {
	p := g.open[about{e.ReplyTo, e.To, e.From}]
	if p == nil || !p.waits || isWithdrawal(p.Kind) || !answers(e, &p.Event) {
		return p != nil
	}
	g.answered(p, e.Time)
	return true
}

// outcome takes a holder's answer to all withdrawals of a certificate that an agency sent it.
func (g *gatherer) outcome(e *Event) bool {
	k := told{e.Basis, e.To, e.From}
	list := g.withdrawals[k]
	delete(g.withdrawals, k)
	for _, p := range list {
		g.answered(p, e.Time)
		g.tally(p.Event.From).withdrawalsAnswered++
	}
	return len(list) > 0
}

func (g *gatherer) answered(p *pending, at time.Time) {
	t := g.tally(p.Event.To)
	t.took(p.Kind, at.Sub(p.Time))
	if isReferral(p.Kind) && p.RespondBy != nil {
		c := t.clock(&p.Event)
		if at.After(*p.RespondBy) {
			c.late++
		} else {
			c.inTime++
		}
	}
	p.waits = false
	g.forget(p)
}

// stop ends the waiting without an answer. A withdrawal goes on waiting beside: a holder that refused it, or was never
// reached, has still to say what it did.
func (g *gatherer) stop(p *pending, at time.Time) {
	if p.waits && isReferral(p.Kind) && p.RespondBy != nil && at.After(*p.RespondBy) {
		g.tally(p.Event.To).clock(&p.Event).late++
	}
	p.waits = false
	g.forget(p)
}

// forget drops a message of which nothing is expected any more.
func (g *gatherer) forget(p *pending) {
	if !p.waits && g.under[p.Basis] != nil {
		if delete(g.under[p.Basis], p); len(g.under[p.Basis]) == 0 {
			delete(g.under, p.Basis)
		}
	}
	if !p.waits && p.final {
		delete(g.open, about{p.Message, p.Event.From, p.Event.To})
	}
}

// withdrawn stops the clocks under a certificate of whoever was told, or tells: who else was is told by another message.
func (g *gatherer) withdrawn(e *Event) {
	for p := range g.under[e.Basis] {
		if p.Event.To == e.From || p.Event.To == e.To {
			g.stop(p, e.Time)
		}
	}
}

func (g *gatherer) expired(e *Event) {
	at := place{e.Stream, e.StreamSeq}
	p := g.places[at]
	if p == nil {
		*g.unplaced++
		return
	}
	delete(g.places, at)
	g.tally(p.Event.To).expired++
	p.uncollected, p.final = false, true
	g.stop(p, e.Time)
}

func isReferral(kind string) bool { return kind == string(schemas.KindReferral) }
func isOutcome(kind string) bool  { return kind == string(schemas.KindWithdrawalOutcome) }
