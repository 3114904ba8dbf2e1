package directory

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// LogType is the "type" of the entry that names the ledger's keys.
const LogType = "waypost.log.v1"

// Log is the entry, at key log, that says by whose signature a checkpoint of the
// ledger is known. It comes from the network root and not from the broker: a
// broker that signs another history with a new key is found out by everybody.
type Log struct {
	Type   string `json:"type"`
	Origin string `json:"origin"` // name of the log, of its key, and first line of every checkpoint
	Keys   []Key  `json:"keys"`   // note verifier keys named Origin
}

// LogOrigin is the name of a network's ledger. It is made from the root's public
// key, so that no checkpoint of one network can be taken for another's.
func LogOrigin(rootKey string) string {
	sum := sha256.Sum256([]byte(rootKey))
	return "waypost-log-" + hex.EncodeToString(sum[:8])
}

// Log returns the ledger's entry; false if the network keeps no ledger.
func (v *View) Log() (Log, bool) {
	if v.log == nil {
		return Log{}, false
	}
	l := *v.log
	l.Keys = cloneKeys(v.log.Keys)
	return l, true
}

// LogVerifiers returns the ledger's keys that were in force at a time.
func (v *View) LogVerifiers(at time.Time) []note.Verifier {
	var out []note.Verifier
	for i, k := range v.logKeys {
		if v.log.Keys[i].ValidAt(at) {
			out = append(out, k)
		}
	}
	return out
}

// AllLogVerifiers returns every key the entry lists, whenever it is in force: a
// checkpoint names no time, and one that was signed with a key since replaced
// stays the log's word.
func (v *View) AllLogVerifiers() []note.Verifier { return slices.Clone(v.logKeys) }

// SignLog makes the ledger's entry.
func SignLog(l Log, signer note.Signer) ([]byte, error) {
	l.Type = LogType
	l.Keys = normaliseKeys(l.Keys)
	if _, e := l.check(); e != nil {
		return nil, in(LogKey, e)
	}
	return sign(LogKey, &l, MaxEntry, signer)
}

func (v *View) addLog(root note.Verifier, raw []byte) error {
	l := new(Log)
	if err := open(root, raw, MaxEntry, LogType, l); err != nil {
		return err
	}
	keys, e := l.check()
	if e != nil {
		return e
	}
	v.log, v.logKeys = l, keys
	return nil
}

func (l *Log) check() ([]note.Verifier, *Error) {
	switch {
	case l.Type != LogType:
		return nil, malformed("/type", "type")
	case !validOrigin(l.Origin):
		return nil, malformed("/origin", "syntax")
	}
	if e := checkKeys("/keys", l.Keys, func(k string) bool { _, _, err := parseSigningKey(k, l.Origin); return err == nil }); e != nil {
		return nil, e
	}
	keys := make([]note.Verifier, len(l.Keys))
	for i, k := range l.Keys {
		keys[i], _, _ = parseSigningKey(k.Key, l.Origin) // it passed just now
	}
	return keys, nil
}

func validOrigin(s string) bool {
	return len(s) == len("waypost-log-")+16 && s[:12] == "waypost-log-" && isHex(s[12:])
}

func isHex(s string) bool {
	for _, r := range s {
		if (r < '0' || r > '9') && (r < 'a' || r > 'f') {
			return false
		}
	}
	return true
}
