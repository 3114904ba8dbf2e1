package store_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"waypost/agents/store"
	"waypost/agents/store/storetest"
	"waypost/schemas"
)

// TestUrgentIsPickedFirst: whatever comes when, an urgent update that waits is picked next, before every routine one but
// the one that its turn has come to; a routine one is passed over by so many groups at most; and each kind keeps its order.
func TestUrgentIsPickedFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := store.NewPicker()
		var urgent, routine []string // waiting, oldest first
		passed, let, groups := 0, false, 0
		add := func(u bool) {
			groups++
			name := fmt.Sprintf("%t-%d", u, groups)
			p.Add(name, u)
			if u {
				urgent = append(urgent, name)
			} else {
				routine = append(routine, name)
			}
		}
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0:
				for range rapid.IntRange(1, 70).Draw(t, "many") {
					add(true)
				}
			case 1:
				add(true)
			case 2:
				add(false)
			default:
				name, ok := p.Next()
				switch {
				case !ok:
					if len(routine) > 0 && !let {
						passed++
					} else {
						passed = 0
					}
					if let = false; passed > store.PassMax {
						t.Fatalf("%d groups in a row passed over %d routine updates", passed, len(routine))
					}
				case len(urgent) > 0 && name == urgent[0]:
					urgent = urgent[1:]
				case len(routine) > 0 && name == routine[0]:
					if len(urgent) > 0 && (passed < store.PassMax || let) {
						t.Fatalf("%s was picked while %d urgent updates waited", name, len(urgent))
					}
					routine, let = routine[1:], true
				default:
					t.Fatalf("picked %s out of order", name)
				}
			}
		}
	})
}

// TestRoutineIsNotStopped: beside urgent updates without end a routine one has its turn after so many groups.
func TestRoutineIsNotStopped(t *testing.T) {
	p := store.NewPicker()
	p.Add("routine", false)
	groups := 0
	for range 10_000 {
		p.Add("urgent", true)
		switch name, ok := p.Next(); {
		case !ok:
			groups++
		case name == "routine":
			if groups > store.PassMax {
				t.Errorf("passed over by %d groups", groups)
			}
			return
		}
	}
	t.Error("never picked")
}

// TestUrgentJoinsTheNextCommit: of a hundred and one updates that wait while a commit is under way, the urgent one, which
// came last, is in the next one, and first in it.
func TestUrgentJoinsTheNextCommit(t *testing.T) {
	ctx := context.Background()
	s := opened(t)
	entered, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.BeforeCommit = func() error {
		once.Do(func() { close(entered); <-release })
		return nil
	}
	var mu sync.Mutex
	var order []string
	var wg sync.WaitGroup
	add := func(name string, update func(context.Context, func(*store.Tx) error) error) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := update(ctx, func(tx *store.Tx) error {
				mu.Lock()
				defer mu.Unlock()
				order = append(order, name)
				return tx.Decide(schemas.NewMessageID(), storetest.Them, "accepted", "", storetest.Now)
			}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}()
	}
	add("first", s.Update)
	<-entered
	for i := range 100 {
		add(fmt.Sprint("routine ", i), s.Update)
	}
	queued := func(u, r int) {
		for {
			if a, b := s.Queued(); a == u && b == r {
				return
			}
			runtime.Gosched()
		}
	}
	queued(0, 100)
	add("urgent", s.UpdateUrgent)
	queued(1, 100)
	close(release)
	wg.Wait()
	if len(order) != 102 || order[1] != "urgent" {
		t.Errorf("order of updates: %v", order)
	}
}

// TestOneOfAGroupFails: an update that fails after writing takes nothing with it and leaves nothing, the first of a group too.
func TestOneOfAGroupFails(t *testing.T) {
	for _, bad := range []int{0, 1, 3} {
		ctx := context.Background()
		s := opened(t)
		entered, release := make(chan struct{}), make(chan struct{})
		var once sync.Once
		s.BeforeCommit = func() error {
			once.Do(func() { close(entered); <-release })
			return nil
		}
		var wg sync.WaitGroup
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := s.Update(ctx, func(tx *store.Tx) error { return tx.Decide("before", storetest.Them, "accepted", "", storetest.Now) }); err != nil {
				t.Error(err)
			}
		}()
		<-entered
		refused := errors.New("refused")
		errs := make([]error, 4)
		for i := range errs {
			wg.Add(1)
			go func() {
				defer wg.Done()
				errs[i] = s.Update(ctx, func(tx *store.Tx) error {
					if err := tx.Decide(fmt.Sprint("id-", i), storetest.Them, "accepted", "", storetest.Now); err != nil {
						return err
					}
					if i == bad {
						return refused
					}
					return nil
				})
			}()
			for {
				if _, n := s.Queued(); n == i+1 {
					break
				}
				runtime.Gosched()
			}
		}
		close(release)
		wg.Wait()
		for i, err := range errs {
			var stored error
			storetest.Update(t, s, func(tx *store.Tx) error { _, stored = tx.Decided(fmt.Sprint("id-", i)); return nil })
			if i == bad && (!errors.Is(err, refused) || !errors.Is(stored, store.ErrNotFound)) {
				t.Errorf("bad %d: err %v, stored %v", i, err, stored)
			}
			if i != bad && (err != nil || stored != nil) {
				t.Errorf("bad %d, good %d: err %v, stored %v", bad, i, err, stored)
			}
		}
	}
}

// TestClosedStoreAnswers: an update that comes when the writer has gone is refused, and does not wait for ever.
func TestClosedStoreAnswers(t *testing.T) {
	s := opened(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		if err := s.Update(context.Background(), func(*store.Tx) error { return nil }); err == nil {
			t.Fatal("a closed store took an update")
		}
	}
}

// TestPerMessageStatementsUseIndexes: what is asked for every message, or at every tick, reads no table whole: that would
// make the thousandth message a thousand times as dear as the first.
func TestPerMessageStatementsUseIndexes(t *testing.T) {
	ctx := context.Background()
	s := opened(t)
	id := schemas.NewMessageID()
	for _, err := range []error{
		second(s.Marks(ctx, id)), second(s.DueDeliveries(ctx, "sink", true, storetest.Now, 10)), second(s.NextDue(ctx, "sink", true)),
		second(s.Chores(ctx, storetest.Now, storetest.Now, 3)), second(s.Silent(ctx, storetest.Now, storetest.Now, 3, 10)), second(s.Ringing(ctx, storetest.Now, 10)), second(s.Duties(ctx, "")),
		second(s.PendingOutgoing(ctx, schemas.LaneUrgent, 10, nil)), second(s.PendingOutgoing(ctx, schemas.LaneUrgent, 10, []string{storetest.Them})),
		second(s.PendingSinks(ctx)), second(s.Receipts(ctx, id)),
		func() error { _, _, err := s.Unproved(ctx, store.TableOutbox, 0, 10); return err }(),
		func() error { _, _, err := s.LeftOver(ctx, storetest.Us, 10); return err }(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	storetest.Update(t, s, func(tx *store.Tx) error {
		if _, err := tx.Marks(id); err != nil {
			return err
		}
		o := storetest.Referral(storetest.Them, nil)
		if err := tx.AddOutgoing(o, storetest.Signer(t)); err != nil {
			return err
		}
		if err := tx.Published([]*store.Outgoing{o}, []uint64{1}, storetest.Now); err != nil {
			return err
		}
		_, err := tx.MarkRouted(id, storetest.Now)
		return err
	})
	plans, err := s.Plans(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(plans) < 15 {
		t.Fatalf("only %d statements seen", len(plans))
	}
	for query, plan := range plans {
		for _, step := range plan {
			table, isScan := strings.CutPrefix(step, "SCAN ")
			// A partial index of what is unfinished is read whole; the table it stands for is not.
			whole := isScan && !strings.Contains(step, "USING") && !slices.Contains([]string{"CONSTANT ROW", "(subquery-2)", "waiting"}, table)
			if whole || strings.Contains(step, "SCAN") && strings.Contains(step, "VIRTUAL") {
				t.Errorf("%s\n\treads a table whole: %s", query, step)
			}
		}
	}
}

func opened(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(filepath.Join(t.TempDir(), "agent.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func second[T any](_ T, err error) error { return err }
