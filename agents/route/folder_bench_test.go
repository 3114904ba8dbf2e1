package route_test

import (
	"context"
	"fmt"
	"testing"

	"waypost/agents/route"
	"waypost/agents/route/routetest"
)

// BenchmarkFolder hands over 64 documents, one by one and as one batch.
func BenchmarkFolder(b *testing.B) {
	const many = 64
	sink, err := route.NewFolder(route.FolderConfig{Name: "intake", Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	ds := make([]*route.Delivery, many)
	for i := range ds {
		ds[i] = routetest.Delivery(fmt.Sprint("id-", i), "content")
	}
	perDocument := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*many), "µs/document")
	}
	b.Run("one by one", func(b *testing.B) {
		for b.Loop() {
			for _, d := range ds {
				if err := sink.Deliver(context.Background(), d); err != nil {
					b.Fatal(err)
				}
			}
		}
		perDocument(b)
	})
	b.Run("batch", func(b *testing.B) {
		for b.Loop() {
			if n, err := sink.(route.BatchSink).DeliverAll(context.Background(), ds, route.ReleaseAll); n != many || err != nil {
				b.Fatal(n, err)
			}
		}
		perDocument(b)
	})
}
