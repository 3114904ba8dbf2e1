//go:build linux

package faults

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"waypost/agents/api"
	"waypost/deploy/examples"
	"waypost/schemas"
)

// message is one that an agent answered with 202.
type message struct {
	id, thread, reference, from, to string
	kind                            schemas.Kind
	urgent                          bool
	replyTo                         string
	withdrawn                       bool // its consent; then it need not have arrived
	keptBack                        bool // its recipient stopped it before it was handed over; then it must not be
}

func document(to, reference string, urgent bool) ([]byte, error) {
	name := "referral-routine.json"
	if urgent {
		name = "referral-urgent.json"
	}
	text, err := examples.Files.ReadFile(name)
	if err != nil {
		return nil, err
	}
	s, err := schemas.Decode[schemas.Submission](text)
	if err != nil {
		return nil, err
	}
	s.To, s.Consent.Recipients, s.Referral.Reference = to, schemas.Recipients{Agencies: []string{to}}, reference
	return schemas.Encode(s)
}

// again repeats a call with one idempotency key until the agent says yes or no, as an agency's own system would. A refusal is
// an error of the test: everything that is asked here is allowed.
func (w *world) again(ctx context.Context, what string, call func(context.Context) error) error {
	for {
		try, cancel := context.WithTimeout(ctx, 3*time.Second)
		err := call(try)
		cancel()
		var p *api.Problem
		switch {
		case err == nil:
			return nil
		case errors.As(err, &p) && p.Status < 500 && p.Status != http.StatusTooManyRequests:
			return fmt.Errorf("%s: %w", what, err)
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// send submits one referral.
func (w *world) send(ctx context.Context, from, to, reference string, urgent bool) error {
	doc, err := document(to, reference, urgent)
	if err != nil {
		return err
	}
	var a *api.Accepted
	err = w.again(ctx, "submit "+reference, func(ctx context.Context) error {
		var err error
		a, err = w.agency(from).client.Submit(ctx, doc, reference)
		return err
	})
	if err == nil {
		w.history.accepted(&message{id: a.ID, thread: a.Thread, reference: reference, from: from, to: to, kind: schemas.KindReferral, urgent: urgent})
	}
	return err
}

// answerOpen lets an agency accept what lies open in its inbox, and returns how much there was.
func (w *world) answerOpen(ctx context.Context, a *agency, most int) (int, error) {
	try, cancel := context.WithTimeout(ctx, 3*time.Second)
	items, err := a.client.Inbox(try, true, 20, 0)
	cancel()
	if err != nil {
		return 0, nil // it is down; later
	}
	doc, err := examples.Files.ReadFile("response-declined.json")
	if err != nil {
		return 0, err
	}
	n := 0
	for _, it := range items {
		if it.Kind != schemas.KindReferral || it.Stopped != nil || w.history.given(it.ID) || n == most {
			continue
		}
		n++
		var got *api.Accepted
		err := w.again(ctx, "respond to "+it.ID, func(ctx context.Context) error {
			var err error
			got, err = a.client.Respond(ctx, it.ID, doc, "answer-"+it.ID)
			return err
		})
		var p *api.Problem
		if errors.As(err, &p) && w.history.isWithdrawn(it.ID) {
			continue // the consent went while it was being answered
		}
		if err != nil {
			return n, err
		}
		w.history.accepted(&message{id: got.ID, thread: got.Thread, reference: "answer-" + it.ID, from: a.id, to: it.From, kind: schemas.KindReferralResponse, replyTo: it.ID})
	}
	return n, nil
}

// withdraw takes back the consent of one referral that was sent.
func (w *world) withdraw(ctx context.Context, m *message) error {
	var cert string
	err := w.again(ctx, "look up "+m.id, func(ctx context.Context) error {
		d, err := w.agency(m.from).client.Message(ctx, m.id)
		if err == nil && len(d.Certificates) == 1 {
			cert = d.Certificates[0]
		}
		return err
	})
	if err != nil || cert == "" {
		return errors.Join(err, errors.New("no certificate"))
	}
	w.history.withdrew(m)
	return w.again(ctx, "withdraw "+cert, func(ctx context.Context) error {
		_, err := w.agency(m.from).client.Withdraw(ctx, cert)
		return err
	})
}

// follow looks at a referral whose consent goes, at its recipient, until it is stopped there or stop is closed.
func (w *world) follow(ctx context.Context, m *message, stop <-chan struct{}) {
	for !w.noteStopped(ctx, w.agency(m.to), m) {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-stop:
			return
		case <-ctx.Done():
			return
		}
	}
}

// noteStopped tells whether a recipient has stopped m. If it is then not in the folder, it must never be: see once.
func (w *world) noteStopped(ctx context.Context, a *agency, m *message) bool {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	d, err := a.client.Message(ctx, m.id)
	if err != nil || d.Stopped == nil {
		return false
	}
	if _, err := os.Stat(filepath.Join(a.sink, m.id+".json")); errors.Is(err, fs.ErrNotExist) {
		w.history.keptBack(m)
	}
	return true
}

// flow lets referrals, answers and withdrawals go until stop is closed, and returns when all calls have their answer.
func (w *world) flow(ctx context.Context, round int, seed uint64, stop <-chan struct{}) error {
	var wg sync.WaitGroup
	errs := make(chan error, len(routes)+len(w.agencies))
	stopped := func() bool {
		select {
		case <-stop:
			return true
		default:
			return false
		}
	}
	for i, r := range routes {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(100*round+i)))
			for n := 0; !stopped(); n++ {
				if err := w.send(ctx, r[0], r[1], fmt.Sprintf("r%d-%d-%d", round, i, n), random.IntN(3) == 0); err != nil {
					errs <- err
					return
				}
				if random.IntN(12) == 0 {
					if m := w.history.some(r[0], random); m != nil {
						wg.Go(func() { w.follow(ctx, m, stop) })
						if err := w.withdraw(ctx, m); err != nil {
							errs <- err
							return
						}
					}
				}
				pause(stop, time.Duration(random.IntN(60))*time.Millisecond)
			}
		})
	}
	for _, a := range w.agencies[1:] {
		wg.Go(func() {
			for !stopped() {
				if _, err := w.answerOpen(ctx, a, 3); err != nil {
					errs <- err
					return
				}
				pause(stop, 100*time.Millisecond)
			}
		})
	}
	wg.Wait()
	close(errs)
	var all []error
	for err := range errs {
		all = append(all, err)
	}
	return errors.Join(all...)
}

func pause(stop <-chan struct{}, d time.Duration) {
	select {
	case <-stop:
	case <-time.After(d):
	}
}
