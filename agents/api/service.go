package api

import (
	"context"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"waypost/agents/store"
	"waypost/schemas"
	"waypost/schemas/directory"
	"waypost/schemas/thread"
)

// Service is what the API stands on: the running agent. Every method is safe for concurrent use. Errors that a caller
// may see are *Error; anything else is "internal" to the outside and goes to the log.
type Service interface {
	Consents
	Finder
	Custody

	// Submit accepts a referral. When it returns nil error the message is sealed, signed and on disk; it will be published
	// whenever the broker can be reached. The same idempotency key with the same content returns the first answer.
	Submit(ctx context.Context, s *schemas.Submission, key Key) (*Accepted, error)
	// Respond accepts an answer to a referral in the inbox, with the same durability.
	Respond(ctx context.Context, message string, r *schemas.ReferralResponse, key Key) (*Accepted, error)

	// Inbox and Outbox list newest first; Before is the n of the last row of the page before.
	Inbox(ctx context.Context, open bool, p store.Page) ([]Item, error)
	Outbox(ctx context.Context, p store.Page) ([]Item, error)
	// InboxMessage and OutboxMessage open one message for reading: ErrNotFound as *Error with code not-found.
	InboxMessage(ctx context.Context, id string) (*Message, error)
	OutboxMessage(ctx context.Context, id string) (*Message, error)
	Quarantine(ctx context.Context, p store.Page) ([]QuarantineItem, error)
	QuarantineItem(ctx context.Context, n int64) (*QuarantineItem, error)
	Thread(ctx context.Context, thread string) (*ThreadView, error)
	Agencies(ctx context.Context) (*DirectoryInfo, error)
	Status(ctx context.Context) (*Status, error)
	// RetrySink puts the dead letters of a sink back in its queue and returns how many.
	RetrySink(ctx context.Context, sink string) (int64, error)
	// Token finds a bearer token; store.ErrNotFound when there is none.
	Token(ctx context.Context, secret string) (*store.Token, error)
}

// Key is an idempotency key and whose it is; the zero Key means none was given.
type Key struct{ Token, Value string }

// Accepted is the answer to a submission: it is durable here, and nothing more is claimed.
type Accepted struct {
	ID        string        `json:"id" doc:"Message id (UUIDv7)"`
	Thread    string        `json:"thread" doc:"Thread id shared by everything that follows from this referral"`
	State     string        `json:"state" doc:"pending: stored by this agent, waiting to be published"`
	RespondBy *time.Time    `json:"respond_by,omitempty" doc:"When an answer is due"`
	Left      []schemas.Cut `json:"left_out,omitempty" doc:"Members that were left out because they are not covered (minimise)"`
	Repeated  bool          `json:"repeated,omitzero" doc:"True when the idempotency key was seen before; nothing new was sent"`
}

// Item is one line of the inbox or outbox: metadata only.
type Item struct {
	N           int64        `json:"n" doc:"Position; pass the last one as 'before' for the next page"`
	ID          string       `json:"id"`
	Thread      string       `json:"thread"`
	ReplyTo     string       `json:"reply_to,omitempty"`
	From        string       `json:"from"`
	To          string       `json:"to"`
	Kind        schemas.Kind `json:"kind"`
	Schema      string       `json:"schema"`
	Lane        schemas.Lane `json:"lane"`
	Seq         uint64       `json:"seq"`
	Sent        time.Time    `json:"sent"`
	Received    *time.Time   `json:"received,omitempty"`
	RespondBy   *time.Time   `json:"respond_by,omitempty"`
	Answered    *time.Time   `json:"answered,omitempty"`
	Overdue     bool         `json:"overdue"`
	Basis       string       `json:"basis,omitempty"`
	State       string       `json:"state" doc:"outbox: pending, published (not yet collected), delivered, quarantined, rejected, stopped, void (taken back); inbox: received, routed, stopped, refused"`
	Hold        string       `json:"hold,omitempty" doc:"Code for why a pending message is not leaving"`
	Stopped     *time.Time   `json:"stopped,omitempty" doc:"Its consent was withdrawn, or that was asked for: nothing goes on and no clock runs"`
	ReceiptCode string       `json:"receipt_code,omitempty"`
	ReceiptAt   *time.Time   `json:"receipt_at,omitempty"`
}

// Message is one opened message with everything that is known of its journey.
type Message struct {
	Item
	Certificates []string          `json:"certificates,omitempty" doc:"Ids of the consent certificates that travelled with it; name them in a submission to forward"`
	Payload      jsontext.Value    `json:"payload,omitempty" doc:"The payload as it was sent"`
	Withheld     string            `json:"withheld,omitempty" doc:"Code for why there is no payload: consent-withdrawn, consent-stopped, erased, void"`
	Receipts     []schemas.Receipt `json:"receipts,omitempty"`
	Deliveries   []DeliveryItem    `json:"deliveries,omitempty"`
}

// DeliveryItem is one hand-over to one of the agency's own systems.
type DeliveryItem struct {
	Message  string     `json:"message,omitempty" doc:"Id of the message or event handed over"`
	Sink     string     `json:"sink"`
	State    string     `json:"state" doc:"pending, done, dead"`
	Required bool       `json:"required"`
	Attempts int        `json:"attempts"`
	Due      *time.Time `json:"due,omitempty"`
	Code     string     `json:"code,omitempty"`
}

// QuarantineItem is a message that was kept but not let through.
type QuarantineItem struct {
	N        int64             `json:"n"`
	ID       string            `json:"id,omitempty" doc:"As claimed; do not trust it when verified is false"`
	From     string            `json:"from"`
	Lane     schemas.Lane      `json:"lane"`
	Kind     schemas.Kind      `json:"kind,omitempty"`
	Code     string            `json:"code"`
	Verified bool              `json:"verified" doc:"The signature is the sender's own"`
	Received time.Time         `json:"received"`
	Size     int               `json:"size,omitempty"`
	Problems []schemas.Problem `json:"problems,omitempty"`
}

// HistoryItem is one line of a thread's history.
type HistoryItem struct {
	At      time.Time    `json:"at"`
	Event   string       `json:"event"`
	Message string       `json:"message,omitempty"`
	Kind    schemas.Kind `json:"kind,omitempty"`
	Agency  string       `json:"agency,omitempty"`
	Code    string       `json:"code,omitempty"`
	Consent string       `json:"certificate,omitempty" doc:"The consent that it is about"`
}

// ThreadView is what happened in a thread here, and how its referrals stand.
type ThreadView struct {
	Items     []HistoryItem   `json:"items" doc:"What this agent did and saw, oldest first"`
	Referrals []ReferralState `json:"referrals,omitempty" doc:"Each referral of the thread and what became of it; the same at both of its agencies"`
	Flags     []thread.Flag   `json:"flags,omitempty" doc:"Messages that could not do what they say; they are kept"`
}

// ReferralState is one referral and what became of it.
type ReferralState struct {
	State thread.State `json:"state" doc:"One word for a list; work, delivery and hold are told apart below"`
	thread.Request
}

// AgencyItem is one agency of the network.
type AgencyItem struct {
	ID          string         `json:"id"`
	Name        string         `json:"name"`
	Role        schemas.Role   `json:"role"`
	Region      string         `json:"region,omitempty"`
	State       string         `json:"state"`
	DutyContact string         `json:"duty_contact,omitempty"`
	MaySend     []schemas.Kind `json:"may_send,omitempty" doc:"Kinds we may send to it under an agreement today"`
	MayReceive  []schemas.Kind `json:"may_receive,omitempty" doc:"Kinds it may send to us"`
}

// DirectoryInfo is the directory this agent works from.
type DirectoryInfo struct {
	Version    uint64                 `json:"version"`
	Issued     time.Time              `json:"issued"`
	Expires    time.Time              `json:"expires"`
	Expired    bool                   `json:"expired"`
	Agencies   []AgencyItem           `json:"agencies"`
	Agreements []*directory.Agreement `json:"agreements,omitempty"`
}

// Status is the agent's own state.
type Status struct {
	Agency           string         `json:"agency"`
	Connected        bool           `json:"connected"`
	Code             string         `json:"code,omitempty" doc:"Why it is not connected"`
	Standby          bool           `json:"standby,omitempty" doc:"Another agent of this agency works; this one waits to take over"`
	DirectoryVersion uint64         `json:"directory_version"`
	DirectoryExpires *time.Time     `json:"directory_expires,omitempty"`
	Counts           *store.Counts  `json:"counts"`
	Gaps             []GapItem      `json:"gaps,omitempty"`
	DeadLetters      []DeliveryItem `json:"dead_letters,omitempty"`
	Alarms           []string       `json:"ledger_alarms,omitempty" doc:"Folders of evidence in the agent's data folder: the ledger contradicted itself. Telephone the administrators"`
	Duties           []Duty         `json:"duties,omitempty" doc:"Withdrawals that wait for a decision of this agency's people"`
	Attention        []Concern      `json:"attention,omitempty" doc:"What a person should look at"`
}

// Concern is something that a person should look at.
type Concern struct {
	Code     string `json:"code"`
	Sentence string `json:"sentence" doc:"What is the matter and what to do first"`
}

// GapItem is a sequence number that a peer gave out and we never saw.
type GapItem struct {
	From    string       `json:"from"`
	Lane    schemas.Lane `json:"lane"`
	Seq     uint64       `json:"seq"`
	Noticed time.Time    `json:"noticed"`
}

// Error is a refusal for a caller: a code for machines, a sentence for people, and what is wrong where. It never holds a
// value of the input.
type Error struct {
	Status   int // HTTP status
	Code     string
	Sentence string
	Hint     string // what to do next
	Problems []schemas.Problem
	Cause    error // for the log only
}

func (e *Error) Error() string { return e.Code + ": " + e.Sentence }

func (e *Error) Unwrap() error { return e.Cause }
