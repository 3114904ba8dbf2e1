//go:build linux

package faults

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"waypost/agents"
	"waypost/broker"
)

// The test binary is also the broker's nodes and the agents: real processes, so that signals are real.
const (
	childRole   = "WAYPOST_FAULTS_ROLE" // broker or agent
	childConfig = "WAYPOST_FAULTS_CONFIG"
	childClock  = "WAYPOST_FAULTS_CLOCK" // file that holds by how much this process's clock is wrong
)

func TestMain(m *testing.M) {
	role := os.Getenv(childRole)
	if role == "" {
		os.Exit(m.Run())
	}
	// A write beyond the limit shall fail as on a full disk, and not end the process.
	signal.Ignore(syscall.SIGXFSZ)
	if err := child(role, os.Getenv(childConfig), slog.New(slog.NewTextHandler(os.Stderr, nil))); err != nil {
		fmt.Fprintln(os.Stderr, "ended:", err)
		os.Exit(1)
	}
}

func child(role, config string, log *slog.Logger) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var offset atomic.Int64
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	go func() {
		for range look.C {
			if text, err := os.ReadFile(os.Getenv(childClock)); err == nil {
				if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil {
					offset.Store(n)
				}
			}
		}
	}()
	now := func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
	if role == "broker" {
		cfg, err := broker.LoadConfigWith(config, nil, nil)
		if err != nil {
			return err
		}
		b, err := broker.New(cfg, broker.WithLogger(log), broker.WithClock(now))
		if err != nil {
			return err
		}
		return b.Run(ctx)
	}
	cfg, err := agents.LoadConfig(config)
	if err != nil {
		return err
	}
	a, err := agents.New(cfg, log, now)
	if err != nil {
		return err
	}
	return a.Run(ctx)
}

// process is one node or agent. As under systemd with Restart=always, it comes back when it ends by itself.
type process struct {
	name, role, config, clock string
	log                       *os.File
	t                         *testing.T

	mu   sync.Mutex
	cmd  *exec.Cmd
	want bool
	down chan struct{} // closed when the present cmd has ended
	wg   sync.WaitGroup
}

func newProcess(t *testing.T, dir, role, name, config string) *process {
	t.Helper()
	log, err := os.Create(dir + "/" + name + ".log")
	if err != nil {
		t.Fatal(err)
	}
	p := &process{name: name, role: role, config: config, clock: dir + "/" + name + ".clock", log: log, t: t}
	t.Cleanup(func() {
		p.kill()
		p.wg.Wait()
		_ = log.Close()
		if text, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("log of %s, its end:\n%s", name, text[max(0, len(text)-6000):])
		}
	})
	return p
}

func (p *process) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.want {
		return
	}
	p.want = true
	p.launch()
}

// launch is called with the lock held.
func (p *process) launch() {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childRole+"="+p.role, childConfig+"="+p.config, childClock+"="+p.clock, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr, cmd.Stdout = p.log, p.log
	if err := cmd.Start(); err != nil {
		p.t.Errorf("start %s: %v", p.name, err)
		return
	}
	down := make(chan struct{})
	p.cmd, p.down = cmd, down
	p.wg.Go(func() {
		_ = cmd.Wait()
		close(down)
		time.Sleep(100 * time.Millisecond) // a supervisor's pause
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.want && p.cmd == cmd {
			p.launch()
		}
	})
}

// kill ends it with SIGKILL, and it stays down.
func (p *process) kill() {
	p.mu.Lock()
	cmd, down := p.cmd, p.down
	p.want = false
	p.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Kill()
	<-down
}

func (p *process) signal(s os.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.cmd.Process.Signal(s)
}

// limit lets every write beyond size bytes of a file fail; 0 lifts it. It stands for a full disk: the same calls fail, with
// EFBIG in place of ENOSPC, and no mount is needed.
func (p *process) limit(size uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if size == 0 {
		size = unix.RLIM_INFINITY
	}
	err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: size, Max: unix.RLIM_INFINITY}, nil)
	if err != nil && !errors.Is(err, syscall.ESRCH) {
		p.t.Errorf("limit %s: %v", p.name, err)
	}
}

func (p *process) skew(d time.Duration) {
	if err := os.WriteFile(p.clock, []byte(strconv.FormatInt(int64(d), 10)), 0o600); err != nil {
		p.t.Error(err)
	}
}
