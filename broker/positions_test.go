package broker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"waypost/broker"
	"waypost/broker/brokertest"
	"waypost/schemas"
	"waypost/schemas/ledger"
)

// positionsIn is what is remembered of a stream: agencies and numbers.
func positionsIn(ctx context.Context, t *testing.T, js jetstream.JetStream, stream string) map[string]uint64 {
	t.Helper()
	s, err := ask(ctx, js, "POSITIONS")
	if err != nil {
		return nil
	}
	short, cancel := context.WithTimeout(ctx, 2*time.Second) // a cluster that is electing loses requests
	defer cancel()
	m, err := s.GetLastMsgForSubject(short, "positions."+stream)
	if err != nil || len(m.Data) == 0 {
		return nil
	}
	var f struct {
		Type   string            `json:"type"`
		Floors map[string]uint64 `json:"floors"`
	}
	if err := json.Unmarshal(m.Data, &f); err != nil || f.Type != "waypost.positions.v1" {
		return nil
	}
	return f.Floors
}

// remembered waits until it is on disk that the NGO has come so far in its urgent mail.
func remembered(ctx context.Context, t *testing.T, js jetstream.JetStream, at uint64) {
	t.Helper()
	until(ctx, t, fmt.Sprintf("position %d is on disk", at), func() bool {
		return positionsIn(ctx, t, js, broker.StreamUrgent)["harbour-ngo"] == at
	})
}

// take collects n messages with the agency's own rights and acknowledges those whose index is not in but. It returns their bodies.
func take(ctx context.Context, t *testing.T, nc *nats.Conn, agency string, n int, but ...int) []string {
	t.Helper()
	var out []string
	c := consumer(ctx, t, nc, broker.StreamUrgent, agency)
	for i := range n {
		m, err := c.Next(jetstream.FetchPriorityGroup(broker.Agents), jetstream.FetchMaxWait(20*time.Second))
		if err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		out = append(out, string(m.Data()))
		if slices.Contains(but, i) {
			continue
		}
		if err := m.DoubleAck(ctx); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func sendAll(ctx context.Context, t *testing.T, nc *nats.Conn, bodies ...string) {
	t.Helper()
	for _, body := range bodies {
		publish(ctx, t, nc, "mail.urgent.harbour-ngo.north-police", body)
	}
}

// correspondents are a broker, two agencies and their connections, and the time that a test may take.
func correspondents(t *testing.T) (ctx context.Context, b *brokertest.Broker, police, ngo *brokertest.Agency, from, to *nats.Conn) {
	t.Helper()
	b = brokertest.Start(t)
	police, ngo = b.Join(t, "north-police", schemas.RolePolice), b.Join(t, "harbour-ngo", schemas.RoleNGO)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx, b, police, ngo, police.Connect(t), ngo.Connect(t)
}

// TestPositions: what an agency has acknowledged does not come again after the broker stopped; what it has not, comes. After a
// sudden end what it acknowledged since the last look comes again, and nothing is left out.
func TestPositions(t *testing.T) {
	ctx, b, _, ngo, from, to := correspondents(t)
	sendAll(ctx, t, from, "a", "b", "c", "d", "e")
	take(ctx, t, to, ngo.ID(), 4, 2) // c is decided by nobody: acknowledged are a, b and d
	b.Restart(t)
	if got := take(ctx, t, to, ngo.ID(), 3); strings.Join(got, "") != "cde" {
		t.Errorf("after an orderly stop %q came, want c, which nobody acknowledged, and what follows", got)
	}
	remembered(ctx, t, b.JetStream(t), 5)
	sendAll(ctx, t, from, "f")
	b.Restart(t)
	if got := take(ctx, t, to, ngo.ID(), 1); strings.Join(got, "") != "f" {
		t.Errorf("%q came, want f", got)
	}
	remembered(ctx, t, b.JetStream(t), 6)
	// As kill -9 leaves it: what is on disk is of some time ago.
	put(ctx, t, b.JetStream(t), `{"type":"waypost.positions.v1","floors":{"harbour-ngo":4}}`)
	b.Restart(t)
	if got := take(ctx, t, to, ngo.ID(), 2); strings.Join(got, "") != "ef" {
		t.Errorf("after a kill %q came, want e and f", got)
	}
}

// TestPositionsAreNotBelieved: numbers of other messages than those that are there must leave nothing out.
func TestPositionsAreNotBelieved(t *testing.T) {
	for name, meddle := range map[string]func(ctx context.Context, t *testing.T, js jetstream.JetStream){
		"stream deleted": func(ctx context.Context, t *testing.T, js jetstream.JetStream) {
			if err := js.DeleteStream(ctx, broker.StreamUrgent); err != nil {
				t.Fatal(err)
			}
		},
		"beyond the end": func(ctx context.Context, t *testing.T, js jetstream.JetStream) {
			put(ctx, t, js, `{"type":"waypost.positions.v1","floors":{"harbour-ngo":900,"north-police":1}}`)
		},
		"unreadable": func(ctx context.Context, t *testing.T, js jetstream.JetStream) {
			put(ctx, t, js, `{"type":"waypost.pos`)
		},
		"another type": func(ctx context.Context, t *testing.T, js jetstream.JetStream) {
			put(ctx, t, js, `{"type":"other","floors":{"harbour-ngo":3}}`)
		},
		"no numbers": func(ctx context.Context, t *testing.T, js jetstream.JetStream) {
			put(ctx, t, js, `{"type":"waypost.positions.v1"}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, b, _, ngo, from, to := correspondents(t)
			sendAll(ctx, t, from, "a", "b", "c")
			take(ctx, t, to, ngo.ID(), 3)
			remembered(ctx, t, b.JetStream(t), 3)
			meddle(ctx, t, b.JetStream(t))
			b.Restart(t)
			sendAll(ctx, t, from, "d")
			want := "abcd" // what is stored comes again
			if name == "stream deleted" {
				want = "d"
			}
			if got := take(ctx, t, to, ngo.ID(), len(want)); strings.Join(got, "") != want {
				t.Errorf("%q came, want %q", got, want)
			}
			until(ctx, t, "it is remembered anew", func() bool {
				at := positionsIn(ctx, t, b.JetStream(t), broker.StreamUrgent)["harbour-ngo"]
				return at == 4 || name == "stream deleted" && at == 1
			})
		})
	}
}

// TestPositionsAreForgotten: before a stream is made anew, and not only when its end is seen to lie before a position: by then it
// may have grown.
func TestPositionsAreForgotten(t *testing.T) {
	var cfg broker.Config
	b := brokertest.Start(t, brokertest.WithConfig(func(c *broker.Config) { cfg = *c }))
	police, ngo := b.Join(t, "north-police", schemas.RolePolice), b.Join(t, "harbour-ngo", schemas.RoleNGO)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	sendAll(ctx, t, police.Connect(t), "a")
	take(ctx, t, ngo.Connect(t), ngo.ID(), 1)
	js := b.JetStream(t)
	remembered(ctx, t, js, 1)
	if err := js.DeleteStream(ctx, broker.StreamUrgent); err != nil {
		t.Fatal(err)
	}
	if err := broker.Provision(ctx, b.Admin, &cfg); err != nil {
		t.Fatal(err)
	}
	if at := positionsIn(ctx, t, js, broker.StreamUrgent); at != nil {
		t.Errorf("remembered of the stream before: %v", at)
	}
}

func put(ctx context.Context, t *testing.T, js jetstream.JetStream, body string) {
	t.Helper()
	if _, err := js.Publish(ctx, "positions."+broker.StreamUrgent, []byte(body)); err != nil {
		t.Fatal(err)
	}
}

// TestPositionsAfterBackup: numbers that were given to other messages after a restore are not skipped, although the agency
// had acknowledged further before the broker was lost.
func TestPositionsAfterBackup(t *testing.T) {
	ctx, b, _, ngo, from, to := correspondents(t)
	sendAll(ctx, t, from, "a", "b")
	take(ctx, t, to, ngo.ID(), 1)
	remembered(ctx, t, b.JetStream(t), 1)
	recorded(ctx, t, b)
	dir := b.Backup(t)
	sendAll(ctx, t, from, "c", "d")
	take(ctx, t, to, ngo.ID(), 3)
	b.Stop(t)
	b.Wipe(t)
	ready := b.AwaitRestore(t)
	if _, err := b.Restore(t, dir); err != nil {
		t.Fatal(err)
	}
	ready()
	sendAll(ctx, t, from, "e", "f")
	if got := take(ctx, t, to, ngo.ID(), 3); strings.Join(got, "") != "bef" {
		t.Errorf("%q came after the restore, want b, e and f", got)
	}
}

// TestPositionsOfAnotherBackup: a restore was interrupted and is repeated with another backup. The positions of the first are not
// those of the second's mail.
func TestPositionsOfAnotherBackup(t *testing.T) {
	b := brokertest.Start(t)
	police, ngo := b.Join(t, "north-police", schemas.RolePolice), b.Join(t, "harbour-ngo", schemas.RoleNGO)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	to := ngo.Connect(t)
	sendAll(ctx, t, police.Connect(t), "a", "b")
	take(ctx, t, to, ngo.ID(), 1)
	remembered(ctx, t, b.JetStream(t), 1)
	recorded(ctx, t, b)
	dir := b.Backup(t)
	s, err := b.JetStream(t).Stream(ctx, "POSITIONS")
	if err != nil {
		t.Fatal(err)
	}
	b.Stop(t)
	b.Wipe(t)
	ready := b.AwaitRestore(t)
	if _, err := b.JetStream(t).CreateStream(ctx, s.CachedInfo().Config); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		put(ctx, t, b.JetStream(t), `{"type":"waypost.positions.v1","floors":{"harbour-ngo":2}}`)
	}
	if _, err := b.Restore(t, dir); err != nil {
		t.Fatal(err)
	}
	ready()
	if got := take(ctx, t, to, ngo.ID(), 1); strings.Join(got, "") != "b" {
		t.Errorf("%q came after the restore, want b", got)
	}
}

// TestConsumerComesBack: a consumer that is deleted, and one that fell back, go on where the agency was, within seconds.
func TestConsumerComesBack(t *testing.T) {
	ctx, b, _, ngo, from, to := correspondents(t)
	sendAll(ctx, t, from, "a", "b", "c")
	take(ctx, t, to, ngo.ID(), 3)
	js := b.JetStream(t)
	remembered(ctx, t, js, 3)
	if err := js.DeleteConsumer(ctx, broker.StreamUrgent, "harbour-ngo"); err != nil {
		t.Fatal(err)
	}
	back := func() bool {
		c, err := js.Consumer(ctx, broker.StreamUrgent, "harbour-ngo")
		return err == nil && c.CachedInfo().AckFloor.Stream == 3
	}
	until(ctx, t, "it is there again", back)
	// As a cluster would that lost all copies of it.
	m, err := b.Admin.RequestWithContext(ctx, fmt.Sprintf("$JS.API.CONSUMER.RESET.%s.harbour-ngo", broker.StreamUrgent), []byte(`{"seq":1}`))
	if err != nil || strings.Contains(string(m.Data), `"error"`) {
		t.Fatalf("%v %s", err, m.Data)
	}
	until(ctx, t, "it is set on", back)
	sendAll(ctx, t, from, "d")
	for range 3 { // what was on its way may come
		if got := take(ctx, t, to, ngo.ID(), 1); got[0] == "d" {
			return
		}
	}
	t.Error("d does not come")
}

// TestConsumerChangesStorage: as one of a single broker is that was restored into a cluster, the other way round. What it was
// acknowledged does not come again.
func TestConsumerChangesStorage(t *testing.T) {
	b := brokertest.Start(t)
	police, ngo := b.Join(t, "north-police", schemas.RolePolice), b.Join(t, "harbour-ngo", schemas.RoleNGO)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	from, to, js := police.Connect(t), ngo.Connect(t), b.JetStream(t)
	c, err := js.Consumer(ctx, broker.StreamUrgent, "harbour-ngo")
	if err != nil {
		t.Fatal(err)
	}
	cfg := c.CachedInfo().Config
	if cfg.MemoryStorage = false; js.DeleteConsumer(ctx, broker.StreamUrgent, "harbour-ngo") != nil {
		t.Fatal("not deleted")
	}
	if _, err := js.CreateConsumer(ctx, broker.StreamUrgent, cfg); err != nil {
		t.Fatal(err)
	}
	sendAll(ctx, t, from, "a", "b")
	take(ctx, t, to, ngo.ID(), 1)
	b.Restart(t)
	until(ctx, t, "it lies in memory", func() bool {
		c, err := b.JetStream(t).Consumer(ctx, broker.StreamUrgent, "harbour-ngo")
		return err == nil && c.CachedInfo().Config.MemoryStorage && !c.CachedInfo().Paused
	})
	if got := take(ctx, t, to, ngo.ID(), 1); got[0] != "b" {
		t.Errorf("%q came, want b", got)
	}
}

// TestHeldConsumerIsLetGo: as a process leaves it that died while it set a consumer on.
func TestHeldConsumerIsLetGo(t *testing.T) {
	b := brokertest.Start(t)
	police, ngo := b.Join(t, "north-police", schemas.RolePolice), b.Join(t, "harbour-ngo", schemas.RoleNGO)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := b.JetStream(t).PauseConsumer(ctx, broker.StreamUrgent, "harbour-ngo", time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	sendAll(ctx, t, police.Connect(t), "a")
	take(ctx, t, ngo.Connect(t), ngo.ID(), 1)
}

// TestRestoredAgencyGetsEverything: an agency whose store went back to a backup gets again what it had acknowledged, and is not
// set on to where it was before, neither by the next looks nor by a restart.
func TestRestoredAgencyGetsEverything(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("restart %v", restart), func(t *testing.T) {
			t.Parallel()
			ctx, b, police, ngo, from, to := correspondents(t)
			sendAll(ctx, t, from, "a", "b", "c")
			take(ctx, t, to, ngo.ID(), 3)
			remembered(ctx, t, b.JetStream(t), 3)
			since := time.Now().Add(-time.Hour)
			act, err := ledger.SignAct(ledger.Act{ID: schemas.NewMessageID(), At: time.Now(), Act: ledger.ActRecovers, Since: &since}, ngo.Signer)
			if err != nil {
				t.Fatal(err)
			}
			m, err := to.RequestWithContext(ctx, ledger.ServiceSubject(ledger.VerbAct, ngo.ID()), act)
			if err != nil || m.Header.Get("Nats-Service-Error-Code") != "" {
				t.Fatalf("recover: %v %v", err, m.Header)
			}
			if restart {
				b.Restart(t)
			}
			// Two looks have passed when another agency's two steps are remembered, one after the other.
			for i := range 2 {
				publish(ctx, t, to, "mail.urgent.north-police.harbour-ngo", "x")
				take(ctx, t, from, police.ID(), 1)
				until(ctx, t, "the other agency's position is remembered", func() bool {
					return positionsIn(ctx, t, b.JetStream(t), broker.StreamUrgent)["north-police"] == uint64(4+i)
				})
			}
			if got := take(ctx, t, to, ngo.ID(), 3); strings.Join(got, "") != "abc" {
				t.Errorf("%q came, want everything", got)
			}
		})
	}
}

// TestConsumersInCluster: the keeper of a cluster is lost, and then all nodes at once; nothing comes twice.
func TestConsumersInCluster(t *testing.T) {
	c := brokertest.StartCluster(t, 3)
	police, ngo := c.Join(t, "north-police", schemas.RolePolice), c.Join(t, "harbour-ngo", schemas.RoleNGO)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	all := c.URL(0) + "," + c.URL(1) + "," + c.URL(2)
	connect := func(a *brokertest.Agency) *nats.Conn {
		nc, err := a.TryConnect(all, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
	from, to := connect(police), connect(ngo)
	js := c.JetStream(t)
	send := func(body string) {
		until(ctx, t, "a message is taken", func() bool {
			_, err := publishTo(ctx, from, "mail.urgent.harbour-ngo.north-police", body)
			return err == nil
		})
	}
	send("a")
	collect(ctx, t, to, broker.StreamUrgent, ngo.ID(), 1)
	k := c.Keeper()
	c.Stop(t, k)
	send("b")
	collect(ctx, t, to, broker.StreamUrgent, ngo.ID(), 1)
	c.Start(t, k)
	c.Ready(t, k)
	until(ctx, t, "the node has all mail", func() bool { return current(ctx, js, broker.StreamUrgent) })
	for i := range 3 {
		c.Stop(t, i)
	}
	for i := range 3 {
		c.Start(t, i)
	}
	for i := range 3 {
		c.Ready(t, i)
	}
	until(ctx, t, "the consumer is where it was", func() bool {
		ask, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		info, err := js.Consumer(ask, broker.StreamUrgent, ngo.ID())
		return err == nil && info.CachedInfo().AckFloor.Stream == 2
	})
	send("c")
	got := ""
	until(ctx, t, "the next one comes", func() bool {
		cjs, err := jetstream.New(to)
		if err != nil {
			t.Fatal(err)
		}
		cons, err := cjs.Consumer(ctx, broker.StreamUrgent, ngo.ID())
		if err != nil {
			return false
		}
		m, err := cons.Next(jetstream.FetchPriorityGroup(broker.Agents), jetstream.FetchMaxWait(2*time.Second))
		if err == nil {
			got = string(m.Data())
		}
		return err == nil
	})
	if got != "c" {
		t.Errorf("%q came again", got)
	}
}
