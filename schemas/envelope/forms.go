package envelope

import (
	"strings"

	"waypost/schemas"
)

// Forms of a manifest's members, by hand, because every message is checked several times on its way. The page of the format
// (doc.go) gives them as patterns; a test holds each against its own.

// validKind is ^[a-z][a-z0-9-]{1,38}$.
func validKind(s string) bool { return len(s) >= 2 && len(s) <= 39 && schemas.ValidCode(s) }

// validVersion is ^[1-9][0-9]{0,3}$.
func validVersion(s string) bool {
	if len(s) < 1 || len(s) > 4 || s[0] == '0' {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// validDigest is ^sha256:[0-9a-f]{64}$.
func validDigest(s string) bool {
	hex, ok := strings.CutPrefix(s, "sha256:")
	if !ok || len(hex) != 64 {
		return false
	}
	for i := range len(hex) {
		if c := hex[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
