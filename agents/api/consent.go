package api

import (
	"context"
	"net/http"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"waypost/schemas"
	"waypost/schemas/consent"
)

// Consents is the part of Service that is about consents.
type Consents interface {
	// Consents lists the certificates that this agency took or was sent, newest first.
	Consents(ctx context.Context) ([]ConsentItem, error)
	// Consent shows one: how it stands, who holds what under it, who has answered a withdrawal.
	Consent(ctx context.Context, id string) (*ConsentDetail, error)
	// Withdraw ends a consent that this agency took, or asks the agency that took it to. Everything under it is stopped
	// here, and every holder is told, before it returns. Repeating it changes nothing.
	Withdraw(ctx context.Context, id string) (*ConsentDetail, error)
	// Stands says that requests to withdraw a consent, which this agency took, were a mistake: everybody may go on.
	Stands(ctx context.Context, id string) (*ConsentDetail, error)
	// Replace signs a renewed or narrowed consent and brings it to every holder that it still covers; from the others the
	// old one is withdrawn.
	Replace(ctx context.Context, id string, c *schemas.Consent) (*ConsentDetail, error)
	// Answer says what this agency did after a withdrawal. With `erased` it erases what this agent holds.
	Answer(ctx context.Context, id string, a *schemas.HolderAnswer) (*ConsentDetail, error)
}

// ConsentItem is one line of the list of consents.
type ConsentItem struct {
	ID         string    `json:"id"`
	Issuer     string    `json:"issuer" doc:"The agency that took the consent"`
	Standing   string    `json:"standing" doc:"valid, expired, stopped (a withdrawal was asked for), withdrawn, superseded"`
	Issued     time.Time `json:"issued"`
	Expires    time.Time `json:"expires"`
	Review     time.Time `json:"review"`
	Supersedes string    `json:"supersedes,omitempty"`
}

// ConsentDetail is everything that is known of one.
type ConsentDetail struct {
	ConsentItem
	Text       string              `json:"text" doc:"The signed certificate"`
	Record     jsontext.Value      `json:"record" doc:"What the survivor agreed to, schema consent-record.v1"`
	ReplacedBy []string            `json:"replaced_by,omitempty"`
	Statements []consent.Statement `json:"statements,omitempty" doc:"What was said about it since it was issued"`
	Holders    []Holder            `json:"holders,omitempty" doc:"Who was sent something under it, as far as this agency knows"`
	Duties     []Duty              `json:"duties,omitempty" doc:"Withdrawals that this agency must decide on, and what it decided"`
	Notice     string              `json:"notice,omitempty" doc:"What a person should do next"`
}

// Holder is one agency that holds something under a consent, and what it did after a withdrawal.
type Holder struct {
	Agency    string                `json:"agency"`
	Via       []string              `json:"via,omitempty" doc:"Agencies that passed it on"`
	Since     time.Time             `json:"since" doc:"When it was last sent something, as far as we know"`
	State     string                `json:"state,omitempty" doc:"after a withdrawal: told, not-told, answered, overdue"`
	Told      *time.Time            `json:"told,omitempty"`
	Due       *time.Time            `json:"due,omitempty" doc:"When its answer is due"`
	Answered  *time.Time            `json:"answered,omitempty"`
	Reminders int                   `json:"reminders,omitempty"`
	Answer    *schemas.HolderAnswer `json:"answer,omitempty"`
}

// Duty is a withdrawal, or a request for one, that this agency must decide on.
type Duty struct {
	Statement   string                `json:"statement"`
	Certificate string                `json:"certificate"`
	Act         consent.Act           `json:"act" doc:"withdrawn: say what you did with what you hold; withdrawal-requested: ask the survivor, then withdraw or say that it stands"`
	By          string                `json:"by"`
	Thread      string                `json:"thread,omitempty"`
	Received    time.Time             `json:"received"`
	Due         time.Time             `json:"due"`
	Overdue     bool                  `json:"overdue"`
	Decided     *time.Time            `json:"decided,omitempty"`
	Answer      *schemas.HolderAnswer `json:"answer,omitempty"`
}

// ConsentID names a consent in a path.
type ConsentID struct {
	ID string `path:"id" pattern:"^[0-9a-f-]{36}$" doc:"Certificate id (UUIDv4)"`
}

func (s *server) consentRoutes() {
	svc := s.service
	operation(s, "GET", "/v1/consents", "list-consents", "List consents", ScopeRead, http.StatusOK,
		func(ctx context.Context, _ *struct{}) (*list[ConsentItem], error) { return items(svc.Consents(ctx)) })
	operation(s, "GET", "/v1/consents/{id}", "read-consent", "See how a consent stands and who holds what under it", ScopeRead, http.StatusOK,
		func(ctx context.Context, in *ConsentID) (*one[ConsentDetail], error) {
			return single(svc.Consent(ctx, in.ID))
		})
	operation(s, "POST", "/v1/consents/{id}/withdraw", "withdraw-consent", "The survivor has withdrawn: stop everywhere", ScopeSend, http.StatusOK,
		func(ctx context.Context, in *ConsentID) (*one[ConsentDetail], error) {
			return single(svc.Withdraw(ctx, in.ID))
		})
	operation(s, "POST", "/v1/consents/{id}/stands", "consent-stands", "A request to withdraw was a mistake", ScopeSend, http.StatusOK,
		func(ctx context.Context, in *ConsentID) (*one[ConsentDetail], error) {
			return single(svc.Stands(ctx, in.ID))
		})
	operation(s, "POST", "/v1/consents/{id}/replace", "replace-consent", "Renew or narrow a consent", ScopeSend, http.StatusOK,
		func(ctx context.Context, in *struct {
			ConsentID
			Document
		}) (*one[ConsentDetail], error) {
			c, err := decode[schemas.Consent](&in.Document)
			if err != nil {
				return nil, err
			}
			return single(svc.Replace(ctx, in.ID, c))
		})
	operation(s, "POST", "/v1/consents/{id}/answer", "answer-withdrawal", "Say what this agency did after a withdrawal", ScopeRespond, http.StatusOK,
		func(ctx context.Context, in *struct {
			ConsentID
			Document
		}) (*one[ConsentDetail], error) {
			a, err := decode[schemas.HolderAnswer](&in.Document)
			if err != nil {
				return nil, err
			}
			return single(svc.Answer(ctx, in.ID, a))
		})
}
