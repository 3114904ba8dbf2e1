// Package routetest is the conformance suite of route.Sink. Whoever writes a sink runs it.
package routetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"waypost/agents/route"
)

// Taken is what a system has, by delivery id; it may be asked while a hand-over is under way.
type Taken func(t *testing.T) map[string]string

// Delivery is one for tests; content makes repeats of an id differ.
func Delivery(id, content string) *route.Delivery {
	return &route.Delivery{ID: id, Event: "waypost.message.received", Time: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Agency: "test-ngo",
		Attributes: route.Facts{Kind: "referral", Lane: "urgent", From: "test-police", To: "test-ngo"}, Data: []byte(fmt.Sprintf(`{"id":%q,"note":%q}`, id, content))}
}

// Sink checks the contract of route.Sink. fresh makes a sink onto a new, empty system.
func Sink(t *testing.T, fresh func(t *testing.T) (route.Sink, Taken)) {
	ctx := context.Background()
	t.Run("has a name", func(t *testing.T) {
		if s, _ := fresh(t); s.Name() == "" {
			t.Error("no name")
		}
	})
	t.Run("nil means the system has it", func(t *testing.T) {
		s, taken := fresh(t)
		if err := s.Deliver(ctx, Delivery("id-1", "first")); err != nil {
			t.Fatal(err)
		}
		if got := taken(t); len(got) != 1 || !strings.Contains(got["id-1"], "first") {
			t.Errorf("the system has %v", got)
		}
	})
	t.Run("a repeat leaves one", func(t *testing.T) {
		s, taken := fresh(t)
		for range 3 {
			if err := s.Deliver(ctx, Delivery("id-1", "same")); err != nil {
				t.Fatal(err)
			}
		}
		if got := taken(t); len(got) != 1 {
			t.Errorf("the system has %d", len(got))
		}
	})
	t.Run("concurrent", func(t *testing.T) {
		s, taken := fresh(t)
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				if err := s.Deliver(ctx, Delivery(fmt.Sprintf("id-%d", i%10), "x")); err != nil {
					t.Error(err)
				}
			}()
		}
		wg.Wait()
		if got := taken(t); len(got) != 10 {
			t.Errorf("the system has %d, want 10", len(got))
		}
	})
	t.Run("cancelled is not taken", func(t *testing.T) {
		s, _ := fresh(t)
		done, cancel := context.WithCancel(ctx)
		cancel()
		if err := s.Deliver(done, Delivery("id-1", "x")); err == nil {
			t.Error("no error")
		}
	})
	t.Run("hostile ids", func(t *testing.T) {
		s, taken := fresh(t)
		for _, id := range []string{"", ".", "..", "../x", "a/b", `a\b`, "a\x00b", "a b", "a\r\nb", ".hidden", "ä", strings.Repeat("x", 10_000)} {
			var stop *route.Permanent
			if err := s.Deliver(ctx, Delivery(id, "x")); !errors.As(err, &stop) {
				t.Errorf("id %.20q: %v, want a *Permanent", id, err)
			}
		}
		if got := taken(t); len(got) != 0 {
			t.Errorf("the system has %v", got)
		}
	})
	if s, _ := fresh(t); s != nil {
		if _, ok := s.(route.BatchSink); ok {
			t.Run("batch", func(t *testing.T) { batch(t, fresh) })
		}
	}
}

// batch checks the contract of route.BatchSink.
func batch(t *testing.T, fresh func(t *testing.T) (route.Sink, Taken)) {
	ctx := context.Background()
	some := func(from, to int) (out []*route.Delivery) {
		for i := from; i < to; i++ {
			out = append(out, Delivery(fmt.Sprintf("id-%d", i), fmt.Sprint("content ", i)))
		}
		return out
	}
	t.Run("all of it", func(t *testing.T) {
		s, taken := fresh(t)
		for range 2 { // a repeat leaves one of each
			if n, err := s.(route.BatchSink).DeliverAll(ctx, some(0, 40), route.ReleaseAll); n != 40 || err != nil {
				t.Fatalf("%d taken, %v", n, err)
			}
		}
		got := taken(t)
		if len(got) != 40 || !strings.Contains(got["id-39"], "content 39") {
			t.Errorf("the system has %d", len(got))
		}
	})
	t.Run("up to the first that fails", func(t *testing.T) {
		s, taken := fresh(t)
		bad := append(some(0, 7), Delivery("../x", "y"))
		n, err := s.(route.BatchSink).DeliverAll(ctx, append(bad, some(8, 20)...), route.ReleaseAll)
		var stop *route.Permanent
		if n != 7 || !errors.As(err, &stop) {
			t.Fatalf("%d taken, %v, want 7 and a *Permanent", n, err)
		}
		if got := taken(t); len(got) != 7 {
			t.Errorf("the system has %d: what is behind a failure must not overtake it", len(got))
		}
	})
	t.Run("nothing, and cancelled", func(t *testing.T) {
		s, taken := fresh(t)
		if n, err := s.(route.BatchSink).DeliverAll(ctx, nil, route.ReleaseAll); n != 0 || err != nil {
			t.Errorf("%d taken, %v", n, err)
		}
		done, cancel := context.WithCancel(ctx)
		cancel()
		if n, err := s.(route.BatchSink).DeliverAll(done, some(0, 3), route.ReleaseAll); n != 0 || err == nil || len(taken(t)) != 0 {
			t.Errorf("%d taken, %v", n, err)
		}
	})
	t.Run("seen only when released", func(t *testing.T) {
		s, taken := fresh(t)
		calls := 0
		n, err := s.(route.BatchSink).DeliverAll(ctx, some(0, 20), func(show func(may func(i int) bool)) error {
			calls++
			if got := taken(t); len(got) != 0 {
				t.Errorf("the system has %d before it may", len(got))
			}
			show(func(i int) bool { return i%3 != 0 })
			if got := taken(t); len(got) != 13 {
				t.Errorf("the system has %d when a withdrawal may go on, want 13: what comes later comes after it", len(got))
			}
			return nil
		})
		if n != 20 || err != nil || calls != 1 {
			t.Fatalf("%d taken in %d calls, %v", n, calls, err)
		}
		got := taken(t)
		for i := range 20 {
			if _, there := got[fmt.Sprintf("id-%d", i)]; there != (i%3 != 0) {
				t.Errorf("%d is there: %v", i, there)
			}
		}
	})
	t.Run("held back, and then one that fails", func(t *testing.T) {
		s, taken := fresh(t)
		n, err := s.(route.BatchSink).DeliverAll(ctx, append(some(0, 2), Delivery("../x", "y")), func(show func(may func(i int) bool)) error {
			show(func(int) bool { return false })
			return nil
		})
		var stop *route.Permanent
		if n != 2 || !errors.As(err, &stop) || len(taken(t)) != 0 {
			t.Errorf("%d taken, %v, the system has %d", n, err, len(taken(t)))
		}
	})
	t.Run("not released", func(t *testing.T) {
		s, taken := fresh(t)
		why := errors.New("not now")
		n, err := s.(route.BatchSink).DeliverAll(ctx, some(0, 5), func(func(func(int) bool)) error { return why })
		if n != 0 || !errors.Is(err, why) || len(taken(t)) != 0 {
			t.Errorf("%d taken, %v, the system has %d", n, err, len(taken(t)))
		}
	})
}
