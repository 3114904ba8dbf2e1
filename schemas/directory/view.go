package directory

import (
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"waypost/schemas"
)

// View is one verified state of the directory. It is immutable and safe for
// concurrent use; what its methods return belongs to the caller. Keys are parsed
// once, when it is made.
type View struct {
	head       Head
	digest     string
	agencies   map[string]*member
	ids        []string // of agencies, sorted
	agreements []*Agreement
	flows      map[pair][]*Agreement
	log        *Log // nil: this network keeps no ledger yet
	logKeys    []note.Verifier
}

type member struct {
	Agency
	verifiers []note.Verifier // beside SigningKeys
}

type pair struct{ from, to string }

// Open verifies a head and every entry against the root and makes a View of
// them. entries holds the note of each entry by its key, the head not among
// them. Nothing may be missing, nothing added, nothing changed: whoever serves
// the directory can withhold a newer state until the head expires, and no more.
//
// A head of a version below minVersion is refused with [ErrRollback]; pass the
// highest version ever seen. An expired head is not refused, because an agent
// that is offline works on: see [View.Expired]. On error the View is nil and
// the caller keeps the one it has.
func Open(root note.Verifier, head []byte, entries map[string][]byte, minVersion uint64) (*View, error) {
	return openView(root, head, entries, minVersion, true)
}

// OpenPart is Open without the demand that nothing is missing: for a proof that
// carries only the entries it needs. What the View does not list it says nothing
// about; never decide with it whether a message may flow.
func OpenPart(root note.Verifier, head []byte, entries map[string][]byte) (*View, error) {
	return openView(root, head, entries, 0, false)
}

func openView(root note.Verifier, head []byte, entries map[string][]byte, minVersion uint64, whole bool) (*View, error) {
	h, err := OpenHead(root, head)
	if err != nil {
		return nil, err
	}
	if h.Version < minVersion {
		return nil, ErrRollback
	}
	v := &View{head: *h, digest: Digest(head), agencies: map[string]*member{}, flows: map[pair][]*Agreement{}}
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		if _, ok := h.Entries[key]; !ok {
			e := &Error{Code: CodeEntryExtra}
			if validKey(key) {
				e.Field = key
			}
			return nil, e
		}
	}
	for _, key := range slices.Sorted(maps.Keys(h.Entries)) {
		raw, ok := entries[key]
		if !ok && !whole {
			continue
		}
		if !ok {
			return nil, &Error{Code: CodeEntryMissing, Field: key}
		}
		// The digest first: it binds the entry to this head, so that an older
		// entry, rightly signed in its day, cannot come back.
		if Digest(raw) != h.Entries[key] {
			return nil, &Error{Code: CodeEntryAltered, Field: key}
		}
		if err := v.add(root, key, raw); err != nil {
			return nil, in(key, err)
		}
	}
	slices.Sort(v.ids)
	return v, nil
}

func (v *View) add(root note.Verifier, key string, raw []byte) error {
	if key == LogKey {
		return v.addLog(root, raw)
	}
	if strings.HasPrefix(key, agencyPrefix) {
		m := new(member)
		if err := open(root, raw, MaxEntry, AgencyType, &m.Agency); err != nil {
			return err
		}
		if e := m.check(); e != nil {
			return e
		}
		if AgencyKey(m.ID) != key {
			return malformed("/id", "entry_key")
		}
		for i, k := range m.SigningKeys {
			verifier, _, err := parseSigningKey(k.Key, m.ID)
			if err != nil {
				return malformed(at("/signing_keys", i), err.Error())
			}
			m.verifiers = append(m.verifiers, verifier)
		}
		v.agencies[m.ID] = m
		v.ids = append(v.ids, m.ID)
		return nil
	}
	g := new(Agreement)
	if err := open(root, raw, MaxEntry, AgreementType, g); err != nil {
		return err
	}
	if e := g.check(); e != nil {
		return e
	}
	if AgreementKey(g.ID) != key {
		return malformed("/id", "entry_key")
	}
	v.agreements = append(v.agreements, g)
	v.flows[pair{g.From, g.To}] = append(v.flows[pair{g.From, g.To}], g)
	return nil
}

// Head returns the head.
func (v *View) Head() Head {
	h := v.head
	h.Entries = maps.Clone(h.Entries)
	return h
}

// Digest names the bytes of the head's note. Two heads of one version with
// different digests prove that the root, or a thief of its key, told two stories.
func (v *View) Digest() string { return v.digest }

// Expired reports whether the head is past its end at now. The view still
// works; the agency must be told that what it knows may be out of date.
func (v *View) Expired(now time.Time) bool { return !now.Before(v.head.Expires) }

// Agency returns the entry of an agency.
func (v *View) Agency(id string) (*Agency, bool) {
	m, ok := v.agencies[id]
	if !ok {
		return nil, false
	}
	return m.clone(), true
}

// Place returns the role and the region of an agency, which are asked for many times for each message; false for one that
// is not listed.
func (v *View) Place(id string) (role schemas.Role, region string, listed bool) {
	m, ok := v.agencies[id]
	if !ok {
		return "", "", false
	}
	return m.Role, m.Region, true
}

// Agencies returns all entries of agencies, sorted by id.
func (v *View) Agencies() []*Agency {
	out := make([]*Agency, len(v.ids))
	for i, id := range v.ids {
		out[i] = v.agencies[id].clone()
	}
	return out
}

// Agreements returns all agreements, also those that ended, sorted by id.
func (v *View) Agreements() []*Agreement {
	out := make([]*Agreement, len(v.agreements))
	for i, g := range v.agreements {
		out[i] = g.clone()
	}
	return out
}

// Verifiers returns the keys of an agency that were in force at a time, none
// for an agency that is not listed. A suspended agency's keys are among them:
// what it signed before stays provable; Permits stops what it sends now.
func (v *View) Verifiers(agency string, at time.Time) []note.Verifier {
	m, ok := v.agencies[agency]
	if !ok {
		return nil
	}
	var out []note.Verifier
	for i := range m.SigningKeys {
		if m.SigningKeys[i].ValidAt(at) {
			out = append(out, m.verifiers[i])
		}
	}
	return out
}

// Recipient returns the age recipient to seal to: of those in force at a time,
// the one that came into force last, the later in the list if two did together.
func (v *View) Recipient(agency string, at time.Time) (string, bool) {
	m, ok := v.agencies[agency]
	if !ok {
		return "", false
	}
	var best *Key
	for i := range m.Recipients {
		if k := &m.Recipients[i]; k.ValidAt(at) && (best == nil || !k.From.Before(best.From)) {
			best = k
		}
	}
	if best == nil {
		return "", false
	}
	return best.Key, true
}

// RespondWithin is the response clock of an urgency between two agencies: the
// shortest that an agreement on referrals in force at a time sets, never longer
// than the default.
func (v *View) RespondWithin(from, to string, u schemas.Urgency, at time.Time) time.Duration {
	within := u.RespondWithin()
	for _, g := range v.flows[pair{from, to}] {
		if d := g.respondWithin(u); d > 0 && d < within && g.ActiveAt(at) && slices.Contains(g.Kinds, schemas.KindReferral) {
			within = d
		}
	}
	return within
}

func (a *Agency) clone() *Agency {
	c := *a
	c.Recipients, c.SigningKeys = cloneKeys(a.Recipients), cloneKeys(a.SigningKeys)
	c.Schemas = slices.Clone(a.Schemas)
	return &c
}

func cloneKeys(keys []Key) []Key {
	out := slices.Clone(keys)
	for i := range out {
		out[i].Until = cloneTime(out[i].Until)
	}
	return out
}

func cloneTime(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	c := *t
	return &c
}

func (g *Agreement) clone() *Agreement {
	c := *g
	c.Kinds, c.Purposes, c.Categories = slices.Clone(g.Kinds), slices.Clone(g.Purposes), slices.Clone(g.Categories)
	c.Until, c.Ended = cloneTime(g.Until), cloneTime(g.Ended)
	c.RespondWithin = maps.Clone(g.RespondWithin)
	return &c
}
