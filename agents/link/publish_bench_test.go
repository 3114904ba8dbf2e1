package link_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"waypost/broker/brokertest"
	"waypost/schemas"
)

// BenchmarkPublish publishes messages as large as a referral, one by one and as one atomic batch, every acknowledgement synced: from
// how many on is a batch cheaper? Batches also make the file system's later work dearer: on ext4 every file that is made
// is looked for among the ones deleted within the last minutes.
func BenchmarkPublish(b *testing.B) {
	br := brokertest.Start(b)
	police := br.Join(b, "test-police", schemas.RolePolice)
	br.Join(b, "test-ngo", schemas.RoleNGO)
	br.Publish(b)
	js, err := jetstream.New(police.Connect(b))
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	batch := func(n int) []*nats.Msg {
		out := make([]*nats.Msg, n)
		for i := range out {
			out[i] = nats.NewMsg("mail.routine.test-ngo.test-police")
			out[i].Header.Set(jetstream.MsgIDHeader, schemas.NewMessageID())
			out[i].Data = make([]byte, 6300)
		}
		return out
	}
	purge := func() {
		stream, err := br.JetStream(b).Stream(ctx, "MAIL_ROUTINE")
		if err == nil {
			err = stream.Purge(ctx) // or the quota of the pair ends the benchmark
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	for _, n := range []int{1, 4, 8, 16, 32, 128, 512} {
		measure := func(name string, publish func([]*nats.Msg) error) {
			b.Run(fmt.Sprint(name, "/", n), func(b *testing.B) {
				for b.Loop() {
					if err := publish(batch(n)); err != nil {
						b.Fatal(err)
					}
					b.StopTimer()
					purge()
					b.StartTimer()
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/message")
			})
		}
		measure("one by one", func(msgs []*nats.Msg) error {
			for _, m := range msgs {
				if _, err := js.PublishMsg(ctx, m); err != nil {
					return err
				}
			}
			return nil
		})
		measure("batch", func(msgs []*nats.Msg) error {
			_, err := jetstreamext.PublishMsgBatch(ctx, js, msgs)
			return err
		})
	}
}
