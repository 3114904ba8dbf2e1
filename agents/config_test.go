package agents_test

import (
	"errors"
	"os"
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

// TestExamplePair keeps deploy/examples/agent-pair.yaml true.
func TestExamplePair(t *testing.T) {
	c, err := agents.LoadConfig(filepath.Join("..", "deploy", "examples", "agent-pair.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Store.Postgres == nil || !filepath.IsAbs(c.Store.Postgres.URLFile) || len(c.Sinks) != 1 {
		t.Errorf("read %+v", c)
	}
}

// TestStoreConfig: what is wrong with the file that leads to PostgreSQL is said, what is in it is not.
func TestStoreConfig(t *testing.T) {
	const secret = "CANARY-7231"
	for name, c := range map[string]struct {
		content string
		mode    os.FileMode
		want    string
	}{
		"no file":           {"", 0, "no such file"},
		"readable by all":   {"postgres://u:" + secret + "@127.0.0.1/x\n", 0o644, "others may read"},
		"empty":             {"\n", 0o600, "one line"},
		"two lines":         {"postgres://u:" + secret + "@127.0.0.1/x\n" + secret + "\n", 0o600, "one line"},
		"no URL":            {secret + "\n", 0o600, "not a PostgreSQL URL"},
		"across a network":  {"postgres://u:" + secret + "@db.invalid/x?sslmode=require\n", 0o600, "verify-full"},
		"nobody is at home": {"postgres://u:" + secret + "@127.0.0.1:1/x?sslmode=disable\n", 0o600, "is the server of store.postgres.url_file running"},
	} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "agent.yaml"), "agency: test-ngo\nstore: {postgres: {url_file: url}}\n")
		if c.mode != 0 {
			write(t, filepath.Join(dir, "url"), c.content)
			if err := os.Chmod(filepath.Join(dir, "url"), c.mode); err != nil {
				t.Fatal(err)
			}
		}
		cfg, err := agents.LoadConfig(filepath.Join(dir, "agent.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = agents.OpenStore(cfg)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "store.postgres.url_file") {
			t.Errorf("%s: %v, want it to say %q and where", name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error repeats the file: %v", name, err)
		}
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
		"no such store":    {good + "store: {mysql: {}}\n", "[2:"},
		"store of no file": {good + "store: {postgres: {}}\n", "URLFile"},
		"bounded server":   {good + "max_store_mb: 1\nstore: {postgres: {url_file: x}}\n", "max_store_mb"},
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
