package consentpage

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
	"golang.org/x/text/message/catalog"

	"waypost/schemas"
)

//go:embed words/*.json
var files embed.FS

// words is one file: all strings of a language.
type words struct {
	Name      string            `json:"name"`      // of the language, in the language
	Direction string            `json:"direction"` // ltr or rtl
	Checked   bool              `json:"checked"`   // by a native speaker
	Months    []string          `json:"months"`    // as they stand in a date
	Text      map[string]phrase `json:"text"`

	Category map[schemas.Category]string     `json:"category"`
	Purpose  map[schemas.Purpose]string      `json:"purpose"`
	Role     map[schemas.Role]string         `json:"role"`
	Withheld map[schemas.WithheldFrom]string `json:"withheld"`
}

// phrase is a string, or one string for each plural form of its first argument (names of forms as in CLDR).
type phrase struct {
	one   string
	forms map[string]string
}

// UnmarshalJSON reads either.
func (p *phrase) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		return json.Unmarshal(b, &p.forms)
	}
	return json.Unmarshal(b, &p.one)
}

// pluralForms are the names of the forms, in the order of CLDR.
var pluralForms = []string{"zero", "one", "two", "few", "many", "other"}

func (p *phrase) message() catalog.Message {
	if p.forms == nil {
		return catalog.String(p.one)
	}
	var cases []any
	for _, form := range pluralForms {
		if text, ok := p.forms[form]; ok {
			cases = append(cases, form, text)
		}
	}
	return plural.Selectf(1, "%d", cases...)
}

// book is every language, and the same as a catalogue for golang.org/x/text/message.
type book struct {
	tags    []language.Tag // English first
	words   map[language.Tag]*words
	strings *catalog.Builder
	match   language.Matcher
}

// languages is read once; a test proves that it can be.
var languages = sync.OnceValues(func() (*book, error) { return load(files) })

func load(from fs.FS) (*book, error) {
	names, err := fs.Glob(from, "words/*.json")
	if err != nil {
		return nil, fmt.Errorf("list languages: %w", err)
	}
	b := &book{words: map[language.Tag]*words{}, strings: catalog.NewBuilder(catalog.Fallback(language.English))}
	for _, name := range names {
		tag, err := language.Parse(strings.TrimSuffix(strings.TrimPrefix(name, "words/"), ".json"))
		if err != nil {
			return nil, fmt.Errorf("read %s: the file is not named for a language", name)
		}
		text, err := fs.ReadFile(from, name)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		w := new(words)
		if err := json.Unmarshal(text, w, json.RejectUnknownMembers(true)); err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		if len(w.Months) != 12 {
			return nil, fmt.Errorf("read %s: there are not twelve months", name)
		}
		for key, p := range w.Text {
			if err := b.strings.Set(withDigits(tag), key, p.message()); err != nil {
				return nil, fmt.Errorf("read %s: %s: %w", name, key, err)
			}
		}
		b.words[tag] = w
		b.tags = append(b.tags, tag)
	}
	english := slices.Index(b.tags, language.English)
	if english < 0 {
		return nil, errors.New("read languages: there is no English")
	}
	b.tags = slices.Insert(slices.Delete(b.tags, english, english+1), 0, language.English)
	b.match = language.NewMatcher(b.tags)
	return b, nil
}

// withDigits is the language with 0-9, the digits of the letters and telephones of the country where the page is read. The
// strings are under exactly this tag: looking for them under a parent does not find zh-Hans.
func withDigits(tag language.Tag) language.Tag {
	if t, err := tag.SetTypeForKey("nu", "latn"); err == nil {
		return t
	}
	return tag
}

// ErrLanguage: there is no page in that language. The error that wraps it lists the languages.
var ErrLanguage = errors.New("no page in that language")

// Languages returns the tags of the languages, English first, with their own names.
func Languages() ([]Language, error) {
	b, err := languages()
	if err != nil {
		return nil, err
	}
	var out []Language
	for _, t := range b.tags {
		out = append(out, Language{Tag: t.String(), Name: b.words[t].Name, Checked: b.words[t].Checked})
	}
	return out, nil
}

// Language is a language in which there is a page.
type Language struct {
	Tag, Name string
	Checked   bool // by a native speaker
}

// find returns the language that serves readers of lang: ar for ar-SD, zh-Hans for zh and zh-CN, but nothing that they
// might merely manage to read.
func (b *book) find(lang string) (language.Tag, error) {
	if t, err := language.Parse(lang); err == nil {
		_, i, confidence := b.match.Match(t)
		// The matcher also knows which second language many readers of a first one have.
		base, _ := t.Base()
		if own, _ := b.tags[i].Base(); confidence >= language.High && base == own {
			return b.tags[i], nil
		}
	}
	var have []string
	for _, t := range b.tags {
		have = append(have, t.String())
	}
	return language.Und, fmt.Errorf("%w; there are %s", ErrLanguage, strings.Join(have, ", "))
}
