package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"waypost/schemas"
)

// PlaceQuery is what is looked for.
type PlaceQuery struct {
	Region     string   `query:"region" maxLength:"16" doc:"ISO 3166-2"`
	Type       string   `query:"type" maxLength:"64"`
	Gender     string   `query:"gender" maxLength:"64"`
	FamilySize int      `query:"family_size" minimum:"0" maximum:"20"`
	Children   bool     `query:"children"`
	Access     []string `query:"access,explode" maxItems:"12" doc:"Access needs that the place must meet"`
	Tonight    bool     `query:"tonight" doc:"Somebody can arrive tonight, out of hours"`
}

// PlaceItem is a free place that a provider said it has.
type PlaceItem struct {
	Agency  string        `json:"agency"`
	Message string        `json:"message"`
	AsOf    time.Time     `json:"as_of"`
	Until   time.Time     `json:"until"`
	HowTo   string        `json:"how_to_ask,omitempty"`
	Place   schemas.Place `json:"place"`
}

// Finder searches free places.
type Finder interface {
	Places(ctx context.Context, q PlaceQuery) ([]PlaceItem, error)
}

func (s *server) placeRoutes() {
	operation(s, "GET", "/v1/places", "find-places", "Find a free place", ScopeRead, http.StatusOK,
		func(ctx context.Context, in *PlaceQuery) (*list[PlaceItem], error) {
			return items(s.service.Places(ctx, *in))
		})
}

// Places searches free places.
func (c *Client) Places(ctx context.Context, q PlaceQuery) ([]PlaceItem, error) {
	v := url.Values{}
	for name, value := range map[string]string{"region": q.Region, "type": q.Type, "gender": q.Gender} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if q.FamilySize > 0 {
		v.Set("family_size", strconv.Itoa(q.FamilySize))
	}
	if q.Children {
		v.Set("children", "true")
	}
	if q.Tonight {
		v.Set("tonight", "true")
	}
	for _, a := range q.Access {
		v.Add("access", a)
	}
	return getItems[PlaceItem](ctx, c, "/v1/places", 0, 0, v)
}
