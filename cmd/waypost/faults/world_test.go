//go:build linux

package faults

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"waypost/agents"
	"waypost/agents/api"
	"waypost/agents/store"
	"waypost/broker/brokertest"
	"waypost/broker/network"
	"waypost/schemas"
	"waypost/schemas/directory"
)

const nodes = 3

// world is a network of processes.
type world struct {
	t         *testing.T
	dir       string
	authority *network.Authority
	urls      []string // of the nodes themselves, past the proxies
	brokers   []*process
	agencies  []*agency
	between   []*proxy // of the nodes to each other
	history   *history
}

// agency has one agent in a process.
type agency struct {
	*process
	id, sink string
	client   *api.Client
	lines    []*proxy // to each node
}

// routes is who refers to whom.
var routes = [][2]string{{"north-police", "harbour-ngo"}, {"harbour-ngo", "lantern-housing"}, {"north-police", "lantern-housing"}, {"north-police", "meadow-ngo"}}

var roles = []struct {
	id   string
	role schemas.Role
}{{"north-police", schemas.RolePolice}, {"harbour-ngo", schemas.RoleNGO}, {"lantern-housing", schemas.RoleSupportProvider}, {"meadow-ngo", schemas.RoleNGO}}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), history: &history{}}
	clients, cluster := brokertest.Ports(t, nodes), brokertest.Ports(t, nodes)
	for _, c := range clients {
		w.urls = append(w.urls, "nats://"+c)
	}
	var err error
	if w.authority, err = network.Init(filepath.Join(w.dir, "network"), network.Options{Name: "Faults", URLs: w.urls}); err != nil {
		t.Fatal(err)
	}
	cert, key, ca := brokertest.Certificates(t, w.dir)
	for i := range nodes {
		var others []string
		for j := range nodes {
			if j != i {
				p := newProxy(t, fmt.Sprintf("node-%d to node-%d", i, j), cluster[j])
				w.between = append(w.between, p)
				others = append(others, fmt.Sprintf("%q", p.addr()))
			}
		}
		config := filepath.Join(w.dir, fmt.Sprintf("node-%d.yaml", i))
		w.write(config, fmt.Sprintf("listen: %s\ndata: data-%d\nbundle: %s\nledger: {interval: 500ms}\nquotas: {stream_bytes: 256MiB, ledger_bytes: 256MiB, disk: 2GiB}\n"+
			"cluster:\n  node: node-%d\n  listen: %s\n  routes: [%s]\n  tls: {cert: %s, key: %s, ca: %s}\n",
			clients[i], i, w.authority.BrokerBundle(), i, cluster[i], strings.Join(others, ", "), cert, key, ca))
		w.brokers = append(w.brokers, newProcess(t, w.dir, "broker", fmt.Sprintf("node-%d", i), config))
	}
	for _, b := range w.brokers {
		b.start()
	}
	apis := brokertest.Ports(t, len(roles))
	for i, r := range roles {
		w.join(r.id, r.role, apis[i], clients)
	}
	for _, r := range routes {
		g := directory.Agreement{ID: schemas.NewThreadID(), From: r[0], To: r[1], Kinds: []schemas.Kind{schemas.KindReferral}, Purposes: schemas.Purposes(), Categories: schemas.AllCategories(), Starts: time.Now().Add(-time.Hour)}
		if err := w.authority.AddAgreement(g); err != nil {
			t.Fatal(err)
		}
	}
	w.until(2*time.Minute, "the directory is published", func(ctx context.Context) bool {
		return w.authority.Publish(ctx, strings.Join(w.urls, ",")) == nil
	})
	for _, a := range w.agencies {
		a.start()
	}
	w.ready()
	return w
}

func (w *world) join(id string, role schemas.Role, listen string, clients []string) {
	w.t.Helper()
	dir := filepath.Join(w.dir, id)
	made, err := agents.Init(dir, agents.InitOptions{Agency: id, Name: id})
	w.must(err)
	text, err := os.ReadFile(made.RequestFile)
	w.must(err)
	req, err := directory.ParseRequest(text)
	w.must(err)
	g, err := w.authority.Enrol(req, role, network.EnrolOptions{})
	w.must(err)
	grant, err := g.Encode()
	w.must(err)
	_, err = agents.Join(dir, grant, nil)
	w.must(err)
	a := &agency{id: id, sink: filepath.Join(dir, "intake"), client: api.NewClient("http://"+listen, "token-of-"+id)}
	var brokers []string
	for i, c := range clients {
		p := newProxy(w.t, fmt.Sprintf("%s to node-%d", id, i), c)
		a.lines = append(a.lines, p)
		brokers = append(brokers, fmt.Sprintf("%q", "nats://"+p.addr()))
	}
	w.write(made.ConfigFile, fmt.Sprintf("agency: %s\nbrokers: [%s]\napi: {listen: %q}\nsinks:\n  - name: intake\n    folder: {dir: %q}\nroutes:\n  - when: 'event == \"waypost.message.received\"'\n    sinks: [intake]\n",
		id, strings.Join(brokers, ", "), listen, a.sink))
	w.must(os.MkdirAll(filepath.Join(dir, "data"), 0o700))
	st, err := store.Open(filepath.Join(dir, "data", agents.StoreFile))
	w.must(err)
	w.must(st.Update(w.t.Context(), func(tx *store.Tx) error {
		return tx.AddToken("test", "token-of-"+id, []string{"send", "respond", "read", "admin"}, time.Now())
	}))
	w.must(st.Close())
	a.process = newProcess(w.t, w.dir, "agent", id, made.ConfigFile)
	w.agencies = append(w.agencies, a)
}

func (w *world) agency(id string) *agency {
	for _, a := range w.agencies {
		if a.id == id {
			return a
		}
	}
	panic("no agency " + id)
}

// ready waits until every agent is connected and has the directory.
func (w *world) ready() {
	w.t.Helper()
	for _, a := range w.agencies {
		w.until(2*time.Minute, a.id+" is ready", func(ctx context.Context) bool {
			st, err := a.client.Status(ctx)
			return err == nil && st.Connected && st.DirectoryVersion > 0
		})
	}
}

// until polls another process: nothing signals its progress.
func (w *world) until(most time.Duration, what string, f func(context.Context) bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), most)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !f(ctx) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			w.t.Fatalf("not in %v: %s\n%s", most, what, w.history.faults())
		}
	}
}

func (w *world) write(path, text string) {
	w.t.Helper()
	w.must(os.WriteFile(path, []byte(text), 0o600))
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}
