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

	// From and To are the roles that may send and receive the kind; empty is any.
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

// MayTravel reports whether an agency of one role may send the kind to one of another. Unknown kinds may not.
func MayTravel(k Kind, from, to Role) bool {
	e, ok := EntryOf(k)
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
