package schemas

// IntelligenceTopic says what intelligence is about.
type IntelligenceTopic string

// The codes of IntelligenceTopic.
const (
	TopicPerson      IntelligenceTopic = "person"
	TopicPremises    IntelligenceTopic = "premises"
	TopicVehicle     IntelligenceTopic = "vehicle"
	TopicPhone       IntelligenceTopic = "telephone"
	TopicOnline      IntelligenceTopic = "online"
	TopicMoney       IntelligenceTopic = "money"
	TopicRoute       IntelligenceTopic = "route"
	TopicRecruitment IntelligenceTopic = "recruitment"
	TopicVictims     IntelligenceTopic = "others-exploited"
	TopicBusiness    IntelligenceTopic = "business"
	TopicDocuments   IntelligenceTopic = "documents"
	TopicOther       IntelligenceTopic = "other"
)

func codesOfIntelligenceTopic() []IntelligenceTopic {
	return []IntelligenceTopic{TopicPerson, TopicPremises, TopicVehicle, TopicPhone, TopicOnline, TopicMoney, TopicRoute, TopicRecruitment, TopicVictims, TopicBusiness, TopicDocuments, TopicOther}
}

// HandlingCode is the handling code of 3x5x2: P lawful sharing permitted, C lawful sharing permitted with conditions.
type HandlingCode string

// The codes of HandlingCode.
const (
	HandlingPermitted  HandlingCode = "P"
	HandlingConditions HandlingCode = "C"
)

func codesOfHandlingCode() []HandlingCode {
	return []HandlingCode{HandlingPermitted, HandlingConditions}
}

// SourceEvaluation is the source evaluation of 3x5x2: 1 reliable, 2 untested, 3 not reliable.
type SourceEvaluation string

// The codes of SourceEvaluation.
const (
	SourceReliable    SourceEvaluation = "reliable"
	SourceUntested    SourceEvaluation = "untested"
	SourceNotReliable SourceEvaluation = "not-reliable"
)

func codesOfSourceEvaluation() []SourceEvaluation {
	return []SourceEvaluation{SourceReliable, SourceUntested, SourceNotReliable}
}

// IntelligenceAssessment is the intelligence assessment of 3x5x2, A to E.
type IntelligenceAssessment string

// The codes of IntelligenceAssessment.
const (
	AssessmentDirect       IntelligenceAssessment = "known-directly"
	AssessmentCorroborated IntelligenceAssessment = "known-indirectly-corroborated"
	AssessmentIndirect     IntelligenceAssessment = "known-indirectly"
	AssessmentNotKnown     IntelligenceAssessment = "not-known"
	AssessmentFalse        IntelligenceAssessment = "suspected-false"
)

func codesOfIntelligenceAssessment() []IntelligenceAssessment {
	return []IntelligenceAssessment{AssessmentDirect, AssessmentCorroborated, AssessmentIndirect, AssessmentNotKnown, AssessmentFalse}
}

// SourceType says where the sender has it from.
type SourceType string

// The codes of SourceType.
const (
	SourceSurvivor      SourceType = "survivor"
	SourceOtherSurvivor SourceType = "other-survivor"
	SourceWorker        SourceType = "worker-observed"
	SourcePublic        SourceType = "member-of-public"
	SourceProfessional  SourceType = "other-professional"
	SourceDocument      SourceType = "document"
	SourceOpen          SourceType = "open-source"
	SourceAnonymous     SourceType = "anonymous"
)

func codesOfSourceType() []SourceType {
	return []SourceType{SourceSurvivor, SourceOtherSurvivor, SourceWorker, SourcePublic, SourceProfessional, SourceDocument, SourceOpen, SourceAnonymous}
}

// IntelligenceUse says what became of intelligence.
type IntelligenceUse string

// The codes of IntelligenceUse.
const (
	UseUsed         IntelligenceUse = "used"
	UsePartly       IntelligenceUse = "partly-used"
	UseKept         IntelligenceUse = "kept-for-later"
	UseDuplicate    IntelligenceUse = "already-known"
	UseNot          IntelligenceUse = "not-used"
	UseInsufficient IntelligenceUse = "insufficient"
)

func codesOfIntelligenceUse() []IntelligenceUse {
	return []IntelligenceUse{UseUsed, UsePartly, UseKept, UseDuplicate, UseNot, UseInsufficient}
}

// FeedbackWish says what would help further; no operational detail can be told with it.
type FeedbackWish string

// The codes of FeedbackWish.
const (
	WishMore    FeedbackWish = "more-of-this-kind"
	WishDetail  FeedbackWish = "more-detail"
	WishSooner  FeedbackWish = "sooner"
	WishContact FeedbackWish = "telephone-us"
)

func codesOfFeedbackWish() []FeedbackWish {
	return []FeedbackWish{WishMore, WishDetail, WishSooner, WishContact}
}

// RefusalReason says why a question is not answered.
type RefusalReason string

// The codes of RefusalReason.
const (
	RefusalNotHeld   RefusalReason = "not-held"
	RefusalNoConsent RefusalReason = "survivor-does-not-agree"
	RefusalNoBasis   RefusalReason = "no-lawful-basis"
	RefusalPrivilege RefusalReason = "legally-privileged"
	RefusalOther     RefusalReason = "ask-by-telephone"
)

func codesOfRefusalReason() []RefusalReason {
	return []RefusalReason{RefusalNotHeld, RefusalNoConsent, RefusalNoBasis, RefusalPrivilege, RefusalOther}
}

// ExpectedWait says how long a survivor is likely to wait (SDOH Clinical Care, capacity status).
type ExpectedWait string

// The codes of ExpectedWait.
const (
	WaitUnderMonth   ExpectedWait = "under-1-month"
	WaitToThree      ExpectedWait = "1-to-3-months"
	WaitOverThree    ExpectedWait = "over-3-months"
	WaitUndetermined ExpectedWait = "undetermined"
)

func codesOfExpectedWait() []ExpectedWait {
	return []ExpectedWait{WaitUnderMonth, WaitToThree, WaitOverThree, WaitUndetermined}
}

// OfficerRole says who authorised a notice, as a closed list: words could name somebody.
type OfficerRole string

// The codes of OfficerRole.
const (
	OfficerFirstResponder OfficerRole = "first-responder"
	OfficerSupervisor     OfficerRole = "supervisor"
	OfficerInspector      OfficerRole = "duty-inspector"
	OfficerSocialWork     OfficerRole = "social-work-manager"
	OfficerSafeguarding   OfficerRole = "safeguarding-lead"
	OfficerImmigration    OfficerRole = "immigration-officer"
)

func codesOfOfficerRole() []OfficerRole {
	return []OfficerRole{OfficerFirstResponder, OfficerSupervisor, OfficerInspector, OfficerSocialWork, OfficerSafeguarding, OfficerImmigration}
}
