package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"waypost/schemas"
)

// What happened to a message, as the agency's own history and systems see it. Names follow CloudEvents' reverse-noun
// habit so that a rule can pick them; none carries payload.
const (
	EventSubmitted         = "waypost.message.submitted"
	EventPublished         = "waypost.message.published"
	EventReceived          = "waypost.message.received"
	EventRouted            = "waypost.message.routed"
	EventQuarantined       = "waypost.message.quarantined"
	EventReceipt           = "waypost.receipt.received"
	EventOverdue           = "waypost.referral.overdue"
	EventGap               = "waypost.sequence.gap"
	EventSinkDead          = "waypost.sink.dead-letter"
	EventDirectoryExpired  = "waypost.directory.expired"
	EventDirectoryRollback = "waypost.directory.rollback"
	EventWithdrawn         = "waypost.consent.withdrawn"            // stop: for ever
	EventStopRequested     = "waypost.consent.withdrawal-requested" // stop until it is decided
	EventStands            = "waypost.consent.stands"               // go on: the request was a mistake
	EventReplaced          = "waypost.consent.replaced"
	EventForwarded         = "waypost.consent.forwarded"
	EventWithdrawalOutcome = "waypost.withdrawal.outcome"
	EventWithdrawalOverdue = "waypost.withdrawal.overdue"
	EventTakenBack         = "waypost.message.taken-back"
	EventRefusedLate       = "waypost.message.refused" // accepted, then withdrawn before it was routed
	EventErased            = "waypost.message.erased"
	EventClockSoon         = "waypost.clock.due-soon"
	EventClockOver         = "waypost.clock.overdue"
	EventLedgerAlarm       = "waypost.ledger.alarm"
	EventLedgerRestored    = "waypost.ledger.restored"   // administrators explained why the ledger went back
	EventRestored          = "waypost.agent.restored"    // this store came from a backup: what came since then comes again
	EventRecovered         = "waypost.message.recovered" // sent after the backup; only the ledger remembers it
	EventRedelivery        = "waypost.redelivery.asked"
	EventRedriven          = "waypost.sink.redriven"
	EventDisclosed         = "waypost.message.disclosed"
)

// Event is one line of an agency's history.
type Event struct {
	N       int64
	ID      string
	Thread  string
	Message string
	Kind    schemas.Kind
	Type    string
	Peer    string
	Code    string
	// Certificate is the consent that it is about, with events about one.
	Certificate string
	At          time.Time
}

// AddEvent appends to the history. An event id makes it idempotent: ErrExists the second time.
func (tx *Tx) AddEvent(e *Event) error {
	if e.ID == "" {
		e.ID = schemas.NewMessageID()
	}
	err := tx.add(`INSERT INTO events (id, thread, message, kind, type, peer, code, certificate, at) VALUES (?,?,?,?,?,?,?,?,?)`,
		e.ID, e.Thread, e.Message, string(e.Kind), e.Type, e.Peer, e.Code, e.Certificate, millis(e.At))
	if err != nil {
		return fmt.Errorf("add event: %w", err)
	}
	return nil
}

// passing are the events that every message brings: those of a thread are found by its messages, see schema.sql.
var passing = `type IN ('` + strings.Join([]string{EventSubmitted, EventPublished, EventReceived, EventRouted, EventReceipt}, "','") + `')`

var lasting = strings.Replace(passing, "IN", "NOT IN", 1)

// History returns what happened in a thread, oldest first; ErrNotFound for a thread never seen.
func (s *Store) History(ctx context.Context, thread string) ([]Event, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT `+eventColumns+` FROM events WHERE `+passing+` AND thread = ?1
			AND message IN (SELECT id FROM outbox WHERE thread = ?1 UNION ALL SELECT id FROM inbox WHERE thread = ?1)
		UNION ALL SELECT `+eventColumns+` FROM events WHERE `+lasting+` AND thread = ?1 ORDER BY n LIMIT 5000`, thread)
	if err != nil {
		return nil, fmt.Errorf("read history: %w", classify(err))
	}
	defer rows.Close()
	var out []Event
	for rows.Next() {
		e, err := scanEvent(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, *e)
	}
	if len(out) == 0 && rows.Err() == nil {
		return nil, ErrNotFound
	}
	return out, classify(rows.Err())
}

// Event returns one event.
func (s *Store) Event(ctx context.Context, id string) (*Event, error) {
	return scanEvent(s.read.QueryRowContext(ctx, `SELECT `+eventColumns+` FROM events WHERE id = ?`, id))
}

const eventColumns = `n, id, thread, message, kind, type, peer, code, certificate, at`

func scanEvent(r row) (*Event, error) {
	var e Event
	var at int64
	var kind string
	if err := r.Scan(&e.N, &e.ID, &e.Thread, &e.Message, &kind, &e.Type, &e.Peer, &e.Code, &e.Certificate, &at); err != nil {
		return nil, classify(err)
	}
	e.Kind, e.At = schemas.Kind(kind), moment(at)
	return &e, nil
}

// Clock is a referral whose answer is due.
type Clock struct {
	ID, Thread, Peer string
	Kind             schemas.Kind
	RespondBy        time.Time
	Ours             bool // we sent it and wait; otherwise they wait for us
}

// RunOut marks every response clock that has passed and returns them; each is returned once, ever.
func (tx *Tx) RunOut(now time.Time, limit int) ([]Clock, error) {
	var out []Clock
	for _, table := range []string{"outbox", "inbox"} {
		rows, err := tx.tx.QueryContext(tx.ctx, `UPDATE `+table+` SET overdue = ? WHERE n IN (SELECT n FROM `+table+`
			WHERE respond_by IS NOT NULL AND respond_by < ? AND answered IS NULL AND overdue IS NULL AND stopped IS NULL ORDER BY respond_by, n LIMIT ?)
			RETURNING id, thread, peer, kind, respond_by`, millis(now), millis(now), limit)
		if err != nil {
			return nil, fmt.Errorf("run clocks: %w", classify(err))
		}
		for rows.Next() {
			c := Clock{Ours: table == "outbox"}
			var kind string
			var by int64
			if err := rows.Scan(&c.ID, &c.Thread, &c.Peer, &kind, &by); err != nil {
				rows.Close()
				return nil, classify(err)
			}
			c.Kind, c.RespondBy = schemas.Kind(kind), moment(by)
			out = append(out, c)
		}
		if err := rows.Close(); err != nil {
			return nil, classify(err)
		}
		if err := rows.Err(); err != nil {
			return nil, classify(err)
		}
	}
	return out, nil
}
