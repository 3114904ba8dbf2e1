package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/mod/sumdb/note"

	"waypost/broker/network"
	"waypost/broker/notary"
	"waypost/schemas"
	"waypost/schemas/directory"
)

// Status is how a broker, or a cluster of them, is doing. It names agencies, which the directory does too, and nobody else.
type Status struct {
	At        time.Time      `json:"at"`
	Nodes     []NodeStatus   `json:"nodes"`
	Streams   []StreamStatus `json:"streams"`
	Ledger    *notary.State  `json:"ledger,omitempty"`
	Directory *HeadStatus    `json:"directory,omitempty"`
	Agencies  []AgencyStatus `json:"agencies"`
	// Problems are what a person should look at, each one sentence.
	Problems []string `json:"problems,omitempty"`
}

// StreamStatus is one stream and its copies.
type StreamStatus struct {
	Name     string          `json:"name"`
	Messages uint64          `json:"messages"`
	Bytes    uint64          `json:"bytes"`
	MaxBytes int64           `json:"max_bytes"`
	Leader   string          `json:"leader,omitempty"` // node; empty without a cluster or without a majority
	Replicas []ReplicaStatus `json:"replicas,omitempty"`
}

// ReplicaStatus is a copy of a stream on a node that does not lead it.
type ReplicaStatus struct {
	Node    string `json:"node"`
	Current bool   `json:"current"`
	Offline bool   `json:"offline"`
	Lag     uint64 `json:"lag"` // operations
}

// HeadStatus is the directory's signed head.
type HeadStatus struct {
	Version uint64    `json:"version"`
	Expires time.Time `json:"expires"`
}

// AgencyStatus is what waits for an agency and whether its agent is there.
type AgencyStatus struct {
	ID          string                  `json:"id"`
	Suspended   bool                    `json:"suspended,omitempty"`
	Connections int                     `json:"connections"`
	Waiting     map[schemas.Lane]uint64 `json:"waiting"`   // stored for it and not yet collected
	Unsettled   map[schemas.Lane]int    `json:"unsettled"` // collected and not yet acknowledged
	// Oldest is when the first of these was stored; not of receipts, and not of more than oldestMost queues.
	Oldest map[schemas.Lane]time.Time `json:"oldest,omitempty"`
}

// answerWithin is how long one part of a status is waited for.
const answerWithin = 4 * time.Second

// Asking is a way to ask for a status.
type Asking struct {
	Conn   *nats.Conn // with the broker's rights
	System *nats.Conn // with the monitor's rights in the system account; nil: nodes stay unknown
	Root   note.Verifier
	Now    func() time.Time
}

// Connect opens the connections for ReadStatus with what a broker's bundle holds.
func Connect(url, ca string, bundle *network.Bundle) (*Asking, func(), error) {
	root, err := note.NewVerifier(bundle.Root)
	if err != nil {
		return nil, nil, fmt.Errorf("read root key: %w", err)
	}
	dial := func(creds, inbox string) (*nats.Conn, error) {
		o := []nats.Option{nats.UserCredentials(creds), nats.CustomInboxPrefix("_INBOX_" + inbox), nats.Name("waypost status"), nats.NoReconnect(), nats.Timeout(5 * time.Second)}
		if ca != "" {
			o = append(o, nats.RootCAs(ca))
		}
		return nats.Connect(url, o...)
	}
	a := &Asking{Root: root, Now: time.Now}
	if a.Conn, err = dial(bundle.Credentials, "broker"); err != nil {
		return nil, nil, fmt.Errorf("connect to broker: %w", err)
	}
	if a.System, err = dial(bundle.Monitor, "monitor"); err != nil {
		a.Conn.Close()
		return nil, nil, fmt.Errorf("connect to broker's system account: %w", err)
	}
	return a, func() { a.Conn.Close(); a.System.Close() }, nil
}

// ConnectRestorer connects with the restorer's credentials, which are the administrators' (keys/restorer.creds of the
// network's folder), not the broker's.
func ConnectRestorer(url, ca, creds string) (*nats.Conn, error) {
	o := []nats.Option{nats.UserCredentials(creds), nats.CustomInboxPrefix("_INBOX_restorer"), nats.Name("waypost restore"), nats.NoReconnect(), nats.Timeout(5 * time.Second)}
	if ca != "" {
		o = append(o, nats.RootCAs(ca))
	}
	nc, err := nats.Connect(url, o...)
	if err != nil {
		return nil, fmt.Errorf("connect to broker: %w", err)
	}
	return nc, nil
}

// ReadStatus asks everybody who is there. What cannot be learned is a problem in the status, not an error: half an answer
// is worth most when something is broken. The error says that nothing answered at all.
func (a *Asking) ReadStatus(ctx context.Context) (*Status, error) {
	st := &Status{At: a.Now().UTC().Truncate(time.Millisecond), Agencies: []AgencyStatus{}}
	js, err := jetstream.New(a.Conn)
	if err != nil {
		return nil, fmt.Errorf("read status: %w", err)
	}
	present := map[string]int{}
	if a.System != nil {
		if st.Nodes, err = a.nodes(ctx); err != nil {
			st.problem("the nodes do not answer: %v", err)
		}
		if present, err = a.connections(ctx); err != nil {
			st.problem("who is connected is not known: %v", err)
		}
	}
	names := []string{StreamUrgent, StreamRoutine, StreamReceipt, "KV_" + Bucket, notary.StreamLedger, notary.StreamCheckpoints}
	silent := 0
	for _, name := range names {
		// A stream without a leader never answers; the others are still worth hearing.
		ask, cancel := context.WithTimeout(ctx, answerWithin)
		s, err := js.Stream(ask, name)
		cancel()
		if err != nil {
			silent++
			st.problem("stream %s does not answer: %v", name, err)
			continue
		}
		st.Streams = append(st.Streams, streamStatus(s.CachedInfo()))
	}
	if silent == len(names) && len(st.Nodes) == 0 {
		return nil, errors.New("read status: nothing answers")
	}
	ask, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	if st.Ledger, err = notary.ReadState(ask, js); err != nil {
		st.problem("the ledger's state is not known: %v", err)
	}
	view, err := readDirectory(ctx, js, a.Root)
	if err != nil {
		st.problem("the directory cannot be read: %v", err)
	} else {
		h := view.Head()
		st.Directory = &HeadStatus{Version: h.Version, Expires: h.Expires}
		if st.Agencies, err = agencyStatus(ctx, js, view, present); err != nil {
			st.problem("what waits for whom is not known: %v", err)
		}
	}
	st.judge()
	return st, nil
}

func (st *Status) problem(format string, args ...any) {
	st.Problems = append(st.Problems, fmt.Sprintf(format, args...))
}

func streamStatus(info *jetstream.StreamInfo) StreamStatus {
	s := StreamStatus{Name: info.Config.Name, Messages: info.State.Msgs, Bytes: info.State.Bytes, MaxBytes: info.Config.MaxBytes}
	if info.Cluster == nil || info.Config.Replicas < 2 {
		return s
	}
	s.Leader = info.Cluster.Leader
	for _, r := range info.Cluster.Replicas {
		s.Replicas = append(s.Replicas, ReplicaStatus{Node: r.Name, Current: r.Current, Offline: r.Offline, Lag: r.Lag})
	}
	slices.SortFunc(s.Replicas, func(a, b ReplicaStatus) int { return strings.Compare(a.Node, b.Node) })
	return s
}

// readDirectory reads the bucket whole and verifies it.
func readDirectory(ctx context.Context, js jetstream.JetStream, root note.Verifier) (*directory.View, error) {
	kv, err := js.KeyValue(ctx, Bucket)
	if err != nil {
		return nil, err
	}
	w, err := kv.WatchAll(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = w.Stop() }()
	entries := map[string][]byte{}
	for {
		select {
		case e, ok := <-w.Updates():
			switch {
			case !ok:
				return nil, errors.New("updates ended")
			case e == nil:
				head, ok := entries[directory.HeadKey]
				if !ok {
					return nil, errors.New("nothing has been published yet")
				}
				return directory.Open(root, head, noteEntries(entries), 0)
			case e.Operation() == jetstream.KeyValuePut:
				entries[e.Key()] = e.Value()
			default:
				delete(entries, e.Key())
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// noteEntries are the entries that the head speaks of.
func noteEntries(entries map[string][]byte) map[string][]byte {
	out := make(map[string][]byte, len(entries))
	for key, value := range entries {
		if key == directory.LogKey || strings.HasPrefix(key, "agency.") || strings.HasPrefix(key, "agreement.") {
			out[key] = value
		}
	}
	return out
}

func agencyStatus(ctx context.Context, js jetstream.JetStream, view *directory.View, present map[string]int) ([]AgencyStatus, error) {
	out := []AgencyStatus{}
	at := map[string]int{}
	for _, a := range view.Agencies() {
		at[a.ID] = len(out)
		out = append(out, AgencyStatus{ID: a.ID, Suspended: a.State == directory.StateSuspended, Connections: present[a.ID], Waiting: map[schemas.Lane]uint64{}, Unsettled: map[schemas.Lane]int{}})
	}
	for _, l := range schemas.Lanes() {
		s, err := js.Stream(ctx, Stream(l))
		if err != nil {
			return out, err
		}
		list := s.ListConsumers(ctx)
		var queues []queue
		for c := range list.Info() {
			if i, ok := at[c.Name]; ok {
				out[i].Waiting[l], out[i].Unsettled[l] = c.NumPending, c.NumAckPending
				if c.NumPending > 0 || c.NumAckPending > 0 {
					queues = append(queues, queue{&out[i], c.Config.FilterSubject, c.AckFloor.Stream})
				}
			}
		}
		if err := list.Err(); err != nil {
			return out, err
		}
		if l == schemas.LaneReceipt {
			continue
		}
		if err := oldest(ctx, s, l, queues); err != nil {
			return out, err
		}
	}
	return out, nil
}
