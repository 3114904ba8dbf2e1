package schemas

// Names of the schemas. A name is a promise: a changed meaning gets a new name.
const (
	SchemaReferral         = "referral.v1"
	SchemaReferralResponse = "referral-response.v1"
	SchemaReceipt          = "receipt.v1"
	SchemaConsent          = "consent.v1"
	SchemaSubmission       = "submission.v1"
)

// Payload is what a sealed body carries.
type Payload interface {
	Schema() string // e.g. "referral.v1"
	Kind() Kind
}

// DecodePayload decodes and validates the payload of a sealed body. The schema name comes from the manifest.
// Receipts are refused like unknown schemas: they travel as a manifest without a body. The error is always
// an *InvalidError, and then the payload is nil.
func DecodePayload(schema string, data []byte) (Payload, error) {
	switch schema {
	case SchemaReferral:
		return payload(Decode[Referral](data))
	case SchemaReferralResponse:
		return payload(Decode[ReferralResponse](data))
	default:
		return nil, invalid([]Problem{{Path: "/schema", Rule: RuleUnknownSchema,
			Hint: "send a schema that the recipient's directory entry lists, or update this agent"}})
	}
}

// payload keeps a nil *T from becoming a Payload that is not nil.
func payload[P Payload](p P, err error) (Payload, error) {
	if err != nil {
		return nil, err
	}
	return p, nil
}

// KnownSchemas returns the schemas that a message of this version may name, receipts included.
func KnownSchemas() []string { return []string{SchemaReferral, SchemaReferralResponse, SchemaReceipt} }

// SchemaKind returns the kind of message that a schema belongs to.
func SchemaKind(schema string) (Kind, bool) {
	switch schema {
	case SchemaReferral:
		return KindReferral, true
	case SchemaReferralResponse:
		return KindReferralResponse, true
	case SchemaReceipt:
		return KindReceipt, true
	}
	return "", false
}
