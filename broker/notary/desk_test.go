package notary

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
)

// TestDesk: agencies do not wait for one another, one agency's requests keep their order, no more are handled at once than there
// are workers, and whoever closes it waits for what was taken.
func TestDesk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		begun := make(chan string, 1000)
		free := map[string]chan struct{}{}
		ask := func(agency string, n int) bool {
			name := fmt.Sprint(agency, " ", n)
			freed := make(chan struct{})
			free[name] = freed
			return d.add(agency, func() { begun <- name; <-freed })
		}
		now := func() (names []string) {
			synctest.Wait()
			for len(begun) > 0 {
				names = append(names, <-begun)
			}
			slices.Sort(names)
			return names
		}
		expect := func(want ...string) {
			t.Helper()
			if got := now(); !slices.Equal(got, want) {
				t.Errorf("begun: %v, want %v", got, want)
			}
		}
		ask("a", 1)
		ask("a", 2)
		ask("b", 1)
		expect("a 1", "b 1")
		close(free["a 1"])
		expect("a 2")
		close(free["a 2"])
		close(free["b 1"])
		expect()
		// Whoever asks much fills its own line only.
		taken := 0
		for n := range 3 * deskLine {
			if ask("much", n) {
				taken++
			}
			synctest.Wait()
		}
		if taken != deskLine+1 {
			t.Errorf("%d of one agency were taken, want one that is handled and %d that wait", taken, deskLine)
		}
		expect("much 0")
		for n := range 2 * deskWorkers {
			ask(fmt.Sprint("agency", n), 0)
		}
		if got := now(); len(got) != deskWorkers-1 {
			t.Errorf("%d more are handled, want %d", len(got), deskWorkers-1)
		}
		closed := make(chan struct{})
		go func() { d.close(); close(closed) }()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("closed while requests are handled")
		default:
		}
		if ask("late", 0) {
			t.Error("taken after it was closed")
		}
		for name, c := range free {
			if name != "a 1" && name != "a 2" && name != "b 1" {
				close(c)
			}
		}
		<-closed
		if got := now(); len(got) != deskLine+1+deskWorkers { // what waited is handled too
			t.Errorf("%d were handled in the end, want %d", len(got), deskLine+1+deskWorkers)
		}
		if len(d.lines) != 0 {
			t.Errorf("%d lines are left", len(d.lines))
		}
	})
}
