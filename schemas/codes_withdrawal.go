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
