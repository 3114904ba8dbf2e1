package notary_test

import (
	"context"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"waypost/broker"
	"waypost/broker/brokertest"
	"waypost/broker/network"
	"waypost/broker/notary"
	"waypost/schemas"
	"waypost/schemas/directory"
	"waypost/schemas/ledger"
)

// BenchmarkAppend compares the notary's rate with what JetStream takes in atomic batches of records of the same size, both
// synced, in the same run: ratio is notary to raw.
func BenchmarkAppend(b *testing.B) {
	const records = 10_000
	k, police, ngo := benchKeeper(b)
	js := k.b.JetStream(b)
	raw, m := police.message(b, ngo.ID(), schemas.LaneRoutine, nil)
	// The same envelope under its own id each time would be refused as a repeat by nobody but agents: the broker stores it.
	for range b.N {
		for sent := 0; sent < records; sent += 500 {
			msgs := make([]*nats.Msg, 500)
			for i := range msgs {
				msgs[i] = nats.NewMsg(m.Subject())
				msgs[i].Data = raw
			}
			if _, err := jetstreamext.PublishMsgBatch(b.Context(), js, msgs); err != nil {
				b.Fatal(err)
			}
		}
	}
	total := int64(records * b.N)
	began := time.Now()
	k.runBench(b)
	for k.size(b) < total {
		time.Sleep(time.Millisecond)
	}
	own := time.Since(began)
	if _, err := js.CreateStream(b.Context(), jetstream.StreamConfig{Name: "RAW", Subjects: []string{"raw"}, AllowAtomicPublish: true, MaxBytes: 1 << 30}); err != nil {
		b.Fatal(err)
	}
	record, err := ledger.Message(ledger.StreamRoutine, 1, time.Now(), m.Subject(), raw).Encode()
	if err != nil {
		b.Fatal(err)
	}
	began = time.Now()
	for sent := int64(0); sent < total; sent += 500 {
		msgs := make([]*nats.Msg, 500)
		for i := range msgs {
			msgs[i] = nats.NewMsg("raw")
			msgs[i].Data = record
		}
		if _, err := jetstreamext.PublishMsgBatch(b.Context(), js, msgs); err != nil {
			b.Fatal(err)
		}
	}
	floor := time.Since(began)
	b.ReportMetric(float64(total)/own.Seconds(), "records/s")
	b.ReportMetric(float64(total)/floor.Seconds(), "raw/s")
	b.ReportMetric(floor.Seconds()/own.Seconds(), "ratio")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkProof measures an inclusion proof by place, asked over NATS as agents ask, in a ledger of 10,000 and 1,000,000
// records (WAYPOST_BENCH_RECORDS changes the larger one), and what the notary's process holds then.
func BenchmarkProof(b *testing.B) {
	large := 1_000_000
	if s := os.Getenv("WAYPOST_BENCH_RECORDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			b.Fatal(err)
		}
		large = n
	}
	for _, records := range []int{10_000, large} {
		b.Run(strconv.Itoa(records), func(b *testing.B) {
			k, police, ngo := benchKeeper(b)
			k.fill(b, police, ngo, records)
			n := k.runBench(b)
			<-n.Running()
			nc := police.Connect(b)
			var size int64
			for size < int64(records) {
				m, err := nc.Request(ledger.ServiceSubject(ledger.VerbCheckpoint, police.ID()), nil, 10*time.Second)
				if err != nil {
					b.Fatal(err)
				}
				if m.Header.Get("Nats-Service-Error-Code") != "" {
					time.Sleep(100 * time.Millisecond)
					continue
				}
				a, err := decodeCheckpoint(m.Data)
				if err != nil {
					b.Fatal(err)
				}
				size = a.Size
				time.Sleep(100 * time.Millisecond)
			}
			var mem runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&mem)
			b.ReportMetric(float64(mem.HeapAlloc)/(1<<20), "MB-heap")
			b.ResetTimer()
			for i := range b.N {
				seq := uint64(i*7919%records) + 1
				q := ledger.Encode(ledger.InclusionRequest{Size: size, Places: []ledger.Place{{Stream: ledger.StreamRoutine, Seq: seq}}})
				for {
					m, err := nc.Request(ledger.ServiceSubject(ledger.VerbInclusion, police.ID()), q, 10*time.Second)
					if err != nil {
						b.Fatal(err)
					}
					if code := m.Header.Get("Nats-Service-Error-Code"); code == ledger.ServiceBusy {
						b.StopTimer()
						time.Sleep(100 * time.Millisecond)
						b.StartTimer()
						continue
					} else if code != "" {
						b.Fatal(code)
					}
					break
				}
			}
		})
	}
}

func decodeCheckpoint(raw []byte) (*ledger.Checkpoint, error) {
	a, err := ledger.DecodeCheckpointAnswer(raw)
	if err != nil {
		return nil, err
	}
	return ledger.ParseCheckpoint([]byte(a.Checkpoint))
}

func benchKeeper(b *testing.B) (*keeper, *sender, *sender) {
	b.Helper()
	br := brokertest.Start(b, brokertest.WithBroker(broker.WithoutNotary()), brokertest.WithConfig(func(c *broker.Config) {
		c.Quotas.PerPair, c.Quotas.StreamBytes, c.Quotas.LedgerBytes, c.Quotas.Disk = 10_000_000, 4<<30, 8<<30, 32<<30
	}))
	police := &sender{br.Join(b, "north-police", schemas.RolePolice), map[string]uint64{}}
	ngo := &sender{br.Join(b, "harbour-ngo", schemas.RoleNGO), map[string]uint64{}}
	bundle, err := network.ReadBundle(br.Authority.BrokerBundle())
	if err != nil {
		b.Fatal(err)
	}
	return &keeper{b: br, view: br.Authority.View(), key: bundle, now: time.Now, age: time.Hour, rcpt: time.Hour}, police, ngo
}

func (k *keeper) runBench(b *testing.B) *notary.Notary {
	b.Helper()
	n, err := notary.New(notary.Config{Conn: k.b.Admin, Root: k.b.Authority.Root(), Log: k.key.Log, View: func() *directory.View { return k.view },
		Interval: time.Second, Receipt: k.rcpt, MaxAge: k.age, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	b.Cleanup(func() { cancel(); <-done })
	return n
}

// size is how many records of mail there are.
func (k *keeper) size(b *testing.B) int64 {
	b.Helper()
	s, err := k.b.JetStream(b).Stream(b.Context(), notary.StreamLedger)
	if err != nil {
		b.Fatal(err)
	}
	return int64(s.CachedInfo().State.Msgs)
}

// fill writes a ledger of so many records as a notary would, from one message.
func (k *keeper) fill(b *testing.B, police, ngo *sender, records int) {
	b.Helper()
	js := k.b.JetStream(b)
	raw, m := police.message(b, ngo.ID(), schemas.LaneRoutine, nil)
	s, err := js.Stream(b.Context(), "KV_DIRECTORY")
	if err != nil {
		b.Fatal(err)
	}
	head, err := s.GetLastMsgForSubject(b.Context(), "$KV.DIRECTORY.head")
	if err != nil {
		b.Fatal(err)
	}
	var t ledger.Tree
	for t.Size() < int64(records) {
		msgs := make([]*nats.Msg, 0, 500)
		for len(msgs) < 500 {
			seq := uint64(t.Size()) + 1
			r, subject := ledger.Message(ledger.StreamRoutine, seq, time.Now(), m.Subject(), raw), "ledger.mail."+ngo.ID()+"."+police.ID()
			at := strconv.FormatUint(head.Sequence, 10) + " 0 " + strconv.FormatUint(seq, 10) + " 0"
			if t.Size() == 0 {
				r, subject = ledger.Message(ledger.StreamDirectory, head.Sequence, time.Now(), head.Subject, head.Data), "ledger.directory.head"
				at = strconv.FormatUint(head.Sequence, 10) + " 0 0 0"
			}
			line, err := r.Encode()
			if err != nil {
				b.Fatal(err)
			}
			msg := nats.NewMsg(subject)
			msg.Data = line
			msg.Header.Set(notary.HashesHeader, ledger.EncodeHashes(t.Append(ledger.Leaf(line))))
			msg.Header.Set(notary.PositionsHeader, at)
			msgs = append(msgs, msg)
		}
		if _, err := jetstreamext.PublishMsgBatch(b.Context(), js, msgs); err != nil {
			b.Fatal(err)
		}
	}
}
