package ledger

import (
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"waypost/schemas"
	"waypost/schemas/directory"
	"waypost/schemas/envelope"
)

// ActType is the "type" of an act.
const ActType = "waypost.act.v1"

// ActKind is what somebody did that no message shows.
type ActKind string

// The acts. An agency's are signed by it, an administrator's by the network root.
const (
	ActErased     ActKind = "erased"     // an agency erased its copies of a thread and asks for the broker's to be deleted
	ActDisclosed  ActKind = "disclosed"  // an agency gave out the file key of one message
	ActRedeliver  ActKind = "redeliver"  // an administrator asks an agency to route again what it received since a time
	ActRedelivers ActKind = "redelivers" // the agency does
	ActRefuses    ActKind = "refuses"    // the agency does not
	ActRecovers   ActKind = "recovers"   // an agency's store was restored from a backup; it asks for everything again that still lies at the broker
	ActRestored   ActKind = "restored"   // an administrator says that the broker, and this ledger with it, was restored from a backup
)

// Act is a signed line that becomes a record. It names messages and threads, never a person and never why: the reason of a
// disclosure belongs into the court's file.
type Act struct {
	Type    string     `json:"type"`
	ID      string     `json:"id"` // UUIDv7: an act is recorded once
	By      string     `json:"by"` // the signer: an agency, or waypost-network
	Act     ActKind    `json:"act"`
	At      time.Time  `json:"at"`
	Agency  string     `json:"agency,omitzero"`  // redeliver: who is asked
	Thread  string     `json:"thread,omitzero"`  // erased
	Message string     `json:"message,omitzero"` // disclosed
	Since   *time.Time `json:"since,omitzero"`   // redeliver; recovers: when the backup was made
	Answers string     `json:"answers,omitzero"` // redelivers, refuses: the id of what is answered
	Count   uint64     `json:"count,omitzero"`   // erased, redelivers: how many messages
	Records int64      `json:"records,omitzero"` // restored: how many records the backup held, which stand as they were
	Lost    int64      `json:"lost,omitzero"`    // restored: how many there were; checkpoints of sizes up to this may have been given out
	Root    string     `json:"root,omitzero"`    // restored: the tree's root hash over the first Records, base64
}

// SignAct makes the signed line of an act. It sets Type and By.
func SignAct(a Act, signer note.Signer) ([]byte, error) {
	a.Type, a.By, a.At = ActType, signer.Name(), envelope.Timestamp(a.At)
	if a.Since != nil {
		s := envelope.Timestamp(*a.Since)
		a.Since = &s
	}
	if err := a.check(); err != nil {
		return nil, err
	}
	return envelope.SignLine(&a, signer)
}

// ParseAct reads an act and checks its form; it is nobody's word until VerifyAct.
func ParseAct(raw []byte) (*Act, *envelope.Line, error) {
	line, rest, err := envelope.ParseLine(raw, envelope.MaxManifest)
	if err != nil {
		return nil, nil, malformed("act", err)
	}
	if len(rest) > 0 {
		return nil, nil, malformed("trailing", nil)
	}
	a := new(Act)
	if err := line.Decode(ActType, a); err != nil {
		return nil, nil, malformed("act", err)
	}
	if err := a.check(); err != nil {
		return nil, nil, err
	}
	return a, line, nil
}

// VerifyAct reads an act and verifies it: the root's with root, an agency's with the keys that the directory has in force
// for it when it was done.
func VerifyAct(raw []byte, root note.Verifier, view *directory.View) (*Act, error) {
	a, line, err := ParseAct(raw)
	if err != nil {
		return nil, err
	}
	keys := []note.Verifier{root}
	if a.By != directory.RootName {
		if keys = nil; view != nil {
			keys = view.Verifiers(a.By, a.At)
		}
	}
	if line.Signer != a.By {
		return nil, &Error{Code: CodeBadSignature, Rule: "signer_name"}
	}
	if _, err := line.Verify(keys...); err != nil {
		return nil, &Error{Code: CodeBadSignature, Rule: "act", Err: err}
	}
	return a, nil
}

func (a *Act) check() error {
	type has struct{ agency, thread, message, since, answers, records, lost, root bool }
	want, byRoot := has{}, false
	switch a.Act {
	case ActErased:
		want.thread = true
	case ActDisclosed:
		want.message = true
	case ActRedeliver:
		want.agency, want.since, byRoot = true, true, true
	case ActRedelivers, ActRefuses:
		want.answers = true
	case ActRecovers:
		want.since = true
	case ActRestored:
		want.records, want.lost, want.root, byRoot = true, true, true, true
	default:
		return malformed("act_kind", nil)
	}
	counts := a.Act == ActErased || a.Act == ActRedelivers
	switch {
	case a.Type != ActType, !schemas.ValidMessageID(a.ID), !envelope.ValidTimestamp(a.At),
		a.Since != nil && !envelope.ValidTimestamp(*a.Since),
		want != has{a.Agency != "", a.Thread != "", a.Message != "", a.Since != nil, a.Answers != "", a.Records != 0, a.Lost != 0, a.Root != ""},
		a.Agency != "" && !schemas.ValidAgencyID(a.Agency),
		a.Thread != "" && !schemas.ValidThreadID(a.Thread),
		a.Message != "" && !schemas.ValidMessageID(a.Message),
		a.Answers != "" && !schemas.ValidMessageID(a.Answers),
		a.Count != 0 && !counts || a.Count > envelope.MaxSeq,
		a.Records < 0 || a.Lost < a.Records || a.Lost > envelope.MaxSeq, a.Root != "" && !validRoot(a.Root),
		byRoot != (a.By == directory.RootName), !byRoot && !schemas.ValidAgencyID(a.By):
		return malformed("act_fields", nil)
	}
	return nil
}

// validRoot accepts one spelling of a hash.
func validRoot(s string) bool {
	_, err := tlog.ParseHash(s)
	return err == nil
}
