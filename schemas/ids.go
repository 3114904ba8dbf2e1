package schemas

import "github.com/google/uuid"

// The forms of ids, for the schemas. The functions below are the same by hand, because ids are checked many times for every
// message; a test holds each against its pattern.
const (
	agencyIDPattern  = `^[a-z][a-z0-9-]{1,38}[a-z0-9]$`
	messageIDPattern = `^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`
	threadIDPattern  = `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`
	codePattern      = `^[a-z][a-z0-9-]{0,63}$`
)

// ValidAgencyID reports whether s can name an agency. The form is also safe as a NATS user name, a subject
// token, a durable name and a folder name: no dot, no wildcard, no separator, no upper case.
func ValidAgencyID(s string) bool {
	return len(s) >= 3 && validWord(s, 40) && s[len(s)-1] != '-'
}

// ValidMessageID reports whether s is a UUIDv7 in lower-case canonical form. Other spellings of the same UUID
// are refused: a second spelling would be a second message to whoever compares strings.
func ValidMessageID(s string) bool { return validUUID(s, '7') }

// ValidThreadID reports whether s is a random (version 4) UUID in lower-case canonical form. Certificate ids
// have the same form.
func ValidThreadID(s string) bool { return validUUID(s, '4') }

// ValidCode reports whether s is written like a code: a basis, a reason, a code of an outcome. Whether it is known is
// another question.
func ValidCode(s string) bool { return validWord(s, 64) }

// validWord reports whether s is a lower-case letter and then such letters, digits and hyphens, at most so many in all.
func validWord(s string, most int) bool {
	if s == "" || len(s) > most || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

func validUUID(s string, version byte) bool {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[14] != version || s[18] != '-' || s[23] != '-' {
		return false
	}
	if v := s[19]; v != '8' && v != '9' && v != 'a' && v != 'b' {
		return false
	}
	return lowerHex(s[:8]) && lowerHex(s[9:13]) && lowerHex(s[14:18]) && lowerHex(s[19:23]) && lowerHex(s[24:])
}

func lowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// NewMessageID returns a new UUIDv7. It panics only when the operating system has no randomness.
func NewMessageID() string { return uuid.Must(uuid.NewV7()).String() }

// NewThreadID returns a new random UUID, for threads and certificates. No id is ever derived from data of a
// person. It panics only when the operating system has no randomness.
func NewThreadID() string { return uuid.Must(uuid.NewRandom()).String() }
