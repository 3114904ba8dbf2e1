package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// child is this program in a process of its own, as a broker, as an agent or as those who wait.
type child struct {
	part  string
	cmd   *exec.Cmd
	asked sync.Once
	ended chan error // gets one value, when the process is gone
}

// command is how a child is started: its arguments, and after which words it says where it listens.
type command struct {
	part, says, env string
	args            []string
	in              io.Reader
}

// tail keeps the end of what a child wrote to standard error, which says why it did not start.
type tail struct{ text []byte }

const tailMost = 2000

func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-tailMost):]
	return len(p), nil
}

// spawn starts this program and returns what it first prints after c.says.
func (w *world) spawn(ctx context.Context, c command) (*child, string, error) {
	cmd := exec.Command(w.o.Program, c.args...) // ended with a signal, so that it closes its stores
	if w.o.Args0 != "" {
		cmd.Args[0] = w.o.Args0
	}
	if c.env != "" {
		cmd.Env = append(os.Environ(), c.env)
	}
	var said tail
	cmd.Stdin, cmd.Stderr = c.in, &said
	detach(cmd)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", fmt.Errorf("start %s: %w", c.part, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, "", fmt.Errorf("start %s: %w", c.part, err)
	}
	ch := &child{part: c.part, cmd: cmd, ended: make(chan error, 1)}
	found, gone := make(chan string, 1), make(chan struct{})
	go func() {
		in := bufio.NewScanner(out)
		for in.Scan() {
			if _, address, ok := strings.Cut(in.Text(), c.says); ok {
				select {
				case found <- strings.TrimSpace(address):
				default:
				}
			}
		}
		_, _ = io.Copy(io.Discard, out)
		err := cmd.Wait()
		if err != nil {
			err = fmt.Errorf("%s ended: %w\n%s", c.part, err, said.text)
		}
		ch.ended <- err
		close(gone)
	}()
	t := time.NewTimer(startWait)
	defer t.Stop()
	select {
	case address := <-found:
		return ch, address, nil
	case <-gone:
		return nil, "", errors.Join(fmt.Errorf("start %s: it ended at once", c.part), <-ch.ended)
	case <-t.C:
		err = fmt.Errorf("start %s: it did not say where it listens", c.part)
	case <-ctx.Done():
		err = ctx.Err()
	}
	ch.interrupt()
	return nil, "", errors.Join(err, <-ch.ended)
}

// interrupt asks for the end, as Ctrl-C does; once, because a second time ends the program at once.
func (c *child) interrupt() { c.asked.Do(func() { _ = c.cmd.Process.Signal(os.Interrupt) }) }

func (c *child) pid() string { return strconv.Itoa(c.cmd.Process.Pid) }
