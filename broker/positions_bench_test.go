package broker_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"waypost/broker"
	"waypost/broker/brokertest"
)

// BenchmarkConsumerState is a message that is published, collected and acknowledged, spread over a hundred agencies: with what
// the server keeps of each consumer in a file, which is synced some times a second, and in memory.
func BenchmarkConsumerState(b *testing.B) {
	const agencies = 100
	for _, memory := range []bool{false, true} {
		b.Run(map[bool]string{false: "file", true: "memory"}[memory], func(b *testing.B) {
			run := brokertest.Start(b, brokertest.WithConfig(func(c *broker.Config) { c.Quotas.PerPair = 1 << 20 }))
			js := run.JetStream(b)
			consumers := make([]jetstream.Consumer, agencies)
			for i := range consumers {
				var err error
				consumers[i], err = js.CreateConsumer(b.Context(), broker.StreamRoutine, jetstream.ConsumerConfig{Durable: fmt.Sprintf("bench-%d", i),
					FilterSubject: fmt.Sprintf("mail.routine.bench-%d.*", i), AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 1024, MemoryStorage: memory})
				if err != nil {
					b.Fatal(err)
				}
			}
			body := make([]byte, 6<<10)
			b.ResetTimer()
			var wg sync.WaitGroup
			for i, c := range consumers {
				n := b.N / agencies
				if i < b.N%agencies {
					n++
				}
				wg.Go(func() {
					for left := n; left > 0; {
						got, err := c.Fetch(min(left, 64), jetstream.FetchMaxWait(5*time.Second))
						if err != nil {
							b.Error(err)
							return
						}
						for m := range got.Messages() {
							if err := m.Ack(); err != nil {
								b.Error(err)
								return
							}
							left--
						}
					}
				})
			}
			for i := range b.N {
				if _, err := js.PublishAsync(fmt.Sprintf("mail.routine.bench-%d.bench", i%agencies), body, jetstream.WithStallWait(time.Minute)); err != nil {
					b.Fatal(err)
				}
			}
			wg.Wait()
		})
	}
}
