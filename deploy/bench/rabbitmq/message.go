package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"filippo.io/age"
	amqp "github.com/rabbitmq/amqp091-go"
)

// A message is a manifest of noteSize bytes - id, digest of the sealed body, padding, signature - and the sealed body. The sizes
// are Waypost's.
const (
	noteSize    = 560
	receiptSize = 500
	idSize      = 16
	batchMost   = 64 // received messages that share the syncing of a folder
)

var errBroken = errors.New("a message did not verify")

type keys struct {
	identity *age.HybridIdentity
	private  ed25519.PrivateKey
	public   ed25519.PublicKey
}

func newKeys() (*keys, error) {
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		return nil, fmt.Errorf("make keys: %w", err)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	return &keys{id, private, public}, err
}

// seal makes n messages on all cores.
func (c *client) seal(ctx context.Context, n int, out chan<- []byte) error {
	defer close(out)
	return parallel(n, func(int) error {
		var b bytes.Buffer
		b.Write(make([]byte, noteSize))
		w, err := age.Encrypt(&b, c.to.identity.Recipient())
		if err == nil {
			_, err = w.Write(c.plain)
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			return fmt.Errorf("seal: %w", err)
		}
		m := b.Bytes()
		rand.Read(m[:idSize])
		sum := sha256.Sum256(m[noteSize:])
		copy(m[idSize:], sum[:])
		c.from.sign(m[:noteSize])
		select {
		case out <- m:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
}

func (k *keys) sign(note []byte) {
	at := len(note) - ed25519.SignatureSize
	copy(note[at:], ed25519.Sign(k.private, note[:at]))
}

func (k *keys) verify(note []byte) bool {
	at := len(note) - ed25519.SignatureSize
	return at > 0 && ed25519.Verify(k.public, note[:at], note[at:])
}

// receive verifies, opens, writes and syncs, answers, and only then acknowledges.
func (c *client) receive(ctx context.Context, n int, out chan<- []byte) error {
	defer close(out)
	for got := 0; got < n; {
		batch, err := gather(ctx, c.mail)
		if err != nil {
			return err
		}
		got += len(batch)
		if err := parallel(len(batch), func(i int) error { return c.open(batch[i].Body) }); err != nil {
			return err
		}
		if err := syncDir(c.dir); err != nil {
			return err
		}
		for _, d := range batch {
			r := make([]byte, receiptSize)
			copy(r, d.Body[:idSize])
			c.to.sign(r)
			select {
			case out <- r:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if err := batch[len(batch)-1].Ack(true); err != nil {
			return fmt.Errorf("acknowledge: %w", err)
		}
	}
	return nil
}

func (c *client) open(m []byte) error {
	if len(m) < noteSize || !c.from.verify(m[:noteSize]) {
		return errBroken
	}
	if sum := sha256.Sum256(m[noteSize:]); !bytes.Equal(sum[:], m[idSize:idSize+len(sum)]) {
		return errBroken
	}
	r, err := age.Decrypt(bytes.NewReader(m[noteSize:]), c.to.identity)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	path := filepath.Join(c.dir, hex.EncodeToString(m[:idSize]))
	f, err := os.OpenFile(path+".part", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	_, err = f.Write(plain)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return os.Rename(path+".part", path)
}

// settle verifies receipts.
func (c *client) settle(ctx context.Context, n int) error {
	for got := 0; got < n; {
		batch, err := gather(ctx, c.answers)
		if err != nil {
			return err
		}
		for _, d := range batch {
			if !c.to.verify(d.Body) {
				return errBroken
			}
		}
		got += len(batch)
		if err := batch[len(batch)-1].Ack(true); err != nil {
			return fmt.Errorf("acknowledge: %w", err)
		}
	}
	return nil
}

// gather waits for one delivery and takes what else is there.
func gather(ctx context.Context, in <-chan amqp.Delivery) ([]amqp.Delivery, error) {
	var out []amqp.Delivery
	select {
	case d, ok := <-in:
		if !ok {
			return nil, errors.New("receive: the broker closed the channel")
		}
		out = append(out, d)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	for len(out) < batchMost {
		select {
		case d, ok := <-in:
			if !ok {
				return out, nil
			}
			out = append(out, d)
		default:
			return out, nil
		}
	}
	return out, nil
}

// parallel does f for 0 to n-1, as many at once as may sync at once.
func parallel(n int, f func(int) error) error {
	var wg sync.WaitGroup
	errs := make(chan error, n)
	limit := make(chan struct{}, max(16, runtime.GOMAXPROCS(0)))
	for i := range n {
		limit <- struct{}{}
		wg.Add(1)
		go func() {
			defer func() { <-limit; wg.Done() }()
			if err := f(i); err != nil {
				errs <- err
			}
		}()
	}
	wg.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}
