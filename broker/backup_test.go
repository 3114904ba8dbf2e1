package broker_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"waypost/broker"
	"waypost/broker/brokertest"
	"waypost/broker/network"
	"waypost/broker/notary"
	"waypost/schemas"
)

// TestBackupRestore: what was there at the time of the backup is there again, consumers stand where they stood, and the
// notary goes on with the ledger that was restored.
func TestBackupRestore(t *testing.T) {
	b := brokertest.Start(t)
	police, ngo := b.Join(t, "north-police", schemas.RolePolice), b.Join(t, "harbour-ngo", schemas.RoleNGO)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	nc := police.Connect(t)
	for range 3 {
		publish(ctx, t, nc, "mail.urgent.harbour-ngo.north-police", strings.Repeat("kept ", 100_000))
	}
	publish(ctx, t, nc, "mail.routine.harbour-ngo.north-police", "kept")
	collectOne(ctx, t, ngo, schemas.LaneUrgent)
	remembered(ctx, t, b.JetStream(t), 1)
	recorded(ctx, t, b)
	before := contents(ctx, t, b)
	dir := b.Backup(t)
	publish(ctx, t, nc, "mail.urgent.harbour-ngo.north-police", "lost")

	for name, want := range map[string]os.FileMode{".": 0o700, "manifest.json": 0o600, "LEDGER.snapshot": 0o600} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %v", name, info, err, want)
		}
	}
	if _, err := b.Restore(t, dir); err == nil || !strings.Contains(err.Error(), "holds messages") {
		t.Errorf("restored over messages: %v", err)
	}
	b.Stop(t)
	b.Wipe(t)
	ready := b.AwaitRestore(t)
	if _, err := publishTo(ctx, police.Connect(t), "mail.urgent.harbour-ngo.north-police", "too early"); err == nil {
		t.Error("a broker that waits for a restore took a message")
	}
	restored, err := b.Restore(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	ready()
	if d := cmp.Diff(before, contents(ctx, t, b)); d != "" {
		t.Errorf("restored otherwise (-before +after):\n%s", d)
	}
	if restored.Records == 0 || restored.Root == "" {
		t.Errorf("no word on the ledger: %+v", restored)
	}
	// The one that was collected does not come again, and everything goes on.
	if m := collectOne(ctx, t, ngo, schemas.LaneUrgent); m != 2 {
		t.Errorf("collected number %d first, want 2", m)
	}
	publish(ctx, t, nc, "mail.urgent.harbour-ngo.north-police", "after")
	recorded(ctx, t, b)
	st, err := notary.ReadState(ctx, b.JetStream(t))
	if err != nil || st.Height <= restored.Records {
		t.Errorf("the ledger does not go on: %+v, %v", st, err)
	}
	b.Restart(t)
	recorded(ctx, t, b)
}

// TestRestoreIntoFresh: a broker that was started as always, and holds nothing yet, is restored too.
func TestRestoreIntoFresh(t *testing.T) {
	b := brokertest.Start(t)
	police, ngo := b.Join(t, "north-police", schemas.RolePolice), b.Join(t, "harbour-ngo", schemas.RoleNGO)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	nc := police.Connect(t)
	publish(ctx, t, nc, "mail.urgent.harbour-ngo.north-police", "kept")
	recorded(ctx, t, b)
	before := contents(ctx, t, b)
	dir := b.Backup(t)
	b.Stop(t)
	b.Wipe(t)
	b.Restart(t)
	if _, err := b.Restore(t, dir); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(before, contents(ctx, t, b)); d != "" {
		t.Errorf("restored otherwise (-before +after):\n%s", d)
	}
	publish(ctx, t, nc, "mail.urgent.harbour-ngo.north-police", "after")
	if m := collectOne(ctx, t, ngo, schemas.LaneUrgent); m != 1 {
		t.Errorf("collected number %d first, want 1", m)
	}
	recorded(ctx, t, b)
}

// TestRestoreInterrupted: half of the streams are there. The broker does not begin, and a second restore completes it.
func TestRestoreInterrupted(t *testing.T) {
	b := brokertest.Start(t)
	police := b.Join(t, "north-police", schemas.RolePolice)
	b.Join(t, "harbour-ngo", schemas.RoleNGO)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	publish(ctx, t, police.Connect(t), "mail.urgent.harbour-ngo.north-police", "kept")
	recorded(ctx, t, b)
	before := contents(ctx, t, b)
	dir := b.Backup(t)
	b.Stop(t)
	b.Wipe(t)
	ready := b.AwaitRestore(t)
	if _, err := b.Restore(t, dir); err != nil {
		t.Fatal(err)
	}
	ready()
	js := b.JetStream(t)
	// As if it had ended before the ledger, and before one of the others.
	for _, name := range []string{notary.StreamLedger, notary.StreamCheckpoints, broker.StreamRoutine} {
		if err := js.DeleteStream(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	b.Stop(t)
	ready = b.AwaitRestore(t)
	if _, err := b.Restore(t, dir); err != nil {
		t.Fatal(err)
	}
	ready()
	if d := cmp.Diff(before, contents(ctx, t, b)); d != "" {
		t.Errorf("restored otherwise (-before +after):\n%s", d)
	}
}

// TestBackupThatDoesNotHold: none of these changes anything on the broker.
func TestBackupThatDoesNotHold(t *testing.T) {
	b := brokertest.Start(t)
	b.Join(t, "north-police", schemas.RolePolice)
	good := b.Backup(t)
	b.Stop(t)
	b.Wipe(t)
	b.AwaitRestore(t)
	for _, c := range []struct {
		name, file string
		change     func([]byte) []byte
		want       error
		says       string
	}{
		{"interrupted", "manifest.json", nil, broker.ErrIncomplete, "interrupted"},
		{"file missing", "MAIL_URGENT.snapshot", nil, broker.ErrDamaged, "MAIL_URGENT.snapshot is missing"},
		{"cut off", "LEDGER.snapshot", func(f []byte) []byte { return f[:len(f)-1] }, broker.ErrDamaged, "LEDGER.snapshot is not as it was written"},
		{"one bit", "KV_DIRECTORY.snapshot", func(f []byte) []byte { f[len(f)/2] ^= 1; return f }, broker.ErrDamaged, "KV_DIRECTORY.snapshot is not as it was written"},
		{"manifest cut off", "manifest.json", func(f []byte) []byte { return f[:len(f)/2] }, broker.ErrDamaged, "manifest"},
		{"newer", "manifest.json", replace(fmt.Sprintf(`"version": %d`, notary.Version), `"version": 99`), nil, fmt.Sprintf("streams of version 99, this program knows %d", notary.Version)},
		{"another network", "manifest.json", replace(b.Authority.RootKey(), "waypost-network+00000000+AA"), nil, "it is of another network"},
		{"a stream left out", "manifest.json", replace(`"MAIL_ROUTINE"`, `"MAIL_URGENT"`), broker.ErrDamaged, "does not name all streams"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "copy")
			if err := os.CopyFS(dir, os.DirFS(good)); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, c.file)
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if c.change == nil {
				err = os.Remove(path)
			} else {
				err = os.WriteFile(path, c.change(text), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			_, err = b.Restore(t, dir)
			var h *network.Hinted
			if err == nil || !strings.Contains(err.Error(), c.says) || c.want != nil && !errors.Is(err, c.want) || !errors.As(err, &h) {
				t.Errorf("%v, want %q and a hint", err, c.says)
			}
		})
	}
	if _, err := b.JetStream(t).Stream(t.Context(), broker.StreamUrgent); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("a stream was made: %v", err)
	}
}

func replace(old, with string) func([]byte) []byte {
	return func(f []byte) []byte { return []byte(strings.ReplaceAll(string(f), old, with)) }
}

// TestBackupFolder: a backup is never written over another one.
func TestBackupFolder(t *testing.T) {
	b := brokertest.Start(t)
	bundle, err := network.ReadBundle(b.Authority.BrokerBundle())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "other"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := broker.Backup(t.Context(), b.Admin, bundle, dir); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("wrote into a folder with something in it: %v", err)
	}
	if found, _ := filepath.Glob(filepath.Join(dir, "*")); len(found) != 1 {
		t.Errorf("left behind: %v", found)
	}
}

// TestClusterRestore: three nodes lose everything and are restored through one of them.
func TestClusterRestore(t *testing.T) {
	if testing.Short() {
		t.Skip("three nodes")
	}
	c := brokertest.StartCluster(t, 3)
	police, ngo := c.Join(t, "north-police", schemas.RolePolice), c.Join(t, "harbour-ngo", schemas.RoleNGO)
	ctx, cancel := context.WithTimeout(t.Context(), 120*time.Second)
	defer cancel()
	nc := police.Connect(t)
	for range 3 {
		publish(ctx, t, nc, "mail.urgent.harbour-ngo.north-police", "kept")
	}
	collectOne(ctx, t, ngo, schemas.LaneUrgent)
	dir := c.Backup(t, 1)
	publish(ctx, t, nc, "mail.urgent.harbour-ngo.north-police", "lost")
	for i := range 3 {
		c.Stop(t, i)
		c.Wipe(t, i)
	}
	c.AwaitRestore(t)
	if _, err := c.Restore(t, 2, dir); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		c.Ready(t, i)
	}
	for _, name := range []string{broker.StreamUrgent, notary.StreamLedger} {
		s, err := c.JetStream(t).Stream(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		if i := s.CachedInfo(); i.Config.Replicas != 3 || name == broker.StreamUrgent && i.State.Msgs != 3 {
			t.Errorf("%s: %d copies of %d messages", name, i.Config.Replicas, i.State.Msgs)
		}
	}
	if m := collectOne(ctx, t, ngo, schemas.LaneUrgent); m != 2 {
		t.Errorf("collected number %d first, want 2", m)
	}
	publish(ctx, t, police.Connect(t), "mail.urgent.harbour-ngo.north-police", "after")
}

// contents are all messages of all streams but the checkpoints, which go on by themselves.
func contents(ctx context.Context, t *testing.T, b *brokertest.Broker) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	js := b.JetStream(t)
	for _, name := range []string{broker.StreamUrgent, broker.StreamRoutine, broker.StreamReceipt, "KV_" + broker.Bucket, notary.StreamLedger} {
		s, err := js.Stream(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = []string{}
		for seq := uint64(1); seq <= s.CachedInfo().State.LastSeq; seq++ {
			m, err := s.GetMsg(ctx, seq)
			if err != nil {
				t.Fatal(err)
			}
			out[name] = append(out[name], m.Subject+" "+m.Time.String()+" "+m.Header.Get(notary.PositionsHeader)+" "+string(m.Data))
		}
	}
	return out
}

// recorded waits until the ledger holds everything.
func recorded(ctx context.Context, t *testing.T, b *brokertest.Broker) {
	t.Helper()
	js := b.JetStream(t)
	for {
		st, err := notary.ReadState(ctx, js)
		if err == nil && st.Behind == 0 && st.Height > 0 {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("the ledger does not catch up: %+v, %v", st, err)
		}
	}
}

// collectOne takes the next message and acknowledges it; it returns its number.
func collectOne(ctx context.Context, t *testing.T, a *brokertest.Agency, l schemas.Lane) uint64 {
	t.Helper()
	nc := a.Connect(t)
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	c, err := js.Consumer(ctx, broker.Stream(l), a.ID())
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Next(jetstream.FetchPriorityGroup(broker.Agents), jetstream.FetchMaxWait(20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	meta, err := m.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.DoubleAck(ctx); err != nil {
		t.Fatal(err)
	}
	return meta.Sequence.Stream
}

func publishTo(ctx context.Context, nc *nats.Conn, subject, body string) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return nc.RequestWithContext(ctx, subject, []byte(body))
}
