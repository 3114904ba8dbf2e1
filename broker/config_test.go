package broker

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLoadConfig(t *testing.T) {
	dir := t.TempDir()
	mkdir := func(name string) {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	mkdir("broker")
	for name, perm := range map[string]os.FileMode{"cert.pem": 0o644, "key.pem": 0o600, "open.pem": 0o644, "rest.key": 0o600, "x.creds": 0o600} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("SECRET-VALUE"), perm); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, text string
		env        map[string]string
		line, col  int
		key, rule  string
	}{
		{name: "empty", text: ""},
		{name: "comment only", text: "# nothing\n"},
		{name: "good", text: "listen: 0.0.0.0:4222\ntls: {cert: cert.pem, key: key.pem}\nquotas: {stream_bytes: 1GiB, ledger_bytes: 1GiB, disk: 5GiB, per_pair: 10}\nat_rest: {key_file: rest.key}\nwebsocket: {listen: 127.0.0.1:8443}\n"},
		{name: "size as a number", text: "quotas: {stream_bytes: 1073741824, ledger_bytes: 1073741824, disk: 5368709120}\n"},
		{name: "external", text: "external: {nats: 'nats://127.0.0.1:4222', creds: x.creds}\nreplicas: 3\n"},
		{name: "environment", text: "listen: 0.0.0.0:4222\n", env: map[string]string{"WAYPOST_BROKER_LISTEN": "127.0.0.1:1", "WAYPOST_BROKER_QUOTAS_PER_PAIR": "7"}},

		{name: "unknown key", text: "listen: 127.0.0.1:1\npasword: SECRET-VALUE\n", line: 2, col: 1, key: "pasword", rule: "not a known key"},
		{name: "unknown nested key", text: "tls:\n  cert: cert.pem\n  keey: SECRET-VALUE\n", line: 3, col: 3, key: "keey", rule: "not a known key"},
		{name: "twice", text: "listen: 127.0.0.1:1\nlisten: 127.0.0.1:2\n", line: 2, col: 1, key: "listen", rule: "twice"},
		{name: "wrong type", text: "replicas: SECRET-VALUE\n", line: 1, col: 11, rule: "cannot unmarshal"},
		{name: "not yaml", text: "listen: [SECRET-VALUE\n", line: 1, rule: ""},
		{name: "bad size", text: "quotas:\n  stream_bytes: SECRET-VALUE\n", line: 2, col: 17, key: "quotas.stream_bytes", rule: "size"},
		{name: "open without tls", text: "data: d\nlisten: 0.0.0.0:4222\n", line: 2, col: 9, key: "listen", rule: "without TLS"},
		{name: "name without tls", text: "listen: broker.example:4222\n", line: 1, col: 9, key: "listen", rule: "without TLS"},
		{name: "all interfaces without tls", text: "listen: ':4222'\n", line: 1, col: 9, key: "listen", rule: "without TLS"},
		{name: "open websocket without tls", text: "websocket:\n  listen: 0.0.0.0:443\n", line: 2, col: 11, key: "websocket.listen", rule: "without TLS"},
		{name: "no port", text: "listen: localhost\n", line: 1, col: 9, key: "listen", rule: "host:port"},
		{name: "half tls", text: "tls:\n  cert: cert.pem\n", line: 2, key: "tls", rule: "both"},
		{name: "no such file", text: "tls: {cert: none.pem, key: key.pem}\n", line: 1, col: 13, key: "tls.cert", rule: "cannot be read"},
		{name: "key readable by others", text: "tls: {cert: cert.pem, key: open.pem}\n", line: 1, col: 28, key: "tls.key", rule: "others may read"},
		{name: "no bundle", text: "bundle: nowhere\n", line: 1, col: 9, key: "bundle", rule: "no folder"},
		{name: "no bundle by default", text: "data: d\nbundle: ''\n", line: 2, key: "bundle", rule: "no folder"},
		{name: "replicas alone", text: "replicas: 3\n", line: 1, col: 11, key: "replicas", rule: "must be 1"},
		{name: "quota", text: "quotas: {per_pair: 0}\n", line: 1, col: 20, key: "quotas.per_pair", rule: "between"},
		{name: "ledger", text: "ledger: {interval: 1ms}\n", line: 1, col: 20, key: "ledger.interval", rule: "between"},
		{name: "retention", text: "retention:\n  after_receipt: 9000h\n", line: 2, col: 18, key: "retention.after_receipt", rule: "between"},
		{name: "health", text: "health: {listen: '127.0.0.1:9422', token_file: rest.key}\n"},
		{name: "health beyond", text: "tls: {cert: cert.pem, key: key.pem}\nhealth: {listen: '0.0.0.0:9422', token_file: rest.key}\n"},
		{name: "health to all", text: "tls: {cert: cert.pem, key: key.pem}\nhealth:\n  listen: 0.0.0.0:9422\n", line: 3, col: 11, key: "health.listen", rule: "without a token"},
		{name: "health without tls", text: "health: {listen: '0.0.0.0:9422', token_file: rest.key}\n", line: 1, col: 18, key: "health.listen", rule: "without TLS"},
		{name: "health of no listener", text: "health: {token_file: rest.key}\n", line: 1, key: "health.listen", rule: "is missing"},
		{name: "health with an open token", text: "health: {listen: '127.0.0.1:9422', token_file: open.pem}\n", line: 1, key: "health.token_file", rule: "others may read"},
		{name: "cluster", text: "cluster: {node: node-a, listen: '127.0.0.1:6222', routes: ['127.0.0.1:6223', '127.0.0.1:6224'], secret_file: rest.key}\n"},
		{name: "cluster over TLS", text: "cluster: {node: node-a, listen: '0.0.0.0:6222', routes: ['b.example:6222', 'c.example:6222'], tls: {cert: cert.pem, key: key.pem, ca: cert.pem}}\nreplicas: 3\n"},
		{name: "cluster and external", text: "external: {nats: 'nats://127.0.0.1:4222', creds: x.creds}\ncluster: {node: node-a}\n", line: 2, key: "cluster", rule: "does not go with"},
		{name: "node with a dot", text: "cluster:\n  node: SECRET.VALUE\n", line: 2, col: 9, key: "cluster.node", rule: "small letters"},
		{name: "node alone", text: "cluster: {node: node-a, listen: '127.0.0.1:6222'}\n", line: 1, key: "cluster.routes", rule: "no other node"},
		{name: "anybody a node", text: "cluster: {node: node-a, listen: '127.0.0.1:6222', routes: ['127.0.0.1:6223']}\n", line: 1, key: "cluster", rule: "anybody"},
		{name: "cluster without TLS", text: "cluster: {node: node-a, listen: '0.0.0.0:6222', routes: ['127.0.0.1:6223'], secret_file: rest.key}\n", line: 1, key: "cluster.listen", rule: "without TLS"},
		{name: "route without a port", text: "cluster: {node: node-a, listen: '127.0.0.1:6222', routes: ['SECRET-VALUE'], secret_file: rest.key}\n", line: 1, key: "cluster.routes", rule: "host:port"},
		{name: "cluster half TLS", text: "cluster: {node: node-a, listen: '127.0.0.1:6222', routes: ['127.0.0.1:6223'], tls: {cert: cert.pem}}\n", line: 1, key: "cluster.tls", rule: "needs"},
		{name: "cluster secret readable", text: "cluster: {node: node-a, listen: '127.0.0.1:6222', routes: ['127.0.0.1:6223', '127.0.0.1:6224'], secret_file: open.pem}\n", line: 1, key: "cluster.secret_file", rule: "others may read"},
		{name: "more copies than nodes", text: "cluster: {node: node-a, listen: '127.0.0.1:6222', routes: ['127.0.0.1:6223'], secret_file: rest.key}\n", line: 0, key: "replicas", rule: "at most 2"},
		{name: "even copies", text: "replicas: 2\ncluster: {node: node-a, listen: '127.0.0.1:6222', routes: ['127.0.0.1:6223'], secret_file: rest.key}\n", line: 1, key: "replicas", rule: "at most 2"},
		{name: "disk", text: "quotas: {disk: 1GiB}\n", line: 1, col: 16, key: "quotas.disk", rule: "four times"},
		{name: "cipher", text: "at_rest: {cipher: rot13}\n", line: 1, col: 19, key: "at_rest.cipher", rule: "chacha20 or aes"},
		{name: "external without creds", text: "external: {nats: 'nats://127.0.0.1:4222'}\n", line: 1, key: "external.creds", rule: "missing"},
		{name: "bad environment", env: map[string]string{"WAYPOST_BROKER_REPLICAS": "SECRET-VALUE"}, key: "Replicas", rule: "cannot be read"},
		{name: "bad size in environment", env: map[string]string{"WAYPOST_BROKER_QUOTAS_DISK": "SECRET-VALUE"}, key: "quotas.disk", rule: "not a size"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(dir, "broker.yaml")
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg, err := LoadConfigWith(file, c.env, nil)
			if c.rule == "" && c.line == 0 {
				if err != nil {
					t.Fatal(err)
				}
				if cfg.Bundle != filepath.Join(dir, "broker") && c.text != "" && !strings.HasPrefix(c.text, "#") {
					t.Errorf("bundle %s is not relative to the file", cfg.Bundle)
				}
				if c.env != nil && (cfg.Listen != "127.0.0.1:1" || cfg.Quotas.PerPair != 7) {
					t.Errorf("the environment did not override: %+v", cfg)
				}
				return
			}
			var ce *ConfigError
			if !errors.As(err, &ce) {
				t.Fatalf("got %v, want a ConfigError", err)
			}
			if ce.Line != c.line || c.col != 0 && ce.Column != c.col || ce.Key != c.key || !strings.Contains(ce.Rule, c.rule) {
				t.Errorf("got %d:%d %s %q, want %d:%d %s %q", ce.Line, ce.Column, ce.Key, ce.Rule, c.line, c.col, c.key, c.rule)
			}
			if strings.Contains(err.Error()+ce.Hint(), "SECRET-VALUE") {
				t.Errorf("the error shows the value: %v", err)
			}
			if c.line > 0 && !strings.Contains(err.Error(), "broker.yaml:") {
				t.Errorf("the error does not say where: %v", err)
			}
		})
	}
}

// TestExample: the example that people copy is a good configuration, and so are the keys that it has commented out.
func TestExample(t *testing.T) {
	text, err := os.ReadFile("../deploy/examples/broker.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "broker"), 0o700); err != nil {
		t.Fatal(err)
	}
	cluster, err := os.ReadFile("../deploy/examples/broker-cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"broker.crt", "broker.key", "at-rest.key", "broker.creds", "node.crt", "node.key", "nodes.crt"} {
		if err := os.WriteFile(filepath.Join(dir, f), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "health.token"), []byte(strings.Repeat("t", 32)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	full := strings.NewReplacer("\n#", "\n").Replace(string(text))
	for name, s := range map[string]string{"as it is": string(text), "with everything": full, "cluster": string(cluster)} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(dir, "broker.yaml")
			if err := os.WriteFile(file, []byte(s), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := LoadConfigWith(file, nil, nil); err != nil {
				t.Error(err)
			}
		})
	}
}
