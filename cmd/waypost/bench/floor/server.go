package floor

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Floor is a plain NATS server with two streams and the keys of some agencies. Close it.
type Floor struct {
	dir   string
	sizes Sizes
	pairs []*pair

	server *server.Server

	plain, certificate []byte
}

// pair is one agency that sends to one other.
type pair struct {
	n                  int
	from, to           *keys
	certificateSig     []byte
	sender, recipient  *nats.Conn
	out, in            jetstream.JetStream
	mail, receipts     jetstream.Consumer
	mailSubj, backSubj string
}

const (
	mailStream    = "FLOOR_MAIL"
	receiptStream = "FLOOR_RECEIPT"
)

// Open starts the server on loopback, in this process, as the measured broker is. Pairs beyond a few only make it slower.
func Open(ctx context.Context, dir string, pairs int, sizes Sizes) (_ *Floor, err error) {
	f := &Floor{dir: dir, sizes: sizes, plain: make([]byte, sizes.Plain), certificate: make([]byte, sizes.Certificate)}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	rand.Read(f.plain)
	rand.Read(f.certificate)
	f.server, err = server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, JetStream: true, SyncAlways: true,
		StoreDir: filepath.Join(dir, "streams"), JetStreamMaxStore: 1 << 40, JetStreamMaxMemory: 64 << 20, MaxPayload: 2 << 20, DisableJetStreamBanner: true})
	if err != nil {
		return nil, fmt.Errorf("start NATS: %w", err)
	}
	f.server.Start()
	if !f.server.ReadyForConnections(20*time.Second) || !f.server.JetStreamEnabled() {
		return nil, errors.New("start NATS: not ready")
	}
	for i := range pairs {
		p, err := f.newPair(ctx, i)
		if p != nil {
			f.pairs = append(f.pairs, p)
		}
		if err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *Floor) newPair(ctx context.Context, n int) (*pair, error) {
	id := strconv.Itoa(n)
	p := &pair{n: n, mailSubj: "floor.mail." + id, backSubj: "floor.receipt." + id}
	var err error
	if p.from, err = newKeys(); err != nil {
		return nil, err
	}
	if p.to, err = newKeys(); err != nil {
		return nil, err
	}
	p.certificateSig = ed25519.Sign(p.from.private, f.certificate)
	// Over TCP, a connection for each side: agencies are not in the server's process.
	for _, c := range []struct {
		nc *(*nats.Conn)
		js *jetstream.JetStream
	}{{&p.sender, &p.out}, {&p.recipient, &p.in}} {
		if *c.nc, err = nats.Connect(f.server.ClientURL()); err != nil {
			return p, fmt.Errorf("connect: %w", err)
		}
		if *c.js, err = jetstream.New(*c.nc); err != nil {
			return p, fmt.Errorf("connect: %w", err)
		}
	}
	for _, s := range []struct {
		js       jetstream.JetStream
		name     string
		subject  string
		consumer *jetstream.Consumer
	}{{p.in, mailStream, "floor.mail.", &p.mail}, {p.out, receiptStream, "floor.receipt.", &p.receipts}} {
		stream, err := s.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: s.name, Subjects: []string{s.subject + "*"}, Storage: jetstream.FileStorage,
			Duplicates: 2 * time.Minute, AllowAtomicPublish: true, MaxBytes: 64 << 30})
		if err != nil {
			return p, fmt.Errorf("make stream: %w", err)
		}
		// In memory, as those of a single broker.
		if *s.consumer, err = stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{Durable: "agency-" + id, FilterSubject: s.subject + id,
			AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 1024, MemoryStorage: true}); err != nil {
			return p, fmt.Errorf("make consumer: %w", err)
		}
	}
	return p, nil
}

// Close stops the server and waits for it.
func (f *Floor) Close() {
	for _, p := range f.pairs {
		for _, nc := range []*nats.Conn{p.sender, p.recipient} {
			if nc != nil {
				nc.Close()
			}
		}
	}
	if f.server != nil {
		f.server.Shutdown()
		f.server.WaitForShutdown()
	}
}
