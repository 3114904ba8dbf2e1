package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// processMost bounds the load on the processes: memory under load is reached soon.
const processMost = 5000

// child is `waypost broker run` or `waypost agent run` in a process of its own.
type child struct {
	part string
	cmd  *exec.Cmd
	rest chan struct{} // closed when its output has ended
}

// spawn starts this program with args and returns what it first prints after prefix: an address.
func (r *run) spawn(ctx context.Context, part, prefix string, args ...string) (*child, string, error) {
	cmd := exec.Command(r.o.Program, args...) // ended by stop, with a signal, so that it closes its stores
	if r.o.Args0 != "" {
		cmd.Args[0] = r.o.Args0
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", fmt.Errorf("start %s: %w", part, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, "", fmt.Errorf("start %s: %w", part, err)
	}
	c := &child{part: part, cmd: cmd, rest: make(chan struct{})}
	found := make(chan string, 1)
	go func() {
		defer close(c.rest)
		in := bufio.NewScanner(out)
		for in.Scan() {
			if _, address, ok := strings.Cut(in.Text(), prefix); ok {
				select {
				case found <- strings.TrimSpace(address):
				default:
				}
			}
		}
		_, _ = io.Copy(io.Discard, out)
	}()
	t := time.NewTimer(startWait)
	defer t.Stop()
	select {
	case address := <-found:
		return c, address, nil
	case <-c.rest:
		err = fmt.Errorf("start %s: it ended at once", part)
	case <-t.C:
		err = fmt.Errorf("start %s: it did not say where it listens", part)
	case <-ctx.Done():
		err = ctx.Err()
	}
	return nil, "", errors.Join(err, c.stop())
}

func (c *child) stop() error {
	_ = c.cmd.Process.Signal(os.Interrupt)
	<-c.rest
	if err := c.cmd.Wait(); err != nil {
		return fmt.Errorf("stop %s: %w", c.part, err)
	}
	return nil
}

func (c *child) pid() string { return strconv.Itoa(c.cmd.Process.Pid) }

// settledSize waits until a process's size has not changed by more than 2 % for twelve seconds, a minute at most: an idle process
// gives memory back, and looks every five seconds whether it is idle.
func settledSize(ctx context.Context, pid string) int64 {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	same, last := 0, resident(pid)
	for range 120 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return last
		}
		now := resident(pid)
		if d := now - last; d*50 <= last && d*50 >= -last {
			same++
		} else {
			same = 0
		}
		if last = now; same >= 24 {
			break
		}
	}
	return last
}

// processes measures one broker, one sender and one recipient, each in its own process: what runs at an agency is not what the
// whole test holds.
func (r *run) processes(ctx context.Context, dir string) (err error) {
	r.o.Progress.Phase("memory: broker and agents as processes", 0)
	o := *r.o
	o.Agencies, o.Active, o.Messages = 2, 2, min(o.Messages, processMost)
	w, err := build(ctx, filepath.Join(dir, "processes"), &o)
	if err != nil {
		return err
	}
	var running []*child
	defer func() {
		for i := range running {
			err = errors.Join(err, running[len(running)-1-i].stop())
		}
	}()
	b, url, err := r.spawn(ctx, "broker", "broker ready", "broker", "run", "--bundle", w.authority.BrokerBundle(), "--data", filepath.Join(w.dir, "broker"), "--listen", "127.0.0.1:0", "--log-level", "error")
	if err != nil {
		return err
	}
	running = append(running, b)
	w.url = url
	if err := w.authority.Publish(ctx, url); err != nil {
		return err
	}
	for i, a := range w.active {
		if err := w.prepare(ctx, a, url, "127.0.0.1:0"); err != nil {
			return err
		}
		c, api, err := r.spawn(ctx, []string{"sender", "recipient"}[i], "API ", "agent", "run", "--config", a.config, "--log-level", "error")
		if err != nil {
			return err
		}
		running = append(running, c)
		a.url = api
		if err := settled(ctx, a); err != nil {
			return err
		}
	}
	t, err := w.listen()
	if err != nil {
		return err
	}
	defer t.close()
	var sizes []int64
	var watches []func() int64
	for _, c := range running {
		sizes = append(sizes, settledSize(ctx, c.pid()))
	}
	for _, c := range running {
		watches = append(watches, watchMemory(c.pid()))
	}
	caller := newCaller(&o)
	defer caller.close()
	r.o.Progress.Phase("memory: load on the processes", o.Messages)
	sent, err := caller.submit(ctx, part{example: routineExample, pairs: []pair{{w.active[0], w.active[1]}}, count: o.Messages, workers: o.Workers}, nil)
	if err == nil {
		err = t.wait(ctx, len(sent), r.o.Progress.Done)
	}
	for i, c := range running {
		r.result.Parts = append(r.result.Parts, Process{Part: c.part, Idle: sizes[i], Load: watches[i]()})
	}
	return err
}
