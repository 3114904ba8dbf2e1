package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"waypost/agents"
	"waypost/broker"
	"waypost/broker/brokertest"
	"waypost/schemas"
	"waypost/schemas/directory"
	"waypost/schemas/health/healthtest"
)

var update = flag.Bool("update", false, "write deploy/monitoring/METRICS.md")

const monitoring = "../../deploy/monitoring"

// clustered are metrics that only a broker of several nodes has; package broker's TestCluster scrapes them.
var clustered = []string{"waypost_broker_stream_replica_lag_operations"}

// declared is a metric as the source says.
type declared struct{ name, kind, help, labels string }

// declarations finds every metric in the source of a package.
func declarations(t *testing.T, dir string) (out []declared) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			f, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || f.Sel.Name != "Gauge" && f.Sel.Name != "Counter" {
				return true
			}
			if x, ok := f.X.(*ast.Ident); !ok || x.Name != "health" {
				return true
			}
			var words []string
			for _, a := range call.Args {
				lit, ok := a.(*ast.BasicLit)
				if !ok {
					t.Fatalf("%s: a metric whose name, help or labels are not written out", dir)
				}
				w, _ := strconv.Unquote(lit.Value)
				words = append(words, w)
			}
			out = append(out, declared{words[0], strings.ToLower(f.Sel.Name), words[1], strings.Join(words[2:], ", ")})
			return true
		})
	}
	slices.SortFunc(out, func(a, b declared) int { return strings.Compare(a.name, b.name) })
	return out
}

// scraped starts a broker and an agent, lets a message go through, and reads what both say.
func scraped(t *testing.T) (ofBroker, ofAgent *healthtest.Page) {
	t.Helper()
	b := brokertest.Start(t, brokertest.WithConfig(func(c *broker.Config) { c.Health.Listen = "127.0.0.1:0" }))
	config := enrolledAgent(t, b)
	cfg, err := agents.LoadConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	a, err := agents.New(cfg, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	waitFor(t, "the agent is ready", func() bool { _, st := healthtest.State(t, a.HealthURL()); return st.Ready })
	// Held and quarantined messages are labelled by why, so there is nothing to read without any.
	if _, err := b.JetStream(t).Publish(t.Context(), "mail.urgent.test-police.other", []byte("nothing")); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the broker has read its status, and its ledger is signed", func() bool {
		ofBroker = healthtest.Metrics(t, b.HealthURL(), "")
		return ofBroker.Samples["waypost_broker_status_read"] == 1 && ofBroker.Samples["waypost_broker_ledger_signed_timestamp_seconds"] > 0
	})
	waitFor(t, "the agent has set the message aside", func() bool {
		ofAgent = healthtest.Metrics(t, a.HealthURL(), "")
		return ofAgent.Samples["waypost_agent_quarantined_messages_total"] == 1
	})
	return ofBroker, ofAgent
}

// enrolledAgent makes an agency of the network whose agent was never started, and returns its configuration file.
func enrolledAgent(t *testing.T, b *brokertest.Broker) (config string) {
	t.Helper()
	dir := t.TempDir()
	made, err := agents.Init(dir, agents.InitOptions{Agency: "test-police", Name: "Test Police"})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(made.RequestFile)
	if err != nil {
		t.Fatal(err)
	}
	request, err := directory.ParseRequest(text)
	if err != nil {
		t.Fatal(err)
	}
	grant, err := b.Enrol(t, request, schemas.RolePolice).Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := agents.Join(dir, grant, nil); err != nil {
		t.Fatal(err)
	}
	config = filepath.Join(dir, "agent.yaml")
	settings := fmt.Sprintf("agency: test-police\nbrokers: [%q]\napi: {listen: \"127.0.0.1:0\"}\nhealth: {listen: \"127.0.0.1:0\"}\n"+
		"sinks:\n  - name: folder\n    folder: {dir: systems}\nroutes:\n  - sinks: [folder]\n", b.URL())
	if err := os.WriteFile(config, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	return config
}

// TestMetricsAreDocumented: METRICS.md lists every metric of the source with its help, and a running broker and agent say
// exactly these; dashboard and alerts use no other. Write the list anew with: go test ./cmd/waypost -run Metrics -update
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	var all []declared
	var doc strings.Builder
	doc.WriteString(metricsIntroduction)
	for _, part := range []struct{ title, dir string }{{"An agent", "../../agents"}, {"A broker", "../../broker"}} {
		fmt.Fprintf(&doc, "\n## %s\n\n| Metric | Type | Labels | What it is |\n|---|---|---|---|\n", part.title)
		for _, d := range declarations(t, part.dir) {
			fmt.Fprintf(&doc, "| `%s` | %s | %s | %s |\n", d.name, d.kind, d.labels, d.help)
			all = append(all, d)
		}
	}
	if len(all) < 60 {
		t.Fatalf("only %d metrics found in the source", len(all))
	}
	path := filepath.Join(monitoring, "METRICS.md")
	if *update {
		if err := os.WriteFile(path, []byte(doc.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != doc.String() {
		t.Errorf("METRICS.md is not what the source says (%v); see this test", err)
	}

	ofBroker, ofAgent := scraped(t)
	help, kind := maps.Clone(ofBroker.Help), maps.Clone(ofBroker.Type)
	maps.Copy(help, ofAgent.Help)
	maps.Copy(kind, ofAgent.Type)
	known := map[string]bool{"waypost_build_info": true}
	for _, d := range all {
		known[d.name] = true
		if said, ok := help[d.name]; !ok && !slices.Contains(append(clustered, "waypost_agent_outbox_held_messages"), d.name) {
			t.Errorf("%s is declared, and neither broker nor agent says it", d.name)
		} else if ok && (said != d.help || kind[d.name] != d.kind) {
			t.Errorf("%s is declared as %s %q and said as %s %q", d.name, d.kind, d.help, kind[d.name], said)
		}
	}
	for name := range help {
		if strings.HasPrefix(name, "waypost_") && !known[name] {
			t.Errorf("%s is said and not declared", name)
		}
	}
	if _, ok := ofBroker.Samples[`up`]; ok {
		t.Error("up is Prometheus' own")
	}
	names := regexp.MustCompile(`waypost_[a-z_]+`)
	for _, file := range []string{"alerts.yaml", "alerts_test.yaml", "dashboard.json"} {
		used := names.FindAllString(readMonitoring(t, file), -1)
		if len(used) < 40 {
			t.Errorf("%s names only %d metrics", file, len(used))
		}
		for _, name := range used {
			if !known[name] {
				t.Errorf("%s asks for %s, which nobody says", file, name)
			}
		}
	}
	for name, page := range map[string]*healthtest.Page{"broker": ofBroker, "agent": ofAgent} {
		promtool(t, strings.NewReader(page.Text), "check", "metrics")
		if !strings.Contains(page.Text, `waypost_build_info{`) || !strings.Contains(page.Text, `program="`+name+`"`) || !strings.Contains(page.Text, "go_goroutines ") || !strings.Contains(page.Text, "process_") {
			t.Errorf("the %s does not say what it is", name)
		}
	}
}

// alertFile is what the test needs of alerts.yaml.
type alertFile struct {
	Groups []struct {
		Rules []struct {
			Alert, Expr         string
			Labels, Annotations map[string]string
		}
	}
}

// TestAlerts: Prometheus' own tool finds the rules, their tests and the scrape configuration right; every rule says how bad
// it is, what is the matter and what to do, with commands that exist; and every rule is seen firing in a test.
func TestAlerts(t *testing.T) {
	var rules alertFile
	if err := yaml.Unmarshal([]byte(readMonitoring(t, "alerts.yaml")), &rules); err != nil {
		t.Fatal(err)
	}
	tests := readMonitoring(t, "alerts_test.yaml")
	commands := regexp.MustCompile("`waypost ([^`]+)`")
	count, called := 0, 0
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			count++
			if s := r.Labels["severity"]; s != "critical" && s != "warning" {
				t.Errorf("%s has severity %q", r.Alert, s)
			}
			if len(r.Annotations["summary"]) < 20 || len(r.Annotations["runbook"]) < 20 || len(r.Annotations) != 2 {
				t.Errorf("%s does not say what is the matter and what to do", r.Alert)
			}
			if !strings.Contains(tests, `alertname="`+r.Alert+`"`) {
				t.Errorf("%s is never seen firing in alerts_test.yaml", r.Alert)
			}
			for _, c := range commands.FindAllStringSubmatch(r.Annotations["runbook"], -1) {
				called++
				words := strings.Fields(c[1])
				found, rest, err := newRootCommand().Find(words)
				if err != nil || found.HasSubCommands() || found.Name() == "waypost" {
					t.Errorf("%s advises `waypost %s`, which is no command", r.Alert, c[1])
					continue
				}
				for _, w := range rest {
					if name, ok := strings.CutPrefix(w, "--"); ok && found.Flag(name) == nil {
						t.Errorf("%s advises `waypost %s`, and there is no %s", r.Alert, c[1], w)
					}
				}
			}
		}
	}
	if count < 40 || called < 20 {
		t.Fatalf("only %d rules and %d commands found", count, called)
	}
	promtool(t, nil, "check", "rules", "alerts.yaml")
	promtool(t, nil, "test", "rules", "alerts_test.yaml")
	promtool(t, nil, "check", "config", "prometheus.example.yml")
}

// TestDashboard: panels do not lie over one another, every one asks something, and Prometheus understands what.
func TestDashboard(t *testing.T) {
	var d struct {
		Title         string
		SchemaVersion int
		Templating    struct{ List []struct{ Name, Type string } }
		Panels        []struct {
			ID          int
			Type, Title string
			GridPos     struct{ H, W, X, Y int }
			Datasource  struct{ Type, UID string }
			Targets     []struct {
				RefID, Expr string
				Datasource  struct{ UID string }
			}
		}
	}
	if err := json.Unmarshal([]byte(readMonitoring(t, "dashboard.json")), &d); err != nil {
		t.Fatal(err)
	}
	taken, ids := map[[2]int]string{}, map[int]bool{}
	var rules strings.Builder
	rules.WriteString("groups:\n  - name: dashboard\n    rules:\n")
	asked := 0
	for _, p := range d.Panels {
		if p.ID == 0 || ids[p.ID] || p.Title == "" {
			t.Errorf("panel %d %q has no number or title of its own", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Errorf("panel %q lies over %q, or beyond the edge", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		refs := map[string]bool{}
		for _, q := range p.Targets {
			if q.RefID == "" || refs[q.RefID] || q.Datasource.UID != "${datasource}" || p.Datasource.UID != "${datasource}" {
				t.Errorf("panel %q: a question without a letter or a source of its own", p.Title)
			}
			refs[q.RefID] = true
			expr := strings.NewReplacer("$agent", ".+", "$broker", ".+").Replace(q.Expr)
			fmt.Fprintf(&rules, "      - record: dashboard:%d\n        expr: %s\n", asked, strconv.Quote(expr))
			asked++
		}
		if len(refs) == 0 {
			t.Errorf("panel %q asks nothing", p.Title)
		}
	}
	if d.SchemaVersion < 36 || len(d.Templating.List) != 3 || asked < 40 {
		t.Errorf("schema %d, %d variables, %d questions", d.SchemaVersion, len(d.Templating.List), asked)
	}
	path := filepath.Join(t.TempDir(), "dashboard.yaml")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(rules.String(), "dashboard:", "dashboard:q")), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, nil, "check", "rules", path)
}

func readMonitoring(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(monitoring, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// promtool is Debian's, of the package prometheus. Nothing is started.
func promtool(t *testing.T, input *strings.Reader, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("WAYPOST_REQUIRE") == "all" {
			t.Fatal("WAYPOST_REQUIRE=all, and there is no promtool (Debian: prometheus)")
		}
		t.Skip("no promtool: rules, dashboard and metrics are not judged by Prometheus")
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = monitoring, &out, &out
	if input != nil {
		cmd.Stdin = input
	}
	if err := cmd.Run(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, &out)
	}
}

const metricsIntroduction = `# What can be read at /metrics

Written by ` + "`go test ./cmd/waypost -run Metrics -update`" + ` from the source; a test compares it with a running broker and a running agent.

- **Nothing is about a person.** Labels are lanes, sides, the names of this agency's own sinks, codes of Waypost's own, and, at a
  broker only, agencies, nodes and streams. No message, thread, certificate or kind of need is named, and an agent names no
  other agency. Even so it is nobody else's business how much an agency has to do: the listeners are off unless
  configured, and beyond loopback they ask for TLS and a token.
- **How urgent** something is shows as its lane: urgent or routine. More is sealed. Whether an answer is overdue is therefore
  known to the agencies; a broker knows how long something has lain with it, and administrators use ` + "`waypost audit report`" + `.
- **Ages** are in seconds and 0 when nothing waits. **Ends** are in seconds since 1970, infinite for never; the days that are left
  are ` + "`(x - time()) / 86400`" + `. What is not known is left out, never reported as it was.
- **It costs little**: one scrape of an agent with a million finished messages each way takes 2 ms (BenchmarkGauges), and
  however many ask, the store is read every ten seconds at the most.

` + "`/healthz`" + ` answers as long as the process does. Restart on it and on nothing else: a restart mends no disk, no directory and no network.

` + "`/readyz`" + ` says 200 while what is handed over is accepted, else 503 with a code:

| Who | Code | Why it is not ready |
|---|---|---|
| agent | ` + "`store-full`" + `, ` + "`store-unavailable`" + ` | nothing can be written (it tries, every 15 seconds at the most): neither what is sent nor what comes can be kept. With SQLite also: the log beside the database file still takes what comes, and cannot be moved into the file |
| agent | ` + "`recovering`" + ` | restored from a backup: until the ledger has said which numbers were given since, nothing is sent |
| agent | ` + "`standby`" + ` | of a pair, the other agent works; this one answers reads and takes over when that one is gone |
| agent | ` + "`no-directory`" + ` | it never had one: nobody is known to whom anything could be sent |
| agent | ` + "`directory-expired`" + ` | submissions are refused, and what comes waits at the broker |
| agent | ` + "`stopping`" + ` | – |
| broker | ` + "`starting`" + `, ` + "`no-streams`" + `, ` + "`no-directory`" + `, ` + "`stopping`" + ` | messages cannot be stored through this process |
| broker | ` + "`not-answering`" + ` | nothing can be stored now (it tries, every five seconds at the most): the larger part of the nodes is not up, or a disk is full |

An agent that does not reach its broker **is ready**: it accepts, and keeps what it accepted until the broker is back; nobody who would
be asked instead could do better. After two minutes ` + "`attention`" + ` in the answer names ` + "`broker-unreachable`" + `. What came before can be read
at the API whether the agent is ready or not: where an orchestrator takes unready programs away from those who ask, let
it leave the API where it is (in Kubernetes: publishNotReadyAddresses).
`

// waitFor polls a condition. The limit is for a machine under load; nothing here is a claim about speed.
func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("timed out waiting: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
