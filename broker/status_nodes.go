package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// NodeStatus is one server.
type NodeStatus struct {
	Name        string        `json:"name"`
	Version     string        `json:"version"`
	Up          bool          `json:"up"`
	Leads       bool          `json:"leads,omitempty"` // decides which node keeps what
	Uptime      time.Duration `json:"uptime_ns,omitempty"`
	Memory      int64         `json:"memory_bytes,omitempty"`
	Disk        uint64        `json:"disk_bytes,omitempty"` // that streams take
	Connections int           `json:"connections"`
	SyncAlways  bool          `json:"sync_always"`
	// Lag is how many decisions of the cluster this node has not made its own yet.
	Lag uint64 `json:"lag,omitempty"`
}

// quiet ends the collection of answers: nodes answer within milliseconds, and how many there are is not known beforehand.
const quiet = 300 * time.Millisecond

// ping asks all servers at once.
func (a *Asking) ping(ctx context.Context, what string, request []byte, each func(server string, data json.RawMessage) error) error {
	inbox := a.System.NewRespInbox()
	sub, err := a.System.SubscribeSync(inbox)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := a.System.PublishRequest("$SYS.REQ.SERVER.PING."+what, inbox, request); err != nil {
		return err
	}
	limit := 3 * time.Second // for the first one
	for n := 0; ; n++ {
		wait, cancel := context.WithTimeout(ctx, limit)
		m, err := sub.NextMsgWithContext(wait)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) && n > 0 {
			return nil
		}
		if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, context.DeadlineExceeded) {
			return errors.New("no server answers")
		}
		if err != nil {
			return err
		}
		limit = quiet
		var answer struct {
			Server struct {
				Name string `json:"name"`
				Ver  string `json:"ver"`
			} `json:"server"`
			Data json.RawMessage `json:"data"`
		}
		if err := json.Unmarshal(m.Data, &answer); err != nil {
			return fmt.Errorf("read answer: %w", err)
		}
		if err := each(answer.Server.Name, answer.Data); err != nil {
			return err
		}
	}
}

func (a *Asking) nodes(ctx context.Context) ([]NodeStatus, error) {
	nodes := map[string]*NodeStatus{}
	node := func(name string) *NodeStatus {
		if nodes[name] == nil {
			nodes[name] = &NodeStatus{Name: name}
		}
		return nodes[name]
	}
	err := a.ping(ctx, "VARZ", nil, func(server string, data json.RawMessage) error {
		var v struct {
			Version     string    `json:"version"`
			Mem         int64     `json:"mem"`
			Connections int       `json:"connections"`
			Start       time.Time `json:"start"`
			Now         time.Time `json:"now"`
		}
		if err := json.Unmarshal(data, &v); err != nil {
			return err
		}
		n := node(server)
		n.Up, n.Version, n.Memory, n.Connections, n.Uptime = true, v.Version, v.Mem, v.Connections, v.Now.Sub(v.Start)
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = a.ping(ctx, "JSZ", nil, func(server string, data json.RawMessage) error {
		var j struct {
			Store  uint64 `json:"storage"`
			Config struct {
				SyncAlways bool `json:"sync_always"`
			} `json:"config"`
			Meta *struct {
				Leader   string `json:"leader"`
				Replicas []struct {
					Name    string `json:"name"`
					Offline bool   `json:"offline"`
					Lag     uint64 `json:"lag"`
				} `json:"replicas"`
			} `json:"meta_cluster"`
		}
		if err := json.Unmarshal(data, &j); err != nil {
			return err
		}
		n := node(server)
		n.Disk, n.SyncAlways = j.Store, j.Config.SyncAlways
		if j.Meta == nil {
			return nil
		}
		n.Leads = j.Meta.Leader == server
		if n.Leads { // only it knows how far the others are, and who is missing
			for _, r := range j.Meta.Replicas {
				node(r.Name).Lag = r.Lag
			}
		}
		return nil
	})
	out := []NodeStatus{}
	for _, n := range nodes {
		out = append(out, *n)
	}
	slices.SortFunc(out, func(a, b NodeStatus) int { return strings.Compare(a.Name, b.Name) })
	return out, err
}

// connections counts connections by the name in the user's claims, which for agencies is their id and no choice of theirs.
func (a *Asking) connections(ctx context.Context) (map[string]int, error) {
	out := map[string]int{}
	err := a.ping(ctx, "CONNZ", []byte(`{"auth":true,"limit":100000}`), func(_ string, data json.RawMessage) error {
		var c struct {
			Conns []struct {
				Name string `json:"name_tag"`
			} `json:"connections"`
		}
		if err := json.Unmarshal(data, &c); err != nil {
			return err
		}
		for _, x := range c.Conns {
			out[x.Name]++
		}
		return nil
	})
	return out, err
}

// judge says what a person should look at.
func (st *Status) judge() {
	for _, n := range st.Nodes {
		switch {
		case !n.Up:
			st.problem("node %s does not answer", n.Name)
		case !n.SyncAlways:
			st.problem("node %s acknowledges before it has synced: set sync_interval to always", n.Name)
		}
	}
	for _, s := range st.Streams {
		if s.MaxBytes > 0 && s.Bytes > uint64(s.MaxBytes)*8/10 {
			st.problem("stream %s is more than four fifths full", s.Name)
		}
		if len(s.Replicas) > 0 && s.Leader == "" {
			st.problem("stream %s has no leader: nothing can be stored in it until the larger part of the nodes is up", s.Name)
		}
		for _, r := range s.Replicas {
			if r.Offline || !r.Current {
				st.problem("stream %s: the copy on node %s is behind", s.Name, r.Node)
			}
		}
	}
	if st.Directory != nil && !st.At.Before(st.Directory.Expires) {
		st.problem("the directory has expired: run `waypost network sign` and `waypost network publish`")
	}
	if st.Ledger != nil && st.Ledger.Behind > 0 && st.At.Sub(st.Ledger.Recorded) > time.Minute {
		st.problem("the ledger is behind by %d: is no notary running?", st.Ledger.Behind)
	}
}
