package envelope

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"

	"waypost/schemas"
)

// The body by hand, as the manifest: it is what package json makes of the
// struct's tags, and tests hold the two against each other.

// append writes the body in canonical form. It fails for a payload that is not
// JSON and for texts that are not UTF-8.
func (y *Body) append(b []byte) (_ []byte, err error) {
	text := func(name, value string) {
		if err == nil {
			b, err = appendText(append(b, name...), value)
		}
	}
	text(`{"header":{"id":`, y.Header.ID)
	text(`,"thread":`, y.Header.Thread)
	text(`,"from":`, y.Header.From)
	text(`,"to":`, y.Header.To)
	text(`,"kind":`, string(y.Header.Kind))
	text(`,"schema":`, y.Header.Schema)
	b = append(b, '}')
	notes := func(name string, list []string) {
		for i, note := range list {
			if i > 0 {
				name = `,`
			}
			text(name, note)
		}
		if len(list) > 0 {
			b = append(b, ']')
		}
	}
	notes(`,"certificates":[`, y.Certificates)
	notes(`,"statements":[`, y.Statements)
	if y.Seen != "" {
		text(`,"seen":`, y.Seen)
	}
	if err != nil {
		return nil, err
	}
	if b, err = jsontext.AppendFormat(append(b, `,"payload":`...), y.Payload); err != nil {
		return nil, err
	}
	return append(b, '}'), nil
}

// read reads a body in canonical form: every piece of it is what append would
// write. On false y is unchanged.
func (y *Body) read(doc []byte) bool {
	if !schemas.Within(doc) {
		return false
	}
	var v Body
	r := reader{rest: doc}
	v.Header.ID = r.member(`{"header":{"id":`)
	v.Header.Thread = r.member(`,"thread":`)
	v.Header.From = r.member(`,"from":`)
	v.Header.To = r.member(`,"to":`)
	v.Header.Kind = schemas.Kind(r.member(`,"kind":`))
	v.Header.Schema = r.member(`,"schema":`)
	r.must(`}`)
	notes := func(name string) (list []string) {
		for more := r.has(name); more; more = r.has(`,`) {
			list = append(list, r.text())
		}
		if len(list) > 0 {
			r.must(`]`)
		}
		return list
	}
	v.Certificates = notes(`,"certificates":[`)
	v.Statements = notes(`,"statements":[`)
	if r.has(`,"seen":`) {
		v.Seen = r.text()
		r.bad = r.bad || v.Seen == ""
	}
	r.must(`,"payload":`)
	if r.bad || !bytes.HasSuffix(r.rest, []byte(`}`)) {
		return false
	}
	// One document, every member once, UTF-8, and written as we write it.
	payload := r.rest[:len(r.rest)-1]
	again, err := jsontext.AppendFormat(make([]byte, 0, len(payload)), payload)
	if err != nil || !bytes.Equal(again, payload) {
		return false
	}
	v.Payload = again
	*y = v
	return true
}

// roomFor is about what a body takes, so that it is written into one piece of memory.
func roomFor(certificates, statements []string, rest int) int {
	n := 512 + rest
	for _, list := range [][]string{certificates, statements} {
		for _, note := range list {
			n += len(note) + len(note)/5 // a signed line has many quotes, and each is escaped
		}
	}
	return n
}
