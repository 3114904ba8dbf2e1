package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"waypost/schemas"
)

// Notice is one agency that was told of a statement.
type Notice struct {
	Statement   string
	Certificate string
	Agency      string
	Message     string // the last one that told it
	Told        time.Time
	Due         *time.Time // nil: its answer goes to somebody else
	Reminders   int
	Reminded    *time.Time
	Answer      schemas.HolderAnswer
	Answered    *time.Time
}

// AddNotice records that an agency was told; false when it had been.
func (tx *Tx) AddNotice(n *Notice) (bool, error) {
	count, err := tx.exec(`INSERT INTO notices (statement, certificate, agency, message, told, due) VALUES (?,?,?,?,?,?) ON CONFLICT DO NOTHING`,
		n.Statement, n.Certificate, n.Agency, n.Message, millis(n.Told), optMillis(n.Due))
	if err != nil {
		return false, fmt.Errorf("store notice: %w", err)
	}
	if n.Due != nil {
		tx.touch(Clocks)
	}
	return count == 1, nil
}

// Told reports whether an agency was told of a statement.
func (tx *Tx) Told(statement, agency string) (told bool, err error) {
	err = tx.tx.QueryRowContext(tx.ctx, `SELECT EXISTS (SELECT 1 FROM notices WHERE statement = ? AND agency = ?)`, statement, agency).Scan(&told)
	return told, classify(err)
}

// AnswerNotice records a holder's answer, the latest of several, and returns the message that it answers; ErrNotFound when
// that agency was not asked by us.
func (tx *Tx) AnswerNotice(statement, agency string, a schemas.HolderAnswer, at time.Time) (message string, err error) {
	err = tx.tx.QueryRowContext(tx.ctx, `UPDATE notices SET outcome = ?, basis = ?, reason = ?, until = ?, answered = ?
		WHERE statement = ? AND agency = ? AND due IS NOT NULL RETURNING message`,
		string(a.Outcome), string(a.Basis), string(a.Reason), string(a.Until), millis(at), statement, agency).Scan(&message)
	return message, classify(err)
}

const noticeColumns = `statement, certificate, agency, message, told, due, reminders, reminded, outcome, basis, reason, until, answered`

func scanNotice(r row) (Notice, error) {
	var n Notice
	var told int64
	var due, reminded, answered sql.NullInt64
	var outcome, basis, reason, until string
	err := r.Scan(&n.Statement, &n.Certificate, &n.Agency, &n.Message, &told, &due, &n.Reminders, &reminded, &outcome, &basis, &reason, &until, &answered)
	n.Told, n.Due, n.Reminded, n.Answered = moment(told), optMoment(due), optMoment(reminded), optMoment(answered)
	n.Answer = schemas.HolderAnswer{Outcome: schemas.HolderOutcome(outcome), Basis: schemas.Basis(basis), Reason: schemas.RetentionReason(reason), Until: schemas.Date(until)}
	return n, err
}

// Notices lists who was told about a certificate and what they answered.
func (s *Store) Notices(ctx context.Context, certificate string) ([]Notice, error) {
	var out []Notice
	err := each(ctx, s.read, func(r row) error {
		n, err := scanNotice(r)
		out = append(out, n)
		return err
	}, `SELECT `+noticeColumns+` FROM notices WHERE certificate = ? ORDER BY told, agency`, certificate)
	if err != nil {
		return nil, fmt.Errorf("read notices: %w", err)
	}
	return out, nil
}

// notAnswered is what Silent lists, at ?1, for the ones not reminded since ?2 nor ?3 times.
const notAnswered = `due IS NOT NULL AND answered IS NULL AND due < ?1 AND (reminded IS NULL OR reminded < ?2) AND reminders < ?3`

// Silent lists notices whose answer is overdue and that were not reminded since the time given, at most limit.
func (s *Store) Silent(ctx context.Context, now, since time.Time, most, limit int) ([]Notice, error) {
	var out []Notice
	err := each(ctx, s.read, func(r row) error {
		n, err := scanNotice(r)
		out = append(out, n)
		return err
	}, `SELECT `+noticeColumns+` FROM notices WHERE `+notAnswered+`
		ORDER BY due LIMIT ?4`, millis(now), millis(since), most, limit)
	if err != nil {
		return nil, fmt.Errorf("read notices: %w", err)
	}
	return out, nil
}

// Reminded counts a reminder; false when somebody else did meanwhile, or an answer came.
func (tx *Tx) Reminded(n *Notice, message string, at time.Time) (bool, error) {
	count, err := tx.exec(`UPDATE notices SET reminders = reminders + 1, reminded = ?, message = ? WHERE statement = ? AND agency = ? AND reminders = ? AND answered IS NULL`,
		millis(at), message, n.Statement, n.Agency, n.Reminders)
	return count == 1, err
}
