package ledger

import (
	"github.com/go-json-experiment/json"

	"waypost/schemas"
)

// What agencies ask of the ledger, over NATS micro services that the notary runs. The subject is log.<verb>.<agency>: the
// broker's permissions see to it that nobody asks as another. Requests and answers are JSON objects as below; an error comes
// in the headers Nats-Service-Error-Code and Nats-Service-Error, as micro services do.
const (
	VerbCheckpoint  = "checkpoint"  // nothing → CheckpointAnswer
	VerbConsistency = "consistency" // ConsistencyRequest → ConsistencyAnswer
	VerbInclusion   = "inclusion"   // InclusionRequest → InclusionAnswer, of the agency's own messages only
	VerbCosign      = "cosign"      // a checkpoint with the agency's cosignature → nothing
	VerbAct         = "act"         // a signed act → ActAnswer
	VerbAsked       = "asked"       // AskedRequest → AskedAnswer: what administrators asked of the agency
	VerbSent        = "sent"        // SentRequest → SentAnswer: what the agency itself sent
	VerbRestored    = "restored"    // RestoredRequest → InclusionAnswer: the acts that say that this ledger went back
)

// ServiceSubject is where an agency asks.
func ServiceSubject(verb, agency string) string { return "log." + verb + "." + agency }

// Error codes of the services.
const (
	ServiceRefused = "refused"      // not yours to ask
	ServiceBad     = "bad-request"  // the request is malformed, or does not verify
	ServiceAbsent  = "not-recorded" // not in the ledger, or not yet
	ServiceBusy    = "rate-limited" // ask again later
	ServiceDown    = "unavailable"  // the ledger cannot be read or written now; ask again later
)

// MaxInclusions is how many messages one request may ask about.
const MaxInclusions = 32

// CheckpointAnswer is the newest checkpoint, and what other agencies last cosigned.
type CheckpointAnswer struct {
	Checkpoint string   `json:"checkpoint"` // with the log's signature and all cosignatures known
	Witnessed  []string `json:"witnessed,omitzero"`
}

// ConsistencyRequest asks for the proof that the log of size New begins with the log of size Old.
type ConsistencyRequest struct {
	Old int64 `json:"old"`
	New int64 `json:"new"`
}

// ConsistencyAnswer holds the proof (RFC 6962, section 2.1.2).
type ConsistencyAnswer struct {
	Hashes []string `json:"hashes"`
}

// Place is where a message was stored: what the broker said to its sender and to its recipient.
type Place struct {
	Stream string `json:"stream"`
	Seq    uint64 `json:"seq"`
}

// InclusionRequest asks for records under the checkpoint of a size.
type InclusionRequest struct {
	Size   int64   `json:"size"`
	Places []Place `json:"places,omitzero"`
	Act    string  `json:"act,omitzero"` // or for an own act, by its id
}

// Inclusion is one record with its proof; Record is "" if the ledger of that size does not hold it.
type Inclusion struct {
	Record string   `json:"record,omitzero"` // base64
	Index  int64    `json:"index"`
	Hashes []string `json:"hashes,omitzero"`
}

// InclusionAnswer has one inclusion for each place, in their order.
type InclusionAnswer struct {
	Inclusions []Inclusion `json:"inclusions"`
}

// ActAnswer says that the act is recorded, and what was done.
type ActAnswer struct {
	Index   int64 `json:"index"`
	Deleted int   `json:"deleted,omitzero"` // erased: ciphertexts deleted at the broker
	Waiting int   `json:"waiting,omitzero"` // erased: messages of the thread without a receipt, which stay
}

// AskedRequest asks for acts about the agency from a record on.
type AskedRequest struct {
	From int64 `json:"from"`
}

// SentRequest asks for the records of the agency's own messages from a record on.
type SentRequest struct {
	From int64 `json:"from"`
}

// SentAnswer holds some of them, base64, and where to go on; none when there are no more.
type SentAnswer struct {
	Records []string `json:"records,omitzero"`
	Next    int64    `json:"next"`
}

// RestoredRequest asks for acts "restored" under the checkpoint of a size.
type RestoredRequest struct {
	Size int64 `json:"size"`
}

// AskedAnswer holds signed acts (ActRedeliver by the root, ActRecovers by the agency) and where to go on.
type AskedAnswer struct {
	Acts []string `json:"acts,omitzero"`
	Next int64    `json:"next"`
}

// Encode writes a request or an answer.
func Encode(v any) []byte {
	out, err := schemas.Encode(v)
	if err != nil {
		return nil // none of these types can fail
	}
	return out
}

// DecodeActAnswer reads what the service said to an act.
func DecodeActAnswer(raw []byte) (*ActAnswer, error) {
	a := new(ActAnswer)
	if err := json.Unmarshal(raw, a); err != nil {
		return nil, malformed("act_answer", nil)
	}
	return a, nil
}

// DecodeCheckpointAnswer reads what the service said of checkpoints.
func DecodeCheckpointAnswer(raw []byte) (*CheckpointAnswer, error) {
	a := new(CheckpointAnswer)
	if err := json.Unmarshal(raw, a); err != nil {
		return nil, malformed("checkpoint_answer", nil)
	}
	return a, nil
}
