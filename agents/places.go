package agents

import (
	"context"
	"fmt"
	"slices"
	"time"

	"waypost/agents/api"
	"waypost/schemas"
)

// Places searches what providers last said about their free places. What has run out says nothing any more.
func (a *Agent) Places(ctx context.Context, q api.PlaceQuery) ([]api.PlaceItem, error) {
	latest, err := a.store.Latest(ctx, a.cfg.Agency, schemas.KindAvailability)
	if err != nil {
		return nil, err
	}
	now := a.now()
	today := schemas.Date(now.Format(time.DateOnly))
	out := []api.PlaceItem{}
	for _, in := range latest {
		payload, err := reopenPayload(a.vault, &in.Manifest, in.Body, in.Wrapped)
		if err != nil {
			return nil, fmt.Errorf("reopen message %s: %w", in.Manifest.ID, err)
		}
		list, ok := payload.(*schemas.Availability)
		if !ok || !list.Until.After(now) {
			continue
		}
		for _, p := range list.Places {
			if p.Until != "" && p.Until < today || !fits(&p, &q, today) {
				continue
			}
			out = append(out, api.PlaceItem{Agency: in.Manifest.From, AsOf: list.AsOf, Until: list.Until, HowTo: list.HowTo, Message: in.Manifest.ID, Place: p})
		}
	}
	return out, nil
}

// fits compares a place with what is looked for. What a provider left open fits everybody.
func fits(p *schemas.Place, q *api.PlaceQuery, today schemas.Date) bool {
	switch {
	case q.Region != "" && string(p.Region) != q.Region,
		q.Type != "" && string(p.Type) != q.Type,
		q.Gender != "" && len(p.Genders) > 0 && !slices.Contains(p.Genders, schemas.Gender(q.Gender)),
		q.FamilySize > 1 && p.FamilySizeMax < q.FamilySize,
		q.Children && !p.Children,
		q.Tonight && (!p.OutOfHours || p.From > today):
		return false
	}
	for _, n := range q.Access {
		if !slices.Contains(p.Accessibility, schemas.AccessNeed(n)) {
			return false
		}
	}
	return true
}
