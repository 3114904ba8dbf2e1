package schemas

import "github.com/google/uuid"

// The forms of ids, as the schemas say them; forms.go has them by hand.
const (
	agencyIDPattern  = `^[a-z][a-z0-9-]{1,38}[a-z0-9]$`
	messageIDPattern = `^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`
	threadIDPattern  = `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`
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

// NewMessageID returns a new UUIDv7. It panics only when the operating system has no randomness.
func NewMessageID() string { return uuid.Must(uuid.NewV7()).String() }

// NewThreadID returns a new random UUID, for threads and certificates. No id is ever derived from data of a
// person. It panics only when the operating system has no randomness.
func NewThreadID() string { return uuid.Must(uuid.NewRandom()).String() }
