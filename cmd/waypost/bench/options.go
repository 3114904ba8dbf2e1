package bench

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"time"
)

// Options are what a run is asked for. The zero value of a number means its default.
type Options struct {
	Agencies      int     // in the network
	Active        int     // of these, how many run a whole agent and exchange messages; the others are connected and wait
	Messages      int     // routine referrals of the measured load
	Size          int     // bytes of a submission; 0: as the example is
	Rate          float64 // messages a second, open loop; 0: closed loop
	Workers       int     // callers of the agents' APIs
	Idle          int     // messages one after the other, nothing else going on
	Urgent        int     // urgent messages, once alone and once beside a backlog
	UrgentBacklog int     // routine messages that wait meanwhile
	Apart         bool    // broker, agents and those who wait as processes of their own
	Memory        bool    // also measure one broker and one agent as processes of their own
	Dir           string  // keep everything here; empty: a temporary folder that is removed
	Profile       string  // folder for profiles of the load

	// Settle is how long those who wait do so before anything is measured.
	Settle time.Duration

	Log      *slog.Logger
	Progress Progress
	// Program is this program and Args0 what it was called, for the processes of Apart and Memory.
	Program, Args0 string
}

// Progress is told what is being done. It is called from one goroutine at a time.
type Progress interface {
	// Phase begins a part of the run of so many steps; 0 when they cannot be counted.
	Phase(what string, steps int)
	// Done says how many steps of the phase are done.
	Done(steps int)
}

// OptionError is an option that breaks a rule.
type OptionError struct{ Flag, Rule string }

func (e *OptionError) Error() string { return "--" + e.Flag + " " + e.Rule }

const (
	mostActive   = 64
	mostAgencies = 4000 // two directory entries each: the head holds about 8,000
	mostMessages = 10_000_000
)

// defaults fills in what was left out and checks the rest.
func (o *Options) defaults() error {
	fill := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	fill(&o.Agencies, 4)
	fill(&o.Active, min(o.Agencies, mostActive))
	fill(&o.Messages, 5000)
	fill(&o.Workers, 32)
	for _, r := range []struct {
		flag      string
		v         int
		low, high int
	}{
		{"agencies", o.Agencies, 2, mostAgencies}, {"active", o.Active, 2, min(o.Agencies, 256)}, {"messages", o.Messages, 1, mostMessages},
		{"workers", o.Workers, 1, 4096}, {"idle", o.Idle, 0, 100_000}, {"urgent", o.Urgent, 0, 100_000}, {"urgent-backlog", o.UrgentBacklog, 0, mostMessages},
	} {
		if r.v < r.low || r.v > r.high {
			return &OptionError{r.flag, fmt.Sprintf("must be between %d and %d, not %d", r.low, r.high, r.v)}
		}
	}
	if o.Rate < 0 || o.Rate > 1_000_000 {
		return &OptionError{"rate", "must be between 0 (as fast as it goes) and 1000000 messages a second"}
	}
	if o.UrgentBacklog > 0 && o.Urgent == 0 {
		return &OptionError{"urgent-backlog", "needs --urgent: there is nothing to measure beside the backlog"}
	}
	if least, most, err := sizes(); err != nil {
		return err
	} else if o.Size != 0 && (o.Size < least || o.Size > most) {
		return &OptionError{"size", fmt.Sprintf("must be between %d and %d bytes, or 0 for the example as it is, not %d", least, most, o.Size)}
	}
	if o.Memory && runtime.GOOS != "linux" {
		return &OptionError{"memory", "reads /proc and works on Linux only"}
	}
	if o.Settle < 0 || o.Settle > time.Hour {
		return &OptionError{"settle", "must be between 0s and 1h"}
	}
	if o.Apart && runtime.GOOS == "windows" {
		return &OptionError{"apart", "ends processes with a signal that Windows does not have"}
	}
	if o.Apart && o.Profile != "" {
		return &OptionError{"profile", "sees this process only; with --apart there is nothing of broker and agents in it"}
	}
	if o.Dir != "" {
		if have, err := os.ReadDir(o.Dir); err == nil && len(have) > 0 {
			return &OptionError{"dir", "names a folder that is not empty; a run makes a network of its own"}
		} else if err != nil && !errors.Is(err, os.ErrNotExist) {
			return &OptionError{"dir", "names a folder that cannot be read"}
		}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Progress == nil {
		o.Progress = silent{}
	}
	return nil
}

type silent struct{}

func (silent) Phase(string, int) {}
func (silent) Done(int)          {}
