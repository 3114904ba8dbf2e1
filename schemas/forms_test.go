package schemas

import (
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// byHand are the forms that are checked by hand, each with its pattern and strings of that form.
var byHand = []struct {
	name    string
	holds   func(string) bool
	pattern *regexp.Regexp
	good    []string
}{
	{"agency", ValidAgencyID, regexp.MustCompile(agencyIDPattern), []string{"abc", "harbour-ngo", "a--9", strings.Repeat("a", 40)}},
	{"message_id", ValidMessageID, regexp.MustCompile(messageIDPattern), []string{"01890a5d-ac96-774b-bcce-b302099a8057", NewMessageID()}},
	{"thread_id", ValidThreadID, regexp.MustCompile(threadIDPattern), []string{"f47ac10b-58cc-4372-a567-0e02b2c3d479", NewThreadID()}},
	{"code", ValidCode, regexp.MustCompile(codePattern), []string{"x", "consent-missing", "a-", "z9", strings.Repeat("z", 64)}},
	{"pseudonym", validPseudonym, regexp.MustCompile(pseudonymPattern), []string{"aB_9", "NS-3H8P-2W", strings.Repeat("Z", 64)}},
	{"phone", validPhone, regexp.MustCompile(phonePattern), []string{"112", "+44 1632 960101", "(01632) 960-961", "+(0)./1", "+" + strings.Repeat("1", 30)}},
	{"email_address", validEmail, regexp.MustCompile(emailPattern), []string{"a@b.cd", "test.person.b@example.org", "%+'-._@-.x-y.Zz", strings.Repeat("a", 64) + "@x." + strings.Repeat("y", 24)}},
	{"language", validLanguage, regexp.MustCompile(languagePattern), []string{"en", "sq", "kmr", "ku-Latn", "zh-Hant-TW", "es-419", "de-1996", "sl-rozaj-1994"}},
}

// FuzzForms: what is checked by hand is what the pattern says.
func FuzzForms(f *testing.F) {
	for _, form := range byHand {
		for _, s := range form.good {
			f.Add(s)
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, form := range byHand {
			if got, want := form.holds(s), form.pattern.MatchString(s); got != want {
				t.Errorf("%s: by hand %v, by pattern %v: %q", form.name, got, want, s)
			}
		}
	})
}

// TestForms puts every byte into every place of good strings, and cuts and lengthens them.
func TestForms(t *testing.T) {
	for _, form := range byHand {
		verdicts := map[bool]int{}
		agree := func(s string) {
			got, want := form.holds(s), form.pattern.MatchString(s)
			if got != want {
				t.Fatalf("%s: by hand %v, by pattern %v: %q", form.name, got, want, s)
			}
			verdicts[got]++
		}
		for _, s := range form.good {
			for at := range len(s) + 1 {
				agree(s[:at])
				agree(s[at:])
				for b := range 256 {
					agree(s[:at] + string([]byte{byte(b)}) + s[at:])
					if at < len(s) {
						agree(s[:at] + string([]byte{byte(b)}) + s[at+1:])
					}
				}
			}
			for n := range 70 {
				agree(s + strings.Repeat("a", n))
				agree(strings.Repeat("a", n) + s)
			}
		}
		if verdicts[true] == 0 || verdicts[false] == 0 {
			t.Errorf("%s: %d good and %d bad strings", form.name, verdicts[true], verdicts[false])
		}
	}
}

// TestTextASCII: the short way for ASCII says what the tables say.
func TestTextASCII(t *testing.T) {
	for r := rune(0); r <= unicode.MaxASCII; r++ {
		for _, prose := range []bool{false, true} {
			good := prose && (r == '\n' || r == '\t') || !forbiddenRune(r) && !joiner(r)
			if isText("a"+string(r), prose) != good {
				t.Errorf("%U in prose %v: want %v", r, prose, good)
			}
			if visible := good && !blank(r) && !unicode.IsControl(r); isText(string(r), prose) != visible {
				t.Errorf("%U alone in prose %v: want %v", r, prose, visible)
			}
			if isText(string(r)+"\u200d", prose) {
				t.Errorf("%U joins", r)
			}
		}
	}
}

// BenchmarkForms is what checking by hand saves.
func BenchmarkForms(b *testing.B) {
	for _, form := range byHand {
		s := form.good[1]
		b.Run(form.name+"/hand", func(b *testing.B) {
			for b.Loop() {
				if !form.holds(s) {
					b.Fatal(s)
				}
			}
		})
		b.Run(form.name+"/pattern", func(b *testing.B) {
			for b.Loop() {
				if !form.pattern.MatchString(s) {
					b.Fatal(s)
				}
			}
		})
	}
	text := strings.Repeat("Invented text that makes the message longer. ", 40)
	b.Run("prose", func(b *testing.B) {
		for b.Loop() {
			if !isProse(text) {
				b.Fatal(text)
			}
		}
	})
}
