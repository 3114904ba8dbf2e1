package agents

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/note"

	"waypost/agents/api"
	"waypost/agents/intake"
	"waypost/agents/link"
	"waypost/agents/route"
	"waypost/agents/store"
	"waypost/agents/vault"
	"waypost/agents/witness"
	"waypost/schemas/directory"
	"waypost/schemas/envelope"
)

// Agent is one agency's running agent. New opens everything it needs and refuses to half-start; Run works until its context
// ends; then everything is closed.
type Agent struct {
	cfg       *Config
	log       *slog.Logger
	clock     func() time.Time
	vault     *vault.Vault
	grant     *directory.Grant
	store     *store.Store
	lock      *store.Lock
	emit      *intake.Emitter
	courier   *intake.Courier
	registry  *intake.Registry
	timers    *intake.Timekeeper
	directory *link.Directory
	witness   *witness.Witness
	link      *link.Link
	sinks     []*dispatcher
	flight    flight
	listener  net.Listener
	served    *tls.Certificate // by the API and the health listener; nil without one
	hosts     []string
	health    *watched

	tidied  time.Time
	alarmed sync.Mutex
	alarms  map[alarmKey]bool
	// How often an older directory was served, and one had expired; for whoever watches.
	rollbacks, expiries atomic.Int64
	active              atomic.Bool
}

// New opens the vault, the grant, the store, the sinks and the API's port. now is the agent's clock; nil is the system's.
func New(cfg *Config, log *slog.Logger, now func() time.Time) (_ *Agent, err error) {
	if now == nil {
		now = time.Now
	}
	a := &Agent{cfg: cfg, log: log.With("agency", cfg.Agency), clock: now, alarms: map[alarmKey]bool{}}
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	if err := a.openIdentity(); err != nil {
		return nil, err
	}
	if err := a.openStore(); err != nil {
		return nil, err
	}
	if err := a.openRoutes(); err != nil {
		return nil, err
	}
	root, err := note.NewVerifier(a.grant.Root)
	if err != nil {
		return nil, fmt.Errorf("read network root key: %w", err)
	}
	a.directory, err = link.NewDirectory(context.Background(), root, a.store, a.now, a.log, func(event, code string) { a.alarm(event, code) })
	if err != nil {
		return nil, err
	}
	a.witness = witness.New(witness.Config{Settings: cfg.Ledger, Agency: cfg.Agency, Root: root, Store: a.store, View: a.directory.View, Refresh: a.directory.Refresh,
		Ask: func(ctx context.Context, verb string, request []byte) ([]byte, error) {
			return a.link.Ask(ctx, verb, request)
		},
		Since: func() time.Time { return a.link.Since() }, Key: func() string { return a.vault.Public().SigningKey }, Cosign: a.vault.Cosign, Sign: a.sign,
		Tell: func(tx *store.Tx, e *store.Event) error { return a.emit.Event(tx, e) }, Asked: a.redeliveryAsked,
		Evidence: filepath.Join(cfg.Data, EvidenceFolder), Now: a.now, Log: a.log})
	a.courier = &intake.Courier{Agency: cfg.Agency, Vault: a.vault, Sign: a.sign, Directory: a.directory.View, Seen: a.witness.Seen}
	a.registry = &intake.Registry{Agency: cfg.Agency, Directory: a.directory.View, Emit: a.emit, Courier: a.courier, Policy: cfg.OnWithdrawal, Due: a.withdrawalDue, Log: a.log}
	a.timers = &intake.Timekeeper{Agency: cfg.Agency, Vault: a.vault, Calendar: a.calendar}
	in := &intake.Intake{Registry: a.registry, Timers: a.timers, Agency: cfg.Agency, Vault: a.vault, Store: a.store, Directory: a.directory.View, Refresh: a.directory.Refresh,
		Emit: a.emit, Met: a.witness.Met, Now: a.now, Log: a.log}
	urls := cfg.Brokers
	if len(urls) == 0 {
		urls = a.grant.URLs
	}
	a.link = link.New(link.Config{Agency: cfg.Agency, URLs: urls, CA: []byte(a.grant.CA), UserJWT: a.grant.UserJWT, SignNATS: a.vault.SignNATS,
		Store: a.store, Handle: in.Handle, Directory: a.directory, Now: a.now, Log: a.log, Begin: a.recover, Settle: a.witness.Settle})
	if a.listener, err = a.listen(); err != nil {
		return nil, err
	}
	if err := a.openHealth(); err != nil {
		return nil, err
	}
	return a, nil
}

// now is the agent's clock, in the precision that travels.
func (a *Agent) now() time.Time { return a.clock().UTC().Truncate(time.Millisecond) }

func (a *Agent) sign(m envelope.Manifest, body []byte) ([]byte, error) {
	return envelope.Sign(m, body, a.vault.Signer())
}

func (a *Agent) openIdentity() error {
	var pass []byte
	if a.cfg.PassphraseFile != "" {
		text, err := os.ReadFile(a.cfg.PassphraseFile)
		if err != nil {
			return &ConfigError{File: "passphrase_file", Text: plainPathError(err)}
		}
		pass = []byte(strings.TrimRight(string(text), "\r\n"))
	}
	var err error
	if a.vault, err = vault.Open(a.cfg.Keys, pass); err != nil {
		return err
	}
	if a.vault.Agency() != a.cfg.Agency {
		return &ConfigError{File: "agency", Text: "the keys in " + filepath.Base(a.cfg.Keys) + " belong to " + a.vault.Agency()}
	}
	text, err := os.ReadFile(a.cfg.Grant)
	if err != nil {
		return &ConfigError{File: "grant", Text: plainPathError(err), Advice: "send request.json to the network's administrators and run `waypost agent join GRANT` with what they answer"}
	}
	if a.grant, err = directory.ParseGrant(text); err != nil {
		return fmt.Errorf("read grant: %w", err)
	}
	return ours(a.grant, a.vault)
}

func (a *Agent) openStore() error {
	if err := os.MkdirAll(a.cfg.Data, 0o700); err != nil {
		return fmt.Errorf("make data folder: %w", err)
	}
	var err error
	if a.lock, err = store.Acquire(filepath.Join(a.cfg.Data, "agent.lock")); err != nil {
		return err
	}
	if a.store, err = OpenStore(a.cfg); err != nil {
		return err
	}
	a.store.ScrubSoon()
	if a.store.Shared() {
		a.store.StandBy()
	}
	if a.cfg.MaxStoreMB > 0 {
		return a.store.LimitSize(context.Background(), int64(a.cfg.MaxStoreMB)<<20)
	}
	return nil
}

// EvidenceFolder is the name, inside the data folder, of where alarms about the ledger keep both sides of a contradiction.
const EvidenceFolder = "evidence"

// StoreFile is the name of the store inside the data folder.
const StoreFile = "agent.db"

func (a *Agent) openRoutes() error {
	var names []string
	required := map[string]bool{}
	for _, c := range a.cfg.Sinks {
		names = append(names, c.Name)
		required[c.Name] = c.required()
	}
	rules, err := route.Compile(a.cfg.Routes, names)
	if err != nil {
		return &ConfigError{File: "routes", Text: err.Error()}
	}
	a.emit = &intake.Emitter{Agency: a.cfg.Agency, Sign: a.sign, Targets: func(f route.Facts) []intake.Target {
		var out []intake.Target
		for _, name := range rules.Match(f) {
			out = append(out, intake.Target{Sink: name, Required: required[name]})
		}
		return out
	}}
	for _, c := range a.cfg.Sinks {
		var sink route.Sink
		schedule := route.DefaultSchedule()
		var err error
		if c.Folder != nil {
			sink, err = route.NewFolder(*c.Folder)
		} else {
			sink, err = route.NewWebhook(*c.Webhook)
		}
		if err != nil {
			return &ConfigError{File: "sinks." + c.Name, Text: err.Error()}
		}
		a.sinks = append(a.sinks, &dispatcher{agency: a.cfg.Agency, sink: sink, schedule: schedule, store: a.store, vault: a.vault, emit: a.emit, flight: &a.flight,
			now: a.now, log: a.log, woken: map[bool]<-chan struct{}{true: a.store.Watch(store.DeliveriesUrgent), false: a.store.Watch(store.Deliveries)}})
	}
	waiting, err := a.store.PendingSinks(context.Background())
	if err != nil {
		return err
	}
	for name, n := range waiting {
		if !slices.Contains(names, name) {
			return &ConfigError{File: "sinks", Text: fmt.Sprintf("%d hand-overs wait for the sink %q, which is no longer there", n, name),
				Advice: "put the sink back until they are handed over; nothing is thrown away silently"}
		}
	}
	return nil
}

func (a *Agent) listen() (net.Listener, error) {
	ln, err := net.Listen("tcp", a.cfg.API.Listen)
	if err != nil {
		return nil, &ConfigError{File: "api.listen", Text: "the address cannot be listened on; it may be in use"}
	}
	if a.cfg.API.Cert == "" {
		return ln, nil
	}
	pair, err := tls.LoadX509KeyPair(a.cfg.API.Cert, a.cfg.API.Key)
	if err != nil {
		ln.Close()
		return nil, &ConfigError{File: "api.cert", Text: "certificate or key cannot be used"}
	}
	if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err == nil {
		a.hosts = pair.Leaf.DNSNames // the names that it may be addressed by are the ones it can prove
	}
	a.served = &pair
	return tls.NewListener(ln, &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}}), nil
}

// URL is the API's address.
func (a *Agent) URL() string {
	if a.cfg.API.Cert != "" {
		return "https://" + a.Addr()
	}
	return "http://" + a.Addr()
}

// Addr is the API's address, host:port.
func (a *Agent) Addr() string { return a.listener.Addr().String() }

// Run works until ctx ends, then stops everything and closes the store. It can be called once.
func (a *Agent) Run(ctx context.Context) error {
	defer a.close()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer a.serveHealth(ctx)() // until everything else has ended
	var wg sync.WaitGroup
	errs := make(chan error, 2)
	start := func(f func() error) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := f(); err != nil {
				errs <- err
			}
			stop() // whatever ends takes the agent with it: half an agent would look alive
		}()
	}
	start(func() error {
		return api.Serve(ctx, a.listener, api.New(a, api.Options{Log: a.log, Hosts: a.hosts, Standby: func() bool { return !a.Active() }}))
	})
	start(func() error { return a.terms(ctx) })
	a.log.Info("agent running", "api", a.Addr())
	wg.Wait()
	close(errs)
	var all error
	for err := range errs {
		all = errors.Join(all, err)
	}
	return all
}

// work does everything but answering the API, until ctx ends. Of a pair, it can be called again after the other had its turn.
func (a *Agent) work(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	work := func(f func()) {
		wg.Add(1)
		go func() { defer wg.Done(); f() }()
	}
	work(func() { a.runClocks(ctx) })
	work(func() { a.witness.Run(ctx) })
	for _, p := range a.sinks {
		work(func() { p.run(ctx, true) })
		work(func() { p.run(ctx, false) })
	}
	err := a.link.Run(ctx)
	stop()
	wg.Wait()
	return err
}

func (a *Agent) close() {
	if a.listener != nil {
		a.listener.Close()
	}
	if a.health != nil {
		a.health.listener.Close()
	}
	if a.store != nil {
		if err := a.store.Close(); err != nil {
			a.log.Error("store not closed", "err", err)
		}
	}
	if a.lock != nil {
		a.lock.Release()
	}
}
