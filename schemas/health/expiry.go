package health

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"time"
)

// CertificateExpiry is when the first of the certificates in PEM text ends; the zero time when there is none in it.
func CertificateExpiry(text []byte) (first time.Time, err error) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return first, nil
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return time.Time{}, fmt.Errorf("read certificate: %w", err)
		}
		if first.IsZero() || c.NotAfter.Before(first) {
			first = c.NotAfter
		}
	}
}

// CertificateFileExpiry is CertificateExpiry of a file as it is now: a renewed one counts at once.
func CertificateFileExpiry(path string) (time.Time, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return time.Time{}, fmt.Errorf("read certificate: %w", err)
	}
	return CertificateExpiry(text)
}
