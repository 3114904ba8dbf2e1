package directory

import (
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"

	"waypost/schemas"
	"waypost/schemas/envelope"
)

// Types of the signed documents.
const (
	AgencyType    = "waypost.agency.v1"
	AgreementType = "waypost.agreement.v1"
	HeadType      = "waypost.head.v1"
)

// MaxEntry is the size limit of an agency's or an agreement's note.
const MaxEntry = 64 << 10

// State says whether an agency takes part.
type State string

// The states.
const (
	StateActive    State = "active"
	StateSuspended State = "suspended"
)

// Agency is the directory's entry for one agency. The order of the fields is
// the order of the members.
type Agency struct {
	Type        string       `json:"type"`
	ID          string       `json:"id"`
	Name        string       `json:"name"`
	Role        schemas.Role `json:"role"`
	Region      string       `json:"region,omitzero"`
	State       State        `json:"state"`
	NATSKey     string       `json:"nats_key"`              // public user nkey, U…
	Recipients  []Key        `json:"recipients"`            // age hybrid recipients, age1pq1…
	SigningKeys []Key        `json:"signing_keys"`          // note verifier keys, <id>+<hash>+<base64>
	Schemas     []string     `json:"schemas"`               // what the agency understands, e.g. referral.v1
	DutyContact string       `json:"duty_contact,omitzero"` // whom to telephone when nobody answers
	Since       time.Time    `json:"since"`
}

// Key is a public key and when it is in force: from ≤ t < until. Without until
// it has no end yet.
type Key struct {
	Key   string     `json:"key"`
	From  time.Time  `json:"from"`
	Until *time.Time `json:"until,omitzero"`
}

// ValidAt reports whether the key is in force at t.
func (k *Key) ValidAt(t time.Time) bool {
	return !t.Before(k.From) && (k.Until == nil || t.Before(*k.Until))
}

const (
	maxKeys    = 32
	maxSchemas = 128
)

var (
	codeSyntax   = regexp.MustCompile(`^[a-z][a-z0-9-]{0,63}$`)
	schemaSyntax = regexp.MustCompile(`^[a-z][a-z0-9-]{1,38}\.v[1-9][0-9]{0,3}$`)
)

// check applies the rules of form. Words of code lists are checked for syntax
// only: a root that is newer than this program may know more of them, and one
// unknown word must not make the whole directory unreadable.
func (a *Agency) check() *Error {
	switch {
	case a.Type != AgencyType:
		return malformed("/type", "type")
	case !schemas.ValidAgencyID(a.ID):
		return malformed("/id", "agency_id")
	case a.ID == RootName:
		// A member of this name could have its signatures taken for the root's
		// by whoever looks at names only.
		return malformed("/id", "reserved")
	case !validText(a.Name, 1, 200):
		return malformed("/name", "line")
	case !codeSyntax.MatchString(string(a.Role)):
		return malformed("/role", "syntax")
	case !validText(a.Region, 0, 200):
		return malformed("/region", "line")
	case a.State != StateActive && a.State != StateSuspended:
		return malformed("/state", "oneof")
	case !validText(a.DutyContact, 0, 500):
		return malformed("/duty_contact", "line")
	case !envelope.ValidTimestamp(a.Since):
		return malformed("/since", "timestamp")
	case len(a.Schemas) > maxSchemas:
		return malformed("/schemas", "max")
	}
	nats, err := parseNATSKey(a.NATSKey)
	if err != nil {
		return malformed("/nats_key", err.Error())
	}
	for i, s := range a.Schemas {
		if !schemaSyntax.MatchString(s) {
			return malformed(at("/schemas", i), "syntax")
		}
	}
	if e := checkKeys("/recipients", a.Recipients, func(k string) bool { return checkRecipient(k) == nil }); e != nil {
		return e
	}
	return checkKeys("/signing_keys", a.SigningKeys, func(k string) bool {
		_, pub, err := parseSigningKey(k, a.ID)
		// A NATS server chooses what a NATS key signs at connect: as a signing
		// key it would sign any manifest that a bad server asks for.
		return err == nil && !pub.Equal(nats)
	})
}

func checkKeys(field string, keys []Key, valid func(string) bool) *Error {
	if len(keys) == 0 {
		return malformed(field, "required")
	}
	if len(keys) > maxKeys {
		return malformed(field, "max")
	}
	for i, k := range keys {
		switch {
		case !valid(k.Key):
			return malformed(at(field, i)+"/key", "key")
		case !envelope.ValidTimestamp(k.From):
			return malformed(at(field, i)+"/from", "timestamp")
		case k.Until != nil && !envelope.ValidTimestamp(*k.Until):
			return malformed(at(field, i)+"/until", "timestamp")
		case k.Until != nil && !k.Until.After(k.From):
			return malformed(at(field, i)+"/until", "after_from")
		}
		for _, other := range keys[:i] {
			// One key, one period: with two, retiring one of them would leave
			// the other in force unseen.
			if other.Key == k.Key {
				return malformed(at(field, i)+"/key", "duplicate")
			}
		}
	}
	return nil
}

// checkKnown refuses words that this program does not know: what the root signs
// it must understand.
func (a *Agency) checkKnown() *Error {
	if !schemas.Known(a.Role) {
		return malformed("/role", "oneof")
	}
	return nil
}

func (a *Agency) normalise() {
	a.Type = AgencyType
	a.Since = envelope.Timestamp(a.Since)
	a.Recipients = normaliseKeys(a.Recipients)
	a.SigningKeys = normaliseKeys(a.SigningKeys)
}

func normaliseKeys(keys []Key) []Key {
	out := make([]Key, len(keys))
	for i, k := range keys {
		out[i] = Key{Key: k.Key, From: envelope.Timestamp(k.From), Until: timestamp(k.Until)}
	}
	return out
}

func timestamp(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := envelope.Timestamp(*t)
	return &u
}

// SignAgency makes the note of an agency's entry. It sets Type, writes times in
// UTC and whole milliseconds, and refuses what Open would refuse, and words of
// code lists that it does not know.
func SignAgency(a Agency, signer note.Signer) ([]byte, error) {
	a.normalise()
	if e := a.check(); e != nil {
		return nil, in(AgencyKey(a.ID), e)
	}
	if e := a.checkKnown(); e != nil {
		return nil, in(AgencyKey(a.ID), e)
	}
	return sign(AgencyKey(a.ID), &a, MaxEntry, signer)
}

// validText reports whether s is one printable line of min to max characters.
func validText(s string, minimum, maximum int) bool {
	n := utf8.RuneCountInString(s)
	if n < minimum || n > maximum || strings.TrimSpace(s) != s {
		return false
	}
	for _, c := range s {
		// IsPrint leaves out control and format characters: a name that turns
		// the writing direction round could show as another.
		if !unicode.IsPrint(c) || c == utf8.RuneError {
			return false
		}
	}
	return true
}
