package schemas

// AgeRange is an age as far as it is known. A survivor whose age is not known is treated as a child (Modern Slavery
// Act 2015 s.51 presumes so).
type AgeRange string

// The codes of AgeRange.
const (
	AgeRangeChild     AgeRange = "child"
	AgeRange1824      AgeRange = "18-24"
	AgeRange2534      AgeRange = "25-34"
	AgeRange3544      AgeRange = "35-44"
	AgeRange4554      AgeRange = "45-54"
	AgeRange5564      AgeRange = "55-64"
	AgeRange65AndOver AgeRange = "65-and-over"
	AgeRangeAdult     AgeRange = "adult"
	AgeRangeUnknown   AgeRange = "unknown"
)

func ageRanges() []AgeRange {
	return []AgeRange{
		AgeRangeChild, AgeRange1824, AgeRange2534, AgeRange3544, AgeRange4554, AgeRange5564, AgeRange65AndOver,
		AgeRangeAdult, AgeRangeUnknown,
	}
}

// Gender is gender as stated. Maps to HTCDS prs_Gender.
type Gender string

// The codes of Gender.
const (
	GenderWoman      Gender = "woman"
	GenderMan        Gender = "man"
	GenderTransWoman Gender = "trans-woman"
	GenderTransMan   Gender = "trans-man"
	GenderNonBinary  Gender = "non-binary"
	GenderNotStated  Gender = "not-stated"
)

func genders() []Gender {
	return []Gender{
		GenderWoman, GenderMan, GenderTransWoman, GenderTransMan, GenderNonBinary, GenderNotStated,
	}
}

// ImmigrationStatus is the right to stay, as far as it is known.
type ImmigrationStatus string

// The codes of ImmigrationStatus.
const (
	ImmigrationStatusCitizen       ImmigrationStatus = "citizen"
	ImmigrationStatusSettled       ImmigrationStatus = "settled"
	ImmigrationStatusLeaveToRemain ImmigrationStatus = "leave-to-remain"
	ImmigrationStatusAsylumSeeker  ImmigrationStatus = "asylum-seeker"
	ImmigrationStatusRefugee       ImmigrationStatus = "refugee"
	ImmigrationStatusVisa          ImmigrationStatus = "visa"
	ImmigrationStatusIrregular     ImmigrationStatus = "irregular"
	ImmigrationStatusUnknown       ImmigrationStatus = "unknown"
)

func immigrationStatuses() []ImmigrationStatus {
	return []ImmigrationStatus{
		ImmigrationStatusCitizen, ImmigrationStatusSettled, ImmigrationStatusLeaveToRemain,
		ImmigrationStatusAsylumSeeker, ImmigrationStatusRefugee, ImmigrationStatusVisa, ImmigrationStatusIrregular,
		ImmigrationStatusUnknown,
	}
}

// NameUse says which of a person's names this is.
type NameUse string

// The codes of NameUse.
const (
	NameUseUsed        NameUse = "used"
	NameUseInDocuments NameUse = "in-documents"
	NameUseFormer      NameUse = "former"
	NameUseAlias       NameUse = "alias"
	NameUsePreferred   NameUse = "preferred"
)

func nameUses() []NameUse {
	return []NameUse{
		NameUseUsed, NameUseInDocuments, NameUseFormer, NameUseAlias, NameUsePreferred,
	}
}

// DocumentType is a kind of identity document.
type DocumentType string

// The codes of DocumentType.
const (
	DocumentPassport           DocumentType = "passport"
	DocumentIdentityCard       DocumentType = "identity-card"
	DocumentResidencePermit    DocumentType = "residence-permit"
	DocumentBirthCertificate   DocumentType = "birth-certificate"
	DocumentDrivingLicence     DocumentType = "driving-licence"
	DocumentAsylumRegistration DocumentType = "asylum-registration"
	DocumentOther              DocumentType = "other"
)

func documentTypes() []DocumentType {
	return []DocumentType{
		DocumentPassport, DocumentIdentityCard, DocumentResidencePermit, DocumentBirthCertificate,
		DocumentDrivingLicence, DocumentAsylumRegistration, DocumentOther,
	}
}

// DocumentHolder says who has an identity document.
type DocumentHolder string

// The codes of DocumentHolder.
const (
	HeldBySurvivor             DocumentHolder = "survivor"
	HeldByExploiter            DocumentHolder = "exploiter"
	HeldByPolice               DocumentHolder = "police"
	HeldByAgency               DocumentHolder = "agency"
	HeldByImmigrationAuthority DocumentHolder = "immigration-authority"
	HeldByFamily               DocumentHolder = "family"
	HeldByLost                 DocumentHolder = "lost"
	HeldByDestroyed            DocumentHolder = "destroyed"
	HeldByUnknown              DocumentHolder = "unknown"
)

func documentHolders() []DocumentHolder {
	return []DocumentHolder{
		HeldBySurvivor, HeldByExploiter, HeldByPolice, HeldByAgency, HeldByImmigrationAuthority, HeldByFamily,
		HeldByLost, HeldByDestroyed, HeldByUnknown,
	}
}

// PhoneOwner says whose telephone it is.
type PhoneOwner string

// The codes of PhoneOwner.
const (
	PhoneOwn       PhoneOwner = "own"
	PhoneShared    PhoneOwner = "shared"
	PhoneRelative  PhoneOwner = "relative"
	PhoneFriend    PhoneOwner = "friend"
	PhoneWorker    PhoneOwner = "worker"
	PhoneExploiter PhoneOwner = "exploiter"
	PhoneUnknown   PhoneOwner = "unknown"
)

func phoneOwners() []PhoneOwner {
	return []PhoneOwner{
		PhoneOwn, PhoneShared, PhoneRelative, PhoneFriend, PhoneWorker, PhoneExploiter, PhoneUnknown,
	}
}

// CallerID says what the survivor's telephone may show when an agency rings.
type CallerID string

// The codes of CallerID.
const (
	CallerIDShow     CallerID = "show"
	CallerIDWithhold CallerID = "withhold"
)

func callerIDs() []CallerID {
	return []CallerID{
		CallerIDShow, CallerIDWithhold,
	}
}

// Certainty is an answer that may be unknown. "Not asked" is the absent member.
type Certainty string

// The codes of Certainty.
const (
	CertaintyYes       Certainty = "yes"
	CertaintySuspected Certainty = "suspected"
	CertaintyNo        Certainty = "no"
	CertaintyUnknown   Certainty = "unknown"
)

func certainties() []Certainty {
	return []Certainty{
		CertaintyYes, CertaintySuspected, CertaintyNo, CertaintyUnknown,
	}
}

// InterpreterPref is the gender of an interpreter with whom the survivor can speak.
type InterpreterPref string

// The codes of InterpreterPref.
const (
	InterpreterAny   InterpreterPref = "any"
	InterpreterWoman InterpreterPref = "woman"
	InterpreterMan   InterpreterPref = "man"
)

func interpreterPrefs() []InterpreterPref {
	return []InterpreterPref{
		InterpreterAny, InterpreterWoman, InterpreterMan,
	}
}

// Relationship of a dependant to the survivor.
type Relationship string

// The codes of Relationship.
const (
	RelationshipChild      Relationship = "child"
	RelationshipPartner    Relationship = "partner"
	RelationshipParent     Relationship = "parent"
	RelationshipSibling    Relationship = "sibling"
	RelationshipGrandchild Relationship = "grandchild"
	RelationshipOther      Relationship = "other"
)

func relationships() []Relationship {
	return []Relationship{
		RelationshipChild, RelationshipPartner, RelationshipParent, RelationshipSibling, RelationshipGrandchild,
		RelationshipOther,
	}
}

// Setting is the kind of place where the survivor is.
type Setting string

// The codes of Setting.
const (
	SettingPoliceStation       Setting = "police-station"
	SettingHospital            Setting = "hospital"
	SettingSafeHouse           Setting = "safe-house"
	SettingOwnHome             Setting = "own-home"
	SettingFamilyOrFriends     Setting = "family-or-friends"
	SettingAsylumAccommodation Setting = "asylum-accommodation"
	SettingHotel               Setting = "hotel"
	SettingStreet              Setting = "street"
	SettingWorkplace           Setting = "workplace"
	SettingWithExploiter       Setting = "with-exploiter"
	SettingDetention           Setting = "detention"
	SettingCarePlacement       Setting = "care-placement"
	SettingOther               Setting = "other"
	SettingUnknown             Setting = "unknown"
)

func settings() []Setting {
	return []Setting{
		SettingPoliceStation, SettingHospital, SettingSafeHouse, SettingOwnHome, SettingFamilyOrFriends,
		SettingAsylumAccommodation, SettingHotel, SettingStreet, SettingWorkplace, SettingWithExploiter,
		SettingDetention, SettingCarePlacement, SettingOther, SettingUnknown,
	}
}

// AccessNeed is something that must be arranged so that help can be used.
type AccessNeed string

// The codes of AccessNeed.
const (
	AccessStepFree        AccessNeed = "step-free"
	AccessWheelchair      AccessNeed = "wheelchair"
	AccessSight           AccessNeed = "sight"
	AccessHearing         AccessNeed = "hearing"
	AccessSignLanguage    AccessNeed = "sign-language"
	AccessSpeech          AccessNeed = "speech"
	AccessLearning        AccessNeed = "learning"
	AccessMemory          AccessNeed = "memory"
	AccessMentalHealth    AccessNeed = "mental-health"
	AccessCompanionAnimal AccessNeed = "companion-animal"
	AccessCarer           AccessNeed = "carer"
	AccessOther           AccessNeed = "other"
)

func accessNeeds() []AccessNeed {
	return []AccessNeed{
		AccessStepFree, AccessWheelchair, AccessSight, AccessHearing, AccessSignLanguage, AccessSpeech, AccessLearning,
		AccessMemory, AccessMentalHealth, AccessCompanionAnimal, AccessCarer, AccessOther,
	}
}
