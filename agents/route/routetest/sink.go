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

// Taken is what a system has, by delivery id.
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
}
