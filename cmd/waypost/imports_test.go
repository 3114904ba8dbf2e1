package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// importRules are the architecture as a test. Each says why, so that whoever meets it can tell whether the reason still
// holds.
var importRules = []struct {
	from, forbidden string // package path prefixes
	except          []string
	transitive      bool
	why             string
}{
	{from: "waypost/schemas", forbidden: "waypost/", except: []string{"waypost/schemas"},
		why: "what agencies say must compile for an auditor or another program without broker or agent"},
	{from: "waypost/schemas", forbidden: "github.com/nats-io/nats", transitive: true,
		why: "formats know nothing of the transport; they must be verifiable offline"},
	{from: "waypost/broker", forbidden: "waypost/agents", transitive: true,
		why: "the middle must not hold code that could open what it carries"},
	{from: "waypost/broker", forbidden: "filippo.io/age", transitive: true,
		why: "promise 1: nobody in the middle reads it; the broker cannot even import age"},
	{from: "waypost/agents", forbidden: "waypost/broker", transitive: true,
		why: "an agent trusts signatures, not the broker's code"},
	{from: "waypost/agents", forbidden: "github.com/nats-io/nats-server", transitive: true,
		why: "an agency runs one small agent, not a server"},
	{from: "waypost/agents/vault", forbidden: "github.com/nats-io/nats.go", transitive: true,
		why: "the code that holds private keys has no network"},
	{from: "waypost/schemas/ledger", forbidden: "github.com/nats-io/nats", transitive: true,
		why: "the ledger is verified on a machine with no broker; nkeys, which reads keys, is another module"},
	{from: "waypost/cmd/waypost/bench/floor", forbidden: "waypost/",
		why: "the floor is what a message costs without Waypost: what Waypost does badly must not lower it"},
	{from: "waypost/deploy", forbidden: "waypost/",
		why: "examples are data"},
}

type listed struct {
	ImportPath   string
	Imports      []string
	Deps         []string
	TestImports  []string
	XTestImports []string
}

func TestImports(t *testing.T) {
	var stderr bytes.Buffer
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Deps,TestImports,XTestImports", "waypost/...")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	checked := map[string]int{}
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		// brokertest is a test helper that starts real brokers; only tests import it, and that is checked here too.
		if slices.Contains(append(slices.Clone(p.Imports), p.Deps...), "waypost/broker/brokertest") {
			t.Errorf("%s imports brokertest outside its tests", p.ImportPath)
		}
		if slices.Contains(append(slices.Clone(p.Imports), p.Deps...), "waypost/schemas/health/healthtest") {
			t.Errorf("%s imports healthtest outside its tests", p.ImportPath)
		}
		for _, helper := range []string{"waypost/agents/store/storetest", "waypost/agents/store/postgrestest"} {
			if p.ImportPath != helper && slices.Contains(p.Deps, helper) {
				t.Errorf("%s imports %s outside its tests", p.ImportPath, helper)
			}
		}
		for _, r := range importRules {
			if !within(p.ImportPath, r.from) {
				continue
			}
			checked[r.from+" "+r.forbidden]++
			deps := p.Imports
			if r.transitive {
				deps = p.Deps
			}
			for _, d := range deps {
				if !strings.HasPrefix(d, r.forbidden) || slices.ContainsFunc(r.except, func(e string) bool { return within(d, e) }) {
					continue
				}
				t.Errorf("%s imports %s: %s", p.ImportPath, d, r.why)
			}
		}
	}
	if len(checked) < len(importRules) {
		t.Errorf("only %d of %d rules met a package: a rule that matches nothing protects nothing", len(checked), len(importRules))
	}
}

func within(path, prefix string) bool { return path == prefix || strings.HasPrefix(path, prefix+"/") }
