package schemas

import (
	"slices"
	"strconv"
	"time"
)

// Onward says whether a recipient may pass on what it received under the consent.
type Onward string

// The forms of onward sharing. OnwardNamed allows it to the recipients that the consent names, and to no other;
// OnwardReconfirm to the same, each time only after the survivor was asked again.
const (
	OnwardNone      Onward = "none"
	OnwardNamed     Onward = "named"
	OnwardReconfirm Onward = "reconfirm"
)

// Consent (consent-record.v1) is what the survivor agreed to: to share which data, for what, with whom, for how long.
// The agency that took it signs it into a certificate (package consent), which travels with every message
// that relies on it.
type Consent struct {
	// Survivor is a pseudonym that the agency that took the consent made up. It is never derived from data of
	// the person: certificates travel to every recipient.
	Survivor   string     `json:"survivor" validate:"required,pseudonym" category:"case-admin"`
	Purposes   []Purpose  `json:"purposes" validate:"required,min=1,max=14,unique,dive,code" category:"case-admin"`
	Categories []Category `json:"categories" validate:"required,min=1,max=18,unique,dive,code" category:"case-admin"`
	Recipients Recipients `json:"recipients" validate:"required"`
	Onward     Onward     `json:"onward" validate:"required,code" category:"case-admin"`

	// How it was taken.
	Form                ConsentForm  `json:"form" validate:"required,code" category:"case-admin"`
	Language            LanguageTag  `json:"language" validate:"required,language" category:"case-admin"`
	Interpreter         bool         `json:"interpreter,omitzero" category:"case-admin"`
	Capacity            Capacity     `json:"capacity" validate:"required,code" category:"case-admin"`
	Present             ConsentGiver `json:"present,omitzero" validate:"omitempty,code" category:"case-admin"`    // who was asked
	ExplainedBy         string       `json:"explained_by" validate:"required,max=100,line" category:"case-admin"` // role, not name
	Explained           []Explained  `json:"explained,omitempty" validate:"omitempty,max=8,unique,dive,code" category:"case-admin"`
	WithdrawalExplained bool         `json:"withdrawal_explained" validate:"required" category:"case-admin"`                    // without it there is no consent
	FreeOfPressure      *bool        `json:"free_of_pressure,omitzero" validate:"omitempty,must_be_true" category:"case-admin"` // support does not depend on helping the police
	Words               string       `json:"words,omitzero" validate:"omitempty,max=2000,prose" category:"case-admin"`          // what was said to, or by, the survivor
	Withheld            []Withheld   `json:"withheld,omitempty" validate:"omitempty,max=20,dive"`
	NoticeVersion       string       `json:"notice_version,omitzero" validate:"omitempty,max=64,line" category:"case-admin"`
	Jurisdiction        Country      `json:"jurisdiction,omitzero" validate:"omitempty,country" category:"case-admin"`

	Given         time.Time `json:"given,omitzero" category:"case-admin"`   // absent in a submission: now
	Expires       time.Time `json:"expires,omitzero" category:"case-admin"` // absent in a submission: after ValidForDays
	ValidForDays  int       `json:"valid_for_days,omitzero" validate:"omitempty,min=1,max=366" category:"case-admin"`
	Review        time.Time `json:"review,omitzero" category:"case-admin"`
	HowToWithdraw string    `json:"how_to_withdraw" validate:"required,max=500,line" category:"case-admin"`
}

// Schema returns "consent-record.v1".
func (c *Consent) Schema() string { return SchemaConsentTerms }

// Recipients are the agencies, by name or as a class, that may receive what the consent covers.
type Recipients struct {
	Agencies []string         `json:"agencies,omitempty" validate:"omitempty,max=50,unique,dive,agency" category:"case-admin"`
	Classes  []RecipientClass `json:"classes,omitempty" validate:"omitempty,max=20,unique,dive"`
}

// RecipientClass is every agency of a role, in one region where one is named.
type RecipientClass struct {
	Role   Role   `json:"role" validate:"required,code" category:"case-admin"`
	Region Region `json:"region,omitzero" validate:"omitempty,region" category:"case-admin"` // as the directory lists the agency
}

// Withheld records with whom the survivor does not want data shared, and why, so that nobody asks again.
type Withheld struct {
	From   WithheldFrom   `json:"from" validate:"required,code" category:"case-admin"`
	Agency string         `json:"agency,omitzero" validate:"omitempty,agency" category:"case-admin"`
	Reason WithheldReason `json:"reason,omitzero" validate:"omitempty,code" category:"case-admin"`
}

// Fill sets what a submission may leave open: given (now), expires (ValidForDays later, DefaultConsentDays when
// that is absent too) and review (after DefaultConsentDays, or at the end if that is sooner). ValidForDays is
// cleared, so that the certificate has one end and not two. What is set already stays, and filling twice
// changes nothing.
func (c *Consent) Fill(now time.Time) {
	if c.Given.IsZero() {
		c.Given = now.UTC().Truncate(time.Second)
	}
	if c.Expires.IsZero() {
		days := c.ValidForDays
		if days == 0 {
			days = DefaultConsentDays
		}
		c.Expires = c.Given.AddDate(0, 0, days)
	}
	c.ValidForDays = 0
	if c.Review.IsZero() {
		c.Review = c.Given.AddDate(0, 0, DefaultConsentDays)
		if c.Review.After(c.Expires) {
			c.Review = c.Expires
		}
	}
}

// Rules checks that a consent is specific and bounded.
func (c *Consent) Rules() (problems []Problem) {
	add := func(path, rule, hint string) { problems = append(problems, Problem{path, rule, hint}) }
	if len(c.Recipients.Agencies) == 0 && len(c.Recipients.Classes) == 0 {
		add("/recipients", RuleRequired, "name at least one agency or role")
	}
	if !c.Expires.IsZero() && c.ValidForDays != 0 {
		add("/valid_for_days", RuleForbidden, "give expires or valid_for_days, not both")
	}
	if !c.Given.IsZero() && !c.Expires.IsZero() {
		if !c.Expires.After(c.Given) {
			add("/expires", RuleDateOrder, "consent ends after it is given")
		}
		if c.Expires.After(c.Given.AddDate(0, 0, MaxConsentDays)) {
			add("/expires", RuleDateOrder, "consent lasts at most "+strconv.Itoa(MaxConsentDays)+" days; then it is asked for again")
		}
	}
	if !c.Review.IsZero() && (!c.Given.IsZero() && c.Review.Before(c.Given) || !c.Expires.IsZero() && c.Review.After(c.Expires)) {
		add("/review", RuleDateOrder, "review falls between given and expires")
	}
	for i, w := range c.Withheld {
		if w.Agency != "" && slices.Contains(c.Recipients.Agencies, w.Agency) {
			add("/withheld/"+strconv.Itoa(i)+"/agency", RuleContradiction, "the same agency is a recipient; ask the survivor")
		}
	}
	return problems
}

// Complete says whether a consent can be signed: it has a beginning and an end. Validate does not ask for them,
// because a submission may leave them to Fill. The error is an *InvalidError.
func (c *Consent) Complete() error {
	var problems []Problem
	if c.Given.IsZero() {
		problems = append(problems, Problem{"/given", RuleRequired, "say when consent was given"})
	}
	if c.Expires.IsZero() {
		problems = append(problems, Problem{"/expires", RuleRequired, "say when consent ends"})
	}
	return invalid(problems)
}
