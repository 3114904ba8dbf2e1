package envelope

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"waypost/schemas"
)

// sameManifest fails when the short way takes what the long one refuses, or
// reads something else in it; it reports whether the short way took it.
func sameManifest(t interface{ Fatalf(string, ...any) }, data []byte) (short, long bool) {
	var m, want Manifest
	short, err := m.read(data), decodeCanonical(data, &want)
	if short && err != nil {
		t.Fatalf("read what is refused: %v\n%q", err, data)
	}
	if short && !reflect.DeepEqual(want, m) {
		t.Fatalf("read something else:\n%s%q", cmp.Diff(want, m), data)
	}
	if !short && m != (Manifest{}) {
		t.Fatalf("left something behind: %q", data)
	}
	return short, err == nil
}

func sameBody(t interface{ Fatalf(string, ...any) }, doc []byte) (short, long bool) {
	var b, want Body
	short, err := b.read(doc), decodeCanonical(doc, &want)
	if short && err != nil {
		t.Fatalf("read what is refused: %v\n%q", err, doc)
	}
	if short && !reflect.DeepEqual(want, b) {
		t.Fatalf("read something else:\n%s%q", cmp.Diff(want, b), doc)
	}
	if !short && !reflect.DeepEqual(Body{}, b) {
		t.Fatalf("left something behind: %q", doc)
	}
	return short, err == nil
}

// goodLines are the documents of good envelopes and bodies of the vectors.
func goodLines(t testing.TB) (manifests, bodies [][]byte) {
	for _, v := range loadVectors(t) {
		switch {
		case v.fields["part"] == "envelope" && v.fields["expect"] == "ok":
			line, _, err := ParseLine(v.payload, MaxManifest)
			if err != nil {
				t.Fatalf("%s: %v", v.name, err)
			}
			manifests = append(manifests, line.JSON)
		case v.fields["part"] == "body" && v.fields["expect"] == "ok":
			bodies = append(bodies, bytes.TrimRight(v.payload, " "))
		}
	}
	if len(manifests) < 5 || len(bodies) < 3 {
		t.Fatalf("%d manifests and %d bodies", len(manifests), len(bodies))
	}
	return manifests, bodies
}

// TestShortWay: what good messages hold is read the short way, and what is
// changed anywhere is not read as anything that the long way would not read.
func TestShortWay(t *testing.T) {
	manifests, bodies := goodLines(t)
	pieces := []string{`"`, `\`, `\"`, `\u0041`, `\/`, "é", "\xff", " ", "\n", "null", `""`, `[]`, "{}", ",", ":", "0", "-", "1.0", "Z", "+00:00", ".000", "t", "\x00", "\x7f"}
	for name, list := range map[string]struct {
		docs [][]byte
		same func(t interface{ Fatalf(string, ...any) }, doc []byte) (short, long bool)
	}{"manifest": {manifests, sameManifest}, "body": {bodies, sameBody}} {
		t.Run(name, func(t *testing.T) {
			for _, doc := range list.docs {
				if short, long := list.same(t, doc); !short || !long {
					t.Errorf("goes the long way: %q", doc)
				}
			}
			taken := 0
			small := slices.DeleteFunc(slices.Clone(list.docs), func(doc []byte) bool { return len(doc) > 1000 })
			for _, doc := range small[:3] {
				for at := range doc {
					for _, piece := range pieces {
						for cut := range 2 {
							end := min(len(doc), at+cut)
							if short, _ := list.same(t, bytes.Join([][]byte{doc[:at], []byte(piece), doc[end:]}, nil)); short {
								taken++
							}
						}
					}
					list.same(t, doc[:at])
					list.same(t, append(bytes.Clone(doc), doc[at:]...))
				}
			}
			if taken == 0 {
				t.Error("no change was taken: the test says little")
			}
		})
	}
}

// TestShortWayEmpty: a member that may be left out is left out when it is empty, and is never there twice.
func TestShortWayEmpty(t *testing.T) {
	manifests, bodies := goodLines(t)
	for _, c := range []struct{ before, put string }{
		{`,"from":`, `,"reply_to":""`}, {`}`, `,"size":0`}, {`}`, `,"size":00`}, {`}`, `,"size":-1`}, {`}`, `,"code":""`}, {`}`, `,"body":""`}, {`}`, ` `},
		{`}`, `,"size":1,"size":1`}, {`,"to":`, `,"from":"x"`}, {`,"sent":`, `0`}, {`,"sent":`, `00000000000000000`}, {`,"sent":`, `.0`}, {`}`, `,"x":1`},
	} {
		for _, doc := range manifests {
			sameManifest(t, bytes.Replace(doc, []byte(c.before), []byte(c.put+c.before), 1))
		}
	}
	for _, put := range []string{`,"respond_by":""`, `,"respond_by":"0001-01-01T00:00:00Z"`, `,"respond_by":"2026-03-01T09:30:00+00:00"`, `,"respond_by":"2026-03-01T09:30:00.10Z"`,
		`,"basis":""`, `,"outcome":""`, `,"respond_by":"2026-03-01T09:30:00,1Z"`, `,"respond_by":"2026-03-01T09:30:00.1Z"`} {
		short, long := sameManifest(t, []byte(`{"type":"`+ManifestType+`","id":"","thread":"","from":"","to":"","kind":"","schema":"","lane":"","seq":1,"sent":"2026-03-01T09:00:00Z"`+put+`}`))
		if short != long {
			t.Errorf("%s: short way %v, long way %v", put, short, long)
		}
	}
	for _, put := range []string{`,"seen":""`, `,"certificates":[]`, `,"statements":[]`, `,"certificates":[""]`, `,"certificates":["a",]`, `,"certificates":["a","b"],"statements":["c"],"seen":"d"`, `,"seen":"a","seen":"a"`,
		`,"statements":["a"],"certificates":["b"]`, `,"seen":"\u0061"`} {
		for _, doc := range bodies {
			head, _, _ := bytes.Cut(doc, []byte(`},`))
			short, long := sameBody(t, []byte(string(head)+`}`+put+`,"payload":{}}`))
			if short != long {
				t.Errorf("%s: short way %v, long way %v", put, short, long)
			}
		}
	}
}

// FuzzManifest and FuzzBody: the short way takes nothing that the long one refuses.
func FuzzManifest(f *testing.F) {
	manifests, _ := goodLines(f)
	for _, doc := range manifests {
		f.Add(doc)
	}
	f.Fuzz(func(t *testing.T, data []byte) { sameManifest(t, data) })
}

func FuzzBody(f *testing.F) {
	_, bodies := goodLines(f)
	for _, doc := range bodies {
		f.Add(doc)
	}
	f.Fuzz(func(t *testing.T, data []byte) { sameBody(t, data) })
}

var oddTexts = []string{"", "x", "referral", "2026-03-01T09:30:00Z", "é", "a\"b", `a\b`, "a\nb", "\x00", "\x7f", "\u2028", "<&>", "\xff", "💧", "{}", strings.Repeat("y", 100)}

// TestManifestText: what is written by hand is what package json writes.
func TestManifestText(t *testing.T) {
	london, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	zones := []*time.Location{time.UTC, time.UTC, time.UTC, time.Local, london, time.FixedZone("", 3600), time.FixedZone("", 0), time.FixedZone("", 90_000)}
	short := 0
	rapid.Check(t, func(t *rapid.T) {
		text := func(name string) string {
			if rapid.IntRange(0, 20).Draw(t, "odd") > 0 {
				return rapid.SampledFrom(oddTexts[:4]).Draw(t, name)
			}
			return rapid.OneOf(rapid.SampledFrom(oddTexts), rapid.StringN(0, 9, 9)).Draw(t, name)
		}
		moment := func(name string) time.Time {
			at := time.Unix(rapid.Int64Range(-70_000_000_000, 260_000_000_000).Draw(t, name), rapid.SampledFrom([]int64{0, 1e6, 5e8, 123456789}).Draw(t, "nanoseconds"))
			if rapid.IntRange(0, 5).Draw(t, "none") == 0 {
				at = time.Time{}
			}
			return at.In(rapid.SampledFrom(zones).Draw(t, "zone"))
		}
		m := Manifest{Type: text("type"), ID: text("id"), Thread: text("thread"), ReplyTo: text("reply_to"), From: text("from"), To: text("to"), Kind: schemas.Kind(text("kind")),
			Schema: text("schema"), Lane: schemas.Lane(text("lane")), Seq: rapid.Uint64().Draw(t, "seq"), Sent: moment("sent"), Basis: text("basis"),
			Outcome: schemas.Outcome(text("outcome")), Code: text("code"), Body: text("body"), Size: rapid.IntRange(-5, 5).Draw(t, "size")}
		if rapid.Bool().Draw(t, "clock") {
			by := moment("respond_by")
			m.RespondBy = &by
		}
		got, ok := m.append(nil)
		if !ok {
			return
		}
		short++
		want, err := schemas.Encode(&m)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%v\nby hand %s\njson    %s", err, got, want)
		}
		sameManifest(t, got)
	})
	if short == 0 {
		t.Error("nothing was written by hand")
	}
}

// TestManifestReady: a manifest that may be signed is written and read the short way.
func TestManifestReady(t *testing.T) {
	signer, _ := testSigner(t, police, 1)
	rapid.Check(t, func(t *rapid.T) {
		m, body := drawManifest(t)
		raw, err := Sign(m, body, signer)
		if err != nil {
			t.Fatal(err)
		}
		line, _, err := ParseLine(raw, MaxManifest)
		if err != nil {
			t.Fatal(err)
		}
		if short, long := sameManifest(t, line.JSON); !short || !long {
			t.Fatalf("short way %v, long way %v: %s", short, long, line.JSON)
		}
	})
}

// TestManifestOnto: into a manifest that holds something already the short way does not read, as it would forget it.
func TestManifestOnto(t *testing.T) {
	manifests, _ := goodLines(t)
	m := Manifest{Basis: "vital-interests", Outcome: schemas.OutcomeVoid, Code: "x", ReplyTo: "x", Size: 1}
	want := m
	if got, err := DecodeCanonical(manifests[0], &m), decodeCanonical(manifests[0], &want); (got == nil) != (err == nil) {
		t.Fatalf("got %v, want %v", got, err)
	}
	var nothing *Manifest
	if DecodeCanonical(manifests[0], nothing) == nil {
		t.Error("read a manifest into nothing")
	}
}

// TestBodyText: what is written by hand is what package json writes, and the same is refused.
func TestBodyText(t *testing.T) {
	payloads := []string{`{}`, `{"a":1}`, ` { "a" : "\u0041\/é" , "b":[1.0,-0,1e3,true,null] } `, `{"a":"\ud800"}`, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"a":1}x`, `{"a":`, `{"a":01}`, "{\"a\":\"\xff\"}", "{\"a\":\"\n\"}",
		`{"a":"\u2028\u007f"}`, `{"":{"":[[[]]]}}`, `{"a":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`}
	good, bad := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		text := func(name string) string {
			return rapid.OneOf(rapid.SampledFrom(oddTexts[:4]), rapid.SampledFrom(oddTexts)).Draw(t, name)
		}
		list := func(name string) (out []string) {
			for range rapid.IntRange(0, 2).Draw(t, name) {
				out = append(out, text(name))
			}
			return out
		}
		b := Body{Header: Header{ID: text("id"), Thread: text("thread"), From: text("from"), To: text("to"), Kind: schemas.Kind(text("kind")), Schema: text("schema")},
			Certificates: list("certificates"), Statements: list("statements"), Seen: text("seen"), Payload: []byte(rapid.SampledFrom(payloads).Draw(t, "payload"))}
		got, err := b.append(nil)
		want, wantErr := schemas.Encode(&b)
		if (err == nil) != (wantErr == nil) || err == nil && !bytes.Equal(got, want) {
			t.Fatalf("by hand %v %s\njson    %v %s", err, got, wantErr, want)
		}
		if err != nil {
			bad++
			return
		}
		good++
		if short, long := sameBody(t, got); short != long {
			t.Fatalf("short way %v, long way %v: %s", short, long, got)
		}
	})
	if good == 0 || bad == 0 {
		t.Errorf("%d good and %d bad bodies", good, bad)
	}
}

// BenchmarkShortWay is what the short ways save for every manifest and body.
func BenchmarkShortWay(b *testing.B) {
	manifests, bodies := goodLines(b)
	var m Manifest
	if err := decodeCanonical(manifests[0], &m); err != nil {
		b.Fatal(err)
	}
	var body Body
	if err := decodeCanonical(bodies[0], &body); err != nil {
		b.Fatal(err)
	}
	for name, do := range map[string]func() bool{
		"read manifest/short":  func() bool { m := Manifest{}; return m.read(manifests[0]) },
		"read manifest/long":   func() bool { return decodeCanonical(manifests[0], new(Manifest)) == nil },
		"write manifest/short": func() bool { b, err := encode(&m); return err == nil && len(b) > 0 },
		"write manifest/long":  func() bool { b, err := schemas.Encode(&m); return err == nil && len(b) > 0 },
		"read body/short":      func() bool { return new(Body).read(bodies[0]) },
		"read body/long":       func() bool { return decodeCanonical(bodies[0], new(Body)) == nil },
		"write body/short":     func() bool { b, err := body.append(nil); return err == nil && len(b) > 0 },
		"write body/long":      func() bool { b, err := schemas.Encode(&body); return err == nil && len(b) > 0 },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !do() {
					b.Fatal("refused")
				}
			}
		})
	}
}
