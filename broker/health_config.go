package broker

import (
	"crypto/tls"
	"net"
)

// Health is a listener for whoever watches over the broker: /healthz, /readyz and Prometheus' /metrics. Off unless set.
type Health struct {
	Listen string `yaml:"listen" env:"LISTEN"` // host:port; beyond loopback with the certificate of tls
	// TokenFile holds what a scraper must show as a bearer token to read /metrics, which say how much waits for whom.
	TokenFile string `yaml:"token_file" env:"TOKEN_FILE"`
}

func (c *Config) checkHealth() error {
	h := &c.Health
	if h.Listen == "" {
		if h.TokenFile != "" {
			return c.wrong("health.listen", "is missing", "for example 127.0.0.1:9422")
		}
		return nil
	}
	if err := c.checkListen("health.listen", h.Listen); err != nil {
		return err
	}
	if host, _, err := net.SplitHostPort(h.Listen); err == nil && !loopback(host) && h.TokenFile == "" {
		return c.wrong("health.listen", "goes beyond this machine without a token", "set health.token_file: how much waits for which agency is not everybody's to know")
	}
	return nil
}

// tls is nil on loopback without a certificate.
func (c *Config) healthTLS() (*tls.Config, error) {
	if c.TLS.Cert == "" {
		return nil, nil
	}
	return tlsConfig(c.TLS)
}
