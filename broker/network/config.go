package network

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

const configFile = "network.yaml"

// Config is network.yaml. It holds no secret and people may edit it; a mistake is answered with line and column.
type Config struct {
	Name string   `yaml:"name"`
	URLs []string `yaml:"urls"`
	CA   string   `yaml:"ca,omitempty"` // path of a PEM file, relative to the folder, copied into grants
	TTL  string   `yaml:"head_ttl"`
}

// HeadTTL is how long a signed head is valid.
func (c *Config) HeadTTL() time.Duration {
	d, err := time.ParseDuration(c.TTL)
	if err != nil || d <= 0 { // check has refused it
		return DefaultHeadTTL
	}
	return d
}

func newConfig(dir string, o Options) (*Config, error) {
	if o.HeadTTL == 0 {
		o.HeadTTL = DefaultHeadTTL
	}
	c := &Config{Name: o.Name, URLs: o.URLs, TTL: o.HeadTTL.String()}
	if o.CA != "" {
		ca, err := filepath.Abs(o.CA)
		if err != nil {
			return nil, fmt.Errorf("find CA file: %w", err)
		}
		c.CA = ca
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	if _, err := c.caPEM(dir); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Config) check() error {
	if strings.TrimSpace(c.Name) == "" {
		return hint(errors.New("network configuration: name is empty"), "give the network a name, for example --name \"County network\"")
	}
	if strings.ContainsAny(c.Name, "\r\n\t") || len(c.Name) > 100 {
		return errors.New("network configuration: name must be one line of at most 100 bytes")
	}
	if len(c.URLs) == 0 {
		return hint(errors.New("network configuration: no broker address"), "say where agencies will reach the broker, for example --url tls://broker.example:4222")
	}
	for _, raw := range c.URLs {
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" || u.User != nil {
			return hint(errors.New("network configuration: a broker address is not a URL"), "use nats://, tls://, ws:// or wss://, host and port, without a user")
		}
		switch u.Scheme {
		case "nats", "tls", "ws", "wss":
		default:
			return hint(fmt.Errorf("network configuration: broker address with scheme %q", u.Scheme), "use nats://, tls://, ws:// or wss://")
		}
	}
	if d, err := time.ParseDuration(c.TTL); err != nil || d < time.Minute {
		return hint(errors.New("network configuration: head_ttl is not a duration of at least a minute"), "for example head_ttl: 720h0m0s")
	}
	return nil
}

func (c *Config) caPEM(dir string) (string, error) {
	if c.CA == "" {
		return "", nil
	}
	p := c.CA
	if !filepath.IsAbs(p) {
		p = filepath.Join(dir, p)
	}
	b, err := os.ReadFile(p)
	if err != nil {
		return "", fmt.Errorf("read CA file: %w", err)
	}
	if strings.Contains(string(b), "PRIVATE KEY") {
		return "", hint(errors.New("read CA file: it holds a private key"), "a grant is sent to agencies: name the certificate file")
	}
	if !strings.Contains(string(b), "-----BEGIN CERTIFICATE-----") {
		return "", errors.New("read CA file: no PEM certificate in it")
	}
	return string(b), nil
}

func (c *Config) write(dir string) error {
	b, err := yaml.Marshal(c)
	if err != nil {
		return fmt.Errorf("write network configuration: %w", err)
	}
	return WriteFile(filepath.Join(dir, configFile), b, 0o600)
}

func readConfig(dir string) (*Config, error) {
	p := filepath.Join(dir, configFile)
	b, err := os.ReadFile(p)
	if errors.Is(err, os.ErrNotExist) {
		return nil, hint(fmt.Errorf("open network: no %s in %s", configFile, dir), "run `waypost network init` first, or name the folder with --dir")
	}
	if err != nil {
		return nil, fmt.Errorf("open network: %w", err)
	}
	c := Config{TTL: DefaultHeadTTL.String()}
	if err := yaml.UnmarshalWithOptions(b, &c, yaml.Strict()); err != nil {
		// Without source lines: the habit matters more than this file, which holds no secret.
		return nil, fmt.Errorf("read %s: %s", p, yaml.FormatError(err, false, false))
	}
	return &c, c.check()
}
