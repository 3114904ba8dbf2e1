// Package ledger is what is recorded: records, the Merkle tree over them, checkpoints, proofs, and the audit of all of it.
// It verifies offline and knows no NATS. This page is the format's whole description: a second implementation can be made
// from it, from package envelope's page (the signed line, canonical JSON, the manifest) and from package directory's.
//
// # Record
//
// A record is bytes: one line of canonical JSON, "\n", and a note (or nothing). At most 1,052,672 bytes (1 MiB + 4 KiB).
// Members of the line in this order, absent ones left out:
//
//	type      "waypost.record.v1"
//	kind      see below
//	time      when the broker stored it, UTC, whole milliseconds; an act: when the notary took it
//	stream    "KV_DIRECTORY", "MAIL_URGENT", "MAIL_ROUTINE" or "MAIL_RECEIPT"
//	seq       its number in that stream, from 1
//	last      the last number that is missing
//	subject   the subject it was stored on, ^[A-Za-z0-9$_.-]{1,255}$
//	digest    "sha256:" and the hex SHA-256 of all its bytes
//	size      how many bytes these are; absent for none
//
// Kinds, and the members each has beside type, kind and time:
//
//	mail       stream (a MAIL one), seq      note: the manifest's note as it travelled, 1 to 8,192 bytes
//	directory  stream KV_DIRECTORY, seq, subject "$KV.DIRECTORY.<key>"   note: the entry as published
//	opaque     stream, seq, subject, digest, size   no note: what was stored is no message and no entry; a deletion of a
//	           key of the directory is one of no bytes
//	act        none                          note: the signed line of an act, 1 to 8,192 bytes
//	gap        stream, seq, last             no note: numbers seq to last were gone before they could be recorded
//	expired    stream (a MAIL one), seq      no note: deleted at its maximum age, unreceipted
//
// Every message stored in one of the four streams becomes one record, in the order of the stream; records of different
// streams stand in the order in which the notary took them, and an entry of the directory stands before every message that
// was stored after it.
//
// # Act
//
// A signed line of at most 8,192 bytes. Members in this order, "?" marks those that depend on act:
//
//	type      "waypost.act.v1"
//	id        UUIDv7
//	by        the signer: an agency id, or "waypost-network" for the root
//	act       "erased" (has thread, and count unless 0), "disclosed" (message), "redeliver" (agency, since; by the root),
//	          "redelivers" (answers, and count unless 0), "refuses" (answers), "recovers" (since), "restored" (records, lost,
//	          root; by the root). What is by the root is by nobody else, and the others are by agencies
//	at        time
//	agency ?  agency id
//	thread ?  UUIDv4
//	message ? UUIDv7
//	since ?   time
//	answers ? id of an act
//	count ?   1 … 2^53-1
//	records ? 1 … 2^53-1
//	lost ?    records … 2^53-1
//	root ?    the tree's root hash over the first records, base64
//
// A broker that is restored from a backup has lost the newest part of its ledger, and goes on from an earlier end. "restored"
// says so: the first records of them, with this root, are as they were; of checkpoints beyond that, of sizes up to lost, there
// may be ones that this ledger does not continue. Those of a size above lost no restore explains. Agencies hand in again what
// was recorded in the part that is gone.
//
// What an agency cannot send again, because the broker lost it after it had arrived and its consent was withdrawn or its body
// erased since, it replaces by a void message of the same id and number with the code "lost-in-restore", sent at the time at
// which that was noticed. So no hole is left, and no receipt for nothing; and it is the sender's signed word that something was
// lost, which the audit holds against what administrators announced.
//
// "recovers" says that an agency's own store was restored from a backup made at since: it may route again what it received
// after that.
//
// # Tree
//
// The Merkle tree of RFC 6962, section 2.1, over the records in order, numbered from 0; leaf hash SHA-256(0x00 ‖ record),
// node hash SHA-256(0x01 ‖ left ‖ right). A running broker keeps record n as message n+1 of stream LEDGER, with two headers:
//
//	Waypost-Hashes     base64 of the hashes that the record completes, 32 bytes each: its own, then one for each level at
//	                   which it fills a subtree (golang.org/x/mod/sumdb/tlog, StoredHashesForRecordHash)
//	Waypost-Positions  "<KV_DIRECTORY> <MAIL_URGENT> <MAIL_ROUTINE> <MAIL_RECEIPT>": the last number of each stream that is
//	                   recorded up to and with this record, decimal, by which a notary resumes; nothing is proved by it
//
// # Checkpoint
//
// A C2SP signed note (golang.org/x/mod/sumdb/note) of at most 64 KiB. The text is a C2SP tlog-checkpoint with one extension
// line:
//
//	<origin>                            "waypost-log-" and 16 hex digits, as the directory's entry "log" says
//	<size>                              number of records, decimal
//	<root>                              root hash, base64
//	directory <version> <digest>        version and "sha256:<hex>" digest of the last valid head among these records
//
// The first signature is the log's: Ed25519 (note algorithm 1), by any key of the directory's entry "log",
// whenever it is in force. Every further one
// is an agency's cosignature (C2SP tlog-cosignature, cosignature/v1): the key name is the agency id, the key hash
// SHA-256(name ‖ 0x0A ‖ 0x04 ‖ public key)[0:4], the signature 8 bytes of Unix seconds, big endian, and 64 bytes of Ed25519
// over "cosignature/v1\ntime <seconds>\n" ‖ text, by a key that the directory has in force for the agency at that second.
// Signature lines as package envelope writes them; other spellings are refused.
//
// # Bundle
//
// A folder with exactly four files. records and checkpoints are frames, numbered from 0:
//
//	record <n> <length>\n<bytes>\n
//	checkpoint <n> <length>\n<bytes>\n
//
// numbers in decimal without leading zeros. README.txt is for people. SHA256SUMS has one line "<hex>  <name>\n" each for
// README.txt, checkpoints and records, in this order.
//
// # Proof and disclosure
//
// Files of one line of canonical JSON and "\n". A proof has type "waypost.proof.v1", record (base64), index, hashes (the
// inclusion proof of RFC 6962, section 2.1.1, base64 each, lowest first), checkpoint (the note), head (a directory head) and
// entries (map of directory key to entry, all listed by that head: "log", the signer of the record and every witness, and no
// other). A disclosure has type "waypost.disclosure.v1", file_key (base64, the age file key of 16 bytes), envelope (base64,
// as it travelled) and proof. It is right when the proof is, the envelope's note is the record's note, and the body is the
// manifest's; the body then opens with the file key.
//
// # Audit
//
// Rebuild the directory while reading: an entry counts when the root signed it; a head that the root signed, with a version
// not below the last one's, puts in force the entries it lists, by their digest. With it, in order:
//
//	record-malformed      a record that is not as above, or a mail record whose note is no manifest
//	hash-wrong            Waypost-Hashes are not those of the tree
//	records-missing       a record's number is not the count of those before it
//	stream-order          in a stream, seq is not the last recorded number plus one (gap records count up to last)
//	stream-gap            a gap record of a MAIL stream; the bucket forgets old values of a key by itself
//	opaque                an opaque record of a MAIL stream
//	clock-backwards       time more than a second before that of the stream's record before it
//	directory-forged      an entry or head that the root did not sign, or an opaque record in KV_DIRECTORY
//	directory-rollback    a head of a lower version, or of the same version and other bytes
//	directory-incomplete  a head of which an entry was never recorded; judged when a message or act next asks for keys
//	signature             a mail record not signed by a key in force for its sender at sent
//	agreement             neither agreement nor role lets this kind flow between the two at sent (directory.Permits, without
//	                      purposes and categories, which are sealed); only for mail whose signature holds, as is all below
//	sequence-gap          per (from, to, lane), where to is listed: a run of numbers that are in no record although a higher one is;
//	                      reported with the record before which the run was first seen missing, once all records are read. Of a pair
//	                      at most 64 runs are remembered: of more the oldest is reported at once
//	sequence-late         a number below the highest so far that was missing until now; of a run reported at once only while it is
//	                      among the last 64 numbers
//	sequence-reused       the same seq with another note, among the last 64 numbers; a void message may share its number
//	repeat                two records of one id and one note, or of which one is void
//	message-altered       two records of one id and different notes, none void
//	receipt-unknown       a receipt whose reply_to is no recorded message, not even one whose signature does not hold
//	receipt-parties       a receipt not from the agency that the message was to, or not to the one it was from
//	receipt-contradicts   two receipts for one message with different outcomes
//	expired               an expired record; expired-unknown when seq was not recorded in that stream before
//	act                   an act record whose line is malformed or not signed by whom it says, or that says "restored" with
//	                      records above the number of records before it
//	restored              an act "restored", else right
//	lost-in-restore       a void mail record with the code "lost-in-restore", to whom is listed
//	lost-unannounced      there are more of these than all acts "restored" that are right say were lost, lost minus records of each
//	                      added up, of acts with one id the first; reported with the first of them, once all records are read
//	checkpoint-forged     a checkpoint that is malformed or not signed by the log's key of the last directory
//	checkpoint-beyond     its size is more than the number of records
//	checkpoint-fork       its root is not the tree's at its size
//	checkpoint-directory  its directory line is not the last valid head's at its size
//	cosignature           a cosignature in it that does not hold
//	no-checkpoint         there is none that holds
//	unwitnessed           none has cosignatures of enough different agencies (the quorum, if it is above 0)
//	tail                  records after the newest that has
//	bundle-files          a file of the bundle is missing, added or altered
//
// opaque, clock-backwards, signature, agreement, sequence-late, repeat, receipt-contradicts, expired, restored, lost-in-restore, cosignature and tail
// leave the record whole; every other finding breaks it. What an audit cannot see: that a whole newer part of a bundle was left out,
// if no checkpoint in it speaks of that part. Compare the newest checkpoint with the one an agency holds.
package ledger
