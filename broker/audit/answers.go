package audit

import (
	"strings"

	"waypost/schemas"
	"waypost/schemas/envelope"
)

// isConsent reports whether a basis is a consent certificate.
func isConsent(basis string) bool { return strings.HasPrefix(basis, envelope.ConsentPrefix) }

// isWithdrawal reports whether a kind ends a consent. A request to end one does not: what became of it is sealed.
func isWithdrawal(kind string) bool { return kind == string(schemas.KindConsentWithdrawal) }

// answers reports whether reply answers question, as far as manifests tell; both are messages. A holder answers a withdrawal
// by its outcome under the same certificate, because what reached it may have come by another agency; everything else is
// answered by name.
func answers(reply, question *Event) bool {
	if reply.Type != TypeMessage || reply.From != question.To || reply.To != question.From {
		return false
	}
	if isWithdrawal(question.Kind) {
		return reply.Kind == string(schemas.KindWithdrawalOutcome) && reply.Basis == question.Basis
	}
	if reply.ReplyTo != question.Message {
		return false
	}
	entry, ok := schemas.EntryOf(schemas.Kind(reply.Kind))
	if _, known := schemas.EntryOf(schemas.Kind(question.Kind)); !known || !ok {
		return true // kinds of a later version: that it names the question is all that can be seen
	}
	return entry.Answer && string(entry.Follows) == question.Kind
}

// control kinds serve consent itself and go on under a certificate that is withdrawn.
func control(kind string) bool {
	entry, _ := schemas.EntryOf(schemas.Kind(kind))
	return entry.Control
}
