package envelope

import (
	"bytes"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"waypost/schemas"
)

// DecodeCanonical decodes data strictly into v and refuses it unless encoding v
// again gives the same bytes. On error v may be partly filled.
func DecodeCanonical(data []byte, v any) error {
	// Every message's manifest is read several times on its way. The short way
	// says yes or nothing: the long way alone says what is wrong.
	if m, ok := v.(*Manifest); ok && m != nil && *m == (Manifest{}) && m.read(data) {
		return nil
	}
	return decodeCanonical(data, v)
}

func decodeCanonical(data []byte, v any) error {
	if err := schemas.Strict(data, v); err != nil {
		return invalid(err)
	}
	again, err := schemas.Encode(v)
	if err != nil {
		return &Error{Code: CodeMalformed, Rule: "not_canonical", Err: err}
	}
	if !bytes.Equal(again, data) {
		return malformed("", "not_canonical")
	}
	return nil
}

// encode is schemas.Encode with the short way for manifests.
func encode(v any) ([]byte, error) {
	if m, ok := v.(*Manifest); ok && m != nil {
		if b, ok := m.append(make([]byte, 0, 1<<10)); ok {
			return b, nil
		}
	}
	return schemas.Encode(v)
}

// plain reports whether a canonical document holds s as it is: printable ASCII
// without quotes and backslashes.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// appendText writes a string as canonical JSON does. It fails for what is not UTF-8.
func appendText(b []byte, s string) ([]byte, error) {
	if !plain(s) {
		return jsontext.AppendQuote(b, s)
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"'), nil
}

// reader takes a canonical document apart from its head. It takes one spelling
// only: at whatever else it is bad, for good.
type reader struct {
	rest []byte
	bad  bool
	buf  []byte
}

// has reports whether the rest begins with s, and goes past it.
func (r *reader) has(s string) bool {
	if r.bad || len(r.rest) < len(s) || string(r.rest[:len(s)]) != s {
		return false
	}
	r.rest = r.rest[len(s):]
	return true
}

// must goes past s, which has to be there.
func (r *reader) must(s string) {
	if !r.has(s) {
		r.bad = true
	}
}

// member goes past the name of a member and reads its text.
func (r *reader) member(name string) string {
	r.must(name)
	return r.text()
}

// optional is member for one that need not be there.
func (r *reader) optional(name string) string {
	if !r.has(name) {
		return ""
	}
	return r.text()
}

// text reads a string.
func (r *reader) text() string {
	if r.bad || len(r.rest) == 0 || r.rest[0] != '"' {
		r.bad = true
		return ""
	}
	simple := true
	for i := 1; i < len(r.rest); i++ {
		switch c := r.rest[i]; {
		case c == '"':
			quoted := r.rest[:i+1]
			r.rest = r.rest[i+1:]
			if simple {
				return string(quoted[1:i])
			}
			return r.unquote(quoted)
		case c == '\\':
			simple = false
			i++ // what follows ends nothing
		case c < ' ' || c > '~':
			simple = false
		}
	}
	r.bad = true
	return ""
}

// unquote reads a string with escapes, or beyond ASCII. Written again it has to
// be the same: there are many ways to write a character, and one is canonical.
func (r *reader) unquote(quoted []byte) string {
	var err error
	if r.buf, err = jsontext.AppendUnquote(r.buf[:0], quoted); err != nil {
		r.bad = true
		return ""
	}
	s := string(r.buf)
	if r.buf, err = jsontext.AppendQuote(r.buf[:0], s); err != nil || !bytes.Equal(r.buf, quoted) {
		r.bad = true
		return ""
	}
	return s
}

// number reads a whole number of at most 16 digits, as many as MaxSeq has.
func (r *reader) number() (n uint64) {
	digits := 0
	for digits < len(r.rest) && r.rest[digits] >= '0' && r.rest[digits] <= '9' {
		digits++
	}
	n, err := strconv.ParseUint(string(r.rest[:digits]), 10, 64)
	if err != nil || digits > 16 || digits > 1 && r.rest[0] == '0' {
		r.bad = true
	}
	r.rest = r.rest[digits:]
	return n
}
