package consentpage

import (
	"regexp"
	"strings"
	"testing"

	"golang.org/x/text/language"
)

var (
	sentenceEnd = regexp.MustCompile(`[.!?:]+(\s|$)`)
	aWord       = regexp.MustCompile(`[A-Za-z']+`)
	vowels      = regexp.MustCompile(`[aeiouy]+`)
)

// syllables counts groups of vowels, without a silent e at the end. It errs on the high side.
func syllables(word string) int {
	word = strings.ToLower(word)
	n := len(vowels.FindAllString(word, -1))
	if strings.HasSuffix(word, "e") && !strings.HasSuffix(word, "le") && n > 1 {
		n--
	}
	return max(n, 1)
}

// grade is the Flesch-Kincaid grade level of a text.
func grade(text string) float64 {
	words := aWord.FindAllString(text, -1)
	sentences := len(sentenceEnd.FindAllString(text, -1))
	total := 0
	for _, w := range words {
		total += syllables(w)
	}
	return 0.39*float64(len(words))/float64(sentences) + 11.8*float64(total)/float64(len(words)) - 15.59
}

// TestReadingAge: the English is for a reader of nine. Every sentence is short, and so is every phrase of a list.
func TestReadingAge(t *testing.T) {
	w := theBook(t).words[language.English]
	var all strings.Builder
	for key, texts := range w.entries() {
		for _, text := range texts {
			if strings.HasPrefix(key, "text.") && !strings.HasSuffix(text, ".") || key == "text.date" {
				continue // headings
			}
			text = strings.TrimSuffix(placeholder.ReplaceAllString(text, "May"), ".") + ". "
			all.WriteString(text)
			for _, sentence := range sentenceEnd.Split(text, -1) {
				if n := len(aWord.FindAllString(sentence, -1)); n > 16 {
					t.Errorf("%s: a sentence of %d words", key, n)
				}
			}
		}
	}
	if g := grade(all.String()); g > 5 {
		t.Errorf("grade %.1f, want at most 5", g)
	} else {
		t.Logf("grade %.1f", g)
	}
	if g := grade("The processing of special-category information necessitates appropriate organisational safeguards."); g < 12 {
		t.Errorf("the measure is broken: %.1f for the opposite of plain words", g)
	}
}
