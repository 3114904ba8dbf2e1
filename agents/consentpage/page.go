package consentpage

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strconv"
	"sync"
	"time"

	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"waypost/schemas"
	"waypost/schemas/consent"
)

// Options say what the page may know beyond the certificate.
type Options struct {
	// Now is the time of printing; dates are written in its zone. The zero time is the present.
	Now time.Time
	// RoleOf says what an agency is, so that the page can say in general terms what its people do; "" when it is not known.
	// Without it, agencies that the consent names are counted.
	RoleOf func(agency string) schemas.Role
	// WithContact prints how_to_withdraw as the agency wrote it. It may hold a name or a number: ask first whether it is
	// safe for the survivor to have that on paper.
	WithContact bool
}

//go:embed page.html
var source string

var pageTemplate = sync.OnceValues(func() (*template.Template, error) { return template.New("page").Parse(source) })

// view is what the template sees: text only.
type view struct {
	Lang, Dir, Size             string
	T                           map[string]string
	Share, With, For, Not       []string
	Onward, Span, Review        string
	Ended, Contact, Code        string
	AskNames                    bool
	Unchecked, UncheckedEnglish string
}

// Page writes a self-contained HTML page of one A4 sheet.
func Page(w io.Writer, lang string, c *consent.Certificate, o Options) error {
	b, err := languages()
	if err != nil {
		return fmt.Errorf("make page: %w", err)
	}
	tag, err := b.find(lang)
	if err != nil {
		return fmt.Errorf("make page: %w", err)
	}
	t, err := pageTemplate()
	if err != nil {
		return fmt.Errorf("make page: %w", err)
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	v, err := newWriter(b, tag).view(c, o)
	if err != nil {
		return fmt.Errorf("make page: %w", err)
	}
	var page bytes.Buffer // so that nothing half-made is printed
	if err := t.Execute(&page, v); err != nil {
		return fmt.Errorf("make page: %w", err)
	}
	if _, err := w.Write(page.Bytes()); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	return nil
}

// writer writes in one language.
type writer struct {
	tag          language.Tag
	words        *words
	say, english *message.Printer
}

func newWriter(b *book, tag language.Tag) *writer {
	from := message.Catalog(b.strings)
	return &writer{tag: tag, words: b.words[tag], say: message.NewPrinter(withDigits(tag), from), english: message.NewPrinter(withDigits(language.English), from)}
}

// plain are the strings that need no argument.
var plain = []string{
	"title", "intro", "keep", "share", "with", "ask_names", "for", "not", "not_rest", "time", "change", "change_how",
	"change_then", "free", "contact_line", "contact_given", "code",
}

func (p *writer) view(c *consent.Certificate, o Options) (*view, error) {
	k, zone := &c.Consent, o.Now.Location()
	v := &view{Lang: p.tag.String(), Dir: p.words.Direction, T: map[string]string{}}
	for _, key := range plain {
		v.T[key] = p.say.Sprintf(key)
	}
	var err error
	if v.Share, err = phrases(p.words.Category, k.Categories); err != nil {
		return nil, err
	}
	if v.For, err = phrases(p.words.Purpose, k.Purposes); err != nil {
		return nil, err
	}
	if v.With, err = p.recipients(&k.Recipients, o.RoleOf); err != nil {
		return nil, err
	}
	v.AskNames = len(v.With) > 0
	var from []schemas.WithheldFrom
	for _, w := range k.Withheld {
		from = append(from, w.From)
	}
	if v.Not, err = phrases(p.words.Withheld, from); err != nil {
		return nil, err
	}
	switch k.Onward {
	case schemas.OnwardNamed:
		v.Onward = p.say.Sprintf("onward_named")
	case schemas.OnwardReconfirm:
		v.Onward = p.say.Sprintf("onward_reconfirm")
	default:
		v.Onward = p.say.Sprintf("onward_none")
	}
	if o.Now.Before(k.Expires) {
		v.Span = p.say.Sprintf("span", days(k.Given.In(zone), k.Expires.In(zone)), p.date(k.Given.In(zone)), p.date(k.Expires.In(zone)))
		if !k.Review.IsZero() && o.Now.Before(k.Review) {
			v.Review = p.say.Sprintf("review", p.date(k.Review.In(zone)))
		}
	} else {
		v.Ended = p.say.Sprintf("ended", p.date(k.Expires.In(zone)))
	}
	if o.WithContact {
		v.Contact = k.HowToWithdraw
	}
	if len(c.ID) < 4 {
		return nil, fmt.Errorf("the certificate has no id")
	}
	v.Code = c.ID[len(c.ID)-4:]
	if !p.words.Checked {
		v.Unchecked = p.say.Sprintf("unchecked")
		v.UncheckedEnglish = p.english.Sprintf("unchecked")
	}
	v.Size = strconv.FormatFloat(fit(v), 'f', 2, 64)
	return v, nil
}

// date writes a date out, in the Gregorian calendar.
func (p *writer) date(t time.Time) string {
	return p.say.Sprintf("date", strconv.Itoa(t.Day()), p.words.Months[t.Month()-1], strconv.Itoa(t.Year()))
}

// days counts nights between two dates.
func days(from, to time.Time) int {
	day := func(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC) }
	return int(day(to).Sub(day(from)) / (24 * time.Hour))
}
