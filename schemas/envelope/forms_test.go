package envelope

import (
	"regexp"
	"strings"
	"testing"
)

var byHand = []struct {
	name    string
	holds   func(string) bool
	pattern *regexp.Regexp
	good    []string
}{
	{"kind", validKind, regexp.MustCompile(`^[a-z][a-z0-9-]{1,38}$`), []string{"ab", "referral-response", "x-", strings.Repeat("k", 39)}},
	{"version", validVersion, regexp.MustCompile(`^[1-9][0-9]{0,3}$`), []string{"1", "10", "9999"}},
	{"digest", validDigest, regexp.MustCompile(`^sha256:[0-9a-f]{64}$`), []string{"sha256:" + strings.Repeat("0f", 32), digest(nil)}},
}

// FuzzForms: what is checked by hand is what the page of the format says.
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
		}
		if verdicts[true] == 0 || verdicts[false] == 0 {
			t.Errorf("%s: %d good and %d bad strings", form.name, verdicts[true], verdicts[false])
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
}
