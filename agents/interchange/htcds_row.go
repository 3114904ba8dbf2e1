package interchange

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/language"

	"waypost/schemas"
)

// cells are the values of a row by the name of the field.
type cells map[string][]string

func (c cells) set(field string, values ...string) { c[field] = appendNew(c[field], values...) }

// row fills the fields of a record. Where a single value is asked for and there are several, the first stands.
func row(rec *Record, identified bool) cells {
	c, r := cells{}, rec.Referral
	c.handOver(rec)
	c.exploitation(r)
	c.status(r.NRM)
	if r.Person != nil {
		c.set("prs_Gender", word("prs_Gender", r.Person.Gender))
		c.set("prs_Citizenship", strs(r.Person.Nationalities)...)
	}
	if l := r.Language; l != nil {
		c.set("prs_PrimaryLanguage", iso639(l.Preferred))
		for _, other := range l.Others {
			c.set("prs_SecondaryLanguage", iso639(other))
		}
	}
	children := 0
	for _, d := range r.Dependants {
		if d.Relationship == schemas.RelationshipChild {
			children++
		}
	}
	if children > 0 {
		c.set("prs_NumberOfChildren", strconv.Itoa(children))
	}
	if identified {
		c.identifying(rec)
	}
	return c
}

// handOver is who referred to whom, when and why.
func (c cells) handOver(rec *Record) {
	direction := "Outgoing"
	if rec.Incoming {
		direction = "Incoming"
	}
	reason := "cas_ReasonFor" + direction + "Referral"
	c.set("cas_"+direction+"ReferralDate", rec.Sent.UTC().Format(time.DateOnly))
	reasons := wordsOf(reason, rec.Referral.Needs)
	slices.Sort(reasons) // AdditionalServicesRequired first: moving is seldom all that is asked for
	c.set(reason, reasons...)
	c.set("cas_ReferringOrganisation", rec.From)
	c.set("cas_ReferredOrganisation", rec.To)
	c.set("org_Name", rec.From)
	c.set("org_Type", word("org_Type", rec.FromRole))
	c.set("con_Consent", strconv.FormatBool(rec.Consent))
}

func (c cells) exploitation(r *schemas.Referral) {
	e := r.Exploitation
	if e == nil {
		return
	}
	c.set("vic_TypeOfExploitation", wordsOf("vic_TypeOfExploitation", e.Types)...)
	c.set("vic_TypeOfSexExploitation", wordsOf("vic_TypeOfSexExploitation", e.Sexual)...)
	c.set("vic_ForcedLabourIndustry", wordsOf("vic_ForcedLabourIndustry", e.Industries)...)
	c.set("vic_MethodsOfControl", wordsOf("vic_MethodsOfControl", e.Controls)...)
	c.set("vic_MethodOfRecruitment", wordsOf("vic_MethodOfRecruitment", e.Recruitment)...)
	if slices.Contains(e.Types, schemas.ExploitationDebtBondage) {
		// A kind of exploitation for us, a method of control for HTCDS.
		c.set("vic_MethodsOfControl", word("vic_MethodsOfControl", schemas.ControlDebtBondage))
	}
	for _, x := range e.Exploiters {
		c.set("vic_RelationshipToTrafficker", word("vic_RelationshipToTrafficker", x.Relationship))
	}
	if len(e.Countries) > 0 || e.From != "" {
		c.set("hte_Type", "Exploitation")
		c.set("hte_Country", strs(e.Countries)...)
		c.set("hte_Date", string(e.From)[:min(len(e.From), len("2006"))]) // the year: a day and a country can be one person
	}
}

// status is what has been decided. A negative decision on reasonable grounds can still be reconsidered and is no word of
// HTCDS: then the cell is empty.
func (c cells) status(n *schemas.NRM) {
	const field = "vic_TraffickingStatus"
	switch {
	case n != nil && n.ConclusiveGrounds != "":
		c.set(field, word(field, n.ConclusiveGrounds))
	case n != nil && n.ReasonableGrounds == schemas.DecisionNegative:
	default:
		c.set(field, word(field, schemas.DecisionPending))
	}
}

// identifying adds what tells who somebody is.
func (c cells) identifying(rec *Record) {
	r := rec.Referral
	if rec.Incoming {
		c.set("cas_IncomingReferralDetails", r.Summary)
	} else {
		c.set("cas_OutgoingReferralDetails", r.Summary)
	}
	c.set("cas_ReferringPrimaryCaseWorker", r.Referrer.Name)
	if e := r.Exploitation; e != nil {
		c["hte_Date"] = []string{string(e.From)}
		c.set("hte_City", e.Places...)
		c.set("hte_Description", e.Description)
	}
	p := r.Person
	if p == nil {
		return
	}
	if len(p.Names) > 0 {
		name := p.Names[0]
		c.set("prs_FirstName", name.Given)
		c.set("prs_SecondName", cmp.Or(name.Family, wholeName(name)))
	}
	c.set("prs_Birthdate", string(p.DateOfBirth))
	for _, d := range p.Documents {
		c.set("prs_IdentityNumber", d.Number)
	}
	c.reachable(p.Contact, r.SafeContact)
}

// wholeName is for a name that nobody took apart.
func wholeName(n schemas.Name) string {
	if n.Given != "" {
		return ""
	}
	return n.Text
}

// reachable adds a contact detail only where the survivor said that the channel may be used.
func (c cells) reachable(contact *schemas.Contact, safe *schemas.SafeContact) {
	if contact == nil || safe == nil || safe.DoNotContact {
		return
	}
	yes := func(b *bool) bool { return b != nil && *b }
	if yes(safe.MayCall) && len(contact.Phones) > 0 {
		c.set("prs_MobilePhone", contact.Phones[0].Number)
	}
	if yes(safe.MayEmail) && len(contact.Emails) > 0 {
		c.set("prs_Email", contact.Emails[0])
	}
	if yes(safe.MayWrite) && len(contact.Addresses) > 0 {
		a := contact.Addresses[0]
		c.set("prs_MailingStreet", strings.Join(a.Lines, ", "))
		c.set("prs_MailingPostalCode", a.Postcode)
		c.set("prs_MailingCountry", string(a.Country))
	}
}

// iso639 is the three-letter code of the language, without script and country.
func iso639(tag schemas.LanguageTag) string {
	t, err := language.Parse(string(tag))
	if err != nil {
		return ""
	}
	base, _ := t.Base()
	return base.ISO3()
}

func strs[T ~string](list []T) (out []string) {
	for _, v := range list {
		out = append(out, string(v))
	}
	return out
}
