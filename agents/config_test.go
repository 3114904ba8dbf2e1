package agents_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"waypost/agents"
	"waypost/agents/route"
)

// TestExampleConfig keeps deploy/examples/agent.yaml true: it is what an agency copies.
func TestExampleConfig(t *testing.T) {
	c, err := agents.LoadConfig(filepath.Join("..", "deploy", "examples", "agent.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range c.Sinks {
		names = append(names, s.Name)
	}
	if _, err := route.Compile(c.Routes, names); err != nil {
		t.Error(err)
	}
	if len(c.Sinks) != 3 || c.Agency != "harbour-ngo" || !filepath.IsAbs(c.Keys) {
		t.Errorf("read %+v", c)
	}
}

func TestConfigErrorsSayWhere(t *testing.T) {
	const good = "agency: test-ngo\n"
	tests := map[string][2]string{
		"unknown key":      {good + "CANARY: 1\n", "[2:1]"},
		"not yaml":         {good + "x: [CANARY", "[2:"},
		"no agency":        {"data: x\n", "Agency"},
		"bad agency":       {"agency: CANARY Agency\n", "[1:9]"},
		"wrong type":       {good + "max_store_mb: CANARY\n", "[2:15]"},
		"sink of no kind":  {good + "sinks:\n  - name: one\n", "Folder"},
		"two of one name":  {good + "sinks:\n  - {name: one, folder: {dir: x}}\n  - {name: one, folder: {dir: y}}\n", "Sinks"},
		"key without cert": {good + "api: {listen: \"127.0.0.1:1\", key: CANARY}\n", "Cert"},
		"open to all":      {good + "api: {listen: \"0.0.0.0:1\"}\n", "without TLS"},
		"no port":          {good + "api: {listen: localhost}\n", "host:port"},
	}
	for name, tc := range tests {
		path := filepath.Join(t.TempDir(), "agent.yaml")
		write(t, path, tc[0])
		_, err := agents.LoadConfig(path)
		var at *agents.ConfigError
		if !errors.As(err, &at) || !strings.Contains(err.Error(), tc[1]) {
			t.Errorf("%s: %v, want it to say %s", name, err, tc[1])
		}
		if name != "unknown key" && err != nil && strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%s: the error repeats the file: %v", name, err)
		}
	}
}
