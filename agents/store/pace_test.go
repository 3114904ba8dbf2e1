package store

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestPace: routine work steps back for a second after urgent work and then no more, rests a tenth of a second at the longest, and
// not at all where nothing urgent ever was.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Store{pace: pace{base: time.Now()}}
		rest := func() time.Duration {
			began := time.Now()
			s.Rest(context.Background(), time.Second)
			return time.Since(began)
		}
		if s.Pressed() || rest() != 0 {
			t.Error("pressed by nothing")
		}
		s.Press() // at the very moment the store was opened
		if !s.Pressed() {
			t.Error("not pressed by what has just come")
		}
		if got := rest(); got != restMax {
			t.Errorf("rested %v, want %v", got, restMax)
		}
		time.Sleep(pressedFor)
		if s.Pressed() || rest() != 0 {
			t.Error("still pressed a second later")
		}
	})
}
