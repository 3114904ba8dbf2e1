package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"waypost/schemas"
	"waypost/schemas/consent"
)

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
