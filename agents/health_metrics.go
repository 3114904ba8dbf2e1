package agents

import (
	"context"
	"math"

	"waypost/agents/store"
	"waypost/agents/witness"
	"waypost/schemas"
	"waypost/schemas/health"
)

// What an agent says of itself. No label names another agency, a message, a thread or a kind of need.
var (
	metricReady     = health.Gauge("waypost_agent_ready", "1 when /readyz says so.")
	metricInfo      = health.Gauge("waypost_agent_info", "1; whose agent it is.", "agency")
	metricActive    = health.Gauge("waypost_agent_active", "1 on the agent that works; 0 on one of a pair that stands by.")
	metricPaired    = health.Gauge("waypost_agent_paired", "1 when two agents of the agency share a store.")
	metricConnected = health.Gauge("waypost_agent_connected", "1 while the broker is reachable.")
	metricLost      = health.Gauge("waypost_agent_disconnected_seconds", "How long the broker has not been reachable; 0 while it is.", "code")
	metricRead      = health.Gauge("waypost_agent_store_read", "1 when the store could be read; without it nothing below is reported.")

	metricOutbox        = health.Gauge("waypost_agent_outbox_messages", "Messages that are durable here and not yet at the broker.", "lane")
	metricOutboxAge     = health.Gauge("waypost_agent_outbox_oldest_age_seconds", "How long the oldest of these has waited since it was accepted; 0 when there is none.", "lane")
	metricHeld          = health.Gauge("waypost_agent_outbox_held_messages", "Messages in the outbox that the broker does not take now, by why.", "code")
	metricUncollected   = health.Gauge("waypost_agent_uncollected_messages", "Messages at the broker for which no receipt has come.", "lane")
	metricUncollectAge  = health.Gauge("waypost_agent_uncollected_oldest_age_seconds", "How long the oldest of these has been at the broker; 0 when there is none.", "lane")
	metricSent          = health.Counter("waypost_agent_sent_messages_total", "Messages ever accepted for sending.", "lane")
	metricReceived      = health.Counter("waypost_agent_received_messages_total", "Messages ever seen from other agencies, by the numbers that they carry.", "lane")
	metricMissing       = health.Gauge("waypost_agent_missing_messages", "Messages whose number was left out by those that came after.")
	metricUnrouted      = health.Gauge("waypost_agent_unrouted_messages", "Accepted messages that a required system of the agency does not have yet.", "lane")
	metricUnroutedAge   = health.Gauge("waypost_agent_unrouted_oldest_age_seconds", "How long the oldest of these has waited since it came; 0 when there is none.", "lane")
	metricPending       = health.Gauge("waypost_agent_deliveries_pending", "Hand-overs to a sink that are still to be made.", "sink")
	metricPendingAge    = health.Gauge("waypost_agent_deliveries_overdue_seconds", "How long ago the first of these was due; 0 when none is.", "sink")
	metricDead          = health.Gauge("waypost_agent_deliveries_dead", "Hand-overs to a sink that were given up until a person asks for a retry.", "sink")
	metricAttempts      = health.Counter("waypost_agent_sink_attempts_total", "Attempts to hand something to a sink, by what came of it: taken, failed, refused, disabled.", "sink", "code")
	metricQuarantined   = health.Counter("waypost_agent_quarantined_messages_total", "Messages ever kept and not let through.")
	metricQuarantine    = health.Gauge("waypost_agent_quarantine_messages", "Messages that were kept and not let through, by why.", "code")
	metricOpen          = health.Gauge("waypost_agent_answers_open", "Messages that wait for an answer: owed by this agency, or awaited from others.", "side", "lane")
	metricOverdue       = health.Gauge("waypost_agent_answers_overdue", "Of these, the ones whose time has run out. The lane says how urgent they are.", "side", "lane")
	metricDecisions     = health.Gauge("waypost_agent_withdrawal_decisions_open", "Withdrawals, and requests for one, that this agency's people must decide on.")
	metricDecisionsLate = health.Gauge("waypost_agent_withdrawal_decisions_overdue", "Of these, the ones whose time has run out.")
	metricAnswers       = health.Gauge("waypost_agent_withdrawal_answers_open", "Holders that were told of a withdrawal and have not said what they did.")
	metricAnswersLate   = health.Gauge("waypost_agent_withdrawal_answers_overdue", "Of these, the ones whose time has run out.")

	metricUnproved    = health.Gauge("waypost_agent_ledger_unproved_messages", "Messages and receipts that were not yet found in the ledger.")
	metricUnprovedAge = health.Gauge("waypost_agent_ledger_unproved_oldest_age_seconds", "How long ago the oldest of these was acknowledged or accepted; 0 when there is none.")
	metricActs        = health.Gauge("waypost_agent_ledger_acts_waiting", "Signed acts of this agency that the ledger does not hold yet.")
	metricSight       = health.Gauge("waypost_agent_ledger_seen_timestamp_seconds", "When the ledger was last found to continue what was seen before; before the first time, when the agent started.")
	metricRecords     = health.Gauge("waypost_agent_ledger_seen_records", "Records in it then.")
	metricAlarms      = health.Gauge("waypost_agent_ledger_alarms", "Alarms about the ledger whose evidence lies in the data folder.", "code")

	metricDirectory = health.Counter("waypost_agent_directory_alarms_total", "Alarms about the directory: an older one was served (rollback), or it had expired; each once for a version.", "code")
	metricVersion   = health.Gauge("waypost_agent_directory_version", "Version of the directory; 0 before the first.")
	metricHead      = health.Gauge("waypost_agent_directory_expiry_timestamp_seconds", "When the directory's signed head ends.")
	metricJWT       = health.Gauge("waypost_agent_jwt_expiry_timestamp_seconds", "When the claims end with which the agent connects. Infinite for never.", "code")
	metricCert      = health.Gauge("waypost_agent_certificate_expiry_timestamp_seconds", "When a TLS certificate ends: the API's as it is served, the broker's as it was shown. Infinite for one not in use.", "code")
	metricSigning   = health.Gauge("waypost_agent_signing_key_expiry_timestamp_seconds", "When the directory stops listing the key that this agent signs with. Infinite for never.")

	metricStore = health.Gauge("waypost_agent_store_bytes", "Size of the store, without what is free in it.")
	metricLimit = health.Gauge("waypost_agent_store_limit_bytes", "Size at which the store takes nothing more. Infinite without a bound.")
	metricDisk  = health.Gauge("waypost_agent_disk_free_bytes", "What is free on the disk of the data folder.")
)

// meter is what health asks.
type meter struct {
	a      *Agent
	states *health.Cached[health.State]
	vitals *health.Cached[*vitals]
}

func newMeter(running context.Context, a *Agent) *meter {
	states, vital := a.health.states, a.health.vitals
	return &meter{a: a,
		states: health.NewCached(states.least, states.share, func(ctx context.Context) (health.State, error) { return a.readiness(ctx, running), nil }),
		vitals: health.NewCached(vital.least, vital.share, a.vitals),
	}
}

// State implements health.Source.
func (m *meter) State(ctx context.Context) health.State {
	st, err := m.states.Get(ctx)
	if err != nil {
		return health.State{Code: CodeStoreUnavailable, Sentence: notReady[CodeStoreUnavailable]}
	}
	return st
}

// Measure implements health.Source.
func (m *meter) Measure(ctx context.Context, out health.Samples) {
	out.Set(metricInfo, 1, m.a.cfg.Agency)
	out.Flag(metricReady, m.State(ctx).Ready)
	active, paired := m.a.pair()
	out.Flag(metricActive, active)
	out.Flag(metricPaired, paired)
	for _, p := range m.a.sinks {
		for i, code := range attemptCodes {
			out.Set(metricAttempts, float64(p.attempts[i].Load()), p.sink.Name(), code)
		}
	}
	out.Set(metricDirectory, float64(m.a.rollbacks.Load()), "rollback")
	out.Set(metricDirectory, float64(m.a.expiries.Load()), "expired")
	v, err := m.vitals.Get(ctx)
	out.Flag(metricRead, err == nil)
	if err != nil {
		return
	}
	v.measure(out)
	v.measureMail(out, m.a.sinks)
	v.measureLedger(out)
}

func (v *vitals) measure(out health.Samples) {
	out.Flag(metricConnected, v.lost.IsZero())
	if v.lost.IsZero() {
		out.Set(metricLost, 0, "")
	} else {
		out.Set(metricLost, max(v.at.Sub(v.lost).Seconds(), 0), v.cause)
	}
	out.Set(metricVersion, float64(v.version))
	for end, m := range map[string]*health.Metric{endDirectory: metricHead, endSigning: metricSigning} {
		if at, known := v.ends[end]; known {
			out.Time(m, at)
		}
	}
	for end, m := range map[string]*health.Metric{endCredentials: metricJWT, endAPI: metricCert, endBroker: metricCert} {
		if at, known := v.ends[end]; known {
			out.Time(m, at, end)
		}
	}
	out.Set(metricStore, float64(v.size))
	limit := math.Inf(1)
	if v.limit > 0 {
		limit = float64(v.limit)
	}
	out.Set(metricLimit, limit)
	if v.free != nil {
		out.Set(metricDisk, float64(*v.free))
	}
}

// measureMail says zero where nothing waits, so that a rule can tell nothing from unknown.
func (v *vitals) measureMail(out health.Samples, sinks []*dispatcher) {
	g := v.gauges
	for _, l := range schemas.Lanes() {
		lane := string(l)
		v.queue(out, metricOutbox, metricOutboxAge, g.Outbox[l], lane)
		out.Set(metricSent, float64(g.Sent[l]), lane)
		out.Set(metricReceived, float64(g.Received[l]), lane)
		if l == schemas.LaneReceipt { // nobody answers, routes or receipts a receipt
			continue
		}
		v.queue(out, metricUncollected, metricUncollectAge, g.Uncollected[l], lane)
		v.queue(out, metricUnrouted, metricUnroutedAge, g.Unrouted[l], lane)
		for side, waiting := range map[string]store.Waiting{"owed": g.Owed[l], "awaited": g.Awaited[l]} {
			out.Set(metricOpen, float64(waiting.Open), side, lane)
			out.Set(metricOverdue, float64(waiting.Overdue), side, lane)
		}
	}
	// Codes of this program's own, and only those: what a row holds was written by it, or by one before it.
	for code, n := range g.Held {
		out.Set(metricHeld, float64(n), code)
	}
	quarantined := int64(0)
	for code, n := range g.Quarantine {
		out.Set(metricQuarantine, float64(n), code)
		quarantined += n
	}
	out.Set(metricQuarantined, float64(quarantined)) // none is ever taken out of it
	for _, p := range sinks {
		name := p.sink.Name()
		v.queue(out, metricPending, metricPendingAge, g.Pending[name], name)
		out.Set(metricDead, float64(g.Dead[name]), name)
	}
	out.Set(metricMissing, float64(g.Gaps))
	out.Set(metricDecisions, float64(g.Decisions.Count))
	out.Set(metricDecisionsLate, float64(g.Undecided))
	out.Set(metricAnswers, float64(g.Answers.Count))
	out.Set(metricAnswersLate, float64(g.Silent))
}

func (v *vitals) queue(out health.Samples, many, age *health.Metric, q store.Queue, label string) {
	out.Set(many, float64(q.Count), label)
	out.Set(age, q.Age(v.at).Seconds(), label)
}

func (v *vitals) measureLedger(out health.Samples) {
	for _, code := range witness.Codes() {
		out.Set(metricAlarms, float64(v.alarms[code]), code)
	}
	if v.sight == nil {
		return
	}
	out.Set(metricUnproved, float64(v.gauges.Unproved.Count))
	out.Set(metricUnprovedAge, v.gauges.Unproved.Age(v.at).Seconds())
	out.Set(metricActs, float64(v.gauges.Acts.Count))
	out.Time(metricSight, v.sight.At)
	out.Set(metricRecords, float64(v.sight.Records))
}
