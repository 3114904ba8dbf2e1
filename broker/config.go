package broker

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/dustin/go-humanize"
	"github.com/goccy/go-yaml"
)

// Config is a broker's configuration file. Secrets are named by path, never written in it. Every value can be
// overridden by the environment variable in its tag, for containers.
type Config struct {
	Listen string `yaml:"listen" env:"LISTEN"` // host:port for agencies
	Data   string `yaml:"data" env:"DATA"`     // folder of the streams
	Bundle string `yaml:"bundle" env:"BUNDLE"` // the network authority's broker/ folder, or a copy of it

	TLS       TLS       `yaml:"tls" envPrefix:"TLS_"`
	WebSocket WebSocket `yaml:"websocket" envPrefix:"WEBSOCKET_"`
	Quotas    Quotas    `yaml:"quotas" envPrefix:"QUOTAS_"`
	Ledger    Ledger    `yaml:"ledger" envPrefix:"LEDGER_"`
	Retention Retention `yaml:"retention" envPrefix:"RETENTION_"`
	AtRest    AtRest    `yaml:"at_rest" envPrefix:"AT_REST_"`
	External  External  `yaml:"external" envPrefix:"EXTERNAL_"`
	Cluster   Cluster   `yaml:"cluster" envPrefix:"CLUSTER_"`
	Health    Health    `yaml:"health" envPrefix:"HEALTH_"`

	Replicas int `yaml:"replicas" env:"REPLICAS"` // of every stream; 0 means 1 alone and 3 in a cluster

	file string
	text []byte
}

// TLS names the broker's certificate and key. Without them the broker listens on loopback only.
type TLS struct {
	Cert string `yaml:"cert" env:"CERT"`
	Key  string `yaml:"key" env:"KEY"`
}

// WebSocket is a second listener for agencies whose network lets out nothing but HTTPS.
type WebSocket struct {
	Listen string `yaml:"listen" env:"LISTEN"`
}

// Quotas bound what a member can make the broker keep.
type Quotas struct {
	PerPair     int64 `yaml:"per_pair" env:"PER_PAIR"`         // messages from one agency to one other, in each lane
	StreamBytes Bytes `yaml:"stream_bytes" env:"STREAM_BYTES"` // of each mail stream
	LedgerBytes Bytes `yaml:"ledger_bytes" env:"LEDGER_BYTES"` // of the ledger, which is never emptied: a message takes about 1 KiB
	Disk        Bytes `yaml:"disk" env:"DISK"`                 // of all streams together
}

// Ledger says how often the state of the ledger is signed.
type Ledger struct {
	Interval time.Duration `yaml:"interval" env:"INTERVAL"` // between checkpoints, while there is something new
}

// Retention says when ciphertext is deleted. What has neither a receipt nor its maximum age stays.
type Retention struct {
	AfterReceipt time.Duration `yaml:"after_receipt" env:"AFTER_RECEIPT"` // after the recipient's receipt was stored
	MaxAge       time.Duration `yaml:"max_age" env:"MAX_AGE"`             // of anything in the mail streams
}

// AtRest names a file with a key under which the streams are stored. Bodies are sealed anyway; this hides manifests
// from whoever gets hold of the disk.
type AtRest struct {
	KeyFile string `yaml:"key_file" env:"KEY_FILE"`
	Cipher  string `yaml:"cipher" env:"CIPHER"` // chacha20 or aes
}

// External is a NATS that already runs, which is then provisioned instead of starting one here.
type External struct {
	NATS  string `yaml:"nats" env:"NATS"`
	Creds string `yaml:"creds" env:"CREDS"`
	CA    string `yaml:"ca" env:"CA"`
	// SystemCreds, of the system account, lets the broker ask whether that NATS syncs before it acknowledges.
	SystemCreds string `yaml:"system_creds" env:"SYSTEM_CREDS"`
}

// Bytes is a size that may be written as 2GiB.
type Bytes int64

// badSize is what cannot be read; Check refuses it, and unlike the decoder it knows the line.
const badSize Bytes = -1

// UnmarshalText reads a size in bytes or with a unit.
func (b *Bytes) UnmarshalText(t []byte) error {
	n, err := humanize.ParseBytes(string(t))
	if err != nil || n > 1<<60 {
		*b = badSize
		return nil
	}
	*b = Bytes(n) //nolint:gosec // bounded above
	return nil
}

// String is the size with a unit.
func (b Bytes) String() string { return humanize.IBytes(uint64(max(b, 0))) }

// EnvPrefix begins every environment variable that overrides a value.
const EnvPrefix = "WAYPOST_BROKER_"

// DefaultConfig listens on loopback and keeps generous, but bounded, amounts.
func DefaultConfig() Config {
	return Config{
		Listen: "127.0.0.1:4222", Data: "data", Bundle: "broker",
		Quotas:    Quotas{PerPair: 100_000, StreamBytes: 8 << 30, LedgerBytes: 16 << 30, Disk: 64 << 30},
		Ledger:    Ledger{Interval: 10 * time.Second},
		Retention: Retention{AfterReceipt: 72 * time.Hour, MaxAge: 90 * 24 * time.Hour},
		AtRest:    AtRest{Cipher: "chacha20"},
	}
}

// LoadConfig reads a configuration file, lets the environment override it and checks everything that can be checked
// without starting: a *ConfigError says where the first mistake is. Relative paths are relative to the file.
func LoadConfig(path string) (*Config, error) {
	return LoadConfigWith(path, env.ToMap(os.Environ()), nil)
}

// LoadConfigWith is LoadConfig with an environment of the caller's and a last word, for command line flags, before the
// rules are applied. Without a path it begins with DefaultConfig.
func LoadConfigWith(path string, environment map[string]string, override func(*Config)) (*Config, error) {
	c := DefaultConfig()
	if path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read configuration: %w", err)
		}
		read := c
		if err := yaml.UnmarshalWithOptions(text, &read, yaml.Strict()); err != nil && !errors.Is(err, io.EOF) {
			return nil, yamlError(path, err)
		}
		if !reflect.DeepEqual(read, Config{}) { // a file with nothing in it clears everything
			c = read
		}
		c.file, c.text = path, text
		c.resolve(filepath.Dir(path))
	}
	if err := env.ParseWithOptions(&c, env.Options{Environment: environment, Prefix: EnvPrefix}); err != nil {
		// The library's error quotes the value; the name of the variable is enough.
		return nil, &ConfigError{File: "environment", Key: envKey(err), Rule: "cannot be read", Advice: "see `waypost broker run --help` for the variables and their form"}
	}
	if override != nil {
		override(&c)
	}
	if err := c.Check(); err != nil {
		return nil, err
	}
	return &c, nil
}

func (c *Config) resolve(dir string) {
	for _, p := range append(c.Cluster.files(), &c.Data, &c.Bundle, &c.TLS.Cert, &c.TLS.Key, &c.AtRest.KeyFile, &c.External.Creds, &c.External.CA, &c.External.SystemCreds, &c.Health.TokenFile) {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
}

// Check applies every rule. New runs it too, for configurations that were built in the program.
func (c *Config) Check() error {
	switch {
	case c.External.NATS != "":
		if c.External.Creds == "" {
			return c.wrong("external.creds", "is missing", "name a credentials file with JetStream rights in the network's account")
		}
		if _, err := os.Stat(c.External.Creds); err != nil {
			return c.wrong("external.creds", "names a file that cannot be read", "")
		}
	default:
		if err := c.checkListen("listen", c.Listen); err != nil {
			return err
		}
		if c.WebSocket.Listen != "" {
			if err := c.checkListen("websocket.listen", c.WebSocket.Listen); err != nil {
				return err
			}
		}
		if c.Data == "" {
			return c.wrong("data", "is missing", "name the folder where the broker keeps its streams")
		}
	}
	if err := c.checkCluster(); err != nil {
		return err
	}
	if err := c.checkHealth(); err != nil {
		return err
	}
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		return c.wrong("tls", "needs both cert and key", "")
	}
	for key, p := range map[string]string{"tls.cert": c.TLS.Cert, "tls.key": c.TLS.Key, "at_rest.key_file": c.AtRest.KeyFile, "health.token_file": c.Health.TokenFile} {
		if p == "" {
			continue
		}
		info, err := os.Stat(p)
		if err != nil {
			return c.wrong(key, "names a file that cannot be read", "")
		}
		if key != "tls.cert" && info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
			return c.wrong(key, "names a secret that others may read", "chmod 600 it")
		}
	}
	if info, err := os.Stat(c.Bundle); err != nil || !info.IsDir() {
		return c.wrong("bundle", "names no folder", "`waypost network init` makes it: the broker/ folder inside the network's")
	}
	switch c.AtRest.Cipher {
	case "chacha20", "aes":
	default:
		return c.wrong("at_rest.cipher", "must be chacha20 or aes", "")
	}
	switch {
	case c.Quotas.PerPair < 1 || c.Quotas.PerPair > 10_000_000:
		return c.wrong("quotas.per_pair", "must be between 1 and 10000000", "")
	case c.Quotas.StreamBytes == badSize:
		return c.wrong("quotas.stream_bytes", "is not a size", "for example 8GiB")
	case c.Quotas.Disk == badSize:
		return c.wrong("quotas.disk", "is not a size", "for example 32GiB")
	case c.Quotas.StreamBytes < 16<<20:
		return c.wrong("quotas.stream_bytes", "must be at least 16MiB", "")
	case c.Quotas.LedgerBytes == badSize:
		return c.wrong("quotas.ledger_bytes", "is not a size", "for example 16GiB")
	case c.Quotas.LedgerBytes < 16<<20:
		return c.wrong("quotas.ledger_bytes", "must be at least 16MiB", "")
	case c.Quotas.Disk < 4*c.Quotas.StreamBytes+c.Quotas.LedgerBytes:
		return c.wrong("quotas.disk", "must be at least four times quotas.stream_bytes and quotas.ledger_bytes together", "three mail streams, the directory and the ledger share it")
	case c.Ledger.Interval < 100*time.Millisecond || c.Ledger.Interval > time.Hour:
		return c.wrong("ledger.interval", "must be between 100ms and 1h", "agencies notice a change of history after this time")
	case c.Retention.AfterReceipt < 0 || c.Retention.AfterReceipt > c.Retention.MaxAge:
		return c.wrong("retention.after_receipt", "must be between 0 and retention.max_age", "")
	case c.Retention.MaxAge < time.Minute:
		return c.wrong("retention.max_age", "must be at least a minute", "what is not collected by then is lost: agencies may be away for weeks")
	case c.Replicas < 0 || c.Replicas > 5:
		return c.wrong("replicas", "must be between 1 and 5", "")
	}
	return nil
}

// checkListen refuses to carry manifests, which say who writes to whom, over a network in the clear.
func (c *Config) checkListen(key, listen string) error {
	host, port, err := net.SplitHostPort(listen)
	if err != nil || port == "" {
		return c.wrong(key, "is not host:port", "for example 127.0.0.1:4222")
	}
	if loopback(host) || c.TLS.Cert != "" {
		return nil
	}
	return c.wrong(key, "goes beyond this machine without TLS", "set tls.cert and tls.key, or listen on 127.0.0.1")
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
