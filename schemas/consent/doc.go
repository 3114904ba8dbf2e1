// Package consent holds the consent certificate: what a survivor agreed to,
// signed by the agency that took it, and Evaluate, which says whether a use is
// covered. It has no clock and no I/O of its own.
//
// # Certificate, format waypost.consent.v1
//
// A certificate is a signed line (the form is written down in package envelope)
// of at most 32 KiB, whose signer is the issuer:
//
//	{"type":"waypost.consent.v1","id":"<UUIDv4>","issuer":"<agency id>","issued":"<time>","supersedes":"<UUIDv4>","consent":{…}}⏎
//	⏎
//	— <issuer> <base64>⏎
//
// The members come in this order, and all but supersedes are required. "consent"
// is a document of the schema consent-record.v1, its members in the order
// of that schema's "properties", absent ones left out, in which given and
// expires are required, valid_for_days is forbidden, and every time is RFC 3339
// in UTC with at most three decimals. given ≤ issued, given < expires.
//
// The text is accepted only if it is byte for byte what an encoder of these
// rules would write. There is no revocation inside: a certificate says what was
// agreed when it was signed.
//
// In the terms of ISO/IEC TS 27560 and the Kantara consent receipt: the record
// identifier is "id", the controller "issuer", the principal "survivor" (a
// pseudonym), the purposes "purposes", the categories "categories", the recipients
// "recipients" and "onward", the notice "notice_version", "language" and
// "explained", the collection method "form", the jurisdiction "jurisdiction", the
// time "given", the duration "expires", the withdrawal method "how_to_withdraw",
// and a state change is a statement or a certificate that supersedes.
//
// # Statement, format waypost.consent-statement.v1
//
// What is said about a certificate later is a signed line of its own, at most
// 4 KiB, whose signer is "by":
//
//	{"type":"waypost.consent-statement.v1","id":"<UUIDv4>","act":"<act>","certificate":"<UUIDv4>",
//	 "issuer":"<agency id>","by":"<agency id>","at":"<time>","to":"<agency id>","answers":"<UUIDv4>"}⏎ (one line)
//
// withdrawn and stands are by the issuer, withdrawal-requested by somebody else;
// "to" goes always with reconfirmed and sometimes with withdrawn, "answers" with
// stands.
package consent
