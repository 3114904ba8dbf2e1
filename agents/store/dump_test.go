package store_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"waypost/agents/store"
	"waypost/agents/store/postgrestest"
	"waypost/agents/store/storetest"
	"waypost/schemas"
	"waypost/schemas/envelope"
)

const us, them = storetest.Us, "test-ngo"

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func open(t *testing.T) *store.Store {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "agent.db"))
}

func openAt(t *testing.T, path string) *store.Store {
	t.Helper()
	s, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func signer(t *testing.T) store.Signer {
	t.Helper()
	skey, _, err := note.GenerateKey(nil, us)
	if err != nil {
		t.Fatal(err)
	}
	s, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	return func(m envelope.Manifest, body []byte) ([]byte, error) { return envelope.Sign(m, body, s) }
}

var sealed = append([]byte("age-encryption.org/v1\n"), make([]byte, 100)...)

func referral(to string, respondBy *time.Time) *store.Outgoing {
	return &store.Outgoing{Body: sealed, Wrapped: []byte("w"), Manifest: envelope.Manifest{
		ID: schemas.NewMessageID(), Thread: schemas.NewThreadID(), From: us, To: to, Kind: schemas.KindReferral, Schema: "referral.v1",
		Lane: schemas.LaneUrgent, Sent: now, RespondBy: respondBy, Basis: "vital-interests",
	}}
}

func incoming(lane schemas.Lane) *store.Incoming {
	return &store.Incoming{Note: []byte("n"), Body: sealed, Wrapped: []byte("w"), Received: now, StreamSeq: 1, Manifest: envelope.Manifest{
		ID: schemas.NewMessageID(), Thread: schemas.NewThreadID(), From: them, To: us, Kind: schemas.KindReferral, Schema: "referral.v1", Lane: lane, Seq: 1, Sent: now,
	}}
}

func update(t *testing.T, s *store.Store, f func(*store.Tx) error) {
	t.Helper()
	if err := s.Update(context.Background(), f); err != nil {
		t.Fatal(err)
	}
}

type dumped struct{ Table, Row string }

func dump(t *testing.T, s *store.Store) (out []dumped) {
	t.Helper()
	if err := s.Dump(t.Context(), func(table string, row []byte) error {
		out = append(out, dumped{table, string(row)})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

func given(all []dumped) func() (string, []byte, error) {
	return func() (string, []byte, error) {
		if len(all) == 0 {
			return "", nil, io.EOF
		}
		next := all[0]
		all = all[1:]
		return next.Table, []byte(next.Row), nil
	}
}

// filled is a store with rows whose values are hard to carry: no bytes, no value, bytes that are no text, quotes.
func filled(t *testing.T) *store.Store {
	t.Helper()
	s := open(t)
	sign := signer(t)
	by := now.Add(time.Hour)
	update(t, s, func(tx *store.Tx) error {
		for range 3 {
			if err := tx.AddOutgoing(referral(them, &by), sign); err != nil {
				return err
			}
		}
		in := incoming(schemas.LaneRoutine)
		in.Body, in.Wrapped = []byte{0, 0xff, '\n'}, []byte{}
		if err := tx.AddIncoming(in); err != nil {
			return err
		}
		if err := tx.AddEvent(&store.Event{Type: store.EventGap, Code: "quote\" and \u2028", At: now}); err != nil {
			return err
		}
		if _, err := tx.AddQuarantined(&store.Quarantined{Peer: them, Lane: schemas.LaneUrgent, Code: "x", Verified: true, Raw: []byte("raw"), Received: now, StreamSeq: 1}); err != nil {
			return err
		}
		if err := tx.AddDelivery(&store.Delivery{Source: store.FromInbox, Ref: in.Manifest.ID, Sink: "folder", Urgent: true, Due: now}); err != nil {
			return err
		}
		return tx.AddToken("test", "a-token", []string{"read"}, now)
	})
	return s
}

// TestDumpLoad: what is loaded is what was dumped, row for row, and the store goes on from there.
func TestDumpLoad(t *testing.T) {
	s := filled(t)
	before := dump(t, s)
	if len(before) < 10 {
		t.Fatalf("only %d rows", len(before))
	}
	other := open(t)
	if err := other.Load(t.Context(), given(before), nil); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(before, dump(t, other)); d != "" {
		t.Errorf("loaded otherwise (-before +after):\n%s", d)
	}
	if err := other.Load(t.Context(), given(before), nil); !errors.Is(err, store.ErrNotEmpty) {
		t.Errorf("loaded over rows: %v", err)
	}
	// The next message takes the next number and the next place.
	update(t, other, func(tx *store.Tx) error { return tx.AddOutgoing(referral(them, nil), signer(t)) })
	list, err := other.ListOutgoing(t.Context(), us, store.Page{Limit: 10})
	if err != nil || len(list) != 4 || list[0].Manifest.Seq != 4 || list[0].N <= list[1].N {
		t.Errorf("goes on wrongly: %+v, %v", list, err)
	}
}

// TestDumpIsOneMoment: what is written while a dump runs is not in it, in no table.
func TestDumpIsOneMoment(t *testing.T) {
	s := filled(t)
	before := dump(t, s)
	var during []dumped
	first := true
	err := s.Dump(t.Context(), func(table string, row []byte) error {
		if first {
			first = false
			update(t, s, func(tx *store.Tx) error {
				if err := tx.AddEvent(&store.Event{Type: store.EventGap, At: now}); err != nil {
					return err
				}
				return tx.AddOutgoing(referral("another-ngo", nil), signer(t))
			})
		}
		during = append(during, dumped{table, string(row)})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(before, during); d != "" {
		t.Errorf("the dump is of two moments (-before +during):\n%s", d)
	}
	if after := dump(t, s); len(after) <= len(before) {
		t.Error("the writes of the meantime are gone")
	}
}

// TestLoadRefuses: a row that is not as it was written loads nothing of the others either.
func TestLoadRefuses(t *testing.T) {
	good := dump(t, filled(t))
	for name, bad := range map[string]dumped{
		"no such table":   {"people", `["x"]`},
		"too few columns": {"tokens", `["a"]`},
		"not JSON":        {"tokens", `["a","YQ==","read",1`},
		"text for number": {"tokens", `["a","YQ==","read","1"]`},
		"number for text": {"tokens", `[1,"YQ==","read",1]`},
		"not base64":      {"tokens", `["a","!","read",1]`},
		"null in a key":   {"tokens", `[null,"YQ==","read",1]`},
		"a fraction":      {"tokens", `["a","YQ==","read",1.5]`},
		"the same again":  good[0],
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			if err := s.Load(t.Context(), given(append(append([]dumped(nil), good...), bad)), nil); err == nil {
				t.Fatal("loaded")
			}
			if left := dump(t, s); len(left) != 0 {
				t.Errorf("%d rows stayed", len(left))
			}
		})
	}
}

// TestRestoredStoreGivesNoNumber before it was told which are used; then it goes on after the highest.
func TestRestoredStoreGivesNoNumber(t *testing.T) {
	good := dump(t, filled(t))
	s := open(t)
	if err := s.Load(t.Context(), given(good), func(tx *store.Tx) error { return tx.Restored(now) }); err != nil {
		t.Fatal(err)
	}
	path := t.TempDir() + "/agent.db"
	again := openAt(t, path)
	if err := again.Load(t.Context(), given(dump(t, s)), nil); err != nil {
		t.Fatal(err)
	}
	again.Close()
	s = openAt(t, path)
	sign := signer(t)
	add := func() (*store.Outgoing, error) {
		o := referral(them, nil)
		return o, s.Update(context.Background(), func(tx *store.Tx) error { return tx.AddOutgoing(o, sign) })
	}
	if _, err := add(); !errors.Is(err, store.ErrRecovering) || !s.Recovering() {
		t.Fatalf("a number was given: %v", err)
	}
	open, err := s.Healings(t.Context(), store.HealStore)
	if err != nil || len(open) != 1 {
		t.Fatal(open, err)
	}
	// The ledger holds numbers 2 (which waits in the restored outbox) and 9.
	list, err := s.ListOutgoing(t.Context(), us, store.Page{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	pending := list[1]
	lost := referral(them, nil).Manifest
	lost.Type, lost.Seq = "waypost.manifest.v1", 9
	receipt := lost
	receipt.ID, receipt.Kind, receipt.Lane, receipt.ReplyTo, receipt.Seq = schemas.NewMessageID(), schemas.KindReceipt, schemas.LaneReceipt, schemas.NewMessageID(), 4
	update(t, s, func(tx *store.Tx) error {
		for range 2 { // again after a crash
			for _, m := range []struct {
				m    *store.Outgoing
				want bool
			}{{pending, true}, {&store.Outgoing{Manifest: lost, Note: []byte("lost")}, true}, {&store.Outgoing{Manifest: receipt, Note: []byte("receipt")}, true}} {
				if _, err := tx.Forgotten(&m.m.Manifest, m.m.Note, 77, now, now); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err := s.Recovered(t.Context(), open[0].ID, now, func(*store.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	o, err := add()
	if err != nil || o.Manifest.Seq != 10 {
		t.Errorf("number %d, %v, want 10", o.Manifest.Seq, err)
	}
	waiting, err := s.PendingOutgoing(t.Context(), schemas.LaneUrgent, 10, nil)
	if err != nil || len(waiting) != 3 {
		t.Errorf("%d wait, want 3: what the ledger holds is not sent again (%v)", len(waiting), err)
	}
	got, err := s.Outgoing(t.Context(), us, lost.ID)
	if err != nil || got.State != store.Published || got.Erased == nil || got.StreamSeq != 77 {
		t.Errorf("what only the ledger remembers: %+v, %v", got, err)
	}
	update(t, s, func(tx *store.Tx) error {
		stands, err := tx.ReceiptStands(receipt.ReplyTo)
		if err == nil && !stands {
			t.Error("a receipt that was given would be given again")
		}
		if stands, _ := tx.ReceiptStands(schemas.NewMessageID()); stands {
			t.Error("a receipt that was never given stands")
		}
		return err
	})
	if h, err := s.Healings(t.Context(), store.HealStore); err != nil || h[0].Done == nil || s.Recovering() {
		t.Errorf("not done: %+v, %v", h, err)
	}
}

// TestDumpHoldsEveryTable: a table that a later schema adds is dumped without anybody thinking of it.
func TestDumpHoldsEveryTable(t *testing.T) {
	var got bytes.Buffer
	for _, name := range store.Layout() {
		got.WriteString(name + "\n")
	}
	for _, want := range []string{"outbox n id thread reply_to", "decided id peer outcome code at | id", "sequences direction peer lane last | direction peer lane", "ledger n checkpoint asked | n", "timers ref n thread next locked | ref n"} {
		if !strings.Contains(got.String(), want) {
			t.Errorf("%q is not in\n%s", want, got.String())
		}
	}
	if n, want := strings.Count(got.String(), "\n"), store.CountTables(); n != want {
		t.Errorf("%d tables, the schema makes %d", n, want)
	}
}

// TestDumpFromOneDatabaseToTheOther and back: not a value is another, and each goes on counting where the other ended.
func TestDumpFromOneDatabaseToTheOther(t *testing.T) {
	server := postgrestest.Start(t)
	before := dump(t, filled(t))
	pg, err := postgres(t, server).Open()
	if err != nil {
		t.Fatal(err)
	}
	defer pg.Close()
	if err := pg.Load(t.Context(), given(before), nil); err != nil {
		t.Fatal(err)
	}
	there := dump(t, pg)
	if d := cmp.Diff(before, there); d != "" {
		t.Fatalf("PostgreSQL has it otherwise (-SQLite +PostgreSQL):\n%s", d)
	}
	update(t, pg, func(tx *store.Tx) error { return tx.AddOutgoing(referral(them, nil), signer(t)) })
	lite := open(t)
	if err := lite.Load(t.Context(), given(dump(t, pg)), nil); err != nil {
		t.Fatal(err)
	}
	list, err := lite.ListOutgoing(t.Context(), us, store.Page{Limit: 10})
	if err != nil || len(list) != 4 || list[0].Manifest.Seq != 4 {
		t.Errorf("%d messages, %v", len(list), err)
	}
}
