// Package storetest is the conformance suite of the agent's store: what every database that keeps one must do alike.
// Imported by tests only.
package storetest

import (
	"context"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"waypost/agents/store"
	"waypost/schemas"
	"waypost/schemas/envelope"
)

// Place is where one store is, empty at first.
type Place struct {
	// Open opens it; every call the same, also while it is open.
	Open func() (*store.Store, error)
	// SetVersion writes a version as another release would.
	SetVersion func(version int) error
	// Fill makes further messages fail for want of room; false makes room again.
	Fill func(s *store.Store, full bool) error
}

// Store checks the contract of a store. fresh makes a new place.
func Store(t *testing.T, fresh func(t *testing.T) Place) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, p Place)
	}{
		{"sequence has no holes", sequenceHasNoHoles},
		{"failed commit stores nothing", failedCommitStoresNothing},
		{"failed but stored is recognised", failedButStoredIsRecognised},
		{"one that fails takes nothing with it", oneThatFailsTakesNothingWithIt},
		{"goes on after what was there already", goesOnAfterExists},
		{"order is that of commits, also of two processes", orderIsThatOfCommits},
		{"full disk is temporary", fullDiskIsTemporary},
		{"two starters create once", twoStartersCreateOnce},
		{"other versions are refused", otherVersionsAreRefused},
		{"receipt only from the recipient", receiptOnlyFromTheRecipient},
		{"receipt before the note that it left", receiptBeforeTheNote},
		{"routed once, when all required sinks took it", routedOnce},
		{"what was not tried is due whatever the clock says", dueWithoutClock},
		{"clock runs out once", clockRunsOutOnce},
		{"chores are seen", choresAreSeen},
		{"gaps are seen and heal", gapsAreSeenAndHeal},
		{"tokens and keys", tokensAndKeys},
		{"hostile words are not found", hostileWords},
		{"what is no text is refused", noTextIsRefused},
		{"what a restore left is discarded", provisionalIsDiscarded},
		{"withdrawal storm", withdrawalStorm},
		{"stopped before it was released", stoppedBeforeReleased},
		{"taken back while leaving", takenBackWhileLeaving},
		{"erased while leaving", erasedWhileLeaving},
		{"numbers leave in order", numbersLeaveInOrder},
		{"what arrived is not taken back", arrivedIsNotTakenBack},
		{"tombstones keep their turn", tombstonesKeepTheirTurn},
		{"gauges", gauges},
		{"probe", probe},
		{"every statement", everyStatement},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, fresh(t)) })
	}
}

// Us and Them are the agencies of these tests, Now their time.
const Us, Them = "test-police", "test-ngo"

// Now is when everything happens.
var Now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Sealed looks like a sealed body.
var Sealed = append([]byte("age-encryption.org/v1\n"), make([]byte, 100)...)

func open(t testing.TB, p Place) *store.Store {
	t.Helper()
	s, err := p.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// Signer signs as Us with a key made for the test.
func Signer(t testing.TB) store.Signer {
	t.Helper()
	skey, _, err := note.GenerateKey(nil, Us)
	if err != nil {
		t.Fatal(err)
	}
	s, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	return func(m envelope.Manifest, body []byte) ([]byte, error) { return envelope.Sign(m, body, s) }
}

// Referral is one of ours that is to leave.
func Referral(to string, respondBy *time.Time) *store.Outgoing {
	return &store.Outgoing{Body: Sealed, Wrapped: []byte("w"), Manifest: envelope.Manifest{
		ID: schemas.NewMessageID(), Thread: schemas.NewThreadID(), From: Us, To: to, Kind: schemas.KindReferral, Schema: "referral.v1",
		Lane: schemas.LaneUrgent, Sent: Now, RespondBy: respondBy, Basis: "vital-interests",
	}}
}

// Incoming is one of theirs.
func Incoming(lane schemas.Lane) *store.Incoming {
	return &store.Incoming{Note: []byte("n"), Body: Sealed, Wrapped: []byte("w"), Received: Now, StreamSeq: 1, Manifest: envelope.Manifest{
		ID: schemas.NewMessageID(), Thread: schemas.NewThreadID(), From: Them, To: Us, Kind: schemas.KindReferral, Schema: "referral.v1", Lane: lane, Seq: 1, Sent: Now,
	}}
}

// Update runs f in an update that must succeed.
func Update(t testing.TB, s *store.Store, f func(*store.Tx) error) {
	t.Helper()
	if err := s.Update(context.Background(), f); err != nil {
		t.Fatal(err)
	}
}
