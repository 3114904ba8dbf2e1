package schemas

// ConsentChange is what a consent notice says of a certificate.
type ConsentChange string

// The changes. A renewed consent covers at least as much as before, a narrowed one less; ConsentStands lifts a stop that a
// withdrawal request had caused.
const (
	ConsentRenewed  ConsentChange = "renewed"
	ConsentNarrowed ConsentChange = "narrowed"
	ConsentStands   ConsentChange = "stands"
)

func consentChanges() []ConsentChange {
	return []ConsentChange{ConsentRenewed, ConsentNarrowed, ConsentStands}
}

// HolderOutcome is what a holder did after a withdrawal.
type HolderOutcome string

// The outcomes.
const (
	HolderStopped  HolderOutcome = "stopped"  // nothing is used or passed on any more; what is held is not erased yet
	HolderErased   HolderOutcome = "erased"   // and what was held is gone
	HolderRetained HolderOutcome = "retained" // and something is kept on another basis
)

func holderOutcomes() []HolderOutcome {
	return []HolderOutcome{HolderStopped, HolderErased, HolderRetained}
}

// RetentionReason is why something is kept although the consent is gone.
type RetentionReason string

// The reasons. What was lawfully done before a withdrawal stays lawful (UK GDPR Art. 7(3)); what is kept needs a ground of
// its own (Art. 17(3)).
const (
	RetentionInvestigation    RetentionReason = "criminal-investigation"
	RetentionProceedings      RetentionReason = "court-proceedings"
	RetentionLegalDuty        RetentionReason = "legal-duty-to-keep"
	RetentionSafeguardOthers  RetentionReason = "safeguarding-others"
	RetentionSafeguardChild   RetentionReason = "safeguarding-child"
	RetentionLegalClaims      RetentionReason = "legal-claims"
	RetentionRecordOfDecision RetentionReason = "record-of-decision"
)

func retentionReasons() []RetentionReason {
	return []RetentionReason{RetentionInvestigation, RetentionProceedings, RetentionLegalDuty, RetentionSafeguardOthers,
		RetentionSafeguardChild, RetentionLegalClaims, RetentionRecordOfDecision}
}

// Explained is one thing that the survivor was told before they were asked. With who explained it, in which language and
// how, it is what makes a consent an informed one (ISO/IEC TS 27560 "notice").
type Explained string

// What was explained.
const (
	ExplainedPurposes     Explained = "purposes"
	ExplainedData         Explained = "data"
	ExplainedRecipients   Explained = "recipients"
	ExplainedOnward       Explained = "onward-sharing"
	ExplainedDuration     Explained = "duration"
	ExplainedRefusal      Explained = "right-to-refuse"
	ExplainedConsequences Explained = "consequences-of-refusal" // support does not depend on it
	ExplainedLimits       Explained = "limits-of-confidentiality"
)

func explainedPoints() []Explained {
	return []Explained{ExplainedPurposes, ExplainedData, ExplainedRecipients, ExplainedOnward, ExplainedDuration, ExplainedRefusal,
		ExplainedConsequences, ExplainedLimits}
}
