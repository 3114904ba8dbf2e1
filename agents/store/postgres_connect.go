package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// silent is how long a connection may say nothing before it is given up: a peer whose cable was pulled.
const silent = 10 * time.Second

// opener opens connections that are as durable as we need them.
func opener(c *pgx.ConnConfig) driver.Connector {
	return stdlib.GetConnector(*c, stdlib.OptionAfterConnect(func(ctx context.Context, conn *pgx.Conn) error {
		// A role or database may have it off. Stronger settings (remote_apply) stay.
		_, err := conn.Exec(ctx, `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`)
		return err
	}))
}

// config reads the URL and sets what every connection needs.
func (p Postgres) config() (*pgx.ConnConfig, error) {
	c, err := pgx.ParseConfig(p.URL)
	if err != nil || !strings.HasPrefix(p.URL, "postgres://") && !strings.HasPrefix(p.URL, "postgresql://") {
		return nil, fmt.Errorf("open store: %w", ErrURL) // pgx's own text repeats parts of the URL
	}
	if err := private(&c.Config); err != nil {
		return nil, err
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = 5 * time.Second
	}
	dialer := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: silent / 2, Interval: silent / 4, Count: 2}, Control: giveUpAfter(silent)}
	c.DialFunc = dialer.DialContext
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "waypost " + p.Agency
	}
	// A process that is stopped in the middle of an update must not hold up the other for ever.
	c.RuntimeParams["idle_in_transaction_session_timeout"] = "5s"
	return c, nil
}

// private refuses a connection over a network to somebody who cannot prove to be the server: who sits in between would read
// who sent what to whom, and the password.
func private(c *pgconn.Config) error {
	for _, f := range append([]*pgconn.FallbackConfig{{Host: c.Host, TLSConfig: c.TLSConfig}}, c.Fallbacks...) {
		ip := net.ParseIP(f.Host)
		local := strings.HasPrefix(f.Host, "/") || f.Host == "localhost" || ip != nil && ip.IsLoopback()
		if !local && (f.TLSConfig == nil || f.TLSConfig.InsecureSkipVerify) {
			return fmt.Errorf("open store: %w", ErrInsecure)
		}
	}
	return nil
}

// classifyPostgres keeps the server's own words out of the error where they can repeat a value (classes 22 and 23).
func classifyPostgres(err error) error {
	for _, known := range []error{ErrUnavailable, ErrExists, ErrFull, ErrInUse, ErrStandby} {
		if errors.Is(err, known) {
			return err
		}
	}
	var e *pgconn.PgError
	if errors.As(err, &e) {
		switch {
		case e.Code == "23505":
			return fmt.Errorf("%w (postgres %s)", ErrExists, e.Code)
		case e.Code == "53100", e.Code == "58030": // disk full, I/O error
			return fmt.Errorf("%w (postgres %s)", ErrFull, e.Code)
		case strings.HasPrefix(e.Code, "22"), strings.HasPrefix(e.Code, "23"):
			return fmt.Errorf("postgres %s %s %s", e.Code, e.TableName, e.ConstraintName)
		}
		switch e.Code[:min(2, len(e.Code))] {
		case "08", "25", "40", "53", "55", "57": // connection, aborted transaction, deadlock, resources, locks, shutdown
			return fmt.Errorf("%w (postgres %s)", ErrUnavailable, e.Code)
		}
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var n net.Error
	if errors.As(err, &n) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, pgx.ErrTxCommitRollback) || err != nil && pgconn.SafeToRetry(err) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}
