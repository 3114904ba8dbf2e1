package agents

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"

	"waypost/agents/api"
	"waypost/agents/store"
	"waypost/schemas"
	"waypost/schemas/directory"
	"waypost/schemas/envelope"
)

func refuse(code, sentence, hint string, problems ...schemas.Problem) *api.Error {
	return &api.Error{Status: http.StatusUnprocessableEntity, Code: code, Sentence: sentence, Hint: hint, Problems: problems}
}

func notFound(sentence string) *api.Error {
	return &api.Error{Status: http.StatusNotFound, Code: "not-found", Sentence: sentence}
}

// disallowed turns the directory's refusal into words. What the directory names (agencies, codes) goes into hints only where
// it is a word of a code list: an agency that is not in the directory is whatever the caller wrote.
func disallowed(err error, m *envelope.Manifest) error {
	var d *directory.Error
	if !errors.As(err, &d) {
		return err
	}
	// Where in the submission; an answer's recipient is not in its document.
	data := "/" + strings.ReplaceAll(string(m.Kind), "-", "_")
	to, purposes := "/to", data+"/purposes"
	if m.Kind == schemas.KindReferralResponse {
		to, purposes, data = "", "", ""
	}
	p := schemas.Problem{Path: to, Rule: d.Code}
	sentence, hint := "The network does not allow this message.", "Ask the network's administrators."
	switch d.Code {
	case directory.CodeUnknownAgency:
		sentence, hint = "There is no such agency in the directory.", "GET /v1/directory lists the agencies."
	case directory.CodeSuspendedAgency:
		sentence, hint = "That agency is suspended.", "Telephone it, and ask the network's administrators."
		if d.Field == m.From {
			sentence, hint, p.Path = "This agency is suspended.", "Ask the network's administrators.", ""
		}
	case directory.CodeNoAgreement:
		sentence, hint = "There is no agreement under which this kind of message may go to that agency.", "An administrator adds one with `waypost network agreement add`."
	case directory.CodeRoleKind:
		sentence, hint = "An agency of this role does not send, or that one does not receive, this kind of message.", "schemas/README.md says who sends what to whom."
	case directory.CodeAgreementPurpose:
		sentence, hint = "The agreement with that agency does not cover a purpose of this message.", "Take the purpose out or have the agreement extended."
		p.Path, p.Hint = purposes, "not covered: "+d.Field
	case directory.CodeAgreementCategory:
		sentence, hint = "The agreement with that agency does not cover a category of data in this message.", "Leave those fields out or have the agreement extended."
		p.Path, p.Hint = data, "not covered: "+d.Field
	}
	return refuse(d.Code, sentence, hint, p)
}

// repeat is an idempotency key on its way into the store: keyed hashes, never what the caller sent.
type repeat struct{ key, request []byte }

func (a *Agent) idempotency(k api.Key, operation string, request any) (*repeat, error) {
	if k.Value == "" {
		return nil, nil
	}
	text, err := schemas.Encode(request)
	if err != nil {
		return nil, err
	}
	return &repeat{
		key:     a.vault.MAC("idempotency-key", []byte(k.Token+"\x00"+k.Value)),
		request: a.vault.MAC("idempotency-request", append([]byte(operation+"\x00"), text...)),
	}, nil
}

// errKeyReused: the key came before with other content.
var errKeyReused = refuse("idempotency-key-reused", "This Idempotency-Key was used before for something else; nothing was sent.", "Use a new key for a new message.")

func (r *repeat) same(request []byte) error {
	if !bytes.Equal(r.request, request) {
		return errKeyReused
	}
	return nil
}

// repeated answers a known key before anything is evaluated: a retry must get the first answer even if, say, the consent
// has run out since.
func (a *Agent) repeated(ctx context.Context, r *repeat) (*api.Accepted, error) {
	if r == nil {
		return nil, nil
	}
	request, message, err := a.store.Repeated(ctx, r.key)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := r.same(request); err != nil {
		return nil, err
	}
	return a.accepted(ctx, message)
}

func (a *Agent) accepted(ctx context.Context, id string) (*api.Accepted, error) {
	o, err := a.store.Outgoing(ctx, a.cfg.Agency, id)
	if err != nil {
		return nil, err
	}
	m := o.Manifest
	return &api.Accepted{ID: id, Thread: m.Thread, State: state(o), RespondBy: m.RespondBy, Repeated: true}, nil
}
