package agents

import (
	"errors"
	"fmt"
	"net"
	"os"

	"waypost/schemas/health"
)

// HealthConfig is a listener for whoever watches over the agent: /healthz, /readyz and Prometheus' /metrics. Off unless set.
// It hands out numbers and codes only, but even those tell how much an agency has to do and how late it is: on loopback
// every account of the machine may read them unless there is a token.
type HealthConfig struct {
	Listen string `yaml:"listen" env:"WAYPOST_HEALTH_LISTEN"` // host:port; beyond loopback with the API's certificate and a token
	// TokenFile holds what a scraper must show as a bearer token to read /metrics.
	TokenFile string `yaml:"token_file" env:"WAYPOST_HEALTH_TOKEN_FILE"`
}

// checkHealth refuses a listener that anyone on the network could read in passing.
func (c *Config) checkHealth() error {
	h := c.Health
	if h.Listen == "" {
		if h.TokenFile != "" {
			return &ConfigError{File: "health.listen", Text: "is missing", Advice: "for example 127.0.0.1:8421"}
		}
		return nil
	}
	host, _, err := net.SplitHostPort(h.Listen)
	if err != nil {
		return &ConfigError{File: "health.listen", Text: "not a host:port", Advice: "for example 127.0.0.1:8421"}
	}
	if h.TokenFile != "" {
		info, err := os.Stat(h.TokenFile)
		if err != nil {
			return &ConfigError{File: "health.token_file", Text: plainPathError(err), Advice: "make one: openssl rand -hex 32"}
		}
		if info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
			return &ConfigError{File: "health.token_file", Text: "names a secret that others may read", Advice: "chmod 600 it"}
		}
	}
	switch {
	case loopback(host):
		return nil
	case c.API.Cert == "":
		return &ConfigError{File: "health.listen", Text: "listens beyond this machine without TLS", Advice: "set api.cert and api.key, or listen on 127.0.0.1"}
	case h.TokenFile == "":
		return &ConfigError{File: "health.listen", Text: "goes beyond this machine without a token",
			Advice: "set health.token_file: how much waits here, and how late, is not everybody's to know"}
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// healthToken reads the token as it is now; empty when none is asked for.
func (c *Config) healthToken() (string, error) {
	token, err := health.ReadToken(c.Health.TokenFile)
	if errors.Is(err, health.ErrShortToken) {
		return "", &ConfigError{File: "health.token_file", Text: err.Error(), Advice: "make one: openssl rand -hex 32"}
	}
	if err != nil {
		return "", fmt.Errorf("open health listener: %w", err)
	}
	return token, nil
}
