package broker

import (
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
)

// Cluster joins brokers into one that goes on while the larger part of its nodes is there. Every node has a file of its
// own: the same but for node, listen and the addresses.
type Cluster struct {
	Node   string     `yaml:"node" env:"NODE"`     // this node's name: no other has it, and it never changes
	Listen string     `yaml:"listen" env:"LISTEN"` // host:port for the other nodes
	Routes []string   `yaml:"routes" env:"ROUTES"` // host:port of the other nodes; its own among them does no harm
	TLS    ClusterTLS `yaml:"tls" envPrefix:"TLS_"`
	// SecretFile holds a password that all nodes share; enough by itself only where nodes talk over loopback.
	SecretFile string `yaml:"secret_file" env:"SECRET_FILE"`
}

// ClusterTLS is what nodes prove themselves to each other with: each shows its certificate, and accepts one of the CA only.
type ClusterTLS struct {
	Cert string `yaml:"cert" env:"CERT"`
	Key  string `yaml:"key" env:"KEY"`
	CA   string `yaml:"ca" env:"CA"` // of the nodes and of nothing else: whoever it certifies is a node
}

func (c *Cluster) on() bool {
	return c.Node != "" || c.Listen != "" || len(c.Routes) > 0 || c.SecretFile != "" || c.TLS != ClusterTLS{}
}

func (c *Cluster) files() []*string {
	return []*string{&c.SecretFile, &c.TLS.Cert, &c.TLS.Key, &c.TLS.CA}
}

// nodeName goes into NATS as a server's name, where a dot or a space would be part of a subject.
var nodeName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// replicas is how many copies of each stream there are.
func (c *Config) replicas() int {
	switch {
	case c.Replicas > 0:
		return c.Replicas
	case c.Cluster.on():
		return 3
	}
	return 1
}

// Copies is how many nodes keep each stream of a broker with this configuration.
func (c *Config) Copies() int { return c.replicas() }

func (c *Config) checkCluster() error {
	k := &c.Cluster
	if !k.on() {
		if c.External.NATS == "" && c.replicas() != 1 {
			return c.wrong("replicas", "must be 1 for one broker", "name the other nodes under cluster")
		}
		return nil
	}
	switch {
	case c.External.NATS != "":
		return c.wrong("cluster", "does not go with external.nats", "an external NATS has its own configuration")
	case !nodeName.MatchString(k.Node):
		return c.wrong("cluster.node", "must be small letters, digits and hyphens", "for example node-a; no other node has it, and it never changes")
	case k.Listen == "":
		return c.wrong("cluster.listen", "is missing", "host:port for the other nodes, for example 0.0.0.0:6222")
	case len(k.Routes) == 0:
		return c.wrong("cluster.routes", "names no other node", "host:port of each, as in their cluster.listen")
	case (k.TLS.Cert == "") != (k.TLS.Key == "") || (k.TLS.Cert == "") != (k.TLS.CA == ""):
		return c.wrong("cluster.tls", "needs cert, key and ca", "")
	case k.TLS.Cert == "" && k.SecretFile == "":
		return c.wrong("cluster", "lets anybody be a node", "set cluster.tls, or cluster.secret_file where all nodes are on this machine")
	}
	for i, a := range append([]string{k.Listen}, k.Routes...) {
		key := "cluster.routes"
		if i == 0 {
			key = "cluster.listen"
		}
		host, port, err := net.SplitHostPort(a)
		if err != nil || port == "" || i > 0 && (host == "" || port == "0") {
			return c.wrong(key, "is not host:port", "for example nats-b.example:6222")
		}
		if k.TLS.Cert == "" && !loopback(host) {
			return c.wrong(key, "goes beyond this machine without TLS", "set cluster.tls: between nodes travels who writes to whom")
		}
	}
	for key, p := range map[string]string{"cluster.tls.cert": k.TLS.Cert, "cluster.tls.key": k.TLS.Key, "cluster.tls.ca": k.TLS.CA, "cluster.secret_file": k.SecretFile} {
		if p == "" {
			continue
		}
		info, err := os.Stat(p)
		if err != nil {
			return c.wrong(key, "names a file that cannot be read", "")
		}
		if (key == "cluster.tls.key" || key == "cluster.secret_file") && info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
			return c.wrong(key, "names a secret that others may read", "chmod 600 it")
		}
	}
	if n := c.replicas(); n%2 == 0 || n > len(k.Routes)+1 {
		return c.wrong("replicas", fmt.Sprintf("is %d for a cluster of at most %d nodes", n, len(k.Routes)+1), "an odd number, not more than there are nodes: 3 lets one node be lost, 5 lets two")
	}
	return nil
}

// secret is the password of routes; empty without one.
func (k *Cluster) secret() (string, error) {
	if k.SecretFile == "" {
		return "", nil
	}
	text, err := os.ReadFile(k.SecretFile)
	if err != nil {
		return "", fmt.Errorf("read cluster secret: %w", err)
	}
	s := strings.TrimSpace(string(text))
	if len(s) < 16 {
		return "", &ConfigError{Key: "cluster.secret_file", Rule: "holds fewer than 16 characters", Advice: "for example: openssl rand -hex 32"}
	}
	return s, nil
}
