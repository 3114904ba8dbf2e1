package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"waypost/agents"
	"waypost/agents/store"
	"waypost/broker"
	"waypost/broker/network"
	"waypost/schemas"
	"waypost/schemas/directory"
)

// The demo's cast. All three are invented.
const (
	demoPolice  = "northshire-police"
	demoNGO     = "harbour-ngo"
	demoHousing = "lantern-housing"
)

// demoAgency is one agency of the demo and where its things are.
type demoAgency struct {
	id, name string
	role     schemas.Role
	dir      string // agent/ and systems/ below it

	url, token, creds, identity, systems string
	agent                                *agents.Agent
	hook                                 *hookReceiver
}

// demoNetwork is everything that runs.
type demoNetwork struct {
	dir       string
	log       *slog.Logger
	authority *network.Authority
	broker    *broker.Broker
	agencies  []*demoAgency
	running   sync.WaitGroup
	failed    chan error
}

// startDemoNetwork does what administrators and agencies do by hand, with the same functions as the commands: network init,
// broker run, agent init, enrol, agreements, publish, join, agent run. A folder that was used before is taken up again.
func startDemoNetwork(ctx context.Context, dir string, log *slog.Logger) (_ *demoNetwork, err error) {
	ctx, stop := context.WithCancel(ctx)
	n := &demoNetwork{dir: dir, log: log, failed: make(chan error, 8)}
	defer func() {
		if err != nil {
			stop()
			_ = n.wait()
		}
	}()
	if err := n.startBroker(ctx); err != nil {
		return nil, err
	}
	for _, a := range []*demoAgency{
		{id: demoPolice, name: "Northshire Police", role: "police"},
		{id: demoNGO, name: "Harbour NGO", role: "ngo"},
		{id: demoHousing, name: "Lantern Housing Support", role: "support-provider"},
	} {
		a.dir = filepath.Join(dir, "agencies", a.id)
		n.agencies = append(n.agencies, a)
		if err := n.enrol(a); err != nil {
			return nil, err
		}
	}
	if err := n.agree(); err != nil {
		return nil, err
	}
	if err := n.authority.SignHead(time.Now()); err != nil {
		return nil, err
	}
	if err := n.authority.Publish(ctx, n.broker.URL()); err != nil {
		return nil, err
	}
	if err := n.broker.WaitDirectory(ctx, n.authority.View().Head().Version); err != nil {
		return nil, err
	}
	for _, a := range n.agencies {
		if err := n.startAgent(ctx, a); err != nil {
			return nil, err
		}
	}
	for _, a := range n.agencies {
		if err := a.settled(ctx); err != nil {
			return nil, err
		}
	}
	return n, nil
}

func (n *demoNetwork) run(f func() error) {
	n.running.Add(1)
	go func() {
		defer n.running.Done()
		if err := f(); err != nil {
			n.failed <- err
		}
	}()
}

// wait returns when everything has stopped.
func (n *demoNetwork) wait() error {
	n.running.Wait()
	select {
	case err := <-n.failed:
		return err
	default:
		return nil
	}
}

func (n *demoNetwork) startBroker(ctx context.Context) error {
	dir := filepath.Join(n.dir, "network")
	var err error
	if _, e := os.Stat(filepath.Join(dir, "network.yaml")); e == nil {
		n.authority, err = network.Open(dir)
	} else {
		n.authority, err = network.Init(dir, network.Options{Name: "demo", URLs: []string{"nats://127.0.0.1:4222"}})
	}
	if err != nil {
		return err
	}
	cfg := broker.DefaultConfig()
	cfg.Listen, cfg.Data, cfg.Bundle = "127.0.0.1:0", filepath.Join(n.dir, "broker"), n.authority.BrokerBundle()
	cfg.Ledger.Interval = 200 * time.Millisecond // a demo waits for nobody
	if n.broker, err = broker.New(&cfg, broker.WithLogger(n.log)); err != nil {
		return err
	}
	stopped := make(chan error, 1)
	n.run(func() error {
		err := n.broker.Run(ctx)
		stopped <- err
		return err
	})
	select {
	case <-n.broker.Ready():
		return nil
	case err := <-stopped:
		return errors.Join(errors.New("start demo broker"), err)
	case <-time.After(30 * time.Second):
		return errors.New("start demo broker: not ready after 30 seconds")
	}
}

func (n *demoNetwork) enrol(a *demoAgency) error {
	dir := filepath.Join(a.dir, "agent")
	made, err := agents.Init(dir, agents.InitOptions{Agency: a.id, Name: a.name})
	if err != nil {
		return fmt.Errorf("init %s: %w", a.id, err)
	}
	text, err := os.ReadFile(made.RequestFile)
	if err != nil {
		return fmt.Errorf("read request: %w", err)
	}
	req, err := directory.ParseRequest(text)
	if err != nil {
		return err
	}
	grant, err := n.authority.Enrol(req, a.role, network.EnrolOptions{Name: a.name})
	if err != nil {
		return err
	}
	encoded, err := grant.Encode()
	if err != nil {
		return err
	}
	if _, err := agents.Join(dir, encoded, nil); err != nil {
		return err
	}
	a.identity = filepath.Join(dir, "keys", "identity.age")
	a.systems = filepath.Join(a.dir, "systems")
	a.creds = filepath.Join(dir, "keys", "nats.creds")
	// The agent itself needs no credentials file; this one is for the `nats` tool.
	seed, err := os.ReadFile(filepath.Join(dir, "keys", "nats.nk"))
	if err != nil {
		return fmt.Errorf("read demo key: %w", err)
	}
	creds, err := jwt.FormatUserConfig(grant.UserJWT, []byte(strings.TrimSpace(string(seed))))
	if err != nil {
		return fmt.Errorf("write demo credentials: %w", err)
	}
	return os.WriteFile(a.creds, creds, 0o600)
}

// agree makes the agreements of the story. Between police and housing there is one too: what stops the police from
// sending there in the demo is the survivor's consent, not a missing agreement.
func (n *demoNetwork) agree() error {
	have := map[string]bool{}
	for _, g := range n.authority.View().Agreements() {
		have[g.ID] = true
	}
	for _, pair := range []struct {
		from, to string
		kind     schemas.Kind
	}{{demoPolice, demoNGO, schemas.KindReferral}, {demoNGO, demoHousing, schemas.KindReferral}, {demoPolice, demoHousing, schemas.KindReferral},
		{demoNGO, demoPolice, schemas.KindIntelligence}} {
		g := directory.Agreement{ID: "demo-" + pair.from + "-" + pair.to, From: pair.from, To: pair.to, Kinds: []schemas.Kind{pair.kind},
			Purposes: schemas.Purposes(), Categories: schemas.AllCategories(), Starts: time.Now().Add(-time.Hour).UTC().Truncate(time.Second), Document: "demo"}
		if have[g.ID] {
			continue
		}
		if err := n.authority.AddAgreement(g); err != nil {
			return err
		}
	}
	return nil
}

func (n *demoNetwork) startAgent(ctx context.Context, a *demoAgency) error {
	dir := filepath.Join(a.dir, "agent")
	if err := os.MkdirAll(filepath.Join(a.systems, "folder"), 0o700); err != nil {
		return fmt.Errorf("make demo folder: %w", err)
	}
	config := fmt.Sprintf("agency: %s\nbrokers: [%q]\napi: {listen: \"127.0.0.1:0\"}\nledger: {every: 200ms}\nsinks:\n  - name: folder\n    folder: {dir: %q}\n", a.id, n.broker.URL(), filepath.Join(a.systems, "folder"))
	routes := "routes:\n  - sinks: [folder]\n"
	if a.id == demoNGO {
		var err error
		if a.hook, err = startHook(ctx, n, filepath.Join(a.systems, "webhook.secret")); err != nil {
			return err
		}
		config += fmt.Sprintf("  - name: webhook\n    webhook: {url: %q, secret_files: [%q]}\n", a.hook.url, a.hook.secretFile)
		routes += "  - when: 'kind == \"referral\" && event == \"waypost.message.received\"'\n    sinks: [webhook]\n"
	}
	path := filepath.Join(dir, "agent.yaml")
	if err := os.WriteFile(path, []byte(config+routes), 0o600); err != nil {
		return fmt.Errorf("write demo config: %w", err)
	}
	cfg, err := agents.LoadConfig(path)
	if err != nil {
		return err
	}
	if err := a.newToken(ctx, filepath.Join(cfg.Data, agents.StoreFile)); err != nil {
		return err
	}
	if a.agent, err = agents.New(cfg, n.log, nil); err != nil {
		return err
	}
	a.url = "http://" + a.agent.Addr()
	n.run(func() error { return a.agent.Run(ctx) })
	return nil
}

// newToken gives the agency's demo system a token of its own for this run.
func (a *demoAgency) newToken(ctx context.Context, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make demo folder: %w", err)
	}
	st, err := store.Open(path)
	if err != nil {
		return err
	}
	defer st.Close()
	random := make([]byte, 32)
	if _, err := rand.Read(random); err != nil {
		return fmt.Errorf("make demo token: %w", err)
	}
	a.token = "wpt_" + hex.EncodeToString(random)
	return st.Update(ctx, func(tx *store.Tx) error {
		if err := tx.RemoveToken("demo"); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		return tx.AddToken("demo", a.token, []string{"send", "respond", "read", "admin", "custody"}, time.Now())
	})
}

// envelope reads the last envelope of a pair from the stream, as the operator of the broker can.
func (n *demoNetwork) envelope(ctx context.Context, lane, to, from string) ([]byte, error) {
	creds, err := n.authority.IssueAdministrator("demo")
	if err != nil {
		return nil, err
	}
	nc, err := nats.Connect(n.broker.URL(), nats.UserCredentialBytes(creds))
	if err != nil {
		return nil, fmt.Errorf("connect as operator: %w", err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("connect as operator: %w", err)
	}
	stream, err := js.Stream(ctx, broker.Stream(schemas.Lane(lane)))
	if err != nil {
		return nil, fmt.Errorf("open stream: %w", err)
	}
	msg, err := stream.GetLastMsgForSubject(ctx, "mail."+lane+"."+to+"."+from)
	if err != nil {
		return nil, fmt.Errorf("read envelope: %w", err)
	}
	return msg.Data, nil
}

// settled waits until the agent is connected and has the directory.
func (a *demoAgency) settled(ctx context.Context) error {
	deadline := time.Now().Add(patience)
	for {
		var st struct {
			Connected        bool   `json:"connected"`
			DirectoryVersion uint64 `json:"directory_version"`
			Code             string `json:"code"`
		}
		err := a.call(ctx, "GET", "/v1/status", nil, http.StatusOK, &st)
		if err == nil && st.Connected && st.DirectoryVersion > 0 {
			return nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return errors.Join(fmt.Errorf("agent %s is not ready: %s", a.id, st.Code), err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
