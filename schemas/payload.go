package schemas

import "reflect"

// Names of the schemas. A name is a promise: a changed meaning gets a new name.
const (
	SchemaReferral             = "referral.v1"
	SchemaReferralResponse     = "referral-response.v1"
	SchemaReferralUpdate       = "referral-update.v1"
	SchemaAvailability         = "availability.v1"
	SchemaNRMDecision          = "nrm-decision.v1"
	SchemaSupportEntitlement   = "support-entitlement.v1"
	SchemaJusticeUpdate        = "justice-update.v1"
	SchemaIntelligence         = "intelligence.v1"
	SchemaIntelligenceFeedback = "intelligence-feedback.v1"
	SchemaInformationRequest   = "information-request.v1"
	SchemaInformationAnswer    = "information-answer.v1"
	SchemaMessage              = "message.v1"
	SchemaDutyToNotify         = "duty-to-notify.v1"
	SchemaReceipt              = "receipt.v1"
	SchemaConsentNotice        = "consent.v1"
	SchemaConsentWithdrawal    = "consent-withdrawal.v1"
	SchemaWithdrawalRequest    = "withdrawal-request.v1"
	SchemaWithdrawalOutcome    = "withdrawal-outcome.v1"
	SchemaForwarding           = "forwarding.v1"
	SchemaSubmission           = "submission.v1"     // never travels
	SchemaHolderAnswer         = "holder-answer.v1"  // never travels by itself
	SchemaConsentTerms         = "consent-record.v1" // inside a certificate
)

// Payload is what a sealed body carries.
type Payload interface {
	Schema() string // e.g. "referral.v1"
	Kind() Kind
}

// Sharer is a payload that says for what and on which ground it is shared.
type Sharer interface {
	Payload
	PurposeList() []Purpose
	Ground() *LawfulBasis
}

// Urgenter is a payload that knows when it must not wait: a survivor is missing, a suspect is released.
type Urgenter interface {
	Payload
	MustBeUrgent() bool
}

// Deadliner is a payload that sets dates: the keys name clocks of package clock.
type Deadliner interface {
	Payload
	Deadlines() map[string]Date
}

// ClockStarter is a payload that starts clocks: the keys name clocks of package clock, the dates are when they start.
type ClockStarter interface {
	Payload
	Clocks() map[string]Date
}

// ControlPayload is a payload that serves consent itself.
type ControlPayload interface {
	Payload
	CertificateID() string
}

// DecodePayload decodes and validates the payload of a sealed body. The schema name comes from the manifest.
// Receipts are refused like unknown schemas: they travel as a manifest without a body. The error is always
// an *InvalidError, and then the payload is nil.
func DecodePayload(schema string, data []byte) (Payload, error) {
	for _, e := range catalogue {
		if e.Schema != schema || e.typ == nil {
			continue
		}
		v := reflect.New(e.typ).Interface()
		if err := strict(data, v, true); err != nil {
			return nil, err
		}
		if err := Validate(v); err != nil {
			return nil, err
		}
		return v.(Payload), nil
	}
	return nil, invalid([]Problem{{Path: "/schema", Rule: RuleUnknownSchema,
		Hint: "send a schema that the recipient's directory entry lists, or update this agent"}})
}

// KnownSchemas returns the schemas that a message of this version may name, receipts included.
func KnownSchemas() []string {
	var out []string
	for _, e := range catalogue {
		out = append(out, e.Schema)
	}
	return out
}

// SchemaKind returns the kind of message that a schema belongs to.
func SchemaKind(schema string) (Kind, bool) {
	for _, e := range catalogue {
		if e.Schema == schema {
			return e.Kind, true
		}
	}
	return "", false
}
