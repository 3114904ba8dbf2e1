//go:build unix

package agents_test

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"waypost/agents"
	"waypost/agents/store/postgrestest"
	"waypost/broker/brokertest"
)

var (
	soak = flag.Duration("soak", 0, "how long TestKilledAnywhere goes on; 0: a few kills")
	seed = flag.Uint64("seed", 0, "seed of TestKilledAnywhere; 0: by the clock, printed")
)

// The test binary is also the agent that is killed: a real process, so that SIGKILL is real.
const (
	childConfig = "WAYPOST_TEST_CHILD"
	childDieAt  = "WAYPOST_TEST_DIE_AT" // "before:7": just before the seventh commit; "after:7": just after it
)

func TestMain(m *testing.M) {
	if config := os.Getenv(childConfig); config != "" {
		os.Exit(child(config))
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if os.Getenv("WAYPOST_TEST_STORE") == "postgres" {
		server, err := postgrestest.New()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer server.Remove()
		everywherePostgres = server
	}
	return m.Run()
}

func child(config string) int {
	cfg, err := agents.LoadConfig(config)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	a, err := agents.New(cfg, slog.New(slog.NewTextHandler(os.Stderr, nil)), nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if when, n, ok := strings.Cut(os.Getenv(childDieAt), ":"); ok {
		at, _ := strconv.Atoi(n)
		var commits atomic.Int64
		die := func(side string) func() error {
			return func() error {
				if side == "before" {
					commits.Add(1)
				}
				if when == side && commits.Load() >= int64(at) {
					_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
					select {} // the kernel is on its way
				}
				return nil
			}
		}
		a.OnCommit(die("before"), die("after"))
	}
	fmt.Println(a.URL())
	if err := a.Run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// process is an agent in a process of its own, started again whenever it dies.
type process struct {
	m   *member
	t   testing.TB
	mu  sync.Mutex
	cmd *exec.Cmd
	url string
	log *os.File
}

func (p *process) start(dieAt string) {
	p.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childConfig+"="+p.m.config, childDieAt+"="+dieAt)
	cmd.Stderr = p.log
	out, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd = cmd
	if err == nil {
		p.url = strings.TrimSpace(line)
	}
}

func (p *process) kill() {
	p.mu.Lock()
	cmd := p.cmd
	p.mu.Unlock()
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

func (p *process) member() *member {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := *p.m
	m.url = p.url
	return &m
}

// TestKilledAnywhere kills the sender's and the recipient's agents with SIGKILL, at random moments and exactly before and
// after random commits, while referrals flow. At the end everything that was answered with 202 is in the sink once, and
// nothing is there twice. Run longer with: go test ./agents -run TestKilledAnywhere -soak 5m
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	s := *seed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d (repeat with -seed %d)", s, s)
	random := rand.New(rand.NewPCG(s, 1))

	b := brokertest.Start(t)
	from, to := enrolled(t, b, police, "police", ""), enrolled(t, b, ngo, "ngo", "")
	agreeAll(t, b, police, ngo)
	var procs []*process
	for _, m := range []*member{from, to} {
		log, err := os.Create(filepath.Join(t.TempDir(), "log"))
		if err != nil {
			t.Fatal(err)
		}
		p := &process{m: m, t: t, log: log}
		p.start("")
		t.Cleanup(func() {
			p.kill()
			log.Close()
			if text, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
				t.Logf("log of %s, its end:\n%s", m.id, text[max(0, len(text)-4000):])
			}
		})
		procs = append(procs, p)
	}
	sender := procs[0]
	sender.member().ready(t)

	// Submitters keep one key until they have an answer, as the API asks them to.
	stop := make(chan struct{})
	var mu sync.Mutex
	answered := map[string]string{} // reference → message id
	var submitters sync.WaitGroup
	for w := range 3 {
		submitters.Add(1)
		go func() {
			defer submitters.Done()
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				ref := fmt.Sprintf("ref-%d-%d", w, i)
				body := submission(t, ngo, func(d map[string]any) { d["referral"].(map[string]any)["reference"] = ref })
				for {
					m := sender.member()
					var a accepted
					code, pr := m.call(t, "POST", "/v1/referrals", body, &a, "Idempotency-Key", ref)
					if code == http.StatusAccepted {
						mu.Lock()
						answered[ref] = a.ID
						mu.Unlock()
						break
					}
					if code != 0 && code < 500 {
						t.Errorf("submit: %d %+v", code, pr)
						return
					}
					time.Sleep(20 * time.Millisecond)
				}
			}
		}()
	}

	rounds, deadline := 8, time.Now().Add(*soak)
	kills := 0
	for ; kills < rounds || time.Now().Before(deadline); kills++ {
		p := procs[random.IntN(2)]
		dieAt := ""
		if random.IntN(2) == 0 {
			dieAt = fmt.Sprintf("%s:%d", []string{"before", "after"}[random.IntN(2)], 1+random.IntN(25))
		}
		time.Sleep(time.Duration(50+random.IntN(400)) * time.Millisecond) // let it work; the moment is the point
		p.kill()
		p.start(dieAt)
	}
	close(stop)
	for _, p := range procs {
		p.kill()
		p.start("")
	}
	submitters.Wait()
	for _, p := range procs {
		p.member().ready(t)
	}

	mu.Lock()
	defer mu.Unlock()
	t.Logf("%d kills, %d referrals accepted", kills+2, len(answered))
	if len(answered) < 3 {
		t.Fatalf("only %d referrals accepted: the test did not test", len(answered))
	}
	for ref, id := range answered {
		eventually(t, ref+" delivered", func() bool { return sender.member().out(t, id).State == "delivered" })
	}
	seen := map[string]string{}
	for id := range to.files(t) {
		text, err := os.ReadFile(filepath.Join(to.dir, "systems", "intake", id+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var doc struct {
			Kind    string
			Payload struct{ Reference string }
		}
		if err := json.Unmarshal(text, &doc); err != nil {
			t.Fatalf("half a file in the sink: %v", err)
		}
		if doc.Kind != "referral" {
			continue
		}
		if other, twice := seen[doc.Payload.Reference]; twice {
			t.Errorf("%s is in the sink twice, as %s and %s", doc.Payload.Reference, other, id)
		}
		seen[doc.Payload.Reference] = id
	}
	for ref, id := range answered {
		if seen[ref] != id {
			t.Errorf("%s was accepted as %s and is in the sink as %q", ref, id, seen[ref])
		}
	}
}
