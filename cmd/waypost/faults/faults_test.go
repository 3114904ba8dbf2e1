//go:build linux

package faults

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"waypost/broker"
	"waypost/broker/network"
	"waypost/schemas"
)

var (
	rounds = flag.Int("faults", 0, "how many rounds of faults; 0: the suite is skipped")
	seed   = flag.Uint64("seed", 0, "decides which faults; 0: by the clock, printed")
)

// strike is a fault: what it does, and how it is mended.
type strike struct {
	name string
	do   func()
	mend func()
}

// TestFaults is the fault suite; see the package's documentation.
func TestFaults(t *testing.T) {
	if *rounds == 0 {
		t.Skip("run with -faults N; .ci/run does")
	}
	s := *seed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d (repeat with -faults %d -seed %d)", s, *rounds, s)
	w := newWorld(t)
	for round := range *rounds {
		w.history.begin(round)
		random := rand.New(rand.NewPCG(s, uint64(round)))
		w.round(round, s, random)
		if t.Failed() {
			t.Fatalf("seed %d, round %d", s, round)
		}
	}
	w.history.begin(*rounds)
	w.emptied(s)
	w.urgentFirst()
}

// round strikes while everything flows, mends everything, and checks.
func (w *world) round(round int, seed uint64, random *rand.Rand) {
	w.t.Helper()
	stop := make(chan struct{})
	flowed := make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() { flowed <- w.flow(w.t.Context(), round, seed, stop) })
	for range 3 + random.IntN(4) {
		pause(nil, time.Duration(100+random.IntN(700))*time.Millisecond)
		var struck []strike
		for range 1 + random.IntN(2) {
			st := w.choose(random)
			w.history.fault("%s", st.name)
			st.do()
			struck = append(struck, st)
		}
		pause(nil, time.Duration(200+random.IntN(2500))*time.Millisecond)
		for _, st := range struck {
			st.mend()
			w.history.fault("mended: %s", st.name)
		}
	}
	close(stop)
	wg.Wait()
	if err := <-flowed; err != nil {
		w.t.Fatalf("%v\n%s", err, w.history.faults())
	}
	w.ready()
	w.check()
}

func (w *world) choose(random *rand.Rand) strike {
	node := w.brokers[random.IntN(len(w.brokers))]
	agent := w.agencies[random.IntN(len(w.agencies))]
	lines := append([]*proxy(nil), w.between...)
	for _, a := range w.agencies {
		lines = append(lines, a.lines...)
	}
	line := lines[random.IntN(len(lines))]
	switch random.IntN(10) {
	case 0:
		return strike{"kill " + node.name, node.kill, node.start}
	case 1, 2:
		return strike{"kill " + agent.name, agent.kill, agent.start}
	case 3:
		return strike{"stop " + node.name, func() { node.signal(syscall.SIGSTOP) }, func() { node.signal(syscall.SIGCONT) }}
	case 4:
		return strike{"stop " + agent.name, func() { agent.signal(syscall.SIGSTOP) }, func() { agent.signal(syscall.SIGCONT) }}
	case 5:
		f := []fault{drop, mute, delay, refuse}[random.IntN(4)]
		return strike{fmt.Sprintf("%v %s", f, line.name), func() { line.set(f) }, func() { line.set(pass) }}
	case 6: // an agency's whole connection, as when its office loses the Internet
		f := []fault{drop, mute, delay, refuse}[random.IntN(4)]
		all := func(f fault) func() {
			return func() {
				for _, l := range agent.lines {
					l.set(f)
				}
			}
		}
		return strike{fmt.Sprintf("%v all lines of %s", f, agent.name), all(f), all(pass)}
	case 7: // connections end in the middle and may come back at once
		return strike{"reset " + line.name, line.reset, func() {}}
	case 8:
		d := time.Duration(random.IntN(240)-120) * time.Second
		whose := agent.process
		if random.IntN(3) == 0 {
			whose = node // the ledger's time
		}
		return strike{fmt.Sprintf("clock of %s is wrong by %v", whose.name, d), func() { whose.skew(d) }, func() { whose.skew(0) }}
	default: // a full disk; whoever keeps the machine makes room and restarts a node, an agent goes on by itself
		if random.IntN(2) == 0 {
			return strike{"disk of " + node.name + " is full", func() { node.limit(1) }, func() { node.limit(0); node.kill(); node.start() }}
		}
		return strike{"disk of " + agent.name + " is full", func() { agent.limit(1) }, func() { agent.limit(0) }}
	}
}

// forgotten waits until the broker holds no request for mail of an agency that is gone. A cluster cannot see across accounts that
// whoever asked is gone: until the request ends, what comes goes there, and is offered again when nobody has acknowledged it
// for ten seconds. That is late for an urgent one, and says nothing about which lane goes first.
func (w *world) forgotten(a *agency) {
	w.t.Helper()
	bundle, err := network.ReadBundle(w.authority.BrokerBundle())
	w.must(err)
	w.until(time.Minute, "the broker has forgotten that "+a.id+" asked for mail", func(ctx context.Context) bool {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		ask, closeAsk, err := broker.Connect(strings.Join(w.urls, ","), "", bundle)
		if err != nil {
			return false
		}
		defer closeAsk()
		js, err := jetstream.New(ask.Conn)
		w.must(err)
		for _, lane := range schemas.Lanes() {
			c, err := js.Consumer(ctx, broker.Stream(lane), a.id)
			if err != nil || c.CachedInfo().NumWaiting > 0 {
				return false
			}
		}
		return true
	})
}

// urgentFirst lets routine referrals pile up for an agency that is away, and then urgent ones: when it is back, the urgent
// ones are not behind.
func (w *world) urgentFirst() {
	w.t.Helper()
	const routine, urgent = 300, 10
	to := w.agency("meadow-ngo")
	to.kill()
	w.forgotten(to)
	w.history.fault("%s is away", to.name)
	ids := map[string]bool{}
	for i := range routine + urgent {
		ref := fmt.Sprintf("away-%d", i)
		w.must(w.send(w.t.Context(), "north-police", to.id, ref, i >= routine))
	}
	all := w.history.all()
	for _, m := range all[len(all)-urgent:] {
		ids[m.id] = true
	}
	last := all[len(all)-1]
	w.until(settleWithin, "the last one is published", func(ctx context.Context) bool {
		d, err := w.agency(last.from).client.Message(ctx, last.id)
		return err == nil && d.State == "published"
	})
	to.start()
	w.ready()
	w.check()
	// The folder's times say when the agency's own system got each.
	before := 0
	var latest time.Time
	for id := range ids {
		info, err := os.Stat(to.sink + "/" + id + ".json")
		w.must(err)
		if info.ModTime().After(latest) {
			latest = info.ModTime()
		}
	}
	for _, m := range all[len(all)-urgent-routine : len(all)-urgent] {
		info, err := os.Stat(to.sink + "/" + m.id + ".json")
		w.must(err)
		if info.ModTime().Before(latest) {
			before++
		}
	}
	w.t.Logf("%d of %d routine referrals were handed over before the last of %d urgent ones", before, routine, urgent)
	if before > routine/2 {
		w.t.Errorf("urgent referrals were handed over behind %d of %d routine ones that waited", before, routine)
	}
}
