package broker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, asked := time.Now(), 0
		err := patiently(t.Context(), func(ctx context.Context) error {
			asked++
			switch asked {
			case 1:
				return errors.New("nobody answers for it yet")
			case 2:
				<-ctx.Done() // the question was lost
				return ctx.Err()
			}
			return nil
		})
		if err != nil || asked != 3 || time.Since(began) >= silence {
			t.Errorf("asked %d times within %s: %v", asked, time.Since(began), err)
		}
		never := errors.New("never")
		began = time.Now()
		if err := patiently(t.Context(), func(context.Context) error { return never }); !errors.Is(err, never) || time.Since(began) != silence {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}
