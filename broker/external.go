package broker

import (
	"context"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
)

// checkSync warns if an external NATS acknowledges before it has synced, or does not say. Only a user of the system
// account can ask; the bundle has one, which fits if that NATS runs under this network's operator. The broker runs
// either way, because whoever operates that NATS decides.
func (b *Broker) checkSync(ctx context.Context, nc *nats.Conn) {
	const advice = "set `jetstream { sync_interval: always }` there: without it, power loss can lose what agencies were told is stored"
	sys, err := nats.Connect(nc.ConnectedUrl(), nats.UserCredentials(b.systemCreds()), nats.Name("waypost broker, sync check"), nats.NoReconnect(), nats.CustomInboxPrefix("_INBOX_monitor"), b.rootCAs())
	if err != nil {
		b.log.WarnContext(ctx, "whether the external NATS syncs before it acknowledges is not known", "hint", advice, "err", err)
		return
	}
	defer sys.Close()
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	m, err := sys.RequestWithContext(ctx, "$SYS.REQ.SERVER.PING.JSZ", nil)
	if err != nil {
		b.log.WarnContext(ctx, "whether the external NATS syncs before it acknowledges is not known", "hint", advice, "err", err)
		return
	}
	var answer struct {
		Data struct {
			Config struct {
				SyncAlways bool `json:"sync_always"`
			} `json:"config"`
		} `json:"data"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil || !answer.Data.Config.SyncAlways {
		b.log.WarnContext(ctx, "the external NATS acknowledges before it has synced", "hint", advice)
	}
}

// systemCreds are of a user that may ask an external NATS how it is.
func (b *Broker) systemCreds() string {
	if b.cfg.External.SystemCreds != "" {
		return b.cfg.External.SystemCreds
	}
	return b.bundle.Monitor
}

func (b *Broker) rootCAs() nats.Option {
	if b.cfg.External.CA == "" {
		return func(*nats.Options) error { return nil }
	}
	return nats.RootCAs(b.cfg.External.CA)
}
