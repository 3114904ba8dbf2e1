package schemas

// Need is a kind of help, in the vocabulary of support contracts.
type Need string

// The codes of Need.
const (
	NeedSafeAccommodation      Need = "safe-accommodation"
	NeedEmergencyAccommodation Need = "emergency-accommodation"
	NeedOutreach               Need = "outreach"
	NeedMedical                Need = "medical"
	NeedMentalHealth           Need = "mental-health"
	NeedCounselling            Need = "counselling"
	NeedMaternity              Need = "maternity"
	NeedSubstanceMisuse        Need = "substance-misuse"
	NeedLegalAdviceImmigration Need = "legal-advice-immigration"
	NeedLegalAdviceCriminal    Need = "legal-advice-criminal"
	NeedCompensation           Need = "compensation"
	NeedInterpretation         Need = "interpretation"
	NeedSubsistence            Need = "subsistence"
	NeedMaterialAssistance     Need = "material-assistance"
	NeedSafeTransport          Need = "safe-transport"
	NeedEducation              Need = "education"
	NeedEmployment             Need = "employment"
	NeedChildcare              Need = "childcare"
	NeedFamilyTracing          Need = "family-tracing"
	NeedRepatriation           Need = "repatriation"
	NeedPoliceReporting        Need = "police-reporting"
	NeedNavigator              Need = "navigator"
	NeedGuardian               Need = "guardian"
	NeedMissingPersonResponse  Need = "missing-person-response"
)

func needs() []Need {
	return []Need{
		NeedSafeAccommodation, NeedEmergencyAccommodation, NeedOutreach, NeedMedical, NeedMentalHealth,
		NeedCounselling, NeedMaternity, NeedSubstanceMisuse, NeedLegalAdviceImmigration, NeedLegalAdviceCriminal,
		NeedCompensation, NeedInterpretation, NeedSubsistence, NeedMaterialAssistance, NeedSafeTransport,
		NeedEducation, NeedEmployment, NeedChildcare, NeedFamilyTracing, NeedRepatriation, NeedPoliceReporting,
		NeedNavigator, NeedGuardian, NeedMissingPersonResponse,
	}
}

// Condition is the ground for special-category or criminal data, beside the basis. After UK GDPR article 9(2) and
// Data Protection Act 2018 Schedule 1; other countries that apply the GDPR know the same grounds.
type Condition string

// The codes of Condition.
const (
	ConditionExplicitConsent                     Condition = "explicit-consent"
	ConditionVitalInterests                      Condition = "vital-interests"
	ConditionHealthOrSocialCare                  Condition = "health-or-social-care"
	ConditionLegalClaims                         Condition = "legal-claims"
	ConditionStatutoryPurposes                   Condition = "statutory-purposes"
	ConditionPreventingUnlawfulActs              Condition = "preventing-unlawful-acts"
	ConditionSafeguardingChildrenAndAdultsAtRisk Condition = "safeguarding-children-and-adults-at-risk"
	ConditionLawEnforcement                      Condition = "law-enforcement"
)

func conditions() []Condition {
	return []Condition{
		ConditionExplicitConsent, ConditionVitalInterests, ConditionHealthOrSocialCare, ConditionLegalClaims,
		ConditionStatutoryPurposes, ConditionPreventingUnlawfulActs, ConditionSafeguardingChildrenAndAdultsAtRisk,
		ConditionLawEnforcement,
	}
}

// BasisReason is why data is shared without consent.
type BasisReason string

// The codes of BasisReason.
const (
	BasisReasonDangerToLife            BasisReason = "danger-to-life"
	BasisReasonPreventSeriousHarm      BasisReason = "prevent-serious-harm"
	BasisReasonChildAtRisk             BasisReason = "child-at-risk"
	BasisReasonLacksCapacity           BasisReason = "lacks-capacity"
	BasisReasonStatutoryDuty           BasisReason = "statutory-duty"
	BasisReasonCourtOrder              BasisReason = "court-order"
	BasisReasonCrimePrevention         BasisReason = "crime-prevention"
	BasisReasonCannotBeAsked           BasisReason = "cannot-be-asked"
	BasisReasonAskingWouldIncreaseRisk BasisReason = "asking-would-increase-risk"
	BasisReasonOther                   BasisReason = "other"
)

func basisReasons() []BasisReason {
	return []BasisReason{
		BasisReasonDangerToLife, BasisReasonPreventSeriousHarm, BasisReasonChildAtRisk, BasisReasonLacksCapacity,
		BasisReasonStatutoryDuty, BasisReasonCourtOrder, BasisReasonCrimePrevention, BasisReasonCannotBeAsked,
		BasisReasonAskingWouldIncreaseRisk, BasisReasonOther,
	}
}

// ResponseOutcome is the answer to a referral.
type ResponseOutcome string

// The codes of ResponseOutcome.
const (
	ResponseAccepted          ResponseOutcome = "accepted"
	ResponseDeclined          ResponseOutcome = "declined"
	ResponseInformationNeeded ResponseOutcome = "information-needed"
	ResponseRedirected        ResponseOutcome = "redirected"
	ResponseWaitlisted        ResponseOutcome = "waitlisted"
)

func responseOutcomes() []ResponseOutcome {
	return []ResponseOutcome{
		ResponseAccepted, ResponseDeclined, ResponseInformationNeeded, ResponseRedirected, ResponseWaitlisted,
	}
}

// ConsentForm is how consent was expressed.
type ConsentForm string

// The codes of ConsentForm.
const (
	ConsentFormSpoken  ConsentForm = "spoken"
	ConsentFormWritten ConsentForm = "written"
	ConsentFormSigned  ConsentForm = "signed"
)

func consentForms() []ConsentForm {
	return []ConsentForm{
		ConsentFormSpoken, ConsentFormWritten, ConsentFormSigned,
	}
}

// Capacity says how the capacity to consent was considered. A person without it cannot consent: another basis applies.
type Capacity string

// The codes of Capacity.
const (
	CapacityHasCapacity       Capacity = "has-capacity"
	CapacitySupportedToDecide Capacity = "supported-to-decide"
)

func capacities() []Capacity {
	return []Capacity{
		CapacityHasCapacity, CapacitySupportedToDecide,
	}
}

// ConsentGiver says who was asked, after Primero's record of who was interviewed.
type ConsentGiver string

// The codes of ConsentGiver.
const (
	PresentSurvivor                   ConsentGiver = "survivor"
	PresentSurvivorWithSupporter      ConsentGiver = "survivor-with-supporter"
	PresentSurvivorWithRepresentative ConsentGiver = "survivor-with-representative"
)

func consentGivers() []ConsentGiver {
	return []ConsentGiver{
		PresentSurvivor, PresentSurvivorWithSupporter, PresentSurvivorWithRepresentative,
	}
}

// WithheldFrom is with whom the survivor does not want to share, after Primero's consent for sharing with family,
// authorities and others.
type WithheldFrom string

// The codes of WithheldFrom.
const (
	WithheldFromFamily               WithheldFrom = "family"
	WithheldFromCommunity            WithheldFrom = "community"
	WithheldFromPolice               WithheldFrom = "police"
	WithheldFromImmigrationAuthority WithheldFrom = "immigration-authority"
	WithheldFromConsulate            WithheldFrom = "consulate"
	WithheldFromEmployer             WithheldFrom = "employer"
	WithheldFromOtherAgency          WithheldFrom = "other-agency"
	WithheldFromOthers               WithheldFrom = "others"
)

func withheldFroms() []WithheldFrom {
	return []WithheldFrom{
		WithheldFromFamily, WithheldFromCommunity, WithheldFromPolice, WithheldFromImmigrationAuthority,
		WithheldFromConsulate, WithheldFromEmployer, WithheldFromOtherAgency, WithheldFromOthers,
	}
}

// WithheldReason is why, after Primero's reasons for withholding.
type WithheldReason string

// The codes of WithheldReason.
const (
	WithheldFear                  WithheldReason = "fear"
	WithheldWantsToTellThemselves WithheldReason = "wants-to-tell-themselves"
	WithheldNotNeeded             WithheldReason = "not-needed"
	WithheldOther                 WithheldReason = "other"
	WithheldNotSaid               WithheldReason = "not-said"
)

func withheldReasons() []WithheldReason {
	return []WithheldReason{
		WithheldFear, WithheldWantsToTellThemselves, WithheldNotNeeded, WithheldOther, WithheldNotSaid,
	}
}
