package broker

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// tlsConfig reads certificate and key, so that a mistake is found before anything is opened, and looks for renewed
// files at handshakes, so that a certificate can be replaced without a restart.
func tlsConfig(files TLS) (*tls.Config, error) {
	p := &keyPair{files: files}
	if err := p.load(); err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: p.get}, nil
}

type keyPair struct {
	files TLS

	mu      sync.Mutex
	cert    *tls.Certificate
	changed time.Time // modification time of the certificate that is loaded
	looked  time.Time
}

func (p *keyPair) load() error {
	info, err := os.Stat(p.files.Cert)
	if err != nil {
		return fmt.Errorf("read TLS certificate: %w", err)
	}
	cert, err := tls.LoadX509KeyPair(p.files.Cert, p.files.Key)
	if err != nil {
		return fmt.Errorf("read TLS certificate: %w", err)
	}
	p.cert, p.changed = &cert, info.ModTime()
	return nil
}

// get keeps the old certificate if the new files do not fit together, as between the replacement of one and the other.
func (p *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); now.Sub(p.looked) > 10*time.Second {
		p.looked = now
		if info, err := os.Stat(p.files.Cert); err == nil && !info.ModTime().Equal(p.changed) {
			_ = p.load()
		}
	}
	return p.cert, nil
}
