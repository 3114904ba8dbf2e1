package api

import (
	"errors"
	"io"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"

	"waypost/agents/store"
	"waypost/schemas"
)

// Problem is what a refused caller gets (RFC 9457, application/problem+json). Nothing in it is taken from the input.
type Problem struct {
	Type     string            `json:"type" doc:"urn:waypost:problem:<code>"`
	Title    string            `json:"title"`
	Status   int               `json:"status"`
	Code     string            `json:"code" doc:"What machines should look at"`
	Detail   string            `json:"detail,omitempty" doc:"One sentence for people"`
	Hint     string            `json:"hint,omitempty" doc:"What to do next"`
	Problems []schemas.Problem `json:"problems,omitempty" doc:"Which field breaks which rule"`
}

// Error makes a Problem usable as a huma error.
func (p *Problem) Error() string { return p.Code }

// GetStatus is the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is RFC 9457's.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

func problemOf(e *Error) *Problem {
	return &Problem{Type: "urn:waypost:problem:" + e.Code, Title: http.StatusText(e.Status), Status: e.Status, Code: e.Code,
		Detail: e.Sentence, Hint: e.Hint, Problems: e.Problems}
}

func writeProblem(w http.ResponseWriter, e *Error) {
	p := problemOf(e)
	body, err := json.Marshal(p)
	if err != nil {
		http.Error(w, "internal", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(e.Status)
	_, _ = w.Write(body)
}

// fail turns whatever a Service returned into what the caller may know.
func (s *server) fail(operation string, err error) error {
	var e *Error
	if errors.As(err, &e) {
		if e.Cause != nil {
			s.log.Warn("request refused", "code", e.Code, "operation", operation, "err", e.Cause)
		}
		return problemOf(e)
	}
	var bad *schemas.InvalidError
	if errors.As(err, &bad) {
		return problemOf(invalid(bad))
	}
	if errors.Is(err, store.ErrRecovering) {
		// A number given now could be one that was given before, to something else.
		s.log.Warn("request refused", "code", "recovering", "operation", operation)
		return problemOf(&Error{Status: http.StatusServiceUnavailable, Code: "recovering", Sentence: "This agent was restored from a backup and has not yet heard from the ledger what it sent since; nothing was stored or sent.",
			Hint: "It needs the broker once. Wait until GET /v1/status shows it connected, then send the same again with the same Idempotency-Key."})
	}
	switch {
	case errors.Is(err, store.ErrStandby):
		return later(standby())
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrUncertain):
		s.log.Warn("request failed", "code", "store-unavailable", "operation", operation, "err", err)
		return later(&Error{Status: http.StatusServiceUnavailable, Code: "store-unavailable", Sentence: "The agent cannot reach its store now; it may or may not have kept this.",
			Hint: "Try again; the same Idempotency-Key makes it safe."})
	}
	s.log.Error("request failed", "code", "internal", "operation", operation, "err", err)
	return problemOf(&Error{Status: http.StatusInternalServerError, Code: "internal", Sentence: "Something went wrong inside the agent.", Hint: "Its log has an entry. The same Idempotency-Key makes it safe to try again."})
}

// retryAfter is how many seconds a caller should wait who meets a pair in the middle of a change.
const retryAfter = "5"

func later(e *Error) error {
	return huma.ErrorWithHeaders(problemOf(e), http.Header{"Retry-After": {retryAfter}})
}

func standby() *Error {
	return &Error{Status: http.StatusServiceUnavailable, Code: "standby", Sentence: "This agent stands by; another agent of this agency works. Nothing was stored or sent.",
		Hint: "Send it to the other one, or try again: this one takes over within seconds if the other is gone."}
}

func invalid(bad *schemas.InvalidError) *Error {
	if bad.Has("too_large") {
		return tooLarge()
	}
	return &Error{Status: http.StatusUnprocessableEntity, Code: "invalid", Sentence: "The document breaks a rule; nothing was stored or sent.",
		Hint: "Mend the fields named in problems and send it again.", Problems: bad.Problems}
}

func tooLarge() *Error {
	return &Error{Status: http.StatusRequestEntityTooLarge, Code: "too-large", Sentence: "The document is larger than a message may be.", Hint: "Shorten the texts; the limit is 1 MiB."}
}

// knownLocations are the places outside a body that a problem may name.
var knownLocations = []string{"query.open", "query.before", "query.limit", "path.id", "path.n", "path.name", "header.Idempotency-Key", "header.Content-Type", "body"}

// problemTransformer replaces huma's own error documents: they repeat the value that was wrong.
func problemTransformer(_ huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	e := &Error{Status: m.Status, Code: "bad-request", Sentence: "The request cannot be understood.", Hint: "GET /openapi.json describes it."}
	switch m.Status {
	case http.StatusRequestEntityTooLarge:
		e = tooLarge()
	case http.StatusUnsupportedMediaType:
		e.Code, e.Sentence = "unsupported-media-type", "The body must be application/json."
	case http.StatusRequestTimeout:
		e.Code, e.Sentence = "timeout", "The body did not arrive in time."
	case http.StatusInternalServerError:
		e.Code, e.Sentence, e.Hint = "internal", "Something went wrong inside the agent.", "Its log has an entry."
	}
	for _, d := range m.Errors {
		path := d.Location
		if !slices.Contains(knownLocations, path) {
			path = "*" // the caller's own word
		}
		e.Problems = append(e.Problems, schemas.Problem{Path: path, Rule: "invalid"})
	}
	return problemOf(e), nil
}

// format is huma's JSON, strict and deterministic. Bodies of requests do not come this way: they are decoded from their raw
// bytes by package schemas.
var format = huma.Format{
	Marshal:   func(w io.Writer, v any) error { return json.MarshalWrite(w, v, json.Deterministic(true)) },
	Unmarshal: func(data []byte, v any) error { return json.Unmarshal(data, v, json.RejectUnknownMembers(true)) },
}
