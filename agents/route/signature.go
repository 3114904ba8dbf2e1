package route

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Standard Webhooks 1.0.0, "Signature scheme": the signed content is "<id>.<timestamp>.<body>". Secrets are whsec_ and
// base64 of 24 to 64 bytes for v1 (HMAC-SHA-256); whsk_ and base64 of an Ed25519 seed or private key for v1a. Several
// signatures, of old and new keys, stand in one header with spaces between them.
const (
	secretPrefix  = "whsec_"
	privatePrefix = "whsk_"
)

type signingKey struct {
	hmac    []byte
	private ed25519.PrivateKey
}

func (k signingKey) sign(content []byte) string {
	if k.private != nil {
		return "v1a," + base64.StdEncoding.EncodeToString(ed25519.Sign(k.private, content))
	}
	m := hmac.New(sha256.New, k.hmac)
	m.Write(content)
	return "v1," + base64.StdEncoding.EncodeToString(m.Sum(nil))
}

func signContent(keys []signingKey, id string, at time.Time, body []byte) (timestamp, signatures string) {
	timestamp = strconv.FormatInt(at.Unix(), 10)
	content := append([]byte(id+"."+timestamp+"."), body...)
	all := make([]string, len(keys))
	for i, k := range keys {
		all[i] = k.sign(content)
	}
	return timestamp, strings.Join(all, " ")
}

// readSigningKey reads a secret file, which only its owner may read. No error shows what is in it.
func readSigningKey(path string) (signingKey, error) {
	info, err := os.Stat(path)
	if err != nil {
		return signingKey{}, fmt.Errorf("read webhook secret: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return signingKey{}, fmt.Errorf("read webhook secret: others can read it: chmod 600 %s", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return signingKey{}, fmt.Errorf("read webhook secret: %w", err)
	}
	return parseSigningKey(strings.TrimSpace(string(text)))
}

func parseSigningKey(s string) (signingKey, error) {
	if encoded, ok := strings.CutPrefix(s, secretPrefix); ok {
		b, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil || len(b) < 24 || len(b) > 64 {
			return signingKey{}, errors.New("webhook secret: after whsec_ come 24 to 64 bytes in base64")
		}
		return signingKey{hmac: b}, nil
	}
	if encoded, ok := strings.CutPrefix(s, privatePrefix); ok {
		b, err := base64.StdEncoding.DecodeString(encoded)
		switch {
		case err == nil && len(b) == ed25519.SeedSize:
			return signingKey{private: ed25519.NewKeyFromSeed(b)}, nil
		case err == nil && len(b) == ed25519.PrivateKeySize:
			// Signing with another key's public half gives the private one away.
			if k := ed25519.NewKeyFromSeed(b[:ed25519.SeedSize]); k.Equal(ed25519.PrivateKey(b)) {
				return signingKey{private: k}, nil
			}
		}
		return signingKey{}, errors.New("webhook secret: after whsk_ comes an Ed25519 private key in base64")
	}
	return signingKey{}, errors.New("webhook secret: it begins with neither whsec_ nor whsk_")
}
