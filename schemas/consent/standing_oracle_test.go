package consent_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"waypost/schemas"
	. "waypost/schemas/consent"
)

// set is a finite set. The oracle below is made of sets and of the documentation of Stand and Evaluate, and of nothing else.
type set[K comparable] map[K]bool

func of[K comparable](keys ...K) set[K] {
	s := set[K]{}
	for _, k := range keys {
		s[k] = true
	}
	return s
}

func (a set[K]) or(b set[K]) set[K] {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

func (a set[K]) less(b set[K]) set[K] {
	out := set[K]{}
	for k := range a {
		if !b[k] {
			out[k] = true
		}
	}
	return out
}

func (a set[K]) and(b set[K]) set[K] { return a.less(a.less(b)) }

func where[K comparable](all []K, f func(K) bool) set[K] {
	return of(slices.DeleteFunc(slices.Clone(all), func(k K) bool { return !f(k) })...)
}

// oracleCovered are those of the parties that a consent covers as recipients.
func oracleCovered(c schemas.Consent, all []Party) set[Party] {
	var withheld []string
	police := set[Party]{}
	for _, w := range c.Withheld {
		withheld = append(withheld, w.Agency)
		if w.From == schemas.WithheldFromPolice && w.Agency == "" {
			police = where(all, func(p Party) bool { return p.Role == schemas.RolePolice })
		}
	}
	named := where(all, func(p Party) bool { return slices.Contains(c.Recipients.Agencies, p.ID) })
	classed := set[Party]{}
	for _, class := range c.Recipients.Classes {
		classed = classed.or(where(all, func(p Party) bool {
			return p.Role != "" && p.Role == class.Role && slices.Contains([]schemas.Region{"", p.Region}, class.Region)
		}))
	}
	return named.or(classed.less(police)).less(where(all, func(p Party) bool { return p.ID == "" || slices.Contains(withheld, p.ID) }))
}

// history is a certificate and everything that was said of it, in some order.
type history struct {
	certificate *Certificate
	statements  []*Statement
	newer       []*Certificate
}

// oracle says which reasons there are against a use; none: it is allowed.
func oracle(histories []history, basis string, use Use, at time.Time, all []Party) set[string] {
	id, consented := strings.CutPrefix(basis, "consent:")
	if !consented && !of(schemas.Bases()...).less(of(schemas.BasisConsent))[schemas.Basis(basis)] {
		return of(ReasonBasis)
	}
	if data := of(use.Categories...); !consented || use.Reply && len(data) == 1 && data[schemas.CategoryCaseAdmin] {
		return set[string]{}
	}
	against, found := set[string]{}, false
	for _, h := range histories {
		if h.certificate.ID == id && id != "" {
			found = true
			against = against.or(oracleOne(h, use, at, all))
		}
	}
	if !found {
		return of(ReasonMissing)
	}
	return against
}

func oracleOne(h history, use Use, at time.Time, all []Party) set[string] {
	c := h.certificate
	about := where(h.statements, func(s *Statement) bool {
		byIssuer := s.Act == ActWithdrawn || s.Act == ActStands
		return s.Certificate == c.ID && s.Issuer == c.Issuer && (s.By == s.Issuer || !byIssuer)
	})
	act := func(a Act) set[*Statement] {
		return about.and(where(h.statements, func(s *Statement) bool { return s.Act == a }))
	}

	covered := oracleCovered(c.Consent, all)
	ids := set[string]{}
	for p := range covered {
		ids[p.ID] = true
	}
	out := set[string]{}
	unless := func(ok bool, code string) {
		if !ok {
			out[code] = true
		}
	}

	ended := set[string]{} // agencies; "" is everyone
	for s := range act(ActWithdrawn) {
		ended[s.To] = true
	}
	unless(len(ended.and(of("", use.From.ID, use.To.ID))) == 0, ReasonWithdrawn)

	open := set[string]{}
	for s := range act(ActRequested) {
		if ids[s.By] {
			open[s.ID] = true
		}
	}
	answered := set[string]{}
	for s := range act(ActStands) {
		answered[s.Answers] = true
	}
	unless(len(open.less(answered)) == 0, ReasonStopped)

	replaced := where(h.newer, func(n *Certificate) bool {
		return n.Issuer == c.Issuer && n.Supersedes == c.ID && !at.Before(n.Issued)
	})
	unless(len(replaced) == 0, ReasonSuperseded)

	unless(c.Consent.Given.Sub(at) <= 5*time.Minute, ReasonNotYetValid)
	unless(at.Before(c.Consent.Expires), ReasonExpired)

	// The issuer may send and be sent to like those that are covered; only it may without asking.
	holders := ids.or(of(c.Issuer)).less(of(""))
	unless(holders[use.From.ID], ReasonForeign)
	unless(holders[use.To.ID], ReasonRecipient)

	if covered[use.From] && use.From.ID != c.Issuer && use.To.ID != c.Issuer && !use.Reply {
		asked := where(h.statements, func(s *Statement) bool {
			age := at.Sub(s.At)
			return s.By == use.From.ID && s.To == use.To.ID && age <= 7*24*time.Hour && age >= -5*time.Minute
		})
		switch c.Consent.Onward {
		case schemas.OnwardNamed:
		case schemas.OnwardReconfirm:
			unless(len(act(ActReconfirmed).and(asked)) > 0, ReasonReconfirm)
		default:
			unless(false, ReasonOnward)
		}
	}
	wanted := of(use.Purposes...)
	unless(len(wanted.less(of(c.Consent.Purposes...))) == 0 && (use.Reply || len(wanted) > 0), ReasonPurpose)
	unless(len(of(use.Categories...).less(of(c.Consent.Categories...).or(of(schemas.CategoryCaseAdmin)))) == 0, ReasonCategory)
	return out
}

var oracleStart = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// The agencies of the oracle's network. The first took the consent unless a case says otherwise.
var oracleParties = []Party{
	{"northshire-police", schemas.RolePolice, "GB-ENG"},
	{"harbour-ngo", schemas.RoleNGO, "GB-ENG"},
	{"lantern-housing", schemas.RoleSupportProvider, "GB-SCT"},
	{"westmoor-police", schemas.RolePolice, "GB-SCT"},
	{"quiet-ngo", schemas.RoleNGO, "GB-SCT"},
	{"unlisted-agency", "", ""},
	{"", schemas.RoleNGO, "GB-ENG"},
}

// maker draws cases that are allowed often and break a rule or a few.
type maker struct {
	*rapid.T
	use Use
}

// odd is true once in n times.
func (m maker) odd(n int, what string) bool {
	return rapid.SampledFrom(append(make([]bool, n-1), true)).Draw(m.T, what)
}

func pick[V any](m maker, what string, from ...V) V { return rapid.SampledFrom(from).Draw(m.T, what) }

func some[V comparable](m maker, what string, from []V) []V {
	return rapid.SliceOfNDistinct(rapid.SampledFrom(from), 0, len(from), rapid.ID[V]).Draw(m.T, what)
}

func (m maker) instant(what string) time.Time {
	const day = 24 * time.Hour
	base := pick(m, what, 0, 0, -time.Hour, time.Hour, -7*day, 7*day, -5*time.Minute, 5*time.Minute, -8*day, 10*day, -30*day, 30*day)
	return oracleStart.Add(base + pick(m, what+" skew", 0, 0, time.Millisecond, -time.Millisecond))
}

func (m maker) agency(what string) Party { return pick(m, what, oracleParties...) }

func (m maker) history(id string) history {
	c := &Certificate{Type: CertificateType, ID: id, Issuer: oracleParties[0].ID, Issued: oracleStart.Add(-40 * 24 * time.Hour)}
	if m.odd(8, "another issuer") {
		c.Issuer = m.agency("issuer").ID
	}
	c.Consent.Given, c.Consent.Expires = oracleStart.Add(-41*24*time.Hour), oracleStart.Add(41*24*time.Hour)
	if m.odd(6, "given near") {
		c.Consent.Given = m.instant("given")
	}
	if m.odd(6, "expires near") {
		c.Consent.Expires = m.instant("expires")
	}
	c.Consent.Onward = pick(m, "onward", schemas.OnwardNamed, schemas.OnwardNamed, schemas.OnwardReconfirm, schemas.OnwardReconfirm, schemas.OnwardNone, "", "whatever")
	c.Consent.Purposes = []schemas.Purpose{schemas.PurposeImmediateSafety, schemas.PurposeAccommodation}
	if m.odd(6, "few purposes") {
		c.Consent.Purposes = some(m, "purposes", append(schemas.Purposes()[:3:3], schemas.PurposeImmediateSafety))
	}
	c.Consent.Categories = []schemas.Category{schemas.CategoryIdentity, schemas.CategoryHealth, schemas.CategoryRisk}
	if m.odd(6, "few categories") {
		c.Consent.Categories = some(m, "categories", []schemas.Category{schemas.CategoryIdentity, schemas.CategoryHealth, schemas.CategoryCaseAdmin})
	}
	ids := []string{"harbour-ngo", "lantern-housing", "westmoor-police", "quiet-ngo", "unlisted-agency", ""}
	c.Consent.Recipients.Agencies = ids[:4]
	if m.odd(2, "few recipients") {
		c.Consent.Recipients.Agencies = some(m, "recipients", ids)
	}
	if m.odd(2, "classes") {
		for range pick(m, "how many", 1, 1, 2) {
			c.Consent.Recipients.Classes = append(c.Consent.Recipients.Classes, schemas.RecipientClass{
				Role:   pick(m, "class", schemas.RoleNGO, schemas.RolePolice, schemas.RoleSupportProvider, ""),
				Region: pick[schemas.Region](m, "region", "", "", "GB-ENG", "GB-SCT")})
		}
	}
	if m.odd(3, "withholds") {
		c.Consent.Withheld = []schemas.Withheld{{
			From:   pick(m, "withheld", schemas.WithheldFromPolice, schemas.WithheldFromFamily, schemas.WithheldFromPolice),
			Agency: pick(m, "withheld agency", append(ids, "", "")...)}}
	}
	h := history{certificate: c}
	request := 0
	for range pick(m, "statements", 0, 0, 1, 2, 3, 4) {
		s := &Statement{Type: StatementType, ID: NewID(), Certificate: id, Issuer: c.Issuer, By: c.Issuer, At: m.instant("said"),
			Act: pick(m, "act", ActReconfirmed, ActReconfirmed, ActReconfirmed, ActRequested, ActRequested, ActStands, ActStands, ActWithdrawn)}
		switch s.Act {
		case ActWithdrawn:
			if !m.odd(3, "from all") {
				s.To = m.agency("from whom alone").ID
			}
		case ActRequested:
			request++
			s.ID, s.By = fmt.Sprintf("request-%d", request), m.agency("who asks").ID
		case ActStands:
			s.Answers = pick(m, "answers", "request-1", "request-1", "request-2", "request-9")
		case ActReconfirmed:
			s.By, s.To = pick(m, "who asked again", m.use.From, m.use.From, m.agency("another asked")).ID, pick(m, "before passing on to", m.use.To, m.use.To, m.agency("to another")).ID
		}
		if m.odd(8, "about another") {
			s.Certificate = "another"
		}
		if m.odd(8, "names another issuer") {
			s.Issuer = "quiet-ngo"
		}
		if m.odd(8, "by another") {
			s.By = "quiet-ngo"
		}
		if s.Act == ActRequested && s.By == c.Issuer {
			s.By = "somebody-else" // OpenStatement lets no issuer ask itself
		}
		h.statements = append(h.statements, s)
	}
	if m.odd(4, "newer") {
		for range pick(m, "how many newer", 1, 2) {
			h.newer = append(h.newer, &Certificate{ID: NewID(), Issuer: pick(m, "newer issuer", c.Issuer, c.Issuer, "quiet-ngo"), Issued: m.instant("newer issued"),
				Supersedes: pick(m, "supersedes", id, id, id, "another", "")})
		}
	}
	return h
}

func (m maker) drawUse() Use {
	from, to := oracleParties[0], oracleParties[1]
	if !m.odd(3, "issuer sends") {
		from = m.agency("from")
	}
	if !m.odd(3, "to the NGO") {
		to = m.agency("to")
	}
	u := Use{From: from, To: to, Reply: m.odd(4, "reply")}
	u.Purposes = []schemas.Purpose{schemas.PurposeImmediateSafety}
	if m.odd(4, "other purposes") {
		u.Purposes = some(m, "use purposes", []schemas.Purpose{schemas.PurposeImmediateSafety, schemas.PurposeAccommodation, schemas.Purposes()[2], "made-up"})
	}
	u.Categories = []schemas.Category{schemas.CategoryIdentity, schemas.CategoryCaseAdmin}
	if m.odd(3, "other categories") {
		u.Categories = some(m, "use categories", []schemas.Category{schemas.CategoryHealth, schemas.CategoryCaseAdmin, schemas.CategoryOffender, "made-up"})
	}
	if m.odd(8, "case-admin only") {
		u.Categories = []schemas.Category{schemas.CategoryCaseAdmin}
	}
	return u
}

// TestStandAndEvaluate asks Stand and Evaluate, and an oracle that somebody made who had read nothing but their documentation, about
// the same random cases. Both verdicts and all reasons agree, whatever the order in which statements came.
func TestStandAndEvaluate(t *testing.T) {
	const cases = 24_000
	party := func(id string) Party {
		i := slices.IndexFunc(oracleParties, func(p Party) bool { return p.ID == id })
		if i < 0 {
			return Party{ID: id}
		}
		return oracleParties[i]
	}
	asked, allowed, seen, several := 0, 0, map[string]int{}, 0
	for asked < cases {
		rapid.Check(t, func(rt *rapid.T) {
			m := maker{T: rt}
			m.use = m.drawUse()
			histories := []history{m.history("first")}
			for range pick(m, "other certificates", 0, 0, 0, 1, 2) {
				histories = append(histories, m.history(pick(m, "other", "first", "second", "")))
			}
			basis := "consent:first"
			if m.odd(8, "another basis") {
				basis = pick(m, "basis", "consent:second", "consent:unheard-of", "consent:", "consent", "", "vital-interests", "duty-to-notify", "because", "Consent:first", " consent:first")
			}
			use, at := m.use, m.instant("at")

			var held []Held
			for _, h := range histories {
				statements := rapid.Permutation(h.statements).Draw(rt, "statements came")
				newer := rapid.Permutation(h.newer).Draw(rt, "newer came")
				held = append(held, Stand(h.certificate, statements, newer, party))
			}
			if m.odd(10, "nothing held") {
				held = append(held, Held{})
			}
			got := Evaluate(held, basis, use, at)
			codes := set[string]{}
			for _, r := range got.Reasons {
				codes[r.Code] = true
			}
			want := oracle(histories, basis, use, at, oracleParties)
			if got.Allowed != (len(want) == 0) || !maps.Equal(codes, want) {
				rt.Fatalf("Evaluate says %v %v, the documentation %v", got.Allowed, slices.Sorted(maps.Keys(codes)), slices.Sorted(maps.Keys(want)))
			}
			if len(of(got.Reasons...)) != len(got.Reasons) {
				rt.Fatalf("a reason twice: %v", got.Reasons)
			}
			if got.Allowed {
				allowed++
			}
			if len(codes) > 1 {
				several++
			}
			for c := range codes {
				seen[c]++
			}
			asked++
		})
		if t.Failed() {
			return
		}
	}
	t.Logf("%d cases, %d allowed, %d with several reasons, %v", asked, allowed, several, seen)
	if allowed < asked/10 || allowed > asked*9/10 || several < asked/10 {
		t.Errorf("of %d cases %d allowed, %d with several reasons: too few of one", asked, allowed, several)
	}
	for _, code := range []string{ReasonMissing, ReasonRecipient, ReasonPurpose, ReasonCategory, ReasonExpired, ReasonNotYetValid, ReasonOnward, ReasonForeign,
		ReasonBasis, ReasonWithdrawn, ReasonStopped, ReasonSuperseded, ReasonReconfirm} {
		if seen[code] < asked/200 {
			t.Errorf("%s in %d of %d cases", code, seen[code], asked)
		}
	}
}
