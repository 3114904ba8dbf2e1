package store

import (
	"context"
	"fmt"
	"time"
)

// older asks whether anything in the server still keeps rows that were deleted before a transaction number was next: an open
// snapshot (a backup of this agent, pg_dump), a prepared transaction, a standby, a replication slot. VACUUM leaves those rows
// where they are and says nothing.
const older = `SELECT
	EXISTS (SELECT 1 FROM pg_stat_activity WHERE (datid IS NULL OR datname = current_database()) AND pid <> pg_backend_pid()
		AND backend_type <> 'autovacuum worker' AND age(backend_xmin) > age(?1::text::xid))
	OR EXISTS (SELECT 1 FROM pg_prepared_xacts WHERE database = current_database() AND age(transaction) > age(?1::text::xid))
	OR EXISTS (SELECT 1 FROM pg_replication_slots WHERE age(xmin) > age(?1::text::xid))`

// scrub makes the room of erased rows free for others. What lay there is overwritten when it is used again, not at once:
// PostgreSQL has no secure_delete, and its log is the operator's to keep or throw away. ErrBusy when something still sees the
// erased rows after a while: they lie there until it has ended and the server's autovacuum comes by.
func (e *postgresEngine) scrub(ctx context.Context, db *database) error {
	var next string
	if err := db.QueryRowContext(ctx, `SELECT pg_snapshot_xmax(pg_current_snapshot())::xid::text`).Scan(&next); err != nil {
		return fmt.Errorf("scrub store: %w", classify(err))
	}
	wait, cancel := context.WithTimeout(ctx, scrubPatience)
	defer cancel()
	busy := true
	for busy {
		if err := db.QueryRowContext(ctx, older, next).Scan(&busy); err != nil {
			return fmt.Errorf("scrub store: %w", classify(err))
		}
		if busy && !pause(wait, 20*time.Millisecond) {
			break
		}
	}
	// Also when somebody sees some of it: the rest goes.
	if _, err := db.ExecContext(ctx, `VACUUM inbox, inbox_bodies, outbox, outbox_bodies, quarantine, timers`); err != nil {
		return fmt.Errorf("scrub store: %w", classify(err))
	}
	if busy {
		return fmt.Errorf("scrub store: %w", ErrBusy)
	}
	return nil
}
