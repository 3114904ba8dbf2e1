package schemas

// CaseState says where a referral stands after it was accepted, as FHIR Task in SDOH Clinical Care has it. The responder sets all of them; either side may cancel.
type CaseState string

// The codes of CaseState.
const (
	CaseInProgress CaseState = "in-progress"
	CaseOnHold     CaseState = "on-hold"
	CaseCompleted  CaseState = "completed"
	CaseFailed     CaseState = "failed"
	CaseCancelled  CaseState = "cancelled"
)

func codesOfCaseState() []CaseState {
	return []CaseState{CaseInProgress, CaseOnHold, CaseCompleted, CaseFailed, CaseCancelled}
}

// OutcomeDomain is a domain of the Modern Slavery Core Outcome Set.
type OutcomeDomain string

// The codes of OutcomeDomain.
const (
	OutcomeHousing         OutcomeDomain = "secure-suitable-housing"
	OutcomeSafety          OutcomeDomain = "safety-from-abuse"
	OutcomeLongTermSupport OutcomeDomain = "long-term-consistent-support"
	OutcomeCompassion      OutcomeDomain = "compassionate-trauma-informed-services"
	OutcomePurpose         OutcomeDomain = "purpose-and-self-actualisation"
	OutcomeMedical         OutcomeDomain = "access-to-medical-treatment"
	OutcomeEducation       OutcomeDomain = "access-to-education"
)

func codesOfOutcomeDomain() []OutcomeDomain {
	return []OutcomeDomain{OutcomeHousing, OutcomeSafety, OutcomeLongTermSupport, OutcomeCompassion, OutcomePurpose, OutcomeMedical, OutcomeEducation}
}

// AlertKind says what happened to a survivor's safety.
type AlertKind string

// The codes of AlertKind.
const (
	AlertMissing      AlertKind = "missing"
	AlertFound        AlertKind = "found"
	AlertAtRisk       AlertKind = "at-risk-of-re-trafficking"
	AlertRetrafficked AlertKind = "re-trafficked"
	AlertThreatened   AlertKind = "threatened"
)

func codesOfAlertKind() []AlertKind {
	return []AlertKind{AlertMissing, AlertFound, AlertAtRisk, AlertRetrafficked, AlertThreatened}
}

// ExitReason says why support ended.
type ExitReason string

// The codes of ExitReason.
const (
	ExitIndependent    ExitReason = "moved-on-independently"
	ExitTransferred    ExitReason = "transferred"
	ExitLocalAuthority ExitReason = "local-authority-support"
	ExitReturned       ExitReason = "voluntary-return"
	ExitDecision       ExitReason = "negative-decision"
	ExitSurvivor       ExitReason = "survivor-left"
	ExitMissing        ExitReason = "missing"
	ExitCustody        ExitReason = "in-custody"
	ExitDeceased       ExitReason = "deceased"
	ExitOther          ExitReason = "other"
)

func codesOfExitReason() []ExitReason {
	return []ExitReason{ExitIndependent, ExitTransferred, ExitLocalAuthority, ExitReturned, ExitDecision, ExitSurvivor, ExitMissing, ExitCustody, ExitDeceased, ExitOther}
}

// PlaceType is a kind of place to stay.
type PlaceType string

// The codes of PlaceType.
const (
	PlaceSafeHouse  PlaceType = "safe-house"
	PlaceEmergency  PlaceType = "emergency"
	PlaceDispersed  PlaceType = "dispersed"
	PlaceFamilyUnit PlaceType = "family-unit"
	PlaceMotherBaby PlaceType = "mother-and-baby"
	PlaceSpecialist PlaceType = "specialist-care"
	PlaceFoster     PlaceType = "foster-care"
	PlaceHotel      PlaceType = "hotel"
)

func codesOfPlaceType() []PlaceType {
	return []PlaceType{PlaceSafeHouse, PlaceEmergency, PlaceDispersed, PlaceFamilyUnit, PlaceMotherBaby, PlaceSpecialist, PlaceFoster, PlaceHotel}
}

// DecisionStage says which decision of the competent authority it is.
type DecisionStage string

// The codes of DecisionStage.
const (
	StageReasonableGrounds      DecisionStage = "reasonable-grounds"
	StageConclusiveGrounds      DecisionStage = "conclusive-grounds"
	StageReasonableReconsidered DecisionStage = "reasonable-grounds-reconsidered"
	StageConclusiveReconsidered DecisionStage = "conclusive-grounds-reconsidered"
)

func codesOfDecisionStage() []DecisionStage {
	return []DecisionStage{StageReasonableGrounds, StageConclusiveGrounds, StageReasonableReconsidered, StageConclusiveReconsidered}
}

// EntitlementType says what somebody is entitled to.
type EntitlementType string

// The codes of EntitlementType.
const (
	EntitlementAccommodation EntitlementType = "accommodation"
	EntitlementOutreach      EntitlementType = "outreach"
	EntitlementFinancial     EntitlementType = "financial"
	EntitlementRecoveryNeeds EntitlementType = "recovery-needs-based"
	EntitlementReachIn       EntitlementType = "reach-in"
	EntitlementHealth        EntitlementType = "health-care"
	EntitlementLegalAid      EntitlementType = "legal-aid"
	EntitlementLeave         EntitlementType = "temporary-permission-to-stay"
)

func codesOfEntitlementType() []EntitlementType {
	return []EntitlementType{EntitlementAccommodation, EntitlementOutreach, EntitlementFinancial, EntitlementRecoveryNeeds, EntitlementReachIn, EntitlementHealth, EntitlementLegalAid, EntitlementLeave}
}

// ExtensionState says whether longer support was asked for.
type ExtensionState string

// The codes of ExtensionState.
const (
	ExtensionNotAsked ExtensionState = "not-asked"
	ExtensionAsked    ExtensionState = "asked"
	ExtensionGranted  ExtensionState = "granted"
	ExtensionRefused  ExtensionState = "refused"
)

func codesOfExtensionState() []ExtensionState {
	return []ExtensionState{ExtensionNotAsked, ExtensionAsked, ExtensionGranted, ExtensionRefused}
}
