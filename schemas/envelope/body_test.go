package envelope

import (
	"bytes"
	"math/bits"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"waypost/schemas"
)

func drawHeader(t *rapid.T) Header {
	return Header{ID: schemas.NewMessageID(), Thread: schemas.NewThreadID(), From: police, To: ngo, Kind: schemas.KindReferral, Schema: "referral.v1"}
}

func TestBodyRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHeader(t)
		payload, err := schemas.Encode(map[string]string{"words": rapid.String().Draw(t, "words")})
		if err != nil {
			t.Skip("not a string JSON can hold")
		}
		certificates := rapid.SliceOfN(rapid.StringN(1, 20, -1), 0, MaxCertificates).Draw(t, "certificates")
		plain, err := EncodeBody(h, certificates, nil, "", payload)
		if err != nil {
			t.Fatal(err)
		}
		b, err := DecodeBody(plain, h)
		if err != nil {
			t.Fatal(err)
		}
		want := &Body{Header: h, Certificates: certificates, Payload: payload}
		if len(certificates) == 0 {
			want.Certificates = nil
		}
		if d := cmp.Diff(want, b); d != "" {
			t.Fatal(d)
		}
		again, err := EncodeBody(b.Header, b.Certificates, b.Statements, b.Seen, b.Payload)
		if err != nil || !bytes.Equal(again, plain) {
			t.Fatalf("does not encode to itself: %v", err)
		}
	})
}

func TestBodyOfOneByteChanged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHeader(t)
		plain, err := EncodeBody(h, []string{"certificate"}, []string{"statement"}, "seen", []byte(`{"summary":"Test Person A","n":[1.0,true]}`))
		if err != nil {
			t.Fatal(err)
		}
		changed := mutate(t, plain[:200])
		changed = append(changed, plain[200:]...)
		b, err := DecodeBody(changed, h)
		if err != nil {
			return
		}
		again, err := EncodeBody(b.Header, b.Certificates, b.Statements, b.Seen, b.Payload)
		if err != nil || !bytes.Equal(again, changed) || b.Header != h {
			t.Fatal("accepted a body that does not encode to itself, or under another header")
		}
	})
}

func TestEncodeBodyRefuses(t *testing.T) {
	h := Header{ID: schemas.NewMessageID(), Thread: schemas.NewThreadID(), From: police, To: ngo, Kind: schemas.KindReferral, Schema: "referral.v1"}
	deep := strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)
	for name, c := range map[string]struct {
		certificates []string
		payload      string
		code         string
	}{
		"array":        {nil, `[]`, CodeMalformed},
		"empty":        {nil, ``, CodeMalformed},
		"two":          {nil, `{}{}`, CodeMalformed},
		"null inside":  {nil, `{"a":null}`, CodeMalformed},
		"duplicate":    {nil, `{"a":1,"a":2}`, CodeMalformed},
		"invalid utf8": {nil, "{\"a\":\"\xff\"}", CodeMalformed},
		"deep":         {nil, deep, CodeMalformed},
		"large":        {nil, `{"a":"` + strings.Repeat("a", MaxPlain) + `"}`, CodeTooLarge},
		"larger":       {nil, `{"a":"` + strings.Repeat("a", 2*MaxBody) + `"}`, CodeTooLarge},
		"blank":        {[]string{""}, `{}`, CodeMalformed},
		"many":         {make([]string, MaxCertificates+1), `{}`, CodeTooLarge},
	} {
		if out, err := EncodeBody(h, c.certificates, nil, "", []byte(c.payload)); CodeOf(err) != c.code || out != nil {
			t.Errorf("%s: got %v, want %s", name, err, c.code)
		}
	}
	// The largest document that fits exactly still fits after padding.
	overhead := len(`{"header":{"id":"","thread":"","from":"","to":"","kind":"","schema":""},"payload":{"a":""}}`) +
		len(h.ID) + len(h.Thread) + len(h.From) + len(h.To) + len(h.Kind) + len(h.Schema)
	plain, err := EncodeBody(h, nil, nil, "", []byte(`{"a":"`+strings.Repeat("a", MaxPlain-overhead)+`"}`))
	if err != nil || len(plain) != MaxPlain {
		t.Errorf("largest body: %d bytes, %v", len(plain), err)
	}
}

// PaddedSize against the definition of the paper, and its promises.
func TestPaddedSize(t *testing.T) {
	for _, c := range [][2]int{{0, 4096}, {1, 4096}, {4096, 4096}, {4097, 4352}, {5000, 5120}, {70000, 71680}, {MaxPlain, MaxPlain}, {MaxPlain + 1, MaxBody}} {
		if got := PaddedSize(c[0]); got != c[1] {
			t.Errorf("PaddedSize(%d) = %d, want %d", c[0], got, c[1])
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(MinPlain+1, MaxPlain).Draw(t, "n")
		p := PaddedSize(n)
		if p < n || float64(p-n) > 0.12*float64(n) {
			t.Fatalf("%d padded to %d", n, p)
		}
		if PaddedSize(p) != p {
			t.Fatalf("%d is no bucket", p)
		}
		if PaddedSize(n-1) > p {
			t.Fatal("not monotonic")
		}
		// log2 of the length, and as many bits of it as log2 has: the rest is zero.
		e := bits.Len(uint(p)) - 1
		if bits.TrailingZeros(uint(p)) < e-bits.Len(uint(e)) {
			t.Fatalf("%d tells more than its bucket", p)
		}
	})
}
