package agents

import (
	"fmt"
	"time"

	"waypost/agents/api"
	"waypost/schemas"
)

// From when on a person should look. The alert rules in deploy/monitoring have the same bounds.
const (
	unroutedPatience  = 5 * time.Minute // of something urgent
	ledgerPatience    = 15 * time.Minute
	headNotice        = 7 * 24 * time.Hour
	certificateNotice = 14 * 24 * time.Hour
	storeFull         = 0.85
	diskLeast         = 1 << 30
)

// concerns are what a person should look at, each with what to do first.
func (v *vitals) concerns() (out []api.Concern) {
	add := func(code, format string, args ...any) {
		out = append(out, api.Concern{Code: code, Sentence: fmt.Sprintf(format, args...)})
	}
	g := v.gauges
	if v.active && !v.lost.IsZero() && v.at.Sub(v.lost) >= lostPatience {
		add(AttentionBroker, "The broker has not been reachable for %s. What is sent waits here; look at this machine's network, then telephone the administrators.", roughly(v.at.Sub(v.lost)))
	}
	if age := g.Unrouted[schemas.LaneUrgent].Age(v.at); age >= unroutedPatience {
		add("urgent-unrouted", "Something urgent came %s ago and one of your own systems does not have it yet. Read it with `waypost agent inbox`, then look at that system.", roughly(age))
	}
	for _, n := range g.Dead {
		if n > 0 {
			add("dead-letters", "One of your systems was given up on. Mend it, then `waypost agent retry SINK`.")
			break
		}
	}
	if g.Silent > 0 {
		add("holders-silent", "%d holders were told of a withdrawal and have not answered in time. `waypost agent consent list`, and telephone them.", g.Silent)
	}
	v.ledgerConcerns(add)
	v.endConcerns(add)
	if v.limit > 0 && float64(v.size) >= storeFull*float64(v.limit) {
		add("store-filling", "The store is %d %% full. Raise max_store_mb while there is room on the disk.", 100*v.size/v.limit)
	}
	if v.free != nil && *v.free < diskLeast {
		add("disk-low", "There is less than 1 GiB left on the disk of the data folder. When it is full nothing more is accepted.")
	}
	return out
}

func (v *vitals) ledgerConcerns(add func(code, format string, args ...any)) {
	if v.sight == nil {
		return
	}
	if age := v.at.Sub(v.sight.At); age >= ledgerPatience && v.lost.IsZero() {
		add("ledger-unseen", "The ledger was last verified %s ago although the broker is reachable. Ask the administrators whether their notary runs.", roughly(age))
	}
	if age := v.gauges.Unproved.Age(v.at); age >= ledgerPatience && v.lost.IsZero() {
		add("ledger-behind", "A message of %s ago is not yet in the ledger. Ask the administrators whether their notary runs.", roughly(age))
	}
}

func (v *vitals) endConcerns(add func(code, format string, args ...any)) {
	for _, e := range []struct {
		end, code, what, act string
		notice               time.Duration
	}{
		{endDirectory, "directory", "The directory", "Ask the network's administrators to run `waypost network sign` and `waypost network publish`.", headNotice},
		{endCredentials, "credentials", "What this agent shows the broker to be let in", "Ask the network's administrators for a new grant, and join with it.", certificateNotice},
		{endBroker, "broker-certificate", "The broker's certificate", "Tell the network's administrators.", certificateNotice},
		{endAPI, "api-certificate", "The certificate of this agent's API", "Put a new one in its place and restart the agent.", certificateNotice},
		{endSigning, "signing-key", "This agent's signing key", "Ask the network's administrators.", certificateNotice},
	} {
		at, known := v.ends[e.end]
		switch {
		case !known || at.IsZero() || at.Sub(v.at) > e.notice:
		case at.After(v.at):
			add(e.code+"-expires", "%s ends in %s. %s", e.what, roughly(at.Sub(v.at)), e.act)
		default:
			add(e.code+"-expired", "%s has ended. %s", e.what, e.act)
		}
	}
}

// roughly is a time as people say it.
func roughly(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", int(d.Hours()))
	}
	return fmt.Sprintf("%d minutes", int(d.Minutes()))
}
