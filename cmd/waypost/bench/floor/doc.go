// Package floor measures what a message costs without Waypost: the same cryptography and the same bytes through JetStream with
// every acknowledgement on disk, written as somebody would who wanted nothing else. It imports no package of this project (a
// test keeps it so): what Waypost does badly must not make the floor lower.
//
// Per message it does, on all cores at once:
//
//   - seal: age.Encrypt to a post-quantum hybrid recipient and a second reader that keeps the file key, as the vault does; the
//     file key wrapped with XChaCha20-Poly1305; SHA-256 of the ciphertext; Ed25519 over the manifest, and over the consent
//     certificate that a referral brings;
//   - publish: with a message id, in atomic batches of what waits, 128 at most, alone if one waits; acknowledged after fsync;
//   - collect: a durable pull consumer with explicit acks; verify the manifest and the certificate, compare the digest,
//     age.DecryptHeader, decrypt, wrap the file key;
//   - hand over: unwrap the file key and decrypt again, because between the store and the agency's own system lies the store;
//   - answer: sign a receipt, publish it the same way, collect it at the sender, verify it.
//
// That is Floor. With stores it also does what no path can do without that says "accepted" and "delivered" and means it: the
// sender's row is committed before publication and the recipient's before the acknowledgement (SQLite, WAL, synchronous=FULL,
// group commit), and every message becomes a file that is fsynced, renamed and its folder fsynced, before its receipt; files
// are synced sixteen at a time and the folder once for all that were written together.
//
// What it leaves out, and Waypost pays for: HTTP, JSON, validation, agreements, the judging of consent, history, sequence
// numbers, receipts in the store, the ledger, the directory.
package floor
