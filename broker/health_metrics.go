package broker

import (
	"context"
	"os"
	"time"

	"github.com/nats-io/jwt/v2"

	"waypost/schemas"
	"waypost/schemas/health"
)

// What every broker process says of itself.
var (
	metricReady    = health.Gauge("waypost_broker_ready", "1 when /readyz says so.")
	metricLeads    = health.Gauge("waypost_broker_leads", "1 on the process that speaks for the whole network; in a cluster the node that leads the ledger.")
	metricLedger   = health.Gauge("waypost_broker_keeps_ledger", "1 on the process whose notary records.")
	metricRead     = health.Gauge("waypost_broker_status_read", "1 when the network's status could be read; without it nothing below is reported.")
	metricProblems = health.Gauge("waypost_broker_status_problems", "What waypost broker status would list as problems.")
	metricDisk     = health.Gauge("waypost_broker_disk_free_bytes", "What is free on the disk of the data folder; not of an external NATS.")
	metricCert     = health.Gauge("waypost_broker_certificate_expiry_timestamp_seconds", "When a TLS certificate ends: of the listener, of the cluster, of the cluster's CA. Infinite for those not in use.", "code")
	metricJWT      = health.Gauge("waypost_broker_jwt_expiry_timestamp_seconds", "When the first of the claims in the bundle ends: of operator, accounts, the broker's own user. Infinite for never.", "code")
)

// What the process that leads says of the network.
var (
	metricNodeUp          = health.Gauge("waypost_broker_node_up", "1 for a node that answers.", "node")
	metricNodeSync        = health.Gauge("waypost_broker_node_sync_always", "1 for a node that acknowledges only what is on disk.", "node")
	metricNodeConnections = health.Gauge("waypost_broker_node_connections", "Connections to a node.", "node")
	metricNodeMemory      = health.Gauge("waypost_broker_node_memory_bytes", "Memory of a node.", "node")
	metricNodeStreams     = health.Gauge("waypost_broker_node_streams_bytes", "Disk that a node's streams take.", "node")
	metricNodeLag         = health.Gauge("waypost_broker_node_lag_operations", "Decisions of the cluster that a node has not made its own.", "node")

	metricStreamMessages = health.Gauge("waypost_broker_stream_messages", "Messages in a stream, settled ones that retention still keeps among them.", "stream")
	metricStreamBytes    = health.Gauge("waypost_broker_stream_bytes", "Size of a stream.", "stream")
	metricStreamLimit    = health.Gauge("waypost_broker_stream_limit_bytes", "Size at which a stream refuses more.", "stream")
	metricStreamCopies   = health.Gauge("waypost_broker_stream_replicas", "Copies of a stream beside its leader's.", "stream")
	metricStreamBehind   = health.Gauge("waypost_broker_stream_replicas_behind", "Copies of a stream that are offline or behind.", "stream")
	metricStreamLag      = health.Gauge("waypost_broker_stream_replica_lag_operations", "How far the copy of a stream on a node is behind.", "stream", "node")

	metricRecords  = health.Gauge("waypost_broker_ledger_records", "Records in the ledger.")
	metricSigned   = health.Gauge("waypost_broker_ledger_signed_records", "Records under the newest signed checkpoint.")
	metricBehind   = health.Gauge("waypost_broker_ledger_behind_records", "Stored messages and changes of the directory that the ledger does not hold yet.")
	metricRecorded = health.Gauge("waypost_broker_ledger_recorded_timestamp_seconds", "When the last record was appended.")
	metricSignedAt = health.Gauge("waypost_broker_ledger_signed_timestamp_seconds", "When the newest checkpoint was stored.")

	metricVersion = health.Gauge("waypost_broker_directory_version", "Version of the directory that is served.")
	metricHead    = health.Gauge("waypost_broker_directory_expiry_timestamp_seconds", "When the directory's signed head ends.")

	metricConnections = health.Gauge("waypost_broker_agency_connections", "Connections of an agency's agents.", "agency")
	metricSuspended   = health.Gauge("waypost_broker_agency_suspended", "1 for an agency that is suspended.", "agency")
	metricWaiting     = health.Gauge("waypost_broker_agency_waiting_messages", "Messages for an agency that its agent has not collected.", "agency", "lane")
	metricUnsettled   = health.Gauge("waypost_broker_agency_unsettled_messages", "Messages that an agency's agent collected and has not acknowledged.", "agency", "lane")
	metricOldest      = health.Gauge("waypost_broker_agency_oldest_waiting_age_seconds", "How long the oldest message for an agency has lain at the broker; 0 when none does.", "agency", "lane")
)

const (
	stateKept  = time.Second
	statusKept = 10 * time.Second
	expiryKept = time.Minute
)

// meter is what health asks. running ends when the broker begins to stop.
type meter struct {
	b      *Broker
	states *health.Cached[health.State]
	probes *health.Cached[bool]
	failed bool // the last probe did; belongs to probes, which has one at a time
	status *health.Cached[*Status]
	ends   *health.Cached[*expiry]
}

// expiry is when certificates and claims end, by code.
type expiry struct{ certificates, claims map[string]time.Time }

func newMeter(running context.Context, b *Broker) *meter {
	m := &meter{b: b,
		// It waits more than it works: for nodes that may not answer.
		status: health.NewCached(statusKept, 3, func(ctx context.Context) (*Status, error) {
			b.mu.Lock()
			asking := b.asking
			b.mu.Unlock()
			return asking.ReadStatus(ctx)
		}),
		ends: health.NewCached(expiryKept, 1, func(context.Context) (*expiry, error) { return b.expiry(), nil }),
	}
	m.probes = health.NewCached(probeKept, 1, m.probe)
	m.states = health.NewCached(stateKept, 1, func(ctx context.Context) (health.State, error) { return b.state(ctx, running, m.probes.Get) })
	return m
}

// probe has an outcome unless whoever asked has gone. What it finds is logged when it is news.
func (m *meter) probe(ctx context.Context) (bool, error) {
	m.b.mu.Lock()
	asking := m.b.asking
	m.b.mu.Unlock()
	err := asking.takes(ctx)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	switch was := m.failed; {
	case err != nil && !was:
		m.b.log.WarnContext(ctx, "nothing is stored through this process at the moment", "err", err)
	case err == nil && was:
		m.b.log.InfoContext(ctx, "messages are stored again")
	}
	m.failed = err != nil
	return err == nil, nil
}

// State implements health.Source.
func (m *meter) State(ctx context.Context) health.State {
	st, err := m.states.Get(ctx)
	if err != nil {
		return health.State{Code: CodeNotAnswering, Sentence: notReady[CodeNotAnswering]}
	}
	return st
}

// Measure implements health.Source.
func (m *meter) Measure(ctx context.Context, out health.Samples) {
	st := m.State(ctx)
	out.Flag(metricReady, st.Ready)
	out.Flag(metricLedger, m.b.KeepsLedger())
	if m.b.opts != nil {
		if free, err := health.DiskFree(m.b.cfg.Data); err == nil {
			out.Set(metricDisk, float64(free))
		}
	}
	if ends, err := m.ends.Get(ctx); err == nil {
		for code, at := range ends.certificates {
			out.Time(metricCert, at, code)
		}
		for code, at := range ends.claims {
			out.Time(metricJWT, at, code)
		}
	}
	// One of a cluster speaks for it: what all of them said would be counted as many times.
	asks := st.Code == ReadyCode || st.Code == CodeNoDirectory
	leads := asks && m.b.leads()
	out.Flag(metricLeads, leads)
	if !leads {
		return
	}
	status, err := m.status.Get(ctx)
	out.Flag(metricRead, err == nil)
	if err == nil {
		status.measure(out)
	}
}

func (st *Status) measure(out health.Samples) {
	out.Set(metricProblems, float64(len(st.Problems)))
	for _, n := range st.Nodes {
		out.Flag(metricNodeUp, n.Up, n.Name)
		out.Set(metricNodeLag, float64(n.Lag), n.Name)
		if !n.Up {
			continue
		}
		out.Flag(metricNodeSync, n.SyncAlways, n.Name)
		out.Set(metricNodeConnections, float64(n.Connections), n.Name)
		out.Set(metricNodeMemory, float64(n.Memory), n.Name)
		out.Set(metricNodeStreams, float64(n.Disk), n.Name)
	}
	for _, s := range st.Streams {
		out.Set(metricStreamMessages, float64(s.Messages), s.Name)
		out.Set(metricStreamBytes, float64(s.Bytes), s.Name)
		out.Set(metricStreamLimit, float64(s.MaxBytes), s.Name)
		out.Set(metricStreamCopies, float64(len(s.Replicas)), s.Name)
		behind := 0
		for _, r := range s.Replicas {
			out.Set(metricStreamLag, float64(r.Lag), s.Name, r.Node)
			if r.Offline || !r.Current {
				behind++
			}
		}
		out.Set(metricStreamBehind, float64(behind), s.Name)
	}
	if l := st.Ledger; l != nil {
		out.Set(metricRecords, float64(l.Height))
		out.Set(metricSigned, float64(l.Signed))
		out.Set(metricBehind, float64(l.Behind))
		for metric, at := range map[*health.Metric]time.Time{metricRecorded: l.Recorded, metricSignedAt: l.SignedAt} {
			if !at.IsZero() {
				out.Time(metric, at)
			}
		}
	}
	if d := st.Directory; d != nil {
		out.Set(metricVersion, float64(d.Version))
		out.Time(metricHead, d.Expires)
	}
	for _, a := range st.Agencies {
		out.Set(metricConnections, float64(a.Connections), a.ID)
		out.Flag(metricSuspended, a.Suspended, a.ID)
		for _, l := range schemas.Lanes() {
			out.Set(metricWaiting, float64(a.Waiting[l]), a.ID, string(l))
			out.Set(metricUnsettled, float64(a.Unsettled[l]), a.ID, string(l))
			if l == schemas.LaneReceipt {
				continue
			}
			age := 0.0
			if at, ok := a.Oldest[l]; ok {
				age = max(st.At.Sub(at).Seconds(), 0)
			}
			out.Set(metricOldest, age, a.ID, string(l))
		}
	}
}

// expiry reads certificates as they are on disk, which is what handshakes use within seconds. One that cannot be read is
// left out.
func (b *Broker) expiry() *expiry {
	e := &expiry{certificates: map[string]time.Time{}, claims: map[string]time.Time{}}
	for code, path := range map[string]string{"listener": b.cfg.TLS.Cert, "cluster": b.cfg.Cluster.TLS.Cert, "cluster-ca": b.cfg.Cluster.TLS.CA} {
		at, err := time.Time{}, error(nil)
		if path != "" {
			at, err = health.CertificateFileExpiry(path)
		}
		if err == nil {
			e.certificates[code] = at
		}
	}
	e.claim("operator", b.bundle.Operator)
	e.claim("account", b.bundle.Accounts...)
	if text, err := os.ReadFile(b.bundle.Credentials); err == nil {
		if token, err := jwt.ParseDecoratedJWT(text); err == nil {
			e.claim("broker", token)
		}
	}
	return e
}

// claim notes when the first of some claims ends.
func (e *expiry) claim(code string, tokens ...string) {
	for _, t := range tokens {
		c, err := jwt.Decode(t)
		if err != nil {
			continue
		}
		var at time.Time
		if s := c.Claims().Expires; s > 0 {
			at = time.Unix(s, 0)
		}
		if have := e.claims[code]; have.IsZero() || !at.IsZero() && at.Before(have) {
			e.claims[code] = at
		}
	}
}
