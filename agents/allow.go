package agents

import (
	"errors"
	"slices"
	"strings"

	"waypost/agents/intake"
	"waypost/schemas"
	"waypost/schemas/consent"
	"waypost/schemas/directory"
)

// allow asks agreement and consent, and leaves out what they do not cover if that was asked for.
func (a *Agent) allow(o *outgoing) error {
	m := &o.manifest
	use := o.use()
	flow := directory.Flow{From: m.From, To: m.To, Kind: m.Kind, Purposes: use.Purposes, Categories: use.Categories, At: m.Sent}
	permitted := o.dir.Permits(flow)
	verdict := consent.Verdict{Allowed: true}
	if m.Basis != "" {
		held := make([]consent.Held, len(o.certificates))
		for i, c := range o.certificates {
			held[i] = o.held(c, c.marks)
		}
		verdict = consent.Evaluate(held, m.Basis, use, m.Sent)
	}
	denied, onlyData := deniedCategories(permitted, verdict)
	if len(denied) == 0 || !onlyData {
		if permitted != nil {
			return disallowed(permitted, m)
		}
		if !verdict.Allowed {
			return uncovered(verdict)
		}
		return nil
	}
	var allowed []schemas.Category
	for _, c := range schemas.AllCategories() {
		if !slices.Contains(denied, c) {
			allowed = append(allowed, c)
		}
	}
	if !o.minimise {
		return offer(o, permitted, verdict, allowed)
	}
	smaller, cut, err := schemas.Minimise(o.payload, allowed)
	if err != nil {
		var bad *schemas.InvalidError
		if !errors.As(err, &bad) {
			return err
		}
		return refuse("cannot-minimise", "Without what is not covered, the message is no longer one that can be sent.",
			"Ask the survivor for a consent that covers it, or rely on another lawful basis.", under(o.payload, bad.Problems)...)
	}
	o.payload, o.cut, o.minimise = smaller, append(o.cut, cut...), false
	return a.allow(o)
}

// deniedCategories lists the categories that agreement and consent do not cover, and whether nothing else stands against the
// message.
func deniedCategories(permitted error, v consent.Verdict) (denied []schemas.Category, only bool) {
	only = true
	if permitted != nil {
		var d *directory.Error
		if errors.As(permitted, &d) && d.Code == directory.CodeAgreementCategory {
			for _, c := range strings.Fields(d.Field) {
				denied = append(denied, schemas.Category(c))
			}
		} else {
			only = false
		}
	}
	for _, r := range v.Reasons {
		if r.Code != consent.ReasonCategory {
			only = false
			continue
		}
		denied = append(denied, schemas.Category(r.Detail))
	}
	return denied, only
}

// offer refuses and says which members would go, and that the rest can be sent.
func offer(o *outgoing, permitted error, v consent.Verdict, allowed []schemas.Category) error {
	var problems []schemas.Problem
	for _, c := range schemas.Excess(o.payload, allowed) {
		problems = append(problems, schemas.Problem{Path: c.Path, Rule: consent.ReasonCategory, Hint: string(c.Category) + " is not covered; this member goes if you send with \"minimise\": true"})
	}
	problems = under(o.payload, problems)
	code, sentence := consent.ReasonCategory, "The survivor's consent does not cover everything in this message."
	if permitted != nil {
		code, sentence = directory.CodeAgreementCategory, "The agreement with that agency does not cover everything in this message."
		if !v.Allowed {
			sentence = "Neither the agreement nor the survivor's consent covers everything in this message."
		}
		for i := range problems {
			problems[i].Rule = code
		}
	}
	return refuse(code, sentence, "Send it again with \"minimise\": true to leave out the members named; ask the survivor for more only if it is needed.", problems...)
}

// memberOf is where a payload stands in its submission.
func memberOf(payload schemas.Payload) string {
	if payload.Kind() == schemas.KindReferralResponse {
		return ""
	}
	return "/" + strings.ReplaceAll(string(payload.Kind()), "-", "_")
}

// under puts problems of a payload where it stands in the submission.
func under(payload schemas.Payload, problems []schemas.Problem) []schemas.Problem {
	out := slices.Clone(problems)
	for i := range out {
		out[i].Path = memberOf(payload) + out[i].Path
	}
	return out
}

// left is what was left out, where it stood in the submission.
func (o *outgoing) left() []schemas.Cut {
	out := slices.Clone(o.cut)
	for i := range out {
		out[i].Path = memberOf(o.payload) + out[i].Path
	}
	return out
}

// uncovered says why the consent does not let a message go.
func uncovered(v consent.Verdict) error {
	sentence, hint := "The survivor's consent does not cover this.", "Ask the survivor, record a consent that covers it, or rely on another lawful basis."
	switch v.Code() {
	case consent.ReasonWithdrawn:
		sentence, hint = "The survivor has withdrawn this consent.", "Nothing more goes under it. If there is danger to life, rely on another lawful basis and say why."
	case consent.ReasonStopped:
		sentence, hint = "The survivor asked to withdraw this consent; it is not decided yet.", "Wait for the agency that took the consent, or telephone it."
	case consent.ReasonSuperseded:
		sentence, hint = "This consent was renewed or narrowed; nothing new goes under the old one.", "Name the certificate that replaced it."
	case consent.ReasonReconfirm:
		sentence, hint = "The survivor wants to be asked again before this is passed on.", "Ask, then send it with \"reconfirmed\": true."
	}
	return refuse(v.Code(), sentence, hint, intake.ReasonProblems(v)...)
}
