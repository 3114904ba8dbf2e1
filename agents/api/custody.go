package api

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"waypost/agents/store"
	"waypost/schemas/ledger"
)

// Custody is the part of Service that is about keeping, erasing and giving out.
type Custody interface {
	// EraseThread destroys this agency's copies of a thread, has it recorded, and has the broker delete its ciphertext.
	EraseThread(ctx context.Context, thread string) (*Erased, error)
	// Disclose gives out one message with its file key and proof; recorded before it returns.
	Disclose(ctx context.Context, message string) (*ledger.Disclosure, error)
	// RedriveSink hands over again what was received since a time, and returns how many hand-overs.
	RedriveSink(ctx context.Context, sink string, since time.Time) (int64, error)
	// Redeliveries lists what administrators asked for; DecideRedelivery does or refuses it.
	Redeliveries(ctx context.Context) ([]store.Redelivery, error)
	DecideRedelivery(ctx context.Context, id string, accept bool) (*store.Redelivery, error)
	// LedgerStatus is what this agency knows of the ledger.
	LedgerStatus(ctx context.Context) (*LedgerStatus, error)
}

// Erased says what was erased where.
type Erased struct {
	Thread   string `json:"thread"`
	Messages int64  `json:"messages" doc:"Messages of which this agent destroyed text and keys"`
	Act      string `json:"act" doc:"Id of the signed act that says so"`
	Recorded bool   `json:"recorded" doc:"The ledger holds the act; if false, the agent hands it in by itself"`
	Record   int64  `json:"record,omitempty" doc:"Its number in the ledger"`
	Broker   int    `json:"broker_deleted,omitempty" doc:"Ciphertexts that the broker still held for this agency and has deleted"`
	Waiting  int    `json:"broker_waiting,omitempty" doc:"Messages of the thread that wait at the broker to be collected by this agency"`
}

// LedgerStatus is what this agency knows of the ledger.
type LedgerStatus struct {
	Records     int64    `json:"records" doc:"Size of the ledger at the newest checkpoint that was found consistent"`
	Checkpoint  string   `json:"checkpoint,omitempty" doc:"That checkpoint"`
	Unproved    int64    `json:"unproved" doc:"Messages not yet found in the ledger"`
	ActsWaiting int      `json:"acts_waiting,omitempty" doc:"Acts that the ledger does not hold yet"`
	Evidence    []string `json:"evidence,omitempty" doc:"Folders of evidence, in the agent's data folder: the ledger contradicted itself"`
}

// Redriven is how many hand-overs were queued again.
type Redriven struct {
	Deliveries int64 `json:"deliveries"`
}

// ActID names an administrator's request in a path.
type ActID struct {
	ID string `path:"id" pattern:"^[0-9a-f-]{36}$"`
}

type decision struct {
	ActID
	Decision string `path:"decision" enum:"accept,refuse"`
}

type redriveOf struct {
	Name  string    `path:"name" maxLength:"40"`
	Since time.Time `query:"since" required:"true" doc:"RFC 3339"`
}

func (s *server) custodyRoutes() {
	operation(s, "POST", "/v1/threads/{id}/erase", "erase-thread", "Erase this agency's copies of a thread", ScopeCustody, http.StatusOK,
		func(ctx context.Context, in *struct {
			ID string `path:"id" pattern:"^[0-9a-f-]{36}$"`
		}) (*one[Erased], error) {
			return single(s.service.EraseThread(ctx, in.ID))
		})
	operation(s, "POST", "/v1/messages/{id}/disclose", "disclose-message", "Give out one message with its key and proof", ScopeCustody, http.StatusOK,
		func(ctx context.Context, in *MessageID) (*one[ledger.Disclosure], error) {
			return single(s.service.Disclose(ctx, in.ID))
		})
	operation(s, "POST", "/v1/sinks/{name}/redrive", "redrive-sink", "Hand over again what was received since a time", ScopeAdmin, http.StatusOK,
		func(ctx context.Context, in *redriveOf) (*one[Redriven], error) {
			n, err := s.service.RedriveSink(ctx, in.Name, in.Since)
			return &one[Redriven]{&Redriven{n}}, err
		})
	operation(s, "GET", "/v1/redeliveries", "list-redeliveries", "List what administrators asked to be routed again", ScopeRead, http.StatusOK,
		func(ctx context.Context, _ *struct{}) (*list[store.Redelivery], error) {
			return items(s.service.Redeliveries(ctx))
		})
	operation(s, "POST", "/v1/redeliveries/{id}/{decision}", "decide-redelivery", "Route again as an administrator asked, or refuse", ScopeAdmin, http.StatusOK,
		func(ctx context.Context, in *decision) (*one[store.Redelivery], error) {
			return single(s.service.DecideRedelivery(ctx, in.ID, in.Decision == "accept"))
		})
	operation(s, "GET", "/v1/ledger", "read-ledger", "See what this agency knows of the ledger", ScopeRead, http.StatusOK,
		func(ctx context.Context, _ *struct{}) (*one[LedgerStatus], error) {
			return single(s.service.LedgerStatus(ctx))
		})
}

// EraseThread erases a thread.
func (c *Client) EraseThread(ctx context.Context, thread string) (*Erased, error) {
	var v Erased
	return &v, c.do(ctx, http.MethodPost, "/v1/threads/"+url.PathEscape(thread)+"/erase", nil, "", &v)
}

// Disclose returns the disclosure file of a message.
func (c *Client) Disclose(ctx context.Context, message string) (*ledger.Disclosure, error) {
	var v ledger.Disclosure
	return &v, c.do(ctx, http.MethodPost, "/v1/messages/"+url.PathEscape(message)+"/disclose", nil, "", &v)
}

// RedriveSink hands over again.
func (c *Client) RedriveSink(ctx context.Context, sink string, since time.Time) (int64, error) {
	var v Redriven
	err := c.do(ctx, http.MethodPost, "/v1/sinks/"+url.PathEscape(sink)+"/redrive?since="+url.QueryEscape(since.UTC().Format(time.RFC3339)), nil, "", &v)
	return v.Deliveries, err
}

// Redeliveries lists what administrators asked for.
func (c *Client) Redeliveries(ctx context.Context) ([]store.Redelivery, error) {
	return getItems[store.Redelivery](ctx, c, "/v1/redeliveries", 0, 0, nil)
}

// DecideRedelivery accepts or refuses.
func (c *Client) DecideRedelivery(ctx context.Context, id string, accept bool) (*store.Redelivery, error) {
	word := "refuse"
	if accept {
		word = "accept"
	}
	var v store.Redelivery
	return &v, c.do(ctx, http.MethodPost, "/v1/redeliveries/"+url.PathEscape(id)+"/"+word, nil, "", &v)
}

// Ledger shows what the agency knows of the ledger.
func (c *Client) Ledger(ctx context.Context) (*LedgerStatus, error) {
	return get[LedgerStatus](ctx, c, "/v1/ledger")
}
