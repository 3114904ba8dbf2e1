package schemas

// ConsentNotice (consent.v1) brings holders of a consent what replaces it. The new certificate travels beside the payload,
// like every certificate.
type ConsentNotice struct {
	Certificate string        `json:"certificate" validate:"required,thread_id" category:"case-admin"` // the one it is about: replaced, or standing
	Change      ConsentChange `json:"change" validate:"required,code" category:"case-admin"`
	Replacement string        `json:"replacement,omitzero" validate:"omitempty,thread_id" category:"case-admin"` // the new certificate
	Statement   string        `json:"statement,omitzero" validate:"omitempty,thread_id" category:"case-admin"`   // id of the signed statement beside the payload
}

// Schema returns "consent.v1".
func (c *ConsentNotice) Schema() string { return SchemaConsentNotice }

// Kind returns KindConsent.
func (c *ConsentNotice) Kind() Kind { return KindConsent }

// CertificateID names the certificate that the notice is about.
func (c *ConsentNotice) CertificateID() string { return c.Certificate }

// Rules checks that a notice has what its change needs.
func (c *ConsentNotice) Rules() (problems []Problem) {
	stands := c.Change == ConsentStands
	if !Known(c.Change) {
		return nil
	}
	if stands && c.Statement == "" {
		problems = append(problems, Problem{"/statement", RuleRequired, "name the signed statement that the consent stands"})
	}
	if stands && c.Replacement != "" {
		problems = append(problems, Problem{"/replacement", RuleForbidden, "a consent that stands is not replaced"})
	}
	if !stands && c.Replacement == "" {
		problems = append(problems, Problem{"/replacement", RuleRequired, "name the certificate that replaces it"})
	}
	if !stands && c.Statement != "" {
		problems = append(problems, Problem{"/statement", RuleForbidden, "only a consent that stands after all brings a statement"})
	}
	return problems
}

// ConsentWithdrawal (consent-withdrawal.v1) carries the signed statement that a survivor has withdrawn consent, from the
// agency that took it, directly or passed on by a holder.
type ConsentWithdrawal struct {
	Certificate string `json:"certificate" validate:"required,thread_id" category:"case-admin"`
	Statement   string `json:"statement" validate:"required,thread_id" category:"case-admin"`             // id of the signed statement beside the payload
	Reminder    int    `json:"reminder,omitzero" validate:"omitempty,min=1,max=99" category:"case-admin"` // the how many-th
}

// Schema returns "consent-withdrawal.v1".
func (w *ConsentWithdrawal) Schema() string { return SchemaConsentWithdrawal }

// Kind returns KindConsentWithdrawal.
func (w *ConsentWithdrawal) Kind() Kind { return KindConsentWithdrawal }

// CertificateID names the certificate that is withdrawn.
func (w *ConsentWithdrawal) CertificateID() string { return w.Certificate }

// WithdrawalRequest (withdrawal-request.v1) carries the signed statement of an agency to which the survivor said that
// consent, which another agency took, is withdrawn.
type WithdrawalRequest struct {
	Certificate string `json:"certificate" validate:"required,thread_id" category:"case-admin"`
	Statement   string `json:"statement" validate:"required,thread_id" category:"case-admin"` // id of the signed statement beside the payload
}

// Schema returns "withdrawal-request.v1".
func (w *WithdrawalRequest) Schema() string { return SchemaWithdrawalRequest }

// Kind returns KindWithdrawalRequest.
func (w *WithdrawalRequest) Kind() Kind { return KindWithdrawalRequest }

// CertificateID names the certificate whose withdrawal is asked for.
func (w *WithdrawalRequest) CertificateID() string { return w.Certificate }

// HolderAnswer is what a holder decided after a withdrawal: the document that an agency's system hands to its agent.
type HolderAnswer struct {
	Outcome HolderOutcome   `json:"outcome" validate:"required,code" category:"case-admin"`
	Basis   Basis           `json:"basis,omitzero" validate:"omitempty,code" category:"case-admin"` // with retained
	Reason  RetentionReason `json:"reason,omitzero" validate:"omitempty,code" category:"case-admin"`
	Until   Date            `json:"until,omitzero" validate:"omitempty,date" category:"case-admin"`
}

// WithdrawalOutcome (withdrawal-outcome.v1) is a holder's answer to the agency that took the consent. A later answer
// replaces an earlier one.
type WithdrawalOutcome struct {
	Certificate string `json:"certificate" validate:"required,thread_id" category:"case-admin"`
	Statement   string `json:"statement" validate:"required,thread_id" category:"case-admin"` // the one answered
	HolderAnswer
}

// Schema returns "withdrawal-outcome.v1".
func (w *WithdrawalOutcome) Schema() string { return SchemaWithdrawalOutcome }

// Kind returns KindWithdrawalOutcome.
func (w *WithdrawalOutcome) Kind() Kind { return KindWithdrawalOutcome }

// CertificateID names the withdrawn certificate.
func (w *WithdrawalOutcome) CertificateID() string { return w.Certificate }

// Rules checks that what is kept is kept on a basis other than the consent that is gone, for a reason, and not for ever.
func (w *HolderAnswer) Rules() (problems []Problem) {
	if !Known(w.Outcome) {
		return nil
	}
	kept := []struct {
		name string
		set  bool
		hint string
	}{
		{"basis", w.Basis != "", "say on which basis it is kept"},
		{"reason", w.Reason != "", "say why it is kept"},
		{"until", w.Until != "", "say until when it is kept; it can be said again later"},
	}
	for _, k := range kept {
		switch {
		case w.Outcome == HolderRetained && !k.set:
			problems = append(problems, Problem{"/" + k.name, RuleRequired, k.hint})
		case w.Outcome != HolderRetained && k.set:
			problems = append(problems, Problem{"/" + k.name, RuleForbidden, "belongs to retained only"})
		}
	}
	if w.Basis == BasisConsent {
		problems = append(problems, Problem{"/basis", RuleForbidden, "the consent is gone; name another basis"})
	}
	return problems
}

// Forwarding (forwarding.v1) tells the agency that took a consent that a holder has passed something on under it, so that a
// withdrawal finds its way. It says that it happened, not what was said.
type Forwarding struct {
	Certificate string `json:"certificate" validate:"required,thread_id" category:"case-admin"`
	Agency      string `json:"agency" validate:"required,agency" category:"case-admin"` // who holds it now too
	About       Kind   `json:"about" validate:"required,code" category:"case-admin"`    // kind of the message passed on
	Message     string `json:"message" validate:"required,message_id" category:"case-admin"`
}

// Schema returns "forwarding.v1".
func (f *Forwarding) Schema() string { return SchemaForwarding }

// Kind returns KindForwarding.
func (f *Forwarding) Kind() Kind { return KindForwarding }

// CertificateID names the certificate that it was passed on under.
func (f *Forwarding) CertificateID() string { return f.Certificate }
