package agents

import (
	"context"
	"time"

	"github.com/nats-io/jwt/v2"

	"waypost/agents/store"
	"waypost/agents/witness"
	"waypost/schemas/health"
)

// vitals is what is known of an agent at one moment: for /metrics as numbers, for people as concerns.
type vitals struct {
	at     time.Time
	gauges *store.Gauges
	size   int64     // of the store, in bytes
	limit  int64     // 0: none
	free   *uint64   // on the disk; nil: not known
	lost   time.Time // since when the broker is not reachable
	active bool      // false for one of a pair that stands by, which does not try to reach it
	cause  string    // why the broker is not reachable; a code

	version int64                // of the directory; 0: none
	ends    map[string]time.Time // by what ends; the zero time for what never does; absent when not known
	alarms  map[string]int       // about the ledger, by code
	sight   *witness.Sight       // nil: the network has no ledger, or none is known yet
}

// What ends.
const (
	endDirectory   = "directory"
	endCredentials = "agent"  // the claims with which we connect
	endAPI         = "api"    // the certificate of the API, as it is served
	endBroker      = "broker" // the certificate that the broker showed
	endSigning     = "signing"
)

// vitals reads them. It costs a few queries on small indexes.
func (a *Agent) vitals(ctx context.Context) (*vitals, error) {
	v := &vitals{at: a.now(), limit: int64(a.cfg.MaxStoreMB) << 20, ends: map[string]time.Time{}, alarms: a.witness.CountAlarms(), lost: a.link.Lost(), active: a.Active()}
	if !v.lost.IsZero() {
		_, v.cause = a.link.Status()
	}
	var err error
	if v.gauges, err = a.store.Gauges(ctx, v.at); err != nil {
		return nil, err
	}
	if v.size, err = a.store.Size(ctx); err != nil {
		return nil, err
	}
	if free, err := health.DiskFree(a.cfg.Data); err == nil {
		v.free = &free
	}
	if claims, err := jwt.DecodeUserClaims(a.grant.UserJWT); err == nil {
		v.ends[endCredentials] = time.Time{}
		if claims.Expires > 0 {
			v.ends[endCredentials] = time.Unix(claims.Expires, 0)
		}
	}
	v.ends[endAPI] = time.Time{}
	if a.served != nil && a.served.Leaf != nil {
		v.ends[endAPI] = a.served.Leaf.NotAfter
	}
	if at, known := a.link.CertificateEnds(); known {
		v.ends[endBroker] = at
	}
	view := a.directory.View()
	if view == nil {
		return v, nil
	}
	v.version, v.ends[endDirectory] = int64(view.Head().Version), view.Head().Expires //nolint:gosec // a count of publications
	if own, ok := view.Agency(a.cfg.Agency); ok {
		for _, k := range own.SigningKeys {
			if k.Key != a.vault.Public().SigningKey {
				continue
			}
			v.ends[endSigning] = time.Time{}
			if k.Until != nil {
				v.ends[endSigning] = *k.Until
			}
		}
	}
	if _, ok := view.Log(); ok {
		sight := a.witness.Last()
		v.sight = &sight
	}
	return v, nil
}
