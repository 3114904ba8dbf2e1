package broker_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"waypost/broker"
	"waypost/broker/brokertest"
	"waypost/broker/notary"
	"waypost/schemas"
	"waypost/schemas/directory"
)

// TestAgencyMayNot tries, with an agency's own credentials against the real server, everything that an agency must not
// be able to do. Each must be refused by the server, and afterwards nothing may have changed.
func TestAgencyMayNot(t *testing.T) {
	b := brokertest.Start(t)
	police := b.Join(t, "north-police", schemas.RolePolice)
	ngo := b.Join(t, "harbour-ngo", schemas.RoleNGO)
	evil := b.Join(t, "evil-member", schemas.RoleNGO)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	publish(ctx, t, police.Connect(t), "mail.urgent.harbour-ngo.north-police", "for the ngo only")
	before := snapshot(ctx, t, b)

	const create = `{"stream_name":"MAIL_URGENT","action":"create","config":{"durable_name":"evil-member2","deliver_subject":"_INBOX_evil-member.push","ack_policy":"none","filter_subject":"mail.>"}}`
	publishes := []struct{ name, subject, body string }{
		{"send as another", "mail.urgent.harbour-ngo.north-police", "x"},
		{"send as another on the receipt lane", "mail.receipt.north-police.harbour-ngo", "x"},
		{"send to a longer subject", "mail.urgent.harbour-ngo.evil-member.x", "x"},
		{"send outside mail", "hello", "x"},
		{"write the directory head", "$KV.DIRECTORY.head", "x"},
		{"write its own directory entry", "$KV.DIRECTORY.agency.evil-member", "x"},
		{"fetch from another's consumer", "$JS.API.CONSUMER.MSG.NEXT.MAIL_URGENT.harbour-ngo", "1"},
		{"look at another's consumer", "$JS.API.CONSUMER.INFO.MAIL_URGENT.harbour-ngo", ""},
		{"look at another's consumer by the mapped subject", "$JS.network.API.CONSUMER.INFO.MAIL_URGENT.harbour-ngo", ""},
		{"take mail from another's agent", "$JS.API.CONSUMER.UNPIN.MAIL_URGENT.harbour-ngo", `{"group":"agents"}`},
		{"acknowledge another's message", "$JS.ACK.MAIL_URGENT.harbour-ngo.1.1.1.1.0", "+ACK"},
		{"terminate another's message", "$JS.ACK.MAIL_URGENT.harbour-ngo.1.1.1.1.0", "+TERM"},
		{"acknowledge another's message in the second shape", "$JS.ACK._.AAAAAAAA.MAIL_URGENT.harbour-ngo.1.1.1.1.0", "+ACK"},
		{"fetch through an acknowledgement that reads as both shapes", "$JS.ACK.MAIL_URGENT.harbour-ngo.MAIL_URGENT.evil-member.1.1.1", "+NXT"},
		{"list streams", "$JS.API.STREAM.NAMES", ""},
		{"list streams with details", "$JS.API.STREAM.LIST", ""},
		{"look at a stream", "$JS.API.STREAM.INFO.MAIL_URGENT", ""},
		{"create a stream", "$JS.API.STREAM.CREATE.EVIL", `{"name":"EVIL","subjects":["evil.>"],"storage":"file"}`},
		{"create a stream that mirrors", "$JS.API.STREAM.CREATE.EVIL", `{"name":"EVIL","mirror":{"name":"MAIL_URGENT"},"storage":"file"}`},
		{"change a stream", "$JS.API.STREAM.UPDATE.MAIL_URGENT", `{"name":"MAIL_URGENT","subjects":["mail.urgent.*.*"],"max_msgs":1}`},
		{"purge a stream", "$JS.API.STREAM.PURGE.MAIL_URGENT", ""},
		{"delete a stream", "$JS.API.STREAM.DELETE.MAIL_URGENT", ""},
		{"delete a message", "$JS.API.STREAM.MSG.DELETE.MAIL_URGENT", `{"seq":1}`},
		{"read a message from the stream", "$JS.API.STREAM.MSG.GET.MAIL_URGENT", `{"seq":1}`},
		{"direct get from a mail stream by sequence", "$JS.API.DIRECT.GET.MAIL_URGENT", `{"seq":1}`},
		{"direct get from a mail stream by subject", "$JS.API.DIRECT.GET.MAIL_URGENT.mail.urgent.harbour-ngo.north-police", ""},
		{"direct get from the directory by sequence", "$JS.API.DIRECT.GET.KV_DIRECTORY", `{"seq":1}`},
		{"snapshot a stream", "$JS.API.STREAM.SNAPSHOT.MAIL_URGENT", `{"deliver_subject":"_INBOX_evil-member.snap"}`},
		{"restore a stream", "$JS.API.STREAM.RESTORE.MAIL_URGENT", `{}`},
		{"create a push consumer", "$JS.API.CONSUMER.DURABLE.CREATE.MAIL_URGENT.evil-member2", create},
		{"create a push consumer in the newer form", "$JS.API.CONSUMER.CREATE.MAIL_URGENT.evil-member2.mail.>", create},
		{"create an ephemeral consumer", "$JS.API.CONSUMER.CREATE.MAIL_URGENT", create},
		{"change its own consumer", "$JS.API.CONSUMER.CREATE.MAIL_URGENT.evil-member", strings.ReplaceAll(create, "evil-member2", "evil-member")},
		{"reset its own consumer", "$JS.API.CONSUMER.RESET.MAIL_URGENT.evil-member", `{"seq":1}`},
		{"delete another's consumer", "$JS.API.CONSUMER.DELETE.MAIL_URGENT.harbour-ngo", ""},
		{"pause another's consumer", "$JS.API.CONSUMER.PAUSE.MAIL_URGENT.harbour-ngo", `{"pause_until":"2100-01-01T00:00:00Z"}`},
		{"list consumers", "$JS.API.CONSUMER.NAMES.MAIL_URGENT", ""},
		{"ask for account information", "$JS.API.INFO", ""},
		{"push account claims", "$SYS.REQ.CLAIMS.UPDATE", "x"},
		{"ask the server", "$SYS.REQ.SERVER.PING", ""},
		{"ask who it is", "$SYS.REQ.USER.INFO", ""},
		{"write a record", "ledger.mail.harbour-ngo.evil-member", "x"},
		{"write a checkpoint", "checkpoint.log", "x"},
		{"write the broker's probe", "probe", ""},
		{"set another's consumer on", "$JS.API.CONSUMER.RESET.MAIL_URGENT.harbour-ngo", `{"seq":9}`},
		{"write positions", "positions.MAIL_URGENT", `{"type":"waypost.positions.v1","floors":{"harbour-ngo":9}}`},
		{"read positions", "$JS.API.STREAM.MSG.GET.POSITIONS", `{"last_by_subj":"positions.MAIL_URGENT"}`},
		{"write another's cosignature", "checkpoint.witness.harbour-ngo", "x"},
		{"read the ledger", "$JS.API.DIRECT.GET.LEDGER", `{"seq":1}`},
		{"read the ledger by subject", "$JS.API.DIRECT.GET.LEDGER.ledger.mail.harbour-ngo.north-police", ""},
		{"read the checkpoints", "$JS.API.DIRECT.GET.CHECKPOINTS", `{"seq":1}`},
		{"delete a record", "$JS.API.STREAM.MSG.DELETE.LEDGER", `{"seq":1}`},
		{"purge the ledger", "$JS.API.STREAM.PURGE.LEDGER", ""},
		{"ask for a proof as another", "log.inclusion.harbour-ngo", "{}"},
		{"cosign as another", "log.cosign.harbour-ngo", "x"},
		{"have an act recorded as the administrator", "log.act.administrator", "x"},
		{"find services", "$SRV.PING", ""},
		{"write into another's inbox", "_INBOX_harbour-ngo.x", "x"},
	}
	for _, c := range publishes {
		t.Run("publish/"+c.name, func(t *testing.T) {
			nc := evil.Connect(t, nats.NoReconnect())
			if err := nc.PublishRequest(c.subject, "_INBOX_evil-member.answer", []byte(c.body)); err != nil {
				t.Fatal(err)
			}
			denied(t, nc)
		})
	}
	for _, subject := range []string{
		">", "*", "*.>", "mail.>", "mail.*.*.*", "mail.urgent.evil-member.*", "mail.urgent.harbour-ngo.north-police",
		"log.>", "log.*.evil-member", "ledger.>", "checkpoint.>", "positions.>", "$SRV.>", "_INBOX.>", "_INBOX_harbour-ngo.>", "_INBOX_*.>", "*.x", "$SYS.>", "$JS.>", "$JS.API.>", "$JS.EVENT.ADVISORY.>", "$JS.ACK.>", "$KV.>", "$KV.OTHER.>", "_R_.>",
	} {
		t.Run("subscribe/"+subject, func(t *testing.T) {
			nc := evil.Connect(t, nats.NoReconnect())
			if _, err := nc.SubscribeSync(subject); err != nil {
				t.Fatal(err)
			}
			denied(t, nc)
		})
	}
	// JetStream answers to the reply subject with the server's rights, not the sender's: in one account with the
	// streams each of these wrote, fetched or read for the attacker.
	t.Run("reply", func(t *testing.T) {
		nc := evil.Connect(t, nats.NoReconnect())
		publish(ctx, t, nc, "mail.urgent.evil-member.evil-member", "")
		for _, reply := range []string{
			"$KV.DIRECTORY.head", "$KV.DIRECTORY.agency.harbour-ngo", "mail.urgent.harbour-ngo.north-police", "mail.receipt.harbour-ngo.north-police",
			"$JS.API.STREAM.PURGE.MAIL_URGENT", "$JS.API.STREAM.DELETE.MAIL_ROUTINE", "$JS.API.CONSUMER.DELETE.MAIL_URGENT.harbour-ngo",
			"$JS.API.CONSUMER.MSG.NEXT.MAIL_URGENT.harbour-ngo", "$JS.network.API.CONSUMER.INFO.MAIL_URGENT.harbour-ngo",
		} {
			for _, request := range []struct{ subject, body string }{
				{"mail.urgent.harbour-ngo.evil-member", "x"},
				{"$JS.API.CONSUMER.MSG.NEXT.MAIL_URGENT.evil-member", `{"batch":1,"no_wait":true}`},
				{"$JS.API.CONSUMER.INFO.MAIL_URGENT.evil-member", ""},
				{"$JS.API.CONSUMER.UNPIN.MAIL_URGENT.evil-member", `{"group":"agents"}`},
				{"$JS.API.DIRECT.GET.KV_DIRECTORY.$KV.DIRECTORY.agency.evil-member", ""},
			} {
				if err := nc.PublishRequest(request.subject, reply, []byte(request.body)); err != nil {
					t.Fatal(err)
				}
			}
		}
		// The stream works in order: when this is acknowledged, all of the above was done.
		publish(ctx, t, nc, "mail.urgent.harbour-ngo.evil-member", "barrier")
	})
	after := snapshot(ctx, t, b)
	delete(after.subjects, "mail.urgent.harbour-ngo.evil-member") // what it may: its own messages
	delete(after.subjects, "mail.urgent.evil-member.evil-member")
	if d := cmp.Diff(before, after, cmp.AllowUnexported(state{})); d != "" {
		t.Errorf("something changed (-before +after):\n%s", d)
	}
	// And the message is still there for whom it was meant, undelivered so far.
	m, err := consumer(ctx, t, ngo.Connect(t), "MAIL_URGENT", "harbour-ngo").Next(jetstream.FetchPriorityGroup(broker.Agents), jetstream.FetchMaxWait(5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	meta, err := m.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	if string(m.Data()) != "for the ngo only" || meta.NumDelivered != 1 {
		t.Errorf("got %q, delivered %d times", m.Data(), meta.NumDelivered)
	}
}

// TestAgencyMay is the other half of the table: with the same credentials, everything that an agent needs.
func TestAgencyMay(t *testing.T) {
	b := brokertest.Start(t)
	police := b.Join(t, "north-police", schemas.RolePolice)
	b.Join(t, "harbour-ngo", schemas.RoleNGO)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	nc := police.Connect(t, nats.NoReconnect(), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { t.Errorf("unexpected: %v", err) }))
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	live, err := nc.SubscribeSync("$KV.DIRECTORY.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, l := range schemas.Lanes() {
		t.Run(string(l), func(t *testing.T) {
			own := "mail." + string(l) + ".north-police.north-police" // to itself, so that it is both ends
			publish(ctx, t, nc, own, "1")
			var batch []*nats.Msg
			for range 5 {
				m := nats.NewMsg(own)
				m.Data = []byte("2")
				batch = append(batch, m)
			}
			ack, err := jetstreamext.PublishMsgBatch(ctx, js, batch)
			if err != nil {
				t.Fatalf("atomic batch: %v", err)
			}
			if ack.BatchSize != 5 {
				t.Errorf("batch of %d stored", ack.BatchSize)
			}
			if _, err := js.Publish(ctx, own, []byte("3"), jetstream.WithMsgID("same")); err != nil {
				t.Fatal(err)
			}
			again, err := js.Publish(ctx, own, []byte("3"), jetstream.WithMsgID("same"))
			if err != nil || !again.Duplicate {
				t.Errorf("a repeated id was stored twice (%v)", err)
			}
			c := consumer(ctx, t, nc, broker.Stream(l), "north-police")
			got, err := c.Fetch(20, jetstream.FetchPriorityGroup(broker.Agents), jetstream.FetchMaxWait(300*time.Millisecond))
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for m := range got.Messages() {
				n++
				if m.Subject() != own {
					t.Errorf("subject %s", m.Subject())
				}
				if m.Headers().Get("Nats-Request-Info") != "" {
					t.Error("a message tells which connection sent it")
				}
				if n == 1 {
					if err := m.InProgress(); err != nil {
						t.Errorf("in progress: %v", err)
					}
				}
				if err := m.DoubleAck(ctx); err != nil {
					t.Errorf("double ack: %v", err)
				}
			}
			if n != 7 {
				t.Errorf("collected %d, want 7", n)
			}
			info, err := c.Info(ctx)
			if err != nil {
				t.Fatalf("info: %v", err)
			}
			if info.NumAckPending != 0 || info.NumPending != 0 {
				t.Errorf("left over: %d unacknowledged, %d waiting", info.NumAckPending, info.NumPending)
			}
			// A negative acknowledgement brings it back.
			publish(ctx, t, nc, own, "4")
			for want := range uint64(2) {
				m, err := c.Next(jetstream.FetchPriorityGroup(broker.Agents), jetstream.FetchMaxWait(5*time.Second))
				if err != nil {
					t.Fatal(err)
				}
				meta, err := m.Metadata()
				if err != nil || meta.NumDelivered != want+1 {
					t.Errorf("delivered %v times, want %d (%v)", meta, want+1, err)
				}
				if want == 0 {
					err = m.Nak()
				} else {
					err = m.TermWithReason("test")
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	t.Run("consume", func(t *testing.T) {
		it, err := consumer(ctx, t, nc, "MAIL_ROUTINE", "north-police").Messages(jetstream.PullPriorityGroup(broker.Agents), jetstream.PullMaxMessages(10))
		if err != nil {
			t.Fatal(err)
		}
		defer it.Stop()
		for range 3 {
			publish(ctx, t, nc, "mail.routine.north-police.north-police", "5")
			m, err := it.Next(jetstream.NextContext(ctx))
			if err != nil {
				t.Fatal(err)
			}
			if err := m.DoubleAck(ctx); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("directory", func(t *testing.T) {
		root := b.Authority.Root()
		entries := map[string][]byte{}
		var head []byte
		read := func(key string) []byte {
			m, err := nc.RequestWithContext(ctx, "$JS.API.DIRECT.GET.KV_DIRECTORY.$KV.DIRECTORY."+key, nil)
			if err != nil {
				t.Fatalf("read %s: %v", key, err)
			}
			return m.Data
		}
		head = read(directory.HeadKey)
		h, err := directory.OpenHead(root, head)
		if err != nil {
			t.Fatal(err)
		}
		for key := range h.Entries {
			entries[key] = read(key)
		}
		if _, err := directory.Open(root, head, entries, 1); err != nil {
			t.Fatal(err)
		}
		b.Agree(t, directory.Agreement{From: "north-police", To: "harbour-ngo"})
		var seen []string
		for !slices.Contains(seen, "$KV.DIRECTORY.head") {
			m, err := live.NextMsgWithContext(ctx)
			if err != nil {
				t.Fatalf("live directory: %v (%v)", err, seen)
			}
			seen = append(seen, m.Subject)
		}
		if len(seen) < 2 {
			t.Errorf("saw %v, want the agreement and then the head", seen)
		}
	})
}

// state is everything that an attacker might change.
type state struct {
	streams   map[string]jetstream.StreamConfig
	subjects  map[string]uint64
	consumers map[string]jetstream.ConsumerConfig
	delivered map[string]uint64
	directory map[string]uint64 // revision of every key
}

func snapshot(ctx context.Context, t *testing.T, b *brokertest.Broker) state {
	t.Helper()
	s := state{map[string]jetstream.StreamConfig{}, map[string]uint64{}, map[string]jetstream.ConsumerConfig{}, map[string]uint64{}, map[string]uint64{}}
	js := b.JetStream(t)
	list := js.ListStreams(ctx)
	for i := range list.Info() {
		s.streams[i.Config.Name] = i.Config
		st, err := js.Stream(ctx, i.Config.Name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(i.Config.Name, "MAIL_") {
			info, err := st.Info(ctx, jetstream.WithSubjectFilter(">"))
			if err != nil {
				t.Fatal(err)
			}
			for k, v := range info.State.Subjects {
				s.subjects[k] = v
			}
			cl := st.ListConsumers(ctx)
			for c := range cl.Info() {
				if strings.HasPrefix(c.Name, notary.ConsumerPrefix+"-") {
					continue // made anew whenever the notary begins again, and it reads what the attacker may rightly send
				}
				name := c.Stream + "/" + c.Name
				s.consumers[name] = c.Config
				if c.Name != "evil-member" {
					s.delivered[name] = c.Delivered.Consumer
				}
			}
			if cl.Err() != nil {
				t.Fatal(cl.Err())
			}
		}
	}
	if list.Err() != nil {
		t.Fatal(list.Err())
	}
	kv, err := js.KeyValue(ctx, broker.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := kv.Keys(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		e, err := kv.Get(ctx, k)
		if err != nil {
			t.Fatal(err)
		}
		s.directory[k] = e.Revision()
	}
	return s
}

// denied waits for the server's refusal: it comes before the answer to the ping that Flush sends.
func denied(t *testing.T, nc *nats.Conn) {
	t.Helper()
	if err := nc.FlushTimeout(5 * time.Second); err != nil && nc.IsConnected() {
		t.Fatal(err)
	}
	if err := nc.LastError(); !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("not refused (%v)", err)
	}
}

func publish(ctx context.Context, t *testing.T, nc *nats.Conn, subject, body string) {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(ctx, subject, []byte(body)); err != nil {
		t.Fatalf("publish to %s: %v", subject, err)
	}
}

func consumer(ctx context.Context, t *testing.T, nc *nats.Conn, stream, name string) jetstream.Consumer {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	c, err := js.Consumer(ctx, stream, name)
	if err != nil {
		t.Fatalf("consumer %s: %v", name, err)
	}
	return c
}
