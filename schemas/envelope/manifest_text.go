package envelope

import (
	"bytes"
	"strconv"
	"time"

	"waypost/schemas"
)

// The manifest by hand, for every message has one and it is written and read
// at every step of its way. It is what package json makes of the struct's tags;
// tests hold the two against each other. Both are short ways: what they do not
// know they leave to package json.

// append writes the manifest in canonical form. It reports false, and has
// written anything, for a manifest that is not ready to be signed: its texts are
// then no ids and codes, or its times not in UTC.
func (m *Manifest) append(b []byte) ([]byte, bool) {
	for _, s := range [...]string{m.Type, m.ID, m.Thread, m.ReplyTo, m.From, m.To, string(m.Kind), m.Schema, string(m.Lane), m.Basis, string(m.Outcome), m.Code, m.Body} {
		if !plain(s) {
			return b, false
		}
	}
	b = appendMember(b, `{"type":`, m.Type)
	b = appendMember(b, `,"id":`, m.ID)
	b = appendMember(b, `,"thread":`, m.Thread)
	b = appendOptional(b, `,"reply_to":`, m.ReplyTo)
	b = appendMember(b, `,"from":`, m.From)
	b = appendMember(b, `,"to":`, m.To)
	b = appendMember(b, `,"kind":`, string(m.Kind))
	b = appendMember(b, `,"schema":`, m.Schema)
	b = appendMember(b, `,"lane":`, string(m.Lane))
	b = strconv.AppendUint(append(b, `,"seq":`...), m.Seq, 10)
	b, ok := appendTime(append(b, `,"sent":`...), m.Sent)
	if ok && m.RespondBy != nil && !m.RespondBy.IsZero() {
		b, ok = appendTime(append(b, `,"respond_by":`...), *m.RespondBy)
	}
	b = appendOptional(b, `,"basis":`, m.Basis)
	b = appendOptional(b, `,"outcome":`, string(m.Outcome))
	b = appendOptional(b, `,"code":`, m.Code)
	b = appendOptional(b, `,"body":`, m.Body)
	if m.Size != 0 {
		b = strconv.AppendInt(append(b, `,"size":`...), int64(m.Size), 10)
	}
	return append(b, '}'), ok
}

// appendMember writes a name, with what separates it from what is before it, and a plain text.
func appendMember(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, '"')
	b = append(b, value...)
	return append(b, '"')
}

func appendOptional(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return appendMember(b, name, value)
}

func appendTime(b []byte, t time.Time) ([]byte, bool) {
	if year := t.Year(); t.Location() != time.UTC || year < 0 || year > 9999 {
		return b, false
	}
	return append(t.AppendFormat(append(b, '"'), time.RFC3339Nano), '"'), true
}

// read reads a manifest in canonical form. On false m is unchanged.
func (m *Manifest) read(data []byte) bool {
	if len(data) > MaxManifest {
		return false
	}
	var v Manifest
	r := reader{rest: data}
	r.must(`{"type":"` + ManifestType + `"`)
	v.Type = ManifestType
	v.ID = r.member(`,"id":`)
	v.Thread = r.member(`,"thread":`)
	v.ReplyTo = r.optional(`,"reply_to":`)
	v.From = r.member(`,"from":`)
	v.To = r.member(`,"to":`)
	v.Kind = schemas.Kind(r.member(`,"kind":`))
	v.Schema = r.member(`,"schema":`)
	v.Lane = schemas.Lane(r.member(`,"lane":`))
	r.must(`,"seq":`)
	v.Seq = r.number()
	v.Sent = r.time(r.member(`,"sent":`))
	if by := r.optional(`,"respond_by":`); by != "" {
		t := r.time(by)
		v.RespondBy = &t
	}
	v.Basis = r.optional(`,"basis":`)
	v.Outcome = schemas.Outcome(r.optional(`,"outcome":`))
	v.Code = r.optional(`,"code":`)
	v.Body = r.optional(`,"body":`)
	if r.has(`,"size":`) {
		v.Size = int(r.number())
	}
	r.must(`}`)
	if r.bad || len(r.rest) > 0 {
		return false
	}
	// The proof that there was no other way to write it.
	var room [1 << 10]byte
	if again, ok := v.append(room[:0]); !ok || !bytes.Equal(again, data) {
		return false
	}
	*m = v
	return true
}

// time reads a time in UTC; whether it is written canonically is seen when it is written again.
func (r *reader) time(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Location() != time.UTC {
		r.bad = true
	}
	return t
}
