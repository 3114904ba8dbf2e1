package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"waypost/schemas"
	"waypost/schemas/consent"
	"waypost/schemas/envelope"
)

// notControl is the part of a WHERE clause that leaves out the kinds that serve consent; stoppable also asks for a basis.
var notControl = func() string {
	var names []string
	for _, e := range schemas.Catalogue() {
		if e.Control {
			names = append(names, "'"+string(e.Kind)+"'")
		}
	}
	return `kind NOT IN (` + strings.Join(names, ",") + `)`
}()

var stoppable = `basis = ? AND ` + notControl

// StopUnder stops everything under a certificate: what waits for a sink, what waits to leave, and the clocks. It says how
// many messages of the inbox and the outbox it found. Repeating it changes nothing.
func (tx *Tx) StopUnder(certificate string, at time.Time) (int64, error) {
	basis := envelope.ConsentPrefix + certificate
	if _, err := tx.exec(`UPDATE deliveries SET state = 'stopped' WHERE state IN ('pending','dead') AND source = 'inbox'
		AND ref IN (SELECT id FROM inbox WHERE `+stoppable+`)`, basis); err != nil {
		return 0, fmt.Errorf("stop deliveries: %w", err)
	}
	in, err := tx.exec(`UPDATE inbox SET stopped = ? WHERE stopped IS NULL AND `+stoppable, millis(at), basis)
	if err != nil {
		return 0, fmt.Errorf("stop inbox: %w", err)
	}
	out, err := tx.exec(`UPDATE outbox SET stopped = ? WHERE stopped IS NULL AND outcome = '' AND `+stoppable, millis(at), basis)
	if err != nil {
		return 0, fmt.Errorf("stop outbox: %w", err)
	}
	tx.touch(Clocks)
	return in + out, nil
}

// ReleaseUnder lets everything under a certificate go on: the request to stop was a mistake.
func (tx *Tx) ReleaseUnder(certificate string, at time.Time) error {
	basis := envelope.ConsentPrefix + certificate
	if _, err := tx.exec(`UPDATE deliveries SET state = 'pending', due = ? WHERE state = 'stopped' AND source = 'inbox'
		AND ref IN (SELECT id FROM inbox WHERE `+stoppable+`)`, millis(at), basis); err != nil {
		return fmt.Errorf("release deliveries: %w", err)
	}
	for _, table := range []string{"inbox", "outbox"} {
		if _, err := tx.exec(`UPDATE `+table+` SET stopped = NULL WHERE stopped IS NOT NULL AND `+stoppable, basis); err != nil {
			return fmt.Errorf("release %s: %w", table, err)
		}
	}
	for _, t := range topics {
		tx.touch(t)
	}
	return nil
}

// StopMessage stops one message that came after everything else under its certificate was stopped.
func (tx *Tx) StopMessage(id string, at time.Time) error {
	if _, err := tx.exec(`UPDATE deliveries SET state = 'stopped' WHERE source = 'inbox' AND ref = ? AND state = 'pending'`, id); err != nil {
		return fmt.Errorf("stop delivery: %w", err)
	}
	_, err := tx.exec(`UPDATE inbox SET stopped = ? WHERE id = ?`, millis(at), id)
	return err
}

// LeftOver lists what a withdrawal left half-way: messages that never left, to be taken back, and messages that were never
// routed, to be refused. A withdrawal only marks them, so that it is quick however many there are.
func (s *Store) LeftOver(ctx context.Context, self string, limit int) (unsent []*Outgoing, unrouted []*Incoming, err error) {
	const withdrawn = `stopped IS NOT NULL AND basis IN (SELECT 'consent:' || id FROM certificates WHERE withdrawn IS NOT NULL)`
	err = each(ctx, s.read, func(r row) error {
		o, err := scanOutgoing(r, self)
		unsent = append(unsent, o)
		return err
	}, `SELECT `+outboxColumns+` FROM outbox WHERE state = 'pending' AND outcome = '' AND `+withdrawn+` ORDER BY n LIMIT ?`, limit)
	if err != nil {
		return nil, nil, fmt.Errorf("read outbox: %w", err)
	}
	err = each(ctx, s.read, func(r row) error {
		in, err := scanIncoming(r, self)
		unrouted = append(unrouted, in)
		return err
	}, `SELECT `+inboxList+` FROM inbox WHERE routed IS NULL AND refused IS NULL AND `+withdrawn+` ORDER BY n LIMIT ?`, limit)
	if err != nil {
		return nil, nil, fmt.Errorf("read inbox: %w", err)
	}
	return unsent, unrouted, nil
}

// TakeBack makes a message that did not leave a void one: its manifest travels, so that no number is missing, its body never
// does and is gone from here too. False when it has left.
func (tx *Tx) TakeBack(o *Outgoing, code string, sign Signer) (bool, error) {
	m := o.Manifest
	m.Outcome, m.Code, m.Body, m.Size, m.RespondBy = schemas.OutcomeVoid, code, "", 0, nil
	raw, err := sign(m, nil)
	if err != nil {
		return false, fmt.Errorf("sign void message: %w", err)
	}
	n, err := tx.exec(`UPDATE outbox SET outcome = ?, code = ?, note = ?, body = NULL, wrapped = NULL, stopped = NULL, respond_by = NULL, hold = ''
		WHERE id = ? AND state = 'pending' AND outcome = ''`, string(m.Outcome), code, raw, m.ID)
	if err != nil {
		return false, fmt.Errorf("take message back: %w", err)
	}
	tx.touch(outboxTopic(m.Lane))
	return n == 1, nil
}

// ThreadUnder returns the thread of the latest message under a certificate, a new id when there is none: what is said about
// a consent is shown where people look.
func (tx *Tx) ThreadUnder(certificate string) (thread string, err error) {
	err = classify(tx.tx.QueryRowContext(tx.ctx, `SELECT thread FROM (SELECT thread, sent FROM inbox WHERE basis = ?1 UNION ALL SELECT thread, sent FROM outbox WHERE basis = ?1)
		ORDER BY sent DESC LIMIT 1`, envelope.ConsentPrefix+certificate).Scan(&thread))
	if err == ErrNotFound {
		return schemas.NewThreadID(), nil
	}
	return thread, err
}

// Unrouted lists accepted messages under a certificate that wait for nothing but to be called routed.
func (tx *Tx) Unrouted(certificate, self string) ([]*envelope.Manifest, error) {
	var out []*envelope.Manifest
	err := each(tx.ctx, tx.tx, func(r row) error {
		in, err := scanIncoming(r, self)
		if err == nil {
			out = append(out, &in.Manifest)
		}
		return err
	}, `SELECT `+inboxList+` FROM inbox WHERE routed IS NULL AND refused IS NULL AND stopped IS NULL AND `+stoppable+`
		AND NOT EXISTS (SELECT 1 FROM deliveries WHERE source = 'inbox' AND ref = inbox.id AND required AND state <> 'done')`, envelope.ConsentPrefix+certificate)
	if err != nil {
		return nil, fmt.Errorf("read inbox: %w", err)
	}
	return out, nil
}

// Refuse marks an accepted message that will never be routed; false when it was routed or refused before.
func (tx *Tx) Refuse(id string, at time.Time) (bool, error) {
	n, err := tx.exec(`UPDATE inbox SET refused = ? WHERE id = ? AND routed IS NULL AND refused IS NULL`, millis(at), id)
	return n == 1, err
}

// EraseUnder destroys the bodies and keys of all messages under a certificate and says how many there were. Ids, receipts
// and history stay: they say that it happened, not what it said. SQLite overwrites what is freed (secure_delete).
func (tx *Tx) EraseUnder(certificate string, at time.Time) (int64, error) {
	basis := envelope.ConsentPrefix + certificate
	var total int64
	for _, table := range []string{"inbox", "outbox"} {
		where := stoppable
		if table == "outbox" {
			where += ` AND state = 'published'` // what has not left is taken back first
		}
		n, err := tx.exec(`UPDATE `+table+` SET erased = ?, body = NULL, wrapped = NULL WHERE erased IS NULL AND `+where, millis(at), basis)
		if err != nil {
			return 0, fmt.Errorf("erase %s: %w", table, err)
		}
		total += n
	}
	return total, nil
}

// Duty is a withdrawal, or a request for one, that our people must decide on.
type Duty struct {
	Statement   string
	Certificate string
	Issuer, By  string
	Act         consent.Act
	Message     string // that brought it
	Thread      string
	Received    time.Time
	Due         time.Time
	Overdue     *time.Time
	Answer      schemas.HolderAnswer
	Decided     *time.Time
}

// AddDuty records one; false when it is known.
func (tx *Tx) AddDuty(d *Duty) (bool, error) {
	n, err := tx.exec(`INSERT INTO duties (statement, certificate, issuer, by_agency, act, message, thread, received, due) VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING`,
		d.Statement, d.Certificate, d.Issuer, d.By, string(d.Act), d.Message, d.Thread, millis(d.Received), millis(d.Due))
	if err != nil {
		return false, fmt.Errorf("store duty: %w", err)
	}
	tx.touch(Clocks)
	return n == 1, nil
}

// DecideDuties records what was decided about every open duty of a certificate with the act given.
func (tx *Tx) DecideDuties(certificate string, act consent.Act, a schemas.HolderAnswer, at time.Time) error {
	_, err := tx.exec(`UPDATE duties SET outcome = ?, basis = ?, reason = ?, until = ?, decided = ? WHERE certificate = ? AND act = ?`,
		string(a.Outcome), string(a.Basis), string(a.Reason), string(a.Until), millis(at), certificate, string(act))
	if err != nil {
		return fmt.Errorf("decide duty: %w", err)
	}
	return nil
}

const dutyColumns = `statement, certificate, issuer, by_agency, act, message, thread, received, due, overdue, outcome, basis, reason, until, decided`

func scanDuty(r row) (Duty, error) {
	var d Duty
	var act, outcome, basis, reason, until string
	var received, due int64
	var overdue, decided sql.NullInt64
	err := r.Scan(&d.Statement, &d.Certificate, &d.Issuer, &d.By, &act, &d.Message, &d.Thread, &received, &due, &overdue, &outcome, &basis, &reason, &until, &decided)
	d.Act, d.Received, d.Due, d.Overdue, d.Decided = consent.Act(act), moment(received), moment(due), optMoment(overdue), optMoment(decided)
	d.Answer = schemas.HolderAnswer{Outcome: schemas.HolderOutcome(outcome), Basis: schemas.Basis(basis), Reason: schemas.RetentionReason(reason), Until: schemas.Date(until)}
	return d, err
}

// Duties lists what is to be decided, the most urgent first, or everything about one certificate.
func (s *Store) Duties(ctx context.Context, certificate string) ([]Duty, error) {
	return duties(ctx, s.read, certificate)
}

// Duties is Store.Duties of one certificate inside an update.
func (tx *Tx) Duties(certificate string) ([]Duty, error) {
	return duties(tx.ctx, tx.tx, certificate)
}

func duties(ctx context.Context, q querier, certificate string) ([]Duty, error) {
	where, args := `decided IS NULL`, []any{}
	if certificate != "" {
		where, args = `certificate = ?`, []any{certificate}
	}
	var out []Duty
	err := each(ctx, q, func(r row) error {
		d, err := scanDuty(r)
		out = append(out, d)
		return err
	}, `SELECT `+dutyColumns+` FROM duties WHERE `+where+` ORDER BY due LIMIT 500`, args...)
	if err != nil {
		return nil, fmt.Errorf("read duties: %w", err)
	}
	return out, nil
}

// OverdueDuties marks duties that ran out and returns them; each once, ever.
func (tx *Tx) OverdueDuties(now time.Time, limit int) ([]Duty, error) {
	var out []Duty
	err := each(tx.ctx, tx.tx, func(r row) error {
		d, err := scanDuty(r)
		out = append(out, d)
		return err
	}, `UPDATE duties SET overdue = ? WHERE statement IN (SELECT statement FROM duties WHERE decided IS NULL AND overdue IS NULL AND due < ? LIMIT ?) RETURNING `+dutyColumns,
		millis(now), millis(now), limit)
	if err != nil {
		return nil, fmt.Errorf("run duties: %w", err)
	}
	return out, nil
}
