package intake

import (
	"errors"
	"slices"
	"strings"
	"time"

	"waypost/agents/route"
	"waypost/agents/store"
	"waypost/schemas"
	"waypost/schemas/consent"
	"waypost/schemas/directory"
	"waypost/schemas/envelope"
)

// plan is what examine found out without touching the store.
type plan struct {
	now      time.Time
	msg      Message
	lane     schemas.Lane // by the subject
	from     string       // by the subject
	manifest envelope.Manifest
	verified bool // signature and subject agree: the manifest may be believed

	later    string // code of a passing reason: nothing is stored
	code     string // why it is not let through; empty: accepted
	refused  bool   // refused outright instead of kept
	verdict  string // code of what settle did in the end
	problems []schemas.Problem

	note         []byte
	incoming     *store.Incoming
	certificates []*signedCertificate
	statements   []*spokenStatement
	facts        route.Facts
	payload      schemas.Payload
	use          consent.Use
	dir          *directory.View
}

type signedCertificate struct {
	*consent.Certificate
	text string
}

type spokenStatement struct {
	*consent.Statement
	text string
}

func (p *plan) quarantine(code string, problems ...schemas.Problem) *plan {
	p.code, p.problems = code, problems
	return p
}

// examine verifies, opens, decodes and evaluates one envelope. It is pure but for the clock, the directory's current view
// and the vault, and may run in parallel.
func (in *Intake) examine(msg Message) *plan {
	p := &plan{now: in.Now(), msg: msg}
	var to string
	p.lane, to, p.from = addressee(msg.Subject)

	env, err := envelope.Parse(msg.Data)
	if err != nil {
		// Nothing in it can be believed, not even whose it is: kept under the name of whoever connected, answered to nobody.
		return p.quarantine(codeOf(err), problemOf(err)...)
	}
	p.manifest, p.note = env.Manifest, env.Note
	m := &p.manifest

	dir := in.Directory()
	p.dir = dir
	if dir == nil {
		p.later = CodeNoDirectory
		return p
	}
	// A stale directory could hide a suspension or a stolen key, and whoever holds back the fresh one may be the broker
	// itself. So nothing is let in on its word; nothing is lost either, the message stays in the stream.
	if dir.Expired(p.now) {
		p.later = CodeExpiredHead
		return p
	}
	if m.Lane != p.lane || m.To != to || m.From != p.from {
		return p.quarantine(CodeSubject)
	}
	if m.To != in.Agency {
		return p.quarantine(CodeNotForUs)
	}
	sender, known := dir.Agency(m.From)
	if !known {
		return p.quarantine(directory.CodeUnknownAgency)
	}
	// With the key that was valid when it was sent; a sender can back-date but only to a time at which that key was its own.
	verifiers := dir.Verifiers(m.From, m.Sent)
	if err := env.Verify(verifiers...); err != nil {
		return p.quarantine(codeOf(err))
	}
	p.verified = true
	if err := envelope.CheckSent(m, p.now); err != nil {
		if m.Kind == schemas.KindReceipt {
			// Nobody answers a receipt, so nobody would send it again: it waits until the clocks agree.
			p.later = codeOf(err)
			return p
		}
		if !msg.Stored.IsZero() && envelope.CheckSent(m, msg.Stored) == nil {
			// The broker's clock agrees with the sender's, so it is ours that is wrong, as on a machine that came up without its
			// battery. To refuse would turn away everybody's mail; it waits. A broker that lies about the time can delay, as it
			// can anyhow.
			p.later = CodeOwnClock
			return p
		}
		p.refused = true
		return p.quarantine(codeOf(err))
	}
	p.facts = route.Facts{Kind: string(m.Kind), Lane: string(m.Lane), From: m.From, To: m.To, Outcome: string(m.Outcome), Event: store.EventReceived}
	if m.Kind == schemas.KindReceipt || m.Outcome == schemas.OutcomeVoid {
		return p // the store knows the rest
	}
	// What a suspended agency had sent before is not let in; but a survivor's withdrawal counts whoever brings it.
	if entry, _ := schemas.EntryOf(m.Kind); sender.State != directory.StateActive && !entry.Control {
		return p.quarantine(directory.CodeSuspendedAgency)
	}

	plain, wrapped, err := in.Vault.Open(m.ID, env.Body)
	if err != nil {
		return p.quarantine(codeOf(err))
	}
	body, err := envelope.DecodeBody(plain, m.Header())
	if err != nil {
		return p.quarantine(codeOf(err), problemOf(err)...)
	}
	if in.Met != nil && body.Seen != "" {
		in.Met(body.Seen)
	}
	payload, err := schemas.DecodePayload(m.Schema, body.Payload)
	if err != nil {
		code := CodePayload
		var bad *schemas.InvalidError
		if errors.As(err, &bad) && bad.Has("unknown_schema") {
			code = CodeSchema
		}
		return p.quarantine(code, problemOf(err)...)
	}
	if code, problems := in.permit(dir, m, payload, body, p); code != "" {
		return p.quarantine(code, problems...)
	}
	p.payload = payload
	p.facts = Describe(m, payload, store.EventReceived)
	p.incoming = &store.Incoming{Manifest: *m, Note: env.Note, Body: env.Body, Wrapped: wrapped, Received: p.now, StreamSeq: msg.StreamSeq}
	for _, c := range p.certificates {
		p.incoming.Certificates = append(p.incoming.Certificates, c.ID)
	}
	return p
}

// permit asks the agreement again, independently of the sender, who asked it too, and verifies whatever was signed about
// the consent. Whether that covers the message is judged when it is settled.
func (in *Intake) permit(dir *directory.View, m *envelope.Manifest, payload schemas.Payload, body *envelope.Body, p *plan) (string, []schemas.Problem) {
	use := UseOf(m.From, m.To, dir, payload)
	p.use = use
	if err := dir.Permits(directory.Flow{From: m.From, To: m.To, Kind: m.Kind, Purposes: use.Purposes, Categories: use.Categories, At: m.Sent}); err != nil {
		return codeOf(err), problemOf(err)
	}
	if problem := Form(m, payload, use.Categories); problem != nil {
		return problem.Rule, []schemas.Problem{*problem}
	}
	for _, text := range body.Certificates {
		c, err := OpenCertificate(dir, text)
		if err != nil {
			return CodeConsentUnverified, []schemas.Problem{{Path: "/certificates", Rule: "signature", Hint: "A consent certificate is not signed by the agency it names."}}
		}
		p.certificates = append(p.certificates, &signedCertificate{Certificate: c, text: text})
	}
	for _, text := range body.Statements {
		s, err := OpenStatement(dir, text)
		if err != nil {
			return CodeStatement, []schemas.Problem{{Path: "/statements", Rule: "signature", Hint: "A statement about a consent is not signed by the agency it names."}}
		}
		p.statements = append(p.statements, &spokenStatement{Statement: s, text: text})
	}
	return "", nil
}

// Form compares what a manifest says in the open with what is sealed, by the catalogue: lane, response clock, basis and
// reply. Both ends ask it. The rule of the problem is the code of the refusal.
func Form(m *envelope.Manifest, payload schemas.Payload, categories []schemas.Category) *schemas.Problem {
	e, ok := schemas.EntryOf(m.Kind)
	if !ok {
		return &schemas.Problem{Path: "/kind", Rule: CodeSchema, Hint: "The kind is not in the catalogue."}
	}
	// The response clock and the lane are in the open, the urgency is sealed: only here can they be compared. What must be
	// answered and has no clock would never be overdue; a clock on anything else could never be stopped.
	r, referral := payload.(*schemas.Referral)
	u, urgent := payload.(schemas.Urgenter)
	switch {
	case !slices.Contains(e.Lanes, m.Lane), referral && m.Lane != r.Urgency.Lane(), urgent && u.MustBeUrgent() && m.Lane != schemas.LaneUrgent,
		e.Clocked && m.RespondBy == nil, !e.Clocked && !e.MayClock && m.RespondBy != nil:
		return &schemas.Problem{Path: "/urgency", Rule: CodeUrgency, Hint: "Lane or response time in the manifest are not those that belong to what is inside."}
	case e.Answer && m.ReplyTo == "":
		return &schemas.Problem{Path: "/reply_to", Rule: CodeUnknownMessage, Hint: "An answer names the message that it answers."}
	}
	basis := &schemas.Problem{Path: "/lawful_basis/basis", Rule: CodeBasis, Hint: "The basis inside the message is not the one its manifest declares."}
	switch x := payload.(type) {
	case schemas.Sharer:
		if BasisCode(m.Basis) != string(x.Ground().Basis) {
			return basis
		}
	case schemas.ControlPayload:
		if ConsentID(m.Basis) != x.CertificateID() {
			return basis
		}
	default:
		if e.Impersonal && (m.Basis != "" || !slices.Equal(categories, []schemas.Category{schemas.CategoryCaseAdmin})) {
			return basis
		}
	}
	return nil
}

// BasisCode is the part of a manifest's basis before the certificate id.
func BasisCode(basis string) string {
	code, _, _ := strings.Cut(basis, ":")
	return code
}

// UseOf says what a payload would be used for, for consent.Evaluate and directory.Permits; the same on both ends.
func UseOf(from, to string, dir *directory.View, payload schemas.Payload) consent.Use {
	use := consent.Use{From: PartyOf(dir, from), To: PartyOf(dir, to), Categories: schemas.Categories(payload)}
	if x, ok := payload.(schemas.Sharer); ok {
		use.Purposes = x.PurposeList()
	}
	return use
}

// Describe is what a routing rule may know of a message.
func Describe(m *envelope.Manifest, payload schemas.Payload, event string) route.Facts {
	f := route.Facts{Kind: string(m.Kind), Lane: string(m.Lane), From: m.From, To: m.To, Event: event}
	switch x := payload.(type) {
	case *schemas.Referral:
		f.Urgency = string(x.Urgency)
		for _, n := range x.Needs {
			f.Needs = append(f.Needs, string(n))
		}
	case *schemas.ReferralResponse:
		f.Outcome = string(x.Outcome)
	}
	return f
}

// OpenCertificate verifies a certificate with the key its issuer had when it was issued.
func OpenCertificate(dir *directory.View, text string) (*consent.Certificate, error) {
	return consent.OpenWith(text, dir.Verifiers)
}

// OpenStatement verifies a statement with the key its author had at its time.
func OpenStatement(dir *directory.View, text string) (*consent.Statement, error) {
	unverified, err := consent.ReadStatement(text)
	if err != nil {
		return nil, err
	}
	return consent.OpenStatement(text, dir.Verifiers(unverified.By, unverified.At)...)
}

// ReasonProblems turns a refusal into problems a person can act on.
func ReasonProblems(v consent.Verdict) []schemas.Problem {
	out := make([]schemas.Problem, 0, len(v.Reasons))
	for _, r := range v.Reasons {
		out = append(out, schemas.Problem{Path: "/consent", Rule: r.Code, Hint: r.Detail})
	}
	return out
}

func problemOf(err error) []schemas.Problem {
	var bad *schemas.InvalidError
	if errors.As(err, &bad) {
		return bad.Problems
	}
	var e *envelope.Error
	if errors.As(err, &e) {
		return []schemas.Problem{{Path: e.Field, Rule: e.Rule}}
	}
	var d *directory.Error
	if errors.As(err, &d) {
		return []schemas.Problem{{Path: d.Field, Rule: d.Code}}
	}
	return nil
}
