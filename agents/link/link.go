// Package link is the agent's side of NATS: it publishes the outbox, fetches what came, keeps the directory fresh, and maps
// what intake decided to ack or nak - here and nowhere else.
//
// It reconnects for ever. A broker that is gone for a week costs nothing but time: what was accepted waits in the outbox.
package link

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"waypost/agents/intake"
	"waypost/agents/store"
	"waypost/schemas"
)

// Config says where the broker is and who we are.
type Config struct {
	Agency   string
	URLs     []string
	CA       []byte // PEM; nil: the system's
	UserJWT  string
	SignNATS func(nonce []byte) ([]byte, error)

	Store     *store.Store
	Handle    func(context.Context, []intake.Message) []intake.Verdict
	Directory *Directory
	Now       func() time.Time
	Log       *slog.Logger

	// BatchMax bounds one atomic publish; 0 means 512.
	BatchMax int

	// Begin, when set, is called once before anything is sent or collected, and again after a pause until it returns nil:
	// a store that was restored has to ask first what it forgot.
	Begin func(context.Context) error
	// Settle, when set, is called for each new connection before anything is sent over it, and again until it returns nil,
	// for settlePatience: the broker behind it may be one that was restored.
	Settle func(context.Context) error
}

// streams of the lanes, as the broker names them.
var streams = map[schemas.Lane]string{
	schemas.LaneUrgent:  "MAIL_URGENT",
	schemas.LaneRoutine: "MAIL_ROUTINE",
	schemas.LaneReceipt: "MAIL_RECEIPT",
}

// Link is one agency's connection. Run it again only after it has returned.
type Link struct {
	cfg Config
	log *slog.Logger

	mu     sync.Mutex
	nc     *nats.Conn
	noting sync.RWMutex
	cause  string    // why we are not connected; a code
	lost   time.Time // see Lost

	smooth time.Time // see Since

	settling sync.Mutex // guards the two below
	settled  uint64     // the connection that Settle was content with, counted from 1
	since    time.Time  // when Settle was first asked about the present one
}

// New prepares a link; nothing is dialled before Run.
func New(cfg Config) *Link {
	if cfg.BatchMax == 0 {
		cfg.BatchMax = 512
	}
	return &Link{cfg: cfg, log: cfg.Log, cause: "connecting", lost: cfg.Now()}
}

// Status says whether the broker is reachable and, if not, a code for why.
func (l *Link) Status() (connected bool, code string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.nc != nil && l.nc.IsConnected() {
		return true, ""
	}
	return false, l.cause
}

// Run connects and works until ctx ends. It returns nil then, and an error only for a configuration that can never work.
func (l *Link) Run(ctx context.Context) error {
	nc, err := l.connect()
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("open jetstream: %w", err)
	}
	l.mu.Lock()
	l.nc = nc
	l.mu.Unlock()
	l.settling.Lock()
	l.settled, l.since = 0, time.Time{} // of a pair, the agent that leads again: what it was content with was another connection
	l.settling.Unlock()

	var wg sync.WaitGroup
	wg.Add(1)
	go func() { defer wg.Done(); l.cfg.Directory.keep(ctx, nc) }()
	l.begin(ctx)
	for _, lane := range schemas.Lanes() {
		wg.Add(2)
		go func() { defer wg.Done(); l.publish(ctx, js, lane) }()
		go func() { defer wg.Done(); l.collect(ctx, js, lane) }()
	}
	wg.Wait()
	return nil
}

func (l *Link) begin(ctx context.Context) {
	for l.cfg.Begin != nil && ctx.Err() == nil {
		err := l.cfg.Begin(ctx)
		if err == nil {
			return
		}
		if ctx.Err() == nil && !errors.Is(err, ErrOffline) {
			l.log.Warn("nothing is sent or collected yet, trying again", "err", err)
		}
		sleep(ctx, retryAfter)
	}
}

// settlePatience is how long, by the agent's clock, a ledger that does not answer is asked again before what is to be sent over
// a new connection goes all the same (a question under way is waited for): the worst that can follow is that a restored broker
// gets what it lost after what is new.
const settlePatience = time.Minute

// isSettled reports whether things may be sent over the present connection.
func (l *Link) isSettled(ctx context.Context, nc *nats.Conn) bool {
	if l.cfg.Settle == nil {
		return true
	}
	l.settling.Lock()
	defer l.settling.Unlock()
	dial := nc.Stats().Reconnects + 1 // counted before it is used; a handler would come too late
	if l.settled == dial {
		return true
	}
	if now := l.cfg.Now(); l.since.IsZero() || now.Before(l.since) { // a clock that is put back holds nothing up for longer
		l.since = now
	}
	l.noting.Lock() // what is being noted as published is noted before it is compared with the ledger
	err := l.cfg.Settle(ctx)
	l.noting.Unlock()
	if err != nil && (ctx.Err() != nil || l.cfg.Now().Sub(l.since) < settlePatience) {
		return false
	}
	if err != nil {
		l.log.Warn("the ledger does not say whether the broker has what was sent; sending all the same", "err", err)
	}
	l.settled, l.since = dial, time.Time{}
	return true
}

func (l *Link) connect() (*nats.Conn, error) {
	opts := []nats.Option{
		nats.Name("waypost-agent/" + l.cfg.Agency),
		nats.UserJWT(func() (string, error) { return l.cfg.UserJWT, nil }, l.cfg.SignNATS),
		// With the default prefix any member could listen to another's replies; the broker allows only this one.
		nats.CustomInboxPrefix("_INBOX_" + l.cfg.Agency),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		// A suspended agency is refused again and again; when it is restored it must come back by itself.
		nats.IgnoreAuthErrorAbort(),
		nats.CustomReconnectDelay(func(attempts int) time.Duration {
			d := min(time.Duration(attempts)*250*time.Millisecond, 5*time.Second)
			return d/2 + rand.N(d/2+1)
		}),
		nats.ReconnectBufSize(-1), // what is not on the wire is in the outbox, not in memory
		nats.PingInterval(20 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { l.down(err) }),
		nats.ConnectHandler(func(*nats.Conn) { l.rough(); l.up(); l.log.Info("connected to broker") }),
		nats.ReconnectHandler(func(*nats.Conn) { l.rough(); l.up(); l.log.Info("connected to broker again") }),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { l.down(err) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			l.log.Warn("broker reported an error", "code", reason(err))
		}),
	}
	secure := false
	for _, u := range l.cfg.URLs {
		secure = secure || strings.HasPrefix(u, "tls://") || strings.HasPrefix(u, "wss://")
	}
	if secure || len(l.cfg.CA) > 0 {
		conf := &tls.Config{MinVersion: tls.VersionTLS13}
		if len(l.cfg.CA) > 0 {
			conf.RootCAs = x509.NewCertPool()
			if !conf.RootCAs.AppendCertsFromPEM(l.cfg.CA) {
				return nil, errors.New("read broker CA: no certificate in it")
			}
		}
		opts = append(opts, nats.Secure(conf))
	}
	nc, err := nats.Connect(strings.Join(l.cfg.URLs, ","), opts...)
	if err != nil {
		return nil, fmt.Errorf("connect broker: %w", err)
	}
	return nc, nil
}

// up forgets why we were not connected, so that the next outage is logged even if it has the same cause.
func (l *Link) up() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cause, l.lost = "", time.Time{}
}

func (l *Link) down(err error) {
	code := reason(err)
	l.mu.Lock()
	repeated := l.cause == code
	l.cause = code
	if l.lost.IsZero() {
		l.lost = l.cfg.Now()
	}
	l.mu.Unlock()
	if !repeated && err != nil {
		l.log.Warn("not connected to broker; what is sent waits in the outbox", "code", code)
	}
}

// reason turns a NATS error into a code; its text can hold subjects and addresses and is not repeated.
func reason(err error) string {
	switch {
	case err == nil:
		return "disconnected"
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthRevoked), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAccountAuthExpired):
		return "not-authorised"
	case errors.Is(err, nats.ErrPermissionViolation):
		return "permission-violation"
	case errors.Is(err, nats.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, nats.ErrStaleConnection):
		return "stale-connection"
	case errors.Is(err, nats.ErrSlowConsumer):
		return "slow-consumer"
	}
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) {
		return "unknown-certificate-authority"
	}
	return "unreachable"
}

// pressedMax is how many messages make one piece of work while there is urgent traffic: what is urgent waits for the piece
// under way, so it is short.
const pressedMax = 1

// piece is how many messages of a lane to take at once.
func (l *Link) piece(lane schemas.Lane, most int) int {
	if lane == schemas.LaneRoutine && l.cfg.Store.Pressed() {
		return min(most, pressedMax)
	}
	return most
}

// sleep waits, or returns false when ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
