package envelope

import (
	"bytes"
	stdjson "encoding/json"
	"reflect"
	"strings"
	"testing"

	"waypost/schemas"
)

// What readers and writers do, once more without the short ways: what a body or a manifest of a hostile peer may be taken for,
// and what we put our signature under, is held against this.

// plainEncodeBody is EncodeBody by package json alone.
func plainEncodeBody(h Header, certificates, statements []string, seen string, payload []byte) ([]byte, error) {
	doc, err := schemas.Encode(&Body{Header: h, Certificates: certificates, Statements: statements, Seen: seen, Payload: payload})
	if err != nil {
		return nil, malformed("/payload", "json")
	}
	if err := schemas.Readable(doc); err != nil {
		return nil, invalid(err)
	}
	if PaddedSize(len(doc)) > MaxPlain {
		return nil, &Error{Code: CodeTooLarge, Field: "body", Rule: "plain_limit"}
	}
	return padded(doc), nil
}

// padded is the document with its spaces.
func padded(doc []byte) []byte {
	return append(bytes.Clone(doc), bytes.Repeat([]byte(" "), PaddedSize(len(doc))-len(doc))...)
}

// place is where and why something was refused.
func place(err error) string {
	if err == nil {
		return ""
	}
	for {
		if e, ok := err.(*Error); ok {
			return e.Code + " " + e.Field + " " + e.Rule
		}
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			return err.Error()
		}
		err = u.Unwrap()
	}
}

// sameDecoded holds DecodeBody against package json: the same is refused, for the same reason, and the same is read. What is
// taken is also read by the standard library, which knows nothing of package json.
func sameDecoded(t testing.TB, doc []byte) (taken bool) {
	if len(doc) == 0 || bytes.HasSuffix(doc, []byte(" ")) || PaddedSize(len(doc)) > MaxPlain {
		return false
	}
	var want Body
	wantErr := decodeCanonical(doc, &want)
	got, err := DecodeBody(padded(doc), want.Header)
	switch {
	case wantErr != nil:
		if err == nil || place(err) != place(wantErr) {
			t.Fatalf("refused with %q, want %q: %q", place(err), place(wantErr), doc)
		}
		return false
	case err != nil:
		switch e := place(err); e {
		case "malformed /payload object", "too-large /certificates note_count", "too-large /statements note_count", "too-large /seen note_limit":
		default:
			if !strings.HasSuffix(e, " required") {
				t.Fatalf("refused with %q: %q", e, doc)
			}
		}
		return false
	case !reflect.DeepEqual(*got, want):
		t.Fatalf("read something else: %+v, want %+v", got, want)
	}
	var second Body
	dec := stdjson.NewDecoder(bytes.NewReader(doc))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&second); err != nil || dec.More() || !reflect.DeepEqual(second, want) {
		t.Fatalf("the standard library reads something else: %v, %+v, want %+v", err, second, want)
	}
	return true
}

// FuzzBodyParts puts a body together from parts that are changed one by one, among them payloads as deep and lists as long as the
// limits and beyond.
func FuzzBodyParts(f *testing.F) {
	const head = `{"header":{"id":"a","thread":"b","from":"c","to":"d","kind":"e","schema":"f"}`
	_, bodies := goodLines(f)
	for _, doc := range bodies {
		if h, rest, ok := bytes.Cut(doc, []byte(`},`)); ok {
			f.Add(string(h)+"}", ","+string(rest), "", uint16(0), "", "")
		}
	}
	for _, notes := range []string{``, `,"certificates":["a","\"\\é"]`, `,"certificates":["a"],"statements":["b","c"],"seen":"d"`, `,"seen":"\u001f\b💧"`, `,"certificates":[]`, `,"seen":""`,
		`,"seen":"\u0041"`, `,"seen":"\/"`, `,"seen":"\u001F"`, `,"seen":"\ud83d\udca7"`, `,"seen":"\ud83d"`, ",\"seen\":\"\xff\"", ",\"seen\":\"\x1f\"", `,"seen":"a","seen":"a"`, `,"Seen":"a"`, `,"seen":null`, `,"seen":1`} {
		f.Add(head+notes, `,"payload":{"a":`, `[`, uint16(schemas.MaxDepth-2), `]`, `,"b":1.0,"c":-0,"d":1e3}}`)
	}
	for _, payload := range []string{`{ }`, `{"a":"\u0041"}`, `{"a":"\/"}`, `{"\u0061":1}`, `{"a":1,"a":1}`, `{"a":1,"\u0061":2}`, `{"a":01}`, `{"a":+1}`, `{"a":.5}`, `{"a":NaN}`, `{"a":1e999}`, `{"a":null}`, `{"a":"\ud800"}`,
		"{\"a\":\"\xff\"}", "{\"a\":\"\n\"}", `{"a":1,}`, `{"a":1}{}`, `{},"payload":{}`, `{},"x":1`, `{}}`, `[]`, `1`, `"a"`, `true`, ``, `{'a':1}`, `{"a":1/**/}`, `{"n":"null","\"":["\\"]}`} {
		f.Add(head, `,"payload":`+payload, "", uint16(0), "", "}")
	}
	for _, n := range []int{0, 1} {
		f.Add(head, `,"payload":{"a":[`, `1,`, uint16(schemas.MaxItems-1+n), ``, `2]}}`)
		f.Add(head, `,"payload":`, `{"a":`, uint16(schemas.MaxDepth-2+n), ``, `{}`+strings.Repeat("}", schemas.MaxDepth-1+n))
		f.Add(head, `,"certificates":["x"`, `,"y"`, uint16(MaxCertificates-1+n), ``, `],"payload":{}}`)
	}
	f.Add(head, `,"payload":{"a":"`, `é`, uint16(9), `\n`, `"}}`)
	f.Fuzz(func(t *testing.T, head, payload, open string, times uint16, end, tail string) {
		n := int(times) % (2 * schemas.MaxItems)
		if len(open)+len(end) > 64 {
			n %= 64
		}
		doc := []byte(head + payload + strings.Repeat(open, n) + strings.Repeat(end, n) + tail)
		sameBody(t, doc)
		sameDecoded(t, doc)
	})
}

// FuzzEncodeBody: what EncodeBody writes or refuses is what package json writes or refuses, and is read again as it was given.
func FuzzEncodeBody(f *testing.F) {
	f.Add("a", "referral", "certificate", "", "statement", "seen", []byte(`{"a":[1.0,-0,1e3,true],"b":"é\u0041"}`), uint8(2))
	for _, odd := range oddTexts {
		f.Add(odd, "", "", "", "", "", []byte(`{}`), uint8(0))
		f.Add("", "", odd, "", odd, odd, []byte(`{}`), uint8(4))
	}
	for _, payload := range []string{` { "a" : "\u0041" } `, `{"n":null}`, `{"a":"\ud800"}`, `{"a":1,"\u0061":2}`, `{"a":1}x`, `{"a":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`,
		`{"a":[` + strings.Repeat("1,", schemas.MaxItems) + `1]}`, `{"a":[` + strings.Repeat("1,", schemas.MaxItems-1) + `1]}`} {
		f.Add("", "", "x", "y", "z", strings.Repeat("s", MaxSeen), []byte(payload), uint8(3))
	}
	f.Fuzz(func(t *testing.T, id, kind, certificate, second, statement, seen string, payload []byte, count uint8) {
		h := Header{ID: id, Thread: second, From: certificate, To: statement, Kind: schemas.Kind(kind), Schema: seen}
		var certificates, statements []string
		if certificate != "" && count > 0 {
			certificates = append(certificates, certificate)
		}
		if second != "" && count > 1 {
			certificates = append(certificates, second)
		}
		for range min(int(count)/3, MaxCertificates) {
			statements = append(statements, statement+".")
		}
		if len(seen) > MaxSeen || jsonKind(payload) != '{' {
			return
		}
		got, err := EncodeBody(h, certificates, statements, seen, payload)
		want, wantErr := plainEncodeBody(h, certificates, statements, seen, payload)
		if place(err) != place(wantErr) || !bytes.Equal(got, want) {
			t.Fatalf("%v, want %v\n%q\n%q", err, wantErr, got, want)
		}
		if err != nil {
			return
		}
		if !sameDecoded(t, bytes.TrimRight(got, " ")) {
			t.Fatalf("not read again: %q", got)
		}
		b, err := DecodeBody(got, h)
		if err != nil || b.Header != h || !reflect.DeepEqual(b.Certificates, certificates) || !reflect.DeepEqual(b.Statements, statements) || b.Seen != seen {
			t.Fatalf("read as something else: %v, %+v", err, b)
		}
	})
}

func jsonKind(payload []byte) byte {
	if rest := bytes.TrimLeft(payload, " \t\r\n"); len(rest) > 0 {
		return rest[0]
	}
	return 0
}
