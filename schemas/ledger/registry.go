package ledger

import (
	"maps"

	"golang.org/x/mod/sumdb/note"

	"waypost/schemas/directory"
)

// registry rebuilds the directory from its records: entries are published before the head that lists them.
type registry struct {
	root  note.Verifier
	found func(Finding)

	notes map[string][]byte // digest → note; all there ever were, for a later head may list an old one again
	head  []byte
	list  map[string]string // key → digest, of the current head
	view  *directory.View
	stale bool // view is not yet that of head
	index int64
	least uint64
}

func (r *registry) init(root note.Verifier, found func(Finding)) {
	r.root, r.found, r.notes = root, found, map[string][]byte{}
}

// record takes a directory record; a new head is returned.
func (r *registry) record(index int64, rec *Record) (headAt, bool) {
	if rec.Key() != directory.HeadKey {
		if !directory.SignedByRoot(r.root, rec.Note) {
			r.found(Finding{Code: FindDirectory, Record: index})
			return headAt{}, false
		}
		r.notes[directory.Digest(rec.Note)] = rec.Note
		return headAt{}, false
	}
	h, err := directory.OpenHead(r.root, rec.Note)
	if err != nil {
		r.found(Finding{Code: FindDirectory, Record: index})
		return headAt{}, false
	}
	if h.Version < r.least || h.Version == r.least && r.head != nil && directory.Digest(r.head) != directory.Digest(rec.Note) {
		r.found(Finding{Code: FindRollback, Record: index})
		return headAt{}, false
	}
	r.list, r.head, r.least = h.Entries, rec.Note, h.Version
	r.stale, r.index = true, index
	return headAt{h.Version, directory.Digest(rec.Note)}, true
}

// current is the directory as it stands. Opening one verifies every entry, so it is done only when a message asks: a network
// that admits a thousand agencies in a row costs one opening and not a thousand.
func (r *registry) current() *directory.View {
	if !r.stale {
		return r.view
	}
	r.stale = false
	entries := make(map[string][]byte, len(r.list))
	for key, digest := range maps.All(r.list) {
		if n, ok := r.notes[digest]; ok {
			entries[key] = n
		}
	}
	view, err := directory.Open(r.root, r.head, entries, 0)
	if err != nil {
		r.found(Finding{Code: FindIncomplete, Record: r.index})
		if view, err = directory.OpenPart(r.root, r.head, entries); err != nil {
			return r.view
		}
	}
	r.view = view
	return view
}
