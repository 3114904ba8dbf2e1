package agents

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"waypost/agents/store"
	"waypost/schemas/health"
)

// Codes of /readyz. Their spelling never changes.
//
// Ready means: what the agency's systems hand over now is accepted, and what comes from others is kept. A broker that cannot
// be reached is no reason to be called unready: the agent accepts into its outbox, and nobody who would be asked instead
// could reach it better. It is named in "attention" after a while. Neither is anything a reason to be called dead: /healthz
// answers as long as the process does, because a restart mends no disk, directory or network, and ends what is under way.
const (
	ReadyCode            = "ready"
	CodeStopping         = "stopping"
	CodeStoreFull        = "store-full"        // disk, or the bound of the store, is exhausted
	CodeStandby          = "standby"           // of a pair: the other agent works
	CodeStoreUnavailable = "store-unavailable" // nothing can be written for another reason
	CodeRecovering       = "recovering"        // restored from a backup; the ledger was not asked yet which numbers were given since
	CodeNoDirectory      = "no-directory"      // never received: nobody is known to whom anything could be sent
	CodeDirectoryExpired = "directory-expired" // nobody knows any more who may be trusted: everything is refused or waits

	AttentionBroker = "broker-unreachable"
)

var notReady = map[string]string{
	CodeStopping:         "The agent is stopping.",
	CodeStoreFull:        "The agent has no room: nothing is accepted until some is made on its disk, or max_store_mb is raised. What was accepted is safe.",
	CodeStandby:          "Another agent of this agency works; this one takes over when that one is gone. What was accepted is safe.",
	CodeStoreUnavailable: "The agent cannot write to its store: see its log. What was accepted is safe.",
	CodeRecovering:       "The agent was restored from a backup and has not yet heard from the ledger what it sent since. It needs the broker for that.",
	CodeNoDirectory:      "The agent has not received the directory yet. It comes with the first connection to the broker.",
	CodeDirectoryExpired: "The directory has expired, so nothing is sent and nothing is let in. The network's administrators must sign it anew.",
}

const (
	stateKept  = 15 * time.Second // each look writes to the disk
	vitalsKept = 10 * time.Second
	// lostPatience is how long the broker may be away before a person is told: a restart of it takes seconds.
	lostPatience = 2 * time.Minute
)

// watched is the health listener.
type watched struct {
	listener net.Listener
	options  health.Options
	states   keep
	vitals   keep
}

// keep is for how long what was read is kept: so long, and so many times as long as the reading took.
type keep struct {
	least time.Duration
	share int
}

func (a *Agent) openHealth() error {
	if a.cfg.Health.Listen == "" {
		return nil
	}
	token, err := a.cfg.healthToken()
	if err != nil {
		return err
	}
	var conf *tls.Config
	if a.served != nil {
		conf = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{*a.served}}
	}
	ln, err := health.Listen(context.Background(), a.cfg.Health.Listen, conf)
	if err != nil {
		return &ConfigError{File: "health.listen", Text: "the address cannot be listened on; it may be in use"}
	}
	a.health = &watched{listener: ln, options: health.Options{Token: token, Certified: conf != nil, Program: "agent", Log: a.log}, states: keep{stateKept, 1}, vitals: keep{vitalsKept, 50}}
	return nil
}

// HealthURL is where the health listener answers; empty without one.
func (a *Agent) HealthURL() string {
	if a.health == nil {
		return ""
	}
	if a.health.options.Certified {
		return "https://" + a.health.listener.Addr().String()
	}
	return "http://" + a.health.listener.Addr().String()
}

// serveHealth answers until the function that it returns is called, which waits. running ends when the agent begins to stop.
func (a *Agent) serveHealth(running context.Context) (stop func()) {
	if a.health == nil {
		return func() {}
	}
	m := newMeter(running, a)
	ctx, cancel := context.WithCancel(context.WithoutCancel(running))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := health.Serve(ctx, a.health.listener, health.New(m, a.health.options)); err != nil {
			// Whoever watches notices that nobody answers; messages go on.
			a.log.Error("health is not served any more", "err", err)
		}
	}()
	return func() { cancel(); <-done }
}

// readiness looks how this agent is now. It writes to the store: nothing else shows whether that works.
func (a *Agent) readiness(ctx, running context.Context) health.State {
	var code string
	view := a.directory.View()
	switch err := a.probe(ctx, running); {
	case running.Err() != nil:
		code = CodeStopping
	case errors.Is(err, store.ErrFull):
		code = CodeStoreFull
	case errors.Is(err, store.ErrStandby):
		code = CodeStandby
	case err != nil:
		code = CodeStoreUnavailable
	case a.store.Recovering():
		code = CodeRecovering
	case view == nil:
		code = CodeNoDirectory
	case view.Expired(a.now()):
		code = CodeDirectoryExpired
	default:
		code = ReadyCode
	}
	st := health.State{Ready: code == ReadyCode, Code: code, Sentence: notReady[code]}
	if st.Ready {
		st.Sentence = "The agent accepts what it is given, and keeps what comes."
	}
	if lost := a.link.Lost(); a.Active() && !lost.IsZero() && a.now().Sub(lost) >= lostPatience {
		st.Attention = append(st.Attention, AttentionBroker)
	}
	return st
}

func (a *Agent) probe(ctx, running context.Context) error {
	if running.Err() != nil {
		return nil // no more writing
	}
	err := a.store.Probe(ctx, a.now())
	if err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrStandby) {
		a.log.Error("store cannot be written to", "err", err)
	}
	return err
}

// pair says whether this agent is the one that works, and whether there may be another that shares its store. A store of
// its own admits one agent.
func (a *Agent) pair() (active, paired bool) { return a.Active(), a.store.Shared() }
