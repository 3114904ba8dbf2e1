//go:build linux

package faults

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"waypost/broker"
	"waypost/broker/network"
)

// emptied deletes the whole folder of one node while everything flows, as when its disk is replaced. The node gets everything
// back from the other two: then one of those goes, and what the cluster holds rests on the node that was empty.
func (w *world) emptied(seed uint64) {
	w.t.Helper()
	w.copies()
	stop := make(chan struct{})
	flowed := make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() { flowed <- w.flow(w.t.Context(), *rounds, seed, stop) })
	at := int(seed % nodes)
	gone, other := w.brokers[at], w.brokers[(at+1)%nodes]
	w.history.fault("the folder of %s is deleted", gone.name)
	gone.kill()
	w.must(os.RemoveAll(filepath.Join(w.dir, fmt.Sprintf("data-%d", at))))
	gone.start()
	const meanwhile = 20 // so that some is written while the node catches up
	before := len(w.history.all())
	w.until(settleWithin, "the other two take more", func(context.Context) bool {
		return len(flowed) > 0 || len(w.history.all()) >= before+meanwhile
	})
	close(stop)
	wg.Wait()
	if err := <-flowed; err != nil {
		w.t.Fatalf("%v\n%s", err, w.history.faults())
	}
	w.copies()
	w.history.fault("%s has everything again; kill %s", gone.name, other.name)
	other.kill()
	for i, r := range routes {
		w.must(w.send(w.t.Context(), r[0], r[1], fmt.Sprintf("emptied-%d", i), i == 0))
	}
	w.ready()
	w.check()
	other.start()
	w.copies()
}

// copies waits until every node is up and has all of every stream.
func (w *world) copies() {
	w.t.Helper()
	bundle, err := network.ReadBundle(w.authority.BrokerBundle())
	w.must(err)
	last := ""
	defer func() {
		if w.t.Failed() {
			w.t.Log("copies of streams: " + last)
		}
	}()
	w.until(settleWithin, "every node has a copy of every stream", func(ctx context.Context) bool {
		whole, text := copied(ctx, strings.Join(w.urls, ","), bundle)
		if ctx.Err() == nil { // what is said because the time is up says nothing
			last = text
		}
		return whole
	})
}

func copied(ctx context.Context, urls string, bundle *network.Bundle) (bool, string) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second) // an answer can be lost with the node that was asked
	defer cancel()
	ask, closeAsk, err := broker.Connect(urls, "", bundle)
	if err != nil {
		return false, err.Error()
	}
	defer closeAsk()
	st, err := ask.ReadStatus(ctx)
	if err != nil {
		return false, err.Error()
	}
	if len(st.Streams) == 0 {
		return false, "no stream"
	}
	for _, s := range st.Streams {
		if s.Leader == "" || len(s.Replicas) != nodes-1 {
			return false, fmt.Sprintf("%s: leader %q, %d replicas", s.Name, s.Leader, len(s.Replicas))
		}
		for _, r := range s.Replicas {
			if r.Offline || !r.Current || r.Lag > 0 {
				return false, fmt.Sprintf("%s on %s: %+v", s.Name, r.Node, r)
			}
		}
	}
	return true, ""
}
