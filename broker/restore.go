package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"waypost/broker/network"
	"waypost/broker/notary"
)

// Restored is what a restored broker begins with.
type Restored struct {
	Manifest *Manifest
	Records  uint64 // in the ledger
	Root     string // the ledger's root hash, base64: what administrators sign with `waypost network restored`
}

// Restore makes the streams of a running broker from the backup in dir. conn needs the restorer's rights. The backup is
// verified first, and nothing is changed if it does not hold.
//
// A broker that holds nothing has its streams nevertheless, which it makes when it starts, and agents fill them within
// seconds. So a broker that is to be restored is best started with `waypost broker run --restore`: it then makes none and
// waits, and agents keep everything in their outboxes. Streams that are there are deleted if all are empty, and refused
// otherwise: what is in them would be lost, or would take numbers that the backup gave to other messages.
//
// The ledger comes last. Without it no notary can begin, so none begins on half of the streams; and when it is there, the
// notary records what the mail streams hold beyond it. An interrupted restore is taken up where it ended by a second one.
// In a cluster, any node takes the request.
func Restore(ctx context.Context, conn *nats.Conn, dir string, root string, replicas int) (*Restored, error) {
	m, err := VerifyBackup(dir)
	if err != nil {
		return nil, err
	}
	if m.Root != root {
		return nil, &network.Hinted{Err: fmt.Errorf("restore %s: it is of another network, %q", dir, m.Network), Advice: "use the bundle and the credentials of the network that the backup is of"}
	}
	if n := m.Streams[0].Replicas(); n > replicas {
		return nil, &network.Hinted{Err: fmt.Errorf("restore %s: it is of a broker with %d copies of everything, this one keeps %d", dir, n, replicas),
			Advice: "restore it into a cluster of as many nodes"}
	}
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	done, err := makeRoom(ctx, js, m)
	if err != nil {
		return nil, err
	}
	order := slices.Clone(m.Streams)
	slices.Reverse(order) // KV_DIRECTORY first, …
	ledger := slices.IndexFunc(order, func(s BackupStream) bool { return s.Name == notary.StreamLedger })
	order = append(slices.Delete(slices.Clone(order), ledger, ledger+1), order[ledger])
	for _, s := range order {
		if done[s.Name] {
			continue
		}
		if err := sendSnapshot(ctx, conn, dir, &s, replicas); err != nil {
			return nil, &network.Hinted{Err: err, Advice: "repeat it: streams that are complete are kept, and the broker does not begin before all are"}
		}
		if err := arrived(ctx, js, &s); err != nil {
			return nil, err
		}
	}
	r := &Restored{Manifest: m}
	err = patiently(ctx, func(ctx context.Context) error {
		r.Records, r.Root, err = notary.ReadRoot(ctx, js, manifestRecords(m))
		return err
	})
	if err != nil {
		return nil, &network.Hinted{Err: err, Advice: "everything has been restored, only the ledger's root could not be read back: `waypost audit verify` shows it"}
	}
	return r, nil
}

// patiently asks until there is an answer: a cluster in which a stream has just appeared has nobody yet who answers for it, or
// loses the question with the node that was to answer.
func patiently(ctx context.Context, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	for {
		once, stop := context.WithTimeout(ctx, silence/3)
		err := ask(once)
		stop()
		if err == nil {
			return nil
		}
		select {
		case <-time.After(leaderEvery):
		case <-ctx.Done():
			return err
		}
	}
}

func manifestRecords(m *Manifest) uint64 {
	for _, s := range m.Streams {
		if s.Name == notary.StreamLedger {
			_, last := s.Counts()
			return last
		}
	}
	return 0
}

// makeRoom looks at what is there. It returns the streams that an interrupted restore has made, and deletes the empty ones
// of a broker that has just started, the ledger's first: a notary cannot append to what is gone. Positions go with them.
func makeRoom(ctx context.Context, js jetstream.JetStream, m *Manifest) (done map[string]bool, err error) {
	done = map[string]bool{}
	var empty []string
	started, foreign := false, false
	for _, s := range m.Streams {
		have, err := lookAt(ctx, js, s.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look at stream %s: %w", s.Name, err)
		}
		started = started || s.Name == notary.StreamLedger
		_, last := s.Counts()
		switch at := have.CachedInfo().State.LastSeq; {
		case at == 0, s.Name == streamPositions: // an interrupted restore may have been of another backup, whose numbers are of other mail
			empty = append(empty, s.Name)
		case at >= last && last > 0:
			done[s.Name] = true
		default:
			foreign = true
		}
	}
	// Without a ledger, streams that hold what the backup holds are those of a restore that was interrupted. With one, they
	// are somebody's.
	if foreign || started && len(done) > 0 {
		return nil, &network.Hinted{Err: errors.New("restore: this broker holds messages; nothing was changed"),
			Advice: "stop the broker, move its data folder away, start it with `waypost broker run --restore`, and repeat this"}
	}
	if i := slices.Index(empty, notary.StreamLedger); i > 0 {
		empty[0], empty[i] = empty[i], empty[0]
	}
	for _, name := range empty {
		if err := js.DeleteStream(ctx, name); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil, fmt.Errorf("delete empty stream %s: %w", name, err)
		}
	}
	return done, nil
}

// lookAt looks for a stream. It waits for a cluster that is still electing.
func lookAt(ctx context.Context, js jetstream.JetStream, name string) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	for {
		ask, stop := context.WithTimeout(ctx, 2*time.Second)
		s, err := js.Stream(ask, name)
		stop()
		if err == nil || errors.Is(err, jetstream.ErrStreamNotFound) {
			return s, err
		}
		if last := js.Conn().LastError(); errors.Is(last, nats.ErrPermissionViolation) {
			return nil, &network.Hinted{Err: errors.New("restore: these credentials may not"), Advice: "use keys/restorer.creds of the network's folder"}
		}
		select {
		case <-time.After(leaderEvery):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// arrived waits until a restored stream answers, in a cluster from its leader, and holds what the backup does.
func arrived(ctx context.Context, js jetstream.JetStream, s *BackupStream) error {
	_, last := s.Counts()
	err := patiently(ctx, func(ctx context.Context) error {
		have, err := js.Stream(ctx, s.Name)
		if err != nil {
			return err
		}
		if at := have.CachedInfo().State.LastSeq; at < last {
			return fmt.Errorf("it ends at number %d, the backup at %d", at, last)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("restore %s: %w", s.Name, err)
	}
	return nil
}

// awaitRestore returns when the ledger's stream is there: `waypost broker restore` makes it last.
func (b *Broker) awaitRestore(ctx context.Context, nc *nats.Conn, stopped <-chan struct{}) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("wait for restore: %w", err)
	}
	said := false
	for {
		ask, cancel := context.WithTimeout(ctx, time.Second)
		_, err := js.Stream(ask, notary.StreamLedger)
		cancel()
		if err == nil {
			if said {
				b.log.InfoContext(ctx, "the streams are restored")
			}
			return nil
		}
		if !said {
			said = true
			b.log.WarnContext(ctx, "waiting for `waypost broker restore`; until then nothing is carried, and agents keep what they have", "url", b.URL())
			close(b.waiting)
		}
		select {
		case <-time.After(leaderEvery):
		case <-stopped:
			return errors.New("run broker: NATS stopped by itself")
		case <-ctx.Done():
			return nil
		}
	}
}
