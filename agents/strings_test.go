package agents_test

import (
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"waypost/broker/brokertest"
	"waypost/schemas"
)

// hostileStrings are names, places and texts as people have them, and as attackers write them.
var hostileStrings = []string{
	"Test Person A", "Nguyễn Thị Thử", "Тестовая Персона", "شخص تجريبي", "אדם לבדיקה", "测试人员", "テスト・パーソン", "परीक्षण व्यक्ति", "ผู้ทดสอบ", "ተጠቃሚ ሙከራ", "կանխադրված", "ئاسایی", "က္ခ",
	"e\u0301\u0323 Zo\u0308e", "O'Test-Person Jr.", "می\u200cخواهم", "क्\u200dष", "👩\u200d👧", "שלום\u200f!",
	"\u202Egnp.exe", "a\u2066b\u2069", "a\u200bb", "a\u00adb", "\ufeffx", "a\u2028b", "\U000e0041x", "x\ufffe",
	"a\x00b", "a\rb", "a\nb", "a\tb", "a\x1b[31mb", "\x7f", "\u0085",
	"'; DROP TABLE inbox; --", "<script>alert(1)</script>", "{{.}}", "${jndi:ldap://x}", "%s%n%x", "../../etc/passwd", "C:\\Windows", "=cmd|' /C calc'!A0", "@SUM(1)", "a,b;c\"d", "\\u0000", "\\", "\"", "null", "true", "-0", "1e999",
	"http://example.org/?a=b&c=d", "harbour‐ngo", "hаrbour-ngo", "ＡＢＣ", "ﬁ", "Ω", "İi", "ß", "ǆ", " ", "  x  ", "\u00a0", "\u3000x", ".", "-", strings.Repeat("é", 150), strings.Repeat("𝒳", 60),
	"2026-02-30", "00:00", "NaN", "undefined", "0x10", "١٢٣",
}

// texts calls f for every free text of a document: what stands for a code, a date, an id or a number is left alone, because
// replacing it says nothing about texts.
func texts(doc any, path string, f func(path, value string) string) any {
	switch v := doc.(type) {
	case map[string]any:
		for k, x := range v {
			v[k] = texts(x, path+"/"+k, f)
		}
	case []any:
		for i, x := range v {
			v[i] = texts(x, path+"/"+strconv.Itoa(i), f)
		}
	case string:
		return f(path, v)
	}
	return doc
}

// TestHostileStrings writes each string into every free text of a full referral. Each text arrives identical, or is refused
// by name, and then the rest arrives identical.
func TestHostileStrings(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	p, n := pair(t, b, "")
	raw, err := os.ReadFile("../schemas/testdata/referral/full.json")
	if err != nil {
		t.Fatal(err)
	}
	var example any
	if err := json.Unmarshal(raw, &example); err != nil {
		t.Fatal(err)
	}
	// A text is a string that the schema lets be another one.
	free := map[string]bool{}
	texts(example, "", func(path, value string) string {
		var doc any
		_ = json.Unmarshal(raw, &doc)
		texts(doc, "", func(at, v string) string {
			if at == path {
				return "Words Q"
			}
			return v
		})
		changed, _ := json.Marshal(doc)
		if _, err := schemas.Decode[schemas.Referral](changed); err == nil {
			free[path] = true
		}
		return value
	})
	if len(free) < 60 {
		t.Fatalf("only %d texts found", len(free))
	}
	arrived, refused := 0, 0
	for _, s := range hostileStrings {
		var doc any
		_ = json.Unmarshal(raw, &doc)
		texts(doc, "", func(path, v string) string {
			if free[path] {
				return s
			}
			return v
		})
		submission := map[string]any{"to": ngo, "referral": onVital(doc.(map[string]any))}
		// justification and officer are texts too
		basis := doc.(map[string]any)["lawful_basis"].(map[string]any)
		if schemas.Validate(&schemas.LawfulBasis{Basis: "vital-interests", Reason: "danger-to-life", Justification: s, AuthorisedBy: s}) == nil {
			basis["justification"], basis["authorised_by"] = s, s
		}
		body, err := json.Marshal(submission)
		if err != nil {
			t.Fatal(err)
		}
		var a accepted
		code, pr := p.call(t, "POST", "/v1/referrals", body, &a)
		if code == 422 {
			// Refused by name: put back what it names, and nothing else.
			if len(pr.Problems) == 0 {
				t.Errorf("%+q: refused without a name: %s", s, pr.Code)
				continue
			}
			var named []string
			for _, x := range pr.Problems {
				named = append(named, strings.TrimPrefix(x.Path, "/referral"))
				if len(s) > 3 && strings.Contains(x.Hint, s) {
					t.Errorf("%+q: the problem repeats it", s)
				}
			}
			var original any
			_ = json.Unmarshal(raw, &original)
			texts(doc, "", func(path, v string) string {
				if !free[path] || !slices.Contains(named, path) {
					return v
				}
				refused++
				var put string
				texts(original, "", func(at, o string) string {
					if at == path {
						put = o
					}
					return o
				})
				return put
			})
			if body, err = json.Marshal(submission); err != nil {
				t.Fatal(err)
			}
			code, pr = p.call(t, "POST", "/v1/referrals", body, &a)
		}
		if code != 202 {
			t.Errorf("%+q: %d %+v", s, code, pr)
			continue
		}
		p.waitState(t, a.ID, "delivered")
		var got any
		if err := json.Unmarshal(n.in(t, a.ID).Payload, &got); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{}
		texts(doc, "", func(path, v string) string { want[path] = v; return v })
		texts(got, "", func(path, v string) string {
			if want[path] != v {
				t.Errorf("%+q: %s arrived as %+q, sent as %+q", s, path, v, want[path])
			}
			if free[path] && v == s {
				arrived++
			}
			delete(want, path)
			return v
		})
		if len(want) > 0 {
			t.Errorf("%+q: %d texts did not arrive", s, len(want))
		}
	}
	if arrived == 0 || refused == 0 {
		t.Errorf("%d arrived, %d refused: the test says nothing", arrived, refused)
	}
	t.Logf("%d strings in %d texts: %d arrived identical, %d refused by name", len(hostileStrings), len(free), arrived, refused)
	for _, m := range []*member{p, n} {
		for _, s := range hostileStrings {
			if len(s) > 8 && !strings.Contains("Test Person A", s) && strings.Contains(m.log.String(), s) {
				t.Errorf("%s logged %+q", m.id, s)
			}
		}
	}
}
