package schemas

import (
	"reflect"
	"slices"
)

// Lane is the queue a message travels in. Each is a stream of its own, so urgent never waits behind routine.
type Lane string

// The lanes.
const (
	LaneUrgent  Lane = "urgent"
	LaneRoutine Lane = "routine"
	LaneReceipt Lane = "receipt"
)

// Lanes returns all lanes, in the order in which they must be served.
func Lanes() []Lane { return []Lane{LaneUrgent, LaneRoutine, LaneReceipt} }

// Kind says what a message is.
type Kind string

// The kinds.
const (
	KindReferral             Kind = "referral"
	KindReferralResponse     Kind = "referral-response"
	KindReferralUpdate       Kind = "referral-update"
	KindAvailability         Kind = "availability"
	KindNRMDecision          Kind = "nrm-decision"
	KindSupportEntitlement   Kind = "support-entitlement"
	KindJusticeUpdate        Kind = "justice-update"
	KindIntelligence         Kind = "intelligence"
	KindIntelligenceFeedback Kind = "intelligence-feedback"
	KindInformationRequest   Kind = "information-request"
	KindInformationAnswer    Kind = "information-answer"
	KindMessage              Kind = "message"
	KindDutyToNotify         Kind = "duty-to-notify"
	KindConsent              Kind = "consent"
	KindConsentWithdrawal    Kind = "consent-withdrawal"
	KindWithdrawalRequest    Kind = "withdrawal-request"
	KindWithdrawalOutcome    Kind = "withdrawal-outcome"
	KindForwarding           Kind = "forwarding"
	KindReceipt              Kind = "receipt"
)

// Role is what an agency is in the network; consent may name a role as a class of recipients.
type Role string

// The roles.
const (
	RolePolice             Role = "police"
	RoleNGO                Role = "ngo"
	RoleSupportProvider    Role = "support-provider" // safe house, outreach
	RoleFirstResponder     Role = "first-responder"
	RoleCompetentAuthority Role = "competent-authority" // decides reasonable and conclusive grounds
	RoleLocalAuthority     Role = "local-authority"
	RoleHealth             Role = "health"
	RoleLegal              Role = "legal"
	RoleGuardian           Role = "guardian" // independent child trafficking guardian
	RoleProsecution        Role = "prosecution"
	RoleAdministrator      Role = "administrator"
)

// Roles returns all roles.
func Roles() []Role {
	return []Role{
		RolePolice, RoleNGO, RoleSupportProvider, RoleFirstResponder, RoleCompetentAuthority, RoleLocalAuthority,
		RoleHealth, RoleLegal, RoleGuardian, RoleProsecution, RoleAdministrator,
	}
}

// Urgency is how soon the recipient must answer. Lengths are in clocks.go.
type Urgency string

// The urgencies, after Primero's service response time frames 1_hour, 3_hours, 1_day, 3_days
// (primeroIMS/primero), so that users find what they know.
const (
	UrgencyImmediate Urgency = "immediate" // danger now
	UrgencySameDay   Urgency = "same-day"
	UrgencyPriority  Urgency = "priority"
	UrgencyRoutine   Urgency = "routine"
)

// Urgencies returns all urgencies, the most urgent first.
func Urgencies() []Urgency {
	return []Urgency{UrgencyImmediate, UrgencySameDay, UrgencyPriority, UrgencyRoutine}
}

// Lane returns the lane for the urgency. An unknown urgency travels in the routine lane; Validate refuses it.
func (u Urgency) Lane() Lane {
	switch u {
	case UrgencyImmediate, UrgencySameDay:
		return LaneUrgent
	default:
		return LaneRoutine
	}
}

// Purpose is what data may be used for. Consent and agreements are given by purpose.
type Purpose string

// The purposes.
const (
	PurposeImmediateSafety       Purpose = "immediate-safety"
	PurposeAccommodation         Purpose = "accommodation"
	PurposeHealthCare            Purpose = "health-care"
	PurposeSupportPlanning       Purpose = "support-planning"
	PurposeLegalAdvice           Purpose = "legal-advice"
	PurposeNRMReferral           Purpose = "nrm-referral"
	PurposeCriminalInvestigation Purpose = "criminal-investigation"
	PurposeProsecution           Purpose = "prosecution"
	PurposeCompensation          Purpose = "compensation"
	PurposeImmigration           Purpose = "immigration"
	PurposeEducationEmployment   Purpose = "education-employment"
	PurposeRepatriation          Purpose = "repatriation"
	PurposeSafeguardingOthers    Purpose = "safeguarding-others"
	PurposeStatistics            Purpose = "statistics"
)

// Purposes returns all purposes.
func Purposes() []Purpose {
	return []Purpose{
		PurposeImmediateSafety, PurposeAccommodation, PurposeHealthCare, PurposeSupportPlanning, PurposeLegalAdvice,
		PurposeNRMReferral, PurposeCriminalInvestigation, PurposeProsecution, PurposeCompensation, PurposeImmigration,
		PurposeEducationEmployment, PurposeRepatriation, PurposeSafeguardingOthers, PurposeStatistics,
	}
}

// Category is a class of personal data. Every payload field has one in its struct tag.
type Category string

// The data categories. CategoryCaseAdmin is about the hand-over and the people who work on it, not about the
// survivor, and needs neither consent nor a listing in an agreement.
const (
	CategoryIdentity            Category = "identity"
	CategoryContact             Category = "contact"
	CategoryLocation            Category = "location"
	CategoryFamily              Category = "family"
	CategoryHealth              Category = "health"
	CategoryMentalHealth        Category = "mental-health"
	CategoryExploitation        Category = "exploitation"
	CategoryRisk                Category = "risk"
	CategoryImmigration         Category = "immigration"
	CategoryCriminalJustice     Category = "criminal-justice"
	CategoryOffender            Category = "offender"
	CategoryLegal               Category = "legal"
	CategoryFinancial           Category = "financial"
	CategoryEducationEmployment Category = "education-employment"
	CategorySupportNeeds        Category = "support-needs"
	CategoryFaithEthnicity      Category = "faith-ethnicity"
	CategorySexualLife          Category = "sexual-life"
	CategoryCaseAdmin           Category = "case-admin"
)

// AllCategories returns all data categories. (Categories tells which of them a document contains.)
func AllCategories() []Category {
	return []Category{
		CategoryIdentity, CategoryContact, CategoryLocation, CategoryFamily, CategoryHealth, CategoryMentalHealth,
		CategoryExploitation, CategoryRisk, CategoryImmigration, CategoryCriminalJustice, CategoryOffender,
		CategoryLegal, CategoryFinancial, CategoryEducationEmployment, CategorySupportNeeds,
		CategoryFaithEthnicity, CategorySexualLife, CategoryCaseAdmin,
	}
}

// Basis is the ground on which a message is sent.
type Basis string

// The bases. BasisRecognisedInterest (emergency, crime, safeguarding a vulnerable individual) came with the
// Data (Use and Access) Act 2025, Schedule 4, in force in the United Kingdom since 5 February 2026.
const (
	BasisConsent            Basis = "consent"
	BasisVitalInterests     Basis = "vital-interests"
	BasisLegalObligation    Basis = "legal-obligation"
	BasisPublicTask         Basis = "public-task"
	BasisChildSafeguarding  Basis = "child-safeguarding"
	BasisDutyToNotify       Basis = "duty-to-notify"
	BasisRecognisedInterest Basis = "recognised-legitimate-interest"
)

// Bases returns all bases.
func Bases() []Basis {
	return []Basis{
		BasisConsent, BasisVitalInterests, BasisLegalObligation, BasisPublicTask, BasisChildSafeguarding,
		BasisDutyToNotify, BasisRecognisedInterest,
	}
}

// Outcome is what became of a message, as its receipt says.
type Outcome string

// The outcomes. OutcomeVoid marks a message that its sender took back before publication: only the manifest
// travels, so that the sequence has no hole. It is not the outcome of a receipt.
const (
	OutcomeDelivered   Outcome = "delivered"
	OutcomeQuarantined Outcome = "quarantined"
	OutcomeRejected    Outcome = "rejected"
	OutcomeVoid        Outcome = "void"
)

// CodeLostInRestore is why a message is void that was published all the same: the broker was restored from a backup and has
// lost it, its recipient has it, and it is not to be sent again.
const CodeLostInRestore = "lost-in-restore"

// ReceiptOutcomes returns the outcomes a receipt may have.
func ReceiptOutcomes() []Outcome {
	return []Outcome{OutcomeDelivered, OutcomeQuarantined, OutcomeRejected}
}

// codeList is one closed list of words. The type of a field decides its list: the validator's rule "code"
// and the JSON Schema's enum both look here.
type codeList struct {
	name  string
	typ   reflect.Type
	codes []string
}

func listOf[T ~string](name string, codes []T) codeList {
	l := codeList{name: name, typ: reflect.TypeFor[T]()}
	for _, c := range codes {
		l.codes = append(l.codes, string(c))
	}
	return l
}

// codeLists is built once and never changed. Its order is the order in the documentation.
var codeLists = []codeList{
	listOf("lane", Lanes()),
	listOf("kind", Kinds()),
	listOf("role", Roles()),
	listOf("urgency", Urgencies()),
	listOf("purpose", Purposes()),
	listOf("category", AllCategories()),
	listOf("basis", Bases()),
	listOf("outcome", ReceiptOutcomes()),
	listOf("onward", []Onward{OnwardNone, OnwardNamed, OnwardReconfirm}),
	listOf("decline-reason", DeclineReasons()),
	listOf("need", needs()),
	listOf("condition", conditions()),
	listOf("basis-reason", basisReasons()),
	listOf("response-outcome", responseOutcomes()),
	listOf("consent-form", consentForms()),
	listOf("capacity", capacities()),
	listOf("consent-giver", consentGivers()),
	listOf("withheld-from", withheldFroms()),
	listOf("withheld-reason", withheldReasons()),
	listOf("age-range", ageRanges()),
	listOf("gender", genders()),
	listOf("immigration-status", immigrationStatuses()),
	listOf("name-use", nameUses()),
	listOf("document-type", documentTypes()),
	listOf("document-holder", documentHolders()),
	listOf("phone-owner", phoneOwners()),
	listOf("caller-id", callerIDs()),
	listOf("certainty", certainties()),
	listOf("interpreter-preference", interpreterPrefs()),
	listOf("relationship", relationships()),
	listOf("setting", settings()),
	listOf("access-need", accessNeeds()),
	listOf("risk-level", riskLevels()),
	listOf("risk-source", riskSources()),
	listOf("exploitation-type", exploitationTypes()),
	listOf("sexual-type", sexualTypes()),
	listOf("industry", industries()),
	listOf("control-method", controlMethods()),
	listOf("recruitment", recruitments()),
	listOf("exploiter-relationship", exploiterRelationships()),
	listOf("exploiter-role", exploiterRoles()),
	listOf("investigation-status", investigationStatuses()),
	listOf("nrm-wish", nrmWishes()),
	listOf("decision", decisions()),
	listOf("consent-change", consentChanges()),
	listOf("holder-outcome", holderOutcomes()),
	listOf("retention-reason", retentionReasons()),
	listOf("explained", explainedPoints()),
	listOf("case-state", codesOfCaseState()),
	listOf("outcome-domain", codesOfOutcomeDomain()),
	listOf("alert", codesOfAlertKind()),
	listOf("exit-reason", codesOfExitReason()),
	listOf("place-type", codesOfPlaceType()),
	listOf("decision-stage", codesOfDecisionStage()),
	listOf("entitlement-type", codesOfEntitlementType()),
	listOf("extension-state", codesOfExtensionState()),
	listOf("justice-event", codesOfJusticeEvent()),
	listOf("special-measure", codesOfSpecialMeasure()),
	listOf("victim-right", codesOfVictimRight()),
	listOf("hearing-type", codesOfHearingType()),
	listOf("attendance", codesOfAttendance()),
	listOf("intelligence-topic", codesOfIntelligenceTopic()),
	listOf("handling-code", codesOfHandlingCode()),
	listOf("source-evaluation", codesOfSourceEvaluation()),
	listOf("intelligence-assessment", codesOfIntelligenceAssessment()),
	listOf("source-type", codesOfSourceType()),
	listOf("intelligence-use", codesOfIntelligenceUse()),
	listOf("feedback-wish", codesOfFeedbackWish()),
	listOf("refusal-reason", codesOfRefusalReason()),
	listOf("expected-wait", codesOfExpectedWait()),
	listOf("officer-role", codesOfOfficerRole()),
}

func codesOf(t reflect.Type) []string {
	for _, l := range codeLists {
		if l.typ == t {
			return l.codes
		}
	}
	return nil
}

// CodeListNames returns the names of all closed code lists.
func CodeListNames() []string {
	var names []string
	for _, l := range codeLists {
		names = append(names, l.name)
	}
	return names
}

// Codes returns the words of a code list, in the order in which people should see them, or nil when there is
// no such list. The slice belongs to the caller.
func Codes(list string) []string {
	for _, l := range codeLists {
		if l.name == list {
			return slices.Clone(l.codes)
		}
	}
	return nil
}

// Known reports whether a code is in the list of its type. A type without a list knows nothing.
func Known[T ~string](code T) bool {
	return slices.Contains(codesOf(reflect.TypeFor[T]()), string(code))
}
