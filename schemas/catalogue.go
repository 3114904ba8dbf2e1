package schemas

import (
	"reflect"
	"slices"
)

// Entry says what a kind of message is and how it may travel. The catalogue is data, checked at both ends: by the sender
// before anything is sealed, and again by the recipient.
type Entry struct {
	Kind   Kind
	Schema string
	About  string // one sentence for people

	// From and To are the roles that may send and receive the kind; empty is any but administrators.
	From, To []Role
	// Lanes in which it may travel; the first is the usual one. The lane of a referral is that of its urgency.
	Lanes []Lane
	// Clocked kinds carry respond_by, and MayClock kinds may; all others must not: a clock on anything else could never be
	// stopped. A withdrawal has a clock when it comes from the agency that took the consent: the others pass it on.
	Clocked, MayClock bool
	// Follows names the kind whose agreement this kind may flow under, in either direction: whoever may be asked may
	// answer, and whoever asked may say more.
	Follows Kind
	// Answer kinds reply to a message, and follow agreements of the opposite direction only: nobody answers unasked.
	Answer bool
	// Control kinds serve consent itself. They hold case-admin only, flow between all listed agencies without an agreement,
	// and are under the certificate that they are about: nothing may keep a withdrawal from arriving.
	Control bool
	// Impersonal kinds hold nothing about a survivor and travel without a basis.
	Impersonal bool

	typ reflect.Type // nil: travels as a manifest without a body
}

var (
	urgentOnly  = []Lane{LaneUrgent}
	routineOnly = []Lane{LaneRoutine}
	eitherLane  = []Lane{LaneRoutine, LaneUrgent}
)

// catalogue is built once and never changed. Its order is the order in the documentation.
var catalogue = []Entry{
	{Kind: KindReferral, Schema: SchemaReferral, About: "Asks another agency to help a survivor.",
		Lanes: eitherLane, Clocked: true, typ: reflect.TypeFor[Referral]()},
	{Kind: KindReferralResponse, Schema: SchemaReferralResponse, About: "Answers a referral.",
		Lanes: eitherLane, Follows: KindReferral, Answer: true, typ: reflect.TypeFor[ReferralResponse]()},
	{Kind: KindReferralUpdate, Schema: SchemaReferralUpdate, About: "Says how things go after a referral: state, outcomes, milestones, a survivor missing, exit and handover.",
		Lanes: eitherLane, Follows: KindReferral, typ: reflect.TypeFor[ReferralUpdate]()},
	{Kind: KindDutyToNotify, Schema: SchemaDutyToNotify, About: "Notifies of a potential victim who does not agree to be named (Modern Slavery Act 2015 s.52). Nothing in it could identify anybody.",
		To: []Role{RoleCompetentAuthority, RolePolice}, Lanes: routineOnly, typ: reflect.TypeFor[DutyToNotify]()},
	{Kind: KindAvailability, Schema: SchemaAvailability, About: "A provider's free places, without an address.",
		From: []Role{RoleSupportProvider, RoleNGO, RoleLocalAuthority, RoleHealth}, Lanes: routineOnly, Follows: KindReferral, Impersonal: true, typ: reflect.TypeFor[Availability]()},
	{Kind: KindNRMDecision, Schema: SchemaNRMDecision, About: "A decision of the competent authority on reasonable or conclusive grounds.",
		From: []Role{RoleCompetentAuthority}, Lanes: routineOnly, Follows: KindReferral, typ: reflect.TypeFor[NRMDecision]()},
	{Kind: KindSupportEntitlement, Schema: SchemaSupportEntitlement, About: "The right to support: since when, until when, when it is looked at again.",
		Lanes: routineOnly, Follows: KindReferral, typ: reflect.TypeFor[SupportEntitlement]()},
	{Kind: KindJusticeUpdate, Schema: SchemaJusticeUpdate, About: "How the investigation and the trial go, and which rights of the Victims' Code that touches.",
		From: []Role{RolePolice, RoleProsecution}, Lanes: eitherLane, Follows: KindReferral, typ: reflect.TypeFor[JusticeUpdate]()},
	{Kind: KindIntelligence, Schema: SchemaIntelligence, About: "What somebody knows that could stop traffickers: sanitised text, and apart from it how it is known (3x5x2).",
		To: []Role{RolePolice, RoleProsecution}, Lanes: eitherLane, typ: reflect.TypeFor[Intelligence]()},
	{Kind: KindIntelligenceFeedback, Schema: SchemaIntelligenceFeedback, About: "Tells those who gave intelligence what became of it, in codes only.",
		From: []Role{RolePolice, RoleProsecution}, Lanes: routineOnly, Follows: KindIntelligence, Answer: true, Impersonal: true, typ: reflect.TypeFor[IntelligenceFeedback]()},
	{Kind: KindInformationRequest, Schema: SchemaInformationRequest, About: "Asks another agency for what it knows about a survivor.",
		Lanes: eitherLane, Follows: KindReferral, typ: reflect.TypeFor[InformationRequest]()},
	{Kind: KindInformationAnswer, Schema: SchemaInformationAnswer, About: "Answers such questions one by one, or says why not.",
		Lanes: eitherLane, Follows: KindInformationRequest, Answer: true, typ: reflect.TypeFor[InformationAnswer]()},
	{Kind: KindMessage, Schema: SchemaMessage, About: "Free text on a thread, from person to person.",
		Lanes: eitherLane, Follows: KindReferral, typ: reflect.TypeFor[Message]()},
	{Kind: KindConsent, Schema: SchemaConsentNotice, About: "Brings a renewed or narrowed consent, or says that a consent stands after all.",
		Lanes: urgentOnly, Control: true, typ: reflect.TypeFor[ConsentNotice]()},
	{Kind: KindConsentWithdrawal, Schema: SchemaConsentWithdrawal, About: "Says that a survivor has withdrawn a consent; every holder stops.",
		Lanes: urgentOnly, MayClock: true, Control: true, typ: reflect.TypeFor[ConsentWithdrawal]()},
	{Kind: KindWithdrawalRequest, Schema: SchemaWithdrawalRequest, About: "Says that a survivor told another agency than the one that took the consent; every holder stops until it is confirmed.",
		Lanes: urgentOnly, MayClock: true, Control: true, typ: reflect.TypeFor[WithdrawalRequest]()},
	{Kind: KindWithdrawalOutcome, Schema: SchemaWithdrawalOutcome, About: "Says what a holder did after a withdrawal: stopped, erased, or retained on which basis and until when.",
		Lanes: routineOnly, Control: true, typ: reflect.TypeFor[WithdrawalOutcome]()},
	{Kind: KindForwarding, Schema: SchemaForwarding, About: "Tells the agency that took a consent to whom a holder has passed something on under it, not what.",
		Lanes: routineOnly, Control: true, typ: reflect.TypeFor[Forwarding]()},
	{Kind: KindReceipt, Schema: SchemaReceipt, About: "Says what became of a message. Travels as a signed manifest without a body.",
		Lanes: []Lane{LaneReceipt}},
}

// Catalogue returns an entry for every kind. The slices inside are shared: do not change them.
func Catalogue() []Entry { return slices.Clone(catalogue) }

// EntryOf returns the entry of a kind.
func EntryOf(k Kind) (Entry, bool) {
	for _, e := range catalogue {
		if e.Kind == k {
			return e, true
		}
	}
	return Entry{}, false
}

// MayTravel reports whether an agency of one role may send the kind to one of another. Unknown kinds may not, and
// administrators, who prove the record without reading it, neither send nor receive anything about a survivor.
func MayTravel(k Kind, from, to Role) bool {
	e, ok := EntryOf(k)
	if !e.Control && e.Kind != KindReceipt && (from == RoleAdministrator || to == RoleAdministrator) {
		return false
	}
	return ok && (len(e.From) == 0 || slices.Contains(e.From, from)) && (len(e.To) == 0 || slices.Contains(e.To, to))
}

// Kinds returns all kinds.
func Kinds() []Kind {
	var out []Kind
	for _, e := range catalogue {
		out = append(out, e.Kind)
	}
	return out
}
