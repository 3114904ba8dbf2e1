package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"waypost/agents"
	"waypost/agents/api"
	"waypost/agents/store"
)

// agency is one that runs a whole agent.
type agency struct {
	id, dir, config string
	token           string
	url             string // of the API, while the agent runs
	stop            context.CancelFunc
	stopped         chan error
	process         *child // when it has one of its own
}

// sink is the folder that the agency's own system would read.
func (a *agency) sink() string  { return filepath.Join(a.dir, "sink") }
func (a *agency) store() string { return filepath.Join(a.dir, "agent", "data", agents.StoreFile) }

// prepare writes an agency's configuration for a broker and puts directory and token into its store. Without the directory
// each of very many agents would begin by fetching thousands of entries, all at once.
func (w *world) prepare(ctx context.Context, a *agency, url, listen string) error {
	dir := filepath.Join(a.dir, "agent")
	if err := w.bulk.join(w.authority, dir, url, w.requests[a.id]); err != nil {
		return err
	}
	text := fmt.Sprintf("agency: %s\nbrokers: [%q]\napi: {listen: %q}\nsinks:\n  - name: intake\n    folder: {dir: %q}\nroutes:\n  - when: 'event == \"waypost.message.received\"'\n    sinks: [intake]\n",
		a.id, url, listen, a.sink())
	if err := os.WriteFile(a.config, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write config: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(a.store()), 0o700); err != nil {
		return fmt.Errorf("make data folder: %w", err)
	}
	st, err := store.Open(a.store())
	if err != nil {
		return err
	}
	a.token = "wpt_" + randomHex()
	err = st.Update(ctx, func(tx *store.Tx) error {
		if err := tx.SaveDirectory(w.bulk.entries); err != nil {
			return err
		}
		return tx.AddToken("bench", a.token, []string{"send", "read"}, time.Now())
	})
	return errors.Join(err, st.Close())
}

// start runs an agency's agent until end.
func (w *world) start(ctx context.Context, a *agency) error {
	if w.o.Apart {
		return w.startApart(ctx, a)
	}
	cfg, err := agents.LoadConfig(a.config)
	if err != nil {
		return err
	}
	agent, err := agents.New(cfg, w.o.Log, nil)
	if err != nil {
		return err
	}
	a.url = agent.URL()
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	a.stop, a.stopped = stop, make(chan error, 1)
	go func() { a.stopped <- agent.Run(run) }()
	return settled(ctx, a)
}

func (a *agency) end() error {
	if a.stop == nil {
		return nil
	}
	a.stop()
	a.stop = nil
	return <-a.stopped
}

// settled waits until an agent is connected and has the directory; nothing signals that outside of it.
func settled(ctx context.Context, a *agency) error {
	ctx, cancel := context.WithTimeout(ctx, startWait)
	defer cancel()
	client := api.NewClient(a.url, a.token)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		st, err := client.Status(ctx)
		if err == nil && st.Connected && st.DirectoryVersion > 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("start agent %s: not connected", a.id), err)
		}
	}
}
