package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var storySteps = []string{"refer", "deliver", "webhook", "receipt", "accept", "forward", "minimise", "withdraw",
	"withdrawal-outcomes", "refuse-after-withdrawal", "intelligence", "refuse-uncovered", "quarantine-tampered",
	"ledger", "witness", "prove", "disclose", "erase", "verify"}

func playDemo(t *testing.T, args ...string) (code int, steps map[string]bool, order []string, stderr string) {
	t.Helper()
	var out, errOut bytes.Buffer
	code = run(t.Context(), append([]string{"demo", "--exit", "--json"}, args...), strings.NewReader(""), &out, &errOut, nil)
	steps = map[string]bool{}
	dec := json.NewDecoder(&out)
	for dec.More() {
		var s struct {
			Step string
			OK   bool
			MS   *float64
		}
		if err := dec.Decode(&s); err != nil || s.MS == nil {
			t.Fatalf("not a step: %v", err)
		}
		steps[s.Step], order = s.OK, append(order, s.Step)
	}
	return code, steps, order, errOut.String()
}

// TestDemoTwice plays the story twice in one folder, as somebody does who looks again the next day.
func TestDemoTwice(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for range 2 {
		code, steps, order, stderr := playDemo(t, "--dir", dir)
		if code != exitOK || strings.Join(order, " ") != strings.Join(storySteps, " ") {
			t.Fatalf("exit %d, steps %v %v\n%s", code, order, steps, stderr)
		}
	}
	for _, path := range []string{"network/network.yaml", "broker", "agencies/harbour-ngo/agent/agent.yaml", "agencies/harbour-ngo/systems/folder", "agencies/lantern-housing/agent/keys/identity.age",
		"audit/bundle/records", "audit/root.pub", "audit/report.html", "audit/message.proof", "audit/message.disclosure"} {
		if _, err := os.Stat(filepath.Join(dir, path)); err != nil {
			t.Error(err)
		}
	}
}

// TestDemoWithOtherFiles: a file that must not go is refused, the demo says so and ends with a failure; one that may go goes.
func TestDemoWithOtherFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	examples := filepath.Join("..", "..", "deploy", "examples")
	urgent, err := os.ReadFile(filepath.Join(examples, "referral-urgent.json"))
	if err != nil {
		t.Fatal(err)
	}
	hostile := map[string]string{
		"not-json.json":    "\x00\xff<html>",
		"empty.json":       "",
		"array.json":       "[]",
		"unknown.json":     strings.Replace(string(urgent), `"referral"`, `"surprise": 1, "referral"`, 1),
		"narrow.json":      strings.Replace(string(urgent), `"harbour-ngo"`, `"another-ngo"`, 1),
		"misdirected.json": `{"to":"nobody-known"` + "," + string(urgent[1:]),
		"deep.json":        strings.Repeat(`{"a":`, 100000),
	}
	for name, text := range hostile {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		code, steps, order, stderr := playDemo(t, "--referral", path)
		if code != exitFailure || len(order) != len(storySteps) || steps["refer"] || steps["deliver"] || !steps["refuse-uncovered"] {
			t.Errorf("%s: exit %d, %v\n%s", name, code, steps, stderr)
		}
	}
	for _, name := range []string{"referral-routine.json", "referral-child.json"} {
		if code, steps, _, stderr := playDemo(t, "--referral", filepath.Join(examples, name)); !steps["refer"] || !steps["receipt"] {
			t.Errorf("%s: exit %d, %v\n%s", name, code, steps, stderr)
		}
	}
	if code, _, _, stderr := playDemo(t, "--referral", filepath.Join(dir, "none.json")); code != exitFailure || !strings.Contains(stderr, "no such file") {
		t.Errorf("missing file: exit %d %s", code, stderr)
	}
}
