package interchange

import "waypost/schemas"

// none marks a code of ours for which HTCDS has no word. It is written down so that a new code cannot be forgotten.
const none = ""

// list translates one code list of ours into the pick list of one field.
type list struct {
	codes string // name of the code list in package schemas
	field string
	words map[string]string
}

// lists is built once and never changed.
var lists = []list{
	{"exploitation-type", "vic_TypeOfExploitation", exploitationWords()},
	{"sexual-type", "vic_TypeOfSexExploitation", map[string]string{
		"prostitution": "Prostitution", "pornography": "Pornography", "remote-interactive-services": "RemoteInteractiveServices",
		"private-sexual-services": "PrivateSexualServices",
	}},
	{"industry", "vic_ForcedLabourIndustry", map[string]string{
		"A": "A_AgricultureForestryAndFishing", "B": "B_MiningAndQuarrying", "C": "C_Manufacturing",
		"D": "D_ElectricityGasSteamAndAirConditioningSupply", "E": "E_WaterSupplySewerageWasteManagement", "F": "F_Construction",
		"G": "G_WholesaleAndRetailTradeRepairOfMotorVehicles", "H": "H_TransportationAndStorage",
		"I": "I_AccommodationAndFoodServiceActivities", "J": "J_InformationAndCommunication", "K": "K_FinancialAndInsuranceActivities",
		"L": "L_RealEstateActivities", "M": "M_ProfessionalScientificAndTechnicalActivities",
		"N": "N_AdministrativeAndSupportServiceActivities", "O": "O_PublicAdministrationAndDefence", "P": "P_Education",
		"Q": "Q_HumanHealthAndSocialWorkActivities", "R": "R_ArtsEntertainmentAndRecreation", "S": "S_OtherServiceActivities",
		"T": "T_ActivitiesOfHouseholdsAsEmployers", "U": "U_ActivitiesOfExtraterritorialOrganizations",
	}},
	{"control-method", "vic_MethodsOfControl", map[string]string{
		"physical-threats": "PhysicalThreats", "threats-of-law-enforcement": "ThreatsLawEnforcement",
		"threats-to-children-or-family": "ThreatensChildrenFamily", "debt-bondage": "DebtBondage", "false-promises": "FalsePromises",
		"physical-abuse": "PhysicalAbuse", "sexual-abuse": "SexualAbuse", "takes-earnings": "TakesEarnings",
		"restricts-financial-access": "RestrictsFinancialAccess", "restricts-medical-care": "RestrictsMedicalCare",
		"withholds-necessities": "WithholdsNecessities", "psychological-abuse": "PsychologicalAbuse",
		"psychoactive-substance": "PsychoactiveSubstance", "excessive-working-hours": "ExcessiveWorkingHours",
		"withholds-documents": "WithholdsDocuments", "other": "Other",
	}},
	{"recruitment", "vic_MethodOfRecruitment", map[string]string{
		"at-a-place-of-business": "AtAPlaceOfBusiness", "at-an-educational-institution": "AtAnEducationalInstitution", "at-work": "AtWork",
		"through-online-social-networks": "ThroughOnlineSocialNetworks", "through-an-online-advertisement": "ThroughAnOnlineAdvertisement",
		"through-a-television-advert": "ThroughATelevisionAdvert", "through-a-newspaper-advert": "ThroughANewspaperAdvert",
		"through-family-or-family-events": "ThroughFamilyOrFamilyEvents", "through-friends-or-social-events": "ThroughFriendsOrSocialEvents",
		"other": "Other",
	}},
	// HTCDS spells the third so.
	{"exploiter-relationship", "vic_RelationshipToTrafficker", map[string]string{
		"familial": "Familial", "acquainted": "Acquainted", "unacquainted": "Unaquainted", "unknown": none,
	}},
	{"gender", "prs_Gender", map[string]string{
		"woman": "Feminine", "man": "Masculine", "trans-woman": "TransgenderFeminine", "trans-man": "TransgenderMasculine",
		"non-binary": "NonConforming", "not-stated": "NonSpecifiedUnknown",
	}},
	// A conclusive decision; a referral with none is about a possible victim.
	{"decision", "vic_TraffickingStatus", map[string]string{
		"positive": "ActualVictimOfTrafficking", "negative": "NotAVictimOfTrafficking", "pending": "PossibleVictimOfTrafficking",
		"suspended": "PossibleVictimOfTrafficking", "withdrawn": none,
	}},
	{"need", "cas_ReasonForIncomingReferral", needWords("repatriation", "safe-transport")},
	{"need", "cas_ReasonForOutgoingReferral", needWords("repatriation", "safe-transport")},
	// The others may be public or not, or several things at once.
	{"role", "org_Type", map[string]string{
		"police": "LawEnforcement", "ngo": "NGO", "competent-authority": "CentralGovernmentOrganisation",
		"local-authority": "LocalGovernmentOrganisation", "health": "HealthServiceOrganisation", "legal": "LegalService",
		"support-provider": none, "first-responder": none, "guardian": none, "prosecution": none, "administrator": none,
	}},
}

// exploitationWords are those of package schemas, where the mapping is kept.
func exploitationWords() map[string]string {
	out := map[string]string{}
	for _, code := range schemas.Codes("exploitation-type") {
		out[code], _ = schemas.ExploitationType(code).HTCDS()
	}
	return out
}

// needWords: HTCDS knows two reasons for a referral, more services and another place.
func needWords(elsewhere ...string) map[string]string {
	out := map[string]string{}
	for _, code := range schemas.Codes("need") {
		out[code] = "AdditionalServicesRequired"
	}
	for _, code := range elsewhere {
		out[code] = "MigrationOrChangeOfLocation"
	}
	return out
}

// untold are the code lists of which HTCDS says nothing, with the reason.
var untold = map[string]string{
	"lane": "transport", "kind": "transport", "outcome": "transport", "urgency": "no field", "purpose": "no field", "category": "no field",
	"basis": "con_Consent is true for consent and false for every other basis", "condition": "no field", "basis-reason": "no field",
	"onward": "no field", "consent-form": "no field", "capacity": "no field", "consent-giver": "no field", "withheld-from": "no field",
	"withheld-reason": "no field", "consent-change": "no field", "explained": "no field",
	// of kinds that are not rows of HTCDS
	"case-state": "another kind", "outcome-domain": "another kind", "alert": "another kind", "exit-reason": "another kind", "place-type": "another kind", "decision-stage": "another kind", "entitlement-type": "another kind", "extension-state": "another kind", "justice-event": "another kind", "special-measure": "another kind", "victim-right": "another kind", "hearing-type": "another kind", "attendance": "another kind", "intelligence-topic": "another kind", "handling-code": "another kind", "source-evaluation": "another kind", "intelligence-assessment": "another kind", "source-type": "another kind", "intelligence-use": "another kind", "feedback-wish": "another kind", "refusal-reason": "another kind", "expected-wait": "another kind", "officer-role": "another kind", "holder-outcome": "no field", "retention-reason": "no field",
	"decline-reason": "answers are not exported", "response-outcome": "answers are not exported",
	"age-range": "no field; a birth date would be invented", "immigration-status": "no field", "name-use": "no field",
	"document-type": "no field", "document-holder": "vic_MethodsOfControl says WithholdsDocuments, which the referral says by itself",
	"phone-owner": "no field", "caller-id": "no field", "certainty": "no field", "interpreter-preference": "no field",
	"relationship": "prs_NumberOfChildren counts children", "setting": "no field",
	"access-need": "vic_Vulnerabilities is deprecated", "risk-level": "no field", "risk-source": "no field",
	"exploiter-role":       "per_RoleInProcess describes the person of the row, and the person of the row is the survivor",
	"investigation-status": "no field", "nrm-wish": "no field",
}

// word translates a code for a field. It is "" when HTCDS has no word for it.
func word[T ~string](field string, code T) string {
	for _, l := range lists {
		if l.field == field {
			return l.words[string(code)]
		}
	}
	return none
}

// wordsOf translates several codes, each word once.
func wordsOf[T ~string](field string, codes []T) (out []string) {
	for _, code := range codes {
		out = appendNew(out, word(field, code))
	}
	return out
}
