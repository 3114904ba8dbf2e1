package envelope

import (
	"bytes"
	stdjson "encoding/json"
	"reflect"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"waypost/schemas"
)

// FuzzManifestParts puts a manifest together from parts that are changed one by one.
func FuzzManifestParts(f *testing.F) {
	const ids, route, sent = `"a","thread":"b"`, `"c","to":"d","kind":"e","schema":"f","lane":"g"`, `2026-03-01T09:30:00Z`
	f.Add(`"a","thread":"b","reply_to":"c"`, route, "9007199254740991", `2026-03-01T09:30:00.123Z`, `,"respond_by":"2026-03-01T09:30:00.1Z"`, `,"basis":"a","outcome":"b","code":"c","body":"d","size":1`)
	for _, text := range []string{`""`, `"\u0041"`, `"\""`, `"\/"`, `"é"`, "\"\x7f\"", "\"\xff\"", "\"\n\"", `"\ud800"`, `"\`, `null`, `1`, `"a","id":"a"`, `"a" `, `"a","thread":"c"`} {
		f.Add(text+`,"thread":"b"`, route, "1", sent, "", "")
		f.Add(ids, route, "1", sent, "", `,"code":`+text)
	}
	for _, number := range []string{"0", "-0", "-1", "01", "00", "1.0", "1e3", "1E0", "+1", "", "\"1\"", "9999999999999999", "10000000000000000", "18446744073709551615", "18446744073709551616", "99999999999999999999999"} {
		f.Add(ids, route, number, sent, "", "")
		f.Add(ids, route, "1", sent, "", `,"size":`+number)
	}
	for _, at := range []string{`0000-01-01T00:00:00Z`, `0001-01-01T00:00:00Z`, `9999-12-31T23:59:59.999999999Z`, `2026-02-29T00:00:00Z`, `2026-03-01T24:00:00Z`, `2026-03-01T23:59:60Z`, `2026-03-01T9:30:00Z`, `2026-03-01T09:30:00,5Z`, `2026-03-01T09:30:00.50Z`,
		`2026-03-01T09:30:00.1234567891Z`, `2026-03-01T09:30:00+00:00`, `2026-03-01T09:30:00-00:00`, `2026-03-01T09:30:00+24:00`, `2026-03-01t09:30:00z`, `2026-03-01 09:30:00Z`, `2026-03-01T09:30Z`, `+2026-03-01T09:30:00Z`, `10000-01-01T00:00:00Z`, ``, `\u0032026-03-01T09:30:00Z`, ` 2026-03-01T09:30:00Z`} {
		f.Add(ids, route, "1", at, "", "")
		f.Add(ids, route, "1", sent, `,"respond_by":"`+at+`"`, "")
	}
	for _, rest := range []string{`,"x":1`, `,"Size":1`, `,"size":1,"size":1`, `,"size":1,"code":"a"`, `}{`, `,`, ` `, `,"basis":null`} {
		f.Add(ids, route, "1", sent, "", rest)
	}
	f.Fuzz(func(t *testing.T, ids, route, seq, sent, by, rest string) {
		doc := []byte(`{"type":"` + ManifestType + `","id":` + ids + `,"from":` + route + `,"seq":` + seq + `,"sent":"` + sent + `"` + by + rest + `}`)
		var m, want, second Manifest
		_, long := sameManifest(t, doc)
		if err := DecodeCanonical(doc, &m); (err == nil) != long {
			t.Fatalf("%v, but the long way says %v: %q", err, long, doc)
		}
		if !long {
			return
		}
		if err := decodeCanonical(doc, &want); err != nil || !reflect.DeepEqual(m, want) {
			t.Fatalf("read something else: %v, %+v, want %+v", err, m, want)
		}
		dec := stdjson.NewDecoder(bytes.NewReader(doc))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&second); err != nil || dec.More() || !reflect.DeepEqual(second, want) {
			t.Fatalf("the standard library reads something else: %v, %+v, want %+v", err, second, want)
		}
	})
}

// FuzzSignLine: the line that is signed is the one that package json and the reference implementation of notes make, and what
// it says is what the manifest says.
func FuzzSignLine(f *testing.F) {
	const utc, noon = uint8(0), int64(1772366400)
	for _, odd := range oddTexts {
		f.Add(odd, "", "", "", "", uint64(1), noon, int64(0), int64(0), utc, "", 1)
		f.Add("", "", odd, odd, odd, uint64(1<<63), noon, int64(123456789), int64(0), utc, odd, -1)
	}
	// The zero time, the first and the last that have a form, and those beside them; in each of the zones.
	for _, at := range []int64{noon, -62135596800, -62167219200, -62167219201, 253402300799, 253402300800} {
		for zone := range uint8(10) {
			f.Add("", "", "", "", "", uint64(0), at, int64(0), noon, zone, "", 0)
			f.Add("", "", "", "", "", uint64(0), noon, int64(0), at, zone, "", 0)
		}
	}
	signer, verifier := testSigner(f, police, 1)
	zones := []*time.Location{time.UTC, time.FixedZone("", 0), time.FixedZone("", 3600), time.FixedZone("", 90_000), time.FixedZone("", -30)}
	f.Fuzz(func(t *testing.T, id, reply, from, kind, lane string, seq uint64, sent, nanoseconds, by int64, zone uint8, basis string, size int) {
		in := zones[int(zone>>1)%len(zones)]
		m := Manifest{Type: ManifestType, ID: id, Thread: basis, ReplyTo: reply, From: from, To: id, Kind: schemas.Kind(kind), Schema: reply, Lane: schemas.Lane(lane),
			Seq: seq, Sent: time.Unix(sent, nanoseconds).In(in), Basis: basis, Outcome: schemas.Outcome(kind), Code: lane, Body: from, Size: size}
		if zone&1 == 1 {
			at := time.Unix(by, nanoseconds).In(in)
			m.RespondBy = &at
		}
		got, err := SignLine(&m, signer)
		doc, wantErr := schemas.Encode(&m)
		var want []byte
		if wantErr == nil {
			want, wantErr = note.Sign(&note.Note{Text: string(doc) + "\n"}, signer)
		}
		if (err == nil) != (wantErr == nil) || !bytes.Equal(got, want) {
			t.Fatalf("%v, want %v\n%q\n%q", err, wantErr, got, want)
		}
		if err != nil {
			return
		}
		sameManifest(t, doc)
		n, err := note.Open(got, note.VerifierList(verifier))
		if err != nil || n.Text != string(doc)+"\n" {
			t.Fatalf("the reference reads something else: %v", err)
		}
	})
}
