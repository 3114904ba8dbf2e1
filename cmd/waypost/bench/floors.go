package bench

import (
	"context"
	"os"
	"time"

	"waypost/cmd/waypost/bench/floor"
)

const (
	floorPairs = 4   // more only make it slower, and the ratio flattering
	floorUnits = 200 // times each step is measured
	floorMost  = 20_000
)

// floors adds up what was carried before and after the load: a machine that others use too is not the same for minutes.
type floors struct {
	dir    string
	o      *Options
	sizes  floor.Sizes
	took   map[floor.Parts]time.Duration
	count  map[floor.Parts]int
	before *floor.Units
	after  *floor.Units
	made   []string
}

func newFloors(dir string, o *Options) (*floors, error) {
	s, err := wireSizes(o.Size)
	return &floors{dir: dir, o: o, sizes: s, took: map[floor.Parts]time.Duration{}, count: map[floor.Parts]int{}}, err
}

var floorParts = []struct {
	parts floor.Parts
	words string
	share int // of the messages: the bytes alone are only shown
}{
	{floor.Parts{Crypto: true}, "floor: cryptography and JetStream", 1},
	{floor.Parts{Crypto: true, Stores: true}, "floor: and stores and files", 1},
	{floor.Parts{}, "floor: JetStream alone", 4},
}

// measure runs every floor once, on half of the messages.
func (f *floors) measure(ctx context.Context) error {
	dir, err := os.MkdirTemp(f.dir, "floor-")
	if err != nil {
		return err
	}
	f.made = append(f.made, dir) // see remove
	fl, err := floor.Open(ctx, dir, min(floorPairs, f.o.Active), f.sizes)
	if err != nil {
		return err
	}
	defer fl.Close()
	// Caches, pools and connections warm up on messages that do not count, as they do for the load.
	if _, err := fl.Run(ctx, 2*floorPairs, floor.Parts{Crypto: true, Stores: true}, nil); err != nil {
		return err
	}
	for _, p := range floorParts {
		n := max(1, min(f.o.Messages, floorMost)/2/p.share)
		f.o.Progress.Phase(p.words, n)
		took, err := fl.Run(ctx, n, p.parts, f.o.Progress.Done)
		if err != nil {
			return err
		}
		f.took[p.parts] += took
		f.count[p.parts] += n
	}
	f.o.Progress.Phase("floor: single steps", 0)
	u, err := fl.Units(ctx, min(floorUnits, max(5, f.o.Idle)))
	if err != nil {
		return err
	}
	f.before, f.after = f.after, &u
	return nil
}

// remove deletes what the floors wrote. Not before the load is through: ext4 makes new files several times as slowly where
// thousands were deleted in the last minutes.
func (f *floors) remove() {
	for _, dir := range f.made {
		_ = os.RemoveAll(dir)
	}
}

func (f *floors) rate(p floor.Parts) float64 {
	if f.took[p] == 0 {
		return 0
	}
	return round(float64(f.count[p])/f.took[p].Seconds(), 1)
}

// unit is the mean of the two measurements of a step.
func (f *floors) unit(of func(*floor.Units) time.Duration) time.Duration {
	switch {
	case f.after == nil:
		return 0
	case f.before == nil:
		return of(f.after)
	}
	return (of(f.before) + of(f.after)) / 2
}

// fill writes the floors into a result and compares.
func (f *floors) fill(r *Result) {
	r.FloorPerSecond, r.FloorWithStores = f.rate(floor.Parts{Crypto: true}), f.rate(floor.Parts{Crypto: true, Stores: true})
	r.Ratio, r.RatioWithStores = ratio(r.MessagesPerSecond, r.FloorPerSecond), ratio(r.MessagesPerSecond, r.FloorWithStores)
	publish, commit := f.unit(func(u *floor.Units) time.Duration { return u.Publish }), f.unit(func(u *floor.Units) time.Duration { return u.Commit })
	crypto := f.unit(func(u *floor.Units) time.Duration { return u.Crypto })
	if crypto == 0 {
		return
	}
	r.Floor = &Floor{JetStreamPerSecond: f.rate(floor.Parts{}), CryptoPerSecond: round(float64(r.Machine.CPUs)/crypto.Seconds(), 1),
		Publish: ms(publish), Commit: ms(commit), Crypto: ms(crypto), Sizes: f.sizes,
		Seal:    ms(f.unit(func(u *floor.Units) time.Duration { return u.Seal })),
		Open:    ms(f.unit(func(u *floor.Units) time.Duration { return u.Open })),
		Reopen:  ms(f.unit(func(u *floor.Units) time.Duration { return u.Reopen })),
		Receipt: ms(f.unit(func(u *floor.Units) time.Duration { return u.Receipt }))}
	if i := r.Idle; i != nil {
		i.Unit = ms(publish + crypto + 2*commit)
		i.Ratio, i.ToSink, i.ToInbox = ratio(i.P50, i.Unit), ratio(stage(i.Stages, "sink").P50, i.Unit), ratio(stage(i.Stages, "inbox").P50, i.Unit)
	}
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return round(a/b, 3)
}

func round(v float64, digits int) float64 {
	p := 1.0
	for range digits {
		p *= 10
	}
	return float64(int64(v*p+0.5)) / p
}
