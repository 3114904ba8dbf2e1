// Package envelope is what travels between agencies: a signed manifest that
// everybody on the way may read, and an opaque sealed body. It parses, verifies
// and frames; it holds no decryption and no keys.
//
// # The signed line
//
// Everything Waypost signs has this form ([Line]), in UTF-8, where ⏎ is the one
// byte 0x0A:
//
//	<JSON>⏎
//	⏎
//	— <signer> <base64>⏎
//
// <JSON> is one object in canonical form (below) whose first member is "type".
// The third line begins with U+2014 and a space. <signer> is an agency id
// (^[a-z][a-z0-9-]{1,38}[a-z0-9]$) or "waypost-network". <base64> is the standard
// alphabet with padding, exactly 92 characters, of 68 bytes:
//
//	key hash (4)   SHA-256(signer ‖ 0x0A ‖ 0x01 ‖ public key)[0:4]
//	signature (64) Ed25519 over <JSON>⏎, both as they stand
//
// It is a golang.org/x/mod/sumdb/note (C2SP signed-note) with one line of text
// and one signature; any reader of notes opens it. A reader of ours refuses
// other spellings: another count of lines or signatures, CR, base64 with line
// ends, without padding or with spare bits set. A verifier is chosen by name and
// key hash; the name must also be what the document says about its author,
// because the third line is not signed. Documents that one key signs are told
// apart by "type"; what a key signs that is not a signed line never begins with "{".
//
// # Canonical JSON
//
// No white space. Members in the order in which the format's page lists them;
// the members of a map sorted by their name, which is ASCII. Optional members
// are left out when absent: no null, and no "" or 0 for an optional member. No duplicate and no unknown members. Strings as RFC 8785 (JCS) writes
// them: \" \\ \b \f \n \r \t and \u00xx in lower-case hex for other controls,
// everything else as UTF-8. Integers in decimal without sign, exponent or
// leading zero, at most 2^53-1. Times are RFC 3339 with "T" and "Z" and one to
// three decimals, none if they would be zero, no trailing zero. A reader
// decodes strictly, encodes again, and refuses bytes that differ.
//
// # Manifest, format waypost.manifest.v1
//
// Members in this order; "?" marks optional ones.
//
//	type        "waypost.manifest.v1"
//	id          UUIDv7, lower case
//	thread      UUIDv4, lower case
//	reply_to ?  id of the message answered, not id itself; required for kinds
//	            receipt and referral-response
//	from, to    agency ids, not the same; from is the signer
//	kind        ^[a-z][a-z0-9-]{1,38}$; unknown kinds are carried
//	schema      <kind>.v<1…9999>
//	lane        "receipt" for kind receipt and no other; else "urgent" or "routine"
//	seq         1 … 2^53-1, counted per (from, to, lane)
//	sent        time; a reader refuses one more than 5 minutes ahead of its clock
//	respond_by ? time, after sent; not on receipts
//	basis ?     "consent:<UUIDv4>" or ^[a-z][a-z0-9-]{0,63}$ other than "consent";
//	            required for kind referral unless void; not on receipts
//	outcome ?   receipts: "delivered", "quarantined", "rejected", required;
//	            others: "void" or absent
//	code ?      ^[a-z][a-z0-9-]{0,63}$; receipts (required when quarantined or
//	            rejected) and void messages only
//	body ?      "sha256:" and 64 lower-case hex digits: SHA-256 of the body
//	size ?      its length in bytes, 1 … 1048576
//
// body and size are absent on receipts and void messages and required on all
// others. The signed line of a manifest has at most 8,192 bytes.
//
// # Envelope
//
// The NATS payload: the signed line of the manifest, then at once the body,
// which begins "age-encryption.org/v1\n", or nothing. It travels on the subject
// mail.<lane>.<to>.<from>, taken from the manifest.
//
// # Body
//
// The plaintext inside the age file is canonical JSON
//
//	{"header":{"id":…,"thread":…,"from":…,"to":…,"kind":…,"schema":…},"certificates":[…],"statements":[…],"seen":…,"payload":{…}}
//
// and then spaces up to the padded size of its length n: 4,096 if n ≤ 4,096,
// else the Padmé bucket: with E = ⌊log2 n⌋ and S = ⌊log2 E⌋+1, n rounded up to a
// multiple of 2^(E−S). At most 1,032,192 bytes. The header's members equal the
// manifest's. "certificates" and "statements" (optional, 1 to 16) are consent certificates and statements, each
// the text of a signed line. "seen" (optional, at most 1,024 bytes) is the newest
// checkpoint of the ledger that the sender has found consistent (package ledger),
// with the log's signature. "payload" is an object of the schema that the
// header names, its members in the order the sender gave them.
package envelope
