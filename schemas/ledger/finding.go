package ledger

import "strconv"

// Severity says what a finding means for whoever has to rely on the record.
type Severity string

// Broken: the record cannot be relied on as whole. Notable: the record is whole, and shows something that somebody should
// look into.
const (
	Broken  Severity = "broken"
	Notable Severity = "notable"
)

// Code of a finding. They cross a border, so their spelling never changes.
type Code string

// What an audit can find. The package documentation says what each means.
const (
	FindRecord         Code = "record-malformed"
	FindHash           Code = "hash-wrong"
	FindMissing        Code = "records-missing"
	FindOrder          Code = "stream-order"
	FindGap            Code = "stream-gap"
	FindOpaque         Code = "opaque"
	FindClock          Code = "clock-backwards"
	FindDirectory      Code = "directory-forged"
	FindRollback       Code = "directory-rollback"
	FindIncomplete     Code = "directory-incomplete"
	FindSignature      Code = "signature"
	FindAgreement      Code = "agreement"
	FindSequenceGap    Code = "sequence-gap"
	FindSequenceLate   Code = "sequence-late"
	FindSequenceReused Code = "sequence-reused"
	FindRepeat         Code = "repeat"
	FindAltered        Code = "message-altered"
	FindReceiptUnknown Code = "receipt-unknown"
	FindReceiptParties Code = "receipt-parties"
	FindReceiptDiffers Code = "receipt-contradicts"
	FindExpired        Code = "expired"
	FindExpiredEarly   Code = "expired-unknown"
	FindAct            Code = "act"
	FindRestored       Code = "restored"
	FindLost           Code = "lost-in-restore"
	FindLostUnknown    Code = "lost-unannounced"
	FindCheckpoint     Code = "checkpoint-forged"
	FindFork           Code = "checkpoint-fork"
	FindBeyond         Code = "checkpoint-beyond"
	FindStale          Code = "checkpoint-directory"
	FindCosignature    Code = "cosignature"
	FindNoCheckpoint   Code = "no-checkpoint"
	FindUnwitnessed    Code = "unwitnessed"
	FindTail           Code = "tail"
	FindFiles          Code = "bundle-files"
)

// notable are the codes of findings that leave the record whole: what a member can bring about by sending nonsense must not
// spoil every audit. A hole in a pair's numbers, or a receipt for what was never recorded, is no nonsense: either the named
// agency or the broker did what it must not, and a person has to find out which.
var notable = map[Code]bool{FindOpaque: true, FindClock: true, FindSignature: true, FindAgreement: true, FindRepeat: true, FindSequenceLate: true,
	FindReceiptDiffers: true, FindExpired: true, FindTail: true, FindCosignature: true, FindRestored: true, FindLost: true}

// Finding is one thing that an audit found.
type Finding struct {
	Code     Code     `json:"code"`
	Severity Severity `json:"severity"`
	Record   int64    `json:"record"`             // its number, from 0; -1 when it is about no single record
	Agency   string   `json:"agency,omitzero"`    // whose message it is
	Peer     string   `json:"peer,omitzero"`      // to whom
	Message  string   `json:"message,omitzero"`   // its id
	Stream   string   `json:"stream,omitzero"`    // gap, order: which stream or lane
	From     uint64   `json:"from,omitzero"`      // gap: first missing number
	To       uint64   `json:"to,omitzero"`        // gap: last missing number
	Size     int64    `json:"tree_size,omitzero"` // checkpoint findings
}

// Text is one line for people.
func (f Finding) Text() string {
	s := string(f.Severity) + "  " + string(f.Code)
	if f.Record >= 0 {
		s += "  record " + strconv.FormatInt(f.Record, 10)
	}
	if f.Size > 0 {
		s += "  checkpoint of " + strconv.FormatInt(f.Size, 10)
	}
	if f.Agency != "" {
		s += "  " + f.Agency
	}
	if f.Peer != "" {
		s += " to " + f.Peer
	}
	if f.Stream != "" {
		s += "  " + f.Stream
	}
	if f.From > 0 {
		s += "  " + strconv.FormatUint(f.From, 10) + "-" + strconv.FormatUint(f.To, 10)
	}
	if f.Message != "" {
		s += "  " + f.Message
	}
	if a := advice[f.Code]; a != "" {
		s += ": " + a
	}
	return s
}

// advice says what the code means and what to do.
var advice = map[Code]string{
	FindRecord:         "not a record; the ledger was altered here",
	FindHash:           "the stored hashes are not those of the records",
	FindMissing:        "records are missing: numbers do not follow one another",
	FindOrder:          "a stream's messages are recorded twice or out of order",
	FindGap:            "messages were gone from the broker before they could be recorded",
	FindOpaque:         "something that is no message was stored; see who may write there",
	FindClock:          "the broker's clock went back",
	FindDirectory:      "an entry of the directory that the network root did not sign",
	FindRollback:       "an older directory was published over a newer one",
	FindIncomplete:     "a directory head without all its entries: who was who then cannot be told",
	FindSignature:      "nobody the directory lists signed it; recipients quarantine such messages",
	FindAgreement:      "no agreement in force lists this kind between these agencies",
	FindSequenceGap:    "messages that were sent are not in the ledger",
	FindSequenceLate:   "a message came after a later one of its sender: held back where its consent was in question, or the broker lost its place",
	FindSequenceReused: "two different messages bear one number: an agency restored from an old backup, or a forgery",
	FindRepeat:         "the same message was stored again",
	FindAltered:        "two different messages bear one id",
	FindReceiptUnknown: "a receipt for a message that is not in the ledger",
	FindReceiptParties: "a receipt from an agency that the message was not for",
	FindReceiptDiffers: "two receipts for one message say different things",
	FindExpired:        "deleted at its maximum age; nobody had receipted it",
	FindExpiredEarly:   "the expiry of a message that is not in the ledger",
	FindAct:            "an act that its agency or the network root did not sign",
	FindRestored:       "administrators say that the broker was restored from a backup here; agencies send again what was lost",
	FindLost:           "its sender says that the broker lost it after it had arrived, and that it is not sent again: its consent was withdrawn or its body erased",
	FindLostUnknown:    "senders say of more messages that the broker lost them than administrators say were lost",
	FindCheckpoint:     "a checkpoint that the log's key did not sign",
	FindFork:           "a signed checkpoint is not of these records: the log was shown in two forms",
	FindBeyond:         "a signed checkpoint covers records that are not there: the log was shortened",
	FindStale:          "a checkpoint names another directory than the records",
	FindCosignature:    "a cosignature that does not hold",
	FindNoCheckpoint:   "no checkpoint signs these records",
	FindUnwitnessed:    "no checkpoint has enough cosignatures; ask agencies to run their agents, or lower --quorum",
	FindTail:           "the last records are not under a witnessed checkpoint yet",
	FindFiles:          "a file of the bundle is missing, added or altered",
}

func severity(c Code) Severity {
	if notable[c] {
		return Notable
	}
	return Broken
}
