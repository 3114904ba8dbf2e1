package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"waypost/broker"
)

// openApart starts the broker as a process of its own and publishes the directory.
func (w *world) openApart(ctx context.Context) error {
	b, url, err := w.spawn(ctx, command{part: "broker", says: "broker ready", env: fmt.Sprintf("WAYPOST_BROKER_QUOTAS_PER_PAIR=%d", w.o.quota()),
		args: []string{"broker", "run", "--bundle", w.authority.BrokerBundle(), "--data", filepath.Join(w.dir, "broker"), "--listen", "127.0.0.1:0", "--log-level", "error"}})
	if err != nil {
		return err
	}
	w.server, w.url, w.stop, w.done = b, url, b.interrupt, b.ended
	began := time.Now()
	if err := w.authority.Publish(ctx, url); err != nil {
		return err
	}
	w.publishing = time.Since(began)
	return w.provisioned(ctx)
}

// provisioned waits until the broker holds mail for every agency: from outside it can be asked, but does not tell.
func (w *world) provisioned(ctx context.Context) error {
	t, err := w.listen()
	if err != nil {
		return err
	}
	defer t.close()
	ctx, cancel := context.WithTimeout(ctx, startWait+time.Duration(w.o.Agencies)*100*time.Millisecond)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		// The lane of receipts is the last that an agency gets; one consumer of it is the notary's.
		s, err := t.js.Stream(ctx, broker.StreamReceipt)
		if err == nil && s.CachedInfo().State.Consumers > w.o.Agencies {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(errors.New("the broker has not made every agency's consumers"), err)
		}
	}
}

// startApart runs an agency's agent as a process of its own until its end is asked for.
func (w *world) startApart(ctx context.Context, a *agency) error {
	c, url, err := w.spawn(ctx, command{part: "agent " + a.id, says: "API ", args: []string{"agent", "run", "--config", a.config, "--log-level", "error"}})
	if err != nil {
		return err
	}
	a.url, a.stop, a.stopped, a.process = url, c.interrupt, c.ended, c
	return settled(ctx, a)
}

// gatherApart connects those who wait from a process of their own: in life they are other machines, and their ends of the
// connections are not in the memory that is measured.
func (w *world) gatherApart(ctx context.Context) error {
	list, err := w.members()
	if err != nil {
		return err
	}
	text, err := json.Marshal(crowdOrder{URL: w.url, Members: list})
	if err != nil {
		return fmt.Errorf("write members: %w", err)
	}
	c, _, err := w.spawn(ctx, command{part: "those who wait", says: crowdReady, args: []string{"bench", "crowd"}, in: bytes.NewReader(text)})
	if err != nil {
		return err
	}
	before := w.stop
	w.stop = func() { c.interrupt(); w.left = <-c.ended; before() }
	return nil
}
