// Command waypost-bench-rabbitmq carries sealed and signed messages through RabbitMQ as somebody would who built a referral
// network on it: age to a post-quantum hybrid recipient, Ed25519 over a manifest, a durable queue, persistent messages,
// publisher confirms, a file that is fsynced before its acknowledgement, and a signed receipt back the same way. It prints one
// JSON object. rabbitmq.sh runs it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const window = 128 // unconfirmed messages, as many as Waypost puts into one batch

func main() {
	url := flag.String("url", "amqp://guest:guest@127.0.0.1:5672/", "address of the broker")
	n := flag.Int("messages", 1000, "messages of the load")
	idle := flag.Int("idle", 100, "messages one after the other")
	size := flag.Int("size", 4096, "bytes of a message before it is sealed")
	dir := flag.String("dir", "", "folder for received messages")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := measure(ctx, *url, *dir, *size, *n, *idle); err != nil {
		fmt.Fprintln(os.Stderr, "rabbitmq:", err)
		os.Exit(1)
	}
}

func measure(ctx context.Context, url, dir string, size, n, idle int) error {
	c, err := dial(url, dir, size)
	if err != nil {
		return err
	}
	defer c.close()
	var alone []time.Duration
	for range idle {
		began := time.Now()
		if err := c.carry(ctx, 1); err != nil {
			return err
		}
		alone = append(alone, time.Since(began))
	}
	slices.Sort(alone)
	began := time.Now()
	if err := c.carry(ctx, n); err != nil {
		return err
	}
	took := time.Since(began)
	out := map[string]any{"peer": "rabbitmq", "messages": n, "messages_per_s": float64(n) / took.Seconds(), "ms_per_message": took.Seconds() * 1000 / float64(n)}
	if idle > 0 {
		out["idle_p50_ms"] = float64(alone[idle/2]) / float64(time.Millisecond)
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

// client is both agencies: a connection each, and a queue each way.
type client struct {
	conns         []*amqp.Connection
	out, in       *amqp.Channel // sender, recipient
	mail, answers <-chan amqp.Delivery
	from, to      *keys
	plain         []byte
	dir           string
}

func dial(url, dir string, size int) (*client, error) {
	c := &client{plain: make([]byte, size), dir: dir}
	var err error
	if c.from, err = newKeys(); err != nil {
		return nil, err
	}
	if c.to, err = newKeys(); err != nil {
		return nil, err
	}
	for _, s := range []struct {
		ch    **amqp.Channel
		queue string
		get   *<-chan amqp.Delivery
	}{{&c.in, "mail", &c.mail}, {&c.out, "receipts", &c.answers}} {
		conn, err := amqp.Dial(url)
		if err != nil {
			c.close()
			return nil, fmt.Errorf("connect: %w", err)
		}
		c.conns = append(c.conns, conn)
		ch, err := conn.Channel()
		if err == nil {
			*s.ch = ch
			_, err = ch.QueueDeclare(s.queue, true, false, false, false, nil)
		}
		if err == nil {
			err = ch.Confirm(false)
		}
		if err == nil {
			err = ch.Qos(256, 0, false)
		}
		if err == nil {
			*s.get, err = ch.Consume(s.queue, "", false, false, false, false, nil)
		}
		if err != nil {
			c.close()
			return nil, fmt.Errorf("make queue: %w", err)
		}
	}
	return c, nil
}

func (c *client) close() {
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}

// carry sends n messages and returns when n receipts have been verified.
func (c *client) carry(ctx context.Context, n int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	start := func(f func() error) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := f(); err != nil {
				cancel(err)
			}
		}()
	}
	sealed, receipts := make(chan []byte, 2*window), make(chan []byte, 2*window)
	start(func() error { return c.seal(ctx, n, sealed) })
	start(func() error { return publish(ctx, c.out, "mail", sealed) })
	start(func() error { return c.receive(ctx, n, receipts) })
	start(func() error { return publish(ctx, c.in, "receipts", receipts) })
	start(func() error { return c.settle(ctx, n) })
	wg.Wait()
	return context.Cause(ctx)
}

// publish keeps at most a window of messages unconfirmed and returns when all are confirmed: on disk.
func publish(ctx context.Context, ch *amqp.Channel, queue string, in <-chan []byte) error {
	var open []*amqp.DeferredConfirmation
	wait := func(most int) error {
		for len(open) > most {
			ok, err := open[0].WaitContext(ctx)
			if err != nil {
				return fmt.Errorf("publish: %w", err)
			}
			if !ok {
				return errors.New("publish: the broker refused a message")
			}
			open = open[1:]
		}
		return nil
	}
	for m := range in {
		d, err := ch.PublishWithDeferredConfirm("", queue, true, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: m})
		if err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		open = append(open, d)
		if err := wait(window); err != nil {
			return err
		}
	}
	return wait(0)
}
