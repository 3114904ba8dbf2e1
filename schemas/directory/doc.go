// Package directory is who is who: the agencies, their public keys and when
// each is in force, the agreements between agencies, and the head that ties
// them together, all signed by the network root. It also holds the two files of
// an enrolment. It verifies and decides; it fetches and stores nothing.
//
// # Documents
//
// Each is a signed line in canonical JSON (both written down in package
// envelope), signed by the network root, whose key has the name
// "waypost-network". Members come in the order given here; "?" marks optional
// ones. A "line" is printable Unicode without line breaks, controls and format
// characters, no spaces but U+0020, none at its ends.
//
// Agency, at key agency.<id>, at most 64 KiB:
//
//	type          "waypost.agency.v1"
//	id            agency id, not "waypost-network"
//	name          line of 1 to 200 characters
//	role          code
//	region ?      line, at most 200 characters
//	state         "active" or "suspended"
//	nats_key      NATS public user nkey, 56 characters
//	recipients    1 to 32 keys: age hybrid recipients (Bech32, age1pq1…, 1,216 bytes)
//	signing_keys  1 to 32 keys: note verifier keys named id, Ed25519, not of
//	              small order and not the key inside nats_key
//	schemas       0 to 128 names <kind>.v<1…9999>
//	duty_contact ? line, at most 500 characters
//	since         time
//
// A key is {"key":…,"from":<time>,"until":<time> ?}, in force from ≤ t < until;
// one key stands in a list once.
//
// Agreement, at key agreement.<id>, at most 64 KiB:
//
//	type          "waypost.agreement.v1"
//	id            ^[a-z0-9](?:[a-z0-9-]{0,98}[a-z0-9])?$
//	from, to      agency ids, not the same
//	kinds, purposes, categories   codes, one at least, each once
//	starts        time
//	until ?       time, after starts; the agreed end
//	ended ?       time; the end that came sooner
//	document ?    line, at most 500 characters
//	respond_within ? map of urgency to ^[1-9][0-9]{0,3}[mh]$ (minutes, hours), not empty
//
// A code is ^[a-z][a-z0-9-]{0,63}$; a reader does not refuse one it does not
// know, it only never matches.
//
// Log, at key log, at most 64 KiB; there is none before the network keeps a ledger:
//
//	type     "waypost.log.v1"
//	origin   "waypost-log-" and the first 16 hex digits of SHA-256 of the root's
//	         verifier key as text; first line of every checkpoint
//	keys     1 to 32 keys: note verifier keys named as origin, Ed25519
//
// Head, at key head, at most 1 MiB:
//
//	type      "waypost.head.v1"
//	version   1 … 2^53-1; every change to any entry counts it up
//	issued    time
//	expires   time, after issued
//	entries   map of key to "sha256:" and 64 hex digits: SHA-256 of the whole
//	          signed line of the entry
//
// A reader needs exactly the entries that the head lists, with those digests,
// and never goes back to a lower version. Writers publish entries first, the
// head last.
//
// # Enrolment
//
// Both files are canonical JSON and one line end; neither is a signed line.
//
// Request, at most 16 KiB:
//
//	type         "waypost.enrolment.v1"
//	agency       agency id
//	name ?       line, at most 200 characters
//	nats_key, signing_key, recipient   as above
//	created      time
//	proofs       {"nats":…,"signing":…}: base64, each 64 bytes of Ed25519 by
//	             nats_key and signing_key over the message
//
// The message is the type and a line end, then the canonical JSON of the request
// without the member proofs. The fingerprint is SHA-256 of the message as a
// big-endian number modulo 10^40, 40 digits in groups of five.
//
// Grant, at most 256 KiB, unsigned:
//
//	type         "waypost.grant.v1"
//	agency, nats_key, signing_key, recipient   as in the request
//	user_jwt     NATS user JWT
//	root         the network root's note verifier key
//	network      line of 1 to 200 characters
//	urls         1 to 32 of nats://, tls://, ws://, wss:// and host, no user, no query
//	ca ?         PEM, certificates only
//	issued       time
//
// The root's fingerprint is made in the same way, of "waypost.root.v1", a line
// end and the verifier key.
package directory
