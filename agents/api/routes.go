package api

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"waypost/agents/store"
	"waypost/schemas"
)

type tokenKey struct{}

const scopeMetadata = "scope"

// authenticate finds the token and checks the operation's scope. Every refusal looks the same from outside whether the
// token is missing, unknown or revoked.
func (s *server) authenticate(ctx huma.Context, next func(huma.Context)) {
	secret, ok := strings.CutPrefix(ctx.Header("Authorization"), "Bearer ")
	var token *store.Token
	if ok && secret != "" && len(secret) <= 256 {
		t, err := s.service.Token(ctx.Context(), secret)
		switch {
		case err == nil:
			token = t
		case !errors.Is(err, store.ErrNotFound):
			s.refuse(ctx, &Error{Status: http.StatusServiceUnavailable, Code: "store-unavailable", Sentence: "The agent cannot read its store now."})
			return
		}
	}
	if token == nil {
		ctx.SetHeader("WWW-Authenticate", `Bearer realm="waypost"`)
		s.refuse(ctx, &Error{Status: http.StatusUnauthorized, Code: "unauthorised", Sentence: "A valid bearer token is needed.", Hint: "`waypost agent token add` makes one."})
		return
	}
	need, _ := ctx.Operation().Metadata[scopeMetadata].(string)
	for _, have := range token.Scopes {
		if have == need {
			if method := ctx.Operation().Method; method != http.MethodGet && method != http.MethodHead && s.standby() {
				ctx.SetHeader("Retry-After", retryAfter)
				s.refuse(ctx, standby())
				return
			}
			next(huma.WithValue(ctx, tokenKey{}, token.Name))
			return
		}
	}
	s.refuse(ctx, &Error{Status: http.StatusForbidden, Code: "missing-scope", Sentence: "The token does not have the scope " + need + ".", Hint: "`waypost agent token add NAME --scope " + need + "` makes one that has."})
}

func (s *server) refuse(ctx huma.Context, e *Error) {
	p := problemOf(e)
	ctx.SetHeader("Content-Type", p.ContentType(""))
	ctx.SetStatus(e.Status)
	_ = format.Marshal(ctx.BodyWriter(), p)
}

// Document is a request with a JSON body, taken raw so that it is decoded once and strictly, with a JSON pointer for every
// mistake.
type Document struct {
	ContentType    string `header:"Content-Type"`
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"255" doc:"The same key with the same content returns the first answer and sends nothing again. Keep it across retries."`
	RawBody        []byte `contentType:"application/json"`
}

func decode[T any](d *Document) (*T, error) {
	if media, params, err := mime.ParseMediaType(d.ContentType); err != nil || media != "application/json" ||
		params["charset"] != "" && !strings.EqualFold(params["charset"], "utf-8") {
		return nil, &Error{Status: http.StatusUnsupportedMediaType, Code: "unsupported-media-type", Sentence: "The body must be application/json in UTF-8."}
	}
	return schemas.Decode[T](d.RawBody)
}

func (d *Document) key(ctx context.Context) Key {
	name, _ := ctx.Value(tokenKey{}).(string)
	return Key{Token: name, Value: d.IdempotencyKey}
}

type acceptedAnswer struct {
	Status int
	Body   *Accepted
}

// Paging bounds a list. (huma fills embedded structs only when their type is exported; so here and below.)
type Paging struct {
	Before int64 `query:"before" minimum:"0" doc:"n of the last row of the page before"`
	Limit  int   `query:"limit" minimum:"1" maximum:"500" default:"50"`
}

func (p Paging) page() store.Page { return store.Page{Before: p.Before, Limit: p.Limit} }

type list[T any] struct {
	Body struct {
		Items []T `json:"items"`
	}
}

type one[T any] struct{ Body *T }

// MessageID names a message in a path.
type MessageID struct {
	ID string `path:"id" pattern:"^[0-9a-f-]{36}$" doc:"Message id (UUIDv7)"`
}

// operation registers one operation with its scope and the problems it can answer with.
func operation[I, O any](s *server, method, path, id, summary, scope string, status int, do func(context.Context, *I) (*O, error)) {
	op := huma.Operation{
		OperationID: id, Method: method, Path: path, Summary: summary, DefaultStatus: status,
		Metadata: map[string]any{scopeMetadata: scope}, Security: []map[string][]string{{"token": {}}},
		MaxBodyBytes: schemas.MaxDocument + 1, BodyReadTimeout: bodyTimeout,
		// (huma refuses a body that reaches the limit; ours is the largest that is allowed)
		SkipValidateBody: true, // the raw bytes go to package schemas, which says more
		Description:      "Needs the scope `" + scope + "`.",
		Errors:           []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusUnprocessableEntity},
	}
	huma.Register(s.huma, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := do(ctx, in)
		if err != nil {
			return nil, s.fail(id, err)
		}
		return out, nil
	})
}

func items[T any](rows []T, err error) (*list[T], error) {
	if err != nil {
		return nil, err
	}
	var out list[T]
	if out.Body.Items = rows; rows == nil {
		out.Body.Items = []T{}
	}
	return &out, nil
}

func single[T any](v *T, err error) (*one[T], error) {
	if err != nil {
		return nil, err
	}
	return &one[T]{Body: v}, nil
}

func (s *server) routes() {
	svc := s.service
	for _, at := range []struct {
		path, id, summary string
		referral          bool
	}{
		{"/v1/referrals", "submit-referral", "Submit a referral", true},
		{"/v1/messages", "submit-message", "Submit a message of any kind", false},
	} {
		operation(s, "POST", at.path, at.id, at.summary, ScopeSend, http.StatusAccepted,
			func(ctx context.Context, in *Document) (*acceptedAnswer, error) {
				sub, err := decode[schemas.Submission](in)
				if err != nil {
					return nil, err
				}
				if at.referral && sub.Referral == nil {
					return nil, &Error{Status: http.StatusUnprocessableEntity, Code: "invalid", Sentence: "The submission is no referral.", Hint: "POST it to /v1/messages.",
						Problems: []schemas.Problem{{Path: "/referral", Rule: schemas.RuleRequired, Hint: "this address takes referrals only"}}}
				}
				a, err := svc.Submit(ctx, sub, in.key(ctx))
				return &acceptedAnswer{Status: http.StatusAccepted, Body: a}, err
			})
	}
	s.consentRoutes()
	s.placeRoutes()
	s.custodyRoutes()
	operation(s, "POST", "/v1/inbox/{id}/responses", "respond", "Answer a referral", ScopeRespond, http.StatusAccepted,
		func(ctx context.Context, in *struct {
			MessageID
			Document
		}) (*acceptedAnswer, error) {
			r, err := decode[schemas.ReferralResponse](&in.Document)
			if err != nil {
				return nil, err
			}
			a, err := svc.Respond(ctx, in.ID, r, in.key(ctx))
			return &acceptedAnswer{Status: http.StatusAccepted, Body: a}, err
		})
	operation(s, "GET", "/v1/inbox", "list-inbox", "List what came", ScopeRead, http.StatusOK,
		func(ctx context.Context, in *struct {
			Paging
			Open bool `query:"open" doc:"Only referrals that still wait for our answer"`
		}) (*list[Item], error) {
			return items(svc.Inbox(ctx, in.Open, in.page()))
		})
	operation(s, "GET", "/v1/inbox/{id}", "read-inbox", "Read a message that came", ScopeRead, http.StatusOK,
		func(ctx context.Context, in *MessageID) (*one[Message], error) {
			return single(svc.InboxMessage(ctx, in.ID))
		})
	operation(s, "GET", "/v1/outbox", "list-outbox", "List what was sent", ScopeRead, http.StatusOK,
		func(ctx context.Context, in *Paging) (*list[Item], error) { return items(svc.Outbox(ctx, in.page())) })
	operation(s, "GET", "/v1/outbox/{id}", "read-outbox", "Read a message that was sent, and how far it has got", ScopeRead, http.StatusOK,
		func(ctx context.Context, in *MessageID) (*one[Message], error) {
			return single(svc.OutboxMessage(ctx, in.ID))
		})
	operation(s, "GET", "/v1/quarantine", "list-quarantine", "List what was kept but not let through", ScopeRead, http.StatusOK,
		func(ctx context.Context, in *Paging) (*list[QuarantineItem], error) {
			return items(svc.Quarantine(ctx, in.page()))
		})
	operation(s, "GET", "/v1/quarantine/{n}", "read-quarantine", "See why a message was set aside", ScopeRead, http.StatusOK,
		func(ctx context.Context, in *struct {
			N int64 `path:"n" minimum:"1"`
		}) (*one[QuarantineItem], error) {
			return single(svc.QuarantineItem(ctx, in.N))
		})
	operation(s, "GET", "/v1/threads/{id}", "read-thread", "Read the history of a thread and how its referrals stand", ScopeRead, http.StatusOK,
		func(ctx context.Context, in *MessageID) (*one[ThreadView], error) {
			return single(svc.Thread(ctx, in.ID))
		})
	operation(s, "GET", "/v1/directory", "read-directory", "See who is who and who may be written to", ScopeRead, http.StatusOK,
		func(ctx context.Context, _ *struct{}) (*one[DirectoryInfo], error) { return single(svc.Agencies(ctx)) })
	operation(s, "GET", "/v1/status", "read-status", "See how the agent is", ScopeRead, http.StatusOK,
		func(ctx context.Context, _ *struct{}) (*one[Status], error) { return single(svc.Status(ctx)) })
	operation(s, "POST", "/v1/sinks/{name}/retry", "retry-sink", "Give a sink's dead letters another round", ScopeAdmin, http.StatusOK,
		func(ctx context.Context, in *struct {
			Name string `path:"name" maxLength:"40"`
		}) (*one[Retried], error) {
			n, err := svc.RetrySink(ctx, in.Name)
			return single(&Retried{Deliveries: n}, err)
		})
}

// Retried says how many deliveries wait for the sink again.
type Retried struct {
	Deliveries int64 `json:"deliveries"`
}
